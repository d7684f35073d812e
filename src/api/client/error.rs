//! Why a server did not do its part.

use std::time::Duration;

use reqwest::StatusCode;

use crate::token::TokenError;

/// Why a server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no token to ask it with.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The environment does not exist, or is archived.
    #[error("The server has no such environment ({url}): {message}")]
    EnvironmentNotFound {
        /// What was asked for.
        url: String,
        /// What the server said.
        message: String,
    },
    /// The environment exists, and nothing was ever recorded in it.
    #[error("The server has no snapshot yet: {message}")]
    NoSnapshotYet {
        /// What the server said.
        message: String,
    },
    /// It will not do it, however often it is asked.
    #[error("The server refused to {operation} ({url}): {status}: {message}")]
    Rejected {
        /// What was asked.
        operation: String,
        /// What was asked for.
        url: String,
        /// The answer's status.
        status: StatusCode,
        /// What the server said.
        message: String,
    },
    /// A web page is where the API should be.
    #[error("KOSLI_HOST={host} is not a snapshot server: {url} answered {status} with a web page")]
    NotASnapshotServer {
        /// The server that is configured.
        host: String,
        /// What was asked for.
        url: String,
        /// The answer's status.
        status: StatusCode,
    },
    /// It did not answer, or not in a way that can be understood. Asking again may help.
    #[error("The server did not {operation} ({url}): {reason}")]
    Unavailable {
        /// What was asked.
        operation: String,
        /// What was asked for.
        url: String,
        /// What came back.
        reason: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
        /// An attempt with the same request may have another end.
        transient: bool,
    },
}

impl ApiError {
    /// The latest snapshot was not the one that the report named: the report was not recorded.
    pub fn is_precondition_failed(&self) -> bool {
        matches!(self, Self::Rejected { status: StatusCode::PRECONDITION_FAILED, .. })
    }
}

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("The HTTP client could not be made: {0}")]
pub struct BuildClientError(pub(super) String);

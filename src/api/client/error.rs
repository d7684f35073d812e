//! Errors of the snapshot server's client.

use std::time::Duration;

use reqwest::StatusCode;

use crate::token::TokenError;

/// Why a request to the snapshot server failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API token could not be fetched.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The environment does not exist or is archived.
    #[error("the server has no such environment ({url}): {message}")]
    EnvironmentNotFound {
        url: String,
        message: String,
        /// The server says that one of this name is archived. Only a recorder of this project does.
        archived: bool,
    },
    /// The environment exists and has no snapshot yet.
    #[error("there is no snapshot yet: {message}")]
    NoSnapshotYet { message: String },
    /// The server refused the request, and would refuse it again.
    #[error("the server refused to {operation} ({url}): {status}: {message}")]
    Rejected {
        /// The operation, as an infinitive: `record what runs in "aws-prod"`.
        operation: String,
        url: String,
        status: StatusCode,
        /// The server's message.
        message: String,
    },
    /// A web page was returned instead of a document of the API.
    #[error("KOSLI_HOST={host} is not a snapshot server: {url} answered {status} with a web page")]
    NotASnapshotServer { host: String, url: String, status: StatusCode },
    /// The server did not answer, or its answer cannot be understood. A retry may help.
    #[error("the server did not {operation} ({url}): {reason}")]
    Unavailable {
        operation: String,
        url: String,
        reason: String,
        /// The wait that the server asks for.
        retry_after: Option<Duration>,
        /// The same request may succeed later.
        transient: bool,
    },
}

impl ApiError {
    /// The latest snapshot is not the one named in the report: the report was not recorded.
    pub fn is_precondition_failed(&self) -> bool {
        matches!(self, Self::Rejected { status: StatusCode::PRECONDITION_FAILED, .. })
    }
}

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be built: {0}")]
pub struct BuildClientError(pub(super) String);

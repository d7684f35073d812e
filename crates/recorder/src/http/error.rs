//! Errors, in the API's form: the one place in which they become statuses.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use envsnap_model::error_chain;
use envsnap_model::wire::ErrorBody;
use serde::Serialize;

use crate::domain::{Error, StorageErrorKind};

/// The most characters of a request's own text that an answer repeats.
const MAX_QUOTE_CHARS: usize = 100;

/// After which time another process may have done with the file.
const LOCKED_RETRY: Duration = Duration::from_secs(5);

/// After which time a clock that was wrong may be right.
const CLOCK_RETRY: Duration = Duration::from_mins(1);

impl Error {
    /// The status that a client is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. }
            | Self::BadRequest { .. }
            // Not 409, which says that another attempt may do it.
            | Self::EnvironmentNameTaken { .. }
            | Self::FlowNameTaken { .. }
            | Self::EnvironmentTypeMismatch { .. } => StatusCode::BAD_REQUEST,
            Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::HostNotAllowed => StatusCode::FORBIDDEN,
            Self::EnvironmentNotFound { .. }
            | Self::SnapshotNotFound { .. }
            | Self::FlowNotFound { .. }
            | Self::TrailNotFound { .. }
            | Self::ArtifactNotFound { .. }
            | Self::ArtifactNotInTrail { .. }
            | Self::AttestationNotFound { .. }
            | Self::AttachmentNotFound { .. }
            | Self::AllowanceNotFound { .. }
            | Self::NoMatches { .. }
            | Self::NoSuchAddress => StatusCode::NOT_FOUND,
            // The client does not repeat it.
            Self::NotSupported { .. } => StatusCode::NOT_IMPLEMENTED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::LatestSnapshotMoved { .. } => StatusCode::PRECONDITION_FAILED,
            Self::TooManyRuns { .. }
            | Self::TooManyFlows { .. }
            | Self::TooManyMatches { .. }
            | Self::ReportTooLarge { .. } | Self::TooManyEnvironments { .. } | Self::TooLarge { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Busy { .. } | Self::Unavailable { .. } | Self::ClockIsWrong { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Storage { kind: StorageErrorKind::Locked, .. } => StatusCode::CONFLICT,
            Self::Storage { kind: StorageErrorKind::Full, .. } => StatusCode::INSUFFICIENT_STORAGE,
            Self::Storage { kind: StorageErrorKind::Failed, .. } | Self::Fault => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// When it is worth another attempt.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } | Self::Unavailable { retry_after, .. } => {
                Some(*retry_after)
            }
            Self::ClockIsWrong { .. } => Some(CLOCK_RETRY),
            // The other process may have done with the file by then.
            Self::Storage { kind: StorageErrorKind::Locked, .. } => Some(LOCKED_RETRY),
            _ => None,
        }
    }

    /// What a client is told. What went wrong with the file is for the operator alone.
    fn into_body(self) -> ErrorBody {
        let message = match &self {
            Self::Storage { kind: StorageErrorKind::Locked, .. } => {
                "Another process holds the recorder's file: try again".to_owned()
            }
            Self::Storage { kind: StorageErrorKind::Full, .. } => {
                "The recorder's disk is full: nothing was saved".to_owned()
            }
            Self::Storage { kind: StorageErrorKind::Failed, .. } => {
                "The recorder could not read or write its file; its log says why".to_owned()
            }
            Self::ClockIsWrong { .. } => {
                "The recorder's clock is wrong: nothing was saved; its log says more".to_owned()
            }
            other => other.to_string(),
        };
        let errors = match self {
            Self::Invalid { errors } => errors,
            _ => BTreeMap::new(),
        };
        ErrorBody { message, errors: errors.into_iter().map(|(at, it)| (at, it.into())).collect() }
    }

    /// Writes to the log what the operator has to know.
    fn log(&self) {
        match self {
            Self::Storage { kind: StorageErrorKind::Locked, .. } => {
                tracing::warn!("{}: another program holds its write lock", error_chain(self));
            }
            Self::Storage { .. } | Self::ClockIsWrong { .. } => {
                tracing::error!("{}", error_chain(self));
            }
            Self::Busy { .. } => tracing::warn!("{}", error_chain(self)),
            _ => {}
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.log();
        let (status, retry_after) = (self.status(), self.retry_after());
        let mut response = respond(status, self.into_body());
        if let Some(wait) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, wait.as_secs().into());
        }
        response
    }
}

/// An error in the API's form. It is also in the response's extensions, for the page that shows it.
fn respond(status: StatusCode, body: ErrorBody) -> Response {
    let mut response = (status, Json(&body)).into_response();
    response.extensions_mut().insert(body);
    response
}

/// Text of the request's own, short enough to repeat.
pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A document of the API that is written already, as a large one is where it is read.
#[derive(Debug)]
pub(crate) struct SerializedJson(Vec<u8>);

impl SerializedJson {
    /// # Errors
    /// `document` has no JSON.
    pub(crate) fn new(document: &impl Serialize) -> Result<Self, Error> {
        let mut written = serde_json::to_vec(document).map_err(|error| {
            tracing::error!("cannot write an answer as JSON: {error}");
            Error::Fault
        })?;
        // It is held until its client has read it, and may have twice the room that it needs.
        written.shrink_to_fit();
        Ok(Self(written))
    }
}

impl IntoResponse for SerializedJson {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

/// Errors of the framework's own (a method, a path that is no UTF-8) are plain text: clients of
/// this API read JSON only.
pub(crate) async fn errors_as_json(response: Response) -> Response {
    let status = response.status();
    let is_json =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|it| it == "application/json");
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let message = status.canonical_reason().unwrap_or("The request was refused").to_owned();
    let mut error = respond(status, ErrorBody { message, errors: BTreeMap::new() });
    if let Some(allowed) = response.headers().get(header::ALLOW) {
        error.headers_mut().insert(header::ALLOW, allowed.clone());
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_not_told_where_the_file_is() {
        let error = Error::Storage {
            operation: "open /srv/snapshots.db".to_owned(),
            kind: StorageErrorKind::Failed,
            source: "/srv/snapshots.db is gone".into(),
        };
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let message = error.into_body().message;
        assert!(!message.contains("/srv"), "{message}");
    }
}

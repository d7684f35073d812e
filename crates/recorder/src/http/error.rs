//! Errors as responses: the only mapping from errors to statuses.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use envsnap_model::error_chain;
use envsnap_model::wire::ErrorBody;
use serde::Serialize;

use crate::domain::{Error, StorageErrorKind};

/// The most characters of a request's text that an error message quotes.
const MAX_QUOTE_CHARS: usize = 100;

/// The `Retry-After` if another process locks the database: it is likely to have released it by then.
const LOCKED_RETRY: Duration = Duration::from_secs(5);

/// The `Retry-After` if the clock is wrong: the operator may have set it by then.
const CLOCK_RETRY: Duration = Duration::from_mins(1);

impl Error {
    /// The status of the response.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. }
            | Self::BadRequest { .. }
            // Not 409, which clients retry.
            | Self::EnvironmentNameTaken { .. }
            | Self::FlowNameTaken { .. }
            | Self::FlowArchived { .. }
            | Self::EnvironmentTypeMismatch { .. } => StatusCode::BAD_REQUEST,
            Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::HostNotAllowed | Self::CrossSiteWrite => StatusCode::FORBIDDEN,
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
            // Clients do not retry 501.
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
            Self::Storage { kind: StorageErrorKind::Failed, .. }
            | Self::AttachmentDamaged { .. }
            | Self::Fault => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `Retry-After`.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } | Self::Unavailable { retry_after, .. } => {
                Some(*retry_after)
            }
            Self::ClockIsWrong { .. } => Some(CLOCK_RETRY),
            // The other process may have released the file by then.
            Self::Storage { kind: StorageErrorKind::Locked, .. } => Some(LOCKED_RETRY),
            _ => None,
        }
    }

    /// The body for the client. Details of the file are logged and not sent.
    fn into_body(self) -> ErrorBody {
        let message = match &self {
            Self::Storage { kind: StorageErrorKind::Locked, .. } => {
                "Another process holds the recorder's file. Try again".to_owned()
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

    /// Logs what needs the operator's attention.
    fn log(&self) {
        match self {
            Self::Storage { kind: StorageErrorKind::Locked, .. } => {
                tracing::warn!("{}: another program holds its write lock", error_chain(self));
            }
            Self::Storage { .. } | Self::ClockIsWrong { .. } | Self::AttachmentDamaged { .. } => {
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

/// An error as JSON. It is also in the response's extensions, for the error page.
fn respond(status: StatusCode, body: ErrorBody) -> Response {
    let mut response = (status, Json(&body)).into_response();
    response.extensions_mut().insert(body);
    response
}

/// Text from the request, shortened for an error message.
pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A document that is serialized already: a large one is serialized on the thread that reads it.
#[derive(Debug)]
pub(crate) struct SerializedJson(Vec<u8>);

impl SerializedJson {
    /// Serializes a document.
    ///
    /// # Errors
    /// `document` cannot be serialized.
    pub(crate) fn new(document: &impl Serialize) -> Result<Self, Error> {
        let mut written = serde_json::to_vec(document).map_err(|error| {
            tracing::error!("cannot write a response as JSON: {error}");
            Error::Fault
        })?;
        // It stays in memory until the client has read it, and may have twice the capacity it
        // needs.
        written.shrink_to_fit();
        Ok(Self(written))
    }
}

impl IntoResponse for SerializedJson {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

/// Replaces axum's own errors (wrong method, path that is not UTF-8), which are plain text, by JSON: clients
/// of this API read nothing else.
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
    fn body_of_a_storage_error_does_not_contain_the_path_of_the_database() {
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

//! Refusals, in the API's form.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rusqlite::ErrorCode;
use serde::Serialize;
use serde_json::Value;

use super::StoreError;
use crate::api::wire::ErrorBody;
use crate::error_chain::error_chain;

/// The most characters of a request's own text that an answer repeats.
const LONGEST_QUOTE: usize = 100;

/// Seconds after which a clock that was wrong may be right.
const CLOCK_RETRY: u64 = 60;

/// Why a request is not granted.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: ErrorBody,
    /// Seconds after which it is worth asking again.
    retry_after: Option<u64>,
}

/// After so many seconds it is worth asking again what was refused because of too much work.
const RETRY_AFTER: u64 = 5;

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let body = ErrorBody { message: message.into(), errors: BTreeMap::new() };
        Self { status, body, retry_after: None }
    }

    /// There is too much to do at the moment.
    pub(super) fn busy(message: impl Into<String>) -> Self {
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, message);
        Self { retry_after: Some(RETRY_AFTER), ..refusal }
    }

    /// What was sent is over a limit, which the message names.
    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// The token is unknown (401), or does not open this (403).
    pub(super) fn no_permission(status: StatusCode) -> Self {
        Self::new(status, "You don't have permission to access this resource")
    }

    /// The recorder has a fault, which its log names.
    pub(super) fn fault() -> Self {
        let message = "The recorder met a fault of its own; its log says which";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    #[cfg(test)]
    pub(super) fn errors(&self) -> &BTreeMap<String, Value> {
        &self.body.errors
    }

    pub(super) fn is_timeout(&self) -> bool {
        self.status == StatusCode::REQUEST_TIMEOUT
    }

    pub(super) fn into_body(self) -> ErrorBody {
        self.body
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The body breaks the schema: what is wrong, by the field's path.
    pub(super) fn invalid(errors: BTreeMap<String, Value>) -> Self {
        let message = "Input payload validation failed".to_owned();
        let (status, body) = (StatusCode::BAD_REQUEST, ErrorBody { message, errors });
        Self { status, body, retry_after: None }
    }

    pub(super) fn no_environment(org: &str, environment: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("Environment named '{environment}' does not exist for organization '{org}'"),
        )
    }
}

/// Text of the request's own, short enough to repeat.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&self.body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        // For who tells the same in another form.
        response.extensions_mut().insert(self.body);
        response
    }
}

/// What went wrong with the file is for who runs the recorder, and not for who calls it.
impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Overloaded { seconds, .. } => {
                tracing::warn!("{}", error_chain(&error));
                let message = "Too many reports wait to be recorded: try again later";
                let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, message);
                return Self { retry_after: Some(*seconds), ..refusal };
            }
            StoreError::Clock { .. } => {
                tracing::error!("{}", error_chain(&error));
                let message = "The recorder's clock is wrong: nothing was saved; its log says more";
                let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, message);
                return Self { retry_after: Some(CLOCK_RETRY), ..refusal };
            }
            StoreError::Failed { source, .. } => source.sqlite_error_code(),
            _ => None,
        };
        let (status, message) = match code {
            Some(ErrorCode::DatabaseBusy) => {
                (StatusCode::CONFLICT, "Another process holds the recorder's file: try again")
            }
            Some(ErrorCode::DiskFull) => {
                (StatusCode::INSUFFICIENT_STORAGE, "The recorder's disk is full: nothing was saved")
            }
            _ => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The recorder could not read or write its file; its log says why",
            ),
        };
        let refusal = Self::new(status, message);
        if status == StatusCode::CONFLICT {
            // The other program may have done with it by then.
            return Self { retry_after: Some(RETRY_AFTER), ..refusal };
        }
        tracing::error!("{}", error_chain(&error));
        refusal
    }
}

/// A document of the API that is written already, as a large one is where it is read.
#[derive(Debug)]
pub(super) struct WrittenJson(Vec<u8>);

impl WrittenJson {
    /// # Errors
    /// `document` has no JSON.
    pub(super) fn new(document: &impl Serialize) -> Result<Self, Refusal> {
        let mut written = serde_json::to_vec(document).map_err(|error| {
            tracing::error!("cannot write an answer as JSON: {error}");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "The answer cannot be written")
        })?;
        // It is held until its client has read it, and may have twice the room that it needs.
        written.shrink_to_fit();
        Ok(Self(written))
    }
}

impl IntoResponse for WrittenJson {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

pub(super) fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "There is nothing here")
}

/// Refusals of the framework's own (a method, a path that is no UTF-8) are plain text: clients of
/// this API read JSON only.
pub(super) async fn in_json(response: Response) -> Response {
    let status = response.status();
    let is_json =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|it| it == "application/json");
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let reason = status.canonical_reason().unwrap_or("The request was refused");
    let mut refusal = Refusal::new(status, reason).into_response();
    if let Some(allowed) = response.headers().get(header::ALLOW) {
        refusal.headers_mut().insert(header::ALLOW, allowed.clone());
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_not_told_where_the_file_is() {
        let source = rusqlite::Error::InvalidQuery;
        let refusal = Refusal::from(StoreError::Open { file: "/srv/snapshots.db".into(), source });
        assert_eq!(refusal.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!refusal.body.message.contains("/srv"), "{}", refusal.body.message);
    }
}

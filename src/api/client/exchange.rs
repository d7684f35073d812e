//! One request and its answer, tried again where that may help.

use std::sync::atomic::Ordering;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ApiError, EnvironmentClient};
use crate::api::wire::ErrorBody;
use crate::error_chain::error_chain;

/// Waits of 1, 2 and 4 seconds between the attempts at one request.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const RETRIES: usize = 3;

/// The longest `Retry-After` that is waited for: longer than the function lives is as good as never.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// A snapshot of twelve thousand artifacts takes about half of it.
const LARGEST_ANSWER: usize = 32 << 20;

/// How much of an answer that is not the API's is shown in an error.
const SHOWN: usize = 200;

pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Vec<u8>,
}

impl EnvironmentClient<'_> {
    /// Sends a request until it is answered, but not forever; with a new token once, where the
    /// server refuses the one that it has.
    pub(super) async fn send(
        &self,
        operation: &str,
        method: Method,
        path: &[&str],
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer, ApiError> {
        let answer = self.send_with_retries(operation, &method, path, body).await;
        match answer {
            Err(ApiError::Rejected { status, .. })
                if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
                    && self.client.tokens.can_change() =>
            {
                *self.client.token.lock().await = None;
                tracing::info!(%status, "the server refuses the API token: fetching it again");
                self.send_with_retries(operation, &method, path, body).await
            }
            answer => answer,
        }
    }

    async fn send_with_retries(
        &self,
        operation: &str,
        method: &Method,
        path: &[&str],
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer, ApiError> {
        let policy = ExponentialBuilder::new().with_min_delay(FIRST_WAIT).with_max_times(RETRIES);
        (|| self.send_once(operation, method.clone(), path, body))
            .retry(policy)
            .when(|error| matches!(error, ApiError::Unavailable { transient: true, .. }))
            .adjust(|error, wait| match error {
                ApiError::Unavailable { retry_after: Some(wanted), .. } => {
                    wait.map(|wait| wait.max(*wanted).min(LONGEST_WAIT))
                }
                _ => wait,
            })
            .notify(|error, wait| tracing::warn!(%error, wait_ms = wait.as_millis(), "retrying"))
            .await
    }

    async fn send_once(
        &self,
        operation: &str,
        method: Method,
        path: &[&str],
        body: Option<&impl Serialize>,
    ) -> Result<Answer, ApiError> {
        let unavailable = |reason: String, retry_after, transient| ApiError::Unavailable {
            operation: operation.to_owned(),
            reason,
            retry_after,
            transient,
        };
        let token = self.client.token().await?;
        let mut request = self
            .client
            .http
            .request(method, self.client.url(path))
            .bearer_auth(token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut response = request
            .send()
            .await
            .map_err(|error| unavailable(error_chain(&error.without_url()), None, true))?;

        let status = response.status();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let location = response
            .headers()
            .get("location")
            .and_then(|value| value.to_str().ok())
            .map(|location| printable(location.as_bytes()));
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| unavailable(error_chain(&error.without_url()), None, true))?
        {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                let reason = format!("its answer is larger than {LARGEST_ANSWER} bytes");
                return Err(unavailable(reason, None, false));
            }
            body.extend_from_slice(&chunk);
        }

        if status.is_success() {
            return Ok(Answer { status, body });
        }
        let transient = matches!(status.as_u16(), 409 | 429)
            || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED);
        let message = message(&body);
        if transient {
            return Err(unavailable(format!("{status}: {message}"), retry_after, true));
        }
        if status == StatusCode::NOT_FOUND && message.contains("does not exist") {
            return Err(ApiError::EnvironmentNotFound { message });
        }
        let message = match location {
            Some(location) if status.is_redirection() => format!("it redirects to {location}"),
            _ => message,
        };
        Err(ApiError::Rejected { operation: operation.to_owned(), status, message })
    }
}

pub(super) fn parse<T: DeserializeOwned>(operation: &str, answer: &Answer) -> Result<T, ApiError> {
    serde_json::from_slice(&answer.body).map_err(|error| ApiError::Unavailable {
        operation: operation.to_owned(),
        reason: format!(
            "it answered {} with what is not a document of its API ({error}): {}",
            answer.status,
            printable(&answer.body)
        ),
        retry_after: None,
        transient: false,
    })
}

/// What a server says is wrong, with each field that it names.
fn message(body: &[u8]) -> String {
    let Ok(ErrorBody { message, errors }) = serde_json::from_slice(body) else {
        return printable(body);
    };
    let errors: Vec<_> = errors
        .iter()
        .map(|(field, problem)| match problem.as_str() {
            Some(problem) => format!("{field}: {problem}"),
            None => format!("{field}: {problem}"),
        })
        .collect();
    let message =
        if errors.is_empty() { message } else { format!("{message} ({})", errors.join("; ")) };
    printable(message.as_bytes())
}

/// The beginning of a text from outside, on one line.
fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut shown: String =
        text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    if shown.trim().is_empty() { "an empty answer".to_owned() } else { shown }
}

//! One request and its response, with retries.

use std::mem::replace;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::Instant;

use super::{ApiError, EnvironmentClient, LocalServer};
use crate::api::wire::{ErrorBody, HEAD, MAX_RESPONSE_BYTES};
use crate::excerpt::excerpt;
use crate::redact::redact;
use crate::retry::{DEADLINE_MARGIN, retry};
use envsnap_model::time::parse_http_date;
use envsnap_model::{SignedHead, error_chain};

/// The wait before the first retry of a request; it doubles for each further one: 1, 2 and 4 seconds.
const FIRST_RETRY_WAIT: Duration = Duration::from_secs(1);
/// Of one request, besides the one without a wait after a broken connection.
const MAX_RETRIES: usize = 3;

/// Of one attempt at a request that has a deadline: leaves time for further attempts.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(8);

/// Of one attempt at a request without a deadline: a person waits, perhaps for a response of many
/// megabytes over a slow line.
const ATTEMPT_TIMEOUT_WITHOUT_DEADLINE: Duration = Duration::from_secs(30);

/// If the server asks for a longer wait (`Retry-After`), the request is not retried, whatever the
/// deadline.
const MAX_RETRY_WAIT: Duration = Duration::from_mins(1);

/// The server's message for an environment without snapshots. It is the only known sign: the status
/// is not documented.
const NO_SNAPSHOTS: &str = "len(snapshots) == 0";

/// The body of a request.
pub(super) trait RequestBody {
    fn add_to(&self, request: RequestBuilder) -> RequestBuilder;
}

impl<T: Serialize> RequestBody for T {
    fn add_to(&self, request: RequestBuilder) -> RequestBuilder {
        request.header(CONTENT_TYPE, "application/json; charset=utf-8").json(self)
    }
}

/// A response with a success status, its body not parsed yet.
pub(super) struct RawResponse {
    pub(super) status: StatusCode,
    /// The head of the organization's ledger, if the server keeps one.
    pub(super) head: Option<SignedHead>,
    /// Items on all pages, if the response is one page of several.
    pub(super) total: Option<u64>,
    pub(super) body: Vec<u8>,
    url: Url,
    /// The configured server.
    host: Url,
    is_web_page: bool,
    token: SecretString,
}

impl RawResponse {
    /// The beginning of `text`, on one line and without the token, for an error message.
    pub(super) fn printable(&self, text: &str) -> String {
        printable(text, &self.token)
    }
}

impl EnvironmentClient<'_> {
    /// Whether the outcome of an attempt is not known.
    pub(super) fn has_lost_answer(&self) -> bool {
        self.has_lost_answer.load(Ordering::Relaxed)
    }

    /// Sends a request and retries it until the deadline; once with a new token, if the server
    /// refuses the current one.
    pub(super) async fn send(
        &self,
        operation: &str,
        method: Method,
        path: &[&str],
        body: Option<&(impl RequestBody + Sync)>,
    ) -> Result<RawResponse, ApiError> {
        self.send_to(self.client.url(path), operation, method, &HeaderMap::new(), body).await
    }

    /// Like [`Self::send`], with any URL of the server and further headers.
    pub(super) async fn send_to(
        &self,
        url: Url,
        operation: &str,
        method: Method,
        headers: &HeaderMap,
        body: Option<&(impl RequestBody + Sync)>,
    ) -> Result<RawResponse, ApiError> {
        let (url, no_check) = (&url, async || Ok(()));
        // On the heap: futures that are nested deeper take the compiler over its limit.
        Box::pin(self.send_checked(url, operation, &method, headers, body, no_check)).await
    }

    /// Like [`Self::send_to`], with a check that has to pass before each further attempt.
    pub(super) async fn send_checked(
        &self,
        url: &Url,
        operation: &str,
        method: &Method,
        headers: &HeaderMap,
        body: Option<&(impl RequestBody + Sync)>,
        check: impl AsyncFn() -> Result<(), AttemptError>,
    ) -> Result<RawResponse, ApiError> {
        let calls = self.calls.load(Ordering::Relaxed);
        let attempt = async |http: &reqwest::Client| {
            if self.calls.load(Ordering::Relaxed) > calls {
                check().await?;
            }
            self.send_once(http, operation, method, url, headers, body).await
        };
        let failed = match self.retry(&attempt).await {
            Err(failed) if self.client.tokens.can_refresh() => failed,
            answer => return answer.map_err(|failed| failed.error),
        };
        let Some(refused) = failed.refused_token else { return Err(failed.error) };
        if self.client.forget_token(&refused).await {
            let error = &failed.error;
            tracing::info!(%error, "the server refuses the API token: fetching it again");
        }
        self.retry(&attempt).await.map_err(|failed| failed.error)
    }

    /// Repeats `attempt`, which is passed the HTTP client to use, while it fails with what may pass.
    async fn retry(
        &self,
        attempt: &impl AsyncFn(&reqwest::Client) -> Result<RawResponse, AttemptError>,
    ) -> Result<RawResponse, AttemptError> {
        let policy =
            ExponentialBuilder::new().with_min_delay(FIRST_RETRY_WAIT).with_max_times(MAX_RETRIES);
        let mut backoff = policy.build();
        let mut has_reconnected = false;
        let attempt = async |_: Option<&AttemptError>| {
            let http = self.client.http.get();
            let answer = attempt(&http).await;
            if let Err(failed) = &answer
                && failed.is_transient()
                && failed.connection != ConnectionState::Unaffected
            {
                self.client.reconnect(&http);
            }
            answer
        };
        let wait_after = |failed: &AttemptError| {
            let ApiError::Unavailable { transient: true, retry_after, .. } = &failed.error else {
                return None;
            };
            // A connection may have died while the process was frozen. Another one is worth a try
            // at once.
            if failed.connection == ConnectionState::Broken && !replace(&mut has_reconnected, true)
            {
                return Some(Duration::ZERO);
            }
            let wait = backoff.next()?.max(retry_after.unwrap_or_default());
            Some(wait).filter(|wait| *wait <= MAX_RETRY_WAIT)
        };
        let log = |AttemptError { error, .. }: &AttemptError, wait: Duration| {
            tracing::warn!(%error, wait_seconds = wait.as_secs_f64(), "trying again");
        };
        retry(self.give_up_at, attempt, wait_after, log).await
    }

    pub(super) async fn send_once(
        &self,
        http: &reqwest::Client,
        operation: &str,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: Option<&impl RequestBody>,
    ) -> Result<RawResponse, AttemptError> {
        let host = &self.client.host;
        let token = self.client.token().await.map_err(ApiError::from)?;
        let mut request = http
            .request(method.clone(), url.clone())
            .headers(headers.clone())
            .timeout(attempt_timeout(self.give_up_at))
            .bearer_auth(token.expose_secret());
        if let Some(body) = body {
            request = body.add_to(request);
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        let (response, body) =
            exchange(request, self.client.local.as_ref()).await.map_err(|reason| {
                let was_sent = !matches!(&reason, ExchangeError::Broken(it) if it.is_connect());
                self.has_lost_answer.fetch_or(was_sent, Ordering::Relaxed);
                AttemptError {
                    connection: reason.connection_state(),
                    error: ApiError::Unavailable {
                        operation: operation.to_owned(),
                        url: url.to_string(),
                        reason: reason.to_string(),
                        retry_after: None,
                        transient: matches!(reason, ExchangeError::Broken(_)),
                    },
                    refused_token: None,
                }
            })?;
        let status = response.status();
        self.has_lost_answer.fetch_or(status.is_server_error(), Ordering::Relaxed);
        self.client.store_capabilities(status, response.headers());
        let is_web_page = is_web_page(response.headers(), &body);
        if status.is_success() {
            let (head, total) = (ledger_head(response.headers()), total_count(response.headers()));
            let (url, host) = (url.clone(), host.clone());
            let answer = RawResponse { status, head, total, body, url, host, is_web_page, token };
            if *method != Method::GET {
                // Not from a gateway in front of the server, which has not passed the request on.
                parse::<IgnoredAny>(operation, &answer)?;
            }
            return Ok(answer);
        }
        let error = if is_web_page && !is_transient(status) && !status.is_redirection() {
            not_a_snapshot_server(host, url, status)
        } else {
            let message = if is_web_page { "a web page".to_owned() } else { server_message(&body) };
            error_from_response(operation, url, &response, &message, &token)
        };
        let is_refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let refused_token = is_refused.then_some(token);
        Err(AttemptError { refused_token, ..error.into() })
    }
}

/// The timeout of an attempt that starts now. It ends before the deadline does, so that the error
/// names the request.
fn attempt_timeout(give_up_at: Option<Instant>) -> Duration {
    give_up_at.map_or(ATTEMPT_TIMEOUT_WITHOUT_DEADLINE, |at| {
        at.saturating_duration_since(Instant::now())
            .saturating_sub(DEADLINE_MARGIN)
            .clamp(DEADLINE_MARGIN, ATTEMPT_TIMEOUT)
    })
}

pub(super) struct AttemptError {
    pub(super) error: ApiError,
    connection: ConnectionState,
    /// The token of the request, if the server refuses it.
    refused_token: Option<SecretString>,
}

impl AttemptError {
    fn is_transient(&self) -> bool {
        matches!(self.error, ApiError::Unavailable { transient: true, .. })
    }
}

impl From<ApiError> for AttemptError {
    fn from(error: ApiError) -> Self {
        Self { error, connection: ConnectionState::Unaffected, refused_token: None }
    }
}

/// Whether a failed attempt was the fault of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ConnectionState {
    /// Not at fault, or there was no connection.
    Unaffected,
    Broken,
    /// Nothing was received before the timeout.
    TimedOut,
}

/// Why no complete response was received.
#[derive(Debug, thiserror::Error)]
enum ExchangeError {
    #[error("{}", connection_problem(.0))]
    Broken(reqwest::Error),
    #[error("its answer is larger than {MAX_RESPONSE_BYTES} bytes")]
    TooLarge,
}

impl ExchangeError {
    fn connection_state(&self) -> ConnectionState {
        match self {
            Self::Broken(error) if error.is_connect() => ConnectionState::Unaffected,
            Self::Broken(error) if error.is_timeout() => ConnectionState::TimedOut,
            Self::Broken(_) => ConnectionState::Broken,
            Self::TooLarge => ConnectionState::Unaffected,
        }
    }
}

/// Why a request was not answered. A server without TLS answers with what TLS calls corrupt.
fn connection_problem(error: &reqwest::Error) -> String {
    let problem = error_chain(error);
    if problem.contains("InvalidContentType") {
        return format!("{problem}: it does not use TLS, so that its address begins with http://");
    }
    problem
}

/// Sends the request, or passes it to `local` if there is one, and reads the body of the response, up
/// to `MAX_RESPONSE_BYTES`.
async fn exchange(
    request: RequestBuilder,
    local: Option<&LocalServer>,
) -> Result<(Response, Vec<u8>), ExchangeError> {
    let broken = |error: reqwest::Error| ExchangeError::Broken(error.without_url());
    let mut response = match local {
        None => request.send().await.map_err(broken)?,
        Some(local) => local.answer(request.build().map_err(broken)?).await,
    };
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(ExchangeError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok((response, body))
}

/// The head of the organization's ledger, from the response's header. It is parsed because it is
/// logged: a server must not write arbitrary text there.
fn ledger_head(headers: &HeaderMap) -> Option<SignedHead> {
    headers.get(HEAD)?.to_str().ok()?.parse().ok()
}

/// The number of items on all pages, from the response's header.
fn total_count(headers: &HeaderMap) -> Option<u64> {
    headers.get("x-total-count")?.to_str().ok()?.parse().ok()
}

/// The wait in a `Retry-After` header: seconds, or a date. Anything else is ignored.
fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = parse_http_date(text)?;
    Some(date.duration_since(now).try_into().unwrap_or_default())
}

/// The error for a response that is not a success. `message` is the server's.
fn error_from_response(
    operation: &str,
    url: &Url,
    response: &Response,
    message: &str,
    token: &SecretString,
) -> ApiError {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let status = response.status();
    let shown = printable(message, token);
    let (operation, url) = (operation.to_owned(), url.to_string());
    if is_transient(status) {
        ApiError::Unavailable {
            operation,
            url,
            reason: format!("{status}: {shown}"),
            retry_after: header(RETRY_AFTER)
                .and_then(|text| parse_retry_after(text, Timestamp::now())),
            transient: true,
        }
    } else if status.is_client_error() && message.contains(NO_SNAPSHOTS) {
        ApiError::NoSnapshotYet { message: shown }
    } else if status == StatusCode::NOT_FOUND && message.contains("does not exist") {
        let archived = message.trim_end().ends_with("it is archived");
        ApiError::EnvironmentNotFound { url, message: shown, archived }
    } else {
        let message = match header(LOCATION) {
            Some(location) if status.is_redirection() => {
                format!("it redirects to {}", printable(location, token))
            }
            _ => shown,
        };
        ApiError::Rejected { operation, url, status, message }
    }
}

/// Whether the same request may succeed later.
fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 409 | 429)
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

/// Whether the response is meant for a browser. A gateway in front of an unavailable server returns one
/// too, with a transient status.
fn is_web_page(headers: &HeaderMap, body: &[u8]) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let beginning = body.trim_ascii_start();
    let begins_with = |tag: &[u8]| {
        beginning.get(..tag.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(tag))
    };
    content_type.is_some_and(|value| value.trim_start().starts_with("text/html"))
        || begins_with(b"<!doctype html")
        || begins_with(b"<html")
}

fn not_a_snapshot_server(host: &Url, url: &Url, status: StatusCode) -> ApiError {
    let host = host.as_str().trim_end_matches('/').to_owned();
    ApiError::NotASnapshotServer { host, url: url.to_string(), status }
}

/// The document in a response's JSON body.
pub(super) fn parse<T: DeserializeOwned>(
    operation: &str,
    answer: &RawResponse,
) -> Result<T, ApiError> {
    let is_api_status = matches!(answer.status, StatusCode::OK | StatusCode::CREATED);
    let problem = match serde_json::from_slice(&answer.body) {
        Ok(document) if is_api_status => return Ok(document),
        Err(_) if answer.is_web_page => {
            return Err(not_a_snapshot_server(&answer.host, &answer.url, answer.status));
        }
        Ok(_) => "its API answers 200 or 201".to_owned(),
        // serde repeats the value that it did not expect.
        Err(error) => answer.printable(&error.to_string()),
    };
    Err(ApiError::Unavailable {
        operation: operation.to_owned(),
        url: answer.url.to_string(),
        reason: format!(
            "it answered {} with what is not a document of its API ({problem}): {}",
            answer.status,
            answer.printable(&String::from_utf8_lossy(&answer.body))
        ),
        retry_after: None,
        transient: false,
    })
}

/// The server's message in the body of an error response, with each field that it names.
fn server_message(body: &[u8]) -> String {
    let Ok(ErrorBody { message, errors }) = serde_json::from_slice(body) else {
        return String::from_utf8_lossy(body).into_owned();
    };
    let errors: Vec<_> = errors
        .iter()
        .map(|(field, problem)| match problem.as_str() {
            Some(problem) => format!("{field}: {problem}"),
            None => format!("{field}: {problem}"),
        })
        .collect();
    if errors.is_empty() { message } else { format!("{message} ({})", errors.join("; ")) }
}

/// The beginning of a text from outside, on one line and without the token.
fn printable(text: &str, token: &SecretString) -> String {
    let shown = excerpt(&redact(text, token));
    if shown.trim().is_empty() { "an empty answer".to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempt_timeout_is_8_s_or_the_time_to_the_deadline_and_30_s_without_one() {
        let before = |seconds| Instant::now().checked_add(Duration::from_secs_f64(seconds));
        for (deadline, seconds) in
            [(before(20.0), 8.0), (before(3.0), 2.9), (before(0.0), 0.1), (None, 30.0)]
        {
            assert_eq!(attempt_timeout(deadline), Duration::from_secs_f64(seconds));
        }
    }

    #[test]
    fn retry_after_in_seconds_or_as_http_date_is_parsed_and_else_ignored() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (text, seconds) in [
            ("0", Some(0)),
            (" 30 ", Some(30)),
            ("Sun, 22 Nov 2026 12:00:07 GMT", Some(7)),
            ("Sun, 22 Nov 2026 11:00:00 GMT", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("", None),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("Sun, 22 Nov 99999999999 12:00:07 GMT", None),
        ] {
            assert_eq!(parse_retry_after(text, now), seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}

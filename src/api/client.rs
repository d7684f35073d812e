//! The client of a snapshot server.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::{Method, StatusCode, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::wire::{EcsReport, Environment, EnvironmentRequest, ErrorBody, RecordedSnapshot};
use crate::error_chain::error_chain;
use crate::token::{TokenError, TokenSource};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// Waits of 1, 2 and 4 seconds between the attempts at one request.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const RETRIES: usize = 3;

/// The longest `Retry-After` that is waited for: longer than the function lives is as good as never.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// A snapshot of twelve thousand artifacts takes about half of it.
const LARGEST_ANSWER: usize = 32 << 20;

/// How much of an answer that is not the API's is shown in an error.
const SHOWN: usize = 200;

/// A snapshot server, and the organization to which requests belong.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    host: Url,
    org: String,
    tokens: TokenSource,
    token: Mutex<Option<SecretString>>,
}

/// Why a server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no token to ask it with.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The environment does not exist, or is archived.
    #[error("The server has no such environment: {message}")]
    EnvironmentNotFound {
        /// What the server said.
        message: String,
    },
    /// It will not do it, however often it is asked.
    #[error("The server refused to {operation}: {status}: {message}{}", advice(*.status))]
    Rejected {
        /// What was asked.
        operation: String,
        /// The answer's status.
        status: StatusCode,
        /// What the server said.
        message: String,
    },
    /// It did not answer, or not in a way that can be understood. Asking again may help.
    #[error("The server did not {operation}: {reason}")]
    Unavailable {
        /// What was asked.
        operation: String,
        /// What came back.
        reason: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
        /// An attempt with the same request may have another end.
        transient: bool,
    },
}

fn advice(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            ". Check the API token, and that it may write in this organization"
        }
        status if status.is_redirection() => ". Set the host to where it redirects",
        _ => "",
    }
}

/// The latest snapshot of an environment that exists.
#[derive(Debug, Clone, PartialEq)]
pub enum Latest {
    /// Nothing was ever recorded in it.
    NoSnapshotYet,
    /// This one.
    Snapshot(Box<RecordedSnapshot>),
}

/// What a server made of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// It made a new snapshot.
    pub created: bool,
    /// It was asked more than once: an attempt that seemed to fail may have done the work already,
    /// so that `created` may say no where an earlier attempt made the snapshot.
    pub repeated: bool,
}

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("The HTTP client could not be made: {0}")]
pub struct NoClient(String);

impl Client {
    /// A client of the server at `host` (`https://app.kosli.com`) for `org`.
    ///
    /// # Errors
    /// The TLS library could not be set up.
    pub fn new(host: Url, org: String, tokens: TokenSource) -> Result<Self, NoClient> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("envsnap/", env!("CARGO_PKG_VERSION")))
            // A redirected PUT would arrive as a GET.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ATTEMPT_TIMEOUT)
            .build()
            .map_err(|error| NoClient(error_chain(&error)))?;
        Ok(Self { http, host, org, tokens, token: Mutex::new(None) })
    }

    /// Opens a connection and fetches the token, so that the first request need not wait for
    /// either. What fails here is met again, and told, by the first request.
    pub async fn warm_up(&self) {
        let connect = async { drop(self.http.head(self.host.clone()).send().await) };
        let token = async { drop(self.token().await) };
        futures_util::join!(connect, token);
    }

    /// The environment `name`, to be asked about and reported to.
    pub fn environment<'a>(&'a self, name: &'a str) -> EnvironmentClient<'a> {
        EnvironmentClient { client: self, name, calls: AtomicU32::new(0) }
    }

    async fn token(&self) -> Result<SecretString, TokenError> {
        let mut token = self.token.lock().await;
        if let Some(token) = &*token {
            return Ok(token.clone());
        }
        let fetched = self.tokens.fetch().await?;
        *token = Some(fetched.clone());
        Ok(fetched)
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.host.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v2"]).extend(path);
        }
        url
    }
}

/// One environment of a server. Counts the requests that are made through it.
#[derive(Debug)]
pub struct EnvironmentClient<'a> {
    client: &'a Client,
    name: &'a str,
    calls: AtomicU32,
}

struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

impl EnvironmentClient<'_> {
    /// Requests made so far, repeated ones included.
    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The latest snapshot.
    ///
    /// # Errors
    /// The environment does not exist, or the server does not say.
    pub async fn latest_snapshot(&self) -> Result<Latest, ApiError> {
        let operation = format!("give the latest snapshot of \"{}\"", self.name);
        let path = ["snapshots", &self.client.org, self.name, "-1"];
        let answer = self.send(&operation, Method::GET, &path, None::<&()>).await;
        match answer {
            // The only sign that is known; its status is not.
            Err(ApiError::Rejected { message, .. } | ApiError::EnvironmentNotFound { message })
                if message.contains("len(snapshots) == 0") =>
            {
                Ok(Latest::NoSnapshotYet)
            }
            answer => Ok(Latest::Snapshot(parse(&operation, &answer?)?)),
        }
    }

    /// The environment itself.
    ///
    /// # Errors
    /// It does not exist, or the server does not say.
    pub async fn get(&self) -> Result<Environment, ApiError> {
        let operation = format!("describe environment \"{}\"", self.name);
        let path = ["environments", &self.client.org, self.name];
        parse(&operation, &self.send(&operation, Method::GET, &path, None::<&()>).await?)
    }

    /// Makes the environment.
    ///
    /// # Errors
    /// The server does not make it.
    pub async fn create(&self, request: &EnvironmentRequest) -> Result<(), ApiError> {
        let operation = format!("make environment \"{}\"", self.name);
        let path = ["environments", &self.client.org];
        self.send(&operation, Method::PUT, &path, Some(request)).await.map(drop)
    }

    /// Reports what runs in the environment.
    ///
    /// # Errors
    /// The server did not record it, or it is not known whether it did.
    pub async fn report(&self, report: &EcsReport) -> Result<Reported, ApiError> {
        let operation = format!("record what runs in \"{}\"", self.name);
        let path = ["environments", &self.client.org, self.name, "report", "ECS"];
        let before = self.calls();
        let answer = self.send(&operation, Method::PUT, &path, Some(report)).await?;
        Ok(Reported {
            created: answer.status == StatusCode::CREATED,
            repeated: self.calls() - before > 1,
        })
    }

    /// Sends a request until it is answered, but not forever; with a new token once, where the
    /// server refuses the one that it has.
    async fn send(
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

fn parse<T: DeserializeOwned>(operation: &str, answer: &Answer) -> Result<T, ApiError> {
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

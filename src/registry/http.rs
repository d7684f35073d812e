//! Requests to registries and their token servers.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url, redirect};
use tokio::time::{Instant, timeout_at};

use super::Error;
use super::error::{redacted_request, redacted_url};
use crate::api::is_loopback;
use crate::tls;
use envsnap_model::error_chain;

/// Of a response body. Registries accept no larger manifests.
const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

const MAX_REDIRECTS: usize = 5;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An HTTP client with one deadline for all of its requests. Follows redirects.
pub(super) struct Http {
    client: reqwest::Client,
    deadline: Instant,
}

/// One request.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) accept: &'a str,
    /// Sent to the scheme, host and port of `url` and to no other.
    pub(super) authorization: Option<HeaderValue>,
    /// A form.
    pub(super) body: Option<String>,
}

/// The complete response to a request, after redirects.
pub(super) struct Answer {
    /// Method and address of the last request, as errors show it.
    pub(super) request: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Http {
    /// A client for the registry at `url`, whose deadline is `timeout` from now. It uses the
    /// proxies of `HTTPS_PROXY` and similar variables, except for a loopback address.
    pub(super) fn new(url: &Url, timeout: Duration) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("envsnap/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls::client_config())
            // They are followed here, where it is known what may be sent where.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT);
        let client = if is_loopback(url) { client.no_proxy() } else { client };
        let client = client.build().map_err(|error| Error::BuildClient(error_chain(&error)))?;
        Ok(Self { client, deadline: Instant::now() + timeout })
    }

    /// Sends `request`, and follows redirects. `authorization` is not sent to other hosts, and a
    /// redirect of a form to another host is an error.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Answer, Error> {
        let origin = request.url.origin();
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            // Signatures of other hosts and the registry's credentials do not belong together.
            let authorization = request.authorization.as_ref().filter(|_| url.origin() == origin);
            let name = redacted_request(&request.method, &url);
            let answer = self.send_once(&request, &url, authorization, &name).await?;
            if !answer.status.is_redirection() {
                return Ok(answer);
            }
            url = redirect_target(&answer, &url)?;
            if request.body.is_some() && url.origin() != origin {
                let problem = format!("redirects credentials to {}", redacted_url(&url));
                return Err(Error::Insecure { registry: redacted_url(&request.url), problem });
            }
        }
        let problem = format!("more than {MAX_REDIRECTS} redirects");
        Err(Error::Unexpected { request: redacted_request(&request.method, &request.url), problem })
    }

    async fn send_once(
        &self,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<&HeaderValue>,
        name: &str,
    ) -> Result<Answer, Error> {
        let mut sent = self.client.request(request.method.clone(), url.clone());
        sent = sent.header(ACCEPT, request.accept);
        if let Some(authorization) = authorization {
            sent = sent.header(AUTHORIZATION, authorization);
        }
        if let Some(body) = &request.body {
            sent =
                sent.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body.clone());
        }
        let exchange = async {
            let response = sent.send().await.map_err(|error| no_answer(name, &error))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = read_body(response, name).await?;
            Ok(Answer { request: name.to_owned(), status, headers, body })
        };
        timeout_at(self.deadline, exchange).await.unwrap_or_else(|_| {
            Err(Error::NoAnswer {
                request: name.to_owned(),
                cause: "no complete answer came in time".to_owned(),
                remedy: "Try again, or allow more time with --timeout",
            })
        })
    }

    /// Awaits `work`, which is no request of this client. `None` if the deadline came first.
    pub(super) async fn before_deadline<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.deadline, work).await.ok()
    }
}

fn no_answer(request: &str, error: &reqwest::Error) -> Error {
    // The address is named already, and may hold a signature.
    let mut causes: Vec<String> = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    let what = if error.is_connect() { "cannot connect" } else { "the connection failed" };
    causes.insert(0, what.to_owned());
    causes.dedup();
    Error::NoAnswer {
        request: request.to_owned(),
        cause: causes.join(": "),
        remedy: "Check the registry's name, the network, HTTPS_PROXY and, of its certificate, \
                 SSL_CERT_FILE",
    }
}

async fn read_body(mut response: Response, request: &str) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| no_answer(request, &error))? {
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            let problem =
                format!("the answer is larger than {} MiB", MAX_RESPONSE_BYTES / 1024 / 1024);
            return Err(Error::Unexpected { request: request.to_owned(), problem });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The absolute URL in `Location`. Unencrypted after an encrypted one, or with a user name, it is
/// an error.
fn redirect_target(answer: &Answer, from: &Url) -> Result<Url, Error> {
    let unexpected =
        |problem: String| Error::Unexpected { request: answer.request.clone(), problem };
    let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
    let url = location.and_then(|location| from.join(location).ok());
    let url = url.filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
    let Some(url) = url else {
        return Err(unexpected(format!("{} without an address to go to", answer.status)));
    };
    let is_downgrade = from.scheme() == "https" && url.scheme() == "http";
    if is_downgrade || !url.username().is_empty() || url.password().is_some() {
        let why = if is_downgrade { "unencrypted" } else { "with a user name" };
        return Err(unexpected(format!("a redirect to {}, {why}", redacted_url(&url))));
    }
    Ok(url)
}

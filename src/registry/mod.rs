//! The digest of an image in a container registry (the OCI distribution specification, and Docker's
//! before it): that of the index if the image has one for several platforms.

mod answer;
mod challenge;
mod credentials;
mod error;
mod http;
mod reference;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use crate::api::is_loopback;
use crate::excerpt::excerpt;
use crate::redact;
use crate::snapshot::Fingerprint;
use answer::{digest_in, error_suffix, hashed_manifest, platform_digests};
use challenge::Challenge;
use credentials::Secret;
use error::redacted_url;
use http::{Answer, Http, Request};

pub use credentials::{CredentialSource, Credentials, CredentialsError};
pub use error::Error;
pub use reference::{ParseImageReferenceError, Reference};

/// `Accept` header of manifest requests. It includes indexes: without them, a registry would choose
/// the manifest of one platform.
const ACCEPT_MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// `Accept` header of all other requests.
const ACCEPT_JSON: &str = "application/json";

/// The digest of the manifest that `reference` names now. A digest in the reference itself is
/// returned without a request.
///
/// Credentials are looked for only if the registry asks for some. `timeout` is for everything
/// together: the registry, its token server, and the program that keeps the credentials.
///
/// # Errors
/// The registry cannot be reached in time, refuses, has no such image, or answers as no registry
/// does.
pub async fn digest(
    reference: &Reference,
    credentials: &CredentialSource,
    timeout: Duration,
) -> Result<Fingerprint, Error> {
    if let Some(digest) = reference.pinned() {
        return Ok(digest);
    }
    Registry::new(reference, credentials, timeout)?.fetch_digest().await
}

/// A manifest of an image, or an index of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The hash of its content.
    pub digest: Fingerprint,
    /// What an index lists for platforms, without what is attached to them, such as attestations of the
    /// build; `None` if it is no index.
    pub platforms: Option<Vec<Fingerprint>>,
}

/// The manifest or the index that `reference` names now, whose content has the digest that is returned.
///
/// # Errors
/// As of [`digest`].
pub async fn manifest(
    reference: &Reference,
    credentials: &CredentialSource,
    timeout: Duration,
) -> Result<Manifest, Error> {
    Registry::new(reference, credentials, timeout)?.fetch_manifest().await
}

/// The registry of one image.
struct Registry<'a> {
    reference: &'a Reference,
    source: &'a CredentialSource,
    /// Those of `source`, once the registry required them.
    credentials: Option<Credentials>,
    http: Http,
    url: Url,
}

impl<'a> Registry<'a> {
    fn new(
        reference: &'a Reference,
        source: &'a CredentialSource,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let host = reference.host();
        let url = format!("https://{host}/").parse::<Url>().map_err(|error| Error::Unexpected {
            request: host.to_owned(),
            problem: error.to_string(),
        })?;
        let http = Http::new(&url, timeout)?;
        Ok(Self { reference, source, credentials: None, http, url })
    }

    /// The response to the first request for the manifest, and the `Authorization` header for
    /// further ones if the registry requires authentication.
    async fn authenticate_and_request_manifest(
        &mut self,
        method: Method,
    ) -> Result<(Answer, Option<HeaderValue>), Error> {
        let answer = self.ping().await?;
        let mut authorization = match answer.status {
            StatusCode::OK => None,
            StatusCode::UNAUTHORIZED => Some(self.authorize(&answer).await?),
            _ => return Err(self.refused_error(&answer)),
        };
        let mut answer = self.send_manifest_request(method.clone(), authorization.clone()).await?;
        // Some require a token only for requests about an image.
        if answer.status == StatusCode::UNAUTHORIZED && authorization.is_none() {
            authorization = Some(self.authorize(&answer).await?);
            answer = self.send_manifest_request(method, authorization.clone()).await?;
        }
        Ok((answer, authorization))
    }

    /// Fails if the hash of the manifest is not the digest in the reference.
    async fn fetch_manifest(mut self) -> Result<Manifest, Error> {
        let (answer, _) = self.authenticate_and_request_manifest(Method::GET).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused_error(&answer));
        }
        let digest = hashed_manifest(&answer)?;
        if let Some(pinned) = self.reference.pinned().filter(|pinned| *pinned != digest) {
            let problem = format!("sha256:{digest} came back, not sha256:{pinned}");
            return Err(Error::Unexpected { request: answer.request, problem });
        }
        Ok(Manifest { digest, platforms: platform_digests(&answer.body) })
    }

    /// By HEAD; by GET if the response to HEAD has no digest.
    async fn fetch_digest(mut self) -> Result<Fingerprint, Error> {
        let (answer, authorization) = self.authenticate_and_request_manifest(Method::HEAD).await?;
        if answer.status == StatusCode::OK
            && let Some(digest) = digest_in(&answer)?
        {
            return Ok(digest);
        }
        // It would count against the limit once more.
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(self.refused_error(&answer));
        }
        // A registry that knows no HEAD, one that names no digest, or the reason of a refusal.
        let answer = self.send_manifest_request(Method::GET, authorization).await?;
        match answer.status {
            StatusCode::OK => hashed_manifest(&answer),
            _ => Err(self.refused_error(&answer)),
        }
    }

    /// The response to `GET /v2/`, which shows whether this is a registry, and which authentication
    /// it requires. A registry on a loopback address that does not answer over HTTPS is asked over
    /// HTTP, as by Docker.
    async fn ping(&mut self) -> Result<Answer, Error> {
        let encrypted = self.get("v2/", None).await;
        let Err(Error::NoAnswer { request, cause, remedy }) = encrypted else { return encrypted };
        if !is_loopback(&self.url) || self.url.set_scheme("http").is_err() {
            return Err(Error::NoAnswer { request, cause, remedy });
        }
        self.get("v2/", None).await.map_err(|error| match error {
            Error::NoAnswer { request: plain, cause: without, remedy } => {
                let cause = format!("{without} (and before, {request}: {cause})");
                Error::NoAnswer { request: plain, cause, remedy }
            }
            error => error,
        })
    }

    async fn get(&self, path: &str, authorization: Option<HeaderValue>) -> Result<Answer, Error> {
        self.send(Method::GET, path, ACCEPT_JSON, authorization).await
    }

    async fn send_manifest_request(
        &self,
        method: Method,
        authorization: Option<HeaderValue>,
    ) -> Result<Answer, Error> {
        let Reference { repository, version, .. } = self.reference;
        let version = version.to_string();
        let path = format!("v2/{repository}/manifests/{}", &version[1..]);
        self.send(method, &path, ACCEPT_MANIFESTS, authorization).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        authorization: Option<HeaderValue>,
    ) -> Result<Answer, Error> {
        let mut url = self.url.clone();
        url.set_path(path);
        self.http.send(Request { method, url, accept, authorization, body: None }).await
    }

    /// The `Authorization` header for further requests, by the challenge in the 401 response
    /// `answer`.
    async fn authorize(&mut self, answer: &Answer) -> Result<HeaderValue, Error> {
        let Some(challenge) = Challenge::from_headers(&answer.headers) else {
            let problem = "the answer was 401, without a challenge that is known (Bearer or Basic)";
            let request = answer.request.clone();
            return Err(Error::Unexpected { request, problem: problem.to_owned() });
        };
        let found = self.http.before_deadline(self.source.find(self.reference)).await;
        self.credentials = found.ok_or_else(|| Error::NoAnswer {
            request: format!("docker-credential helper for {}", self.reference.credentials_key()),
            cause: "it did not answer in time".to_owned(),
            remedy: "Try again, or allow more time with --timeout",
        })??;
        match challenge {
            Challenge::Bearer { realm, service, scope } => {
                self.request_token(&realm, service.as_deref(), scope.as_deref()).await
            }
            Challenge::Basic => match self.credentials.as_ref().map(|found| &found.secret) {
                Some(Secret::Password { username, password }) => {
                    basic_auth_header(username, password.expose_secret(), &self.reference.registry)
                }
                Some(Secret::IdentityToken(_)) | None => {
                    Err(Error::NoCredentials { registry: self.reference.registry.clone() })
                }
            },
        }
    }

    /// Requests a token that may pull the image from the token server at the URL `realm`.
    async fn request_token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<HeaderValue, Error> {
        let mut url = self.token_server_url(realm)?;
        let pull = format!("repository:{}:pull", self.reference.repository);
        let mut parameters = vec![("scope", scope.unwrap_or(&pull))];
        parameters.extend(service.map(|service| ("service", service)));

        let (mut method, mut body, mut authorization) = (Method::GET, None, None);
        match self.credentials.as_ref().map(|found| &found.secret) {
            Some(Secret::IdentityToken(token)) => {
                parameters.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "envsnap"),
                    ("refresh_token", token.expose_secret()),
                ]);
                method = Method::POST;
                let mut form = url.clone();
                form.query_pairs_mut().clear().extend_pairs(parameters);
                body = form.query().map(str::to_owned);
            }
            secret => {
                if let Some(Secret::Password { username, password }) = secret {
                    let password = password.expose_secret();
                    authorization =
                        Some(basic_auth_header(username, password, &self.reference.registry)?);
                }
                url.query_pairs_mut().extend_pairs(parameters);
            }
        }
        let request = Request { method, url, accept: ACCEPT_JSON, authorization, body };
        let answer = self.http.send(request).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused_error(&answer));
        }
        bearer_auth_header(&answer)
    }

    /// Parses the URL of a token server. Credentials are sent there, so it has to be HTTPS; HTTP is
    /// accepted on a loopback address if the registry uses it as well.
    fn token_server_url(&self, realm: &str) -> Result<Url, Error> {
        let insecure = |problem: String| Error::Insecure {
            registry: redacted_url(&self.url),
            problem: format!("names the token server {problem}"),
        };
        let Ok(url) = realm.parse::<Url>() else {
            return Err(insecure(format!("\"{}\", which is no address", excerpt(realm))));
        };
        let is_plain = url.scheme() == "http" && self.url.scheme() == "http" && is_loopback(&url);
        if !url.has_host() || !(url.scheme() == "https" || is_plain) {
            return Err(insecure(format!("{}, which is not encrypted", redacted_url(&url))));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(insecure(format!("{} with a user name", redacted_url(&url))));
        }
        Ok(url)
    }

    /// The error for a response whose status is no success, with the registry's message and a
    /// remedy.
    fn refused_error(&self, answer: &Answer) -> Error {
        let registry = &self.reference.registry;
        let remedy = match (answer.status, &self.credentials) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(credentials)) => {
                format!(
                    "Check the credentials {credentials}, that they may pull {}, and its name",
                    self.reference
                )
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, None) => format!(
                "{} does not exist or is not public. Check its name, or sign in with docker login \
                 {registry}, or give --registry-username and KOSLI_REGISTRY_PASSWORD",
                self.reference
            ),
            (StatusCode::NOT_FOUND, _) => {
                format!("Check the name and the tag of {}, and that it was pushed", self.reference)
            }
            (StatusCode::TOO_MANY_REQUESTS, credentials) => {
                let wait = retry_after_phrase(&answer.headers);
                let sign_in = if credentials.is_none() {
                    format!(", or sign in with docker login {registry}, which raises the limit")
                } else {
                    String::new()
                };
                format!("Try again {wait}{sign_in}")
            }
            (status, _) if status.is_server_error() => "Try again later".to_owned(),
            _ => "Check that this is a container registry, and what proxies are in front of it"
                .to_owned(),
        };
        Error::Refused {
            request: answer.request.clone(),
            status: answer.status,
            message: error_suffix(&answer.body),
            remedy,
        }
    }
}

/// `in N s` by the `Retry-After` header, or `later`.
fn retry_after_phrase(headers: &HeaderMap) -> String {
    let value = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    match value.and_then(|value| value.trim().parse::<u32>().ok()) {
        Some(seconds) => format!("in {seconds} s"),
        None => "later".to_owned(),
    }
}

fn basic_auth_header(username: &str, password: &str, registry: &str) -> Result<HeaderValue, Error> {
    // The server would read another name and another password.
    if username.contains(':') {
        let problem = "takes no user name with a colon".to_owned();
        return Err(Error::Insecure { registry: registry.to_owned(), problem });
    }
    sensitive_header(&format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
}

/// Marked as sensitive, so that no debug output contains it.
fn sensitive_header(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::BuildClient("a token with characters that no header holds".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The `Authorization` header with the token in the response of a token server.
fn bearer_auth_header(answer: &Answer) -> Result<HeaderValue, Error> {
    #[derive(Deserialize)]
    struct TokenResponse {
        #[serde(default)]
        token: Option<String>,
        #[serde(default)]
        access_token: Option<String>,
    }
    let issued = serde_json::from_slice::<TokenResponse>(&answer.body).ok();
    let token = issued
        .and_then(|issued| issued.token.filter(|token| !token.is_empty()).or(issued.access_token));
    let unexpected = || Error::Unexpected {
        request: answer.request.clone(),
        problem: "the answer holds no token".to_owned(),
    };
    let token = token.filter(|token| !token.is_empty()).ok_or_else(unexpected)?;
    redact::register_registry_credential(&token.as_str().into());
    sensitive_header(&format!("Bearer {token}")).map_err(|_| unexpected())
}

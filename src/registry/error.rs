//! Errors of requests to a registry.

use reqwest::{Method, StatusCode, Url};

use super::CredentialsError;

/// Why a registry returned no digest or manifest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client could not be set up.
    #[error("cannot set up an HTTP client: {0}")]
    BuildClient(String),
    /// The configured credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// No complete answer came back.
    #[error("{request}: {cause}. {remedy}")]
    NoAnswer {
        /// Method and address.
        request: String,
        /// How it failed.
        cause: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The registry, or its token server, refused.
    #[error("{request}: the answer was {status}{message}. {remedy}")]
    Refused {
        /// Method and address.
        request: String,
        /// The status of the answer.
        status: StatusCode,
        /// The registry's message, after a colon; or empty.
        message: String,
        /// What to do about it.
        remedy: String,
    },
    /// The answer is none that a registry gives.
    #[error(
        "{request}: {problem}. Check that this is a container registry, and what proxies are in front of it"
    )]
    Unexpected {
        /// Method and address.
        request: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// The registry wants credentials in a way that would show them to others.
    #[error(
        "{registry} {problem}, so the request was not sent. Report it to the registry's operator"
    )]
    Insecure {
        /// Which registry.
        registry: String,
        /// What it wants.
        problem: String,
    },
    /// A password is wanted, and there is none.
    #[error(
        "{registry} asks for a user name and a password, and none are known. Sign in with \
         docker login {registry}, or give --registry-username and KOSLI_REGISTRY_PASSWORD"
    )]
    NoCredentials {
        /// Which registry.
        registry: String,
    },
}

/// Method and URL for error messages.
pub(super) fn redacted_request(method: &Method, url: &Url) -> String {
    format!("{method} {}", redacted_url(url))
}

/// Without the query, which may contain a signature, the fragment, user name and password.
pub(super) fn redacted_url(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Neither fails for an address with a host.
    let _without = url.set_password(None).and_then(|()| url.set_username(""));
    url.to_string()
}

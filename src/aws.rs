//! The AWS configuration, and the HTTP client of the AWS SDK.
//!
//! The SDK's own client would bring a second HTTP stack and TLS configuration beside that of the
//! snapshot server's client, and read every root certificate again.

use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

use envsnap_model::error_chain;

use crate::renewable::Renewable;
use crate::tls;

/// For a TCP and TLS connection to an AWS service.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The region, credentials and other settings of the process, as the AWS CLI finds them.
///
/// # Errors
/// The TLS library could not be set up.
pub async fn load_config() -> Result<SdkConfig, BuildClientError> {
    let http = AwsHttpClient::new()?;
    Ok(aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await)
}

/// The HTTP client for AWS could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for AWS cannot be set up: {0}")]
pub struct BuildClientError(String);

/// Sends the SDK's requests with the HTTP client and the TLS configuration of the rest of the
/// process.
#[derive(Debug, Clone)]
pub struct AwsHttpClient {
    http: Arc<Renewable<reqwest::Client>>,
    proxied: bool,
}

impl AwsHttpClient {
    /// A client that uses the proxy of the environment variables, if there is one.
    ///
    /// # Errors
    /// The TLS library could not be set up.
    pub fn new() -> Result<Self, BuildClientError> {
        Self::build(true)
    }

    /// A client for a service on this machine.
    ///
    /// # Errors
    /// The TLS library could not be set up.
    pub fn without_proxy() -> Result<Self, BuildClientError> {
        Self::build(false)
    }

    fn build(proxied: bool) -> Result<Self, BuildClientError> {
        let http =
            build_reqwest_client(proxied).map_err(|error| BuildClientError(error_chain(&error)))?;
        Ok(Self { http: Arc::new(Renewable::new(http)), proxied })
    }

    /// Replaces the client of a failed request, with its pooled connections: if one of them died while
    /// the process was frozen, the others may have too.
    fn replace_client(&self, failed: &Arc<reqwest::Client>) {
        if let Err(error) = self.http.renew(failed, |_| build_reqwest_client(self.proxied)) {
            tracing::warn!(%error, "the connections to AWS stay as they are");
        }
    }
}

fn build_reqwest_client(proxied: bool) -> reqwest::Result<reqwest::Client> {
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config())
        // The SDK signs each request for one address.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT);
    if proxied { http.build() } else { http.no_proxy().build() }
}

impl HttpClient for AwsHttpClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        // Counted from the request on, including the connection. Without it, the SDK's own timeouts
        // end a request.
        let first_byte = settings.read_timeout();
        SharedHttpConnector::new(Connector { client: self.clone(), first_byte })
    }
}

/// Sends requests with the client, and limits the wait for a response to the SDK's read timeout.
#[derive(Debug)]
struct Connector {
    client: AwsHttpClient,
    first_byte: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (client, first_byte) = (self.client.clone(), self.first_byte);
        HttpConnectorFuture::new(async move {
            let http = client.http.get();
            let address = address_of_service(request.uri());
            let answer = send(&http, request, first_byte, &address).await;
            if matches!(&answer, Err(error) if !error.is_user()) {
                client.replace_client(&http);
            }
            answer
        })
    }
}

/// `first_byte` is the timeout until the response begins, connecting included. `address` is for errors.
async fn send(
    http: &reqwest::Client,
    request: HttpRequest,
    first_byte: Option<Duration>,
    address: &str,
) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let Some(body) = body.bytes() else {
        return Err(ConnectorError::user("a request's body is a stream".into()));
    };
    let request = http::Request::from_parts(parts, body.to_vec());
    let request =
        reqwest::Request::try_from(request).map_err(|error| ConnectorError::user(error.into()))?;
    let answer = http.execute(request);
    let answer = match first_byte {
        None => answer.await,
        Some(limit) => tokio::time::timeout(limit, answer).await.map_err(|_| {
            ConnectorError::timeout(format!("{address}: no answer began in time").into())
        })?,
    };
    let answer: http::Response<reqwest::Body> =
        answer.map_err(|error| connector_error(error, address))?.into();
    HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
        .map_err(|error| ConnectorError::other(error.into(), None))
}

/// Scheme, host and port of a URL, for errors; `AWS` if the URL cannot be parsed.
fn address_of_service(url: &str) -> String {
    let url = url.parse::<reqwest::Url>();
    url.map_or_else(|_| "AWS".to_owned(), |url| url.origin().ascii_serialization())
}

/// A request without a response. It names the service's address, which the SDK's own errors do not.
#[derive(Debug, thiserror::Error)]
#[error("{address}")]
struct NoResponseError {
    address: String,
    source: reqwest::Error,
}

fn connector_error(error: reqwest::Error, address: &str) -> ConnectorError {
    let (is_timeout, is_builder) = (error.is_timeout(), error.is_builder());
    let error = NoResponseError { address: address.to_owned(), source: error.without_url() }.into();
    if is_timeout {
        ConnectorError::timeout(error)
    } else if is_builder {
        ConnectorError::user(error)
    } else {
        ConnectorError::io(error)
    }
}

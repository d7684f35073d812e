//! A server in this process, which is called without a connection.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{Request, Response};

/// Answers requests in this process. Clones share it.
#[derive(Clone)]
pub struct LocalServer(Arc<Handler>);

type Handler = dyn Fn(Request<Vec<u8>>) -> BoxFuture<'static, Response<Vec<u8>>> + Send + Sync;

impl LocalServer {
    /// A server that answers each request with `answer`.
    pub fn new(
        answer: impl Fn(Request<Vec<u8>>) -> BoxFuture<'static, Response<Vec<u8>>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Arc::new(answer))
    }

    /// Passes a request of the HTTP client to the handler, without a connection.
    pub(super) async fn answer(&self, request: reqwest::Request) -> reqwest::Response {
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default().to_vec();
        let mut local = Request::new(body);
        *local.method_mut() = request.method().clone();
        // Every URL is a URI.
        *local.uri_mut() = request.url().as_str().parse().unwrap_or_default();
        local.headers_mut().clone_from(request.headers());
        (self.0)(local).await.into()
    }
}

impl fmt::Debug for LocalServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalServer")
    }
}

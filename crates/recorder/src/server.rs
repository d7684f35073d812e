//! The router, and the recorder without a network.

use std::fmt;
use std::io;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

use crate::domain::Error;
use crate::http::access::{self, Access};
use crate::http::handlers::Operations;
use crate::http::mark_counts::MarkCounts;
use crate::http::metrics::{Metrics, MetricsError};
use crate::http::request::BodyMemory;
use crate::http::responses::{self, ResponseMemory};
use crate::http::{error, handlers, request_log, serving};
use crate::signing::HeadSigner;
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;
use crate::web;

/// The API and the page over `store`, with `GET /ready` and `GET /metrics` for operators.
fn router<S: Store + ProvenanceStore>(
    store: S,
    access: Access,
    signer: Option<HeadSigner>,
    metrics: Metrics,
) -> Router {
    let mark_counts = MarkCounts::default();
    let pages = web::pages(&access, mark_counts.clone()).with_state(store.clone());
    let operations = Operations::new(store.clone(), metrics.clone(), mark_counts);
    let panicked = metrics.clone();
    handlers::api(&access, signer)
        .with_state(store)
        .merge(handlers::operations(&access).with_state(operations))
        .layer(map_response(error::errors_as_json))
        .merge(pages)
        .fallback(not_found)
        .layer(from_fn(access::refuse_cross_site_writes))
        .layer(from_fn_with_state(access, access::require_local_host))
        .layer(Extension(BodyMemory::default()))
        .layer(from_fn_with_state(ResponseMemory::default(), responses::limit_memory))
        .layer(from_fn(serving::timeout_request))
        // The panic's own message has the location.
        .layer(CatchPanicLayer::custom(move |_| {
            panicked.panicked();
            Error::Fault.into_response()
        }))
        .layer(map_response(responses::add_date))
        .layer(from_fn_with_state(metrics, request_log::log_request))
}

/// 404 as JSON below `/api`, and as a page elsewhere.
async fn not_found(address: Uri) -> Response {
    if address.path().starts_with("/api") {
        Error::NoSuchAddress.into_response()
    } else {
        web::not_found().await
    }
}

/// A recorder that is called within the process, without a connection. Clones share it.
#[derive(Clone)]
pub struct LocalRecorder(TowerToHyperService<Router>);

impl LocalRecorder {
    /// A recorder over `store`, without access control.
    ///
    /// # Errors
    /// The metrics cannot be registered.
    pub fn new<S: Store + ProvenanceStore>(store: S) -> Result<Self, MetricsError> {
        Ok(Self(TowerToHyperService::new(router(store, Access::open(), None, Metrics::new()?))))
    }

    /// The response to a request.
    pub async fn answer(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        // The router never fails.
        let Ok(response) = self.0.call(request.map(Body::from)).await;
        let (head, body) = response.into_parts();
        let Ok(body) = to_bytes(body, usize::MAX).await else {
            let mut response = Response::new(Vec::new());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return response;
        };
        Response::from_parts(head, body.into())
    }
}

impl fmt::Debug for LocalRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalRecorder")
    }
}

/// Serves requests until `shutdown` completes and the requests in progress are answered, for at
/// most five more seconds. Heads are signed if there is a `signer`.
///
/// # Errors
/// Other hosts can reach `listener` and `access` requires no token; or its socket fails.
pub async fn serve<S: Store + ProvenanceStore>(
    listener: TcpListener,
    store: S,
    access: Access,
    signer: Option<HeadSigner>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    access.may_listen_on(listener.local_addr()?).map_err(io::Error::other)?;
    let metrics = Metrics::new().map_err(io::Error::other)?;
    let router = router(store, access, signer, metrics.clone());
    serving::serve(listener, router, &metrics, shutdown).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::SqliteStore;

    /// The status and the body of the response.
    async fn answer(recorder: &LocalRecorder, request: Request<Vec<u8>>) -> (u16, String) {
        let response = recorder.answer(request).await;
        let status = response.status().as_u16();
        (status, String::from_utf8(response.into_body()).unwrap())
    }

    #[tokio::test]
    async fn page_of_another_website_can_make_a_browser_read_but_not_write() {
        let recorder = LocalRecorder::new(SqliteStore::in_memory().unwrap()).unwrap();
        let request = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
            let mut request = Request::builder().method(method).uri(path);
            for (name, value) in headers.iter().chain(&[("host", "127.0.0.1:8080")]) {
                request = request.header(*name, *value);
            }
            request.body(body.as_bytes().to_vec()).unwrap()
        };
        let flow = r#"{"name": "web", "template": ["artifact"], "visibility": "private"}"#;
        for foreign in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let headers = [foreign, ("content-type", "text/plain")];
            for (method, path) in [
                ("PUT", "/api/v2/flows/acme"),
                ("POST", "/api/v2/artifacts/acme/web"),
                ("POST", "/api/v2/attestations/acme/web/trail/1/generic"),
                ("POST", "/acme/flows"),
            ] {
                let (status, body) = answer(&recorder, request(method, path, &headers, flow)).await;
                assert_eq!(status, 403, "{method} {path} {foreign:?} {body}");
                assert!(body.contains("of another website"), "{body}");
            }
            let (status, _) = answer(&recorder, request("GET", "/", &headers, "")).await;
            assert_eq!(status, 200, "a link from elsewhere works");
        }
        for own in [&[][..], &[("origin", "http://127.0.0.1:8080")], &[("sec-fetch-site", "none")]]
        {
            let (status, body) =
                answer(&recorder, request("PUT", "/api/v2/flows/acme", own, flow)).await;
            assert!(matches!(status, 200 | 201), "{status} {body}");
        }
    }
}

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
use crate::http::metrics::{Metrics, MetricsError};
use crate::http::request::BodyMemory;
use crate::http::responses::{self, ResponseMemory};
use crate::http::rogue_counts::RogueCounts;
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
    let rogue_counts = RogueCounts::default();
    let pages = web::pages(&access, rogue_counts.clone()).with_state(store.clone());
    let operations = Operations::new(store.clone(), metrics.clone(), rogue_counts);
    let panicked = metrics.clone();
    handlers::api(&access, signer)
        .with_state(store)
        .merge(handlers::operations(&access).with_state(operations))
        .layer(map_response(error::errors_as_json))
        .merge(pages)
        .fallback(not_found)
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

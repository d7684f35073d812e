//! A recorder that answers: the API and the page over one store.

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
use crate::http::{error, handlers, request_log, serving};
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;
use crate::web;

/// The API and the page over `store` for those whom `access` lets in, and what the operator asks:
/// `GET /ready` and `GET /metrics`.
fn router<S: Store + ProvenanceStore>(store: S, access: Access, metrics: Metrics) -> Router {
    let pages = web::pages(&access).with_state(store.clone());
    let panicked = metrics.clone();
    handlers::api(&access)
        .with_state(store.clone())
        .merge(handlers::operations(&access).with_state(Operations::new(store, metrics.clone())))
        .layer(map_response(error::errors_as_json))
        .merge(pages)
        .fallback(not_found)
        .layer(from_fn_with_state(access, access::require_local_host))
        .layer(Extension(BodyMemory::default()))
        .layer(from_fn_with_state(ResponseMemory::default(), responses::limit_memory))
        .layer(from_fn(serving::timeout_request))
        // Where it happened is in the line that the panic itself writes.
        .layer(CatchPanicLayer::custom(move |_| {
            panicked.panicked();
            Error::Fault.into_response()
        }))
        .layer(map_response(responses::add_date))
        .layer(from_fn_with_state(metrics, request_log::log_request))
}

/// A program is told in the API's form that there is nothing, and a person on a page.
async fn not_found(address: Uri) -> Response {
    if address.path().starts_with("/api") {
        Error::NoSuchAddress.into_response()
    } else {
        web::not_found().await
    }
}

/// A recorder that is asked in this process, without a connection. Clones share it.
#[derive(Clone)]
pub struct LocalRecorder(TowerToHyperService<Router>);

impl LocalRecorder {
    /// A recorder over `store`, which lets everyone do everything.
    ///
    /// # Errors
    /// What is counted cannot be set up.
    pub fn new<S: Store + ProvenanceStore>(store: S) -> Result<Self, MetricsError> {
        Ok(Self(TowerToHyperService::new(router(store, Access::open(), Metrics::new()?))))
    }

    /// The response to a request.
    pub async fn answer(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        // The router answers everything.
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

/// Answers requests until `shutdown` is over and every request that had begun is answered, or had
/// five seconds to be.
///
/// # Errors
/// `listener` is open to others than this host and `access` asks for no token; or its socket
/// fails.
pub async fn serve<S: Store + ProvenanceStore>(
    listener: TcpListener,
    store: S,
    access: Access,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    access.may_listen_on(listener.local_addr()?).map_err(io::Error::other)?;
    let metrics = Metrics::new().map_err(io::Error::other)?;
    let router = router(store, access, metrics.clone());
    serving::serve(listener, router, &metrics, shutdown).await;
    Ok(())
}

//! The embedded snapshot server: the part of the server's API that the reporter and its readers
//! need, on one SQLite file.
//!
//! A request goes one way: `access` lets it in, `request` reads its body, `routes` asks the
//! `store`, which decides with `record` what a report changes, and `document` writes what is
//! stored in the API's form; or `page` shows it to a person.

mod access;
mod answer;
mod chain;
mod document;
mod log_writer;
mod metrics;
mod open_files;
mod page;
mod record;
mod request;
mod request_log;
mod responses;
mod routes;
mod serving;
mod store;

use std::io;

use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

pub use access::{Access, AccessError, TokenLineProblem};
pub use chain::{Link, NotALink};
pub(crate) use envsnap_model::expression::{Interval, Snappish};
pub use envsnap_recorder::domain::{Clock, ClockError};
pub use log_writer::{LogWriter, dropped_log_lines};
pub use metrics::MetricsError;
pub use open_files::raise_open_files_limit;
pub use record::Running;
pub use store::{
    BackedUp, NotBackedUp, NotVerified, Renamed, Reported, Store, StoreError, Verified, backup,
    verify,
};

use metrics::Metrics;
use request::BodyMemory;
use responses::ResponseMemory;

/// The server's API and its page over `store`, for whom `access` lets in, and what its operator
/// asks: `GET /ready` and `GET /metrics`.
fn router(store: Store, access: Access, metrics: Metrics) -> Router {
    let pages = page::pages(&access).with_state(store.clone());
    let panicked = metrics.clone();
    routes::api(&access)
        .with_state(store.clone())
        .merge(routes::operations(&access).with_state((store, metrics.clone())))
        .layer(map_response(answer::in_json))
        .merge(pages)
        .fallback(nowhere)
        .layer(from_fn_with_state(access, access::by_own_name))
        .layer(Extension(BodyMemory::default()))
        .layer(from_fn_with_state(ResponseMemory::default(), responses::limit_memory))
        .layer(from_fn(serving::in_time))
        // Where it happened is in the line that the panic itself writes.
        .layer(CatchPanicLayer::custom(move |_| {
            panicked.panicked();
            answer::Refusal::fault().into_response()
        }))
        .layer(map_response(responses::date))
        .layer(from_fn_with_state(metrics, request_log::log_request))
}

/// What is not there is told to a program in the API's form, and to a person on a page.
async fn nowhere(address: Uri) -> Response {
    if address.path().starts_with("/api") {
        answer::not_found().into_response()
    } else {
        page::not_found().await
    }
}

/// Answers requests until `shutdown` is over and every request that had begun is answered, or had
/// five seconds to be.
///
/// # Errors
/// `listener` is open to others than this host and `access` asks for no token; or its socket
/// fails.
pub async fn serve(
    listener: TcpListener,
    store: Store,
    access: Access,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    access.may_listen_on(listener.local_addr()?).map_err(io::Error::other)?;
    store.warn_if_clock_is_behind().await;
    let metrics = Metrics::new().map_err(io::Error::other)?;
    let router = router(store, access, metrics.clone());
    serving::serve(listener, router, &metrics, shutdown).await;
    Ok(())
}

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
mod metrics;
mod page;
mod record;
mod request;
mod request_log;
mod routes;
mod serving;
mod store;

use std::io;

use axum::Router;
use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;

pub use access::{Access, AccessError};
pub use chain::{Link, NotALink};
pub(crate) use envsnap_model::expression::{Interval, Snappish};
pub use envsnap_recorder::domain::{Clock, ClockError};
pub use metrics::MetricsError;
pub use store::{
    BackedUp, NotBackedUp, NotVerified, Renamed, Reported, Store, StoreError, Verified, backup,
    verify,
};

use metrics::Metrics;

/// The server's API and its page over `store`, for whom `access` lets in, and what its operator
/// asks: `GET /ready` and `GET /metrics`.
fn router(store: Store, access: Access) -> Result<Router, MetricsError> {
    let metrics = Metrics::new()?;
    let pages = page::pages(access.clone()).with_state(store.clone());
    Ok(routes::api(access.clone())
        .with_state(store.clone())
        .merge(routes::operations(access.clone()).with_state((store, metrics.clone())))
        .layer(map_response(answer::in_json))
        .merge(pages)
        .fallback(nowhere)
        .layer(from_fn_with_state(access, access::by_own_name))
        .layer(from_fn(serving::in_time))
        .layer(from_fn_with_state(metrics, request_log::written_down)))
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
    let router = router(store, access).map_err(io::Error::other)?;
    serving::serve(listener, router, shutdown).await;
    Ok(())
}

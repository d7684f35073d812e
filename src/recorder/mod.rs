//! The embedded snapshot server: the part of the server's API that the reporter and its readers
//! need, on one SQLite file.
//!
//! A request goes one way: `access` lets it in, `request` reads its body, `routes` asks the
//! `store`, which decides with `record` what a report changes, and `document` writes what is
//! stored in the API's form.

mod access;
mod answer;
mod chain;
mod clock;
mod document;
mod expression;
mod record;
mod request;
mod routes;
mod store;

use std::future::IntoFuture as _;
use std::io;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use access::{Access, AccessError};
pub use chain::{Link, NotALink};
pub use clock::Clock;
pub use store::{
    BackedUp, NotBackedUp, NotVerified, Renamed, Store, StoreError, Verified, backup, verify,
};

/// The server's API over `store`, for whom `access` lets in.
pub fn router(store: Store, access: Access) -> Router {
    routes::api(access)
        .fallback(answer::not_found)
        .layer(axum::middleware::map_response(answer::in_json))
        .with_state(store)
}

/// How long requests that had begun may go on after `shutdown`.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

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
    let (stopping, stopped) = oneshot::channel::<()>();
    let serving = axum::serve(listener, router(store, access))
        .with_graceful_shutdown(async {
            shutdown.await;
            drop(stopping);
        })
        .into_future();
    let overdue = async {
        // It is only ever dropped: by the shutdown, or by a server that failed.
        drop(stopped.await);
        tokio::time::sleep(LAST_REQUESTS).await;
    };
    tokio::select! {
        served = serving => served,
        () = overdue => Ok(()),
    }
}

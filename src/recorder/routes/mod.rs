//! The API's calls.

mod environments;
mod snapshots;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, put};

use super::access::{Access, guard};
use super::store::Store;

/// Every call of the API, each behind `access`.
pub(super) fn api(access: Access) -> Router<Store> {
    let calls = Router::new()
        .route("/environments/{org}", put(environments::save).get(environments::list))
        .route("/environments/{org}/{environment}", get(environments::show))
        .route("/environments/{org}/{environment}/report/ECS", put(snapshots::report))
        .route("/snapshots/{org}/{environment}/{expression}", get(snapshots::show))
        .route_layer(from_fn_with_state(access, guard));
    Router::new().nest("/api/v2", calls)
}

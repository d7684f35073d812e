//! The API's calls.

mod comparison;
mod environments;
mod history;
mod operations;
mod paging;
mod snapshots;

use axum::Router;
use axum::http::HeaderValue;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{get, put};

use super::access::{Access, Action, Guard, guard};
use super::metrics::Metrics;
use super::store::Store;
use crate::api::wire::{ACCEPTS, IF_MATCH};

pub(super) use comparison::found;
pub(super) use snapshots::no_snapshot;

/// Every call of the API, each behind `access`.
pub(super) fn api(access: &Access) -> Router<Store> {
    let guarded = |calls: Router<Store>, get, put| {
        calls.route_layer(from_fn_with_state(Guard::new(access, get, put), guard))
    };
    let environment = "/environments/{org}/{environment}";
    let calls = Router::new()
        .route(&format!("{environment}/rename"), put(environments::rename))
        .route(&format!("{environment}/archive"), put(environments::archive))
        .route(&format!("{environment}/events"), get(history::events))
        .route("/snapshots/{org}/{environment}", get(history::snapshots))
        .route("/snapshots/{org}/{environment}/{expression}", get(snapshots::show))
        .route("/env-diff/{org}", get(comparison::compare));
    let described = Router::new().route(environment, get(environments::show));
    let saved =
        Router::new().route("/environments/{org}", put(environments::save).get(environments::list));
    let reported =
        Router::new().route(&format!("{environment}/report/ECS"), put(snapshots::report));
    let calls = guarded(calls, Action::Read, Action::Write)
        .merge(guarded(described, Action::ReadForReport, Action::Write))
        .merge(guarded(saved, Action::Read, Action::SaveEnvironment))
        .merge(guarded(reported, Action::Read, Action::Report))
        .layer(map_response(with_extensions));
    Router::new().nest("/api/v2", calls)
}

/// Announces what the recorder takes beyond the API.
async fn with_extensions(mut response: Response) -> Response {
    response.headers_mut().insert(ACCEPTS, HeaderValue::from_static(IF_MATCH));
    response
}

/// The path of a report, as it is matched.
pub(super) const REPORT: &str = "/api/v2/environments/{org}/{environment}/report/ECS";

/// What an operator asks. Metrics name the environments of every organization: where there are
/// tokens, they take one for `org=*`.
pub(super) fn operations(access: &Access) -> Router<(Store, Metrics)> {
    Router::new()
        .route("/metrics", get(operations::metrics))
        .route_layer(from_fn_with_state(Guard::new(access, Action::Read, Action::Write), guard))
        .route("/ready", get(operations::ready))
}

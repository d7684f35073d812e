//! The page: what is recorded, shown to people. It works without the script, and fetches nothing
//! from anywhere else.

mod artifact;
mod assets;
mod comparison;
mod environment;
mod frame;
mod history;
mod home;
mod pager;
mod problem;
mod provenance;
mod snapshot;
mod timeline;
mod view;
mod when;

pub(crate) use when::utc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use crate::domain::Error;
use crate::http::access::{Access, Action, Guard, authorize_any_org, guard};
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;

/// Every page, each behind `access`.
pub(crate) fn pages<S: Store + ProvenanceStore>(access: &Access) -> Router<S> {
    let home = Router::new()
        .route("/", get(home::all::<S>))
        .route_layer(from_fn_with_state(access.clone(), authorize_any_org));
    Router::new()
        .route("/{org}/environments", get(home::of_org::<S>))
        .route("/{org}/environments/{environment}", get(environment::show::<S>))
        .route("/{org}/environments/{environment}/snapshots/{expression}", get(snapshot::show::<S>))
        .route("/{org}/compare", get(comparison::show::<S>))
        .merge(provenance::pages())
        .route_layer(from_fn_with_state(Guard::new(access, Action::Read, Action::Write), guard))
        .merge(home)
        .merge(assets::assets())
        .layer(map_response(problem::in_html))
        .layer(map_response(shielded))
}

/// What a browser is told of every answer. Nothing but this recorder's own style and script may be
/// used, so that a name that slipped through as markup could do nothing.
const SHIELD: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // What a token opened is not kept for who has none.
    (header::CACHE_CONTROL, "private, no-cache"),
];

/// Nothing is at this address.
pub(crate) async fn not_found() -> Response {
    shielded(problem::in_html(Error::NoSuchAddress.into_response()).await).await
}

async fn shielded(mut response: Response) -> Response {
    for (name, value) in SHIELD {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

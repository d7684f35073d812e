//! The pages for people. They work without the script, and load nothing from other hosts.

mod activity;
mod artifact_name;
mod assets;
mod at;
mod comparison;
mod environment;
mod error_page;
mod form;
mod frame;
mod history;
mod home;
mod org_name;
mod pager;
mod provenance;
mod seen;
mod snapshot;
mod time;
mod timeline;
mod view;

pub(crate) use artifact_name::short_name;
pub(crate) use provenance::Mark;
pub(crate) use time::{day_and_time, utc};

use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};

use crate::domain::Error;
use crate::http::access::{Access, Action, Guard, authorize_any_org, guard};
use crate::http::mark_counts::MarkCounts;
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;

/// The routes of all pages, behind `access`.
pub(crate) fn pages<S: Store + ProvenanceStore>(
    access: &Access,
    mark_counts: MarkCounts,
) -> Router<S> {
    let home = Router::new()
        .route("/", get(home::all::<S>))
        .route("/at", get(at::show_all_environments_at::<S>))
        .route_layer(from_fn_with_state(access.clone(), authorize_any_org));
    Router::new()
        .route("/{org}/environments", get(home::of_org::<S>))
        .route("/{org}/at", get(at::show_org_environments_at::<S>))
        .route("/{org}/environments/{environment}/at", get(at::show_environment_at::<S>))
        .route("/{org}/environments/{environment}", get(environment::show::<S>))
        .route("/{org}/environments/{environment}/snapshots/{expression}", get(snapshot::show::<S>))
        .route("/{org}/compare", get(comparison::show::<S>))
        .merge(provenance::pages())
        .route_layer(from_fn(org_name::require_org_name))
        .route_layer(from_fn_with_state(Guard::new(access, Action::Read, Action::Write), guard))
        .merge(home)
        .merge(assets::assets())
        .layer(Extension(mark_counts))
        .layer(map_response(error_page::as_html))
        .layer(map_response(with_security_headers))
}

/// Headers of every response. Only the recorder's own style sheet and script are allowed, so that a
/// name that was not escaped could not run code.
const SECURITY_HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // A shared cache must not serve pages without a token.
    (header::CACHE_CONTROL, "private, no-cache"),
];

pub(crate) async fn not_found() -> Response {
    with_security_headers(error_page::as_html(Error::NoSuchAddress.into_response()).await).await
}

async fn with_security_headers(mut response: Response) -> Response {
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

//! The style sheet, the script and the icon.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::store::Store;

pub(crate) const STYLE: &str = include_str!("assets/page.css");
pub(crate) const SCRIPT: &str = include_str!("assets/page.js");
const ICON: &str = include_str!("assets/icon.svg");

/// The routes of the style sheet, the script and the icon. They need no token, as they contain no recorded
/// data.
pub(crate) fn assets<S: Store>() -> Router<S> {
    Router::new()
        .route("/assets/page.css", get(async || asset_response("text/css; charset=utf-8", STYLE)))
        .route(
            "/assets/page.js",
            get(async || asset_response("text/javascript; charset=utf-8", SCRIPT)),
        )
        .route("/assets/icon.svg", get(async || asset_response("image/svg+xml", ICON)))
}

fn asset_response(kind: &'static str, content: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "public, max-age=86400")], content)
}

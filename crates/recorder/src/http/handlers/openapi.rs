//! The OpenAPI document.

use axum::http::header;
use axum::response::IntoResponse;

/// The OpenAPI document. It is kept by hand: the tests compare it with the routes, and every
/// response with its schemas.
const DOCUMENT: &str = include_str!("../openapi.json");

/// `GET /api/v2/openapi.json`. It needs no token.
pub(super) async fn show() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::DOCUMENT;
    use crate::SqliteStore;
    use crate::http::access::Access;
    use crate::http::handlers::{api, operations, provenance};

    /// The paths in a router's debug output: axum has no other list of them.
    fn paths(router: &impl std::fmt::Debug) -> BTreeSet<String> {
        let text = format!("{router:?}");
        let quoted = text.split('"').skip(1).step_by(2);
        // Axum's own entries for what matches no route.
        let fallback = |text: &str| text.ends_with('/') || text.contains("__private__");
        let paths = quoted.filter(|text| text.starts_with('/') && !fallback(text));
        paths.map(str::to_owned).collect()
    }

    #[test]
    fn openapi_document_has_exactly_the_paths_of_the_served_routes() {
        let access = Access::open();
        let mut served = paths(&api::<SqliteStore>(&access, None));
        served.extend(paths(&operations::<SqliteStore>(&access)));
        for path in paths(&provenance::not_kept::<SqliteStore>()) {
            assert!(served.remove(&format!("/api/v2{path}")), "{path}");
        }
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let documented: BTreeSet<_> =
            document["paths"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(served, documented);
    }

    #[test]
    fn only_events_have_a_start_and_an_end_in_the_document_beside_the_interval() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let page = ["interval", "page", "per_page", "reverse"];
        let limits = ["start", "start_ts", "end", "end_ts", "repo_name"];
        for (path, expected) in [
            ("/api/v2/snapshots/{org}/{environment}", page.to_vec()),
            ("/api/v2/environments/{org}/{environment}/events", [&page[..], &limits].concat()),
        ] {
            let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
            let names = parameters.iter().map(|parameter| parameter["name"].as_str().unwrap());
            assert_eq!(names.collect::<BTreeSet<_>>(), expected.into_iter().collect(), "{path}");
        }
    }
}

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

    use axum::http::{Method, Request, StatusCode};
    use serde_json::{Value, json};

    use super::DOCUMENT;
    use crate::http::access::Access;
    use crate::http::handlers::{api, operations, provenance};
    use crate::{LocalRecorder, SqliteStore};

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

    #[tokio::test]
    async fn every_write_has_the_response_to_a_page_of_another_website_in_the_document() {
        let recorder = LocalRecorder::new(SqliteStore::in_memory().unwrap()).unwrap();
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut writes = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            let methods = item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters");
            for (method, operation) in methods {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let address = path.replace(['{', '}'], "");
                let request = Request::builder()
                    .method(&method)
                    .uri(&address)
                    .header("host", "localhost")
                    .header("sec-fetch-site", "cross-site")
                    .body(Vec::new())
                    .unwrap();
                let response = recorder.answer(request).await;
                let documented = &operation["responses"]["403"];
                if method == Method::GET {
                    assert_ne!(response.status(), StatusCode::FORBIDDEN, "{path}");
                    assert!(documented.is_null(), "{path}");
                    continue;
                }
                assert_eq!(response.status(), StatusCode::FORBIDDEN, "{method} {path}");
                let expected = json!({"$ref": "#/components/responses/WriteForbidden"});
                assert_eq!(*documented, expected, "{method} {path}");
                let body: Value = serde_json::from_slice(response.body()).unwrap();
                let message = body["message"].as_str().unwrap();
                assert!(message.contains("a page of another website"), "{message}");
                writes += 1;
            }
        }
        assert!(writes > 15, "{writes}");
        let response = &document["components"]["responses"]["WriteForbidden"];
        let schema = &response["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(schema, "#/components/schemas/Error");
        for header in ["Sec-Fetch-Site", "Origin"] {
            assert!(response["description"].as_str().unwrap().contains(header), "{header}");
        }
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

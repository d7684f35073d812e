//! Refuses pages of what cannot be an organization.

use axum::extract::{RawPathParams, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::http::handlers::check_org_name;

/// Refuses a request whose path has a name that no organization can have. The links of a page begin with
/// that name: after `/`, the name `/evil.example` would make them lead to that host.
pub(crate) async fn require_org_name(
    path: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let org = path.iter().find_map(|(name, value)| (name == "org").then_some(value));
    match org.map(check_org_name) {
        Some(Err(error)) => error.into_response(),
        _ => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Request, header};

    use crate::server::LocalRecorder;
    use crate::store::sqlite::SqliteStore;

    #[tokio::test]
    async fn page_of_what_cannot_be_an_organization_is_an_error_without_links_to_it() {
        let recorder = LocalRecorder::new(SqliteStore::in_memory().unwrap()).unwrap();
        let long = "o".repeat(101);
        for org in ["%2Fevil.example", "%5Cevil.example", "..", "a%2F..", "%3Cb%3E", "%20", &long] {
            for page in ["environments", "matrix", "flows", "search?q=x", "compare", "at?time=now"]
            {
                let request = Request::get(format!("/{org}/{page}")).body(Vec::new()).unwrap();
                let response = recorder.answer(request).await;
                assert_eq!(response.status(), 400, "{org} {page}");
                assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
                let html = String::from_utf8(response.into_body()).unwrap();
                assert!(html.contains("cannot name an organization"), "{html}");
                assert!(!html.contains("=\"//") && !html.contains("=\"/\\"), "{html}");
            }
        }
        for org in ["acme", "0A.b_c-d", &long[..100]] {
            let request = Request::get(format!("/{org}/matrix")).body(Vec::new()).unwrap();
            assert_eq!(recorder.answer(request).await.status(), 200, "{org}");
        }
    }
}

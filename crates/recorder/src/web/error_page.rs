//! Error responses as pages.

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::html;

use super::artifact_name::escape_invisible;
use super::frame::Frame;
use envsnap_model::wire::ErrorBody;

/// Replaces an error response that is not HTML by an HTML page with the same status.
pub(crate) async fn as_html(mut response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || is_html(&response) {
        return response;
    }
    let error = response.extensions_mut().remove::<ErrorBody>();
    let mut page = (status, error_page(status, error.as_ref())).into_response();
    for name in [header::ALLOW, header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
        for value in response.headers().get_all(&name) {
            page.headers_mut().append(&name, value.clone());
        }
    }
    // The request log reads them.
    std::mem::swap(page.extensions_mut(), response.extensions_mut());
    page
}

/// Whether the response is a page of its own, such as a form with an error.
fn is_html(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/html"))
}

fn error_page(status: StatusCode, error: Option<&ErrorBody>) -> Html<String> {
    let title = match status {
        StatusCode::BAD_REQUEST => "Invalid request",
        StatusCode::UNAUTHORIZED => "Log in",
        StatusCode::FORBIDDEN => "No permission",
        StatusCode::NOT_FOUND => "Not found",
        status => status.canonical_reason().unwrap_or("Error"),
    };
    // Without a valid token, its message would be about permissions.
    let error = error.filter(|_| status != StatusCode::UNAUTHORIZED);
    let main = html! {
        h1 { (title) }
        @if let Some(error) = error {
            p { bdi { (escape_invisible(&error.message)) } "." }
            @if !error.errors.is_empty() {
                ul {
                    @for (name, problem) in &error.errors {
                        @let problem = escape_invisible(problem.as_str().unwrap_or_default());
                        li { code { (name) } " " bdi { (problem) } }
                    }
                }
            }
        }
        @if status == StatusCode::UNAUTHORIZED {
            p { "Log in with any user name, and a token of this recorder as the password." }
        }
        p { a href="/" { "All environments" } }
    };
    Frame { title, ..Frame::default() }.render(&main)
}

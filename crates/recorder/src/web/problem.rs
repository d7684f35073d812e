//! Refusals, for people.

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::html;

use super::artifact::escape_invisible;
use super::frame::Frame;
use envsnap_model::wire::ErrorBody;

/// Says a refusal, whoever refuses, on a page.
pub(crate) async fn in_html(mut response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let said = response.extensions_mut().remove::<ErrorBody>();
    let mut page = (status, problem(status, said.as_ref())).into_response();
    for name in [header::ALLOW, header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
        for value in response.headers().get_all(&name) {
            page.headers_mut().append(&name, value.clone());
        }
    }
    // The log needs them.
    std::mem::swap(page.extensions_mut(), response.extensions_mut());
    page
}

fn problem(status: StatusCode, said: Option<&ErrorBody>) -> Html<String> {
    let title = status.canonical_reason().unwrap_or("Refused");
    let main = html! {
        h1 { (title) }
        @if let Some(said) = said {
            p { bdi { (escape_invisible(&said.message)) } "." }
            @if !said.errors.is_empty() {
                ul {
                    @for (name, problem) in &said.errors {
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
    Frame { title, ..Frame::default() }.around(&main)
}

//! By which name a recorder is asked that asks for no token.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use reqwest::Url;

use super::Access;
use crate::api::is_loopback;
use crate::recorder::answer::Refusal;

/// Without tokens, only this host's own names are answered to. A page from elsewhere, whose own name
/// was made to lead here, could otherwise read everything and report, by way of a browser on this
/// host (DNS rebinding).
pub(in crate::recorder) async fn by_own_name(
    State(access): State<Access>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    if access.is_open() && !host.is_none_or(is_own_name) {
        let message =
            "Without a token file the recorder answers to localhost, 127.0.0.1 and [::1] only";
        return Refusal::new(StatusCode::FORBIDDEN, message).into_response();
    }
    next.run(request).await
}

fn is_own_name(host: &str) -> bool {
    Url::parse(&format!("http://{host}")).is_ok_and(|url| is_loopback(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_few_names() {
        for own in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080"] {
            assert!(is_own_name(own), "{own}");
        }
        for other in ["", "evil.example", "localhost.evil.example:8080", "192.0.2.1", "a@b:c", "["]
        {
            assert!(!is_own_name(other), "{other}");
        }
    }
}

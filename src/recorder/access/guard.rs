//! The door that every call goes through.

use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Access;
use crate::recorder::answer::Refusal;
use crate::recorder::request::discard;

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Lets a request through to the organization that its path names, before its body is looked at.
pub(in crate::recorder) async fn guard(
    State(access): State<Access>,
    path: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let org = path.iter().find_map(|(name, value)| (name == "org").then_some(value));
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let token = bearer_token(request.headers());
    match access.check(token, org.unwrap_or_default(), writes) {
        Ok(()) => next.run(request).await,
        Err(status) => {
            discard(request.into_body().into_data_stream()).await;
            Refusal::new(status, "You don't have permission to access this resource")
                .into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bearer_scheme_is_read_in_any_case() {
        let cases = [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("Bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("abc", None),
            ("Bearerabc", None),
        ];
        for (value, token) in cases {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(bearer_token(&headers), token, "{value}");
        }
    }
}

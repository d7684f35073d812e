//! The door that every call goes through.

use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::Access;
use crate::recorder::answer::Refusal;
use crate::recorder::request::discard;

/// What a request without a good token is asked for: a token, by a program, or as the password of
/// any user, by a browser.
const CHALLENGES: [&str; 2] =
    ["Bearer realm=\"envsnap\"", "Basic realm=\"envsnap\", charset=\"UTF-8\""];

/// The token of a request: itself, or the password that a browser sends.
pub(super) fn token(headers: &HeaderMap) -> Option<SecretString> {
    let (scheme, credentials) =
        headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(credentials.into());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = SecretSlice::from(STANDARD.decode(credentials).ok()?);
        let (_, password) = str::from_utf8(decoded.expose_secret()).ok()?.split_once(':')?;
        return Some(password.into());
    }
    None
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
    let token = token(request.headers());
    let token = token.as_ref().map(ExposeSecret::expose_secret);
    match access.check(token, org.unwrap_or_default(), writes) {
        Ok(()) => next.run(request).await,
        Err(status) => refuse(request, status).await,
    }
}

pub(super) async fn refuse(request: Request, status: StatusCode) -> Response {
    discard(request.into_body().into_data_stream()).await;
    let message = "You don't have permission to access this resource";
    let mut refusal = Refusal::new(status, message).into_response();
    if status == StatusCode::UNAUTHORIZED {
        for challenge in CHALLENGES {
            let challenge = HeaderValue::from_static(challenge);
            refusal.headers_mut().append(header::WWW_AUTHENTICATE, challenge);
        }
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_bearers_or_any_users_password() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let cases = [
            ("Bearer abc".to_owned(), Some("abc")),
            ("bearer abc".to_owned(), Some("abc")),
            ("Bearer  abc ".to_owned(), Some("abc")),
            (basic("someone:abc"), Some("abc")),
            (basic(":abc"), Some("abc")),
            (basic("someone:a:b"), Some("a:b")),
            (basic("someone:").replace("Basic", "bAsIc"), Some("")),
            (basic("abc"), None),
            ("Basic abc".to_owned(), None),
            ("Basic /w==".to_owned(), None),
            ("Basic".to_owned(), None),
            ("Digest abc".to_owned(), None),
            ("abc".to_owned(), None),
            ("Bearerabc".to_owned(), None),
        ];
        for (value, expected) in cases {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            let token = token(&headers);
            assert_eq!(token.as_ref().map(ExposeSecret::expose_secret), expected, "{value}");
        }
    }
}

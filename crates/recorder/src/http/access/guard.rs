//! The middleware that authenticates and authorizes every call.

use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::{Access, Action, Caller, Denied};
use crate::domain::Error;
use crate::http::request::discard;

/// The `WWW-Authenticate` challenges: `Bearer` for programs, `Basic` for browsers, which send the
/// token as the password of any user.
const CHALLENGES: [&str; 2] =
    ["Bearer realm=\"envsnap\"", "Basic realm=\"envsnap\", charset=\"UTF-8\""];

/// Expressions for the latest snapshot. The reporter sends `-1`.
const LATEST_EXPRESSIONS: [&str; 4] = ["-1", "#-1", "~", "~0"];

/// Access control of a group of routes: the action that a token needs for `GET`, and for other methods.
#[derive(Clone)]
pub(crate) struct Guard {
    access: Access,
    get: Action,
    put: Action,
}

impl Guard {
    /// For routes of which `GET` needs the action `get`, and every other method the action `put`.
    pub(crate) fn new(access: &Access, get: Action, put: Action) -> Self {
        Self { access: access.clone(), get, put }
    }
}

/// The token in a request: a bearer token, or the password of basic authentication.
pub(crate) fn token(headers: &HeaderMap) -> Option<SecretString> {
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

/// Authorizes a request for the organization in its path, before its body is read. Handlers and the
/// request log find the [`Caller`] in the extensions of the request and the response.
pub(crate) async fn guard(
    State(Guard { access, get, put }): State<Guard>,
    path: RawPathParams,
    mut request: Request,
    next: Next,
) -> Response {
    let parameter =
        |wanted| path.iter().find_map(|(name, value)| (name == wanted).then_some(value));
    let org = parameter("org").unwrap_or_default();
    let action = match *request.method() {
        Method::GET | Method::HEAD if parameter("expression").is_some_and(is_latest) => {
            Action::ReadForReport
        }
        Method::GET | Method::HEAD => get,
        _ => put,
    };
    let token = token(request.headers());
    match access.check(token.as_ref().map(ExposeSecret::expose_secret), org, action) {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            let mut response = next.run(request).await;
            response.extensions_mut().insert(caller);
            response
        }
        Err(denied) => refuse(request, denied).await,
    }
}

fn is_latest(expression: &str) -> bool {
    LATEST_EXPRESSIONS.contains(&expression)
}

/// Discards the body of a request that is not authorized, and responds with 401 or 403.
pub(crate) async fn refuse(request: Request, denied: Denied) -> Response {
    discard(request.into_body().into_data_stream()).await;
    let Denied { status, label } = denied;
    let mut refusal = match status {
        StatusCode::UNAUTHORIZED => Error::InvalidToken,
        _ => Error::Forbidden,
    }
    .into_response();
    if status == StatusCode::UNAUTHORIZED {
        for challenge in CHALLENGES {
            let challenge = HeaderValue::from_static(challenge);
            refusal.headers_mut().append(header::WWW_AUTHENTICATE, challenge);
        }
    }
    refusal.extensions_mut().insert(Caller { label, may_change: false });
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_read_from_bearer_authorization_or_from_the_password_of_basic() {
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

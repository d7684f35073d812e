//! A registry on loopback that answers as a test wants.

use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::net::TcpListener;

use super::{HEX, PASSWORD, TOKEN};
use crate::command_line::{envsnap, text};

/// A request that arrived.
#[derive(Debug, Clone)]
pub(super) struct ReceivedRequest {
    pub(super) method: Method,
    /// With what is behind a question mark.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl ReceivedRequest {
    /// Empty if there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// `METHOD TARGET`
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

type Answer = Arc<dyn Fn(&str, &ReceivedRequest) -> Response + Send + Sync>;

/// Its host, what arrived, and what it answers.
type Served = (String, Arc<Mutex<Vec<ReceivedRequest>>>, Answer);

/// A container registry on a port of loopback, and the requests that it received.
pub(crate) struct Registry {
    /// `127.0.0.1:PORT`
    pub(crate) host: String,
    pub(super) seen: Arc<Mutex<Vec<ReceivedRequest>>>,
}

impl Registry {
    /// Each request is answered with what `answer` gives for the host of this registry and the request.
    pub(super) async fn start(
        answer: impl Fn(&str, &ReceivedRequest) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::<Mutex<Vec<ReceivedRequest>>>::default();
        let state: Served = (host.clone(), Arc::clone(&seen), Arc::new(answer));
        let router = Router::new().fallback(handle).with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { host, seen }
    }

    /// Requires a token, which it issues to `user` (`NAME:PASSWORD`), or to everyone.
    pub(super) async fn with_tokens(user: Option<&'static str>) -> Self {
        Self::start(move |host, seen| {
            let is_authorized = seen.header("authorization") == format!("Bearer {TOKEN}");
            if seen.target.starts_with("/token?") {
                let expected = user.map(|user| format!("Basic {}", STANDARD.encode(user)));
                return if seen.header("authorization") == expected.unwrap_or_default() {
                    json!({ "token": TOKEN }).to_string().into_response()
                } else {
                    refusal(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "incorrect password")
                };
            }
            if seen.method == Method::POST && seen.target == "/token" {
                return json!({ "access_token": TOKEN }).to_string().into_response();
            }
            if !is_authorized {
                let challenge = format!(r#"Bearer realm="http://{host}/token",service="fake""#);
                return (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)])
                    .into_response();
            }
            match &*seen.target {
                "/v2/" => StatusCode::OK.into_response(),
                "/v2/a/web/manifests/1.2" => digest(HEX),
                _ => refusal(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown"),
            }
        })
        .await
    }

    /// Requires no token: `/v2/` is answered 200, and everything else as `answer` says.
    pub(super) async fn open(
        answer: impl Fn(&str, &ReceivedRequest) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |host, seen| match &*seen.target {
            "/v2/" => StatusCode::OK.into_response(),
            _ => answer(host, seen),
        })
        .await
    }

    /// Serves these pairs of path and document without a token, and 404 for other paths.
    pub(crate) async fn serving(documents: Vec<(String, String)>) -> Self {
        Self::open(move |_, seen| match documents.iter().find(|(path, _)| *path == seen.target) {
            Some((_, document)) => document.clone().into_response(),
            None => refusal(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown"),
        })
        .await
    }

    /// The reference of the image that a registry with tokens has.
    pub(super) fn image(&self) -> String {
        format!("{}/a/web:1.2", self.host)
    }

    /// `METHOD TARGET` of each request that arrived.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(ReceivedRequest::line).collect()
    }

    pub(super) fn last_request(&self) -> ReceivedRequest {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    /// Runs `envsnap fingerprint` on the image of this registry.
    pub(super) fn run_fingerprint(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let image = self.image();
        envsnap(&[&["fingerprint", &image], arguments].concat(), variables)
    }

    /// The one line of standard error of `envsnap fingerprint`, which must fail and print no secret.
    pub(super) fn fingerprint_error(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> String {
        let output = self.run_fingerprint(arguments, variables);
        let stderr = text(&output.stderr);
        assert_eq!(
            (output.status.code(), text(&output.stdout)),
            (Some(2), String::new()),
            "{stderr}"
        );
        for secret in [PASSWORD, TOKEN, &STANDARD.encode(format!("alice:{PASSWORD}"))] {
            assert!(!stderr.contains(secret), "{stderr}");
        }
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        stderr
    }
}

/// Keeps the request, and answers it.
async fn handle(State((host, seen, answer)): State<Served>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    let target = parts.uri.to_string();
    let request = ReceivedRequest { method: parts.method, target, headers: parts.headers, body };
    seen.lock().unwrap().push(request.clone());
    answer(&host, &request)
}

/// A response without a body, with this SHA-256 as its content digest.
pub(super) fn digest(hex: &str) -> Response {
    [("docker-content-digest", format!("sha256:{hex}"))].into_response()
}

/// An error in the form of the OCI distribution specification.
pub(super) fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({ "errors": [{ "code": code, "message": message, "detail": {} }] });
    (status, body.to_string()).into_response()
}

//! An HTTP server that answers what a test wrote down.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request that came in.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    /// Of an AWS API.
    pub(crate) target: Option<String>,
    pub(crate) body: Vec<u8>,
    headers: HeaderMap,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// An HTTP server that gives the answers that a test wrote down, in order, and status 501 after the last one.
pub(crate) struct Scripted {
    pub(crate) url: String,
    state: Shared,
    served: JoinHandle<()>,
}

type Shared = Arc<Mutex<Script>>;

/// The answers that are left, and the requests that came in.
#[derive(Default)]
struct Script {
    answers: VecDeque<Response<Body>>,
    /// The response to `GET` of the environment itself, out of turn.
    environment: Option<(&'static str, String)>,
    received: Vec<Received>,
}

impl Scripted {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Shared::default();
        let router = Router::new().fallback(answer).with_state(state.clone());
        let served = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, state, served }
    }

    /// The next request that has no answer yet gets this one.
    pub(crate) fn then(&self, status: u16, body: impl Into<Body>) -> &Self {
        self.then_with(status, &[], body)
    }

    pub(crate) fn then_json(&self, status: u16, body: &Value) -> &Self {
        self.then(status, body.to_string())
    }

    /// An answer that begins, and never ends.
    pub(crate) fn then_never(&self) -> &Self {
        let beginning = stream::once(async { Ok::<_, Infallible>("{".to_owned()) });
        self.then(200, Body::from_stream(beginning.chain(stream::pending())))
    }

    /// An answer that is lost on its way: the connection breaks off.
    pub(crate) fn then_lost(&self) -> &Self {
        let broken = stream::once(async { Err::<String, _>(io::Error::other("lost")) });
        self.then(200, Body::from_stream(broken))
    }

    pub(crate) fn then_with(
        &self,
        status: u16,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> &Self {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        self.state.lock().unwrap().answers.push_back(response.body(body.into()).unwrap());
        self
    }

    /// From now on, `GET` of the environment itself gets this answer, out of turn: the reporter reads it beside
    /// the latest snapshot, in no fixed order.
    pub(crate) fn environment_is(&self, environment: &Value) {
        self.environment_is_with("", environment);
    }

    /// As [`Self::environment_is`], with this value of the header `x-envsnap-accepts`.
    pub(crate) fn environment_is_with(&self, accepts: &'static str, environment: &Value) {
        self.state.lock().unwrap().environment = Some((accepts, environment.to_string()));
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.served.abort();
    }
}

async fn answer(State(state): State<Shared>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let header =
        |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let received = Received {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        authorization: header("authorization"),
        target: header("x-amz-target"),
        headers: parts.headers.clone(),
        body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
    };
    let mut script = state.lock().unwrap();
    let is_environment = received.method == "GET"
        && received
            .path
            .strip_prefix("/api/v2/environments/")
            .is_some_and(|path| path.matches('/').count() == 1);
    if let (true, Some((accepts, environment))) = (is_environment, script.environment.clone()) {
        let response = Response::builder().header("x-envsnap-accepts", accepts);
        return response.body(Body::from(environment)).unwrap();
    }
    script.received.push(received);
    script.answers.pop_front().unwrap_or_else(|| {
        Response::builder().status(501).body(Body::from("the script has ended")).unwrap()
    })
}

//! A proxy between the reporter and the recorder that fails as a test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::Response;
use tokio::net::TcpListener;

use crate::harness::http_client;

/// A fault of one request through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProxyFault {
    None,
    /// It does not arrive, and the response has this status.
    Status(u16),
    /// It does not arrive, and has no response.
    Silent,
    /// It arrives, and its answer is replaced by this status.
    AnswerLost(u16),
    /// It arrives, and has no response.
    SilentAfterwards,
    /// It arrives, and the response is a page of HTML.
    Html,
    /// It arrives, and half of its answer comes back.
    HalfAnAnswer,
}

#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) url: String,
    recorder: String,
    client: reqwest::Client,
    faults: Arc<Mutex<VecDeque<ProxyFault>>>,
}

impl Proxy {
    /// In front of the recorder at this URL.
    pub(super) async fn start(recorder: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            recorder: recorder.to_owned(),
            client: http_client(),
            faults: Arc::default(),
        };
        let router = Router::new().fallback(forward).with_state(proxy.clone());
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        proxy
    }

    /// The next requests meet these faults in order, and those after them none.
    pub(super) fn set_faults(&self, faults: impl IntoIterator<Item = ProxyFault>) {
        *self.faults.lock().unwrap() = faults.into_iter().collect();
    }
}

async fn forward(State(proxy): State<Proxy>, request: Request) -> Response<Body> {
    let fault = proxy.faults.lock().unwrap().pop_front().unwrap_or(ProxyFault::None);
    match fault {
        ProxyFault::Status(status) => return answer(status, "{\"message\": \"a fault\"}"),
        ProxyFault::Silent => std::future::pending().await,
        _ => {}
    }
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let url = format!("{}{}", proxy.recorder, head.uri);
    let request = proxy.client.request(head.method, url).headers(head.headers).body(body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    match fault {
        ProxyFault::AnswerLost(status) => answer(status, "{\"message\": \"a fault\"}"),
        ProxyFault::SilentAfterwards => std::future::pending().await,
        ProxyFault::Html => answer(200, "<html><body>a fault</body></html>"),
        ProxyFault::HalfAnAnswer => answer(status, &text[..text.len() / 2]),
        _ => answer(status, &text),
    }
}

fn answer(status: u16, body: &str) -> Response<Body> {
    Response::builder().status(status).body(Body::from(body.to_owned())).unwrap()
}

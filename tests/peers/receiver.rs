//! A server that has an environment without snapshots, and keeps what is reported to it.

use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type Reports = Arc<Mutex<Vec<(String, Value)>>>;

pub(crate) struct Receiver {
    pub(crate) url: String,
    reports: Reports,
    served: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let reports = Reports::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&reports));
        let served = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, reports, served }
    }

    /// The path and the body of each report so far.
    pub(crate) fn reports(&self) -> Vec<(String, Value)> {
        self.reports.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.served.abort();
    }
}

async fn answer(State(reports): State<Reports>, request: Request) -> (StatusCode, Json<Value>) {
    let (head, body) = request.into_parts();
    if head.method != Method::PUT {
        let message = "Org: 'cyber-dojo'. Snapshot 'aws-prod#-1' resolves to 'aws-prod#0'. \
                       len(snapshots) == 0. Indexes are 1-based";
        return (StatusCode::NOT_FOUND, Json(json!({"message": message})));
    }
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let report = (head.uri.to_string(), serde_json::from_slice(&body).unwrap());
    reports.lock().unwrap().push(report);
    (StatusCode::CREATED, Json(json!("OK")))
}

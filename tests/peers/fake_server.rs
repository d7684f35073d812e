//! A fake snapshot server: it answers that the environment has no snapshots, and keeps the reports it is
//! sent.

use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The path with the query, and the JSON body, of each `PUT` request.
type Reports = Arc<Mutex<Vec<(String, Value)>>>;

/// Serves until it is dropped.
pub(crate) struct FakeServer {
    pub(crate) url: String,
    reports: Reports,
    server_task: JoinHandle<()>,
}

impl FakeServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let reports = Reports::default();
        let router = Router::new().fallback(handle_request).with_state(Arc::clone(&reports));
        let server_task = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, reports, server_task }
    }

    /// The path and the JSON body of each report so far.
    pub(crate) fn reports(&self) -> Vec<(String, Value)> {
        self.reports.lock().unwrap().clone()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.server_task.abort();
    }
}

/// Keeps the body of a `PUT` request, and answers any other request that there is no snapshot.
async fn handle_request(
    State(reports): State<Reports>,
    request: Request,
) -> (StatusCode, Json<Value>) {
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

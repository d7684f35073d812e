//! A runtime API that hands the function's own binary one event at a time.

use std::collections::VecDeque;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// The function's response: an outcome or an error.
#[derive(Debug, PartialEq)]
pub(crate) struct InvocationResult {
    pub(crate) failed: bool,
    pub(crate) body: Value,
}

/// The state of the fake Lambda runtime API.
#[derive(Clone)]
struct RuntimeApi {
    events: Arc<Mutex<VecDeque<(String, Duration)>>>,
    answers: mpsc::UnboundedSender<InvocationResult>,
}

/// The function's binary, which gets its events from a fake Lambda runtime API.
pub(crate) struct Function {
    pub(crate) child: Child,
    events: Arc<Mutex<VecDeque<(String, Duration)>>>,
    answers: mpsc::UnboundedReceiver<InvocationResult>,
}

const INVOCATION_PATH: &str = "/2018-06-01/runtime/invocation";

impl Function {
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_with(variables, Stdio::inherit()).await
    }

    pub(crate) async fn start_with(variables: &[(&str, &str)], stderr: Stdio) -> Self {
        let (sender, answers) = mpsc::unbounded_channel();
        let events = Arc::new(Mutex::new(VecDeque::new()));
        let api = RuntimeApi { events: Arc::clone(&events), answers: sender };
        let router = Router::new()
            .route(&format!("{INVOCATION_PATH}/next"), get(next))
            .route(&format!("{INVOCATION_PATH}/{{id}}/response"), post(response))
            .route(&format!("{INVOCATION_PATH}/{{id}}/error"), post(error))
            .with_state(api);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        let child = Command::new(env!("CARGO_BIN_EXE_reporter"))
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", "envsnap"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
                ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
            ])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, events, answers }
    }

    pub(crate) async fn invoke(&mut self, event: &str) -> InvocationResult {
        self.invoke_within(event, Duration::from_mins(1)).await
    }

    pub(crate) async fn invoke_within(
        &mut self,
        event: &str,
        timeout: Duration,
    ) -> InvocationResult {
        self.events.lock().unwrap().push_back((event.to_owned(), timeout));
        self.answers.recv().await.unwrap()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

async fn next(State(api): State<RuntimeApi>) -> Response<Body> {
    let (event, timeout) = loop {
        if let Some(event) = api.events.lock().unwrap().pop_front() {
            break event;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    let deadline = SystemTime::now() + timeout;
    let deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    Response::builder()
        .header("lambda-runtime-aws-request-id", "r-1")
        .header("lambda-runtime-deadline-ms", deadline.to_string())
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-central-1:111122223333:function:envsnap",
        )
        .body(Body::from(event))
        .unwrap()
}

async fn response(
    State(api): State<RuntimeApi>,
    Path(_): Path<String>,
    body: String,
) -> StatusCode {
    let body = serde_json::from_str(&body).unwrap();
    api.answers.send(InvocationResult { failed: false, body }).unwrap();
    StatusCode::ACCEPTED
}

async fn error(State(api): State<RuntimeApi>, Path(_): Path<String>, body: String) -> StatusCode {
    let body = serde_json::from_str(&body).unwrap();
    api.answers.send(InvocationResult { failed: true, body }).unwrap();
    StatusCode::ACCEPTED
}

//! A recorder on loopback, with a clock that only the test moves.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use envsnap::api::wire::RecordedSnapshot;
use envsnap::recorder::{Access, Clock, SqliteStore, StoreError, serve};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::schema;
use crate::harness::http_client;

/// A recorder that is served by this process on loopback.
pub(crate) struct Recorder {
    pub(crate) url: String,
    client: reqwest::Client,
    /// Seconds since the Unix epoch.
    clock: Arc<Mutex<f64>>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

/// A response of the recorder.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Of the organization's ledger, if it was a write.
    pub(crate) head: Option<String>,
    pub(crate) body: Value,
}

impl Answer {
    /// Sends a request, and checks the response against the recorder's OpenAPI document.
    async fn send_and_check(request: reqwest::RequestBuilder) -> Self {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = client.execute(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        assert_eq!(headers["content-type"], "application/json", "{} {status}", response.url());
        let head = headers.get("x-envsnap-head");
        let head = head.map(|head| head.to_str().unwrap().to_owned());
        let answer = Self { status, headers, head, body: response.json().await.unwrap() };
        schema::check_response(&method, &path, &answer);
        answer
    }

    /// The `message` of an error.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// The body of a 200, which must match this schema of the OpenAPI document.
    pub(crate) fn documented(self, schema: &str) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        schema::check(schema, &self.body);
        self.body
    }
}

/// Opens the store of a file that this process may have had open before. It tries for 30 seconds: a
/// program that another test starts meanwhile inherits the locks of this process until it executes.
pub(crate) fn reopen_store(file: &Path) -> SqliteStore {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        match SqliteStore::open(file) {
            Err(StoreError::Held { .. }) if Instant::now() < patience => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened.unwrap(),
        }
    }
}

impl Recorder {
    /// With an empty store in memory, and without tokens.
    pub(crate) async fn start() -> Self {
        Self::with(SqliteStore::in_memory().unwrap(), Access::open()).await
    }

    /// With the store in this file, and without tokens.
    pub(crate) async fn on(file: &Path) -> Self {
        Self::with(reopen_store(file), Access::open()).await
    }

    pub(crate) async fn with(store: SqliteStore, access: Access) -> Self {
        Self::with_clock(store, access, |time| Clock::from_fn(move || *time.lock().unwrap())).await
    }

    /// With the clock that `make` builds on the time that the test moves, in seconds since the Unix
    /// epoch.
    pub(crate) async fn with_clock(
        store: SqliteStore,
        access: Access,
        make: impl FnOnce(Arc<Mutex<f64>>) -> Clock,
    ) -> Self {
        let clock = Arc::new(Mutex::new(1_661_161_162.5));
        let store = store.with_clock(make(Arc::clone(&clock)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(listener, store, access, None, async {
            let _ = stopped.await;
        }));
        Self { url, client: http_client(), clock, stop, served }
    }

    /// Shuts it down as a signal would.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        drop(self.client);
        self.served.await.unwrap().unwrap();
    }

    /// Moves its clock.
    pub(crate) fn advance(&self, seconds: f64) {
        *self.clock.lock().unwrap() += seconds;
    }

    /// Sends a request with any path of the server.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).body(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        Answer::send_and_check(request).await
    }

    /// Sends a request without a token, with this content type of its body.
    pub(crate) async fn send_typed(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = request.header(CONTENT_TYPE, content_type).body(body);
        Answer::send_and_check(request).await
    }

    /// GET of a path below `/api/v2`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, &format!("/api/v2{path}"), Some("any"), "").await
    }

    /// PUT to a path below `/api/v2`.
    pub(crate) async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(Method::PUT, &format!("/api/v2{path}"), Some("any"), body).await
    }

    /// As [`Self::put`], without a token, and with one more header if it has a value.
    pub(crate) async fn put_with(
        &self,
        path: &str,
        body: impl Into<reqwest::Body>,
        name: &str,
        value: Option<&str>,
    ) -> Answer {
        let request = self.client.put(format!("{}/api/v2{path}", self.url)).body(body);
        let request = value.into_iter().fold(request, |request, value| request.header(name, value));
        Answer::send_and_check(request).await
    }

    /// Creates environment `name` of organization `acme`.
    pub(crate) async fn create(&self, name: &str, include_scaling: Option<bool>) {
        let mut body = json!({"name": name, "type": "ECS", "description": "d"});
        if let Some(include_scaling) = include_scaling {
            body["include_scaling"] = json!(include_scaling);
        }
        let answer = self.put("/environments/acme", body.to_string()).await;
        assert_eq!((answer.status, answer.body), (StatusCode::CREATED, json!("OK")));
    }

    /// Reports `artifacts` to `acme/name`; the status of the response.
    pub(crate) async fn report(&self, name: &str, artifacts: &[Value]) -> u16 {
        let body = json!({"artifacts": artifacts}).to_string();
        let answer = self.put(&format!("/environments/acme/{name}/report/ECS"), body).await;
        assert_eq!(answer.body, json!("OK"), "{answer:?}");
        answer.status.as_u16()
    }

    /// The latest snapshot of `acme/name`.
    pub(crate) async fn latest(&self, name: &str) -> RecordedSnapshot {
        let answer = self.get(&format!("/snapshots/acme/{name}/-1")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        serde_json::from_value(answer.body).unwrap()
    }
}

/// A digest of 32 times this byte.
pub(crate) fn digest(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

/// A report entry of one task that runs one container.
pub(crate) fn task(id: u32, name: &str, digest: &str, started: i64) -> Value {
    json!({
        "taskArn": format!("arn:aws:ecs:eu-central-1:274425519734:task/app/{id}"),
        "cluster_name": "app",
        "service_name": "web",
        "digests": {name: digest},
        "creationTimestamp": started,
    })
}

/// Writes a file that only its owner may read.
pub(crate) fn write_secret(file: &Path, content: &str) {
    std::fs::write(file, content).unwrap();
    std::fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}

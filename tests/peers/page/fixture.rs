//! An in-memory recorder whose clock the test sets, and environments that report snapshots to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use envsnap::recorder::{Access, Clock, SqliteStore, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// In seconds, as all durations here.
pub(crate) const MINUTE: f64 = 60.0;
pub(crate) const HOUR: f64 = 60.0 * MINUTE;
pub(crate) const DAY: f64 = 24.0 * HOUR;

/// The registry of all images.
const REGISTRY: &str = "274425519734.dkr.ecr.eu-central-1.amazonaws.com";

/// A recorder over HTTP, without tokens and with a clock that only [`Self::advance_clock`] moves. It stops
/// when this is dropped.
pub(crate) struct InMemoryRecorder {
    pub(crate) url: String,
    client: reqwest::Client,
    /// Seconds since the Unix epoch.
    clock: Arc<Mutex<f64>>,
    server_task: JoinHandle<std::io::Result<()>>,
}

impl InMemoryRecorder {
    /// Starts with an empty store, at 8:00 UTC on 1 August 2022.
    pub(crate) async fn start() -> Self {
        let clock = Arc::new(Mutex::new(1_659_340_800.0));
        let clock_of_store = Arc::clone(&clock);
        let store = SqliteStore::in_memory()
            .unwrap()
            .with_clock(Clock::from_fn(move || *clock_of_store.lock().unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server_task =
            tokio::spawn(serve(listener, store, Access::open(), None, std::future::pending()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url, client, clock, server_task }
    }

    /// Moves the recorder's clock ahead; returns at once.
    pub(crate) fn advance_clock(&self, seconds: f64) {
        *self.clock.lock().unwrap() += seconds;
    }

    /// The recorder's time, in seconds since the Unix epoch.
    fn now(&self) -> f64 {
        *self.clock.lock().unwrap()
    }

    /// Sends `body` to `/environments/{path}` of the API, with `PUT`.
    async fn put_environment(&self, path: &str, body: String) {
        let url = format!("{}/api/v2/environments/{path}", self.url);
        let response = self.client.put(url).body(body).send().await.unwrap();
        assert!(response.status().is_success(), "{}", response.text().await.unwrap());
    }

    /// Sends `body` to `path` of the API, with `POST`.
    pub(crate) async fn post(&self, path: &str, body: &Value) {
        let url = format!("{}/api/v2{path}", self.url);
        let response = self.client.post(url).body(body.to_string()).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.text().await.unwrap());
    }

    /// Sends a multipart form to `path` of the API: a JSON document, and a file with its field, name and
    /// content.
    pub(crate) async fn send_form(
        &self,
        method: &str,
        path: &str,
        document: &Value,
        (field, file_name, content): (&str, &str, &str),
    ) {
        let part = "--b\r\nContent-Disposition: form-data; name=";
        let body = format!(
            "{part}\"data_json\"\r\n\r\n{document}\r\n{part}\"{field}\"; filename=\"{file_name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n{content}\r\n--b--\r\n"
        );
        let url = format!("{}/api/v2{path}", self.url);
        let response = self
            .client
            .request(method.parse().unwrap(), url)
            .header("content-type", "multipart/form-data; boundary=b")
            .body(body)
            .send()
            .await
            .unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.text().await.unwrap());
    }
}

impl Drop for InMemoryRecorder {
    fn drop(&mut self) {
        self.server_task.abort();
    }
}

/// An environment of the recorder, and the images that run in it at present.
pub(crate) struct EnvironmentFixture<'a> {
    recorder: &'a InMemoryRecorder,
    /// Organization and name, as in a path of the API.
    path: String,
    /// For each image its replicas, and when they started, in seconds since the Unix epoch.
    running: BTreeMap<String, (u32, f64)>,
}

impl<'a> EnvironmentFixture<'a> {
    /// Creates an ECS environment without snapshots.
    pub(crate) async fn create(
        recorder: &'a InMemoryRecorder,
        name: &str,
        description: &str,
    ) -> Self {
        let body = json!({
            "name": name, "type": "ECS", "description": description, "include_scaling": true,
        });
        recorder.put_environment("cyber-dojo", body.to_string()).await;
        Self { recorder, path: format!("cyber-dojo/{name}"), running: BTreeMap::new() }
    }

    /// From now on `replicas` replicas of `image` run; 0 stops them. The recorder learns it with the next
    /// report.
    pub(crate) fn set_replicas(&mut self, image: &str, replicas: u32) {
        let now = self.recorder.now();
        let started = self.running.get(image).map_or(now, |(_, started)| *started);
        if replicas == 0 {
            self.running.remove(image);
        } else {
            self.running.insert(image.to_owned(), (replicas, started));
        }
    }

    /// Reports all that runs at present to the recorder.
    pub(crate) async fn report(&self) {
        let mut artifacts = Vec::new();
        for (image, (replicas, started)) in &self.running {
            for replica in 0..*replicas {
                #[expect(clippy::cast_possible_truncation, reason = "seconds")]
                let started = *started as i64;
                let service = image.split(':').next().unwrap_or_default();
                artifacts.push(json!({
                    "taskArn": format!("arn:aws:ecs:eu-central-1:1:task/app/{replica}{image}"),
                    "cluster_name": "app",
                    "service_name": service,
                    "digests": {format!("{REGISTRY}/{image}"): fake_digest(image)},
                    "creationTimestamp": started,
                }));
            }
        }
        let body = json!({"artifacts": artifacts}).to_string();
        self.recorder.put_environment(&format!("{}/report/ECS", self.path), body).await;
    }

    /// Replaces image `old` by `new` with a rolling deployment: both run for some minutes, and each step is
    /// reported.
    pub(crate) async fn roll_over(&mut self, old: &str, new: &str, replicas: u32, minutes: f64) {
        self.set_replicas(new, replicas);
        self.report().await;
        self.recorder.advance_clock(minutes * MINUTE);
        if replicas > 1 {
            self.set_replicas(old, 1);
            self.report().await;
            self.recorder.advance_clock(MINUTE);
        }
        self.set_replicas(old, 0);
        self.report().await;
    }

    /// Reports the same `times` times, each after an interval in seconds.
    pub(crate) async fn report_repeatedly(&self, interval: f64, times: u32) {
        for _ in 0..times {
            self.recorder.advance_clock(interval);
            self.report().await;
        }
    }
}

/// A made-up digest for an image reference, the same at each call: 64 hexadecimal digits.
pub(crate) fn fake_digest(image: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut digest = String::new();
    for round in 0..4_u8 {
        for byte in image.bytes().chain([round]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let _infallible = write!(digest, "{hash:016x}");
    }
    digest
}

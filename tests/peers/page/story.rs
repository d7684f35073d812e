//! A recorder whose clock only the test moves, and histories that it records.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use envsnap::recorder::{Access, Clock, SqliteStore, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) const MINUTE: f64 = 60.0;
pub(crate) const HOUR: f64 = 60.0 * MINUTE;
pub(crate) const DAY: f64 = 24.0 * HOUR;

const REGISTRY: &str = "274425519734.dkr.ecr.eu-central-1.amazonaws.com";

pub(crate) struct Recorder {
    pub(crate) url: String,
    client: reqwest::Client,
    /// Seconds since the Unix epoch.
    clock: Arc<Mutex<f64>>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        // 2022-08-01T08:00:00Z
        let clock = Arc::new(Mutex::new(1_659_340_800.0));
        let shown = Arc::clone(&clock);
        let store = SqliteStore::in_memory()
            .unwrap()
            .with_clock(Clock::from_fn(move || *shown.lock().unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served =
            tokio::spawn(serve(listener, store, Access::open(), None, std::future::pending()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url, client, clock, served }
    }

    pub(crate) fn wait(&self, seconds: f64) {
        *self.clock.lock().unwrap() += seconds;
    }

    fn now(&self) -> f64 {
        *self.clock.lock().unwrap()
    }

    async fn put(&self, path: &str, body: String) {
        let url = format!("{}/api/v2/environments/{path}", self.url);
        let answer = self.client.put(url).body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// Posts to the API.
    pub(crate) async fn post(&self, path: &str, body: &Value) {
        let url = format!("{}/api/v2{path}", self.url);
        let answer = self.client.post(url).body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }

    /// Sends a document and a file: the field, the file's name and its content.
    pub(crate) async fn form(
        &self,
        method: &str,
        path: &str,
        document: &Value,
        (field, name, content): (&str, &str, &str),
    ) {
        let part = "--b\r\nContent-Disposition: form-data; name=";
        let body = format!(
            "{part}\"data_json\"\r\n\r\n{document}\r\n{part}\"{field}\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n{content}\r\n--b--\r\n"
        );
        let url = format!("{}/api/v2{path}", self.url);
        let answer = self
            .client
            .request(method.parse().unwrap(), url)
            .header("content-type", "multipart/form-data; boundary=b")
            .body(body)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// An environment, and what runs in it.
pub(crate) struct Environment<'a> {
    recorder: &'a Recorder,
    path: String,
    /// Image, with replicas and when they started.
    running: BTreeMap<String, (u32, f64)>,
}

impl<'a> Environment<'a> {
    pub(crate) async fn create(recorder: &'a Recorder, name: &str, description: &str) -> Self {
        let body = json!({
            "name": name, "type": "ECS", "description": description, "include_scaling": true,
        });
        recorder.put("cyber-dojo", body.to_string()).await;
        Self { recorder, path: format!("cyber-dojo/{name}"), running: BTreeMap::new() }
    }

    /// From now on `replicas` of `image` run; none, if it is 0.
    pub(crate) fn run(&mut self, image: &str, replicas: u32) {
        let now = self.recorder.now();
        let started = self.running.get(image).map_or(now, |(_, started)| *started);
        if replicas == 0 {
            self.running.remove(image);
        } else {
            self.running.insert(image.to_owned(), (replicas, started));
        }
    }

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
                    "digests": {format!("{REGISTRY}/{image}"): digest(image)},
                    "creationTimestamp": started,
                }));
            }
        }
        let body = json!({"artifacts": artifacts}).to_string();
        self.recorder.put(&format!("{}/report/ECS", self.path), body).await;
    }

    /// A rollover in `minutes`, with the new beside the old.
    pub(crate) async fn roll_over(&mut self, old: &str, new: &str, replicas: u32, minutes: f64) {
        self.run(new, replicas);
        self.report().await;
        self.recorder.wait(minutes * MINUTE);
        if replicas > 1 {
            self.run(old, 1);
            self.report().await;
            self.recorder.wait(MINUTE);
        }
        self.run(old, 0);
        self.report().await;
    }

    /// Reports the same every `every` seconds, `times` over.
    pub(crate) async fn heartbeats(&self, every: f64, times: u32) {
        for _ in 0..times {
            self.recorder.wait(every);
            self.report().await;
        }
    }
}

/// A digest that only this image has.
pub(crate) fn digest(image: &str) -> String {
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

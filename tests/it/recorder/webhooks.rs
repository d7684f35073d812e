//! Webhooks: what is sent, to receivers that answer, refuse, hang and come back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use envsnap::recorder::{Access, Clock, Deliveries, SqliteStore, WebhookSecret};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::crash::Process;
use super::server::{Recorder, digest, task, write_secret};

const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// How long a test waits for a message.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A webhook receiver on loopback, which answers with a status that the test chooses, or not at all.
struct Receiver {
    url: String,
    status: Arc<AtomicU16>,
    hangs: Arc<AtomicBool>,
    requests: mpsc::UnboundedReceiver<(HeaderMap, Value)>,
}

/// The receiver's side of its HTTP handler: how to answer, and where received messages go.
#[derive(Clone)]
struct Inbox {
    status: Arc<AtomicU16>,
    hangs: Arc<AtomicBool>,
    requests: mpsc::UnboundedSender<(HeaderMap, Value)>,
}

async fn receive(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> StatusCode {
    inbox.requests.send((headers, serde_json::from_slice(&body).unwrap())).unwrap();
    if inbox.hangs.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    StatusCode::from_u16(inbox.status.load(Ordering::Relaxed)).unwrap()
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::unbounded_channel();
        let (status, hangs) = (Arc::new(AtomicU16::new(204)), Arc::new(AtomicBool::new(false)));
        let inbox =
            Inbox { status: Arc::clone(&status), hangs: Arc::clone(&hangs), requests: sender };
        let router = Router::new().route("/hook", post(receive)).with_state(inbox);
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, status, hangs, requests }
    }

    fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    async fn next_message(&mut self) -> (HeaderMap, Value) {
        timeout(TIMEOUT, self.requests.recv()).await.unwrap().unwrap()
    }

    /// The type, the artifact's name and the identifier of the next message.
    async fn next_event(&mut self) -> (String, String, String) {
        let (headers, message) = self.next_message().await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let id = headers["webhook-id"].to_str().unwrap().to_owned();
        (text(&message["event_type"]), text(&message["artifact"]["name"]), id)
    }
}

/// A folder with the database of a recorder and the secret of its webhooks.
struct RecorderFolder {
    folder: TempDir,
}

impl RecorderFolder {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        write_secret(&files.secret_path(), WEBHOOK_SECRET);
        files
    }

    fn db_path(&self) -> PathBuf {
        self.folder.path().join("snapshots.db")
    }

    fn secret_path(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    async fn start_recorder(&self, webhooks: &[String]) -> Process {
        Process::start_with(&self.db_path(), |command| {
            for webhook in webhooks {
                command.args(["--webhook", webhook]);
            }
            command.args(["--public-url", "https://snapshots.example.com/"]);
            command.arg("--webhook-secret-file").arg(self.secret_path());
        })
        .await
    }
}

/// The secret of webhooks that are sent by this process.
fn webhook_secret() -> WebhookSecret {
    let file = tempfile::NamedTempFile::new().unwrap();
    write_secret(file.path(), WEBHOOK_SECRET);
    WebhookSecret::from_file(file.path()).unwrap()
}

fn web_task(version: u8) -> Value {
    task(version.into(), &format!("web:{version}"), &digest(version), 1_661_161_162)
}

#[tokio::test]
async fn each_started_exited_or_scaled_artifact_is_one_signed_message_per_matching_webhook() {
    let (files, mut all, mut exits) =
        (RecorderFolder::new(), Receiver::start().await, Receiver::start().await);
    let mut firsts = Receiver::start().await;
    let new = format!("{} events=first-time-here", firsts.url);
    let filtered = format!("{} org=acme environment=env events=exited", exits.url);
    let recorder = files.start_recorder(&[all.url.clone(), filtered, new]).await;
    recorder.create("env").await;
    recorder.create("other").await;
    assert_eq!(recorder.report("env", &[web_task(1)]).await, 201);

    let (headers, started) = all.next_message().await;
    let fingerprint = digest(1);
    assert_eq!(started["event_type"], "ARTIFACT_STARTED");
    assert_eq!((&started["version"], &started["org"]), (&json!("1.0"), &json!("acme")));
    assert_eq!(started["environment"], "env");
    assert_eq!(started["description"], "web:1 started in env#1 (from 0 to 1 replicas)");
    assert_eq!(
        started["snapshot"],
        json!({
            "index": 1, "status": null,
            "html_url": "https://snapshots.example.com/acme/environments/env/snapshots/1",
            "api_url": "https://snapshots.example.com/api/v2/snapshots/acme/env/1",
        })
    );
    assert_eq!(
        started["artifact"],
        json!({
            "name": "web:1", "fingerprint": fingerprint, "was": 0, "now": 1, "origin": null,
            "first_time_here": null, "provenance": null,
        })
    );
    for header in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        assert!(headers.contains_key(header), "{headers:?}");
    }
    assert!(headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));

    assert_eq!(recorder.report("other", &[web_task(1)]).await, 201);
    assert_eq!(recorder.report("other", &[]).await, 201);
    assert_eq!(recorder.report("env", &[web_task(1), web_task(2), web_task(2)]).await, 201);
    assert_eq!(recorder.report("env", &[web_task(2)]).await, 201);
    let mut events = Vec::new();
    for _ in 0..5 {
        let (kind, name, _) = all.next_event().await;
        events.push(format!("{kind} {name}"));
    }
    // Those of one snapshot are in the order of the artifacts.
    events[3..].sort();
    assert_eq!(
        events,
        [
            "ARTIFACT_STARTED web:1",
            "ARTIFACT_EXITED web:1",
            "ARTIFACT_STARTED web:2",
            "ARTIFACT_EXITED web:1",
            "ARTIFACT_SCALED web:2",
        ]
    );
    let (kind, name, _) = exits.next_event().await;
    assert_eq!((&*kind, &*name), ("ARTIFACT_EXITED", "web:1"));
    let (_, new) = firsts.next_message().await;
    assert_eq!(new["description"], "web:2 started in env#2 (from 0 to 2 replicas)");
    assert_eq!(new["artifact"]["first_time_here"], "image");
    assert!(firsts.requests.is_empty(), "nothing of a first snapshot, and nothing twice");
    assert!(exits.requests.is_empty(), "only of environment env, and only exits");
}

#[tokio::test]
async fn undelivered_events_are_sent_in_order_after_503_responses_and_a_killed_recorder() {
    let (files, mut receiver) = (RecorderFolder::new(), Receiver::start().await);
    let hooks = [receiver.url.clone()];
    let mut recorder = files.start_recorder(&hooks).await;
    recorder.create("env").await;
    receiver.answer_with(503);
    for version in 1..=3 {
        assert_eq!(recorder.report("env", &[web_task(version)]).await, 201);
    }
    let (kind, name, first) = receiver.next_event().await;
    assert_eq!((&*kind, &*name), ("ARTIFACT_STARTED", "web:1"));
    recorder.logged("trying again: the receiver responded with 503").await;
    recorder.end("-KILL").await;

    receiver.answer_with(200);
    let _recorder = files.start_recorder(&hooks).await;
    let mut seen = Vec::new();
    let mut ids = Vec::new();
    while seen.len() < 5 {
        let (kind, name, id) = receiver.next_event().await;
        // Of the attempts before, and perhaps of those whose answer was lost.
        if ids.contains(&id) {
            continue;
        }
        ids.push(id);
        seen.push(format!("{} {name}", kind.trim_start_matches("ARTIFACT_")));
    }
    assert_eq!(ids[0], first, "a repeated message has the same identifier");
    assert_eq!(seen[0], "STARTED web:1");
    // Those of one snapshot are in the order of the artifacts.
    seen[1..3].sort();
    seen[3..].sort();
    assert_eq!(
        seen[1..],
        ["EXITED web:1", "STARTED web:2", "EXITED web:2", "STARTED web:3"],
        "in the order of the snapshots"
    );
}

/// Tokio's clock passes one backoff at a time, so that the hour takes no hour.
#[tokio::test]
async fn receiver_that_was_down_for_an_hour_gets_each_message_once_and_in_order() {
    /// Longer than the longest wait between two attempts.
    const BACKOFF: Duration = Duration::from_secs(301);
    /// Long enough for an attempt to arrive, mostly.
    const PAUSE: Duration = Duration::from_millis(100);
    let mut receiver = Receiver::start().await;
    let store = SqliteStore::in_memory().unwrap();
    let recorder = Recorder::with(store.clone(), Access::open()).await;
    recorder.create("env", None).await;
    // The clock of the recorder, and so the time of its reports, is years behind that of the deliveries.
    let webhook = format!("{} events=started,exited", receiver.url);
    let deliveries = Deliveries::new(store, webhook.parse().unwrap(), webhook_secret(), None);
    let delivered = tokio::spawn(deliveries.await.unwrap().run());
    recorder.report("env", &[web_task(1)]).await;
    let (kind, name, first) = receiver.next_event().await;
    assert_eq!((&*kind, &*name), ("ARTIFACT_STARTED", "web:1"));

    receiver.answer_with(503);
    for version in 2..=13 {
        recorder.report("env", &[web_task(version)]).await;
    }
    let (_, _, second) = receiver.next_event().await;
    let (begun, mut repeats) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_hours(1) {
        pass(BACKOFF).await;
        // If the attempt before has not ended yet, the next one comes after the next wait.
        while let Ok(repeated) = timeout(PAUSE, receiver.next_event()).await {
            assert_eq!(repeated.2, second, "one message at a time");
            repeats += 1;
        }
    }
    // No time passes but that of the host: the attempt that is under way is the last one.
    while let Ok(repeated) = timeout(Duration::from_secs(2), receiver.next_event()).await {
        assert_eq!(repeated.2, second, "one message at a time");
        repeats += 1;
    }
    assert!(repeats >= 6, "{repeats} attempts in an hour");

    receiver.answer_with(204);
    let message = loop {
        pass(BACKOFF).await;
        if let Ok(message) = timeout(Duration::from_secs(5), receiver.next_event()).await {
            break message;
        }
    };
    assert_eq!(message.2, second);
    let mut ids = vec![first, message.2];
    let mut events = vec![format!("{} {}", message.0, message.1)];
    while events.len() < 24 {
        let (kind, name, id) = receiver.next_event().await;
        events.push(format!("{kind} {name}"));
        ids.push(id);
    }
    for (number, events) in (2..=13).zip(events.chunks_mut(2)) {
        // Those of one snapshot are in the order of the artifacts.
        events.sort();
        let (old, new) = (number - 1, number);
        let expected =
            [format!("ARTIFACT_EXITED web:{old}"), format!("ARTIFACT_STARTED web:{new}")];
        assert_eq!(events, expected);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1 + 24, "each message once");
    delivered.abort();
}

/// Lets `time` pass on Tokio's clock.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn undelivered_events_of_an_archived_environment_are_still_delivered() {
    let (files, mut receiver) = (RecorderFolder::new(), Receiver::start().await);
    let hooks = [receiver.url.clone()];
    let mut recorder = files.start_recorder(&hooks).await;
    recorder.create("env").await;
    receiver.answer_with(503);
    for version in 1..=2 {
        assert_eq!(recorder.report("env", &[web_task(version)]).await, 201);
    }
    let (_, _, first) = receiver.next_event().await;
    let archived = recorder.put("/environments/acme/env/archive", &json!({})).await;
    assert!(archived.status().is_success(), "{archived:?}");
    recorder.end("-KILL").await;

    receiver.answer_with(200);
    let _recorder = files.start_recorder(&hooks).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let (kind, name, id) = receiver.next_event().await;
        let event = (format!("{} {name}", kind.trim_start_matches("ARTIFACT_")), id);
        if !seen.contains(&event) {
            seen.push(event);
        }
    }
    assert_eq!(seen[0], ("STARTED web:1".to_owned(), first));
    let mut seen: Vec<_> = seen.into_iter().map(|(event, _)| event).collect();
    // Those of one snapshot are in the order of the artifacts.
    seen[1..].sort();
    assert_eq!(seen[1..], ["EXITED web:1", "STARTED web:2"]);
}

#[tokio::test]
async fn webhook_receiver_that_does_not_answer_delays_no_report() {
    let (files, mut receiver) = (RecorderFolder::new(), Receiver::start().await);
    receiver.hangs.store(true, Ordering::Relaxed);
    let mut recorder = files.start_recorder(&[receiver.url.clone()]).await;
    recorder.create("env").await;
    assert_eq!(recorder.report("env", &[web_task(1)]).await, 201);
    receiver.next_message().await;
    for version in 2..=20 {
        assert_eq!(recorder.report("env", &[web_task(version)]).await, 201);
    }
    assert_eq!(recorder.index("env").await, 20);
    recorder.end("-TERM").await;
    assert!(receiver.requests.is_empty(), "one message at a time");
}

#[tokio::test]
async fn overdue_report_and_rogue_artifact_are_each_sent_to_the_webhook() {
    let mut receiver = Receiver::start().await;
    let store = SqliteStore::in_memory().unwrap();
    let recorder = Recorder::with(store.clone(), Access::open()).await;
    recorder.create("env", None).await;
    recorder.artifact("acme", "web", "t", &digest(1)).await;
    recorder.report("env", &[]).await;
    let webhook = format!("{} events=rogue,no-report", receiver.url);
    let two_hours_later = Clock::from_fn(|| 1_661_161_162.5 + 7_201.0);
    let deliveries = Deliveries::new(
        store.with_clock(two_hours_later),
        webhook.parse().unwrap(),
        webhook_secret(),
        None,
    );
    let delivered = tokio::spawn(deliveries.await.unwrap().run());
    let (_, silent) = receiver.next_message().await;
    assert_eq!(silent["event_type"], "NO_REPORT");
    assert_eq!(silent["timestamp"], "2022-08-22T09:39:22.5Z");
    assert_eq!((&silent["snapshot"], &silent["artifact"]), (&Value::Null, &Value::Null));

    recorder.advance(60.0);
    recorder.report("env", &[web_task(1), web_task(9)]).await;
    let (_, rogue) = receiver.next_message().await;
    assert_eq!(rogue["artifact"]["name"], "web:9");
    assert_eq!(rogue["artifact"]["origin"], "rogue");
    assert_eq!(rogue["artifact"]["provenance"], Value::Null);
    assert!(receiver.requests.is_empty(), "what a flow reported before is not rogue");
    delivered.abort();
}

#[tokio::test]
async fn invalid_webhook_url_event_or_secret_is_rejected_without_printing_the_secret() {
    let files = RecorderFolder::new();
    let start = |webhook: &str, secret: &Path| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_envsnap"))
            .args(["serve", "--listen", "127.0.0.1:0", "--webhook", webhook, "--db"])
            .arg(files.db_path())
            .arg("--webhook-secret-file")
            .arg(secret)
            .env_clear()
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let short = files.folder.path().join("short");
    write_secret(&short, "whsec_c2hvcnQ=");
    let refused = start("http://127.0.0.1:1/", &short);
    assert!(
        refused.contains("openssl rand -base64 32") && !refused.contains("c2hvcnQ"),
        "{refused}"
    );
    let refused = start("ftp://127.0.0.1:1/T0K3N", &files.secret_path());
    assert!(refused.contains("is not an address of http or https"), "{refused}");
    let refused = start("http://127.0.0.1:1/ events=rouge", &files.secret_path());
    assert!(
        refused.contains("started, exited, scaled, rogue, first-time-here, no-report"),
        "{refused}"
    );
}

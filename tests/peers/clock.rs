//! The recorder on a host whose clock is set while it runs (by `faketime`).

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::programs::{ProgramOutput, envsnap};

/// A recorder whose clock is replaced by `faketime`, which reads the time from the file `clock`.
struct RecorderWithFakeClock {
    url: String,
    log: Lines<BufReader<ChildStderr>>,
    _process: Child,
}

impl RecorderWithFakeClock {
    /// Starts the recorder with its database, and the file `clock`, in `folder`.
    async fn start(folder: &Path) -> Self {
        // The library by which the program replaces the clock.
        let library = ProgramOutput::run(Command::new("faketime").args([
            "-f",
            "+0",
            "printenv",
            "LD_PRELOAD",
        ]))
        .await
        .success();
        let mut process = envsnap()
            .args(["serve", "--listen", "127.0.0.1:0", "--db"])
            .arg(folder.join("snapshots.db"))
            .env("LD_PRELOAD", library.trim())
            .env("FAKETIME_TIMESTAMP_FILE", folder.join("clock"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let line = log.next_line().await.unwrap().unwrap();
        let (_, url) = line.split_once(" on ").unwrap_or_else(|| panic!("no address: {line}"));
        Self { url: url.to_owned(), log, _process: process }
    }

    /// Reports that one artifact runs, whose fingerprint is `number`. Returns the HTTP status.
    async fn report(&self, number: u32) -> u16 {
        let entry = json!({
            "taskArn": "a", "digests": {"web": format!("{number:064x}")}, "creationTimestamp": 1,
        });
        let url = format!("{}/api/v2/environments/acme/env/report/ECS", self.url);
        let body = json!({"artifacts": [entry]}).to_string();
        let response = reqwest::Client::new().put(url).body(body).send().await.unwrap();
        response.status().as_u16()
    }

    /// The year in which the latest snapshot was recorded.
    async fn year_of_latest_snapshot(&self) -> i16 {
        let url = format!("{}/api/v2/snapshots/acme/env/-1", self.url);
        let latest: serde_json::Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds")]
        let timestamp = latest["timestamp"].as_f64().unwrap() as i64;
        jiff::Timestamp::from_second(timestamp).unwrap().strftime("%Y").to_string().parse().unwrap()
    }
}

#[tokio::test]
#[ignore = "needs faketime"]
async fn recorder_refuses_reports_while_its_clock_is_wrong_and_keeps_connections() {
    let folder = TempDir::new().unwrap();
    let set_clock = |clock: &str| std::fs::write(folder.path().join("clock"), clock).unwrap();
    set_clock("+0");
    let mut recorder = RecorderWithFakeClock::start(folder.path()).await;
    let url = format!("{}/api/v2/environments/acme", recorder.url);
    let body = json!({"name": "env", "type": "ECS", "description": ""}).to_string();
    let created = reqwest::Client::new().put(url).body(body).send().await.unwrap();
    assert_eq!(created.status(), 201);
    assert_eq!(recorder.report(1).await, 201);
    let year = recorder.year_of_latest_snapshot().await;
    assert_eq!(recorder.report(3).await, 201);
    for clock in ["+10y", "-10y", "@1970-01-01 00:00:01"] {
        set_clock(clock);
        assert_eq!(recorder.report(2).await, 503, "{clock}");
        assert_eq!(recorder.year_of_latest_snapshot().await, year, "{clock}");
        let line = loop {
            let line = recorder.log.next_line().await.unwrap().unwrap();
            if !line.contains("INFO") && line.contains("clock of this host") {
                break line;
            }
        };
        assert!(line.contains("ERROR"), "{line}");
    }
    // Times at which hyper panics. `report` connects anew each time; this client keeps its connection.
    let persistent_client = reqwest::Client::new();
    let ready_url = format!("{}/ready", recorder.url);
    let mut statuses = Vec::new();
    for clock in ["+0", "@1960-01-01 00:00:00", "+0", "+9000y", "+0"] {
        set_clock(clock);
        assert_eq!(recorder.report(3).await, if clock == "+0" { 200 } else { 503 }, "{clock}");
        statuses.push(persistent_client.get(&ready_url).send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 503, 200, 503, 200]);
    assert_eq!(recorder.report(2).await, 201);
    assert_eq!(recorder.year_of_latest_snapshot().await, year);
}

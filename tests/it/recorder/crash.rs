//! What a recorder that is killed has kept.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use envsnap::recorder::{AttachmentCheck, verify};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::second_program::execute;
use super::server::task;
use crate::harness::http_client;

/// How often the recorder is killed; a thousand times with `ENVSNAP_LONG`.
const ROUNDS: usize = 50;
/// Environments, to each of which one client reports.
const ENVIRONMENTS: u64 = 4;

/// The test fails if reports or the end of a client take longer.
const ROUND_TIMEOUT: Duration = Duration::from_mins(1);

/// A recorder as a process of its own.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) url: String,
    client: Client,
    log: Arc<Mutex<String>>,
}

impl Process {
    pub(crate) async fn start(file: &Path) -> Self {
        Self::start_with(file, |_| {}).await
    }

    /// Starts it, with its command changed by `change`.
    pub(crate) async fn start_with(file: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_envsnap"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--db"])
            .arg(file)
            .env_clear()
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = String::new();
        let url = loop {
            let Some(line) = lines.next_line().await.unwrap() else { panic!("no address: {log}") };
            if let Some((_, url)) =
                line.split_once(" on ").filter(|(_, url)| url.starts_with("http"))
            {
                break format!("{url}/api/v2");
            }
            log.push_str(&line);
            log.push('\n');
        };
        let log = Arc::new(Mutex::new(log));
        // Or the pipe fills up, and the recorder waits for a reader.
        tokio::spawn({
            let log = Arc::clone(&log);
            async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    let mut log = log.lock().unwrap();
                    log.push_str(&line);
                    log.push('\n');
                }
            }
        });
        Self { child, url, client: http_client(), log }
    }

    /// What it has written to its log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The first line of its log with `part` in it, which may come up to 30 seconds after the
    /// response.
    pub(crate) async fn logged(&self, part: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(part)) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "no {part} in {log}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends this signal (`-KILL`, `-TERM`), and waits for the end of the process.
    pub(crate) async fn end(&mut self, signal: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
        self.child.wait().await.unwrap();
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> reqwest::Response {
        let request = self.client.put(format!("{}{path}", self.url));
        request.body(body.to_string()).send().await.unwrap()
    }

    /// Status and body of the response.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Creates environment `name` of organization `acme`.
    pub(crate) async fn create(&self, name: &str) {
        let body = json!({"name": name, "type": "ECS", "description": ""});
        assert_eq!(self.put("/environments/acme", &body).await.status(), 201);
    }

    /// Reports `artifacts` to `acme/name`; the status.
    pub(crate) async fn report(&self, name: &str, artifacts: &[Value]) -> u16 {
        let path = format!("/environments/acme/{name}/report/ECS");
        self.put(&path, &json!({"artifacts": artifacts})).await.status().as_u16()
    }

    /// The status of a report, or `None` without a response.
    pub(crate) async fn try_report(&self, name: &str, artifacts: &[Value]) -> Option<u16> {
        let request = self.client.put(format!("{}/environments/acme/{name}/report/ECS", self.url));
        let sent = request.body(json!({"artifacts": artifacts}).to_string()).send().await;
        sent.ok().map(|answer| answer.status().as_u16())
    }

    /// The index of the latest snapshot of `acme/name`.
    pub(crate) async fn index(&self, name: &str) -> u64 {
        let (status, latest) = self.get(&format!("/snapshots/acme/{name}/-1")).await;
        assert_eq!(status, 200, "{latest}");
        latest["index"].as_u64().unwrap()
    }
}

/// Fingerprints of the reports that were answered with 201, by environment and in order, and all
/// heads that were returned.
#[derive(Default)]
struct AcknowledgedReports {
    fingerprints: BTreeMap<u64, Vec<String>>,
    heads: Vec<String>,
}

/// Reports one new snapshot after the other until the recorder is killed.
async fn report_until_killed(
    url: String,
    environment: u64,
    round: usize,
    answered: Arc<Mutex<AcknowledgedReports>>,
    count: Arc<Semaphore>,
) {
    let client = http_client();
    for n in 0_u64.. {
        let fingerprint = format!("{round:016x}{environment:016x}{n:032x}");
        let body = json!({"artifacts": [task(1, "web", &fingerprint, 1)]}).to_string();
        let report = client.put(format!("{url}/environments/acme/env-{environment}/report/ECS"));
        let Ok(answer) = report.body(body).send().await else { return };
        assert_eq!(answer.status(), 201);
        let head = answer.headers()["x-envsnap-head"].to_str().unwrap().to_owned();
        let mut answered = answered.lock().unwrap();
        answered.fingerprints.entry(environment).or_default().push(fingerprint);
        answered.heads.push(head);
        count.add_permits(1);
    }
}

/// The fingerprint that started with each snapshot of the environment.
async fn recorded_fingerprints(url: &str, environment: u64) -> Vec<String> {
    let client = http_client();
    let get = async |expression: &str| -> Value {
        let url = format!("{url}/snapshots/acme/env-{environment}/{expression}");
        client.get(url).send().await.unwrap().json().await.unwrap()
    };
    let count = get("-1").await["index"].as_u64().unwrap_or_default();
    let mut recorded = Vec::new();
    for index in 1..=count {
        let snapshot = get(&index.to_string()).await;
        recorded.push(snapshot["artifacts"][0]["fingerprint"].as_str().unwrap().to_owned());
    }
    recorded
}

/// Reads the latest snapshots and the history again and again until the recorder is killed.
async fn read_until_killed(url: String) {
    let client = http_client();
    loop {
        for path in
            ["snapshots/acme/env-0/-1", "snapshots/acme/env-1?per_page=5", "environments/acme"]
        {
            let Ok(answer) = client.get(format!("{url}/{path}")).send().await else { return };
            // The first one may not be recorded yet.
            assert!([200, 404].contains(&answer.status().as_u16()), "{path}: {answer:?}");
        }
    }
}

/// Runs `envsnap`, which must succeed.
async fn run_envsnap(arguments: &[&OsStr]) {
    let output = Command::new(env!("CARGO_BIN_EXE_envsnap"))
        .args(arguments)
        .env_clear()
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// Opens the file with SQLite, reads and closes it, and again with a checkpoint, as another program
/// does: with Python's SQLite if `system`, which may be older than the recorder's.
async fn open_with_sqlite(file: &Path, system: bool) {
    for sql in ["SELECT count(*) FROM snapshot", "PRAGMA wal_checkpoint(TRUNCATE)"] {
        if system {
            let script = "import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=30)
connection.execute(sys.argv[2]).fetchall()
connection.close()";
            let output = Command::new("python3")
                .args(["-c", script])
                .arg(file)
                .arg(sql)
                .output()
                .await
                .unwrap();
            assert!(output.status.success(), "{output:?}");
        } else {
            let file = file.to_owned();
            tokio::task::spawn_blocking(move || execute(&file, sql)).await.unwrap();
        }
    }
}

/// Opens the file with SQLite, verifies it and backs it up again and again until `stop`; how many
/// times.
async fn use_file_beside_recorder(file: PathBuf, stop: Arc<AtomicBool>) -> usize {
    let system = Command::new("python3").args(["-c", "import sqlite3"]).output().await;
    let system = system.is_ok_and(|output| output.status.success());
    let copy = file.with_extension("copy");
    let mut times = 0;
    while !stop.load(Ordering::Relaxed) {
        open_with_sqlite(&file, system && times % 2 == 0).await;
        run_envsnap(&["verify".as_ref(), "--db".as_ref(), file.as_ref()]).await;
        run_envsnap(&["backup".as_ref(), "--db".as_ref(), file.as_ref(), copy.as_ref()]).await;
        run_envsnap(&["verify".as_ref(), "--db".as_ref(), copy.as_ref()]).await;
        std::fs::remove_file(&copy).unwrap();
        times += 1;
    }
    times
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long"]
async fn a_recorder_that_is_killed_repeatedly_has_every_acknowledged_report() {
    let rounds = if std::env::var_os("ENVSNAP_LONG").is_some() { 1_000 } else { ROUNDS };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let answered = Arc::new(Mutex::new(AcknowledgedReports::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let mut looking = None;
    for round in 0..rounds {
        let mut recorder = Process::start(&file).await;
        if round == 0 {
            for environment in 0..ENVIRONMENTS {
                recorder.create(&format!("env-{environment}")).await;
            }
            looking = Some(tokio::spawn(use_file_beside_recorder(file.clone(), Arc::clone(&stop))));
        }
        let count = Arc::new(Semaphore::new(0));
        let mut clients: Vec<_> = (0..ENVIRONMENTS)
            .map(|environment| {
                let (answered, count) = (Arc::clone(&answered), Arc::clone(&count));
                tokio::spawn(report_until_killed(
                    recorder.url.clone(),
                    environment,
                    round,
                    answered,
                    count,
                ))
            })
            .collect();
        clients.extend((0..2).map(|_| tokio::spawn(read_until_killed(recorder.url.clone()))));
        // Other reports are on their way whenever it dies.
        let enough = u32::try_from(1 + 3 * (round % 15)).unwrap();
        let Ok(enough) = timeout(ROUND_TIMEOUT, count.acquire_many(enough)).await else {
            panic!("round {round}: the recorder does not go on: {}", recorder.log());
        };
        enough.unwrap().forget();
        recorder.child.kill().await.unwrap();
        for (number, client) in clients.into_iter().enumerate() {
            let Ok(ended) = timeout(ROUND_TIMEOUT, client).await else {
                panic!(
                    "round {round}: client {number} does not notice the end: {}",
                    recorder.log()
                );
            };
            ended.unwrap();
        }
        assert!(!recorder.log().contains("ERROR"), "{}", recorder.log());

        if round % 10 == 0 {
            let heads = answered.lock().unwrap().heads.clone();
            for head in [&heads[0], &heads[heads.len() - 1]] {
                let verified = verify(&file, Some(&head.parse().unwrap()), AttachmentCheck::Sizes);
                assert!(verified.is_ok(), "round {round}: {verified:?}");
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    assert!(looking.unwrap().await.unwrap() > 0);
    let mut recorder = Process::start(&file).await;
    let mut count = 0;
    for environment in 0..ENVIRONMENTS {
        let kept = recorded_fingerprints(&recorder.url, environment).await;
        let mut in_order = kept.iter();
        let answered = answered.lock().unwrap();
        for fingerprint in answered.fingerprints.get(&environment).into_iter().flatten() {
            assert!(in_order.any(|it| it == fingerprint), "env-{environment} lost {fingerprint}");
            count += 1;
        }
    }
    println!("{count} reports were answered in {rounds} lives of the recorder, and none is lost");
    recorder.child.kill().await.unwrap();
}

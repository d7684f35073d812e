//! A recorder under clients and a log that behave badly: as a process, over sockets and pipes.

use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use envsnap::recorder::{Access, Clock, SqliteStore};
use reqwest::{Client, Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_blocking};

use super::server::{Recorder, digest, task};
use crate::harness::http_client;

/// A recorder as a process of its own, whose log the test reads or not.
struct Process {
    child: Child,
    /// `host:port`.
    address: String,
}

impl Process {
    /// Starts it with the words `before` in front of its command; its standard error is read up to
    /// the line with its address.
    fn start(file: &Path, before: &[&str]) -> (Self, ChildStderr) {
        let serve = env!("CARGO_BIN_EXE_envsnap");
        let words = [before, &[serve, "serve", "--listen", "127.0.0.1:0", "--db"]].concat();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .arg(file)
            .env_clear()
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = child.stderr.take().unwrap();
        let mut said = String::new();
        while !said.contains("accepts any token or none.\n") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut log, &mut byte).unwrap();
            said.push(byte[0].into());
        }
        let (_, address) = said.split_once("http://").unwrap();
        let address = address.lines().next().unwrap().to_owned();
        (Self { child, address }, log)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The most memory that it ever had, in kilobytes.
    fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends SIGTERM; the exit code.
    async fn terminate(mut self) -> Option<i32> {
        let kill = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(kill.success());
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                return ended.code();
            }
            assert!(Instant::now() < deadline, "it does not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    /// Kills the process, also if the test failed.
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn client() -> Client {
    Client::builder().no_proxy().timeout(Duration::from_mins(1)).build().unwrap()
}

/// Creates environment `env` of this organization.
async fn create(process: &Process, client: &Client, org: &str) {
    let body = json!({"name": "env", "type": "ECS", "description": ""}).to_string();
    let url = process.url(&format!("/api/v2/environments/{org}"));
    assert_eq!(client.put(url).body(body).send().await.unwrap().status(), 201);
}

/// The value of a metric without labels.
async fn metric(process: &Process, client: &Client, name: &str) -> u64 {
    let text = client.get(process.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long"]
async fn an_unread_log_blocks_neither_responses_nor_the_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let (process, mut log) = Process::start(&folder.path().join("snapshots.db"), &[]);
    let client = client();
    create(&process, &client, "acme").await;
    // A pipe holds 64 kB, and the recorder 4,096 lines of some 150 bytes more.
    for _ in 0..6_000 {
        let answer = client.get(process.url("/ready")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let dropped = metric(&process, &client, "envsnap_log_lines_dropped_total").await;
    assert!(dropped > 500, "{dropped}");

    // Once it is read again, the log says that it is not whole.
    let (sender, drained) = tokio::sync::oneshot::channel();
    let reader = spawn_blocking(move || {
        let (mut sender, mut said, mut buffer) = (Some(sender), String::new(), [0; 4096]);
        while let Ok(count @ 1..) = std::io::Read::read(&mut log, &mut buffer) {
            said.push_str(&String::from_utf8_lossy(&buffer[..count]));
            if said.contains("log lines were dropped")
                && let Some(sender) = sender.take()
            {
                sender.send(()).unwrap();
            }
        }
        said
    });
    tokio::time::timeout(Duration::from_mins(1), drained).await.unwrap().unwrap();
    assert_eq!(process.terminate().await, Some(0));
    let said = reader.await.unwrap();
    let line = said.lines().find(|line| line.contains("log lines were dropped")).unwrap();
    assert!(line.contains("WARN"), "{line}");

    // And one that stays full does not keep it from stopping.
    let (process, log) = Process::start(&folder.path().join("snapshots.db"), &[]);
    for _ in 0..1_000 {
        client.get(process.url("/ready")).send().await.unwrap();
    }
    assert_eq!(process.terminate().await, Some(0));
    drop(log);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_finish_their_heads_hold_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (process, mut log) = Process::start(&folder.path().join("snapshots.db"), &[]);
    spawn_blocking(move || std::io::copy(&mut log, &mut std::io::sink()));
    let before = process.peak_memory();
    let mut open = Vec::new();
    for _ in 0..500 {
        let mut connection = TcpStream::connect(&process.address).await.unwrap();
        connection.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await.unwrap();
        connection.write_all(&[b'a'; 15 << 10]).await.unwrap();
        open.push(connection);
    }
    // More than a head may have is refused, and so nothing grows.
    for connection in &mut open {
        let _refused = connection.write_all(&vec![b'a'; 256 << 10]).await;
    }
    let ready = client().get(process.url("/ready")).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    let grown = process.peak_memory().saturating_sub(before);
    assert!(grown < 60_000, "{grown} kB for 500 connections");
    process.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_files_are_refused_at_once_logged_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    // Neither the soft nor the hard limit leaves more than 32 connections.
    let limited = ["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""];
    let (process, mut log) = Process::start(&folder.path().join("snapshots.db"), &limited);
    let said = spawn_blocking(move || {
        let mut said = String::new();
        std::io::Read::read_to_string(&mut log, &mut said).unwrap();
        said
    });
    let mut open = Vec::new();
    for _ in 0..32 {
        let mut connection = TcpStream::connect(&process.address).await.unwrap();
        connection.write_all(b"GET /ready HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        connection.read_exact(&mut [0; 12]).await.unwrap();
        open.push(connection);
    }
    for _ in 0..200 {
        let mut refused = TcpStream::connect(&process.address).await.unwrap();
        refused.write_all(b"GET /ready HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        refused.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }
    // A reporter waits and asks again.
    drop(open);
    let client = client();
    let count = loop {
        let answer = client.get(process.url("/metrics")).send().await.unwrap();
        if answer.status() == StatusCode::OK {
            break metric(&process, &client, "envsnap_connections_refused_total").await;
        }
    };
    assert!(count >= 200, "{count}");
    drop(client);
    process.terminate().await;
    let said = said.await.unwrap();
    let lines = said.lines().filter(|line| line.contains("connections are refused")).count();
    assert!((1..20).contains(&lines), "{lines} lines: {said}");
}

/// Body of a report of `count` artifacts, each in one task.
fn large_report(count: u32, version: u8) -> String {
    let tasks: Vec<_> = (0..count)
        .map(|n| {
            let name = format!("274425519734.dkr.ecr.eu-central-1.amazonaws.com/service-{n}:1");
            let fingerprint = format!("{version:08x}{n:08x}{}", "0".repeat(48));
            task(n, &name, &fingerprint, 1_661_161_157)
        })
        .collect();
    json!({ "artifacts": tasks }).to_string()
}

/// Bodies of reports of 4 to 10 MB: one artifact in as many services as fit, more artifacts than a
/// snapshot may have, and more entries than a report may have.
fn hostile_reports() -> Vec<String> {
    let reports = [
        // One artifact in as many services.
        (0..95_000)
            .map(|n| {
                format!(r#"{{"taskArn":"","service_name":"{n}","digests":{{"w":""}},"creationTimestamp":1}}"#)
            })
            .collect::<Vec<_>>(),
        // As many artifacts as fit into a snapshot, and more.
        (0..3_000)
            .map(|n| {
                let arn = "a".repeat(1_000);
                let digests: Vec<_> = (0..50).map(|at| format!(r#""{n}-{at}":"""#)).collect();
                let digests = digests.join(",");
                format!(r#"{{"taskArn":"{arn}","digests":{{{digests}}},"creationTimestamp":{n}}}"#)
            })
            .collect(),
        // More entries than there may be.
        (0..190_000).map(|_| r#"{"taskArn":"","digests":{},"creationTimestamp":1}"#.to_owned()).collect(),
    ];
    reports
        .iter()
        .map(|entries| format!(r#"{{"artifacts":[{}]}}"#, entries.join(",")))
        .inspect(|body| assert!((4 << 20..10 << 20).contains(&body.len()), "{}", body.len()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long"]
async fn large_reports_take_bounded_memory_and_others_are_recorded_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (process, mut log) = Process::start(&folder.path().join("snapshots.db"), &[]);
    spawn_blocking(move || std::io::copy(&mut log, &mut std::io::sink()));
    let client = client();
    create(&process, &client, "acme").await;
    create(&process, &client, "other").await;
    let large = process.url("/api/v2/environments/acme/env/report/ECS");
    let mut reports = JoinSet::new();
    let bodies = hostile_reports().into_iter().chain([large_report(12_000, 1)]);
    for body in bodies.cycle().take(12) {
        let request = client.put(&large).body(body).send();
        reports.spawn(async move { request.await.unwrap().status().as_u16() });
    }
    // Another organization's reports, one after the other, until the large ones are answered.
    let mut meanwhile = 0_u32;
    let mut statuses = Vec::new();
    while !reports.is_empty() {
        let body = json!({"artifacts": [task(1, "web", &format!("{meanwhile:064x}"), 1)]});
        let url = process.url("/api/v2/environments/other/env/report/ECS");
        let answer = client.put(url).body(body.to_string()).send().await.unwrap();
        match answer.status() {
            StatusCode::CREATED => meanwhile += 1,
            // A queue that is too long for the moment: to be asked again, as every reporter does.
            StatusCode::SERVICE_UNAVAILABLE => {
                assert!(answer.headers().contains_key("retry-after"));
            }
            status => panic!("{status}"),
        }
        while let Some(status) = reports.try_join_next() {
            statuses.push(status.unwrap());
        }
    }
    assert!(meanwhile > 3, "{meanwhile} reports in the time of {statuses:?}");
    assert!(statuses.contains(&201) && statuses.contains(&413), "{statuses:?}");
    assert!(statuses.iter().all(|it| matches!(it, 200 | 201 | 400 | 413 | 503)), "{statuses:?}");
    let peak = process.peak_memory();
    assert!(peak < 400_000, "{peak} kB");
    process.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long"]
async fn clients_that_do_not_read_responses_hold_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (process, mut log) = Process::start(&folder.path().join("snapshots.db"), &[]);
    spawn_blocking(move || std::io::copy(&mut log, &mut std::io::sink()));
    let client = client();
    create(&process, &client, "acme").await;
    let report = process.url("/api/v2/environments/acme/env/report/ECS");
    let reported = client.put(&report).body(large_report(8_000, 1)).send().await.unwrap();
    assert_eq!(reported.status(), 201);
    // What was needed for large reports must not stay beside what is needed now.
    let bodies = [1, 2].map(|version| Bytes::from(large_report(8_000, version)));
    let mut reports = JoinSet::new();
    for body in bodies.iter().cycle().take(12) {
        let request = client.put(&report).body(body.clone()).send();
        reports.spawn(async move { request.await.unwrap().status().as_u16() });
    }
    let reported = reports.join_all().await;
    assert!(reported.iter().all(|it| matches!(it, 200 | 201 | 503)), "{reported:?}");
    let mut asked = JoinSet::new();
    for _ in 0..36 {
        let address = process.address.clone();
        asked.spawn(async move {
            let mut connection = TcpStream::connect(address).await.unwrap();
            let request = b"GET /api/v2/snapshots/acme/env/-1 HTTP/1.1\r\nhost: localhost\r\n\r\n";
            connection.write_all(request).await.unwrap();
            let mut status = [0; 12];
            connection.read_exact(&mut status).await.unwrap();
            (connection, String::from_utf8_lossy(&status[9..]).into_owned())
        });
    }
    let asked = asked.join_all().await;
    let count = |status: &str| asked.iter().filter(|(_, given)| given == status).count();
    assert!(count("200") >= 5 && count("503") > 10, "{} and {}", count("200"), count("503"));
    // Who reads gets an answer all the same, as long as it is not as large.
    let small = client.get(process.url("/api/v2/environments/acme/env")).send().await.unwrap();
    assert_eq!(small.status(), StatusCode::OK);
    assert!(process.peak_memory() < 400_000, "{} kB", process.peak_memory());
    drop(asked);
    process.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_handler_is_answered_and_counted_and_the_next_request_works() {
    let store = SqliteStore::in_memory().unwrap();
    let broken = Arc::new(AtomicBool::new(false));
    let breaks = Arc::clone(&broken);
    let recorder = Recorder::with_clock(store, Access::open(), |time| {
        Clock::from_fn(move || {
            assert!(!breaks.load(Ordering::Relaxed), "the clock is broken, for a test");
            *time.lock().unwrap()
        })
    })
    .await;
    recorder.create("env", None).await;
    recorder.report("env", &[task(1, "web", &digest(1), 1)]).await;
    broken.store(true, Ordering::Relaxed);
    let answer = recorder.get("/snapshots/acme/env/-1").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.message().contains("Internal error"), "{answer:?}");
    broken.store(false, Ordering::Relaxed);
    assert_eq!(recorder.get("/snapshots/acme/env/-1").await.status, StatusCode::OK);
    let metrics = reqwest::get(format!("{}/metrics", recorder.url)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.lines().any(|line| line == "envsnap_panics_total 1"), "{metrics}");
}

#[tokio::test]
async fn sighup_without_a_token_file_is_logged_and_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let (mut process, log) = Process::start(&folder.path().join("snapshots.db"), &[]);
    let hangup = Command::new("kill").args(["-HUP", &process.child.id().to_string()]).status();
    assert!(hangup.unwrap().success());
    let line = spawn_blocking(|| {
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(log));
        lines.next().expect("it goes on").unwrap()
    });
    let line = line.await.unwrap();
    assert!(line.contains("ignored SIGHUP: there is no token file"), "{line}");
    assert!(process.child.try_wait().unwrap().is_none());
    assert_eq!(process.terminate().await, Some(0));
}

#[tokio::test]
async fn every_response_has_a_date_header() {
    let recorder = Recorder::start().await;
    for path in ["/api/v2/environments/acme", "/", "/no/such/page", "/ready"] {
        let request = http_client();
        let request = request.request(Method::GET, format!("{}{path}", recorder.url));
        let answer = request.send().await.unwrap();
        let date = answer.headers()["date"].to_str().unwrap().to_owned();
        assert!(date.ends_with(" GMT") && date.len() == 29, "{path}: {date}");
    }
}

//! `envsnap env watch` beside a recorder that records, ends and comes back.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::harness::http_client;
use crate::recorder::crash::Process;
use crate::recorder::server::{Recorder, digest, task};
use crate::scripted::Scripted;

/// A running `envsnap env watch aws-prod`, and its output.
struct Watch {
    process: Child,
    out: BufReader<ChildStdout>,
    error: BufReader<ChildStderr>,
}

impl Watch {
    fn start(url: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_envsnap"))
            .args(["env", "watch", "aws-prod", "--interval", "100ms"])
            .args(arguments)
            .env_clear()
            .envs([("KOSLI_HOST", url), ("KOSLI_ORG", "acme"), ("TZ", "UTC")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let error = BufReader::new(process.stderr.take().unwrap());
        Self { process, out, error }
    }

    /// The next line of standard output.
    fn next_line(&mut self) -> String {
        let mut line = String::new();
        tokio::task::block_in_place(|| self.out.read_line(&mut line)).unwrap();
        line
    }

    /// The next line of standard error.
    fn next_error_line(&mut self) -> String {
        let mut line = String::new();
        tokio::task::block_in_place(|| self.error.read_line(&mut line)).unwrap();
        line
    }

    /// Sends SIGINT, as Ctrl-C does; the exit code.
    fn interrupt(mut self) -> Option<i32> {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        tokio::task::block_in_place(|| self.process.wait()).unwrap().code()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_prints_the_diff_of_each_new_snapshot() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", None).await;
    let mut watch = Watch::start(&recorder.url, &[]);
    assert_eq!(watch.next_error_line(), "Watching aws-prod, which has no snapshot yet.\n");
    recorder.report("aws-prod", &[task(1, "runner:1", &digest(1), 5)]).await;
    let mut lines = vec![];
    while lines.last().is_none_or(|line: &String| !line.starts_with("  Replicas")) {
        lines.push(watch.next_line());
    }
    assert_eq!(lines[0], "Mon, 22 Aug 2022 09:39:22 UTC\n");
    assert_eq!(lines[1], "From aws-prod#0 to aws-prod#1 (- exited, + started, ~ scaled)\n");
    assert_eq!(lines[3], "+ Name:   runner:1\n");
    assert_eq!(watch.interrupt(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_prints_one_json_line_per_new_snapshot() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", None).await;
    let mut watch = Watch::start(&recorder.url, &["-o", "json"]);
    watch.next_error_line();
    for byte in 1..=3_u8 {
        let name = format!("runner:{byte}");
        recorder.report("aws-prod", &[task(1, &name, &digest(byte), 5)]).await;
        let diff: Value = serde_json::from_str(&watch.next_line()).unwrap();
        assert_eq!(diff["snappish2"]["snapshot_id"], format!("aws-prod#{byte}"));
        assert_eq!(diff["snappish2"]["artifacts"][0]["name"], name);
    }
    assert_eq!(watch.interrupt(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_retries_invalid_responses_and_ends_if_the_environment_is_missing() {
    let server = Scripted::start().await;
    let latest = |index| json!([{"index": index, "from": 1.0, "to": 0.0}]);
    let gone = json!({
        "message": "Environment named 'aws-prod' does not exist for organization 'acme'",
    });
    server.then_json(200, &latest(1)).then(200, "half an answ").then(200, "half an answ");
    server.then_json(200, &latest(1)).then_json(404, &gone);
    let mut watch = Watch::start(&server.url, &[]);
    assert_eq!(watch.next_error_line(), "Watching aws-prod from aws-prod#1 on.\n");
    let silent = watch.next_error_line();
    assert!(silent.contains("half an answ. Trying again."), "{silent}");
    assert_eq!(watch.next_error_line(), "The server is reachable again.\n", "logged once");
    let end = watch.next_error_line();
    assert!(end.contains("'aws-prod' does not exist"), "what no waiting changes: {end}");
    assert_eq!(watch.process.wait().unwrap().code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_ends_if_the_index_of_the_latest_snapshot_goes_back() {
    let server = Scripted::start().await;
    let latest = |index| json!([{"index": index, "from": 1.0, "to": 0.0}]);
    server.then_json(200, &latest(7)).then_json(200, &latest(3));
    let mut watch = Watch::start(&server.url, &[]);
    watch.next_error_line();
    let end = watch.next_error_line();
    assert!(end.contains("was aws-prod#7 and is aws-prod#3 now"), "{end}");
    assert_eq!(watch.process.wait().unwrap().code(), Some(2));
}

/// URL that forwards connections to the current `recorder`, as the DNS name of a service does.
async fn forwarding_url(recorder: Arc<Mutex<String>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let recorder = recorder.lock().unwrap().clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(recorder).await?;
                copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_continues_after_a_recorder_restart_without_missing_or_repeating_snapshots() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let address = |recorder: &Process| {
        let address = recorder.url.strip_prefix("http://").unwrap();
        address.split('/').next().unwrap().to_owned()
    };
    let mut recorder = Process::start(&file).await;
    let place = Arc::new(Mutex::new(address(&recorder)));
    let url = forwarding_url(Arc::clone(&place)).await;
    let put = async |path: &str, body: Value| {
        let url = format!("{url}/api/v2/environments/acme{path}");
        let client = http_client();
        assert_eq!(client.put(url).body(body.to_string()).send().await.unwrap().status(), 201);
    };
    let report = async |byte: u8| {
        let tasks = [task(1, "runner", &digest(byte), 5)];
        put("/aws-prod/report/ECS", json!({"artifacts": tasks})).await;
    };
    put("", json!({"name": "aws-prod", "type": "ECS", "description": ""})).await;
    let mut watch = Watch::start(&url, &["-o", "json"]);
    watch.next_error_line();
    let shown = |watch: &mut Watch, byte: u8| {
        let diff: Value = serde_json::from_str(&watch.next_line()).unwrap();
        assert_eq!(diff["snappish2"]["snapshot_id"], format!("aws-prod#{byte}"));
    };
    report(1).await;
    shown(&mut watch, 1);
    recorder.child.kill().await.unwrap();
    let silent = watch.next_error_line();
    assert!(silent.ends_with("Trying again.\n"), "{silent}");
    recorder = Process::start(&file).await;
    *place.lock().unwrap() = address(&recorder);
    for byte in [2, 3] {
        report(byte).await;
        shown(&mut watch, byte);
    }
    assert_eq!(watch.next_error_line(), "The server is reachable again.\n");
    assert_eq!(watch.interrupt(), Some(0));
}

//! What the recorder's operator sees of it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use envsnap::recorder::{Access, SqliteStore};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::server::{Recorder, digest, task, write_secret};
use crate::harness::http_client;
use crate::stopped_clock::StoppedClock;

/// Access with one token that writes to every organization, and one that reads a single one.
fn access_with_two_tokens() -> Access {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "ro0t-000 label=root org=* write\nre4der-0 label=r org=acme read\n").unwrap();
    Access::from_token_file(file.path()).unwrap()
}

#[tokio::test]
async fn ready_says_whether_the_file_can_be_read_and_written_and_checks_at_most_once_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let full = SqliteStore::open(&file).unwrap().with_max_pages(1).unwrap();
    let recorder = Recorder::with(full.clone(), access_with_two_tokens()).await;
    let ready = async || recorder.send(Method::GET, "/ready", None, "").await;
    let clock = StoppedClock::start();
    let answer = ready().await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.message().contains("cannot read and write"), "{answer:?}");
    assert_eq!(answer.headers["retry-after"], "5");

    let _roomier = full.with_max_pages(1_000).unwrap();
    clock.advance(Duration::from_millis(999)).await;
    assert_eq!(ready().await.status, StatusCode::SERVICE_UNAVAILABLE, "as a moment ago");
    clock.advance(Duration::from_millis(1)).await;
    assert_eq!(ready().await.status, StatusCode::OK);

    // Each look at it is a commit, and a client that asks within a second causes none.
    let log = folder.path().join("snapshots.db-wal");
    let written = || std::fs::metadata(&log).unwrap().len();
    let before = written();
    for _ in 0..50 {
        assert_eq!(ready().await.status, StatusCode::OK);
    }
    assert_eq!(written(), before);
    clock.advance(Duration::from_secs(1)).await;
    assert_eq!(ready().await.status, StatusCode::OK);
    assert!(written() > before);
}

#[tokio::test]
async fn metrics_count_requests_and_reports_and_say_when_each_environment_was_last_reported() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    recorder.create("silent", None).await;
    let report = [task(1, "web", &digest(1), 1)];
    assert_eq!(recorder.report("env", &report).await, 201);
    recorder.advance(60.0);
    assert_eq!(recorder.report("env", &report).await, 200);
    assert_eq!(recorder.report("env", &report).await, 200);
    let refused = recorder.put("/environments/acme/other/report/ECS", r#"{"artifacts": []}"#).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    recorder.get("/no/such/path").await;
    recorder.send(Method::from_bytes(b"BREW").unwrap(), "/api/v2/x", None, "").await;

    let answer = reqwest::get(format!("{}/metrics", recorder.url)).await.unwrap();

    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4");
    let metrics = answer.text().await.unwrap();
    let route = r#"route="/api/v2/environments/{org}/{environment}/report/ECS""#;
    for line in [
        &*format!(r#"envsnap_requests_total{{method="PUT",{route},status="201"}} 1"#),
        &format!(r#"envsnap_requests_total{{method="PUT",{route},status="200"}} 2"#),
        &format!(r#"envsnap_request_duration_seconds_count{{method="PUT",{route}}} 4"#),
        r#"envsnap_requests_total{method="GET",route="none",status="404"} 1"#,
        r#"envsnap_requests_total{method="other",route="none",status="404"} 1"#,
        r#"envsnap_reports_total{outcome="created"} 1"#,
        r#"envsnap_reports_total{outcome="unchanged"} 2"#,
        r#"envsnap_reports_total{outcome="rejected"} 1"#,
        r#"envsnap_reports_total{outcome="failed"} 0"#,
        "envsnap_snapshots 1",
        "envsnap_environments 2",
        r#"envsnap_last_report_timestamp_seconds{environment="env",org="acme"} 1661161222.5"#,
    ] {
        assert!(metrics.lines().any(|it| it == line), "no {line} in {metrics}");
    }
    let silent = r#"envsnap_last_report_timestamp_seconds{environment="silent""#;
    assert!(!metrics.contains(silent), "{metrics}");
    let bytes = metrics.lines().find_map(|line| line.strip_prefix("envsnap_file_bytes "));
    assert!(bytes.unwrap().parse::<u32>().unwrap() > 4096, "{metrics}");
}

/// The samples of a metric, with their labels.
async fn samples(recorder: &Recorder, metric: &str) -> Vec<String> {
    let answer = reqwest::get(format!("{}/metrics", recorder.url)).await.unwrap();
    let metrics = answer.text().await.unwrap();
    let samples = metrics.lines().filter_map(|line| line.strip_prefix(metric));
    samples.map(str::to_owned).collect()
}

#[tokio::test]
async fn names_that_would_break_labels_of_metrics_are_refused() {
    let recorder = Recorder::start().await;
    recorder.create("a.b_c-1", None).await;
    recorder.report("a.b_c-1", &[task(1, "web\"} 1\n", &digest(1), 10)]).await;
    for name in ["a\"b", "a\\b", "a\nb", "a} 1\nenvsnap_up 1", "a,b=\"c\"", "é", ""] {
        let body = json!({"name": name, "type": "ECS", "description": name}).to_string();
        let refused = recorder.put("/environments/acme", body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{name:?}: {refused:?}");
        let renamed = json!({"new_name": name}).to_string();
        let refused = recorder.put("/environments/acme/a.b_c-1/rename", renamed).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{name:?}: {refused:?}");
    }
    let body = json!({"name": "env", "type": "ECS", "description": ""}).to_string();
    for org in ["a%22b", "a%5Cb", "a%0Ab", "%7D"] {
        let refused = recorder.put(&format!("/environments/{org}"), body.clone()).await;
        assert!(refused.status.is_client_error(), "{org}: {refused:?}");
        recorder.get(&format!("/environments/{org}/%22%0A")).await;
    }
    let answer = reqwest::get(format!("{}/metrics", recorder.url)).await.unwrap();
    let metrics = answer.text().await.unwrap();
    let labelled = metrics.lines().filter(|line| line.contains("environment=\""));
    let labels: BTreeSet<_> = labelled
        .map(|line| line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).unwrap().0)
        .collect();
    assert_eq!(labels, BTreeSet::from(["environment=\"a.b_c-1\",org=\"acme\""]), "{metrics}");
    // Each line is a comment, or a sample: a name, labels, and a number.
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (sample, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(sample.starts_with("envsnap_") || sample.starts_with("process_"), "{line}");
        assert_eq!(sample.matches('"').count() % 2, 0, "{line}");
    }
}

#[tokio::test]
async fn each_environment_has_metrics_of_its_own() {
    let recorder = Recorder::start().await;
    for name in ["env", "old", "silent"] {
        recorder.create(name, Some(true)).await;
    }
    let web = |byte: u8| task(byte.into(), &format!("web:{byte}"), &digest(byte), 1);
    recorder.report("old", &[web(1)]).await;
    recorder.advance(7_100.0);
    recorder.report("env", &[web(1), web(2)]).await;
    recorder.report("env", &[web(2)]).await;
    recorder.report("env", &[web(2)]).await;
    for (metric, expected) in [
        ("reports_total", ["3", "1", "0"]),
        ("changes_total", ["3", "1", "0"]),
        ("snapshots", ["2", "1", "0"]),
        // No flow reported anything, so that nothing is rogue.
        ("rogue_artifacts", ["0", "0", "0"]),
    ] {
        let expected: Vec<_> = ["env", "old", "silent"]
            .iter()
            .zip(expected)
            .map(|(name, value)| format!(r#"{{environment="{name}",org="acme"}} {value}"#))
            .collect();
        let metric = format!("envsnap_environment_{metric}");
        assert_eq!(samples(&recorder, &metric).await, expected, "{metric}");
    }
    let covered = "envsnap_environment_covered";
    let line = |name: &str, value: u8| format!(r#"{{environment="{name}",org="acme"}} {value}"#);
    assert_eq!(samples(&recorder, covered).await, [line("env", 1), line("old", 1)]);
    recorder.advance(101.0);
    assert_eq!(samples(&recorder, covered).await, [line("env", 1), line("old", 0)]);

    let rogue = "envsnap_environment_rogue_artifacts";
    recorder.artifact("acme", "web", "t", &digest(2)).await;
    let all = |env| [line("env", env), line("old", 1), line("silent", 0)];
    assert_eq!(samples(&recorder, rogue).await, all(0), "web:2 was reported, if late");
    recorder.report("env", &[web(3), web(4)]).await;
    assert_eq!(samples(&recorder, rogue).await, all(2));
    recorder.report("env", &[web(3)]).await;
    assert_eq!(samples(&recorder, rogue).await, all(1));
    recorder.artifact("acme", "web", "t", &digest(3)).await;
    assert_eq!(samples(&recorder, rogue).await, all(0));
    recorder.put("/environments/acme/old/archive", "").await;
    assert_eq!(samples(&recorder, rogue).await, [line("env", 0), line("silent", 0)]);
    assert_eq!(samples(&recorder, "envsnap_environments_without_metrics").await, [" 0"]);
}

#[tokio::test]
async fn at_most_1000_environments_have_metrics_of_their_own() {
    let recorder = Recorder::start().await;
    for at in 0..1_003 {
        recorder.create(&format!("env-{at:04}"), None).await;
    }
    let snapshots = samples(&recorder, "envsnap_environment_snapshots").await;
    assert_eq!(snapshots.len(), 1_000);
    assert!(snapshots[999].contains("env-0999"));
    assert_eq!(samples(&recorder, "envsnap_environments_without_metrics").await, [" 3"]);
}

#[tokio::test]
async fn metrics_require_a_token_that_reads_all_organizations() {
    let recorder =
        Recorder::with(SqliteStore::in_memory().unwrap(), access_with_two_tokens()).await;
    for (token, status) in [(None, 401), (Some("re4der-0"), 403), (Some("ro0t-000"), 200)] {
        let mut request = reqwest::Client::new().get(format!("{}/metrics", recorder.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        assert_eq!(request.send().await.unwrap().status(), status, "{token:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn request_whose_body_does_not_arrive_gets_408() {
    let recorder = Recorder::start().await;
    let address = recorder.url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request =
        "PUT /api/v2/environments/acme HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{";
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains(r#"{"message":"The request body took too long"}"#), "{answer}");
}

/// Starts `envsnap serve` on the file with a token file of these lines; the process, its log and
/// its URL.
pub(crate) fn start_serve(file: &Path, tokens: &str) -> (Child, BufReader<ChildStderr>, String) {
    let token_file = file.with_extension("tokens");
    write_secret(&token_file, tokens);
    let mut serve = Command::new(env!("CARGO_BIN_EXE_envsnap"))
        .args(["serve", "--listen", "127.0.0.1:0", "--token-file"])
        .arg(&token_file)
        .arg("--db")
        .arg(file)
        .env_clear()
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(serve.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    let url = line.trim().rsplit(' ').next().unwrap().to_owned();
    (serve, log, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_one_line_per_request_and_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let (mut serve, mut log, url) = start_serve(&file, "s3cret-0 label=ci-runner org=acme write\n");

    let client = http_client();
    let body = json!({"name": "env", "type": "ECS", "description": "pr1vate"}).to_string();
    let length = body.len();
    let path = "/api/v2/environments/acme";
    let made = client.put(format!("{url}{path}")).bearer_auth("s3cret-0").body(body);
    assert_eq!(made.send().await.unwrap().status(), 201);
    let wrong = client.get(format!("{url}{path}?api_key=h1dden")).bearer_auth("wr0ng");
    assert_eq!(wrong.send().await.unwrap().status(), 401);
    let kill = Command::new("kill").arg(serve.id().to_string()).status().unwrap();
    assert!(kill.success());
    assert_eq!(serve.wait().unwrap().code(), Some(0));

    let mut lines = String::new();
    log.read_to_string(&mut lines).unwrap();
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, parts) in [
        (
            lines[0],
            [
                "token=\"ci-runner\" method=PUT",
                &format!("path=\"{path}\""),
                "status=201",
                "milliseconds=",
                &format!("received_bytes={length}"),
                "sent_bytes=4",
            ],
        ),
        (
            lines[1],
            [
                "method=GET",
                &format!("path=\"{path}\""),
                "status=401",
                "milliseconds=",
                "sent_bytes=",
                "INFO",
            ],
        ),
    ] {
        for part in parts {
            assert!(line.contains(part), "no {part} in {line}");
        }
        for secret in ["s3cret", "wr0ng", "h1dden", "pr1vate"] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

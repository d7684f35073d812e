//! The command line, as a person meets it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use envsnap::standin::StandIn;
use serde_json::Value;

use crate::harness::{ENVIRONMENT, app};
use crate::recorder::server::Recorder;

/// `envsnap` with nothing of this process's environment.
pub(crate) fn envsnap(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_envsnap"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_demo_shows_both_snapshots_and_what_changed() {
    let output = envsnap(&["demo"], &[]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    let mut rest = shown.as_str();
    for expected in [
        "1. The schedule fires",
        "aws-prod: posted a new snapshot (6 containers running",
        "2. It fires again",
        "aws-prod: unchanged (6 containers running; ",
        " 1 to the server",
        "3. The last task",
        "aws-prod: posted a new snapshot (5 containers running",
        "aws-prod#1",
        "COMMIT  ARTIFACT",
        "Name: 274425519734.dkr.ecr.eu-central-1.amazonaws.com/ ",
        "runner:16d9990",
        "SHA256: 9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625",
        "shas:7c45272",
        "SHA256: 76c442c04283c4ca1af22d882750eb960cf53c0aa041bbdb2db9df2f2c1282be",
        "differ:1a2b170",
        "runner:85d83c6",
        "aws-prod#2",
        "runner:16d9990",
        "From aws-prod#1 to aws-prod#2",
        "- Name:   274425519734.dkr.ecr.eu-central-1.amazonaws.com/runner:85d83c6",
        "Sha256: eeb0cfc9ee7f69fbd9531d5b8c1e8d22a8de119e2a422344a714a868e9a8bfec",
    ] {
        let at = rest.find(expected).unwrap_or_else(|| panic!("no {expected:?} in {rest}"));
        rest = &rest[at + expected.len()..];
    }
    assert!(!rest.contains("runner"), "{rest}");
    let widest = shown.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{widest:?} columns");
}

#[test]
fn the_demo_needs_nothing_of_the_person_s_own_settings() {
    let own = [
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("http_proxy", "http://127.0.0.1:1"),
        ("AWS_PROFILE", "nobody"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
        ("KOSLI_ENVIRONMENT", "-"),
    ];
    let output = envsnap(&["demo"], &own);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_envsnap"))
        .arg("demo")
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(demo.stdout.take());
    let output = demo.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn every_error_is_exit_code_2_and_a_sentence() {
    let cases = [
        (&["nonsense"][..], "unrecognized subcommand 'nonsense'"),
        (&[], "Usage: envsnap <COMMAND>"),
        (&["report"], "KOSLI_ENVIRONMENT is not set"),
        (&["serve", "--db", "/nowhere/x.db"], "/nowhere/x.db"),
        (&["serve", "--db", "x.db", "--listen", "0.0.0.0:0"], "without a token file"),
    ];
    for (arguments, expected) in cases {
        let output = envsnap(arguments, &[]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {error}");
        assert!(error.contains(expected), "{arguments:?} {error}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        assert!(!Path::new("x.db").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_by_hand_is_the_function_s_own_work() {
    let ecs = StandIn::start(app()).await.unwrap();
    let recorder = Recorder::start().await;
    recorder.create(ENVIRONMENT, Some(true)).await;
    let endpoint = ecs.endpoint();
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("KOSLI_HOST", &recorder.url),
        ("KOSLI_ORG", "acme"),
        ("KOSLI_ENVIRONMENT", ENVIRONMENT),
        ("KOSLI_API_TOKEN", "t0k3n"),
        ("ECS_CLUSTERS", "app"),
    ];
    let run = async |arguments: &'static [&'static str]| {
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        tokio::task::spawn_blocking(move || {
            let variables: Vec<_> = variables.iter().map(|(n, v)| (&**n, &**v)).collect();
            envsnap(arguments, &variables)
        })
        .await
        .unwrap()
    };

    let dry = run(&["report", "--dry-run", "--explain"]).await;
    let shown = text(&dry.stdout);
    assert_eq!(dry.status.code(), Some(0), "{}", text(&dry.stderr));
    assert_eq!(text(&dry.stderr), "", "no progress in a pipe");
    assert!(shown.contains("aws-prod: would have been posted (dry run)"), "{shown}");
    assert!(shown.contains("counted: it runs; ECS says which digest was pulled"), "{shown}");

    let posted = run(&["report", "-o", "json"]).await;
    let outcome: Value = serde_json::from_slice(&posted.stdout).unwrap();
    assert_eq!(outcome["trigger"], "manual");
    let environment = &outcome["environments"][0];
    assert_eq!(environment["outcome"], "posted");
    assert_eq!(environment["created"], true);
    assert_eq!(environment["containers"], 5);
    assert_eq!(environment["head"].as_str().map(str::len), Some(64));
    assert_eq!(environment["artifacts"][0]["digest_source"], "ecs");
    assert_eq!(environment["changes"]["started"].as_array().unwrap().len(), 3);
    assert_eq!(environment["error"], Value::Null);
    let mut fields: Vec<_> = environment.as_object().unwrap().keys().cloned().collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "artifacts",
            "calls",
            "changes",
            "containers",
            "content_hash",
            "created",
            "duration_ms",
            "environment",
            "error",
            "head",
            "outcome",
            "tasks",
            "unresolved"
        ]
    );

    ecs.set_world(crate::harness::world(envsnap::standin::Cluster::named("other")));
    let failed = run(&["report", "-o", "json"]).await;
    assert_eq!(failed.status.code(), Some(2));
    assert!(text(&failed.stderr).contains("aws-prod: ClusterNotFound: "), "{failed:?}");
    let outcome: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(outcome["environments"][0]["error"]["type"], "ClusterNotFound");
}

#[test]
fn the_recorder_ends_on_a_signal_even_while_a_client_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("snapshots.db");
    let mut serve = Command::new(env!("CARGO_BIN_EXE_envsnap"))
        .args(["serve", "--listen", "127.0.0.1:0", "--db"])
        .arg(&db)
        .env_clear()
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    BufReader::new(serve.stderr.as_mut().unwrap()).read_line(&mut told).unwrap();
    let address = told.trim().rsplit('/').next().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client
        .write_all(
            b"PUT /api/v2/environments/acme HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{",
        )
        .unwrap();
    let kill = Command::new("kill").arg(serve.id().to_string()).status().unwrap();
    assert!(kill.success());
    assert_eq!(serve.wait().unwrap().code(), Some(0));
    assert!(db.exists());
}

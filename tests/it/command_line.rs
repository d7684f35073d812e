//! The command line, as a person meets it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use envsnap::standin::StandIn;
use serde_json::Value;

use crate::harness::{ENVIRONMENT, app};
use crate::recorder::server::Recorder;

/// Copies `source` to `program`, which may be executed.
///
/// A process of its own writes it: what this process has open for writing, another test's process
/// has open as well between its fork and its exec, and to execute such a file fails (`ETXTBSY`).
pub(crate) fn install(source: &Path, program: &Path) {
    let status = Command::new("install").args(["-m", "755"]).args([source, program]).status();
    assert!(status.unwrap().success());
}

/// As [`install`], of a shell script of these lines.
pub(crate) fn install_script(lines: &str, program: &Path) {
    let source = program.with_extension("source");
    std::fs::write(&source, format!("#!/bin/sh\n{lines}\n")).unwrap();
    install(&source, program);
}

/// Runs `envsnap` with these environment variables only.
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
fn invalid_arguments_and_settings_exit_with_2_and_name_the_cause() {
    let cases = [
        (&["nonsense"][..], "unrecognized subcommand 'nonsense'"),
        (&[], "Usage: envsnap <COMMAND>"),
        (&["report"], "KOSLI_ENVIRONMENT is not set"),
        (&["serve", "--db", "/missing/x.db"], "/missing/x.db"),
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
async fn report_command_posts_and_prints_the_outcome_as_text_or_json() {
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
    assert!(shown.contains("counted: it runs; ECS says which digest was pulled; task"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");

    let posted = run(&["report", "-o", "json"]).await;
    let outcome: Value = serde_json::from_slice(&posted.stdout).unwrap();
    assert_eq!(outcome["trigger"], "manual");
    let environment = &outcome["environments"][0];
    assert_eq!(environment["outcome"], "posted");
    assert_eq!(environment["reason"], "difference");
    assert_eq!(environment["created"], true);
    assert_eq!(environment["index"], 1);
    assert_eq!(environment["containers"], 5);
    let head = environment["head"].as_str().unwrap();
    assert!(head.contains("; seq=2; hash="), "{head}");
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
            "index",
            "outcome",
            "reason",
            "tasks",
            "unresolved"
        ]
    );

    let other = crate::harness::world(
        envsnap::standin::Cluster::new("app").task(crate::harness::task("runner", 7)),
    );
    ecs.set_world(other);
    let posted = run(&["report"]).await;
    let shown = text(&posted.stdout);
    assert!(shown.starts_with("aws-prod: posted as aws-prod#2 (1 container"), "{shown}");

    ecs.set_world(crate::harness::world(envsnap::standin::Cluster::new("other")));
    let failed = run(&["report", "-o", "json"]).await;
    assert_eq!(failed.status.code(), Some(2));
    let error = text(&failed.stderr);
    for expected in ["aws-prod: ClusterNotFound: ", "(region eu-central-1, ", "AWS_PROFILE"] {
        assert!(error.contains(expected), "{error}");
    }
    let outcome: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(outcome["environments"][0]["error"]["type"], "ClusterNotFound");
}

#[test]
fn misspelt_variable_prints_a_warning_with_the_correct_name() {
    let variables = [("ECS_CLUSTER", "app"), ("KOSLI_SORT", "name")];
    for arguments in [&["report", "--dry-run"][..], &["env", "ls"]] {
        let output = envsnap(arguments, &variables);
        let error = text(&output.stderr);
        let expected = "envsnap: warning: ECS_CLUSTER is set, but envsnap has no such variable: \
                        rename it to ECS_CLUSTERS, or remove it.\n";
        assert!(error.starts_with(expected), "{arguments:?}: {error}");
        assert_eq!(error.matches("warning").count(), 1, "{error}");
    }
    // It might record more than was meant.
    let output = envsnap(&["report"], &variables);
    let error = text(&output.stderr);
    assert!(error.contains("rename it to ECS_CLUSTERS"), "{error}");
    assert!(!error.contains("warning"), "{error}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn recorder_exits_with_0_on_sigterm_while_a_client_holds_an_unfinished_request() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("snapshots.db");
    let mut serve = Command::new(env!("CARGO_BIN_EXE_envsnap"))
        .args(["serve", "--listen", "127.0.0.1:0", "--db"])
        .arg(&db)
        .env_clear()
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(serve.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit('/').next().unwrap();
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

/// Runs `envsnap` with AWS credentials for this ECS stand-in, and without a snapshot server.
async fn envsnap_with_ecs(ecs: &StandIn, arguments: &'static [&'static str]) -> Output {
    let endpoint = ecs.endpoint();
    let run = move || {
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("TZ", "UTC"),
        ];
        envsnap(arguments, &variables)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ps_shows_running_artifacts_without_a_server() {
    let ecs = StandIn::start(app()).await.unwrap();
    let shown = envsnap_with_ecs(&ecs, &["ps"]).await;
    assert_eq!((shown.status.code(), text(&shown.stderr)), (Some(0), String::new()));
    let shown = text(&shown.stdout);
    let heading = "Account 274425519734, region eu-central-1: 5 containers of 3 artifacts (";
    assert!(shown.starts_with(heading), "{shown}");
    let runner = shown.lines().find(|line| line.starts_with("Name: runner:1 ")).unwrap();
    assert_eq!(runner.split_whitespace().last(), Some("3"), "{shown}");
    assert!(shown.contains(&format!("\nSHA256: {}\n", "01".repeat(32))), "{shown}");
    assert!(!shown.contains("counted: "), "{shown}");
    let explained = text(&envsnap_with_ecs(&ecs, &["ps", "app", "--explain"]).await.stdout);
    assert_eq!(explained.matches("counted: it runs; ECS says which digest").count(), 5);

    for arguments in [&["ps", "--json"][..], &["ps", "-o", "json"]] {
        let shown: Value =
            serde_json::from_slice(&envsnap_with_ecs(&ecs, arguments).await.stdout).unwrap();
        assert_eq!(shown["account"], "274425519734");
        assert_eq!((&shown["tasks"], &shown["containers"]), (&5.into(), &5.into()));
        let runner = &shown["artifacts"][1];
        assert_eq!(runner["name"], "runner:1");
        assert_eq!(runner["running_since"], 1_661_161_157);
        let places = serde_json::json!([{"cluster": "app", "service": "runner", "replicas": 3}]);
        assert_eq!(runner["places"], places);
    }
    let csv = text(&envsnap_with_ecs(&ecs, &["ps", "-o", "csv"]).await.stdout);
    assert!(csv.lines().any(|line| line.ends_with("Z,app/runner")), "{csv}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ps_options_select_clusters_and_services_and_invalid_ones_exit_with_2() {
    let mut world = app();
    world.cluster_mut("jobs").add(crate::harness::task("runner", 1));
    let ecs = StandIn::start(world).await.unwrap();
    for (arguments, expected) in [
        (&["ps", "--json"][..], &["differ:3 1", "runner:1 4", "shas:2 1"][..]),
        (&["ps", "--json", "jobs"], &["runner:1 1"]),
        (&["ps", "--json", "app,jobs", "--exclude", "app"], &["runner:1 1"]),
        (&["ps", "--json", "jobs", "--cluster", "app", "--service=shas"], &["shas:2 1"]),
        (&["ps", "--json", "--cluster-regex", "^j"], &["runner:1 1"]),
        (&["ps", "--json", "--exclude-regex", "^j", "--service-regex", "^r"], &["runner:1 3"]),
        (&["ps", "--json", "--exclude-service", "shas,differ"], &["runner:1 4"]),
        (&["ps", "--json", "--exclude-service-regex", "s|d"], &["runner:1 4"]),
    ] {
        let output = envsnap_with_ecs(&ecs, arguments).await;
        let shown: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error} {}", text(&output.stderr)));
        let artifacts = shown["artifacts"].as_array().unwrap().iter();
        let artifacts: Vec<_> = artifacts
            .map(|it| format!("{} {}", it["name"].as_str().unwrap(), it["replicas"]))
            .collect();
        assert_eq!(artifacts, expected, "{arguments:?}");
    }
    for (arguments, expected) in [
        (&["ps", "nope"][..], "AWS_PROFILE and --region"),
        (&["ps", "--exclude-regex", "."], "Compare --cluster, --exclude"),
        (&["ps", "a/b"], "--cluster is \"a/b\""),
        (&["ps", "--service-regex", "("], "--service-regex is \"(\""),
        (&["ps", "--cluster="], "it is empty"),
        (&["ps", "--external-id", "x"], "--role-arn"),
        (
            &["ps", "arn:aws:ecs:us-east-1:274425519734:cluster/app"],
            "is not in region eu-central-1. Give its own region with --region",
        ),
    ] {
        let output = envsnap_with_ecs(&ecs, arguments).await;
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {error}");
        assert!(error.contains(expected), "{arguments:?} {error}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
    }
    let output = envsnap(&["ps"], &[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]);
    let error = text(&output.stderr);
    assert!(error.contains("no region is known. Give one with --region"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_without_a_server_reads_ecs_and_reports_outcome_not_compared() {
    let ecs = StandIn::start(app()).await.unwrap();
    let output = envsnap_with_ecs(&ecs, &["report", "--dry-run", "-o", "json"]).await;
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    assert!(error.contains("No server is configured"), "{error}");
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    let environment = &outcome["environments"][0];
    assert_eq!(environment["environment"], "unnamed");
    assert_eq!(environment["outcome"], "not-compared");
    assert_eq!(environment["containers"], 5);
    assert_eq!(environment["calls"]["server"], 0);
    let shown = text(&envsnap_with_ecs(&ecs, &["report", "--dry-run"]).await.stdout);
    assert!(shown.starts_with("unnamed: no server is configured: nothing was compared"), "{shown}");
    let not_dry = envsnap_with_ecs(&ecs, &["report"]).await;
    assert!(text(&not_dry.stderr).contains("KOSLI_ORG is not set"));
}

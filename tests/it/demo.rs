//! `envsnap demo`: the tutorial, as a person reads it.

use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::fmt::strtime;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::command_line::{envsnap, text};
use crate::harness::http_client;
use crate::provenance::PIPELINE_LIST;

/// Environment variables of a user, which the demo must ignore.
const USER_VARIABLES: [(&str, &str); 11] = [
    ("HTTP_PROXY", "http://127.0.0.1:1"),
    ("http_proxy", "http://127.0.0.1:1"),
    ("AWS_PROFILE", "missing"),
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ("AWS_USE_FIPS_ENDPOINT", "true"),
    ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
    ("KOSLI_ENVIRONMENT", "-"),
    ("KOSLI_ORG", "another"),
    ("KOSLI_HOST", "http://127.0.0.1:1"),
    ("KOSLI_API_TOKEN_SSM_PARAMETER_ARN", "-"),
    ("TZ", "UTC"),
];

/// What the demo prints below a command.
fn output_of<'a>(shown: &'a str, command: &str) -> &'a str {
    let prompt = format!("$ envsnap {command}\n");
    let (_, rest) = shown.split_once(&prompt).unwrap_or_else(|| panic!("{command}: {shown}"));
    // The next question has a number.
    let next = (2..10).filter_map(|number| rest.find(&format!("\n\n{number}. "))).min();
    let end = next.or_else(|| rest.find("\n\nNext:")).unwrap();
    &rest[..=end]
}

#[test]
fn demo_prints_the_output_of_the_tutorial_regardless_of_user_variables() {
    let output = envsnap(&["demo"], &USER_VARIABLES);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");

    assert_eq!(output_of(&shown, "pipeline ls"), PIPELINE_LIST);
    check_artifact_card(output_of(&shown, "artifact get runner:16d9990"));

    let registry = "274425519734.dkr.ecr.eu-central-1.amazonaws.com";
    let running = output_of(&shown, "env get aws-prod#65 --name runner");
    let rows: Vec<Vec<_>> = running
        .lines()
        .filter(|line| line.contains("Name: "))
        .map(|line| line.split_whitespace().collect())
        .collect();
    for (row, commit, replicas) in [(&rows[0], "16d9990", "3"), (&rows[1], "85d83c6", "1")] {
        assert_eq!(row[0], commit, "{running}");
        assert_eq!(row[3..], ["runner", "11", "days", "ago", replicas, "COMPLIANT"], "{running}");
    }
    let diff = |command: &str| -> Vec<String> {
        let times = ["  Started: ", "  First seen: ", "  Confirmed until: "];
        let is_time = |line: &str| {
            line.contains(": recorded ") || times.iter().any(|label| line.starts_with(label))
        };
        let is_shown = |line: &&str| !is_time(line) && !line.is_empty();
        let lines = output_of(&shown, command).lines().filter(is_shown);
        lines.map(|line| line.replace(registry, "…")).collect()
    };
    assert_eq!(
        diff("env diff aws-prod#65 aws-prod#66"),
        [
            "From aws-prod#65 to aws-prod#66 (- exited, + started, ~ scaled)",
            "- Name:   …/runner:85d83c6",
            "  Sha256: eeb0cfc9ee7f69fbd9531d5b8c1e8d22a8de119e2a422344a714a868e9a8bfec",
            "  Pipeline: runner",
            "  Commit: https://github.com/cyber-dojo/runner/commit/85d83c6ab8e0ce800baeef3dfa4fa9f6eee338a4",
            "  State: COMPLIANT",
            "  Replicas: 1",
        ]
    );
    let log = output_of(&shown, "env log aws-prod 64..67");
    let changes: Vec<_> = log
        .trim_end()
        .lines()
        .skip(1)
        .map(|line| (&line[..3], line.rsplit("  ").next().unwrap().trim()))
        .collect();
    let expected = [("#67", "~1"), ("#66", "-1"), ("#65", "+1 ~1"), ("#64", "~1")];
    assert_eq!(changes, expected, "{log}");
    let rogue = output_of(&shown, "rogue aws-prod --evidence");
    assert!(rogue.contains("rogue       Name: registry.example.net/worker:latest"), "{rogue}");
    let nginx = "pipeline nginx: INCOMPLETE, missing or non-compliant: branch-coverage\n";
    assert!(rogue.contains(nginx), "{rogue}");
    let summary = "\n1 rogue, 1 INCOMPLETE among 13 artifacts of aws-prod#115.\n";
    assert!(rogue.ends_with(summary), "{rogue}");

    let widest = shown.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{widest:?} columns");
    assert!(shown.lines().count() <= 106, "{} lines", shown.lines().count());
    let next: Vec<_> = shown.split("\nNext:\n\n").nth(1).unwrap().lines().collect();
    assert_eq!(next.len(), 3, "{next:?}");
    for command in next {
        assert!(command.starts_with("  envsnap "), "installed, not run by Cargo: {command}");
    }
}

/// Checks the artifact's card line by line against the tutorial's. The history of the demo ends now, so that
/// its times are compared by their distance from the first one.
fn check_artifact_card(card: &str) {
    /// In seconds.
    const MINUTE: u64 = 60;
    /// In seconds.
    const TWO_DAYS: u64 = 48 * 60 * MINUTE;
    let (facts, history) = card.split_once("History:\n").unwrap();
    let facts: Vec<_> = facts.lines().collect();
    assert!(
        facts[2].starts_with("Created on:  ") && facts[2].ends_with(" • 11 days ago"),
        "{card}"
    );
    assert_eq!(
        [&facts[..2], &facts[3..]].concat(),
        [
            "Name:        cyberdojo/runner:16d9990",
            "SHA256:      9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625",
            "Git commit:  16d9990ad23a40eecaf087abac2a58a2d2a4b3f4",
            "Commit URL:  https://github.com/cyber-dojo/runner/commit/16d9990ad23a40eecaf087abac2a58a2d2a4b3f4",
            "Build URL:   https://github.com/cyber-dojo/runner/actions/runs/2902808452",
            "State:       COMPLIANT",
        ]
    );
    let events: Vec<_> = history
        .lines()
        .map(|line| {
            let (event, time) = line.trim_start().split_once("  ").unwrap();
            let time = strtime::parse("%a, %d %b %Y %H:%M:%S UTC", time.trim_start()).unwrap();
            (event, time.to_datetime().unwrap())
        })
        .collect();
    let begin = events[0].1;
    let events: Vec<_> = events
        .iter()
        .map(|(event, time)| {
            (*event, Duration::try_from(time.duration_since(begin)).unwrap().as_secs())
        })
        .collect();
    let exit = |minutes: u64, seconds: u64| TWO_DAYS + (6 * 60 + minutes) * MINUTE + seconds;
    assert_eq!(
        events,
        [
            ("Artifact created", 0),
            ("branch-coverage evidence received", 62),
            ("Deployment #18 to aws-beta environment", 137),
            ("Deployment #19 to aws-prod environment", 201),
            ("Reported running in aws-beta#40 environment", 208),
            ("Reported running in aws-prod#65 environment", 262),
            // Of Wednesday, a rollover to the next version.
            ("Scaled down from 3 to 1 in aws-beta#54 environment", exit(29, 42)),
            ("No longer running in aws-beta#55 environment", exit(30, 42)),
            ("Scaled down from 3 to 1 in aws-prod#95 environment", exit(36, 28)),
            ("No longer running in aws-prod#96 environment", exit(37, 28)),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_history_has_the_tutorials_rollovers_in_115_snapshots_over_two_weeks() {
    let mut demo = tokio::process::Command::new(env!("CARGO_BIN_EXE_envsnap"))
        .args(["demo", "--keep"])
        .kill_on_drop(true)
        .env_clear()
        .env("CARGO", "/usr/bin/cargo")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let mut printed = Vec::new();
    while printed.iter().filter(|line: &&String| line.starts_with("  cargo run -- ")).count() < 3 {
        printed.push(lines.next_line().await.unwrap().unwrap());
    }
    let page = printed.iter().find(|line| line.contains("/environments/aws-prod")).unwrap().trim();
    let api = page.split("/cyber-dojo").next().unwrap().to_owned() + "/api/v2/snapshots/cyber-dojo";
    let client = http_client();
    let get = async |path: String| -> Value {
        let url = format!("{api}/{path}");
        client.get(url).send().await.unwrap().json().await.unwrap()
    };
    let running = async |index: u32| {
        let snapshot = get(format!("aws-prod/{index}")).await;
        let artifacts = snapshot["artifacts"].as_array().unwrap();
        let mut running: Vec<_> = artifacts
            .iter()
            .filter(|artifact| artifact["annotation"]["now"] != 0)
            .map(|artifact| {
                let name = artifact["name"].as_str().unwrap();
                let name = name.rsplit('/').next().unwrap().to_owned();
                (name, artifact["annotation"]["now"].as_u64().unwrap())
            })
            .collect();
        running.sort();
        running
    };
    let runners = async |index: u32| -> Vec<(String, u64)> {
        running(index).await.into_iter().filter(|(name, _)| name.starts_with("runner:")).collect()
    };
    let [old, new] = ["runner:85d83c6", "runner:16d9990"].map(str::to_owned);
    assert_eq!(runners(64).await, [(old.clone(), 3)]);
    assert_eq!(runners(65).await, [(new.clone(), 3), (old, 1)]);
    assert_eq!(runners(66).await, [(new.clone(), 3)]);
    assert!(runners(95).await.iter().any(|(name, _)| *name == new), "its last snapshot");
    assert!(!runners(96).await.iter().any(|(name, _)| *name == new));
    assert_eq!(running(1).await.len(), 12, "each of the services");
    // Something that ran in between, in neither of the snapshots around it.
    let alpine = |running: &[(String, u64)]| running.iter().any(|(name, _)| name == "alpine:3.16");
    let [before, between, after] = [running(105).await, running(106).await, running(107).await];
    assert_eq!([&before, &between, &after].map(|running| alpine(running)), [false, true, false]);
    assert_eq!(before, after);
    let [before, after] = [running(111).await, running(112).await];
    assert_eq!(before.iter().filter(|artifact| !after.contains(artifact)).count(), 4);

    let history = get("aws-prod?per_page=200".to_owned()).await;
    let history = history.as_array().unwrap();
    assert_eq!(history.len(), 115);
    let begin = history[114]["from"].as_f64().unwrap();
    let days = (history[0]["duration"].as_f64().unwrap() + history[0]["from"].as_f64().unwrap()
        - begin)
        / 86_400.0;
    assert!((14.0..14.1).contains(&days), "{days} days");
    let gaps: Vec<_> = history
        .iter()
        .filter_map(|snapshot| snapshot["gaps"].as_array())
        .flatten()
        .map(|gap| gap["until"].as_f64().unwrap() - gap["from"].as_f64().unwrap())
        .collect();
    assert_eq!(gaps, [34_200.0], "from 2:10 to 11:40");
    demo.kill().await.unwrap();
}

#[test]
fn demo_exits_with_0_if_its_output_is_closed() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_envsnap"))
        .arg("demo")
        .env_clear()
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

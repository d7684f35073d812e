//! How fast questions about provenance are, with as much of it as a large organization has after two
//! years: `cargo bench --bench provenance`. First of the store, then as commands, each a process that asks
//! a recorder over HTTP.
//!
//! `ENVSNAP_ARTIFACTS` is how many artifacts were reported, with five attestations each (100,000
//! unless set), and `ENVSNAP_SNAPSHOTS` how many snapshots there are (20,500 unless set).

#![expect(clippy::expect_used, reason = "what fails ends the bench")]

#[path = "../crates/recorder/benches/reports/mod.rs"]
mod reports;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use envsnap::recorder::domain::Report;
use envsnap::recorder::domain::provenance::{ArtifactReport, AttestationReport, Details};
use envsnap::recorder::store::Store as _;
use envsnap::recorder::store::provenance::{
    ArtifactQuery, ArtifactSelector, FlowFilter, ProvenanceStore as _,
};
use envsnap::recorder::{Access, SqliteStore, serve};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use reports::{ARTIFACTS, ORG, clock, fingerprint, median, rate, report, settings};

const FLOWS: u64 = 20;
const ATTESTATIONS: [&str; 5] = ["unit-test", "coverage", "scan", "review", "sbom"];

/// How many reports are written at the same time, so that a commit takes many.
const AT_ONCE: u64 = 64;

fn flow(number: u64) -> String {
    format!("service-{}", number % FLOWS)
}

fn commit(number: u64) -> String {
    let mut digest = Sha256::digest(format!("commit {number}")).to_vec();
    digest.truncate(20);
    hex::encode(digest)
}

fn details(number: u64) -> Details {
    let commit = commit(number);
    let details = format!(
        "{{\"commit_url\":\"https://github.com/acme/service/commit/{commit}\",\
           \"git_commit_info\":{{\"sha1\":\"{commit}\",\"message\":\"A change\",\
             \"author\":\"J <j@example.com>\",\"branch\":\"main\",\"timestamp\":1661161000}}}}"
    );
    Details::new(details).expect("is an object")
}

/// Those that run have the fingerprints of the reports.
async fn artifact(store: &SqliteStore, number: u64) {
    let (flow, trail) = (flow(number), commit(number));
    let artifact = ArtifactReport {
        fingerprint: fingerprint(number % ARTIFACTS, number / ARTIFACTS).to_string(),
        name: format!("service-{}:{}", number % ARTIFACTS, &trail[..7]),
        commit: trail.clone(),
        template_name: Some("service".to_owned()),
        trail: Some(trail.clone()),
        details: details(number),
    };
    store.report_artifact(ORG, &flow, artifact, "ci").await.expect("is recorded");
    for name in ATTESTATIONS {
        let attestation = AttestationReport {
            kind: "generic".to_owned(),
            name: name.to_owned(),
            fingerprint: None,
            targets: vec!["service".to_owned()],
            commit: Some(trail.clone()),
            is_compliant: Some(true),
            is_override: false,
            details: details(number),
            attachment: None,
        };
        let recorded = store.report_attestation(ORG, &flow, &trail, attestation, "ci").await;
        recorded.expect("is recorded");
    }
}

async fn artifacts(store: &SqliteStore, count: u64) {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for first in 0..AT_ONCE {
        let store = store.clone();
        tasks.spawn(async move {
            for number in (first..count).step_by(usize::try_from(AT_ONCE).expect("fits")) {
                artifact(&store, number).await;
            }
        });
    }
    tasks.join_all().await;
    let writes = count * (1 + ATTESTATIONS.len() as u64);
    println!("artifacts and attestations: {:.0}/s", rate(writes, began.elapsed()));
}

async fn history(store: &SqliteStore, name: &str, snapshots: u64) -> Duration {
    store.save_environment(ORG, settings(name), true, "bench").await.expect("saves");
    let began = Instant::now();
    for step in 0..snapshots {
        let report = Report::new(&report(step)).expect("is not too large");
        store.record_report(ORG, name, report, "bench").await.expect("is recorded");
    }
    began.elapsed()
}

async fn time<T>(what: &str, mut ask: impl AsyncFnMut() -> T) {
    let mut times = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        ask().await;
        times.push(began.elapsed());
    }
    println!("{what}: {:?}", median(times));
}

async fn questions(store: &SqliteStore, count: u64) {
    let middle = count / 2;
    let wanted = fingerprint(middle % ARTIFACTS, middle / ARTIFACTS).to_string();
    let by =
        |selector| ArtifactQuery { flow: flow(middle), selector, trail: None, attestation: None };
    time("artifact get, by fingerprint", async || {
        let query = by(ArtifactSelector::Fingerprint(wanted[..9].to_owned()));
        store.artifacts(ORG, query).await.expect("is found")
    })
    .await;
    time("artifact get, by commit", async || {
        let query = by(ArtifactSelector::Commit(commit(middle)[..9].to_owned()));
        store.artifacts(ORG, query).await.expect("is found")
    })
    .await;
    time("search and trace, by commit", async || {
        store.search(ORG, &commit(middle)[..9]).await.expect("is found")
    })
    .await;
    time("rogue: a snapshot with the provenance of 200 artifacts", async || {
        store.snapshots(ORG, ["prod".parse().expect("is one")], drop).await.expect("is there");
    })
    .await;
    time("the flows", async || {
        store.flows(ORG, FlowFilter::default(), None).await.expect("are listed")
    })
    .await;
}

/// Each is a process of its own, from its start to its end. The commit is of an artifact that ran.
async fn commands(store: SqliteStore, ran: u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("has one"));
    let server = tokio::spawn(serve(listener, store, Access::open(), None, std::future::pending()));
    let commit = &commit(ran)[..9];
    let artifact = format!("{}:{commit}", flow(ran));
    for arguments in [
        &["artifact", "get", &artifact][..],
        &["trace", commit],
        &["rogue", "prod"],
        &["rogue", "prod", "--evidence"],
        &["rogue", "prod", "--output", "json"],
    ] {
        let what = format!("envsnap {}", arguments.join(" "));
        let mut command = Command::new(env!("CARGO_BIN_EXE_envsnap"));
        command.args(arguments).env("KOSLI_HOST", &url).env("KOSLI_ORG", ORG).stdout(Stdio::null());
        let run = tokio::task::spawn_blocking(move || {
            (0..50).map(|_| time_once(&mut command)).collect::<Vec<_>>()
        });
        println!("{what}: {:?}", median(run.await.expect("runs")));
    }
    server.abort();
}

fn time_once(command: &mut Command) -> Duration {
    let began = Instant::now();
    let status = command.status().expect("starts");
    // 1 if something is rogue.
    assert!(status.code().is_some_and(|code| code < 2), "{command:?}: {status}");
    began.elapsed()
}

async fn run(path: &Path, count: u64, snapshots: u64) {
    let store = SqliteStore::open(path).expect("opens").with_clock(clock());
    let before = snapshots / 10;
    let without = rate(before, history(&store, "before", before).await);
    println!("reports before there was any provenance: {without:.0}/s");
    artifacts(&store, count).await;
    let with = rate(snapshots, history(&store, "prod", snapshots).await);
    println!("reports with it: {with:.0}/s, {:.2} times as many", with / without);
    questions(&store, count).await;
    commands(store, snapshots / 2).await;
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(otherwise)
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` asks whether it runs, not how fast.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let folder = tempfile::tempdir().expect("a directory");
    let count = setting("ENVSNAP_ARTIFACTS", 100_000);
    run(&folder.path().join("bench.db"), count, setting("ENVSNAP_SNAPSHOTS", 20_500)).await;
}

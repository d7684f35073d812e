//! How fast questions about provenance are, with as much of it as a large organization has after two
//! years: `cargo bench --bench provenance`. First of the store, then as commands, each a process that asks
//! a recorder over HTTP.
//!
//! `ENVSNAP_ARTIFACTS` is how many artifacts were reported, with five attestations each (100,000
//! unless set), and `ENVSNAP_SNAPSHOTS` how many snapshots there are (20,500 unless set). Every version that runs
//! is only reported if there are at least as many artifacts as snapshots, and 400 more.

#![expect(clippy::expect_used, reason = "what fails ends the bench")]

#[path = "../crates/recorder/benches/reports/mod.rs"]
mod reports;

use std::ops::Range;
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
use envsnap::snapshot::Fingerprint;
use envsnap_model::provenance::Origin;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use reports::{ARTIFACTS, FIRST_START, ORG, clock, fingerprint, median, rate, report, settings};

/// Flows over which the artifacts are spread evenly.
const FLOW_COUNT: u64 = 20;
/// The names of the attestations of each artifact.
const ATTESTATION_NAMES: [&str; 5] = ["unit-test", "coverage", "scan", "review", "sbom"];

/// How many containers in each snapshot run what no flow reports: the first ones.
const ROGUE_ARTIFACTS: u64 = 3;

/// How many tasks write reports concurrently, so that one transaction of the store commits many reports.
const CONCURRENT_WRITERS: u64 = 64;

/// The name of the flow that builds artifact `number`.
fn flow_name(number: u64) -> String {
    format!("service-{}", number % FLOW_COUNT)
}

/// The Git commit of artifact `number`: 40 hexadecimal digits.
fn commit_sha(number: u64) -> String {
    let mut digest = Sha256::digest(format!("commit {number}")).to_vec();
    digest.truncate(20);
    hex::encode(digest)
}

/// The JSON details of a report of artifact `number`: its commit, as the CLI sends it.
fn report_details(number: u64) -> Details {
    let commit = commit_sha(number);
    let details = format!(
        "{{\"commit_url\":\"https://github.com/acme/service/commit/{commit}\",\
           \"git_commit_info\":{{\"sha1\":\"{commit}\",\"message\":\"A change\",\
             \"author\":\"J <j@example.com>\",\"branch\":\"main\",\"timestamp\":1661161000}}}}"
    );
    Details::new(details).expect("is an object")
}

/// The fingerprint of artifact `number`, which is a version of a container in the snapshots.
fn fingerprint_of(number: u64) -> Fingerprint {
    let built = ARTIFACTS - ROGUE_ARTIFACTS;
    fingerprint(ROGUE_ARTIFACTS + number % built, number / built)
}

/// Reports artifact `number` in a trail of its own, with all its attestations.
async fn report_artifact_with_attestations(store: &SqliteStore, number: u64) {
    let (flow, trail) = (flow_name(number), commit_sha(number));
    let artifact = ArtifactReport {
        fingerprint: fingerprint_of(number).to_string(),
        name: format!("service-{}:{}", number % ARTIFACTS, &trail[..7]),
        commit: trail.clone(),
        template_name: Some("service".to_owned()),
        trail: Some(trail.clone()),
        details: report_details(number),
    };
    store.report_artifact(ORG, &flow, artifact, "ci").await.expect("is recorded");
    for name in ATTESTATION_NAMES {
        let attestation = AttestationReport {
            kind: "generic".to_owned(),
            name: name.to_owned(),
            fingerprint: None,
            targets: vec!["service".to_owned()],
            commit: Some(trail.clone()),
            is_compliant: Some(true),
            is_override: false,
            details: report_details(number),
            attachment: None,
        };
        let recorded = store.report_attestation(ORG, &flow, &trail, attestation, "ci").await;
        recorded.expect("is recorded");
    }
}

/// Reports `count` artifacts with their attestations, and prints how many reports a second were written.
async fn report_all_artifacts(store: &SqliteStore, count: u64) {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for writer in 0..CONCURRENT_WRITERS {
        let store = store.clone();
        tasks.spawn(async move {
            for number in
                (writer..count).step_by(usize::try_from(CONCURRENT_WRITERS).expect("fits"))
            {
                report_artifact_with_attestations(&store, number).await;
            }
        });
    }
    tasks.join_all().await;
    let writes = count * (1 + ATTESTATION_NAMES.len() as u64);
    println!("artifacts and attestations: {:.0}/s", rate(writes, began.elapsed()));
}

/// Records the reports with these numbers to environment `name`, each of which makes a snapshot. Returns how
/// many there were a second.
async fn record_snapshots(store: &SqliteStore, name: &str, steps: Range<u64>) -> f64 {
    let count = steps.end - steps.start;
    let began = Instant::now();
    for step in steps {
        let report = Report::new(&report(step)).expect("is not too large");
        store.record_report(ORG, name, report, "bench").await.expect("is recorded");
    }
    rate(count, began.elapsed())
}

/// Runs `query` 50 times, and prints its median duration.
async fn print_median_time<T>(label: &str, mut query: impl AsyncFnMut() -> T) {
    let mut times = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        query().await;
        times.push(began.elapsed());
    }
    println!("{label}: {:?}", median(times));
}

/// Prints how long queries of the store take. `count` artifacts were reported.
async fn time_store_queries(store: &SqliteStore, count: u64) {
    let middle = count / 2;
    let fingerprint = fingerprint_of(middle).to_string();
    let query_for = |selector| ArtifactQuery {
        flow: flow_name(middle),
        selector,
        trail: None,
        attestation: None,
    };
    print_median_time("artifact get, by fingerprint", async || {
        let query = query_for(ArtifactSelector::Fingerprint(fingerprint[..9].to_owned()));
        store.artifacts(ORG, query).await.expect("is found")
    })
    .await;
    print_median_time("artifact get, by commit", async || {
        let query = query_for(ArtifactSelector::Commit(commit_sha(middle)[..9].to_owned()));
        store.artifacts(ORG, query).await.expect("is found")
    })
    .await;
    print_median_time("search and trace, by commit", async || {
        store.search(ORG, &commit_sha(middle)[..9]).await.expect("is found")
    })
    .await;
    print_median_time("a snapshot with the provenance of 200 artifacts", async || {
        store.snapshots(ORG, ["prod".parse().expect("is one")], drop).await.expect("is there");
    })
    .await;
    print_median_time("rogue: those of its artifacts that have no known origin", async || {
        let without = Origin::ALL.into_iter().filter(|origin| *origin != Origin::Known).collect();
        let wanted = "prod".parse().expect("is one");
        store.snapshot_with_origins(ORG, wanted, without, drop).await.expect("is there");
    })
    .await;
    print_median_time("the flows", async || {
        store.flows(ORG, FlowFilter::default(), None).await.expect("are listed")
    })
    .await;
}

/// Prints how long commands of the CLI take, as processes from start to exit. Those about one artifact ask
/// for number `ran`, which has to be in a snapshot.
async fn time_cli_commands(store: SqliteStore, ran: u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("has one"));
    let server = tokio::spawn(serve(listener, store, Access::open(), None, std::future::pending()));
    let commit = &commit_sha(ran)[..9];
    let artifact = format!("{}:{commit}", flow_name(ran));
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
            (0..50).map(|_| run_and_time_command(&mut command)).collect::<Vec<_>>()
        });
        println!("{what}: {:?}", median(run.await.expect("runs")));
    }
    server.abort();
}

/// Runs the command once. Returns how long it took.
fn run_and_time_command(command: &mut Command) -> Duration {
    let began = Instant::now();
    let status = command.status().expect("starts");
    // 1 if something is rogue.
    assert!(status.code().is_some_and(|code| code < 2), "{command:?}: {status}");
    began.elapsed()
}

/// Fills a new store at `path`, and prints how fast writing and reading it are.
async fn run(path: &Path, count: u64, snapshots: u64) {
    // Long enough before the first start for what is reported before it: a report may read the clock, which
    // advances by a second then, more than once.
    let reports = count * (1 + ATTESTATION_NAMES.len() as u64) + snapshots;
    let start = FIRST_START.saturating_sub_unsigned(4 * reports).cast_unsigned();
    let store = SqliteStore::open(path).expect("opens").with_clock(clock(start));
    for name in ["before", "prod"] {
        store.save_environment(ORG, settings(name), true, "bench").await.expect("saves");
    }
    // Histories of the same length are compared, since a longer one makes reports slower.
    let compared = snapshots / 10;
    let rate_without_provenance = record_snapshots(&store, "before", 0..compared).await;
    println!("reports before there was any provenance: {rate_without_provenance:.0}/s");
    report_all_artifacts(&store, count).await;
    let rate_with_provenance = record_snapshots(&store, "prod", 0..compared).await;
    println!(
        "reports with it: {rate_with_provenance:.0}/s, {:.2} times as many",
        rate_with_provenance / rate_without_provenance
    );
    record_snapshots(&store, "prod", compared..snapshots).await;
    time_store_queries(&store, count).await;
    time_cli_commands(store, snapshots / 2).await;
}

/// The number in this environment variable, or `default` if it is unset or not a number.
fn env_number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` asks whether it runs, not how fast.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let folder = tempfile::tempdir().expect("a directory");
    let count = env_number("ENVSNAP_ARTIFACTS", 100_000);
    run(&folder.path().join("bench.db"), count, env_number("ENVSNAP_SNAPSHOTS", 20_500)).await;
}

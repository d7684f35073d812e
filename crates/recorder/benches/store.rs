//! How fast the store is, beside a loop of the same writes without it:
//! `cargo bench --package envsnap-recorder --bench store`.
//!
//! `ENVSNAP_SNAPSHOTS` is how many snapshots the history has (20,500 unless set).

#![expect(clippy::expect_used, reason = "what fails ends the bench")]

mod reports;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use envsnap_model::expression::Interval;
use envsnap_recorder::AttachmentCheck;
use envsnap_recorder::domain::{Page, Report};
use envsnap_recorder::store::Store as _;
use envsnap_recorder::store::sqlite::{SqliteStore, verify};
use rusqlite::Connection;
use tokio::task::JoinSet;

use reports::{ARTIFACTS, FIRST_START, ORG, clock, fingerprint, median, rate, report, settings};

/// Environments that are reported concurrently.
const ENVIRONMENTS: u64 = 64;
const REPORTS_PER_ENVIRONMENT: u64 = 100;

/// Reports per second, of many environments at once, every second one changed.
async fn measure_concurrent_reports(path: &Path) -> f64 {
    let store =
        SqliteStore::open(path).expect("opens").with_clock(clock(FIRST_START.cast_unsigned()));
    for environment in 0..ENVIRONMENTS {
        let settings = settings(&format!("env-{environment}"));
        store.save_environment(ORG, settings, true, "bench").await.expect("saves");
    }
    let prepared: Arc<Vec<_>> = Arc::new(
        (0..REPORTS_PER_ENVIRONMENT / 2)
            .map(|step| Report::new(&report(step)).expect("is not too large"))
            .collect(),
    );
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for environment in 0..ENVIRONMENTS {
        let (store, prepared) = (store.clone(), Arc::clone(&prepared));
        tasks.spawn(async move {
            let name = format!("env-{environment}");
            for report in prepared.iter() {
                for _ in 0..2 {
                    let recorded = store.record_report(ORG, &name, report.clone(), "bench").await;
                    recorded.expect("is recorded");
                }
            }
        });
    }
    tasks.join_all().await;
    rate(ENVIRONMENTS * REPORTS_PER_ENVIRONMENT, began.elapsed())
}

/// Reports per second of plain SQL without the store: the rows of a changed snapshot and of an unchanged
/// report, alternately, in transactions of 64.
fn measure_plain_sql(path: &Path) -> f64 {
    let connection = Connection::open(path).expect("opens");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE entry (org INTEGER, seq INTEGER, hash BLOB, payload TEXT, PRIMARY KEY (org, seq));
             CREATE TABLE interval (org INTEGER, artifact INTEGER, environment INTEGER, first INTEGER,
                 last INTEGER, tasks TEXT, PRIMARY KEY (org, artifact, environment, first)) WITHOUT ROWID;
             CREATE TABLE reporting (environment INTEGER PRIMARY KEY, at INTEGER);",
        )
        .expect("creates");
    let payload = "x".repeat(900);
    let tasks = "x".repeat(250);
    let began = Instant::now();
    let reports = i64::try_from(ENVIRONMENTS * REPORTS_PER_ENVIRONMENT).expect("fits");
    for first in (0..reports).step_by(64) {
        connection.execute_batch("BEGIN IMMEDIATE").expect("begins");
        for seq in first..first + 64 {
            if seq % 2 == 0 {
                connection
                    .prepare_cached("INSERT INTO entry VALUES (1, ?, zeroblob(32), ?)")
                    .and_then(|mut it| it.execute((seq, &payload)))
                    .expect("inserts");
                connection
                    .prepare_cached("UPDATE interval SET last = ?2 WHERE org = 1 AND artifact = ?1")
                    .and_then(|mut it| it.execute((seq - 128, seq)))
                    .expect("updates");
                connection
                    .prepare_cached("INSERT INTO interval VALUES (1, ?, 1, ?, NULL, ?)")
                    .and_then(|mut it| it.execute((seq, seq, &tasks)))
                    .expect("inserts");
            }
            connection
                .prepare_cached(
                    "INSERT INTO reporting VALUES (?1, ?2) ON CONFLICT DO UPDATE SET at = ?2",
                )
                .and_then(|mut it| it.execute((seq % 64, seq)))
                .expect("upserts");
        }
        connection.execute_batch("COMMIT").expect("commits");
    }
    rate(ENVIRONMENTS * REPORTS_PER_ENVIRONMENT, began.elapsed())
}

/// Records so many changed snapshots of one environment, and prints how long that, reading them and
/// verifying them take.
async fn print_timings_of_long_history(path: &Path, snapshots: u64) {
    let store =
        SqliteStore::open(path).expect("opens").with_clock(clock(FIRST_START.cast_unsigned()));
    store.save_environment(ORG, settings("prod"), true, "bench").await.expect("saves");
    let began = Instant::now();
    for step in 0..snapshots {
        let report = Report::new(&report(step)).expect("is not too large");
        store.record_report(ORG, "prod", report, "bench").await.expect("is recorded");
    }
    println!(
        "{snapshots} changed snapshots, one at a time: {:.0}/s",
        rate(snapshots, began.elapsed())
    );
    let bytes: u64 = ["", "-wal"]
        .iter()
        .filter_map(|ending| std::fs::metadata(format!("{}{ending}", path.display())).ok())
        .map(|it| it.len())
        .sum();
    println!("bytes for each changed snapshot: {}", bytes / snapshots);

    let middle = snapshots / 2;
    for text in ["prod".to_owned(), format!("prod#{middle}")] {
        let mut times = Vec::new();
        for _ in 0..50 {
            let began = Instant::now();
            store.snapshots(ORG, [text.parse().expect("is one")], drop).await.expect("is there");
            times.push(began.elapsed());
        }
        println!("snapshot {text}: {:?}", median(times));
    }
    let mut times = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        let pair = [format!("prod#{middle}"), "prod".to_owned()];
        let pair = pair.map(|text| text.parse().expect("is one"));
        store.snapshots(ORG, pair, drop).await.expect("are there");
        times.push(began.elapsed());
    }
    println!("two snapshots, to compare: {:?}", median(times));
    let wanted = fingerprint(7, 3).to_string();
    for (what, wanted) in [
        ("where one artifact ran, by its fingerprint", &*wanted),
        ("the same by seven digits", &wanted[..7]),
        ("the same by name and tag", "service-7:0000003"),
    ] {
        let mut times = Vec::new();
        for _ in 0..20 {
            let pattern = wanted.parse().expect("is one");
            let began = Instant::now();
            let found = store.artifact_runs(ORG, None, pattern).await.expect("is found");
            times.push(began.elapsed());
            assert!(!found.is_empty());
        }
        println!("{what}: {:?}", median(times));
    }
    let mut times = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        let page = Page { number: 1, size: 100 };
        store.events(ORG, "prod", Interval::default(), page, false).await.expect("are listed");
        times.push(began.elapsed());
    }
    println!("a page of events: {:?}", median(times));
    let began = Instant::now();
    store.window(ORG, "prod", None, 200).await.expect("is read");
    println!("a window of 200 snapshots: {:?}", began.elapsed());
    let began = Instant::now();
    verify(path, None, AttachmentCheck::Sizes).expect("holds");
    println!("verify: {:?}", began.elapsed());
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` asks whether it runs, not how fast.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let snapshots = std::env::var("ENVSNAP_SNAPSHOTS").ok().and_then(|it| it.parse().ok());
    let folder = tempfile::tempdir().expect("a directory");
    let ours = measure_concurrent_reports(&folder.path().join("reports.db")).await;
    let floor = measure_plain_sql(&folder.path().join("bare.db"));
    println!("reports of {ARTIFACTS} artifacts, half of them changed: {ours:.0}/s");
    println!("a bare loop of such writes: {floor:.0}/s, {:.1} times as many", floor / ours);
    print_timings_of_long_history(&folder.path().join("history.db"), snapshots.unwrap_or(20_500))
        .await;
}

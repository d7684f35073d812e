//! What the recorder bears: reports of 200 artifacts from 1,000 environments, and the latest of
//! 100,000 snapshots.
//!
//! `cargo bench --bench recorder`. It writes below `target/`, and removes it again.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on should say where")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use envsnap::api::wire::{EcsReport, ReportEntry};
use envsnap::recorder::domain::{self, Report};
use envsnap::recorder::store::Store as _;
use envsnap::recorder::{Access, SqliteStore, serve};
use envsnap::snapshot::Fingerprint;
use reqwest::{Client, StatusCode};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

const ENVIRONMENTS: usize = 1_000;
/// Artifacts in each report.
const ARTIFACTS: u32 = 200;
/// Snapshots of all environments together, once the store is filled.
const SNAPSHOTS: usize = 100_000;
/// Requests in each measurement that does not say otherwise.
const REQUESTS_PER_MEASUREMENT: usize = 3_000;
/// Concurrent clients over HTTP.
const FEW_CLIENTS: usize = 8;
const MANY_CLIENTS: usize = 64;
/// Reports in the measurements in which half of them are changed: four for each environment, two of them
/// with a new version.
const HALF_CHANGED_REPORTS: usize = 4 * ENVIRONMENTS;
/// Reports that are recorded concurrently without HTTP.
const CONCURRENT_WRITERS: usize = 64;

#[tokio::main]
async fn main() {
    // `cargo test --benches` asks whether it runs, not how fast.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = folder.path().join("snapshots.db");
    println!("{ENVIRONMENTS} environments of {ARTIFACTS} artifacts\n");
    println!("{:<52} {:>9} {:>10} {:>10}", "", "a second", "median ms", "99 % ms");

    let server = Server::start(&file).await;
    for n in 0..ENVIRONMENTS {
        let body =
            json!({"name": environment_name(n), "type": "ECS", "description": ""}).to_string();
        let url = format!("{}/environments/acme", server.url);
        let made = server.client.put(url).body(body).send().await.unwrap();
        assert_eq!(made.status(), StatusCode::CREATED);
    }
    server
        .measure_reports("first report, over HTTP", FEW_CLIENTS, ENVIRONMENTS, |_| (0, true))
        .await;
    server
        .measure_reports(
            "unchanged report, over HTTP",
            FEW_CLIENTS,
            REQUESTS_PER_MEASUREMENT,
            |_| (0, false),
        )
        .await;
    server
        .measure_reports(
            "half of the reports changed, over HTTP",
            FEW_CLIENTS,
            HALF_CHANGED_REPORTS,
            |n| half_changed_version(0, n),
        )
        .await;
    server
        .measure_reports(
            "the same of 64 clients at once",
            MANY_CLIENTS,
            HALF_CHANGED_REPORTS,
            |n| half_changed_version(2, n),
        )
        .await;
    server.stop().await;

    measure_store_writes(&file).await;
    fill_store(&file).await;
    let server = Server::start(&file).await;
    let latest = |n| format!("snapshots/acme/{}/-1", environment_name(n));
    server.measure_reads("the latest of 100,000 snapshots, over HTTP", latest).await;
    let earlier = |n| format!("snapshots/acme/{}/{}", environment_name(n), 1 + n % 90);
    server.measure_reads("an earlier one, over HTTP", earlier).await;
    let diff = |n| {
        let environment = environment_name(n);
        let (before, after) = (1 + n % 50, 51 + n % 50);
        format!(
            "env-diff/acme?snappish1={environment}%23{before}&snappish2={environment}%23{after}"
        )
    };
    server.measure_reads("what changed between two, over HTTP", diff).await;
    server.stop().await;
    println!(
        "\nThe file then is {:.2} GB.",
        f64::from(u32::try_from(std::fs::metadata(&file).unwrap().len() >> 20).unwrap()) / 1_024.0
    );
}

/// The version that report `n` has, and whether it is a new one for its environment. Every environment
/// starts at version `last`; in each round of reports, every second environment gets the next version.
fn half_changed_version(last: u32, n: usize) -> (u32, bool) {
    let (round, odd) = (u32::try_from(n / ENVIRONMENTS).unwrap(), n % 2 == 1);
    (last + (round + 2 - u32::from(odd)) / 2, (round % 2 == 1) == odd)
}

/// The name of the environment that request `n` is about. Consecutive requests are about environments that
/// are not neighbours in the store.
fn environment_name(n: usize) -> String {
    format!("env-{:04}", n * 7 % ENVIRONMENTS)
}

/// The body of a report. Versions differ in one artifact out of [`ARTIFACTS`].
fn wire_report(version: u32) -> EcsReport {
    let entry = |n: u32| {
        let version = if n == 0 { version } else { 0 };
        let name = format!("274425519734.dkr.ecr.eu-central-1.amazonaws.com/service-{n}:{version}");
        let fingerprint = Fingerprint::from(<[u8; 32]>::from(Sha256::digest(&name)));
        ReportEntry {
            task_arn: format!("arn:aws:ecs:eu-central-1:274425519734:task/app/{n:032x}"),
            cluster_name: Some("app".to_owned()),
            service_name: Some(format!("service-{n}")),
            digests: vec![(name, Some(fingerprint))],
            creation_timestamp: 1_661_161_157,
            origin: None,
        }
    };
    EcsReport { artifacts: (0..ARTIFACTS).map(entry).collect() }
}

/// A recorder in this process, which serves HTTP on loopback.
struct Server {
    url: String,
    client: Client,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(file: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v2", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let store = SqliteStore::open(file).unwrap();
        let task = tokio::spawn(serve(listener, store, Access::open(), None, async {
            let _stopped = stopped.await;
        }));
        let client = Client::builder().no_proxy().build().unwrap();
        Self { url, client, stop, task }
    }

    async fn stop(self) {
        drop(self.client);
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    /// Sends `count` reports from `clients` concurrent clients, and prints a row with the timings.
    /// `version` gives the version of report `n`, and whether it has to be recorded as a change.
    async fn measure_reports(
        &self,
        what: &str,
        clients: usize,
        count: usize,
        version: fn(usize) -> (u32, bool),
    ) {
        let bodies: Vec<_> =
            (0..=5).map(|version| serde_json::to_string(&wire_report(version)).unwrap()).collect();
        let bodies = Arc::new(bodies);
        let (url, client) = (self.url.clone(), self.client.clone());
        measure_concurrently(what, clients, count, move |n| {
            let url = format!("{url}/environments/acme/{}/report/ECS", environment_name(n));
            let (version, is_new) = version(n);
            let body = bodies[version as usize].clone();
            let client = client.clone();
            async move {
                let status = client.put(url).body(body).send().await.unwrap().status();
                assert_eq!(status == StatusCode::CREATED, is_new, "{status}");
            }
        })
        .await;
    }

    /// Requests the path for each number in turn, and prints a row with the timings.
    async fn measure_reads(&self, what: &str, path: impl Fn(usize) -> String) {
        let mut times = Vec::with_capacity(REQUESTS_PER_MEASUREMENT);
        let begun = Instant::now();
        for n in 0..REQUESTS_PER_MEASUREMENT {
            let url = format!("{}/{}", self.url, path(n));
            let sent = Instant::now();
            let answer = self.client.get(url).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            answer.bytes().await.unwrap();
            times.push(sent.elapsed());
        }
        print_row(what, begun.elapsed(), times);
    }
}

/// Runs `work` for each number below `count` in this many concurrent workers, and prints a row with the
/// timings.
async fn measure_concurrently<F: Future<Output = ()> + Send>(
    what: &str,
    workers: usize,
    count: usize,
    work: impl Fn(usize) -> F + Clone + Send + 'static,
) {
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let workers: Vec<_> = (0..workers)
        .map(|_| {
            let (next, work) = (Arc::clone(&next), work.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return times;
                    }
                    let sent = Instant::now();
                    work(n).await;
                    times.push(sent.elapsed());
                }
            })
        })
        .collect();
    let mut times = Vec::with_capacity(count);
    for worker in workers {
        times.extend(worker.await.unwrap());
    }
    print_row(what, begun.elapsed(), times);
}

/// The same report as [`wire_report`], in the type that the store takes.
fn store_report(version: u32) -> Report {
    let entry = |entry: ReportEntry| domain::ReportEntry {
        task_arn: entry.task_arn.into(),
        cluster_name: entry.cluster_name.map(Into::into),
        service_name: entry.service_name.map(Into::into),
        digests: entry
            .digests
            .into_iter()
            .map(|(name, fingerprint)| (name.into(), fingerprint))
            .collect(),
        started_at: entry.creation_timestamp,
        origin: None,
    };
    let entries: Vec<_> = wire_report(version).artifacts.into_iter().map(entry).collect();
    Report::new(&entries).unwrap()
}

/// Measures reports that are recorded one at a time, without HTTP.
async fn measure_store_writes(file: &Path) {
    let store = SqliteStore::open(file).unwrap();
    for (what, first_version, created) in
        [("unchanged report, on the store", 4, false), ("changed report, on the store", 5, true)]
    {
        let mut times = Vec::with_capacity(REQUESTS_PER_MEASUREMENT);
        let begun = Instant::now();
        for n in 0..REQUESTS_PER_MEASUREMENT {
            let round = if created { u32::try_from(n / ENVIRONMENTS).unwrap() } else { 0 };
            let sent = Instant::now();
            let report = store_report(first_version + round);
            let recorded =
                store.record_report("acme", &environment_name(n), report, "").await.unwrap();
            times.push(sent.elapsed());
            assert_eq!(recorded.created, created);
        }
        print_row(what, begun.elapsed(), times);
    }
}

/// Records changed reports, concurrently and without HTTP, until there are [`SNAPSHOTS`], and prints a row
/// with the timings.
async fn fill_store(file: &Path) {
    let store = SqliteStore::open(file).unwrap();
    let per_environment = SNAPSHOTS / ENVIRONMENTS;
    // Snapshots that the measurements before this one recorded of each environment.
    let existing = 8;
    let versions: Arc<Vec<_>> = Arc::new(
        (existing..per_environment).map(|n| store_report(u32::try_from(n).unwrap())).collect(),
    );
    let what = "changed report, on the store, many at once";
    measure_concurrently(
        what,
        CONCURRENT_WRITERS,
        (per_environment - existing) * ENVIRONMENTS,
        move |n| {
            let (store, report) = (store.clone(), versions[n / ENVIRONMENTS].clone());
            async move {
                let recorded =
                    store.record_report("acme", &environment_name(n), report, "").await.unwrap();
                assert!(recorded.created);
            }
        },
    )
    .await;
}

/// Prints a row: requests per second, and the median and the 99th percentile of `times` in milliseconds.
fn print_row(what: &str, took: Duration, mut times: Vec<Duration>) {
    times.sort();
    let milliseconds = |at: usize| times[at].as_secs_f64() * 1_000.0;
    let count = f64::from(u32::try_from(times.len()).unwrap());
    println!(
        "{what:<52} {:>9.0} {:>10.2} {:>10.2}",
        count / took.as_secs_f64(),
        milliseconds(times.len() / 2),
        milliseconds(times.len() * 99 / 100),
    );
}

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
const ARTIFACTS: u32 = 200;
const SNAPSHOTS: usize = 100_000;
/// Requests of each kind.
const REQUESTS: usize = 3_000;
/// Clients at once over HTTP: a few, and many.
const FEW: usize = 8;
const MANY: usize = 64;
/// Reports of which half have changed: each environment has another version twice.
const MIXED: usize = 4 * ENVIRONMENTS;
/// Reports at once on the store.
const FILL_AT_ONCE: usize = 64;

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
        let body = json!({"name": environment(n), "type": "ECS", "description": ""}).to_string();
        let url = format!("{}/environments/acme", server.url);
        let made = server.client.put(url).body(body).send().await.unwrap();
        assert_eq!(made.status(), StatusCode::CREATED);
    }
    server.report("first report, over HTTP", FEW, ENVIRONMENTS, |_| (0, true)).await;
    server.report("unchanged report, over HTTP", FEW, REQUESTS, |_| (0, false)).await;
    server.report("half of the reports changed, over HTTP", FEW, MIXED, |n| half(0, n)).await;
    server.report("the same of 64 clients at once", MANY, MIXED, |n| half(2, n)).await;
    server.stop().await;

    on_the_store(&file).await;
    fill(&file).await;
    let server = Server::start(&file).await;
    let latest = |n| format!("snapshots/acme/{}/-1", environment(n));
    server.read("the latest of 100,000 snapshots, over HTTP", latest).await;
    let earlier = |n| format!("snapshots/acme/{}/{}", environment(n), 1 + n % 90);
    server.read("an earlier one, over HTTP", earlier).await;
    let diff = |n| {
        let environment = environment(n);
        let (before, after) = (1 + n % 50, 51 + n % 50);
        format!(
            "env-diff/acme?snappish1={environment}%23{before}&snappish2={environment}%23{after}"
        )
    };
    server.read("what changed between two, over HTTP", diff).await;
    server.stop().await;
    println!(
        "\nThe file then is {:.2} GB.",
        f64::from(u32::try_from(std::fs::metadata(&file).unwrap().len() >> 20).unwrap()) / 1_024.0
    );
}

/// The version in report `n` after version `last` of every environment, and whether it is another one
/// than in the report before it: of every second environment in each round, in turns.
fn half(last: u32, n: usize) -> (u32, bool) {
    let (round, odd) = (u32::try_from(n / ENVIRONMENTS).unwrap(), n % 2 == 1);
    (last + (round + 2 - u32::from(odd)) / 2, (round % 2 == 1) == odd)
}

/// The name of an environment, in an order that jumps about.
fn environment(n: usize) -> String {
    format!("env-{:04}", n * 7 % ENVIRONMENTS)
}

/// What runs in every environment; in each version one artifact is another.
fn report(version: u32) -> EcsReport {
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

struct Server {
    url: String,
    client: Client,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(file: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v2", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let store = SqliteStore::open(file).unwrap();
        let served = tokio::spawn(serve(listener, store, Access::open(), None, async {
            let _stopped = stopped.await;
        }));
        let client = Client::builder().no_proxy().build().unwrap();
        Self { url, client, stop, served }
    }

    async fn stop(self) {
        drop(self.client);
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
    }

    /// Sends `count` reports of `clients` at once, `n` in the version that `version` gives with whether
    /// that is a new one, and prints how it went.
    async fn report(
        &self,
        what: &str,
        clients: usize,
        count: usize,
        version: fn(usize) -> (u32, bool),
    ) {
        let bodies: Vec<_> =
            (0..=5).map(|version| serde_json::to_string(&report(version)).unwrap()).collect();
        let bodies = Arc::new(bodies);
        let (url, client) = (self.url.clone(), self.client.clone());
        at_once(what, clients, count, move |n| {
            let url = format!("{url}/environments/acme/{}/report/ECS", environment(n));
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

    /// Asks for the document at each path, one after the other, and prints how it went.
    async fn read(&self, what: &str, path: impl Fn(usize) -> String) {
        let mut times = Vec::with_capacity(REQUESTS);
        let begun = Instant::now();
        for n in 0..REQUESTS {
            let url = format!("{}/{}", self.url, path(n));
            let sent = Instant::now();
            let answer = self.client.get(url).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            answer.bytes().await.unwrap();
            times.push(sent.elapsed());
        }
        print(what, begun.elapsed(), times);
    }
}

/// Does `count` of `work`, several at a time.
async fn at_once<F: Future<Output = ()> + Send>(
    what: &str,
    most: usize,
    count: usize,
    work: impl Fn(usize) -> F + Clone + Send + 'static,
) {
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let workers: Vec<_> = (0..most)
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
    print(what, begun.elapsed(), times);
}

/// What runs in a version, as the store takes it.
fn prepared(version: u32) -> Report {
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
    let entries: Vec<_> = report(version).artifacts.into_iter().map(entry).collect();
    Report::new(&entries).unwrap()
}

/// Reports one after the other, without HTTP.
async fn on_the_store(file: &Path) {
    let store = SqliteStore::open(file).unwrap();
    for (what, from, created) in
        [("unchanged report, on the store", 4, false), ("changed report, on the store", 5, true)]
    {
        let mut times = Vec::with_capacity(REQUESTS);
        let begun = Instant::now();
        for n in 0..REQUESTS {
            let round = if created { u32::try_from(n / ENVIRONMENTS).unwrap() } else { 0 };
            let sent = Instant::now();
            let report = prepared(from + round);
            let recorded = store.record_report("acme", &environment(n), report, "").await.unwrap();
            times.push(sent.elapsed());
            assert_eq!(recorded.created, created);
        }
        print(what, begun.elapsed(), times);
    }
}

/// Gives every environment as many snapshots as there are to be.
async fn fill(file: &Path) {
    let store = SqliteStore::open(file).unwrap();
    let each = SNAPSHOTS / ENVIRONMENTS;
    // So many they have already.
    let recorded = 8;
    let versions: Arc<Vec<_>> =
        Arc::new((recorded..each).map(|n| prepared(u32::try_from(n).unwrap())).collect());
    let what = "changed report, on the store, many at once";
    at_once(what, FILL_AT_ONCE, (each - recorded) * ENVIRONMENTS, move |n| {
        let (store, report) = (store.clone(), versions[n / ENVIRONMENTS].clone());
        async move {
            let recorded = store.record_report("acme", &environment(n), report, "").await.unwrap();
            assert!(recorded.created);
        }
    })
    .await;
}

fn print(what: &str, took: Duration, mut times: Vec<Duration>) {
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

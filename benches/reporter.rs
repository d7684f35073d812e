//! What a run of the function costs, beside the incumbent's on the same account: one cluster with 13
//! tasks, everything over HTTP on loopback, in alternating runs.
//!
//! `cargo bench --bench reporter`. The incumbent is measured where `tests/peers/setup` installed it.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on should say where")]

#[path = "../tests/it/runtime_api.rs"]
mod runtime_api;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use envsnap::recorder::{Access, SqliteStore, serve};
use envsnap::standin::{Cluster, Operation, Quotas, StandIn, Task, World};
use runtime_api::Function;
use tokio::net::TcpListener;

const TASKS: usize = 13;
const COLD_RUNS: usize = 15;
/// What the burst of the quota allows: more would wait for it.
const WARM_RUNS: usize = 14;
const SCHEDULED: &str = include_str!("../events/scheduled.json");

#[derive(Default)]
struct Measured {
    times: Vec<Duration>,
    /// Bytes, at the most.
    peak_memory: u64,
    ecs_calls: u64,
}

impl Measured {
    fn median(&mut self) -> Duration {
        self.times.sort();
        self.times[self.times.len() / 2]
    }

    fn print(&mut self, what: &str) {
        let (median, times) = (self.median(), &self.times);
        let milliseconds = |time: Duration| time.as_secs_f64() * 1_000.0;
        println!(
            "{what:<34} {:>7.1} ms ({:.1} to {:.1}, {} runs)  {:>2} calls to ECS  {:>5.1} MB",
            milliseconds(median),
            milliseconds(times[0]),
            milliseconds(times[times.len() - 1]),
            times.len(),
            self.ecs_calls,
            f64::from(u32::try_from(self.peak_memory >> 10).unwrap()) / 1_024.0,
        );
    }
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` asks whether it runs, not how fast.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let reporter = Path::new(env!("CARGO_BIN_EXE_reporter"));
    let size = std::fs::metadata(reporter).unwrap().len();
    println!("One cluster, {TASKS} tasks. The function with every feature: {size} bytes.\n");

    let incumbent = incumbent();
    let (mut cold, mut warm) = (Measured::default(), Measured::default());
    let mut theirs = Measured::default();
    for run in 0..COLD_RUNS {
        let account = Account::start().await;
        let warm_runs = if run == 0 { WARM_RUNS } else { 0 };
        run_function(&account, &mut cold, &mut warm, warm_runs).await;
        if let Some(program) = &incumbent {
            run_incumbent(program, &account, &mut theirs);
        }
    }
    cold.print("function: start-up and first run");
    warm.print("function: later run, unchanged");
    if incumbent.is_some() {
        theirs.print("kosli snapshot ecs");
        let theirs = theirs.median().as_secs_f64();
        let ratio = |measured: &mut Measured| theirs / measured.median().as_secs_f64();
        println!(
            "\nkosli snapshot ecs, which starts anew for each run, takes {:.1} times as long as the \
             function's start-up and first run, and {:.0} times as long as a later run.",
            ratio(&mut cold),
            ratio(&mut warm)
        );
    } else {
        println!("\nNothing to compare with: tests/peers/setup installs the incumbent.");
    }
    run_large().await;
}

/// Under the documented quotas, all of which the function may use: what they alone make of it is the
/// floor.
async fn run_large() {
    const CLUSTERS: usize = 10;
    const TASKS_EACH: usize = 1_020;
    let digest = format!("sha256:{}", "ab".repeat(32));
    let task = Task::in_service("web")
        .running_since(jiff::Timestamp::UNIX_EPOCH)
        .container("web", "web:1", &digest);
    let clusters =
        (0..CLUSTERS).map(|number| Cluster::new(&format!("app-{number}")).tasks(TASKS_EACH, &task));
    let world = World::new("eu-central-1", "274425519734");
    let account = Account::start_with(clusters.fold(world, World::cluster)).await;
    account.ecs.faults(|faults| {
        faults.throttle(Quotas::documented());
    });
    let mut variables = account.variables();
    variables.retain(|(name, _)| *name != "ECS_CLUSTERS");
    variables.push(("QUOTA_SHARE", "1".to_owned()));
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
    let mut function = Function::start(&variables).await;
    let mut log = function.child.stdout.take().unwrap();
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    let begun = Instant::now();
    let answer = function.invoke(SCHEDULED).await;
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(answer.body["environments"][0]["tasks"], CLUSTERS * TASKS_EACH, "{answer:?}");
    let calls = account.ecs.calls();
    let of_tasks = calls.count(Operation::ListTasks) + calls.count(Operation::DescribeTasks);
    let floor = (f64::from(u32::try_from(of_tasks).unwrap()) - 100.0) / 20.0;
    let throttled = calls.log().iter().filter(|call| call.status == Some(400)).count();
    println!(
        "\n{} tasks in {CLUSTERS} clusters, QUOTA_SHARE=1: {took:.2} s, of which the quotas alone take \
         {floor:.2} s ({:.3} times that), {throttled} throttled calls, {:.1} MB",
        CLUSTERS * TASKS_EACH,
        took / floor,
        f64::from(u32::try_from(peak_memory(&function.child).unwrap() >> 10).unwrap()) / 1_024.0,
    );
}

/// ECS and a recorder.
struct Account {
    ecs: StandIn,
    host: String,
}

impl Account {
    async fn start() -> Self {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let task = Task::in_service("web")
            .running_since(jiff::Timestamp::UNIX_EPOCH)
            .container("web", "web:1", &digest);
        let cluster = Cluster::new("app").tasks(TASKS, &task);
        Self::start_with(World::new("eu-central-1", "274425519734").cluster(cluster)).await
    }

    async fn start_with(world: World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("http://{}", listener.local_addr().unwrap());
        let store = SqliteStore::in_memory().unwrap();
        tokio::spawn(serve(listener, store, Access::open(), None, std::future::pending()));
        let environment = r#"{"name": "aws-prod", "type": "ECS", "description": "benchmark"}"#;
        let answer = reqwest::Client::new()
            .put(format!("{host}/api/v2/environments/acme"))
            .body(environment)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success());
        Self { ecs: StandIn::start(world).await.unwrap(), host }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        [
            ("AWS_ENDPOINT_URL", self.ecs.endpoint()),
            ("AWS_REGION", "eu-central-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("KOSLI_HOST", self.host.clone()),
            ("KOSLI_ORG", "acme".to_owned()),
            ("KOSLI_ENVIRONMENT", "aws-prod".to_owned()),
            ("KOSLI_API_TOKEN", "token".to_owned()),
            ("ECS_CLUSTERS", "app".to_owned()),
        ]
        .to_vec()
    }
}

async fn run_function(
    account: &Account,
    cold: &mut Measured,
    warm: &mut Measured,
    warm_runs: usize,
) {
    let variables = account.variables();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
    let begun = Instant::now();
    let mut function = Function::start(&variables).await;
    // Or the pipe fills up, and the function waits for a reader.
    let mut log = function.child.stdout.take().unwrap();
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    let answer = function.invoke(SCHEDULED).await;
    cold.times.push(begun.elapsed());
    assert!(!answer.failed, "{answer:?}");
    cold.ecs_calls = account.ecs.calls().total();
    cold.peak_memory = cold.peak_memory.max(peak_memory(&function.child).unwrap());
    for _ in 0..warm_runs {
        let before = account.ecs.calls().total();
        let begun = Instant::now();
        let answer = function.invoke(SCHEDULED).await;
        warm.times.push(begun.elapsed());
        assert_eq!(answer.body["environments"][0]["outcome"], "unchanged", "{answer:?}");
        warm.ecs_calls = account.ecs.calls().total() - before;
        warm.peak_memory = peak_memory(&function.child).unwrap();
    }
}

fn run_incumbent(program: &Path, account: &Account, theirs: &mut Measured) {
    let before = account.ecs.calls().total();
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(["snapshot", "ecs", "aws-prod", "--clusters", "app"])
        .env_clear()
        .env("KOSLI_NO_UPDATE_CHECK", "1")
        .envs(account.variables())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut memory = 0;
    let status = loop {
        memory = memory.max(peak_memory(&child).unwrap_or_default());
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    theirs.times.push(begun.elapsed());
    assert!(status.success());
    theirs.ecs_calls = account.ecs.calls().total() - before;
    theirs.peak_memory = theirs.peak_memory.max(memory);
}

fn incumbent() -> Option<PathBuf> {
    let peers = std::env::var_os("ENVSNAP_PEERS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers"), PathBuf::from);
    Some(peers.join("bin/kosli")).filter(|program| program.exists())
}

/// The largest resident set that the process ever had, in bytes.
fn peak_memory(process: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes << 10)
}

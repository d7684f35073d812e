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

/// Tasks in the one cluster.
const TASKS: usize = 13;
/// Runs that start a new process, of the function and of the incumbent each.
const COLD_RUNS: usize = 15;
/// As many as the burst of the ECS quota allows: a further run would wait for the quota.
const WARM_RUNS: usize = 14;
/// The event that EventBridge sends to the function on schedule.
const SCHEDULED_EVENT: &str = include_str!("../events/scheduled.json");

/// Time, memory and calls of all runs of one kind.
#[derive(Default)]
struct Measurement {
    /// One for each run.
    times: Vec<Duration>,
    /// The largest resident set of a process, in bytes.
    peak_memory: u64,
    /// Calls to ECS in the last run.
    ecs_calls: u64,
}

impl Measurement {
    fn median(&mut self) -> Duration {
        self.times.sort();
        self.times[self.times.len() / 2]
    }

    /// Prints a row with the median and the range of the times, the calls and the memory.
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

    let program = incumbent_path();
    let (mut cold, mut warm) = (Measurement::default(), Measurement::default());
    let mut incumbent = Measurement::default();
    for run in 0..COLD_RUNS {
        let account = Account::start().await;
        let warm_runs = if run == 0 { WARM_RUNS } else { 0 };
        measure_function(&account, &mut cold, &mut warm, warm_runs).await;
        if let Some(program) = &program {
            measure_incumbent(program, &account, &mut incumbent);
        }
    }
    cold.print("function: start-up and first run");
    warm.print("function: later run, unchanged");
    if program.is_some() {
        incumbent.print("kosli snapshot ecs");
        let incumbent_seconds = incumbent.median().as_secs_f64();
        let ratio =
            |measured: &mut Measurement| incumbent_seconds / measured.median().as_secs_f64();
        println!(
            "\nkosli snapshot ecs, which starts anew for each run, takes {:.1} times as long as the \
             function's start-up and first run, and {:.0} times as long as a later run.",
            ratio(&mut cold),
            ratio(&mut warm)
        );
    } else {
        println!("\nNothing to compare with: tests/peers/setup installs the incumbent.");
    }
    measure_large_account().await;
}

/// Runs the function once on an account of 10,200 tasks, with ECS throttling by its documented quotas, and
/// compares the time with a floor: how long the quotas alone make the calls about tasks take.
async fn measure_large_account() {
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
    let mut variables = account.environment_variables();
    variables.retain(|(name, _)| *name != "ECS_CLUSTERS");
    variables.push(("QUOTA_SHARE", "1".to_owned()));
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
    let mut function = Function::start(&variables).await;
    let mut log = function.child.stdout.take().unwrap();
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    let begun = Instant::now();
    let answer = function.invoke(SCHEDULED_EVENT).await;
    let took_seconds = begun.elapsed().as_secs_f64();
    assert_eq!(answer.body["environments"][0]["tasks"], CLUSTERS * TASKS_EACH, "{answer:?}");
    let calls = account.ecs.calls();
    let task_calls = calls.count(Operation::ListTasks) + calls.count(Operation::DescribeTasks);
    let floor_seconds = (f64::from(u32::try_from(task_calls).unwrap()) - 100.0) / 20.0;
    let throttled = calls.log().iter().filter(|call| call.status == Some(400)).count();
    println!(
        "\n{} tasks in {CLUSTERS} clusters, QUOTA_SHARE=1: {took_seconds:.2} s, of which the quotas \
         alone take {floor_seconds:.2} s ({:.3} times that), {throttled} throttled calls, {:.1} MB",
        CLUSTERS * TASKS_EACH,
        took_seconds / floor_seconds,
        f64::from(u32::try_from(peak_memory(&function.child).unwrap() >> 10).unwrap()) / 1_024.0,
    );
}

/// An emulated account: its ECS, and a recorder that the reporters send to.
struct Account {
    ecs: StandIn,
    /// The URL of the recorder.
    host: String,
}

impl Account {
    /// With one cluster of [`TASKS`] tasks.
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

    /// The environment variables that configure a reporter for this account.
    fn environment_variables(&self) -> Vec<(&'static str, String)> {
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

/// Starts a process of the function and runs it once (`cold`), then `warm_runs` times more (`warm`), and
/// adds the measurements.
async fn measure_function(
    account: &Account,
    cold: &mut Measurement,
    warm: &mut Measurement,
    warm_runs: usize,
) {
    let variables = account.environment_variables();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
    let begun = Instant::now();
    let mut function = Function::start(&variables).await;
    // Or the pipe fills up, and the function waits for a reader.
    let mut log = function.child.stdout.take().unwrap();
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    let answer = function.invoke(SCHEDULED_EVENT).await;
    cold.times.push(begun.elapsed());
    assert!(!answer.failed, "{answer:?}");
    cold.ecs_calls = account.ecs.calls().total();
    cold.peak_memory = cold.peak_memory.max(peak_memory(&function.child).unwrap());
    for _ in 0..warm_runs {
        let before = account.ecs.calls().total();
        let begun = Instant::now();
        let answer = function.invoke(SCHEDULED_EVENT).await;
        warm.times.push(begun.elapsed());
        assert_eq!(answer.body["environments"][0]["outcome"], "unchanged", "{answer:?}");
        warm.ecs_calls = account.ecs.calls().total() - before;
        warm.peak_memory = peak_memory(&function.child).unwrap();
    }
}

/// Runs the incumbent once, and adds the measurement.
fn measure_incumbent(program: &Path, account: &Account, incumbent: &mut Measurement) {
    let before = account.ecs.calls().total();
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(["snapshot", "ecs", "aws-prod", "--clusters", "app"])
        .env_clear()
        .env("KOSLI_NO_UPDATE_CHECK", "1")
        .envs(account.environment_variables())
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
    incumbent.times.push(begun.elapsed());
    assert!(status.success());
    incumbent.ecs_calls = account.ecs.calls().total() - before;
    incumbent.peak_memory = incumbent.peak_memory.max(memory);
}

/// The path of the incumbent's CLI, if `tests/peers/setup` installed it.
fn incumbent_path() -> Option<PathBuf> {
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

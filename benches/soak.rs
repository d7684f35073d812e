//! Ten thousand invocations of one process of the function, with one fault in a hundred calls to ECS
//! and in a hundred requests to the server, and a cluster that changes: the memory has to stay flat.
//!
//! `cargo bench --bench soak`, or with `-- --invocations 2000`. Fails if the process holds more
//! than [`MAX_MEMORY_GROWTH`] more bytes at the end than it held after a tenth of the invocations.
//!
//! The invocations take turns, two and two, in twenty environments, each in a region of its own: a
//! function that read one region so often would wait for its quota. Most faults are final, or are
//! met by another attempt at once: what is waited for is a throttled call and half an answer of ECS,
//! about half a second each.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on should say where")]

#[path = "../tests/it/runtime_api.rs"]
mod runtime_api;

use std::collections::{BTreeMap, VecDeque};
use std::process::{Child, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::Response;
use envsnap::recorder::{Access, SqliteStore, serve};
use envsnap::standin::{Cluster, Fault, Operation, StandIn, Task, World};
use futures_util::stream;
use runtime_api::Function;
use serde_json::json;
use tokio::net::TcpListener;

const INVOCATIONS: usize = 10_000;
const ENVIRONMENTS: usize = 20;
/// One in so many requests to the server meets a fault.
const REQUESTS_PER_FAULT: usize = 100;

/// How many bytes the resident set may grow by: what an allocator keeps for itself moves by some hundreds
/// of kilobytes.
const MAX_MEMORY_GROWTH: u64 = 2 << 20;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    // `cargo test --benches` asks whether it runs, not how long.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let given = arguments.iter().position(|argument| argument == "--invocations");
    let invocations = given.map_or(INVOCATIONS, |at| arguments[at + 1].parse().unwrap());

    let ecs = StandIn::start(World::new("eu-central-1", "274425519734")).await.unwrap();
    let mut cluster = ChangingCluster::default();
    cluster.update(&ecs, 0);
    set_ecs_faults(&ecs);
    let host = start_faulty_server().await;
    let mut function = start_function(&ecs.endpoint(), &host).await;

    let mut outcomes = BTreeMap::<String, usize>::new();
    let mut bytes_after_a_tenth = 0;
    let begun = Instant::now();
    for number in 1..=invocations {
        cluster.update(&ecs, number);
        let event = json!({"environment": environment_name(number / 2 % ENVIRONMENTS)}).to_string();
        let answer = function.invoke(&event).await;
        let outcome = if answer.failed {
            &answer.body["errorType"]
        } else {
            &answer.body["environments"][0]["outcome"]
        };
        *outcomes.entry(outcome.as_str().unwrap().to_owned()).or_default() += 1;
        if number == invocations / 10 {
            bytes_after_a_tenth = resident_bytes(&function.child);
        }
    }
    let bytes_at_the_end = resident_bytes(&function.child);

    println!("{invocations} invocations in {:.0} s", begun.elapsed().as_secs_f64());
    for (outcome, count) in &outcomes {
        println!("{outcome:>20} {count:>6}");
    }
    println!("calls to ECS: {}", ecs.calls().total());
    println!("memory after {}: {} kB", invocations / 10, bytes_after_a_tenth >> 10);
    println!("memory at the end: {} kB", bytes_at_the_end >> 10);

    // What the faults left behind is put right once they end.
    ecs.faults(|faults| {
        faults.clear();
    });
    SERVER_FAULTS_ENDED.store(true, Ordering::Relaxed);
    for environment in 0..ENVIRONMENTS {
        let event =
            json!({"environment": environment_name(environment), "force": true}).to_string();
        let answer = function.invoke(&event).await;
        assert!(!answer.failed, "{answer:?}");
        let containers = &answer.body["environments"][0]["containers"];
        assert_eq!(containers, cluster.running.len() + cluster.draining.len());
    }
    if bytes_at_the_end > bytes_after_a_tenth + MAX_MEMORY_GROWTH {
        println!("The memory grew by more than {} kB.", MAX_MEMORY_GROWTH >> 10);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The name of the environment with this number.
fn environment_name(environment: usize) -> String {
    format!("aws-{environment}")
}

/// Starts the function with all environments, each in a region of its own.
async fn start_function(endpoint: &str, host: &str) -> Function {
    let environments: Vec<_> = (0..ENVIRONMENTS)
        .map(|at| {
            let region = format!("eu-soak-{at}");
            json!({"name": environment_name(at), "region": region, "clusters": ["app"]})
        })
        .collect();
    let environments = json!(environments).to_string();
    let mut function = Function::start(&[
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("KOSLI_HOST", host),
        ("KOSLI_ORG", "acme"),
        ("KOSLI_API_TOKEN", "token"),
        ("ENVIRONMENTS", &environments),
        ("AUTO_CREATE_ENVIRONMENT", "true"),
        ("QUOTA_SHARE", "1"),
    ])
    .await;
    // Or the pipe fills up, and the function waits for a reader.
    let mut log = function.child.stdout.take().unwrap();
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    function
}

/// The tasks of a cluster that is redeployed all the time, and in which a batch of jobs ends at intervals:
/// what the function has to find in ECS.
#[derive(Default)]
struct ChangingCluster {
    /// The ids of running tasks, the oldest first; the other lists likewise.
    running: VecDeque<String>,
    draining: VecDeque<String>,
    /// With the number of the invocation at which each stopped.
    stopped: VecDeque<(usize, String)>,
}

/// Running tasks of the service.
const TASKS: usize = 12;
/// Invocations after which the oldest task is replaced by one of a new version.
const ROLL_OVER_INTERVAL: usize = 5;
/// Invocations after which a batch of jobs ends.
const BATCH_INTERVAL: usize = 500;
const BATCH_TASKS: usize = 150;
/// Invocations for which ECS still lists a stopped task.
const STOPPED_TASKS_LISTED_FOR: usize = 400;

impl ChangingCluster {
    /// Brings the tasks in ECS to their state before invocation `number`; 0 creates the cluster.
    fn update(&mut self, ecs: &StandIn, number: usize) {
        let version = number / ROLL_OVER_INTERVAL;
        let digest = format!("sha256:{version:064x}");
        let task = Task::in_service("web").running_since(jiff::Timestamp::UNIX_EPOCH).container(
            "web",
            &format!("web:{version}"),
            &digest,
        );
        ecs.update(|world| {
            if number == 0 {
                world.clusters.insert("app".to_owned(), Cluster::new("app"));
            }
            let app = world.cluster_mut("app");
            while self.running.len() < TASKS {
                self.running.push_back(app.add(task.clone()));
            }
            if number.is_multiple_of(ROLL_OVER_INTERVAL) {
                self.running.push_back(app.add(task.clone()));
                let oldest = self.running.pop_front().unwrap();
                app.tasks.get_mut(&oldest).unwrap().drain();
                self.draining.push_back(oldest);
                if self.draining.len() > 2 {
                    let gone = self.draining.pop_front().unwrap();
                    app.tasks.get_mut(&gone).unwrap().stop();
                    self.stopped.push_back((number, gone));
                }
            }
            if number.is_multiple_of(BATCH_INTERVAL) {
                let job = task.clone().stopped();
                self.stopped.extend((0..BATCH_TASKS).map(|_| (number, app.add(job.clone()))));
            }
            while self
                .stopped
                .front()
                .is_some_and(|(since, _)| since + STOPPED_TASKS_LISTED_FOR < number)
            {
                let (_, expired) = self.stopped.pop_front().unwrap();
                app.tasks.remove(&expired);
            }
        });
    }
}

/// Makes one in a hundred calls of ECS fail.
fn set_ecs_faults(ecs: &StandIn) {
    let html = Fault::Body {
        status: 404,
        content_type: "text/html".to_owned(),
        body: b"<html>Not here</html>".to_vec(),
    };
    ecs.faults(|faults| {
        for operation in [Operation::ListTasks, Operation::DescribeTasks] {
            faults
                .at_rate(operation, 0.004, Fault::Reset)
                .at_rate(operation, 0.002, Fault::AccessDenied)
                .at_rate(operation, 0.002, html.clone())
                .at_rate(operation, 0.001, Fault::throttling())
                .at_rate(operation, 0.001, Fault::HalfAnswer);
        }
    });
}

/// Requests to the server so far.
static REQUESTS: AtomicUsize = AtomicUsize::new(0);
/// Whether the server no longer fails.
static SERVER_FAULTS_ENDED: AtomicBool = AtomicBool::new(false);

/// Starts a recorder behind a proxy that injects faults, and returns the URL of the proxy.
async fn start_faulty_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let recorder = format!("http://{}", listener.local_addr().unwrap());
    let store = SqliteStore::in_memory().unwrap();
    tokio::spawn(serve(listener, store, Access::open(), None, std::future::pending()));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let server = Router::new().fallback(proxy_with_faults).with_state((client, recorder));
    tokio::spawn(async { axum::serve(listener, server).await.unwrap() });
    host
}

/// Forwards the request to the recorder, or answers with a fault.
async fn proxy_with_faults(
    State((client, recorder)): State<(reqwest::Client, String)>,
    request: Request,
) -> Response<Body> {
    let number = REQUESTS.fetch_add(1, Ordering::Relaxed);
    let answer = async {
        let (head, body) = request.into_parts();
        let request = client
            .request(head.method, format!("{recorder}{}", head.uri))
            .headers(head.headers)
            .body(to_bytes(body, usize::MAX).await.unwrap());
        let answer = request.send().await.unwrap();
        let status = answer.status();
        Response::builder().status(status).body(Body::from(answer.bytes().await.unwrap())).unwrap()
    };
    if number % REQUESTS_PER_FAULT != REQUESTS_PER_FAULT - 1
        || SERVER_FAULTS_ENDED.load(Ordering::Relaxed)
    {
        return answer.await;
    }
    fault_response(number, answer).await
}

/// The response to a request that meets a fault. The recorder gets the request only if `recorder_response`
/// is awaited.
async fn fault_response(
    number: usize,
    recorder_response: impl Future<Output = Response<Body>>,
) -> Response<Body> {
    let response = |status: u16, body: Body| {
        // Longer than any client waits.
        Response::builder().status(status).header("retry-after", "3600").body(body).unwrap()
    };
    match number / REQUESTS_PER_FAULT % 6 {
        0 => response(500, Body::from("{\"message\": \"no\"}")),
        1 => response(409, Body::from("{\"message\": \"locked\"}")),
        2 => response(403, Body::from("{\"message\": \"no permission\"}")),
        3 => response(200, Body::from("<html>Sign in</html>")),
        // Not recorded, and the response breaks off.
        4 => response(200, broken_off_body()),
        // Recorded, and the response breaks off.
        _ => response(recorder_response.await.status().as_u16(), broken_off_body()),
    }
}

/// A body whose connection breaks after its first byte.
fn broken_off_body() -> Body {
    let beginning = stream::once(async { Ok("{".to_owned()) });
    let error = stream::once(async { Err(std::io::Error::other("it breaks off")) });
    Body::from_stream(stream::StreamExt::chain(beginning, error))
}

/// The resident set of a process, in bytes.
fn resident_bytes(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    kilobytes << 10
}

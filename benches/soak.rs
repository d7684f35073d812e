//! Ten thousand invocations of one process of the function, with one fault in a hundred calls to ECS
//! and in a hundred requests to the server, and a truth that changes: the memory has to stay flat.
//!
//! `cargo bench --bench soak`, or with `-- --invocations 2000`. Fails if the process holds more
//! than [`MARGIN`] more at the end than it held after a tenth of the invocations.
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
const ONE_IN: usize = 100;

/// Bytes: what an allocator keeps for itself moves by some hundreds of kilobytes.
const MARGIN: u64 = 2 << 20;

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
    let mut truth = Truth::default();
    truth.update(&ecs, 0);
    set_faults(&ecs);
    let host = faulty_server().await;
    let mut function = start(&ecs.endpoint(), &host).await;

    let mut outcomes = BTreeMap::<String, usize>::new();
    let mut after_a_tenth = 0;
    let begun = Instant::now();
    for number in 1..=invocations {
        truth.update(&ecs, number);
        let event = json!({"environment": name(number / 2 % ENVIRONMENTS)}).to_string();
        let answer = function.invoke(&event).await;
        let outcome = if answer.failed {
            &answer.body["errorType"]
        } else {
            &answer.body["environments"][0]["outcome"]
        };
        *outcomes.entry(outcome.as_str().unwrap().to_owned()).or_default() += 1;
        if number == invocations / 10 {
            after_a_tenth = memory(&function.child);
        }
    }
    let at_the_end = memory(&function.child);

    println!("{invocations} invocations in {:.0} s", begun.elapsed().as_secs_f64());
    for (outcome, count) in &outcomes {
        println!("{outcome:>20} {count:>6}");
    }
    println!("calls to ECS: {}", ecs.calls().total());
    println!("memory after {}: {} kB", invocations / 10, after_a_tenth >> 10);
    println!("memory at the end: {} kB", at_the_end >> 10);

    // What the faults left behind is put right once they end.
    ecs.faults(|faults| {
        faults.clear();
    });
    SERVER_IS_WELL.store(true, Ordering::Relaxed);
    for environment in 0..ENVIRONMENTS {
        let event = json!({"environment": name(environment), "force": true}).to_string();
        let answer = function.invoke(&event).await;
        assert!(!answer.failed, "{answer:?}");
        let containers = &answer.body["environments"][0]["containers"];
        assert_eq!(containers, truth.running.len() + truth.draining.len());
    }
    if at_the_end > after_a_tenth + MARGIN {
        println!("The memory grew by more than {} kB.", MARGIN >> 10);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn name(environment: usize) -> String {
    format!("aws-{environment}")
}

async fn start(endpoint: &str, host: &str) -> Function {
    let environments: Vec<_> = (0..ENVIRONMENTS)
        .map(|at| json!({"name": name(at), "region": format!("eu-soak-{at}"), "clusters": ["app"]}))
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

/// A cluster whose tasks roll over, and in which a batch of jobs ends every now and then.
#[derive(Default)]
struct Truth {
    running: VecDeque<String>,
    draining: VecDeque<String>,
    stopped: VecDeque<(usize, String)>,
}

const TASKS: usize = 12;
const ROLL_OVER_EVERY: usize = 5;
const BATCH_EVERY: usize = 500;
const BATCH: usize = 150;
/// Invocations for which a stopped task stays listed.
const LISTED_FOR: usize = 400;

impl Truth {
    fn update(&mut self, ecs: &StandIn, number: usize) {
        let version = number / ROLL_OVER_EVERY;
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
            if number.is_multiple_of(ROLL_OVER_EVERY) {
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
            if number.is_multiple_of(BATCH_EVERY) {
                let job = task.clone().stopped();
                self.stopped.extend((0..BATCH).map(|_| (number, app.add(job.clone()))));
            }
            while self.stopped.front().is_some_and(|(since, _)| since + LISTED_FOR < number) {
                let (_, expired) = self.stopped.pop_front().unwrap();
                app.tasks.remove(&expired);
            }
        });
    }
}

fn set_faults(ecs: &StandIn) {
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
static SERVER_IS_WELL: AtomicBool = AtomicBool::new(false);

/// A recorder behind something that goes wrong.
async fn faulty_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let recorder = format!("http://{}", listener.local_addr().unwrap());
    let store = SqliteStore::in_memory().unwrap();
    tokio::spawn(serve(listener, store, Access::open(), None, std::future::pending()));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let server = Router::new().fallback(pass_on).with_state((client, recorder));
    tokio::spawn(async { axum::serve(listener, server).await.unwrap() });
    host
}

async fn pass_on(
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
    if number % ONE_IN != ONE_IN - 1 || SERVER_IS_WELL.load(Ordering::Relaxed) {
        return answer.await;
    }
    go_wrong(number, answer).await
}

async fn go_wrong(number: usize, real: impl Future<Output = Response<Body>>) -> Response<Body> {
    let answer = |status: u16, body: Body| {
        // Longer than anyone waits.
        Response::builder().status(status).header("retry-after", "3600").body(body).unwrap()
    };
    match number / ONE_IN % 6 {
        0 => answer(500, Body::from("{\"message\": \"no\"}")),
        1 => answer(409, Body::from("{\"message\": \"locked\"}")),
        2 => answer(403, Body::from("{\"message\": \"no permission\"}")),
        3 => answer(200, Body::from("<html>Sign in</html>")),
        // Not taken, and broken off.
        4 => answer(200, broken()),
        // Taken, and broken off.
        _ => answer(real.await.status().as_u16(), broken()),
    }
}

fn broken() -> Body {
    let beginning = stream::once(async { Ok("{".to_owned()) });
    let error = stream::once(async { Err(std::io::Error::other("it breaks off")) });
    Body::from_stream(stream::StreamExt::chain(beginning, error))
}

/// The resident set of a process, in bytes.
fn memory(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    kilobytes << 10
}

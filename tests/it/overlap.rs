//! Two runs that overlap, in every order in which their readings and requests can happen: what an
//! older reading found is never recorded after what a newer one found.
//!
//! Each process reads an ECS account of its own, in which every reading finds another version; the
//! recorder is one, over HTTP. Readings and requests wait until the test lets them happen, one at a
//! time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::SystemTime;

use envsnap::api::wire::{EcsReport, EnvironmentRequest};
use envsnap::api::{
    ApiError, Client, EnvironmentApi, EnvironmentClient, EnvironmentStatus, LatestSnapshot,
    ReportOptions, ReportResponse, ServerApi,
};
use envsnap::ecs::{
    CallError, Cluster, Container, DescribedTasks, DesiredStatus, EcsApi, Page, Source, Task,
};
use envsnap::report::{OutcomeKind, Reporter, Trigger, TriggerKind};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::harness::{aws, config, digest, server};
use crate::recorder::server::Recorder;

/// Holds the calls of two processes back until the test lets them through, one at a time.
#[derive(Default)]
struct Gate {
    /// In the order of arrival, by process and what it is.
    waiting: RefCell<BTreeMap<(usize, &'static str), oneshot::Sender<()>>>,
    /// Let through, and without a response yet.
    under_way: Cell<usize>,
    /// No caller waits.
    open: Cell<bool>,
    /// Readings so far: the last one found this version.
    readings: Cell<u8>,
    /// What happened, in order.
    story: RefCell<Vec<String>>,
    /// Something waits more than before, or less is under way.
    changed: Notify,
}

impl Gate {
    /// Does `work` once the test lets `what` of `process` through.
    async fn pass<T>(
        &self,
        process: usize,
        what: &'static str,
        work: impl AsyncFnOnce() -> T,
    ) -> T {
        if !self.open.get() {
            let (let_through, passed) = oneshot::channel();
            let before = self.waiting.borrow_mut().insert((process, what), let_through);
            assert!(before.is_none(), "{what} of process {process} twice at a time");
            self.changed.notify_one();
            passed.await.unwrap();
            self.story.borrow_mut().push(format!("{process} {what}"));
        }
        self.counted(work).await
    }

    /// Does `work` without waiting; it is under way until it returns.
    async fn counted<T>(&self, work: impl AsyncFnOnce() -> T) -> T {
        self.under_way.set(self.under_way.get() + 1);
        let result = work().await;
        self.under_way.set(self.under_way.get() - 1);
        self.changed.notify_one();
        result
    }
}

/// An account with one cluster, in which one task runs. Listings of running tasks wait at the gate, and find
/// the next version of the task's image.
struct GatedEcs {
    gate: Rc<Gate>,
    process: usize,
    /// What runs.
    version: Cell<u8>,
}

fn arn(kind: &str, resource: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:274425519734:{kind}/{resource}")
}

/// A page that is the only one.
fn page(arns: Vec<String>) -> Page {
    Page { arns, next_token: None }
}

impl EcsApi for GatedEcs {
    async fn list_clusters(&self, _: Option<String>) -> Result<Page, CallError> {
        Ok(page(vec![arn("cluster", "app")]))
    }

    async fn describe_clusters(&self, clusters: &[String]) -> Result<Vec<Cluster>, CallError> {
        let active = |arn: &String| Cluster { arn: arn.clone(), status: None, running_tasks: 1 };
        Ok(clusters.iter().map(active).collect())
    }

    async fn list_tasks(
        &self,
        _: &str,
        desired_status: DesiredStatus,
        _: Option<String>,
    ) -> Result<Page, CallError> {
        let list = async || {
            if !self.gate.open.get() {
                self.gate.readings.set(self.gate.readings.get() + 1);
                self.version.set(self.gate.readings.get());
            }
            page(vec![arn("task", "app/web")])
        };
        match desired_status {
            DesiredStatus::Running => Ok(self.gate.pass(self.process, "reads", list).await),
            DesiredStatus::Stopped => Ok(page(Vec::new())),
        }
    }

    async fn describe_tasks(&self, _: &str, tasks: &[String]) -> Result<DescribedTasks, CallError> {
        let version = self.version.get();
        let container = Container {
            image: Some(format!("web:{version}")),
            image_digest: Some(digest(version)),
            last_status: Some("RUNNING".to_owned()),
            ..Container::default()
        };
        let (arn, containers) = (tasks[0].clone(), vec![container]);
        let task = Task { arn, containers, ..Task::default() };
        Ok(DescribedTasks { tasks: vec![task], failures: Vec::new() })
    }

    async fn list_services(&self, _: &str, _: Option<String>) -> Result<Page, CallError> {
        Ok(page(Vec::new()))
    }
}

/// The server's client of one process, whose requests wait at the gate.
struct GatedServer {
    client: Rc<Client>,
    gate: Rc<Gate>,
    process: usize,
    /// As the hosted server, it knows no preconditions.
    without_preconditions: bool,
}

struct GatedEnvironment<'a> {
    environment: EnvironmentClient<'a>,
    server: &'a GatedServer,
}

impl ServerApi for GatedServer {
    type Environment<'a> = GatedEnvironment<'a>;

    fn environment<'a>(&'a self, name: &'a str, at: Option<Instant>) -> GatedEnvironment<'a> {
        GatedEnvironment { environment: self.client.environment(name, at), server: self }
    }
}

impl GatedEnvironment<'_> {
    async fn pass<T>(&self, what: &'static str, work: impl AsyncFnOnce() -> T) -> T {
        self.server.gate.pass(self.server.process, what, work).await
    }
}

impl EnvironmentApi for GatedEnvironment<'_> {
    fn calls(&self) -> u32 {
        self.environment.calls()
    }

    fn accepts_preconditions(&self) -> bool {
        self.environment.accepts_preconditions() && !self.server.without_preconditions
    }

    fn accepts_origin(&self) -> bool {
        self.environment.accepts_origin()
    }

    async fn latest_snapshot(&self) -> Result<LatestSnapshot, ApiError> {
        self.pass("asks", async || self.environment.latest_snapshot().await).await
    }

    async fn get(&self) -> Result<EnvironmentStatus, ApiError> {
        self.pass("gets", async || self.environment.get().await).await
    }

    async fn create(&self, request: &EnvironmentRequest) -> Result<(), ApiError> {
        self.pass("creates", async || self.environment.create(request).await).await
    }

    async fn report(
        &self,
        report: &EcsReport,
        options: ReportOptions,
    ) -> Result<ReportResponse, ApiError> {
        let options = ReportOptions {
            latest_index: options.latest_index.filter(|_| !self.server.without_preconditions),
            ..options
        };
        self.pass("posts", async || self.environment.report(report, options).await).await
    }
}

type Process = Reporter<GatedEcs, GatedServer, fn() -> SystemTime>;

/// How the two processes are configured, and what they remember.
#[derive(Debug, Clone, Copy)]
struct Setting {
    /// Whether the process reported before, and remembers it.
    warm: [bool; 2],
    recheck: &'static str,
    force: bool,
    without_preconditions: bool,
}

/// A recorder, and the client of each of the two processes, on which many orders are played.
struct Stage {
    recorder: Recorder,
    clients: [Rc<Client>; 2],
    environments: Cell<usize>,
}

impl Stage {
    async fn new() -> Self {
        let recorder = Recorder::start().await;
        let config = config(&recorder.url, &[]);
        let clients = [0, 1].map(|_| Rc::new(server(&config, &aws("http://127.0.0.1:1"))));
        Self { recorder, clients, environments: Cell::new(0) }
    }

    /// A reporter of environment `name`.
    fn process(&self, process: usize, gate: &Rc<Gate>, name: &str, setting: Setting) -> Process {
        let variables =
            [("KOSLI_ENVIRONMENT", name), ("RECHECK", setting.recheck), ("QUOTA_SHARE", "1")];
        let config = config(&self.recorder.url, &variables);
        let server = GatedServer {
            client: Rc::clone(&self.clients[process]),
            gate: Rc::clone(gate),
            process,
            without_preconditions: setting.without_preconditions,
        };
        let ecs = |_: &Source| GatedEcs { gate: Rc::clone(gate), process, version: Cell::new(0) };
        Reporter::new(config, ecs, server, SystemTime::now)
    }

    /// Runs both processes, and lets through what `choices` picks from the waiting calls at each step. Returns
    /// how many calls waited at each step, the versions in the order in which they were recorded, and what
    /// happened, in order.
    async fn play_order(
        &self,
        setting: Setting,
        choices: &[usize],
    ) -> (Vec<usize>, Vec<u8>, String) {
        let number = self.environments.replace(self.environments.get() + 1);
        let name = format!("env-{number}");
        self.recorder.create(&name, Some(true)).await;
        let gate = Rc::new(Gate::default());
        gate.open.set(true);
        let processes = [0, 1].map(|process| self.process(process, &gate, &name, setting));
        for (at, process) in processes.iter().enumerate() {
            if setting.warm[at] {
                process.run(&Trigger::new(TriggerKind::Schedule), None).await.unwrap();
            }
        }
        gate.open.set(false);

        let trigger = Trigger { force: setting.force, ..Trigger::new(TriggerKind::Manual) };
        let run = async |process: &Process| {
            let outcome = process.run(&trigger, None).await.unwrap().environments.remove(0);
            assert_eq!(outcome.outcome, OutcomeKind::Posted, "{outcome:?}");
        };
        let mut numbers = Vec::new();
        let both = async { tokio::join!(run(&processes[0]), run(&processes[1])) };
        let mut both = pin!(both);
        loop {
            let next = self.wait_until_blocked(&gate);
            tokio::select! {
                biased;
                _ = &mut both => break,
                () = next => {
                    let mut waiting = gate.waiting.borrow_mut();
                    let choice = choices.get(numbers.len()).copied().unwrap_or_default();
                    numbers.push(waiting.len());
                    let key = *waiting.keys().nth(choice).unwrap();
                    waiting.remove(&key).unwrap().send(()).unwrap();
                }
            }
        }
        let recorded =
            self.recorder.get(&format!("/environments/acme/{name}/events?per_page=100")).await;
        let started = recorded.body.as_array().unwrap().iter().rev().filter_map(|event| {
            let version = event["artifact_name"].as_str()?.strip_prefix("web:")?.parse().ok()?;
            event["description"].as_str()?.contains("started").then_some(version)
        });
        (numbers, started.collect(), gate.story.borrow().join(", "))
    }

    /// Returns when all that can still happen waits to be let through.
    async fn wait_until_blocked(&self, gate: &Gate) {
        loop {
            // Nothing but what was let through depends on anything outside this thread.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            if gate.under_way.get() == 0 && !gate.waiting.borrow().is_empty() {
                return;
            }
            gate.changed.notified().await;
        }
    }

    /// Plays every order, and returns their number and what happened in those in which an older reading was
    /// recorded after a newer one. Of two processes that differ in nothing, the first one begins.
    async fn play_all(&self, setting: Setting) -> (usize, Vec<String>) {
        let (mut orders, mut overwritten) = (0, Vec::new());
        let mut choices = Vec::new();
        loop {
            let (numbers, recorded, story) = self.play_order(setting, &choices).await;
            orders += 1;
            if !recorded.is_sorted() {
                overwritten.push(format!("{story}, recorded {recorded:?}"));
            }
            choices.resize(numbers.len(), 0);
            // The next order: the last choice that has an alternative left takes it.
            let are_alike = setting.warm[0] == setting.warm[1];
            let alternatives = |step: usize| {
                // At first each of two alike has as many calls waiting, those of the first one in front.
                if step == 0 && are_alike { numbers[0] / 2 } else { numbers[step] }
            };
            let mut steps = 0..choices.len();
            let Some(last) = steps.rfind(|at| choices[*at] + 1 < alternatives(*at)) else {
                return (orders, overwritten);
            };
            choices[last] += 1;
            choices.truncate(last + 1);
        }
    }
}

/// Neither process has reported before.
const COLD: Setting =
    Setting { warm: [false; 2], recheck: "0s", force: false, without_preconditions: false };
/// Both processes have reported before.
const WARM: Setting = Setting { warm: [true; 2], ..COLD };

#[tokio::test]
#[ignore = "takes long"]
async fn older_ecs_reading_is_not_recorded_after_a_newer_one_in_any_order_of_two_runs() {
    let stage = Stage::new().await;
    let cold_and_warm = Setting { warm: [false, true], ..COLD };
    for setting in [
        COLD,
        cold_and_warm,
        WARM,
        Setting { recheck: "15m", ..WARM },
        Setting { force: true, ..WARM },
    ] {
        let (orders, overwritten) = stage.play_all(setting).await;
        assert!(overwritten.is_empty(), "{setting:?}: {overwritten:#?}");
        assert!(orders >= 10, "{setting:?}: {orders} orders");
    }
}

/// As the documentation says of the hosted server, which takes no preconditions.
#[tokio::test]
#[ignore = "takes long"]
async fn without_preconditions_only_a_report_between_fetch_and_post_is_overwritten() {
    let stage = Stage::new().await;
    let setting = Setting { without_preconditions: true, ..WARM };
    let (orders, overwritten) = stage.play_all(setting).await;
    assert!(!overwritten.is_empty() && overwritten.len() * 2 < orders, "{orders} orders");
    for story in &overwritten {
        let steps: Vec<_> = story.split(", ").collect();
        let is_between = |one: usize| {
            let (asks, posts) = (format!("{one} asks"), format!("{one} posts"));
            let post = steps.iter().rposition(|step| *step == posts);
            let ask = post.and_then(|post| steps[..post].iter().rposition(|s| *s == asks));
            let others = format!("{} posts", 1 - one);
            ask.zip(post).is_some_and(|(ask, post)| steps[ask..post].contains(&&*others))
        };
        assert!(is_between(0) || is_between(1), "{story}");
    }
}

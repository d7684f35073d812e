//! Responses of ECS, as the SDK and the reader parse them: a line that says what is read, and a line
//! for each response in turn, `STATUS BODY`. Any other line is a connection that breaks. `%n` in a
//! response is the number of the call; if the last response has one, it is repeated for ever.
#![cfg_attr(not(test), no_main)]

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use envsnap::api::wire::EcsReport;
use envsnap::ecs::{
    AwsEcs, Filter, Progress, Quota, Reader, Scope, Selection, Task, connect, observe,
};
use envsnap::snapshot::{DigestSource, Fingerprint, RunningContainer, Snapshot, artifact_name};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout_at};

/// On a clock that only waits move, so that it costs next to nothing.
const DEADLINE: Duration = Duration::from_secs(10);

/// What the quotas let through within the deadline: 50 and 100 at once, and 20 a second of either.
const MAX_CALLS: u32 = (50 + 200) + 2 * (100 + 200) + 3;

/// A client of ECS whose responses are scripted, and the runtime that it is used in.
struct Harness {
    runtime: Runtime,
    ecs_script: ScriptedEcs,
    ecs: AwsEcs,
}

thread_local! {
    static HARNESS: RefCell<Harness> = RefCell::new(Harness::start());
}

/// Checks one input of the fuzzer: what the reader finds against what the responses say.
pub(crate) fn check(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let scope = parse_scope(lines.next().unwrap_or_default());
    HARNESS.with_borrow(|harness| {
        let everything = scope.services.is_everything();
        harness.ecs_script.set_responses(lines.map(ScriptedResponse::from_line).collect());
        harness.runtime.block_on(async {
            let reader = Reader::new(harness.ecs.clone(), Quota::with_share(1.0), 16);
            // A second reading knows which tasks have stopped.
            let mut stopped = HashSet::new();
            for _ in 0..2 {
                let Some(tasks) = read_tasks(&reader, &scope).await else { break };
                let tasks = tasks.iter().flat_map(|tasks| tasks.iter());
                let observations = tasks.flat_map(|task| observe(task, &scope, 0));
                let containers: Vec<_> =
                    observations.filter_map(|observation| observation.result.ok()).collect();
                let expected =
                    ExpectedReading::from_responses(&harness.ecs_script.take_exchanges());
                expected.assert_reading_may_succeed(&stopped);
                expected.assert_same_containers(&containers, everything);
                check_report(&containers);
                stopped.extend(expected.stopped);
            }
        });
    });
}

/// The scope that the first line of an input names; any other line is the whole account.
fn parse_scope(line: &[u8]) -> Scope {
    let mut scope = Scope::default();
    match line {
        b"named" => {
            let app = "app".parse().unwrap();
            scope.clusters.include = Filter { names: vec![app], pattern: None };
        }
        b"services" => {
            let web = Filter { names: vec!["web".to_owned()], pattern: None };
            scope.services = Selection { include: web, exclude: Filter::default() };
        }
        _ => {}
    }
    scope
}

/// The tasks, if the reading succeeds.
async fn read_tasks(reader: &Reader<AwsEcs>, scope: &Scope) -> Option<Vec<Arc<Vec<Task>>>> {
    let deadline = Instant::now() + DEADLINE;
    let progress = Progress::default();
    let reading = reader.begin(Some(deadline));
    let read = timeout_at(deadline, reading.tasks(scope, &progress)).await;
    assert!(progress.calls() <= MAX_CALLS, "{} calls", progress.calls());
    match read.ok()? {
        Ok(tasks) => Some(tasks),
        Err(error) => {
            let error = error.to_string();
            assert!(error.len() < 1_500, "{} bytes: {error}", error.len());
            None
        }
    }
}

/// The report of the containers says the same as their snapshot.
fn check_report(containers: &[RunningContainer<'_>]) {
    let snapshot: Snapshot = containers.iter().collect();
    assert_eq!(EcsReport::from_containers(containers).snapshot(), snapshot);
    assert_eq!(snapshot.content_hash().len(), 64);
    let replicas: u64 = snapshot.artifacts().map(|artifact| artifact.replicas).sum();
    assert_eq!(usize::try_from(replicas), Ok(containers.len()));
}

/// What one reading should find, by a reader of JSON that is not the SDK's.
#[derive(Default)]
struct ExpectedReading {
    /// Some call failed.
    has_failed_call: bool,
    /// Some response leaves open what the reader should make of it.
    is_uncertain: bool,
    /// ARNs of the tasks that were listed.
    listed: HashSet<String>,
    /// ARNs of the tasks whose description was requested.
    requested: HashSet<String>,
    /// ARNs of the tasks that were described as stopped.
    stopped: HashSet<String>,
    /// The running containers of each task by ARN, as it was first described.
    tasks: HashMap<String, Vec<Identity>>,
    /// Failures in descriptions with other reasons than that a task is gone.
    failures: Vec<Value>,
}

/// The name and the fingerprint of an artifact.
type Identity = (String, Option<Fingerprint>);

impl ExpectedReading {
    fn from_responses(exchanges: &[Exchange]) -> Self {
        let mut expected = Self::default();
        for Exchange { operation, request, answer } in exchanges {
            let request: Value = serde_json::from_slice(request).unwrap_or_default();
            expected.requested.extend(strings(&request["tasks"]));
            let ScriptedResponse::Http(200..=299, body) = answer else {
                expected.has_failed_call = true;
                continue;
            };
            let Ok(document) = serde_json::from_slice::<Value>(body) else {
                expected.is_uncertain = true;
                continue;
            };
            match operation.as_str() {
                "ListTasks" => expected.listed.extend(strings(&document["taskArns"])),
                "DescribeTasks" => expected.add_description(&document),
                _ => {}
            }
        }
        expected
    }

    /// Adds what a response of `DescribeTasks` says.
    fn add_description(&mut self, document: &Value) {
        for failure in objects(&document["failures"]) {
            if failure["reason"] != "MISSING" {
                self.failures.push(failure.clone());
            }
        }
        for task in objects(&document["tasks"]) {
            let arn = task["taskArn"].as_str().unwrap_or_default().to_owned();
            let has_stopped = matches!(task["lastStatus"].as_str(), Some("STOPPED" | "DELETED"));
            if has_stopped {
                self.stopped.insert(arn.clone());
            }
            // Such a call is repeated, or is about the other form of an ARN.
            let lacks_status = |container: &Value| !container["lastStatus"].is_string();
            let is_incomplete = objects(&task["containers"]).any(lacks_status);
            self.is_uncertain |= is_incomplete || !self.requested.contains(&arn);
            let running: Vec<_> = objects(&task["containers"])
                .filter(|container| !has_stopped && container["lastStatus"] == "RUNNING")
                .map(|container| {
                    let text = |field: &str| container[field].as_str();
                    let (fingerprint, _) =
                        DigestSource::resolve(text("image"), text("imageDigest"));
                    let name = text("name").filter(|name| !name.is_empty()).unwrap_or("unnamed");
                    (artifact_name(text("image"), name).to_owned(), fingerprint)
                })
                .collect();
            let first = self.tasks.entry(arn).or_insert(running.clone());
            self.is_uncertain |= *first != running;
        }
    }

    /// Asserts that a reading which succeeded was right to: nothing failed, and each listed task was
    /// described or had `stopped` before.
    fn assert_reading_may_succeed(&self, stopped: &HashSet<String>) {
        if self.has_failed_call || self.is_uncertain {
            return;
        }
        assert!(self.failures.is_empty(), "{:?}", self.failures);
        for arn in &self.listed {
            assert!(
                self.requested.contains(arn) || stopped.contains(arn),
                "{arn} is listed, and was not described"
            );
        }
    }

    /// Asserts that each of `containers` runs as described, and if everything is in scope, that none is
    /// missing.
    fn assert_same_containers(&self, containers: &[RunningContainer<'_>], everything: bool) {
        if self.is_uncertain {
            return;
        }
        let mut counted = HashMap::<_, Vec<Identity>>::new();
        for container in containers {
            let identity = (container.artifact_name.to_owned(), container.fingerprint);
            counted.entry(container.task_arn).or_default().push(identity);
        }
        for (arn, counted) in &mut counted {
            let mut running = self.tasks.get(*arn).cloned().unwrap_or_default();
            counted.sort();
            running.sort();
            assert_eq!(*counted, running, "{arn}");
        }
        if everything && !self.has_failed_call {
            let running = self.tasks.values().filter(|running| !running.is_empty());
            assert_eq!(running.count(), counted.len());
        }
    }
}

/// The strings in a JSON array; none if it is no array.
fn strings(list: &Value) -> impl Iterator<Item = String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned)
}

/// The objects in a JSON array; none if it is no array.
fn objects(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten().filter(|value| value.is_object())
}

/// What a call of ECS gets.
#[derive(Debug, Clone)]
enum ScriptedResponse {
    /// Status and body.
    Http(u16, Vec<u8>),
    BrokenConnection,
}

impl ScriptedResponse {
    fn from_line(line: &[u8]) -> Self {
        let (status, body) = line.split_at(line.len().min(4));
        match str::from_utf8(status).ok().and_then(|status| status.trim_end().parse().ok()) {
            Some(status @ 100..1000) => Self::Http(status, body.to_owned()),
            _ => Self::BrokenConnection,
        }
    }

    /// An error after which the SDK does not try again.
    fn final_error() -> Self {
        Self::Http(400, br#"{"__type":"InvalidParameterException"}"#.to_vec())
    }

    /// Whether it is repeated for ever if it is the last one.
    fn is_endless(&self) -> bool {
        matches!(self, Self::Http(_, body) if body.windows(2).any(|two| two == b"%n"))
    }

    /// The response to this call, counted from 1, whose number replaces `%n`.
    fn for_call(&self, call: usize) -> Self {
        match self {
            Self::Http(status, body) if self.is_endless() => {
                let text = String::from_utf8_lossy(body).replace("%n", &call.to_string());
                Self::Http(*status, text.into_bytes())
            }
            same => same.clone(),
        }
    }
}

/// One call: its operation, the body of the request, and the response.
#[derive(Debug)]
struct Exchange {
    operation: String,
    request: Vec<u8>,
    answer: ScriptedResponse,
}

/// An HTTP client for the SDK that sends nothing, and answers with the script.
#[derive(Debug, Clone, Default)]
struct ScriptedEcs(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
struct Script {
    answers: Vec<ScriptedResponse>,
    /// Calls so far.
    calls: usize,
    exchanges: Vec<Exchange>,
}

impl ScriptedEcs {
    /// Starts a new script: these responses, from the first call on.
    fn set_responses(&self, answers: Vec<ScriptedResponse>) {
        *self.0.lock().unwrap() = Script { answers, ..Script::default() };
    }

    /// The responses since the last call.
    fn take_exchanges(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.0.lock().unwrap().exchanges)
    }
}

impl HttpConnector for ScriptedEcs {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let mut script = self.0.lock().unwrap();
        script.calls += 1;
        let last = script.answers.last().filter(|last| last.is_endless());
        let answer = script.answers.get(script.calls - 1).or(last);
        let answer =
            answer.map_or(ScriptedResponse::final_error(), |answer| answer.for_call(script.calls));
        let request = request.body().bytes().unwrap_or_default().to_vec();
        script.exchanges.push(Exchange { operation, request, answer: answer.clone() });
        HttpConnectorFuture::ready(match answer {
            ScriptedResponse::Http(status, body) => {
                Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body)))
            }
            ScriptedResponse::BrokenConnection => {
                Err(ConnectorError::io("the connection broke".into()))
            }
        })
    }
}

impl HttpClient for ScriptedEcs {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl Harness {
    fn start() -> Self {
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let ecs_script = ScriptedEcs::default();
        let credentials = Credentials::from_keys("test", "test", None);
        let aws = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(ecs_script.clone())
            .build();
        let ecs = runtime.block_on(connect(&aws, &envsnap::ecs::Source::default()));
        Self { runtime, ecs_script, ecs }
    }
}

#[cfg(not(test))]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

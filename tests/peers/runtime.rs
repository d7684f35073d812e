//! The built function behind Lambda's own runtime interface emulator.

use envsnap::standin::{Cluster, Fault, Operation, StandIn, Task, World};
use jiff::Timestamp;
use serde_json::Value;

use crate::emulator::aws_variables;
use crate::programs::{ACCOUNT, REGION, ROOT};
use crate::recorder::{ENVIRONMENT, Recorder};
use crate::release;
use crate::runtime_emulator::{Invoked, RuntimeEmulator};

struct TestBed {
    ecs: StandIn,
    recorder: Recorder,
    function: RuntimeEmulator,
}

/// The function, where cluster `app` runs thirteen tasks of four services.
async fn start(timeout: u32) -> TestBed {
    let started = Timestamp::from_second(1_661_161_157).unwrap();
    let task = |service: &str, byte: u8| {
        let digest = format!("sha256:{}", format!("{byte:02x}").repeat(32));
        let image = format!("{service}:{byte}");
        Task::in_service(service).running_since(started).container(service, &image, &digest)
    };
    let cluster = Cluster::new("app")
        .tasks(6, &task("runner", 1))
        .tasks(4, &task("web", 2))
        .tasks(2, &task("shas", 3))
        .task(task("differ", 4));
    let ecs = StandIn::start(World::new(REGION, ACCOUNT).cluster(cluster)).await.unwrap();
    let recorder = Recorder::start().await;
    let (bootstrap, endpoint) = (release::bootstrap().await, ecs.endpoint());
    let function = [
        ("KOSLI_ENVIRONMENT", ENVIRONMENT),
        ("ECS_CLUSTERS", "app"),
        ("AUTO_CREATE_ENVIRONMENT", "true"),
    ];
    let variables =
        function.into_iter().chain(aws_variables(&endpoint)).chain(recorder.variables());
    let function = RuntimeEmulator::start(&bootstrap, timeout, variables).await;
    TestBed { ecs, recorder, function }
}

fn example(name: &str) -> String {
    std::fs::read_to_string(format!("{ROOT}/events/{name}.json")).unwrap()
}

/// The error in Lambda's own form: its type and its message.
fn error(invoked: &Invoked) -> (String, String) {
    let body = invoked.json();
    let field = |name: &str| match &body[name] {
        Value::String(text) => text.clone(),
        other => panic!("{name} is {other}: {invoked:?}"),
    };
    (field("errorType"), field("errorMessage"))
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_built_function_starts_and_answers_every_example_event() {
    let TestBed { ecs: _ecs, recorder, function } = start(60).await;
    let events = [
        ("scheduled", "schedule", "posted", true),
        ("scheduler", "schedule", "unchanged", false),
        ("task-state-change", "task-state-change", "unchanged", false),
        ("sqs-task-state-changes", "task-state-change", "unchanged", false),
        ("deployment-state-change", "deployment-state-change", "unchanged", false),
        ("service-action", "service-action", "unchanged", false),
        ("manual", "manual", "unchanged", false),
        ("manual-dry-run", "manual", "unchanged", false),
        ("manual-force", "manual", "posted", false),
    ];
    let mut files: Vec<_> = std::fs::read_dir(format!("{ROOT}/events"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut invoked_with = events.map(|(name, ..)| format!("{name}.json"));
    invoked_with.sort();
    assert_eq!(files, invoked_with, "every file of events/ is invoked with");

    for (name, trigger, outcome, created) in events {
        let invoked = function.invoke(&example(name)).await;
        let body = invoked.json();
        let environment = &body["environments"][0];
        assert_eq!(invoked.status, 200, "{name}: {invoked:?}");
        assert_eq!(body["trigger"], trigger, "{name}: {invoked:?}");
        assert_eq!(environment["outcome"], outcome, "{name}: {invoked:?}");
        assert_eq!(environment["created"], created, "{name}: {invoked:?}");
        assert_eq!(environment["tasks"], 13, "{name}: {invoked:?}");
    }
    let (index, running) = recorder.latest().await;
    let replicas: Vec<_> = running.iter().map(|(name, _, now)| (name.as_str(), *now)).collect();
    let expected = [("differ:4", 1), ("runner:1", 6), ("shas:3", 2), ("web:2", 4)];
    assert_eq!((index, replicas), (1, expected.to_vec()));

    let log = function.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let outcomes = lines.filter(|line| line.get("_aws").is_some()).count();
    assert_eq!(outcomes, events.len(), "one process handled all: {log}");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn an_error_has_lambda_s_own_form_and_harms_no_later_invocation() {
    let TestBed { ecs, recorder: _recorder, function } = start(60).await;

    let refused = error(&function.invoke(r#"{"forse": true}"#).await);
    assert_eq!(refused.0, "InvalidEvent", "{refused:?}");
    assert!(refused.1.contains("unknown field `forse`"), "{refused:?}");
    assert!(refused.1.contains("An event is one of: "), "{refused:?}");

    ecs.faults(|faults| {
        faults.always(Operation::ListTasks, Fault::AccessDenied);
    });
    let denied = error(&function.invoke("{}").await);
    assert_eq!(denied.0, "AccessDenied", "{denied:?}");
    assert!(denied.1.starts_with("aws-prod: ECS did not list the running tasks"), "{denied:?}");
    assert!(denied.1.contains("ecs:ListTasks"), "{denied:?}");

    ecs.faults(|faults| {
        faults.clear();
    });
    let invoked = function.invoke("{}").await;
    assert_eq!(invoked.json()["environments"][0]["outcome"], "posted", "{invoked:?}");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn a_wrong_configuration_is_the_answer_to_each_invocation_and_not_a_crash() {
    let bootstrap = release::bootstrap().await;
    let wrong = [("KOSLI_ENVIRONMENT", "-"), ("HEARTBEAT", "x"), ("AWS_REGION", REGION)];
    let function = RuntimeEmulator::start(&bootstrap, 60, wrong).await;
    for _ in 0..2 {
        let invoked = function.invoke(&example("scheduled")).await;
        let (error_type, message) = error(&invoked);
        assert_eq!((invoked.status, error_type.as_str()), (200, "ConfigError"), "{message}");
        for variable in ["KOSLI_ENVIRONMENT", "KOSLI_ORG", "HEARTBEAT", "KOSLI_API_TOKEN"] {
            assert!(message.contains(variable), "{variable} is not in {message}");
        }
    }
    let log = function.log();
    let lines = log.matches(r#""error_type":"ConfigError""#).count();
    assert_eq!(lines, 2, "a line for each failed invocation: {log}");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn a_deadline_ends_with_the_function_s_own_error_and_not_with_lambda_s() {
    let TestBed { ecs, recorder, function } = start(3).await;
    let block = |operation| {
        ecs.faults(|faults| {
            faults.always(operation, Fault::NoResponse);
        });
    };
    block(Operation::ListTasks);
    let invoked = function.invoke(&example("scheduled")).await;
    assert!(!invoked.text.contains("Task timed out"), "{invoked:?} {}", function.log());
    let (error_type, message) = error(&invoked);
    assert_eq!(error_type, "DeadlineExceeded", "{message}");
    assert!(
        message.contains("list the running tasks of cluster \"app\": no response before"),
        "{message}"
    );
    let nothing = recorder.snapshot("-1").await.unwrap_err();
    assert!(nothing.contains("does not exist"), "nothing was made or posted: {nothing}");

    ecs.faults(|faults| {
        faults.clear();
    });
    let invoked = function.invoke(&example("scheduled")).await;
    assert_eq!(invoked.json()["environments"][0]["outcome"], "posted", "{invoked:?}");
}

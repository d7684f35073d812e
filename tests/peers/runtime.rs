//! The built function, invoked by Lambda's runtime interface emulator.

use envsnap::standin::{Cluster, Fault, Operation, StandIn, Task, World};
use jiff::Timestamp;
use serde_json::Value;

use crate::emulator::aws_variables;
use crate::programs::{ACCOUNT, REGION, ROOT};
use crate::recorder::{ENVIRONMENT, Recorder};
use crate::release;
use crate::runtime_emulator::{InvocationResponse, RuntimeEmulator};

/// The function, the stand-in for ECS that it reads, and the recorder that it reports to.
struct TestBed {
    ecs: StandIn,
    recorder: Recorder,
    function: RuntimeEmulator,
}

/// Starts the function with a timeout in seconds. Its cluster `app` runs thirteen tasks of four services.
async fn start_test_bed(timeout_seconds: u32) -> TestBed {
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
    let settings = [
        ("KOSLI_ENVIRONMENT", ENVIRONMENT),
        ("ECS_CLUSTERS", "app"),
        ("AUTO_CREATE_ENVIRONMENT", "true"),
    ];
    let variables =
        settings.into_iter().chain(aws_variables(&endpoint)).chain(recorder.variables());
    let function = RuntimeEmulator::start(&bootstrap, timeout_seconds, variables).await;
    TestBed { ecs, recorder, function }
}

/// The text of the file of this name in `events/`.
fn read_example_event(name: &str) -> String {
    std::fs::read_to_string(format!("{ROOT}/events/{name}.json")).unwrap()
}

/// The type and the message of a failed invocation's error.
fn lambda_error(response: &InvocationResponse) -> (String, String) {
    let error = response.json();
    let field = |name: &str| match &error[name] {
        Value::String(text) => text.clone(),
        other => panic!("{name} is {other}: {response:?}"),
    };
    (field("errorType"), field("errorMessage"))
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn built_function_answers_every_example_event() {
    let TestBed { ecs: _ecs, recorder, function } = start_test_bed(60).await;
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
    let mut expected_files = events.map(|(name, ..)| format!("{name}.json"));
    expected_files.sort();
    assert_eq!(files, expected_files, "every file of events/ is invoked with");

    for (name, trigger, outcome, created) in events {
        let response = function.invoke(&read_example_event(name)).await;
        let body = response.json();
        let environment = &body["environments"][0];
        assert_eq!(response.status, 200, "{name}: {response:?}");
        assert_eq!(body["trigger"], trigger, "{name}: {response:?}");
        assert_eq!(environment["outcome"], outcome, "{name}: {response:?}");
        assert_eq!(environment["created"], created, "{name}: {response:?}");
        assert_eq!(environment["tasks"], 13, "{name}: {response:?}");
    }
    let (index, running) = recorder.latest_snapshot().await;
    let replicas: Vec<_> = running.iter().map(|(name, _, now)| (name.as_str(), *now)).collect();
    let expected = [("differ:4", 1), ("runner:1", 6), ("shas:3", 2), ("web:2", 4)];
    assert_eq!((index, replicas), (1, expected.to_vec()));

    let log = function.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let outcome_lines = lines.filter(|line| line.get("_aws").is_some()).count();
    assert_eq!(outcome_lines, events.len(), "one process handled all: {log}");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn error_has_lambda_s_format_and_the_next_invocation_succeeds() {
    let TestBed { ecs, recorder: _recorder, function } = start_test_bed(60).await;

    let refused = lambda_error(&function.invoke(r#"{"forse": true}"#).await);
    assert_eq!(refused.0, "InvalidEvent", "{refused:?}");
    assert!(refused.1.contains("unknown field `forse`"), "{refused:?}");
    assert!(refused.1.contains("An event is one of: "), "{refused:?}");

    ecs.faults(|faults| {
        faults.always(Operation::ListTasks, Fault::AccessDenied);
    });
    let denied = lambda_error(&function.invoke("{}").await);
    assert_eq!(denied.0, "AccessDenied", "{denied:?}");
    assert!(denied.1.starts_with("aws-prod: ECS did not list the running tasks"), "{denied:?}");
    assert!(denied.1.contains("ecs:ListTasks"), "{denied:?}");

    ecs.faults(|faults| {
        faults.clear();
    });
    let response = function.invoke("{}").await;
    assert_eq!(response.json()["environments"][0]["outcome"], "posted", "{response:?}");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn invalid_configuration_is_the_error_of_each_invocation_and_not_a_crash() {
    let bootstrap = release::bootstrap().await;
    let invalid_settings = [("KOSLI_ENVIRONMENT", "-"), ("HEARTBEAT", "x"), ("AWS_REGION", REGION)];
    let function = RuntimeEmulator::start(&bootstrap, 60, invalid_settings).await;
    for _ in 0..2 {
        let response = function.invoke(&read_example_event("scheduled")).await;
        let (error_type, message) = lambda_error(&response);
        assert_eq!((response.status, error_type.as_str()), (200, "ConfigError"), "{message}");
        for variable in ["KOSLI_ENVIRONMENT", "KOSLI_ORG", "HEARTBEAT", "KOSLI_API_TOKEN"] {
            assert!(message.contains(variable), "{variable} is not in {message}");
        }
    }
    let log = function.log();
    let error_lines = log.matches(r#""error_type":"ConfigError""#).count();
    assert_eq!(error_lines, 2, "a line for each failed invocation: {log}");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn timeout_ends_with_the_function_s_own_error_before_lambda_stops_it() {
    let TestBed { ecs, recorder, function } = start_test_bed(3).await;
    let withhold_responses = |operation| {
        ecs.faults(|faults| {
            faults.always(operation, Fault::NoResponse);
        });
    };
    withhold_responses(Operation::ListTasks);
    let response = function.invoke(&read_example_event("scheduled")).await;
    assert!(!response.body.contains("Task timed out"), "{response:?} {}", function.log());
    let (error_type, message) = lambda_error(&response);
    assert_eq!(error_type, "DeadlineExceeded", "{message}");
    assert!(
        message.contains("list the running tasks of cluster \"app\": no response before"),
        "{message}"
    );
    let no_snapshot = recorder.snapshot("-1").await.unwrap_err();
    assert!(no_snapshot.contains("does not exist"), "nothing was made or posted: {no_snapshot}");

    ecs.faults(|faults| {
        faults.clear();
    });
    let response = function.invoke(&read_example_event("scheduled")).await;
    assert_eq!(response.json()["environments"][0]["outcome"], "posted", "{response:?}");
}

//! The function's own binary, behind a runtime API.

use std::io::Read as _;
use std::time::Duration;

use envsnap::standin::{Fault, Operation, StandIn};
use serde_json::{Value, json};

use crate::harness::{ENVIRONMENT, app};
use crate::recorder::server::Recorder;
use crate::runtime_api::Function;

/// Ends the function, and returns the JSON lines that it wrote to its log.
fn end_and_read_log(mut function: Function) -> Vec<Value> {
    function.child.kill().unwrap();
    function.child.wait().unwrap();
    let mut log = String::new();
    function.child.stdout.take().unwrap().read_to_string(&mut log).unwrap();
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The function's binary with an ECS stand-in and a recorder.
struct TestBed {
    ecs: StandIn,
    recorder: Recorder,
    function: Function,
}

async fn start(more: &[(&str, &str)]) -> TestBed {
    let ecs = StandIn::start(app()).await.unwrap();
    let recorder = Recorder::start().await;
    recorder.create(ENVIRONMENT, Some(true)).await;
    let endpoint = ecs.endpoint();
    let mut variables = vec![
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("KOSLI_HOST", recorder.url.as_str()),
        ("KOSLI_ORG", "acme"),
        ("KOSLI_ENVIRONMENT", ENVIRONMENT),
        ("KOSLI_API_TOKEN", "t0k3n"),
        ("ECS_CLUSTERS", "app"),
    ];
    variables.extend(more);
    let function = Function::start(&variables).await;
    TestBed { ecs, recorder, function }
}

fn example_event(name: &str) -> String {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn every_example_event_is_answered_with_the_outcome() {
    let TestBed { ecs: _ecs, recorder, mut function } = start(&[]).await;
    for (event, trigger, outcome) in [
        ("scheduled", "schedule", "posted"),
        ("scheduler", "schedule", "unchanged"),
        ("task-state-change", "task-state-change", "unchanged"),
        ("deployment-state-change", "deployment-state-change", "unchanged"),
        ("service-action", "service-action", "unchanged"),
        ("sqs-task-state-changes", "task-state-change", "unchanged"),
        ("manual", "manual", "unchanged"),
        ("manual-dry-run", "manual", "unchanged"),
        ("manual-force", "manual", "posted"),
    ] {
        let answer = function.invoke(&example_event(event)).await;
        assert!(!answer.failed, "{event}: {answer:?}");
        assert_eq!(answer.body["trigger"], trigger, "{event}");
        assert_eq!(answer.body["environments"][0]["outcome"], outcome, "{event}");
    }
    assert_eq!(recorder.latest(ENVIRONMENT).await.index, 1);

    let log = end_and_read_log(function);
    let outcomes: Vec<_> = log.iter().filter(|line| line.get("_aws").is_some()).collect();
    assert_eq!(outcomes.len(), 9, "one line an environment and invocation");
    assert_eq!(outcomes[0]["Environment"], ENVIRONMENT);
    assert_eq!((&outcomes[0]["Posted"], &outcomes[1]["Posted"]), (&json!(1), &json!(0)));
    assert_eq!(outcomes[0]["calls"], json!({"ecs": 3, "server": 3}));
    assert_eq!(outcomes[0]["requestId"], "r-1");
    assert_eq!(log.iter().filter(|line| line["message"] == "invoked").count(), 9);
}

#[tokio::test]
async fn cold_start_and_first_run_make_four_ecs_calls() {
    let TestBed { ecs, recorder: _recorder, mut function } = start(&[]).await;
    function.invoke(&example_event("scheduled")).await;
    assert_eq!(ecs.calls().total(), 4, "one to open the connection, three to read");
}

#[tokio::test]
async fn invalid_configuration_fails_each_invocation_without_ending_the_process() {
    let mut function = Function::start(&[("KOSLI_ENVIRONMENT", "-"), ("HEARTBEAT", "x")]).await;
    for _ in 0..2 {
        let answer = function.invoke("{}").await;
        assert!(answer.failed);
        assert_eq!(answer.body["errorType"], "ConfigError");
        let message = answer.body["errorMessage"].as_str().unwrap();
        for variable in ["KOSLI_ENVIRONMENT", "KOSLI_ORG", "HEARTBEAT", "KOSLI_API_TOKEN"] {
            assert!(message.contains(variable), "{message}");
        }
    }
    assert_eq!(
        error_lines(&end_and_read_log(function)).len(),
        2,
        "one line for each invocation that failed"
    );
}

/// The lines of level `ERROR`.
fn error_lines(log: &[Value]) -> Vec<&Value> {
    log.iter().filter(|line| line["level"] == "ERROR").collect()
}

#[tokio::test]
async fn misspelt_scope_variable_is_a_config_error_and_ecs_is_not_read() {
    let more = [("ECS_CLUSTERS", ""), ("ECS_CLUSTER", "app")];
    let TestBed { ecs, recorder: _recorder, mut function } = start(&more).await;
    let answer = function.invoke("{}").await;
    assert_eq!(answer.body["errorType"], "ConfigError");
    let message = answer.body["errorMessage"].as_str().unwrap();
    assert!(message.contains("rename it to ECS_CLUSTERS"), "{message}");
    assert_eq!(ecs.calls().total(), 0);
}

#[tokio::test]
async fn a_scope_that_matches_nothing_names_the_region_and_the_functions_own_account() {
    for variable in [("ECS_CLUSTERS", "nope"), ("ECS_SERVICES", "nope")] {
        let TestBed { ecs: _ecs, recorder: _recorder, mut function } = start(&[variable]).await;
        let answer = function.invoke("{}").await;
        let message = answer.body["errorMessage"].as_str().unwrap();
        assert!(message.contains("(region eu-central-1, account 111122223333)"), "{message}");
        assert!(message.contains("ECS_CLUSTERS"), "{message}");
        assert!(!message.contains("AWS_PROFILE"), "{message}");
    }
}

#[tokio::test]
async fn unknown_or_malformed_event_is_an_invalid_event_and_the_next_invocation_succeeds() {
    let TestBed { ecs: _ecs, recorder: _recorder, mut function } = start(&[]).await;
    let deep = "[".repeat(500_000) + &"]".repeat(500_000);
    let forms =
        ["{\"forse\": true}", "[]", "{\"environment\": \"aws-beta\"}", &deep, "no JSON", "", "{"];
    for event in forms {
        let answer = function.invoke(event).await;
        assert!(answer.failed);
        assert_eq!(answer.body["errorType"], "InvalidEvent", "{answer:?}");
    }
    assert!(!function.invoke("{}").await.failed);
    let log = end_and_read_log(function);
    let errors = error_lines(&log);
    assert_eq!(errors.len(), forms.len(), "{errors:?}");
    for line in errors {
        assert_eq!(
            (&line["error_type"], &line["requestId"]),
            (&json!("InvalidEvent"), &json!("r-1"))
        );
        assert!(line["message"].as_str().unwrap().contains("An event is one of"), "{line}");
    }
}

#[tokio::test]
async fn failed_environment_fails_the_invocation_with_its_error_type_and_message() {
    let TestBed { ecs, recorder: _recorder, mut function } = start(&[]).await;
    ecs.faults(|faults| {
        faults.always(Operation::ListTasks, Fault::AccessDenied);
    });
    let answer = function.invoke("{}").await;
    assert!(answer.failed);
    assert_eq!(answer.body["errorType"], "AccessDenied");
    let message = answer.body["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("aws-prod: ECS did not list the running tasks"), "{message}");

    let log = end_and_read_log(function);
    let [line] = error_lines(&log)[..] else { panic!("{log:?}") };
    assert_eq!((&line["Failed"], &line["level"]), (&json!(1), &json!("ERROR")));
    assert_eq!(line["error"]["type"], "AccessDenied");
    assert_eq!(line["message"].as_str(), Some(message.trim_end_matches('.')));
    assert!(message.contains("Allow the call in the policies of the role"), "{message}");
    assert!(line.get("tasks").is_none() && line.get("Unresolved").is_none(), "{line}");
}

#[tokio::test]
async fn the_function_gives_up_a_second_before_lambda_would_end_it() {
    let TestBed { ecs, recorder: _recorder, mut function } = start(&[]).await;
    ecs.faults(|faults| {
        faults.always(Operation::DescribeTasks, Fault::NoResponse);
    });
    let answer = function.invoke_within("{}", Duration::from_millis(1_300)).await;
    assert_eq!(answer.body["errorType"], "DeadlineExceeded", "{answer:?}");
    ecs.faults(|faults| {
        faults.clear();
    });
    let answer = function.invoke_within("{}", Duration::from_millis(900)).await;
    assert_eq!(answer.body["errorType"], "DeadlineExceeded", "less than a second is left");
    assert!(!function.invoke("{}").await.failed);
}

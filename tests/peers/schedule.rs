//! The whole stack, deployed to the AWS emulator: its schedule and events of ECS invoke the function.

use std::ffi::OsStr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::emulator::{Emulator, digest_of};
use crate::programs::{ProgramOutput, eventually};
use crate::recorder::{ENVIRONMENT, ORG, Recorder, WRITE_TOKEN};
use crate::release::{self, sam};

const STACK_NAME: &str = "envsnap";
/// The name of the SSM parameter with the recorder's token.
const TOKEN_PARAMETER: &str = "/envsnap/token";

/// How long to wait for an invocation: a schedule of once a minute starts within two minutes, and its log
/// can be read some time later.
const INVOCATION_TIMEOUT: Duration = Duration::from_mins(4);

/// Deploys the template with `sam deploy` and these parameters; an update keeps the values of all others.
async fn deploy(aws: &Emulator, parameters: &[impl AsRef<OsStr>]) {
    let mut deploy = sam();
    deploy
        .args(["deploy", "--template-file", ".aws-sam/build/template.yaml"])
        .args(["--stack-name", STACK_NAME, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"])
        .args(["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"])
        .arg("--parameter-overrides")
        .args(parameters)
        .envs(aws.variables());
    ProgramOutput::run(&mut deploy).await.success();
}

/// Waits for the function's invocation `number`, counted from 1, and returns the outcome that it logged.
async fn wait_for_outcome(aws: &Emulator, log_group: &str, number: usize) -> Value {
    eventually(INVOCATION_TIMEOUT, &format!("run {number} of the function"), async || {
        let outcomes = aws.logged_outcomes(log_group).await;
        match outcomes.get(number - 1) {
            Some(outcome) => Ok(outcome.clone()),
            None => Err(aws.log_group_text(log_group).await),
        }
    })
    .await
}

/// The name, digest and replicas of a running artifact, as [`Recorder::latest_snapshot`] returns them.
fn running_artifact(image: &str, replicas: u64) -> (String, String, u64) {
    (image.to_owned(), digest_of(image), replicas)
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn deployed_stack_reports_on_its_schedule_and_on_task_state_changes() {
    release::bootstrap().await;
    let recorder = Recorder::start().await;
    let aws = Emulator::start().await;
    aws.put_secret(TOKEN_PARAMETER, WRITE_TOKEN).await;
    aws.create_cluster("app").await;
    aws.create_service("app", "web", 3, &["web:1"]).await;
    aws.create_service("app", "worker", 1, &["worker:1"]).await;
    aws.run_task("app", "migration", &["migration:1"]).await;
    let parameters = [
        format!("KosliEnvironment={ENVIRONMENT}"),
        format!("KosliOrg={ORG}"),
        format!("KosliHost={}", recorder.url),
        format!("TokenParameter={TOKEN_PARAMETER}"),
        "EcsClusters=app".to_owned(),
        "AutoCreateEnvironment=true".to_owned(),
        "TaskEvents=false".to_owned(),
        // A heartbeat is due at a minute of the clock's hour, which may come between two runs.
        "Heartbeat=\"\"".to_owned(),
    ];
    deploy(&aws, &parameters).await;
    let log_group = aws.stack_output(STACK_NAME, "LogGroupName").await;

    let first = wait_for_outcome(&aws, &log_group, 1).await;
    assert_eq!(first["trigger"], "schedule", "{first}");
    assert_eq!((&first["outcome"], &first["created"]), (&json!("posted"), &json!(true)), "{first}");
    let expected = vec![
        running_artifact("migration:1", 1),
        running_artifact("web:1", 3),
        running_artifact("worker:1", 1),
    ];
    assert_eq!(recorder.latest_snapshot().await, (1, expected.clone()));

    let second = wait_for_outcome(&aws, &log_group, 2).await;
    assert_eq!(second["trigger"], "schedule", "{second}");
    assert_eq!(second["outcome"], "unchanged", "{second}");
    assert_eq!(second["calls"]["ecs"], 3, "{second}");
    // The latest snapshot, and, if the environment was only made with the report before, whether it
    // counts replicas.
    assert!(second["calls"]["server"].as_u64().is_some_and(|calls| calls <= 2), "{second}");
    assert_eq!(recorder.latest_snapshot().await, (1, expected));

    aws.update_service("app", "web", 3, &["web:2"]).await;
    let third = wait_for_outcome(&aws, &log_group, 3).await;
    assert_eq!(third["trigger"], "schedule", "{third}");
    assert_eq!((&third["outcome"], &third["created"]), (&json!("posted"), &json!(true)), "{third}");
    let expected = vec![
        running_artifact("migration:1", 1),
        running_artifact("web:2", 3),
        running_artifact("worker:1", 1),
    ];
    assert_eq!(recorder.latest_snapshot().await, (2, expected));

    // The schedule is set to an hour, so that only an event can invoke the function next.
    deploy(&aws, &["TaskEvents=true", "Schedule=60"]).await;
    let count_before = aws.logged_outcomes(&log_group).await.len();
    aws.update_service("app", "worker", 1, &["worker:2"]).await;
    let fourth = eventually(INVOCATION_TIMEOUT, "a run made a snapshot", async || {
        let mut since = aws.logged_outcomes(&log_group).await.into_iter().skip(count_before);
        match since.find(|outcome| outcome["created"] == true) {
            Some(outcome) => Ok(outcome),
            None => Err(aws.log_group_text(&log_group).await),
        }
    })
    .await;
    assert_eq!(fourth["trigger"], "task-state-change", "{fourth}");
    let expected = vec![
        running_artifact("migration:1", 1),
        running_artifact("web:2", 3),
        running_artifact("worker:2", 1),
    ];
    assert_eq!(recorder.latest_snapshot().await, (3, expected));
}

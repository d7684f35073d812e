//! The whole stack in the AWS emulator, where its schedule and ECS's events run the function.

use std::ffi::OsStr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::emulator::{Emulator, digest_of};
use crate::programs::{ProgramOutput, eventually};
use crate::recorder::{ENVIRONMENT, ORG, Recorder, WRITES};
use crate::release::{self, sam};

const STACK: &str = "envsnap";
const TOKEN: &str = "/envsnap/token";

/// A schedule of once a minute fires within a minute or two of its making, and some time goes by
/// until its log can be read.
const A_FIRING: Duration = Duration::from_mins(4);

/// `sam deploy` of the template, with these of its parameters; the others stay as they are.
async fn deploy(aws: &Emulator, parameters: &[impl AsRef<OsStr>]) {
    let mut deploy = sam();
    deploy
        .args(["deploy", "--template-file", ".aws-sam/build/template.yaml"])
        .args(["--stack-name", STACK, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"])
        .args(["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"])
        .arg("--parameter-overrides")
        .args(parameters)
        .envs(aws.variables());
    ProgramOutput::wait(&mut deploy).await.success();
}

/// What the function's `number`th run logged about its environment.
async fn outcome(aws: &Emulator, log: &str, number: usize) -> Value {
    eventually(A_FIRING, &format!("run {number} of the function"), async || {
        let outcomes = aws.outcomes(log).await;
        match outcomes.get(number - 1) {
            Some(outcome) => Ok(outcome.clone()),
            None => Err(aws.log_group_text(log).await),
        }
    })
    .await
}

/// An artifact as the recorder shows it, and as the emulator pulled it.
fn running(image: &str, replicas: u64) -> (String, String, u64) {
    (image.to_owned(), digest_of(image), replicas)
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn a_deployed_stack_reports_on_its_schedule_and_when_tasks_start_and_stop() {
    release::bootstrap().await;
    let recorder = Recorder::start().await;
    let aws = Emulator::start().await;
    aws.put_secret(TOKEN, WRITES).await;
    aws.create_cluster("app").await;
    aws.create_service("app", "web", 3, &["web:1"]).await;
    aws.create_service("app", "worker", 1, &["worker:1"]).await;
    aws.run_task("app", "migration", &["migration:1"]).await;
    let parameters = [
        format!("KosliEnvironment={ENVIRONMENT}"),
        format!("KosliOrg={ORG}"),
        format!("KosliHost={}", recorder.url),
        format!("TokenParameter={TOKEN}"),
        "EcsClusters=app".to_owned(),
        "AutoCreateEnvironment=true".to_owned(),
        "TaskEvents=false".to_owned(),
    ];
    deploy(&aws, &parameters).await;
    let log = aws.output(STACK, "LogGroupName").await;

    let first = outcome(&aws, &log, 1).await;
    assert_eq!(first["trigger"], "schedule", "{first}");
    assert_eq!((&first["outcome"], &first["created"]), (&json!("posted"), &json!(true)), "{first}");
    let expected = vec![running("migration:1", 1), running("web:1", 3), running("worker:1", 1)];
    assert_eq!(recorder.latest().await, (1, expected.clone()));

    let second = outcome(&aws, &log, 2).await;
    assert_eq!(second["trigger"], "schedule", "{second}");
    assert_eq!(second["outcome"], "unchanged", "{second}");
    assert_eq!(second["calls"]["ecs"], 3, "{second}");
    // The latest snapshot, and, if the environment was only made with the report before, whether it
    // counts replicas.
    assert!(second["calls"]["server"].as_u64().is_some_and(|calls| calls <= 2), "{second}");
    assert_eq!(recorder.latest().await, (1, expected));

    aws.update_service("app", "web", 3, &["web:2"]).await;
    let third = outcome(&aws, &log, 3).await;
    assert_eq!(third["trigger"], "schedule", "{third}");
    assert_eq!((&third["outcome"], &third["created"]), (&json!("posted"), &json!(true)), "{third}");
    let expected = vec![running("migration:1", 1), running("web:2", 3), running("worker:1", 1)];
    assert_eq!(recorder.latest().await, (2, expected));

    // The schedule is put off, so that nothing but an event can be what runs the function next.
    deploy(&aws, &["TaskEvents=true", "Schedule=60"]).await;
    let before = aws.outcomes(&log).await.len();
    aws.update_service("app", "worker", 1, &["worker:2"]).await;
    let fourth = eventually(A_FIRING, "a run made a snapshot", async || {
        let mut since = aws.outcomes(&log).await.into_iter().skip(before);
        match since.find(|outcome| outcome["created"] == true) {
            Some(outcome) => Ok(outcome),
            None => Err(aws.log_group_text(&log).await),
        }
    })
    .await;
    assert_eq!(fourth["trigger"], "task-state-change", "{fourth}");
    let expected = vec![running("migration:1", 1), running("web:2", 3), running("worker:2", 1)];
    assert_eq!(recorder.latest().await, (3, expected));
}

//! One function that reports several accounts and regions, and `envsnap check` of them, in the AWS emulator.

use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::programs::{ACCOUNT, ProgramOutput, REGION, ROOT, envsnap};
use crate::recorder::{ORG, Recorder, WRITE_TOKEN};
use crate::release::{self, sam};

const OTHER_ACCOUNT: &str = "123456789012";
const OTHER_REGION: &str = "eu-west-1";

/// The external ID that the role in the other account requires.
const EXTERNAL_ID: &str = "envsnap-a1b2c3";

/// The SSM parameter with the recorder's token.
const TOKEN_PARAMETER: &str = "/envsnap/token";

/// `sam deploy` of a template, with parameters as `NAME=VALUE`.
async fn sam_deploy(aws: &Emulator, template: &str, stack: &str, parameters: &[String]) {
    let mut command = sam();
    command
        .args(["deploy", "--template-file", template, "--stack-name", stack, "--resolve-s3"])
        .args(["--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"])
        .args(["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"])
        .arg("--parameter-overrides")
        .args(parameters)
        .envs(aws.variables());
    ProgramOutput::run(&mut command).await.success();
}

/// The names of the artifacts in an outcome of the function, an element of `environments`.
fn artifact_names(environment: &Value) -> Vec<&str> {
    let artifacts = environment["artifacts"].as_array().unwrap();
    artifacts.iter().map(|artifact| artifact["name"].as_str().unwrap()).collect()
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn one_function_reports_several_accounts_and_regions() {
    release::bootstrap().await;
    let recorder = Recorder::start().await;
    let home = Emulator::start().await;
    let west = home.in_account_and_region(ACCOUNT, OTHER_REGION).await;
    let other = home.in_account_and_region(OTHER_ACCOUNT, REGION).await;
    for (aws, image, replicas) in
        [(&home, "home:1", 1), (&west, "west:1", 2), (&other, "other:1", 3)]
    {
        aws.create_cluster("app").await;
        aws.create_service("app", "web", replicas, &[image]).await;
    }
    home.put_secret(TOKEN_PARAMETER, WRITE_TOKEN).await;
    let role = format!("arn:aws:iam::{OTHER_ACCOUNT}:role/envsnap-reader");
    let configured = json!([
        {"name": "home", "clusters": ["app"]},
        {"name": "west", "clusters": ["app"], "region": OTHER_REGION},
        {"name": "other", "clusters_regex": "^app$", "role_arn": role, "external_id": EXTERNAL_ID},
    ]);
    let parameters = [
        format!("Environments={:?}", configured.to_string()),
        format!("RoleArns={role}"),
        format!("KosliOrg={ORG}"),
        format!("KosliHost={}", recorder.url),
        format!("TokenParameter={TOKEN_PARAMETER}"),
        "AutoCreateEnvironment=true".to_owned(),
        "TaskEvents=false".to_owned(),
        "Schedule=60".to_owned(),
    ];
    sam_deploy(&home, ".aws-sam/build/template.yaml", "fleet", &parameters).await;
    let parameters = [
        format!("ReporterRoleArn={}", home.stack_output("fleet", "RoleArn").await),
        format!("ExternalId={EXTERNAL_ID}"),
    ];
    sam_deploy(&other, &format!("{ROOT}/fleet/reader-role.yaml"), "reader", &parameters).await;
    assert_eq!(other.stack_output("reader", "RoleArn").await, role);

    let function = home.stack_output("fleet", "FunctionName").await;
    let response = home.invoke(&function, &json!({})).await;
    let environments = response["environments"].as_array().unwrap_or_else(|| panic!("{response}"));
    let reported: Vec<_> = environments
        .iter()
        .map(|environment| (environment["outcome"].as_str().unwrap(), artifact_names(environment)))
        .collect();
    assert_eq!(
        reported,
        [("posted", vec!["home:1"]), ("posted", vec!["west:1"]), ("posted", vec!["other:1"])]
    );

    let cluster = |name: &str| format!("arn:aws:ecs:{REGION}:{OTHER_ACCOUNT}:cluster/{name}");
    let task_state_change = |name: &str| {
        json!({"source": "aws.ecs", "detail-type": "ECS Task State Change",
               "detail": {"clusterArn": cluster(name)}})
    };
    let response = home.invoke(&function, &task_state_change("app")).await;
    let reported: Vec<_> =
        response["environments"].as_array().unwrap().iter().map(|e| &e["environment"]).collect();
    assert_eq!(reported, ["home", "other"], "the account that the function is in is not known");
    let response = home.invoke(&function, &task_state_change("db")).await;
    assert_eq!(response, json!({"trigger": "task-state-change", "environments": []}));

    let mut check = envsnap();
    check.args(["check", "-o", "json"]).envs(home.variables()).envs([
        ("ENVIRONMENTS", &*configured.to_string()),
        ("KOSLI_ORG", ORG),
        ("KOSLI_HOST", &recorder.url),
        ("KOSLI_API_TOKEN", WRITE_TOKEN),
    ]);
    let checked = ProgramOutput::run(&mut check).await.success();
    let checked: Value = serde_json::from_str(&checked).unwrap();
    let rows = checked["checks"].as_array().unwrap_or_else(|| panic!("{checked:#}"));
    let reads: Vec<_> = rows
        .iter()
        .filter_map(|row| row["check"].as_str().zip(row["detail"].as_str()))
        .filter_map(|(check, detail)| Some((check.strip_prefix("reading ")?, detail)))
        .collect();
    let expected = [
        ("home", "1 container of 1 artifact in app"),
        ("west", "2 containers of 1 artifact in app"),
        ("other", "3 containers of 1 artifact in app"),
    ];
    assert_eq!(reads, expected, "{checked:#}");
    let assumed = rows.iter().find(|row| row["check"].as_str().unwrap().starts_with("sts:"));
    assert_eq!(assumed.map(|row| &row["result"]), Some(&json!("OK")), "{checked:#}");
    assert_eq!(checked["ok"], true, "{checked:#}");
}

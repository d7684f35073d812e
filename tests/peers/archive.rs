//! The function deployed from its release archive, into the AWS emulator.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::emulator::{Emulator, digest_of};
use crate::programs::{ACCOUNT, ProgramOutput, REGION, ROOT, command, eventually};
use crate::recorder::{ENVIRONMENT, ORG, Recorder, WRITE_TOKEN};
use crate::release::{self, sam};

/// The SSM parameter with the recorder's token.
const TOKEN_PARAMETER: &str = "/envsnap/token";

/// The SSM path below which the environments are configured.
const ENVIRONMENTS_PATH: &str = "/envsnap/environments";

/// How long it may take until a change in ECS is reported.
const REPORT_TIMEOUT: Duration = Duration::from_mins(4);

/// The architecture of this machine, as Lambda and the archive's name call it.
pub(crate) const ARCHITECTURE: &str =
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };

/// Packs the built function into the archive of a release, in `directory`. Returns the archive's path.
pub(crate) async fn package_function(directory: &Path) -> String {
    let bootstrap = release::bootstrap().await;
    let mut archive = Command::new(format!("{ROOT}/deploy/archive"));
    archive.arg(ARCHITECTURE).arg(bootstrap).arg(directory);
    ProgramOutput::run(&mut archive).await.success().trim().to_owned()
}

/// Packs the archive in `directory` and unpacks it there. Returns the directory of its content.
async fn unpacked_archive(directory: &Path) -> PathBuf {
    let archive = package_function(directory).await;
    ProgramOutput::run(Command::new("tar").arg("-xzf").arg(archive).current_dir(directory))
        .await
        .success();
    directory.join(format!("envsnap-function-{ARCHITECTURE}"))
}

/// The archive, unpacked into `directory`; a recorder; and an AWS account with the recorder's token and
/// a service `web` of two tasks in cluster `app`.
async fn deployment_fixture(directory: &Path) -> (PathBuf, Recorder, Emulator) {
    let archive = unpacked_archive(directory).await;
    let recorder = Recorder::start().await;
    let aws = Emulator::start().await;
    aws.put_secret(TOKEN_PARAMETER, WRITE_TOKEN).await;
    aws.create_cluster("app").await;
    aws.create_service("app", "web", 2, &["web:1"]).await;
    (archive, recorder, aws)
}

/// The parameters of every stack, as `NAME=VALUE`: the three that the documentation requires, and the
/// recorder's address.
fn stack_parameters(recorder: &Recorder) -> Vec<String> {
    vec![
        format!("KosliEnvironment={ENVIRONMENT}"),
        format!("KosliOrg={ORG}"),
        format!("TokenParameter={TOKEN_PARAMETER}"),
        format!("KosliHost={}", recorder.url),
        "AutoCreateEnvironment=true".to_owned(),
    ]
}

/// `sam deploy` of the unpacked archive, with parameters as `NAME=VALUE`.
async fn sam_deploy(aws: &Emulator, archive: &Path, stack: &str, parameters: &[String]) {
    let mut command = sam();
    command.current_dir(archive).args(["deploy", "--stack-name", stack, "--no-progressbar"]);
    command.arg("--parameter-overrides").args(parameters).envs(aws.variables());
    ProgramOutput::run(&mut command).await.success();
}

/// The `errorType` of a function's response; empty if it succeeded.
fn error_type(response: &Value) -> &str {
    response["errorType"].as_str().unwrap_or_default()
}

/// Whether the report of an environment made a new snapshot. `environment` is an element of
/// `environments` in the function's response.
fn created_snapshot(environment: &Value) -> bool {
    environment["created"] == true
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn stack_deployed_from_the_archive_reports_tasks_that_change() {
    let directory = TempDir::new().unwrap();
    let (archive, recorder, aws) = deployment_fixture(directory.path()).await;
    let mut parameters = stack_parameters(&recorder);
    // Only the test and events of ECS invoke the function.
    parameters.push("Schedule=60".to_owned());
    sam_deploy(&aws, &archive, "envsnap", &parameters).await;

    let function = aws.stack_output("envsnap", "FunctionName").await;
    let log = aws.stack_output("envsnap", "LogGroupName").await;
    let response = aws.invoke(&function, &json!({})).await;
    assert!(created_snapshot(&response["environments"][0]), "{response}");
    let running = |image: &str| vec![(image.to_owned(), digest_of(image), 2)];
    assert_eq!(recorder.latest_snapshot().await, (1, running("web:1")));

    aws.update_service("app", "web", 2, &["web:2"]).await;
    eventually(REPORT_TIMEOUT, "the change is reported", async || {
        let latest = recorder.latest_snapshot().await;
        if latest.1 == running("web:2") { Ok(()) } else { Err(aws.log_group_text(&log).await) }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_aws_cli_deploys_the_archive_into_a_vpc() {
    const BUCKET: &str = "templates";
    let directory = TempDir::new().unwrap();
    let (archive, recorder, aws) = deployment_fixture(directory.path()).await;
    let cli = async |arguments: &[&str]| {
        let mut cli = command("aws");
        cli.current_dir(&archive).envs(aws.variables()).env("AWS_DEFAULT_REGION", REGION);
        ProgramOutput::run(cli.args(arguments)).await.success()
    };
    cli(&["s3", "mb", &format!("s3://{BUCKET}")]).await;
    let package = ["cloudformation", "package", "--template-file", "template.yaml"];
    cli(&[&package[..], &["--s3-bucket", BUCKET, "--output-template-file", "packaged.yaml"]]
        .concat())
    .await;
    let mut parameters = stack_parameters(&recorder);
    parameters.extend([
        "SubnetIds=subnet-0a1b2c3d,subnet-1a1b2c3d".to_owned(),
        "SecurityGroupIds=sg-0a1b2c3d".to_owned(),
        format!("EcsClusters=app,arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/other"),
        "Schedule=5".to_owned(),
    ]);
    let deploy = ["cloudformation", "deploy", "--template-file", "packaged.yaml"];
    let stack = ["--stack-name", "in-vpc", "--capabilities", "CAPABILITY_IAM"];
    let parameters: Vec<_> = parameters.iter().map(String::as_str).collect();
    cli(&[&deploy[..], &stack, &["--parameter-overrides"], &parameters].concat()).await;

    // The emulator leaves a function's VPC out.
    let role = aws.stack_output("in-vpc", "RoleArn").await;
    let policies = aws.role_policies(role.rsplit('/').next().unwrap()).await;
    assert!(policies.iter().any(|(name, _)| name == "attach-to-vpc"), "{policies:?}");
    let function = aws.stack_output("in-vpc", "FunctionName").await;
    let response = aws.invoke(&function, &json!({})).await;
    assert!(error_type(&response).contains("ClusterNotFound"), "{response}");
    aws.create_cluster("other").await;
    let response = aws.invoke(&function, &json!({})).await;
    assert!(created_snapshot(&response["environments"][0]), "{response}");
    let rules: Value = serde_json::from_str(&cli(&["events", "list-rules"]).await).unwrap();
    let pattern =
        rules["Rules"].as_array().unwrap().iter().find_map(|r| r["EventPattern"].as_str());
    let pattern: Value = serde_json::from_str(pattern.unwrap()).unwrap();
    let clusters = pattern["detail"]["clusterArn"].as_array().unwrap();
    for name in ["app", "other"] {
        let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{name}");
        assert!(clusters.contains(&json!(arn)), "{pattern}");
    }
    let alarms: Value =
        serde_json::from_str(&cli(&["cloudwatch", "describe-alarms"]).await).unwrap();
    let alarms = alarms["MetricAlarms"].as_array().unwrap();
    assert_eq!(alarms.len(), 2, "{alarms:?}");
    assert!(alarms.iter().all(|alarm| alarm["Period"] == 300), "{alarms:?}");
}

/// A call of the AWS API (its action, the ARN of its resource, its condition keys), and the decision that
/// IAM has to make about it.
struct PolicyCheck {
    action: &'static str,
    resource: String,
    context: Value,
    expected: &'static str,
}

const ALLOWED: &str = "Allowed";

/// No statement of a policy allows the call.
const NOT_ALLOWED: &str = "ImplicitlyDenied";

/// A statement of a policy denies the call.
const DENIED: &str = "ExplicitlyDenied";

/// A [`PolicyCheck`] without condition keys.
fn check(expected: &'static str, action: &'static str, resource: impl Into<String>) -> PolicyCheck {
    PolicyCheck { action, resource: resource.into(), context: json!({}), expected }
}

/// Evaluates `checks` against the inline policies of the role of `stack`, and asserts their decisions.
async fn assert_role_policies(aws: &Emulator, stack: &str, checks: &[PolicyCheck]) {
    let role = aws.stack_output(stack, "RoleArn").await;
    let policies = aws.role_policies(role.rsplit('/').next().unwrap()).await;
    assert!(policies.len() >= 3, "{policies:?}");
    let requests: Vec<_> = checks
        .iter()
        .map(|PolicyCheck { action, resource, context, .. }| {
            json!({"action": action, "resource": resource, "context": context})
        })
        .collect();
    let policies: Vec<_> =
        policies.iter().map(|(name, policy)| json!({"name": name, "policy": policy})).collect();
    let input = json!({"principal": role, "policies": policies, "requests": requests});
    let directory = TempDir::new().unwrap();
    let input_file = directory.path().join("question.json");
    std::fs::write(&input_file, input.to_string()).unwrap();
    let decisions =
        ProgramOutput::run_with_stdin(&mut command("iam-evaluate"), &input_file).await.success();
    let decisions: Vec<String> = serde_json::from_str(&decisions).unwrap();
    for (check, decision) in checks.iter().zip(&decisions) {
        let PolicyCheck { action, resource, context, expected } = check;
        assert_eq!(
            decision, expected,
            "{stack}: {action} on {resource} with {context}: {policies:?}"
        );
    }
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_role_allows_the_calls_of_the_function_and_denies_similar_calls() {
    let directory = TempDir::new().unwrap();
    let (archive, recorder, aws) = deployment_fixture(directory.path()).await;
    let arn = |service: &str, region: &str, account: &str, resource: &str| {
        format!("arn:aws:{service}:{region}:{account}:{resource}")
    };
    let ecs = |region: &str, resource: &str| arn("ecs", region, ACCOUNT, resource);
    let list_check = |expected, action, region: &str, account: &str| PolicyCheck {
        context: json!({"ecs:cluster": arn("ecs", region, account, "cluster/app")}),
        ..check(expected, action, "*")
    };
    let parameter = |name: &str| arn("ssm", REGION, ACCOUNT, &format!("parameter{name}"));

    sam_deploy(&aws, &archive, "one", &stack_parameters(&recorder)).await;
    let queue = aws.stack_output("one", "TaskStateChangesQueueUrl").await;
    let queue = arn("sqs", REGION, ACCOUNT, queue.rsplit('/').next().unwrap());
    let log = aws.stack_output("one", "LogGroupName").await;
    let stream = arn("logs", REGION, ACCOUNT, &format!("log-group:{log}:log-stream:a"));
    let subnet = arn("ec2", REGION, ACCOUNT, "subnet/subnet-0a1b2c3d");
    assert_role_policies(
        &aws,
        "one",
        &[
            check(ALLOWED, "ecs:ListClusters", "*"),
            check(ALLOWED, "ecs:DescribeClusters", ecs(REGION, "cluster/app")),
            check(NOT_ALLOWED, "ecs:DescribeClusters", ecs("us-east-1", "cluster/app")),
            list_check(ALLOWED, "ecs:ListTasks", REGION, ACCOUNT),
            list_check(NOT_ALLOWED, "ecs:ListTasks", "us-east-1", ACCOUNT),
            list_check(NOT_ALLOWED, "ecs:ListTasks", REGION, "123456789012"),
            list_check(ALLOWED, "ecs:ListServices", REGION, ACCOUNT),
            check(ALLOWED, "ecs:DescribeTasks", ecs(REGION, "task/app/0123")),
            check(NOT_ALLOWED, "ecs:DescribeTasks", ecs("us-east-1", "task/app/0123")),
            check(NOT_ALLOWED, "ecs:StopTask", ecs(REGION, "task/app/0123")),
            check(NOT_ALLOWED, "ecs:DescribeServices", ecs(REGION, "service/app/web")),
            check(ALLOWED, "ssm:GetParameter", parameter(TOKEN_PARAMETER)),
            check(NOT_ALLOWED, "ssm:GetParameter", parameter("/envsnap/other")),
            check(NOT_ALLOWED, "ssm:GetParametersByPath", parameter(ENVIRONMENTS_PATH)),
            check(NOT_ALLOWED, "ssm:PutParameter", parameter(TOKEN_PARAMETER)),
            check(NOT_ALLOWED, "sts:AssumeRole", "arn:aws:iam::123456789012:role/envsnap-reader"),
            check(ALLOWED, "logs:PutLogEvents", &*stream),
            check(NOT_ALLOWED, "logs:PutLogEvents", stream.replace(&log, "other")),
            check(ALLOWED, "sqs:ReceiveMessage", &*queue),
            check(ALLOWED, "sqs:DeleteMessage", &*queue),
            check(NOT_ALLOWED, "sqs:SendMessage", &*queue),
            check(NOT_ALLOWED, "ec2:CreateNetworkInterface", &*subnet),
        ],
    )
    .await;

    let mut fleet = stack_parameters(&recorder);
    fleet[0] = format!("EnvironmentsPath={ENVIRONMENTS_PATH}");
    fleet.extend([
        "RoleArns=arn:aws:iam::*:role/envsnap-reader".to_owned(),
        "SubnetIds=subnet-0a1b2c3d".to_owned(),
        "SecurityGroupIds=sg-0a1b2c3d".to_owned(),
        "TaskEvents=false".to_owned(),
    ]);
    sam_deploy(&aws, &archive, "fleet", &fleet).await;
    let function = arn("lambda", REGION, ACCOUNT, "function:fleet");
    let from_function_code = json!({"lambda:SourceFunctionArn": function});
    assert_role_policies(
        &aws,
        "fleet",
        &[
            check(ALLOWED, "ecs:DescribeTasks", ecs("us-east-1", "task/app/0123")),
            list_check(ALLOWED, "ecs:ListTasks", "us-east-1", ACCOUNT),
            list_check(NOT_ALLOWED, "ecs:ListTasks", REGION, "123456789012"),
            check(ALLOWED, "ssm:GetParametersByPath", parameter(ENVIRONMENTS_PATH)),
            check(ALLOWED, "ssm:GetParametersByPath", parameter(&format!("{ENVIRONMENTS_PATH}/"))),
            check(NOT_ALLOWED, "ssm:GetParametersByPath", parameter("/envsnap")),
            check(
                NOT_ALLOWED,
                "ssm:GetParametersByPath",
                parameter("/envsnap/environments-of-others"),
            ),
            check(NOT_ALLOWED, "ssm:GetParameter", parameter(&format!("{ENVIRONMENTS_PATH}/prod"))),
            check(ALLOWED, "sts:AssumeRole", format!("arn:aws:iam::{ACCOUNT}:role/envsnap-reader")),
            check(NOT_ALLOWED, "sts:AssumeRole", format!("arn:aws:iam::{ACCOUNT}:role/admin")),
            check(ALLOWED, "ec2:CreateNetworkInterface", &*subnet),
            check(ALLOWED, "ec2:DescribeNetworkInterfaces", "*"),
            PolicyCheck {
                context: from_function_code,
                ..check(DENIED, "ec2:CreateNetworkInterface", &*subnet)
            },
            check(NOT_ALLOWED, "ec2:RunInstances", &*subnet),
            check(NOT_ALLOWED, "sqs:ReceiveMessage", &*queue),
        ],
    )
    .await;
}

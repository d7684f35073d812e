//! The function deployed from its release archive, into the AWS emulator.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::emulator::{Emulator, digest_of};
use crate::programs::{ACCOUNT, ProgramOutput, REGION, ROOT, command, eventually};
use crate::recorder::{ENVIRONMENT, ORG, Recorder, WRITES};
use crate::release::{self, sam};

const TOKEN: &str = "/envsnap/token";
const PATH: &str = "/envsnap/environments";
const MINUTE: Duration = Duration::from_mins(1);

pub(crate) const ARCHITECTURE: &str =
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };

/// Makes the archive in `directory`, and gives its path.
pub(crate) async fn package_function(directory: &Path) -> String {
    let bootstrap = release::bootstrap().await;
    let mut archive = Command::new(format!("{ROOT}/deploy/archive"));
    archive.arg(ARCHITECTURE).arg(bootstrap).arg(directory);
    ProgramOutput::wait(&mut archive).await.success().trim().to_owned()
}

/// The archive's content, unpacked.
async fn unpacked(directory: &Path) -> PathBuf {
    let archive = package_function(directory).await;
    ProgramOutput::wait(Command::new("tar").arg("-xzf").arg(archive).current_dir(directory))
        .await
        .success();
    directory.join(format!("envsnap-function-{ARCHITECTURE}"))
}

/// The archive, unpacked into `directory`, a recorder, and an account with a service of two tasks.
async fn prepared(directory: &Path) -> (PathBuf, Recorder, Emulator) {
    let archive = unpacked(directory).await;
    let recorder = Recorder::start().await;
    let aws = Emulator::start().await;
    aws.put_secret(TOKEN, WRITES).await;
    aws.create_cluster("app").await;
    aws.create_service("app", "web", 2, &["web:1"]).await;
    (archive, recorder, aws)
}

/// What every stack here is given: the documented three, and the recorder's address.
fn parameters(recorder: &Recorder) -> Vec<String> {
    vec![
        format!("KosliEnvironment={ENVIRONMENT}"),
        format!("KosliOrg={ORG}"),
        format!("TokenParameter={TOKEN}"),
        format!("KosliHost={}", recorder.url),
        "AutoCreateEnvironment=true".to_owned(),
    ]
}

async fn deploy(aws: &Emulator, archive: &Path, stack: &str, parameters: &[String]) {
    let mut deploy = sam();
    deploy.current_dir(archive).args(["deploy", "--stack-name", stack, "--no-progressbar"]);
    deploy.arg("--parameter-overrides").args(parameters).envs(aws.variables());
    ProgramOutput::wait(&mut deploy).await.success();
}

fn error_type_of(answer: &Value) -> &str {
    answer["errorType"].as_str().unwrap_or_default()
}

fn posted(outcome: &Value) -> bool {
    outcome["created"] == true
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn a_stack_from_the_archive_reports_a_task_that_changes() {
    let directory = TempDir::new().unwrap();
    let (archive, recorder, aws) = prepared(directory.path()).await;
    deploy(&aws, &archive, "envsnap", &parameters(&recorder)).await;

    let function = aws.output("envsnap", "FunctionName").await;
    let log = aws.output("envsnap", "LogGroupName").await;
    let answer = aws.invoke(&function, &json!({})).await;
    assert!(posted(&answer["environments"][0]), "{answer}");
    let running = |image: &str| vec![(image.to_owned(), digest_of(image), 2)];
    assert_eq!(recorder.latest().await, (1, running("web:1")));

    aws.update_service("app", "web", 2, &["web:2"]).await;
    eventually(4 * MINUTE, "the change is reported", async || {
        let latest = recorder.latest().await;
        if latest.1 == running("web:2") { Ok(()) } else { Err(aws.log_group_text(&log).await) }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_aws_cli_deploys_the_archive_into_a_vpc() {
    const BUCKET: &str = "templates";
    let directory = TempDir::new().unwrap();
    let (archive, recorder, aws) = prepared(directory.path()).await;
    let cli = async |arguments: &[&str]| {
        let mut cli = command("aws");
        cli.current_dir(&archive).envs(aws.variables()).env("AWS_DEFAULT_REGION", REGION);
        ProgramOutput::wait(cli.args(arguments)).await.success()
    };
    cli(&["s3", "mb", &format!("s3://{BUCKET}")]).await;
    let package = ["cloudformation", "package", "--template-file", "template.yaml"];
    cli(&[&package[..], &["--s3-bucket", BUCKET, "--output-template-file", "packaged.yaml"]]
        .concat())
    .await;
    let mut parameters = parameters(&recorder);
    parameters.extend([
        "SubnetIds=subnet-0a1b2c3d,subnet-1a1b2c3d".to_owned(),
        "SecurityGroupIds=sg-0a1b2c3d".to_owned(),
        "EcsClusters=app,other".to_owned(),
        "Schedule=5".to_owned(),
    ]);
    let deploy = ["cloudformation", "deploy", "--template-file", "packaged.yaml"];
    let stack = ["--stack-name", "in-vpc", "--capabilities", "CAPABILITY_IAM"];
    let parameters: Vec<_> = parameters.iter().map(String::as_str).collect();
    cli(&[&deploy[..], &stack, &["--parameter-overrides"], &parameters].concat()).await;

    // The emulator leaves a function's VPC out.
    let role = aws.output("in-vpc", "RoleArn").await;
    let policies = aws.role_policies(role.rsplit('/').next().unwrap()).await;
    assert!(policies.iter().any(|(name, _)| name == "attach-to-vpc"), "{policies:?}");
    let function = aws.output("in-vpc", "FunctionName").await;
    let answer = aws.invoke(&function, &json!({})).await;
    assert!(error_type_of(&answer).contains("ClusterNotFound"), "{answer}");
    aws.create_cluster("other").await;
    let answer = aws.invoke(&function, &json!({})).await;
    assert!(posted(&answer["environments"][0]), "{answer}");
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

/// A call, on what, with which condition keys, and whether it is allowed.
struct Call {
    action: &'static str,
    resource: String,
    context: Value,
    expected: &'static str,
}

const ALLOWED: &str = "Allowed";
const REFUSED: &str = "ImplicitlyDenied";
const DENIED: &str = "ExplicitlyDenied";

fn call(expected: &'static str, action: &'static str, resource: impl Into<String>) -> Call {
    Call { action, resource: resource.into(), context: json!({}), expected }
}

async fn evaluate(aws: &Emulator, stack: &str, calls: &[Call]) {
    let role = aws.output(stack, "RoleArn").await;
    let policies = aws.role_policies(role.rsplit('/').next().unwrap()).await;
    assert!(policies.len() >= 3, "{policies:?}");
    let requests: Vec<_> = calls
        .iter()
        .map(|it| json!({"action": it.action, "resource": it.resource, "context": it.context}))
        .collect();
    let policies: Vec<_> =
        policies.iter().map(|(name, policy)| json!({"name": name, "policy": policy})).collect();
    let question = json!({"principal": role, "policies": policies, "requests": requests});
    let file = TempDir::new().unwrap();
    let file_name = file.path().join("question.json");
    std::fs::write(&file_name, question.to_string()).unwrap();
    let results =
        ProgramOutput::wait_with_stdin(&mut command("iam-evaluate"), &file_name).await.success();
    let results: Vec<String> = serde_json::from_str(&results).unwrap();
    for (call, result) in calls.iter().zip(&results) {
        let Call { action, resource, context, expected } = call;
        assert_eq!(
            result, expected,
            "{stack}: {action} on {resource} with {context}: {policies:?}"
        );
    }
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_role_allows_each_call_that_is_made_and_refuses_its_neighbours() {
    let directory = TempDir::new().unwrap();
    let (archive, recorder, aws) = prepared(directory.path()).await;
    let arn = |service: &str, region: &str, account: &str, resource: &str| {
        format!("arn:aws:{service}:{region}:{account}:{resource}")
    };
    let ecs = |region: &str, resource: &str| arn("ecs", region, ACCOUNT, resource);
    let list = |expected, action, region: &str, account: &str| Call {
        context: json!({"ecs:cluster": arn("ecs", region, account, "cluster/app")}),
        ..call(expected, action, "*")
    };
    let parameter = |name: &str| arn("ssm", REGION, ACCOUNT, &format!("parameter{name}"));

    deploy(&aws, &archive, "one", &parameters(&recorder)).await;
    let queue = aws.output("one", "TaskStateChangesQueueUrl").await;
    let queue = arn("sqs", REGION, ACCOUNT, queue.rsplit('/').next().unwrap());
    let log = aws.output("one", "LogGroupName").await;
    let stream = arn("logs", REGION, ACCOUNT, &format!("log-group:{log}:log-stream:a"));
    let subnet = arn("ec2", REGION, ACCOUNT, "subnet/subnet-0a1b2c3d");
    evaluate(
        &aws,
        "one",
        &[
            call(ALLOWED, "ecs:ListClusters", "*"),
            call(ALLOWED, "ecs:DescribeClusters", ecs(REGION, "cluster/app")),
            call(REFUSED, "ecs:DescribeClusters", ecs("us-east-1", "cluster/app")),
            list(ALLOWED, "ecs:ListTasks", REGION, ACCOUNT),
            list(REFUSED, "ecs:ListTasks", "us-east-1", ACCOUNT),
            list(REFUSED, "ecs:ListTasks", REGION, "123456789012"),
            list(ALLOWED, "ecs:ListServices", REGION, ACCOUNT),
            call(ALLOWED, "ecs:DescribeTasks", ecs(REGION, "task/app/0123")),
            call(REFUSED, "ecs:DescribeTasks", ecs("us-east-1", "task/app/0123")),
            call(REFUSED, "ecs:StopTask", ecs(REGION, "task/app/0123")),
            call(REFUSED, "ecs:DescribeServices", ecs(REGION, "service/app/web")),
            call(ALLOWED, "ssm:GetParameter", parameter(TOKEN)),
            call(REFUSED, "ssm:GetParameter", parameter("/envsnap/other")),
            call(REFUSED, "ssm:GetParametersByPath", parameter(PATH)),
            call(REFUSED, "ssm:PutParameter", parameter(TOKEN)),
            call(REFUSED, "sts:AssumeRole", "arn:aws:iam::123456789012:role/envsnap-reader"),
            call(ALLOWED, "logs:PutLogEvents", &*stream),
            call(REFUSED, "logs:PutLogEvents", stream.replace(&log, "other")),
            call(ALLOWED, "sqs:ReceiveMessage", &*queue),
            call(ALLOWED, "sqs:DeleteMessage", &*queue),
            call(REFUSED, "sqs:SendMessage", &*queue),
            call(REFUSED, "ec2:CreateNetworkInterface", &*subnet),
        ],
    )
    .await;

    let mut fleet = parameters(&recorder);
    fleet[0] = format!("EnvironmentsPath={PATH}");
    fleet.extend([
        "RoleArns=arn:aws:iam::*:role/envsnap-reader".to_owned(),
        "SubnetIds=subnet-0a1b2c3d".to_owned(),
        "SecurityGroupIds=sg-0a1b2c3d".to_owned(),
        "TaskEvents=false".to_owned(),
    ]);
    deploy(&aws, &archive, "fleet", &fleet).await;
    let function = arn("lambda", REGION, ACCOUNT, "function:fleet");
    let from_code = json!({"lambda:SourceFunctionArn": function});
    evaluate(
        &aws,
        "fleet",
        &[
            call(ALLOWED, "ecs:DescribeTasks", ecs("us-east-1", "task/app/0123")),
            list(ALLOWED, "ecs:ListTasks", "us-east-1", ACCOUNT),
            list(REFUSED, "ecs:ListTasks", REGION, "123456789012"),
            call(ALLOWED, "ssm:GetParametersByPath", parameter(PATH)),
            call(ALLOWED, "ssm:GetParametersByPath", parameter(&format!("{PATH}/"))),
            call(REFUSED, "ssm:GetParametersByPath", parameter("/envsnap")),
            call(REFUSED, "ssm:GetParametersByPath", parameter("/envsnap/environments-of-others")),
            call(REFUSED, "ssm:GetParameter", parameter(&format!("{PATH}/prod"))),
            call(ALLOWED, "sts:AssumeRole", format!("arn:aws:iam::{ACCOUNT}:role/envsnap-reader")),
            call(REFUSED, "sts:AssumeRole", format!("arn:aws:iam::{ACCOUNT}:role/admin")),
            call(ALLOWED, "ec2:CreateNetworkInterface", &*subnet),
            call(ALLOWED, "ec2:DescribeNetworkInterfaces", "*"),
            Call { context: from_code, ..call(DENIED, "ec2:CreateNetworkInterface", &*subnet) },
            call(REFUSED, "ec2:RunInstances", &*subnet),
            call(REFUSED, "sqs:ReceiveMessage", &*queue),
        ],
    )
    .await;
}

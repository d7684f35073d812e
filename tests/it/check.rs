//! `envsnap check` beside a stand-in, a recorder, and an STS and SSM that answer as a test says.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use envsnap::config::TEMPLATE_PARAMETERS;
use envsnap::recorder::{Access, SqliteStore};
use envsnap::standin::{Fault, Operation, StandIn};
use reqwest::Method;
use serde_json::{Value, json};

use crate::command_line::text;
use crate::harness::{ENVIRONMENT, app};
use crate::recorder::server::Recorder;
use crate::scripted::Scripted;

const CALLER_ARN: &str = "arn:aws:iam::274425519734:user/me";
const TOKEN_PARAMETER_VARIABLE: &str = "KOSLI_API_TOKEN_SSM_PARAMETER_ARN";

const REPORT_TOKEN: &str = "reporter-0";
const READ_TOKEN: &str = "reader-000";
const WRITE_TOKEN: &str = "writer-000";

/// The ECS, STS and SSM that the command is pointed at.
struct FakeAws {
    ecs: StandIn,
    sts: Scripted,
    ssm: Scripted,
}

impl FakeAws {
    async fn start() -> Self {
        let ecs = StandIn::start(app()).await.unwrap();
        let sts = Scripted::start().await;
        Self { ecs, sts, ssm: Scripted::start().await }
    }

    fn deny(&self, operation: Operation) {
        self.ecs.faults(|faults| {
            faults.always(operation, Fault::AccessDenied);
        });
    }

    fn script_caller_identity(&self) {
        self.sts.then(
            200,
            format!(
                "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                 <GetCallerIdentityResult><Arn>{CALLER_ARN}</Arn><Account>274425519734</Account>\
                 </GetCallerIdentityResult></GetCallerIdentityResponse>"
            ),
        );
    }

    async fn run_check(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_envsnap"));
        command
            .arg("check")
            .args(arguments)
            .env_clear()
            .env("AWS_ENDPOINT_URL_ECS", self.ecs.endpoint())
            .env("AWS_ENDPOINT_URL_STS", &self.sts.url)
            .env("AWS_ENDPOINT_URL_SSM", &self.ssm.url)
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .envs(variables.iter().copied())
            .stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
    }

    /// The JSON document of the checks, and the exit code.
    async fn check_as_json(&self, variables: &[(&str, &str)]) -> (Value, Option<i32>) {
        let output = self.run_check(&["-o", "json"], variables).await;
        let document = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
        (document, output.status.code())
    }
}

/// A recorder with environment `aws-prod` of organization `acme`, and tokens to report, to read and to write.
async fn recorder() -> Recorder {
    let mut tokens = tempfile::NamedTempFile::new().unwrap();
    write!(
        tokens,
        "{REPORT_TOKEN} label=r org=acme report\n{READ_TOKEN} label=a org=acme read\n{WRITE_TOKEN} label=w org=acme write\n"
    )
    .unwrap();
    let access = Access::from_token_file(tokens.path()).unwrap();
    let recorder = Recorder::with(SqliteStore::in_memory().unwrap(), access).await;
    let body = json!({"name": ENVIRONMENT, "type": "ECS", "description": ""}).to_string();
    let path = "/api/v2/environments/acme";
    let created = recorder.send(Method::PUT, path, Some(WRITE_TOKEN), body).await;
    assert_eq!(created.status, 201, "{created:?}");
    recorder
}

/// The row of this check.
pub(crate) fn row<'d>(document: &'d Value, check: &str) -> &'d Value {
    let mut rows = document["checks"].as_array().unwrap().iter();
    rows.find(|row| row["check"] == check).unwrap_or_else(|| panic!("{check}: {document:#}"))
}

/// `CHECK RESULT` of each row.
pub(crate) fn results(document: &Value) -> Vec<String> {
    let rows = document["checks"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.map(|row| format!("{} {}", text(&row["check"]), text(&row["result"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn complete_configuration_passes_all_checks_and_prints_the_sam_deploy_command() {
    let (aws, recorder) = (FakeAws::start().await, recorder().await);
    let variables = [
        ("KOSLI_ENVIRONMENT", ENVIRONMENT),
        ("KOSLI_ORG", "acme"),
        ("KOSLI_HOST", recorder.url.as_str()),
        ("ECS_EXCLUDE_SERVICES_REGEX", "^debug$"),
        (TOKEN_PARAMETER_VARIABLE, "/kosli/token"),
    ];
    aws.script_caller_identity();
    aws.ssm.then_json(200, &json!({"Parameter": {"Value": REPORT_TOKEN}}));
    let (document, code) = aws.check_as_json(&variables).await;
    assert_eq!(
        results(&document),
        [
            "configuration OK",
            "credentials OK",
            "region OK",
            "ecs:ListClusters OK",
            "ecs:DescribeClusters OK",
            "ecs:ListTasks OK",
            "ecs:DescribeTasks OK",
            "ecs:ListServices OK",
            "reading aws-prod OK",
            "ssm:GetParameter OK",
            "server OK",
            "token OK",
            "environment aws-prod OK",
        ]
    );
    assert_eq!((&document["ok"], code), (&json!(true), Some(0)));
    assert_eq!(row(&document, "credentials")["detail"], CALLER_ARN);
    assert_eq!(row(&document, "reading aws-prod")["detail"], "5 containers of 3 artifacts in app");
    assert_eq!(row(&document, "token")["detail"], "accepted, and may report in acme");
    let expected = format!(
        "sam deploy --region eu-central-1 --parameter-overrides \\\n    KosliEnvironment=aws-prod \
         \\\n    KosliOrg=acme \\\n    KosliHost={} \\\n    TokenParameter=/kosli/token \\\n    \
         'EcsExcludeServicesRegex=\"^debug$\"'\n# KosliHost is an address of this machine, which a function \
         in AWS cannot reach.\n",
        recorder.url
    );
    assert_eq!(document["deployment"], expected);
    let path = "/api/v2/snapshots/acme/aws-prod/-1";
    let latest = recorder.send(Method::GET, path, Some(READ_TOKEN), "").await;
    assert!(latest.message().contains("len(snapshots) == 0"), "nothing was recorded: {latest:?}");

    aws.script_caller_identity();
    aws.ssm.then_json(200, &json!({"Parameter": {"Value": REPORT_TOKEN}}));
    let shown = aws.run_check(&[], &variables).await;
    assert_eq!((shown.status.code(), text(&shown.stderr)), (Some(0), String::new()));
    let shown = text(&shown.stdout);
    assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
    assert!(
        shown.contains("OK       environment aws-prod  exists, type ECS; it counts replicas\n")
    );
    assert!(shown.ends_with(&expected) && !shown.contains(REPORT_TOKEN), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_missing_ecs_permission_fails_only_its_check_and_names_an_iam_statement() {
    let task = "arn:aws:ecs:eu-central-1:274425519734:task/*";
    let cluster = "arn:aws:ecs:eu-central-1:274425519734:cluster/*";
    let in_cluster = json!({"ArnLike": {"ecs:cluster": cluster}});
    for (operation, resource, condition) in [
        (Operation::ListClusters, "*", Value::Null),
        (Operation::DescribeClusters, cluster, Value::Null),
        (Operation::ListTasks, "*", in_cluster.clone()),
        (Operation::DescribeTasks, task, Value::Null),
        (Operation::ListServices, "*", in_cluster),
    ] {
        let aws = FakeAws::start().await;
        aws.script_caller_identity();
        aws.deny(operation);
        let (document, code) = aws.check_as_json(&[("ECS_SERVICES", "runner")]).await;
        assert_eq!((&document["ok"], code), (&json!(false), Some(1)), "{document:#}");
        let action = format!("ecs:{operation}");
        let mut failed = results(&document);
        failed.retain(|result| result.ends_with("FAILED"));
        assert_eq!(failed, [format!("{action} FAILED")], "{document:#}");
        let row = row(&document, &action);
        assert!(row["detail"].as_str().unwrap().contains("AccessDenied"), "{row}");
        assert!(row["remedy"].as_str().unwrap().ends_with(CALLER_ARN), "{row}");
        let mut statement = json!({"Effect": "Allow", "Action": action, "Resource": resource});
        if !condition.is_null() {
            statement["Condition"] = condition;
        }
        assert_eq!(row["statement"], statement);
    }
    let aws = FakeAws::start().await;
    aws.script_caller_identity();
    for operation in Operation::ALL {
        aws.deny(operation);
    }
    let (document, _) = aws.check_as_json(&[]).await;
    let results = results(&document);
    assert_eq!(results.iter().filter(|result| result.ends_with("FAILED")).count(), 4);
    for skipped in ["ecs:ListServices SKIPPED", "reading unnamed SKIPPED", "server SKIPPED"] {
        assert!(results.contains(&skipped.to_owned()), "{results:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_variable_that_is_wrong_or_misspelt_is_named_and_nothing_is_made_of_them() {
    let aws = FakeAws::start().await;
    aws.script_caller_identity();
    let variables = [("ECS_CLUSTER", "app"), ("HEARTBEAT", "x"), ("KOSLI_ENVIRONMENT", "prod")];
    let variables = [&variables[..], &[("KOSLI_ORG", "acme"), ("KOSLI_API_TOKEN", "t0k3n")]];
    let (document, code) = aws.check_as_json(&variables.concat()).await;
    assert_eq!(code, Some(1));
    let detail = row(&document, "configuration")["detail"].as_str().unwrap();
    for expected in ["rename it to ECS_CLUSTERS", "HEARTBEAT is \"x\""] {
        assert!(detail.contains(expected), "{detail}");
    }
    assert!(document["deployment"].is_null(), "{document}");
    assert!(!document.to_string().contains("environment unnamed"), "{document}");
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_out_of_reach_is_not_called_a_refusal_of_the_credentials() {
    let aws = FakeAws::start().await;
    let unreachable = ["AWS_ENDPOINT_URL_ECS", "AWS_ENDPOINT_URL_STS"];
    let (document, _) = aws.check_as_json(&unreachable.map(|it| (it, "http://127.0.0.1:9"))).await;
    assert_eq!(row(&document, "credentials")["result"], "FAILED");
    let skipped = row(&document, "ecs:ListClusters")["detail"].as_str().unwrap();
    assert!(skipped.contains("neither STS nor ECS gave an answer"), "{skipped}");
}

#[tokio::test(flavor = "multi_thread")]
async fn named_clusters_need_no_list_clusters_permission_and_must_exist() {
    let aws = FakeAws::start().await;
    aws.deny(Operation::ListClusters);
    let (document, code) = aws.check_as_json(&[("ECS_CLUSTERS", "app")]).await;
    assert_eq!(code, Some(0), "{document:#}");
    assert_eq!(row(&document, "ecs:ListClusters")["result"], "SKIPPED");
    let credentials = row(&document, "credentials")["detail"].as_str().unwrap();
    assert!(credentials.starts_with("ECS accepts them; STS did not say"), "{credentials}");

    let (document, code) = aws.check_as_json(&[("ECS_CLUSTERS", "nope")]).await;
    assert_eq!(code, Some(1));
    let reading = row(&document, "reading unnamed");
    assert_eq!(reading["result"], "FAILED");
    assert!(reading["detail"].as_str().unwrap().contains("no active cluster \"nope\""));
    assert!(document["deployment"].as_str().unwrap().contains("EcsClusters=nope"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_credentials_or_a_missing_region_do_not_stop_the_server_checks() {
    let (aws, recorder) = (FakeAws::start().await, recorder().await);
    let server = [
        ("KOSLI_ENVIRONMENT", ENVIRONMENT),
        ("KOSLI_ORG", "acme"),
        ("KOSLI_HOST", recorder.url.as_str()),
        ("KOSLI_API_TOKEN", REPORT_TOKEN),
    ];
    let expired = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
                   <Code>ExpiredToken</Code><Message>It is too old</Message></Error></ErrorResponse>";
    aws.sts.then(403, expired);
    let (document, code) = aws.check_as_json(&server).await;
    assert_eq!(code, Some(1));
    assert_eq!(row(&document, "credentials")["result"], "FAILED");
    assert!(row(&document, "credentials")["remedy"].as_str().unwrap().contains("aws sso login"));
    assert_eq!(row(&document, "ecs:ListTasks")["result"], "SKIPPED");
    assert_eq!(row(&document, "environment aws-prod")["result"], "OK");

    aws.script_caller_identity();
    let (document, code) = aws.check_as_json(&[&server[..], &[("AWS_REGION", "")]].concat()).await;
    assert_eq!(code, Some(1), "{document:#}");
    assert_eq!(row(&document, "credentials")["result"], "OK");
    let region = row(&document, "region");
    assert_eq!(region["result"], "FAILED");
    assert!(region["remedy"].as_str().unwrap().starts_with("Set AWS_REGION"), "{region}");
    assert_eq!(row(&document, "token")["result"], "OK");
    let deployment = document["deployment"].as_str().unwrap();
    assert!(deployment.contains("--value \"$KOSLI_API_TOKEN\""), "{deployment}");
    assert!(!document.to_string().contains(REPORT_TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_server_wrong_token_and_missing_environment_fail_different_checks() {
    let (aws, recorder) = (FakeAws::start().await, recorder().await);
    let environments = "/api/v2/environments/acme".to_owned();
    let body = json!({"name": "old", "type": "ECS", "description": ""}).to_string();
    for (path, body) in
        [(&environments, body), (&format!("{environments}/old/archive"), String::new())]
    {
        recorder.send(Method::PUT, path, Some(WRITE_TOKEN), body).await;
    }
    let check = async |variables: &[(&str, &str)]| {
        let server = [
            ("KOSLI_ENVIRONMENT", ENVIRONMENT),
            ("KOSLI_ORG", "acme"),
            ("KOSLI_HOST", recorder.url.as_str()),
            ("KOSLI_API_TOKEN", REPORT_TOKEN),
        ];
        let (document, _) = aws.check_as_json(&[&server[..], variables].concat()).await;
        let rows = ["server", "token"].map(|check| row(&document, check).clone());
        let environment = document["checks"].as_array().unwrap().last().unwrap().clone();
        let [server, token] = rows;
        let results = [&server, &token, &environment].map(|row| row["result"].clone());
        (results.map(|result| result.as_str().unwrap().to_owned()).join(" "), document.to_string())
    };
    for (variables, expected, line) in [
        (&[("KOSLI_API_TOKEN", READ_TOKEN)][..], "OK FAILED OK", "and not to report"),
        (&[("KOSLI_API_TOKEN", "unknown-0")], "OK FAILED SKIPPED", "Check the API token"),
        (&[("KOSLI_ENVIRONMENT", "other")], "OK OK FAILED", "create or restore the environment"),
        (
            &[("KOSLI_ENVIRONMENT", "other"), ("AUTO_CREATE_ENVIRONMENT", "true")],
            "OK OK OK",
            "will be created",
        ),
        (
            &[("KOSLI_ENVIRONMENT", "old"), ("AUTO_CREATE_ENVIRONMENT", "true")],
            "OK OK FAILED",
            "it is archived",
        ),
        (&[("KOSLI_ENVIRONMENT", "")], "OK OK SKIPPED", "KOSLI_ENVIRONMENT is not set"),
        (&[("KOSLI_API_TOKEN", "")], "OK SKIPPED SKIPPED", "neither KOSLI_API_TOKEN nor"),
        (&[("KOSLI_HOST", "http://127.0.0.1:1")], "FAILED SKIPPED SKIPPED", "check KOSLI_HOST"),
        (&[("KOSLI_HOST", "ftp://x")], "SKIPPED SKIPPED SKIPPED", "KOSLI_HOST is"),
    ] {
        let (results, document) = check(variables).await;
        assert_eq!(results, expected, "{variables:?}: {document}");
        assert!(document.contains(line), "{variables:?}: {document}");
    }

    // The token may be in the wrong variable.
    let misplaced = [("KOSLI_API_TOKEN", ""), (TOKEN_PARAMETER_VARIABLE, "s3cret-token")];
    let (results, document) = check(&misplaced).await;
    assert_eq!(results, "OK SKIPPED SKIPPED");
    assert!(!document.contains("s3cret-token"), "{document}");
    let named = [("KOSLI_API_TOKEN", ""), (TOKEN_PARAMETER_VARIABLE, "/kosli/token")];
    aws.ssm
        .then_json(400, &json!({"__type": "AccessDeniedException", "message": "not authorized"}));
    let (results, document) = check(&named).await;
    assert_eq!(results, "OK SKIPPED SKIPPED");
    assert!(document.contains("\"Action\":\"ssm:GetParameter\""), "{document}");
    assert!(document.contains(":parameter/kosli/token\""), "{document}");
}

#[test]
fn deploy_command_parameters_equal_those_of_the_cloudformation_template() {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("template.yaml");
    let template = std::fs::read_to_string(template).unwrap();
    let (_, variables) = template.split_once("\n        Variables:\n").unwrap();
    let mut set = Vec::new();
    for line in variables.lines().take_while(|line| line.starts_with("          ")) {
        // `NAME: !Ref Parameter`, or an expression that contains it.
        let Some((name, value)) = line.trim().split_once(": !") else { continue };
        let parameter = value.split("!Ref ").last().unwrap().trim_start_matches("Ref ");
        let parameter = parameter.split([']', ',']).next().unwrap();
        set.push((name.to_owned(), parameter.to_owned()));
    }
    // What the network around the function needs is not what this machine's does.
    let network = ["HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "AWS_USE_FIPS_ENDPOINT"];
    set.retain(|(name, _)| !network.contains(&name.as_str()));
    let known = TEMPLATE_PARAMETERS.iter().map(|(name, of)| ((*name).to_owned(), (*of).to_owned()));
    assert_eq!(set, known.collect::<Vec<_>>());
}

//! The AWS emulator, and clients that change and query its accounts.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_ecs::types::{ContainerDefinition, DesiredStatus};
use aws_sdk_ssm::types::ParameterType;
use envsnap::aws::AwsHttpClient;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::programs::{ACCOUNT, REGION, eventually, free_port, program_path, wait_or_kill};

/// The AWS emulator, with clients for one account and region.
pub(crate) struct Emulator {
    pub(crate) url: String,
    account: String,
    region: &'static str,
    sdk_config: SdkConfig,
    ecs: aws_sdk_ecs::Client,
    process: Arc<Process>,
}

/// The emulator's process. It ends, with all that it runs, when its standard input is closed.
struct Process {
    child: Child,
    /// With the log of the emulator in it.
    directory: TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        wait_or_kill(&mut self.child);
    }
}

impl Process {
    /// Starts the emulator on `port` of 127.0.0.1.
    fn start(port: u16) -> Self {
        let directory = TempDir::new().unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let child = std::process::Command::new(program_path("ministack-digests"))
            .arg("--until-stdin-closes")
            .env("GATEWAY_PORT", port.to_string())
            // Lambda sets it if the template requests JSON; the emulator leaves that out.
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, directory }
    }

    /// What the emulator has printed so far.
    fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Emulator {
    /// Starts an emulator, in which account [`ACCOUNT`] and [`REGION`] have no resources.
    pub(crate) async fn start() -> Self {
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let mut process = Process::start(port);
        eventually(Duration::from_mins(1), "the emulator answers", async || {
            let exit_status = process.child.try_wait().unwrap();
            assert_eq!(exit_status, None, "the emulator ended: {}", process.log());
            match reqwest::get(format!("{url}/_ministack/health")).await {
                Ok(response) if response.status() == 200 => Ok(()),
                other => Err(format!("{other:?} {}", process.log())),
            }
        })
        .await;
        Self::connect(url, ACCOUNT, REGION, Arc::new(process)).await
    }

    /// Another account or region of the same emulator.
    pub(crate) async fn in_account_and_region(&self, account: &str, region: &'static str) -> Self {
        Self::connect(self.url.clone(), account, region, Arc::clone(&self.process)).await
    }

    /// Makes clients for an account and region of the emulator at `url`.
    async fn connect(
        url: String,
        account: &str,
        region: &'static str,
        process: Arc<Process>,
    ) -> Self {
        let sdk_config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(AwsHttpClient::without_proxy().unwrap())
            .endpoint_url(&url)
            .region(Region::from_static(region))
            .credentials_provider(Credentials::from_keys(account, "test", None))
            .load()
            .await;
        let ecs = aws_sdk_ecs::Client::new(&sdk_config);
        Self { url, account: account.to_owned(), region, sdk_config, ecs, process }
    }

    /// The environment variables with which an AWS client uses this account and region of the emulator.
    pub(crate) fn variables(&self) -> [(&str, &str); 5] {
        let mut variables = aws_variables(&self.url);
        variables[1].1 = self.region;
        variables[2].1 = &self.account;
        variables
    }

    /// Invokes a Lambda function, and returns its response.
    pub(crate) async fn invoke(&self, function: &str, event: &Value) -> Value {
        let credential = format!("{}/20260101/{}/lambda/aws4_request", self.account, self.region);
        let response = reqwest::Client::new()
            .post(format!("{}/2015-03-31/functions/{function}/invocations", self.url))
            .header("authorization", format!("AWS4-HMAC-SHA256 Credential={credential}"))
            .body(event.to_string())
            .send()
            .await
            .unwrap();
        response.json().await.unwrap()
    }

    /// The value of output `name` of a stack.
    pub(crate) async fn stack_output(&self, stack: &str, name: &str) -> String {
        let credential =
            format!("{}/20260101/{}/cloudformation/aws4_request", self.account, self.region);
        let response = reqwest::Client::new()
            .post(&self.url)
            .header("authorization", format!("AWS4-HMAC-SHA256 Credential={credential}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("Action=DescribeStacks&Version=2010-05-15&StackName={stack}"))
            .send()
            .await
            .unwrap();
        let response = response.text().await.unwrap();
        let key = format!("<OutputKey>{name}</OutputKey>");
        let value = response.split(&key).nth(1).and_then(|rest| rest.split("<OutputValue>").nth(1));
        let value = value.and_then(|rest| rest.split('<').next());
        value.unwrap_or_else(|| panic!("{stack} has no output {name}: {response}")).to_owned()
    }

    /// The name and the document of each inline policy of a role.
    pub(crate) async fn role_policies(&self, role: &str) -> Vec<(String, Value)> {
        let query_iam = async |action: String| {
            let credential = format!("{}/20260101/{}/iam/aws4_request", self.account, self.region);
            let response = reqwest::Client::new()
                .post(&self.url)
                .header("authorization", format!("AWS4-HMAC-SHA256 Credential={credential}"))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(format!("{action}&Version=2010-05-08&RoleName={role}"))
                .send()
                .await
                .unwrap();
            response.text().await.unwrap()
        };
        let listed = query_iam("Action=ListRolePolicies".to_owned()).await;
        let names = listed.split("<member>").skip(1).filter_map(|rest| rest.split('<').next());
        let mut policies = Vec::new();
        for name in names {
            let response = query_iam(format!("Action=GetRolePolicy&PolicyName={name}")).await;
            let document = response.split("<PolicyDocument>").nth(1).unwrap();
            let document = document.split("</PolicyDocument>").next().unwrap();
            let document = reqwest::Url::parse(&format!("http://x/?d={document}")).unwrap();
            let text = document.query_pairs().next().unwrap().1.replace("&quot;", "\"");
            let policy = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{response}"));
            policies.push((name.to_owned(), policy));
        }
        policies
    }

    /// Stores `value` as a `SecureString` in the SSM parameter `name`.
    pub(crate) async fn put_secret(&self, name: &str, value: &str) {
        let ssm = aws_sdk_ssm::Client::new(&self.sdk_config);
        let secure = ParameterType::SecureString;
        ssm.put_parameter().name(name).value(value).r#type(secure).send().await.unwrap();
    }

    pub(crate) async fn create_cluster(&self, name: &str) {
        self.ecs.create_cluster().cluster_name(name).send().await.unwrap();
    }

    /// Creates a service, and waits until `tasks` tasks of it run, each with one container per image.
    pub(crate) async fn create_service(
        &self,
        cluster: &str,
        name: &str,
        tasks: i32,
        images: &[&str],
    ) {
        let definition = self.register_task_definition(name, images).await;
        self.ecs
            .create_service()
            .cluster(cluster)
            .service_name(name)
            .task_definition(definition)
            .desired_count(tasks)
            .send()
            .await
            .unwrap();
        self.wait_until_running(cluster, name, tasks, images).await;
    }

    /// Deploys these images to a service of `tasks` tasks, and waits until all tasks run them.
    pub(crate) async fn update_service(
        &self,
        cluster: &str,
        name: &str,
        tasks: i32,
        images: &[&str],
    ) {
        let definition = self.register_task_definition(name, images).await;
        let update = self.ecs.update_service().cluster(cluster).service(name);
        update.task_definition(definition).send().await.unwrap();
        self.wait_until_running(cluster, name, tasks, images).await;
    }

    /// Starts one task that belongs to no service, and does not wait for it.
    pub(crate) async fn run_task(&self, cluster: &str, family: &str, images: &[&str]) {
        let definition = self.register_task_definition(family, images).await;
        let started =
            self.ecs.run_task().cluster(cluster).task_definition(definition).send().await.unwrap();
        assert_eq!(started.tasks().len(), 1, "{started:?}");
    }

    /// Registers a revision of a task definition with one container per image. Returns its ARN.
    async fn register_task_definition(&self, family: &str, images: &[&str]) -> String {
        let containers = images.iter().enumerate().map(|(number, image)| {
            let name = format!("{family}-{number}");
            ContainerDefinition::builder().name(name).image(*image).memory(128).build()
        });
        let registered = self
            .ecs
            .register_task_definition()
            .family(family)
            .set_container_definitions(Some(containers.collect()))
            .send()
            .await
            .unwrap();
        registered.task_definition().unwrap().task_definition_arn().unwrap().to_owned()
    }

    /// Waits until exactly `tasks` tasks of the service run, all with these images.
    async fn wait_until_running(&self, cluster: &str, service: &str, tasks: i32, images: &[&str]) {
        eventually(Duration::from_secs(30), "the service runs", async || {
            let running = self
                .ecs
                .list_tasks()
                .cluster(cluster)
                .service_name(service)
                .desired_status(DesiredStatus::Running)
                .send()
                .await
                .unwrap();
            let arns = running.task_arns;
            let described =
                self.ecs.describe_tasks().cluster(cluster).set_tasks(arns).send().await.unwrap();
            let found: Vec<Vec<_>> = described
                .tasks()
                .iter()
                .filter(|task| task.last_status() == Some("RUNNING"))
                .map(|task| task.containers().iter().map(|c| c.image().unwrap_or("")).collect())
                .collect();
            let settled = found.len() == usize::try_from(tasks).unwrap()
                && found.iter().all(|found| found == images);
            if settled { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    }

    /// The lines of a log group with the outcome of an environment in a run of the function: those with
    /// metrics in the embedded metric format (`_aws`).
    pub(crate) async fn logged_outcomes(&self, group: &str) -> Vec<Value> {
        let log = self.log_group_text(group).await;
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line.get("_aws").is_some()).collect()
    }

    /// All messages of a log group, in order, each on a line.
    pub(crate) async fn log_group_text(&self, group: &str) -> String {
        // The emulator does not check signatures.
        let credential = format!("{ACCOUNT}/20260101/{REGION}/logs/aws4_request");
        let response = reqwest::Client::new()
            .post(&self.url)
            .header("x-amz-target", "Logs_20140328.FilterLogEvents")
            .header("content-type", "application/x-amz-json-1.1")
            .header("authorization", format!("AWS4-HMAC-SHA256 Credential={credential}"))
            .body(json!({"logGroupName": group}).to_string())
            .send()
            .await
            .unwrap();
        let events: Value = response.json().await.unwrap();
        let events = events["events"].as_array().cloned().unwrap_or_default();
        let messages: Vec<_> = events.iter().map(|e| e["message"].as_str().unwrap()).collect();
        messages.join("\n")
    }
}

/// The environment variables with which an AWS client sends its requests to `endpoint`, as [`ACCOUNT`] in
/// [`REGION`].
pub(crate) fn aws_variables(endpoint: &str) -> [(&str, &str); 5] {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", ACCOUNT),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
}

/// The digest that the emulator gives an image: 64 hexadecimal digits, without `sha256:`.
pub(crate) fn digest_of(image: &str) -> String {
    hex::encode(Sha256::digest(image))
}

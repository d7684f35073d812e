//! The real ECS, through the AWS SDK.

mod answer_limit;
mod call_error;

use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::retry::RetryConfig;
use aws_sdk_ecs::config::timeout::TimeoutConfig;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::types as sdk;
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};

use super::{
    CallError, Cluster, Container, DescribedTasks, DesiredStatus, EcsApi, Failure, Page, Role,
    Source, Task,
};
use crate::endpoint::Endpoint;
use crate::snapshot::TaskOrigin;
use answer_limit::AnswerLimit;

/// Items per page; the default of ListServices is ten.
const PAGE_SIZE: i32 = 100;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Until a response begins. A connection may have died unnoticed while the process was frozen.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(5);
/// Of one attempt of a call to ECS or STS, until its response is complete.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Shown in the account's `CloudTrail`.
const ROLE_SESSION_NAME: &str = "envsnap";

/// ECS in one account and region.
#[derive(Debug, Clone)]
pub struct AwsEcs {
    client: Client,
    /// The role that is assumed to read.
    role: Option<String>,
    endpoint: Endpoint,
}

/// A client for `source`, with the credentials and the region of `aws` unless it has its own.
pub async fn connect(aws: &SdkConfig, source: &Source) -> AwsEcs {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(FIRST_BYTE_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let endpoint = Endpoint::default();
    let mut config = aws_sdk_ecs::config::Builder::from(aws)
        .timeout_config(timeouts)
        .interceptor(endpoint.clone())
        .interceptor(AnswerLimit)
        // The reader retries, within its quota and before its deadline.
        .retry_config(RetryConfig::disabled());
    if let Some(region) = &source.region {
        config = config.region(Region::new(region.clone()));
    }
    if let Some(role) = &source.role {
        config = config.credentials_provider(credentials_of(role, aws).await);
    }
    let role = source.role.as_ref().map(|role| role.arn.clone());
    AwsEcs { client: Client::from_conf(config.build()), role, endpoint }
}

/// The role's credentials, fetched when they are first needed and again before they expire. STS is
/// called in the region of the process; its credentials are valid in every region.
async fn credentials_of(role: &Role, aws: &SdkConfig) -> SharedCredentialsProvider {
    // The provider panics if a hand-made configuration has no clock.
    let clock = aws.time_source().unwrap_or_else(|| SharedTimeSource::new(SystemTimeSource::new()));
    // A failure of STS fails the call to ECS, which the reader retries.
    let aws = aws.to_builder().time_source(clock).retry_config(RetryConfig::disabled()).build();
    let mut provider =
        AssumeRoleProvider::builder(&role.arn).session_name(ROLE_SESSION_NAME).configure(&aws);
    if let Some(external_id) = &role.external_id {
        provider = provider.external_id(external_id);
    }
    SharedCredentialsProvider::new(provider.build().await)
}

/// The ARN of the user or role whose credentials `aws` has. STS allows every identity to ask.
///
/// # Errors
/// STS does not accept the credentials, or does not answer.
pub async fn caller_arn(aws: &SdkConfig) -> Result<String, CallError> {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    let endpoint = Endpoint::default();
    let config = aws_sdk_sts::config::Builder::from(aws)
        .timeout_config(timeouts)
        .interceptor(endpoint.clone());
    let sts = aws_sdk_sts::Client::from_conf(config.build());
    let identity = sts.get_caller_identity().send().await;
    let identity = identity.map_err(|error| call_error::from_sdk_error(&error, None, &endpoint))?;
    let no_arn = || CallError::Malformed(format!("{endpoint}: it answers without an ARN"));
    identity.arn.ok_or_else(no_arn)
}

impl AwsEcs {
    /// Opens a connection, with the cheapest call. The response is ignored.
    pub async fn warm_up(&self) {
        drop(self.client.list_clusters().max_results(1).send().await);
    }
}

impl EcsApi for AwsEcs {
    async fn list_clusters(&self, next_token: Option<String>) -> Result<Page, CallError> {
        let answer = self
            .client
            .list_clusters()
            .max_results(PAGE_SIZE)
            .set_next_token(next_token)
            .send()
            .await
            .map_err(|error| self.to_call_error(&error))?;
        self.page(answer.cluster_arns, answer.next_token)
    }

    async fn describe_clusters(&self, clusters: &[String]) -> Result<Vec<Cluster>, CallError> {
        let answer = self
            .client
            .describe_clusters()
            .set_clusters(Some(clusters.to_vec()))
            .send()
            .await
            .map_err(|error| self.to_call_error(&error))?;
        let described: Vec<_> = answer
            .clusters
            .ok_or_else(|| self.missing_list_error())?
            .into_iter()
            .map(|cluster| Cluster {
                arn: cluster.cluster_arn.unwrap_or_default(),
                status: cluster.status,
                running_tasks: usize::try_from(cluster.running_tasks_count).unwrap_or(0),
            })
            .collect();
        let failures = answer.failures.unwrap_or_default();
        for requested in clusters.iter().filter(|id| !described.iter().any(|it| is_of(&it.arn, id)))
        {
            let arn = |failure: &&sdk::Failure| is_of(failure.arn().unwrap_or_default(), requested);
            let failure = failures.iter().find(arn);
            match failure.map(|failure| failure.reason().unwrap_or("no reason")) {
                Some("MISSING") => {}
                reason => {
                    return Err(CallError::Incomplete(format!(
                        "{}: it describes cluster {requested} neither as existing nor as missing ({})",
                        self.endpoint,
                        reason.unwrap_or("it is left out")
                    )));
                }
            }
        }
        Ok(described)
    }

    async fn list_tasks(
        &self,
        cluster: &str,
        desired_status: DesiredStatus,
        next_token: Option<String>,
    ) -> Result<Page, CallError> {
        let answer = self
            .client
            .list_tasks()
            .cluster(cluster)
            .desired_status(match desired_status {
                DesiredStatus::Running => sdk::DesiredStatus::Running,
                DesiredStatus::Stopped => sdk::DesiredStatus::Stopped,
            })
            .max_results(PAGE_SIZE)
            .set_next_token(next_token)
            .send()
            .await
            .map_err(|error| self.to_call_error(&error))?;
        self.page(answer.task_arns, answer.next_token)
    }

    async fn describe_tasks(
        &self,
        cluster: &str,
        tasks: &[String],
    ) -> Result<DescribedTasks, CallError> {
        let answer = self
            .client
            .describe_tasks()
            .cluster(cluster)
            .set_tasks(Some(tasks.to_vec()))
            .send()
            .await
            .map_err(|error| self.to_call_error(&error))?;
        if answer.tasks.is_none() && answer.failures.is_none() {
            return Err(self.missing_list_error());
        }
        Ok(DescribedTasks {
            tasks: answer
                .tasks
                .into_iter()
                .flatten()
                .map(task_from_sdk)
                .collect::<Result<_, _>>()?,
            failures: answer
                .failures
                .into_iter()
                .flatten()
                .map(|failure| Failure { arn: failure.arn, reason: failure.reason })
                .collect(),
        })
    }

    async fn list_services(
        &self,
        cluster: &str,
        next_token: Option<String>,
    ) -> Result<Page, CallError> {
        let answer = self
            .client
            .list_services()
            .cluster(cluster)
            .max_results(PAGE_SIZE)
            .set_next_token(next_token)
            .send()
            .await
            .map_err(|error| self.to_call_error(&error))?;
        self.page(answer.service_arns, answer.next_token)
    }
}

/// Whether `arn` is that of the cluster with this name or ARN, of one account and region.
fn is_of(arn: &str, requested: &str) -> bool {
    arn.rsplit('/').next() == requested.rsplit('/').next()
}

fn task_from_sdk(task: sdk::Task) -> Result<Task, CallError> {
    let Some(arn) = task.task_arn else {
        return Err(CallError::Malformed("it describes a task without an ARN".to_owned()));
    };
    let containers = task.containers.unwrap_or_default();
    Ok(Task {
        arn,
        cluster: String::new(),
        group: task.group,
        desired_status: task.desired_status,
        last_status: task.last_status,
        started_at: task.started_at.map(|at| at.secs()),
        created_at: task.created_at.map(|at| at.secs()),
        origin: TaskOrigin {
            task_definition: task.task_definition_arn,
            started_by: task.started_by,
            launch_type: task.launch_type.map(|launch_type| launch_type.as_str().to_owned()),
            availability_zone: task.availability_zone,
        },
        containers: containers
            .into_iter()
            .map(|container| Container {
                name: container.name,
                image: container.image,
                image_digest: container.image_digest,
                last_status: container.last_status,
            })
            .collect(),
    })
}

impl AwsEcs {
    /// The page of a response; a response without a list is an error.
    fn page(
        &self,
        arns: Option<Vec<String>>,
        next_token: Option<String>,
    ) -> Result<Page, CallError> {
        Ok(Page { arns: arns.ok_or_else(|| self.missing_list_error())?, next_token })
    }

    /// The error for an empty body, which the SDK parses as a success.
    fn missing_list_error(&self) -> CallError {
        CallError::Incomplete(format!("{}: it answers without a list", self.endpoint))
    }

    fn to_call_error<E>(&self, error: &SdkError<E>) -> CallError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        call_error::from_sdk_error(error, self.role.as_deref(), &self.endpoint)
    }
}

//! The real ECS, through the AWS SDK.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::timeout::TimeoutConfig;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::types as sdk;

use super::{
    CallError, Cluster, Container, DescribedTasks, DesiredStatus, EcsApi, Failure, Page, Task,
};
use crate::error_chain::error_chain;

/// Items a page; ListServices would give ten.
const PAGE: i32 = 100;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// ECS in one account and region.
#[derive(Debug, Clone)]
pub struct AwsEcs(Client);

/// A client of the account and region in `config`.
pub fn connect(config: &SdkConfig) -> AwsEcs {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let config = aws_sdk_ecs::config::Builder::from(config).timeout_config(timeouts).build();
    AwsEcs(Client::from_conf(config))
}

impl AwsEcs {
    /// Opens a connection, by the cheapest call there is. Its answer makes no difference.
    pub async fn warm_up(&self) {
        drop(self.0.list_clusters().max_results(1).send().await);
    }
}

impl EcsApi for AwsEcs {
    async fn list_clusters(&self, next_token: Option<String>) -> Result<Page, CallError> {
        let answer = self
            .0
            .list_clusters()
            .max_results(PAGE)
            .set_next_token(next_token)
            .send()
            .await
            .map_err(|error| call_error(&error))?;
        page(answer.cluster_arns, answer.next_token)
    }

    async fn describe_clusters(&self, clusters: &[String]) -> Result<Vec<Cluster>, CallError> {
        let answer = self
            .0
            .describe_clusters()
            .set_clusters(Some(clusters.to_vec()))
            .send()
            .await
            .map_err(|error| call_error(&error))?;
        Ok(answer
            .clusters
            .ok_or_else(no_list)?
            .into_iter()
            .map(|cluster| Cluster {
                arn: cluster.cluster_arn.unwrap_or_default(),
                status: cluster.status,
            })
            .collect())
    }

    async fn list_tasks(
        &self,
        cluster: &str,
        desired_status: DesiredStatus,
        next_token: Option<String>,
    ) -> Result<Page, CallError> {
        let answer = self
            .0
            .list_tasks()
            .cluster(cluster)
            .desired_status(match desired_status {
                DesiredStatus::Running => sdk::DesiredStatus::Running,
                DesiredStatus::Stopped => sdk::DesiredStatus::Stopped,
            })
            .max_results(PAGE)
            .set_next_token(next_token)
            .send()
            .await
            .map_err(|error| call_error(&error))?;
        page(answer.task_arns, answer.next_token)
    }

    async fn describe_tasks(
        &self,
        cluster: &str,
        tasks: &[String],
    ) -> Result<DescribedTasks, CallError> {
        let answer = self
            .0
            .describe_tasks()
            .cluster(cluster)
            .set_tasks(Some(tasks.to_vec()))
            .send()
            .await
            .map_err(|error| call_error(&error))?;
        let tasks = answer.tasks.unwrap_or_default();
        let failures = answer.failures.unwrap_or_default();
        Ok(DescribedTasks {
            tasks: tasks.into_iter().map(task).collect::<Result<_, _>>()?,
            failures: failures
                .into_iter()
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
            .0
            .list_services()
            .cluster(cluster)
            .max_results(PAGE)
            .set_next_token(next_token)
            .send()
            .await
            .map_err(|error| call_error(&error))?;
        page(answer.service_arns, answer.next_token)
    }
}

fn page(arns: Option<Vec<String>>, next_token: Option<String>) -> Result<Page, CallError> {
    Ok(Page { arns: arns.ok_or_else(no_list)?, next_token })
}

/// The SDK takes an empty body for an answer; taken for an empty list, it would empty an
/// environment.
fn no_list() -> CallError {
    CallError::Malformed("it holds no list, not even an empty one".to_owned())
}

fn task(task: sdk::Task) -> Result<Task, CallError> {
    let Some(arn) = task.task_arn else {
        return Err(CallError::Malformed("it describes a task without an ARN".to_owned()));
    };
    let containers = task.containers.unwrap_or_default();
    let may_run = !matches!(
        task.last_status.as_deref(),
        Some("PROVISIONING" | "PENDING" | "ACTIVATING" | "DEPROVISIONING" | "STOPPED" | "DELETED")
    );
    if may_run && !containers.iter().any(|container| container.last_status.is_some()) {
        // Taken for a task that runs nothing, it would empty an environment.
        return Err(CallError::Malformed(format!(
            "it says nothing of the containers of task {arn}"
        )));
    }
    Ok(Task {
        arn,
        cluster: String::new(),
        group: task.group,
        last_status: task.last_status,
        started_at: task.started_at.map(|at| at.secs()),
        created_at: task.created_at.map(|at| at.secs()),
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

fn call_error<E>(error: &SdkError<E>) -> CallError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let code = error.code().unwrap_or_default();
    let said = match error.message() {
        Some(message) => format!("{code}: {message}").trim_end_matches('.').to_owned(),
        None => code.to_owned(),
    };
    match code {
        "ClusterNotFoundException" => CallError::ClusterNotFound,
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => CallError::AccessDenied(said),
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "InvalidClientTokenId"
        | "IncompleteSignature"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "MissingAuthenticationTokenException" => CallError::BadCredentials(said),
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottledException"
        | "SlowDown" => CallError::Throttled(said),
        "" => match credentials_error(error) {
            Some(error) => {
                CallError::BadCredentials(error_chain(error).trim_end_matches('.').to_owned())
            }
            None => CallError::Unavailable(error_chain(error)),
        },
        _ => CallError::Unavailable(said),
    }
}

/// Why nobody could sign the request, so that it never left.
fn credentials_error<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
        .find(|error| error.is::<CredentialsError>())
}

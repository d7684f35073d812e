//! Whether AWS allows the calls that the function makes.

use std::time::Duration;

use aws_config::SdkConfig;
use serde_json::{Value, json};

use super::row::Row;
use crate::config::EnvironmentConfig;
use crate::ecs::{self, CallError, DesiredStatus, EcsApi, EcsError, Source};
use crate::retry::retry;

/// Attempts at a call that is throttled or gets no answer.
const MAX_ATTEMPTS: u32 = 3;
/// Between two attempts.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// No task has this id. ECS decides whether a call is allowed before it looks for the task.
const NONEXISTENT_TASK_ID: &str = "00000000000000000000000000000000";

/// The cluster to check permissions on if none is known: the one that ECS uses if a call names none.
const DEFAULT_CLUSTER: &str = "default";

const LIST_CLUSTERS_ACTION: &str = "ecs:ListClusters";
const DESCRIBE_CLUSTERS_ACTION: &str = "ecs:DescribeClusters";
const LIST_TASKS_ACTION: &str = "ecs:ListTasks";
const DESCRIBE_TASKS_ACTION: &str = "ecs:DescribeTasks";
const LIST_SERVICES_ACTION: &str = "ecs:ListServices";
const ASSUME_ROLE_ACTION: &str = "sts:AssumeRole";

/// The check of permissions in one account and region, and the environments that are read there.
pub(super) struct SourceCheck<'a> {
    pub(super) aws: &'a SdkConfig,
    /// With its region.
    pub(super) source: &'a Source,
    pub(super) environments: &'a [&'a EnvironmentConfig],
    /// Who calls, if that is known.
    pub(super) caller: Option<&'a str>,
    /// There are several sources: each row names its own.
    pub(super) is_one_of_several: bool,
}

impl SourceCheck<'_> {
    /// Makes each call that the function needs. Returns a row for each permission.
    pub(super) async fn run(&self) -> Vec<Row> {
        let ecs = ecs::connect(self.aws, self.source).await;
        let listed =
            call_with_retries("list the clusters", async || ecs.list_clusters(None).await).await;
        let mut rows = Vec::new();
        if let Some(role) = &self.source.role {
            let row = self.role_row(&role.arn, &listed);
            let is_assumed = !row.has_failed();
            rows.push(row);
            if !is_assumed {
                rows.extend(self.skipped_calls("the role that makes the call is not assumed"));
                return rows;
            }
        }
        rows.push(self.list_clusters_row(&listed));

        let cluster = self.cluster_to_check(listed.as_ref().map_or(&[], |page| &page.arns));
        let ids = [cluster.clone()];
        let described =
            call_with_retries("describe clusters", async || ecs.describe_clusters(&ids).await)
                .await;
        rows.push(self.cluster_permission_row(
            DESCRIBE_CLUSTERS_ACTION,
            &cluster,
            described.map(drop),
        ));

        let operation = format!("list the tasks of cluster \"{cluster}\"");
        let tasks = call_with_retries(&operation, async || {
            ecs.list_tasks(&cluster, DesiredStatus::Running, None).await
        });
        rows.push(self.cluster_permission_row(LIST_TASKS_ACTION, &cluster, tasks.await.map(drop)));

        let operation = format!("describe tasks of cluster \"{cluster}\"");
        let ids = [NONEXISTENT_TASK_ID.to_owned()];
        let tasks =
            call_with_retries(&operation, async || ecs.describe_tasks(&cluster, &ids).await);
        rows.push(self.cluster_permission_row(
            DESCRIBE_TASKS_ACTION,
            &cluster,
            tasks.await.map(drop),
        ));

        if self.environments.iter().all(|it| it.scope.services.is_everything()) {
            let reason = "not needed: no service is selected or left out";
            rows.push(Row::skipped(self.row_name(LIST_SERVICES_ACTION), reason));
        } else {
            let operation = format!("list the services of cluster \"{cluster}\"");
            let services =
                call_with_retries(&operation, async || ecs.list_services(&cluster, None).await);
            rows.push(self.cluster_permission_row(
                LIST_SERVICES_ACTION,
                &cluster,
                services.await.map(drop),
            ));
        }
        rows
    }

    /// A row for each permission that is not checked.
    pub(super) fn skipped(&self, reason: &str) -> Vec<Row> {
        let role = self.source.role.as_ref();
        let mut rows: Vec<_> = role
            .map(|_| Row::skipped(self.row_name(ASSUME_ROLE_ACTION), reason))
            .into_iter()
            .collect();
        rows.extend(self.skipped_calls(reason));
        rows
    }

    /// A row for each permission of ECS that is not checked.
    fn skipped_calls(&self, reason: &str) -> Vec<Row> {
        [
            LIST_CLUSTERS_ACTION,
            DESCRIBE_CLUSTERS_ACTION,
            LIST_TASKS_ACTION,
            DESCRIBE_TASKS_ACTION,
            LIST_SERVICES_ACTION,
        ]
        .map(|action| Row::skipped(self.row_name(action), reason))
        .into()
    }

    /// The action, with the region and role if there are several sources.
    fn row_name(&self, action: &str) -> String {
        if !self.is_one_of_several {
            return action.to_owned();
        }
        let region = self.source.region.as_deref().unwrap_or_default();
        match &self.source.role {
            Some(role) => format!("{action} ({region}, {})", role.arn),
            None => format!("{action} ({region})"),
        }
    }

    /// Whether the role was assumed, from the result of a call that needs it.
    fn role_row<T>(&self, role: &str, result: &Result<T, EcsError>) -> Row {
        let name = self.row_name(ASSUME_ROLE_ACTION);
        match result {
            Ok(_) | Err(EcsError::Call { source: CallError::AccessDenied(_), .. }) => {
                Row::ok(name, format!("{role} is assumed"))
            }
            Err(error @ EcsError::Call { source: CallError::RoleNotAssumed { .. }, .. }) => {
                Row::failed_call(name, error)
                    .with_statement(allow_statement(ASSUME_ROLE_ACTION, role))
            }
            Err(error) => Row::failed_call(name, error),
        }
    }

    /// Whether clusters can be listed; skipped if they cannot and each is configured by name.
    fn list_clusters_row(&self, listed: &Result<ecs::Page, EcsError>) -> Row {
        let name = self.row_name(LIST_CLUSTERS_ACTION);
        let is_needed = self.environments.iter().any(|it| it.scope.clusters.needs_listing());
        match listed {
            Ok(_) => Row::ok(name, "allowed"),
            Err(_) if !is_needed => Row::skipped(name, "not needed: each cluster is named"),
            Err(error) => self.denied_or_failed(LIST_CLUSTERS_ACTION, error),
        }
    }

    /// Whether a call on `cluster` was allowed.
    fn cluster_permission_row(
        &self,
        action: &str,
        cluster: &str,
        result: Result<(), EcsError>,
    ) -> Row {
        match result {
            // A call that is not allowed is refused whether or not the cluster exists.
            Ok(()) | Err(EcsError::Call { source: CallError::ClusterNotFound, .. }) => Row::ok(
                self.row_name(action),
                format!("allowed for cluster {}", cluster_name(cluster)),
            ),
            Err(error) => self.denied_or_failed(action, &error),
        }
    }

    /// A failure; if access was denied, with the statement to add, and to whose policy.
    fn denied_or_failed(&self, action: &str, error: &EcsError) -> Row {
        let name = self.row_name(action);
        if !matches!(error, EcsError::Call { source: CallError::AccessDenied(_), .. }) {
            return Row::failed_call(name, error);
        }
        let principal = match (&self.source.role, self.caller) {
            (Some(role), _) => role.arn.as_str(),
            (None, Some(caller)) => caller,
            (None, None) => "the user or role of AWS_PROFILE",
        };
        let remedy = format!("Add this statement to a policy of {principal}");
        Row::failed(name, error, remedy).with_statement(self.allow_action_statement(action))
    }

    /// The statement of an IAM policy that allows the action, as in the template's role.
    fn allow_action_statement(&self, action: &str) -> Value {
        let region = self.source.region.as_deref().unwrap_or("*");
        let identity = self.source.role.as_ref().map(|role| role.arn.as_str()).or(self.caller);
        let account = identity.and_then(|arn| arn.split(':').nth(4)).unwrap_or("*");
        let partition = partition(region);
        let all = |kind| format!("arn:{partition}:ecs:{region}:{account}:{kind}/*");
        match action {
            DESCRIBE_CLUSTERS_ACTION => allow_statement(action, &all("cluster")),
            DESCRIBE_TASKS_ACTION => allow_statement(action, &all("task")),
            LIST_TASKS_ACTION | LIST_SERVICES_ACTION => {
                let mut statement = allow_statement(action, "*");
                statement["Condition"] = json!({"ArnLike": {"ecs:cluster": all("cluster")}});
                statement
            }
            _ => allow_statement(action, "*"),
        }
    }

    /// The cluster to check permissions on: one in scope that is named, or else one that is listed.
    fn cluster_to_check(&self, listed: &[String]) -> String {
        let scopes = || self.environments.iter().map(|it| &it.scope.clusters);
        let named = scopes().find_map(|clusters| clusters.named().next());
        let selected = |arn: &&String| {
            let cluster = arn.parse();
            cluster.is_ok_and(|cluster| scopes().any(|clusters| clusters.selects_cluster(&cluster)))
        };
        match (named, listed.iter().find(selected)) {
            (Some(named), _) => named.given().to_owned(),
            (None, Some(listed)) => listed.clone(),
            (None, None) => DEFAULT_CLUSTER.to_owned(),
        }
    }
}

/// The call's result, after further attempts if another one may succeed.
pub(super) async fn call_with_retries<T>(
    operation: &str,
    attempt: impl AsyncFn() -> Result<T, CallError>,
) -> Result<T, EcsError> {
    let mut left = MAX_ATTEMPTS - 1;
    let wait_after = |error: &CallError| {
        let may_pass = matches!(
            error,
            CallError::Throttled(_) | CallError::Disconnected(_) | CallError::Unavailable(_)
        );
        left = left.checked_sub(1)?;
        may_pass.then_some(RETRY_WAIT)
    };
    retry(None, async |_| attempt().await, wait_after, |_, _| {})
        .await
        .map_err(|source| EcsError::Call { operation: operation.to_owned(), source })
}

/// The statement of an IAM policy that allows the function's role to read an SSM parameter or path.
pub(super) fn parameter_statement(
    action: &str,
    parameter: &str,
    region: Option<&str>,
    caller: Option<&str>,
) -> Value {
    if parameter.starts_with("arn:") {
        return allow_statement(action, parameter);
    }
    let region = region.unwrap_or("*");
    let account = caller.and_then(|arn| arn.split(':').nth(4)).unwrap_or("*");
    let (partition, name) = (partition(region), parameter.trim_start_matches('/'));
    allow_statement(action, &format!("arn:{partition}:ssm:{region}:{account}:parameter/{name}"))
}

fn allow_statement(action: &str, resource: &str) -> Value {
    json!({"Effect": "Allow", "Action": action, "Resource": resource})
}

fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// The name at the end of the ARN of a cluster.
fn cluster_name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssm_parameter_statement_has_partition_account_and_region_in_its_arn() {
        let caller = Some("arn:aws-cn:iam::111122223333:user/me");
        let statement = |name| {
            let statement =
                parameter_statement("ssm:GetParameter", name, Some("cn-north-1"), caller);
            statement["Resource"].as_str().unwrap_or_default().to_owned()
        };
        let expected = "arn:aws-cn:ssm:cn-north-1:111122223333:parameter/a/b";
        for name in ["/a/b", "a/b", expected] {
            assert_eq!(statement(name), expected);
        }
        assert_eq!(partition("us-gov-west-1"), "aws-us-gov");
        assert_eq!(partition("eu-central-1"), "aws");
    }
}

//! Reading what runs in ECS.
//!
//! [`Reader`] reads every task of the clusters in a [`Scope`] through an [`EcsApi`]; [`observe`]
//! decides for each container whether it counts.

mod aws;
#[cfg(test)]
mod fake;
mod observation;
mod quota;
mod reading;
mod scope;
mod source;

use std::sync::atomic::{AtomicU32, Ordering};

pub use crate::clock_skew::ClockSkew;
pub use aws::{AwsEcs, caller_arn, connect};
pub use observation::{ExclusionReason, Observation, observe};
pub use quota::Quota;
pub use reading::{Reader, Reading};
pub use scope::{ClusterRef, Filter, ParseClusterError, Scope, Selection};
pub use source::{Role, Source};

use crate::excerpt::excerpt;
use crate::snapshot::TaskOrigin;

/// The maximum of tasks in a DescribeTasks call, and of clusters in a DescribeClusters call.
pub const DESCRIBE_BATCH: usize = 100;

/// The ECS calls that a reading needs, each of them one request: one page or one batch.
#[expect(async_fn_in_trait, reason = "the futures are awaited where they are made, never spawned")]
pub trait EcsApi {
    /// A page of the ARNs of the account's clusters.
    ///
    /// # Errors
    /// ECS did not answer with a page.
    async fn list_clusters(&self, next_token: Option<String>) -> Result<Page, CallError>;

    /// At most [`DESCRIBE_BATCH`] clusters. Only those that do not exist are not in the response.
    ///
    /// # Errors
    /// ECS did not describe them.
    async fn describe_clusters(&self, clusters: &[String]) -> Result<Vec<Cluster>, CallError>;

    /// A page of the ARNs of a cluster's tasks. The filter is on the *desired* status: a task that
    /// is to stop is listed under [`DesiredStatus::Stopped`] while its containers still run.
    ///
    /// # Errors
    /// ECS did not answer with a page.
    async fn list_tasks(
        &self,
        cluster: &str,
        desired_status: DesiredStatus,
        next_token: Option<String>,
    ) -> Result<Page, CallError>;

    /// At most [`DESCRIBE_BATCH`] tasks of one cluster.
    ///
    /// # Errors
    /// ECS did not describe them.
    async fn describe_tasks(
        &self,
        cluster: &str,
        tasks: &[String],
    ) -> Result<DescribedTasks, CallError>;

    /// A page of the ARNs of a cluster's services.
    ///
    /// # Errors
    /// ECS did not answer with a page.
    async fn list_services(
        &self,
        cluster: &str,
        next_token: Option<String>,
    ) -> Result<Page, CallError>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DesiredStatus {
    /// Started or starting.
    Running,
    /// Stopped within the last hour or so, or stopping.
    Stopped,
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    pub arns: Vec<String>,
    /// The token of the next page; `None` at the end.
    pub next_token: Option<String>,
}

/// A cluster, as DescribeClusters returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    pub arn: String,
    /// `ACTIVE`, `INACTIVE` if it was deleted, and others.
    pub status: Option<String>,
    /// `runningTasksCount`: trails the last stop by seconds.
    pub running_tasks: usize,
}

/// The response of DescribeTasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DescribedTasks {
    pub tasks: Vec<Task>,
    pub failures: Vec<Failure>,
}

/// A requested task that DescribeTasks did not describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub arn: Option<String>,
    /// `MISSING` if it does not exist any more.
    pub reason: Option<String>,
}

/// The fields of a task that matter here. Status values are open-ended, and so are strings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Task {
    pub arn: String,
    /// Cluster name. The reader fills it in, since it knows whose tasks it requested.
    pub cluster: String,
    /// `service:NAME` for a service's task, anything else for others.
    pub group: Option<String>,
    /// `RUNNING` or `STOPPED`.
    pub desired_status: Option<String>,
    pub last_status: Option<String>,
    /// Seconds since the Unix epoch.
    pub started_at: Option<i64>,
    /// Seconds since the Unix epoch.
    pub created_at: Option<i64>,
    pub origin: TaskOrigin,
    pub containers: Vec<Container>,
}

/// A container of a task. Every field may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    pub name: Option<String>,
    /// The reference that it was started with.
    pub image: Option<String>,
    /// The digest of the manifest that was pulled.
    pub image_digest: Option<String>,
    pub last_status: Option<String>,
}

impl Task {
    /// The service that the task belongs to; `None` for a standalone task.
    pub fn service(&self) -> Option<&str> {
        self.group.as_deref()?.strip_prefix("service:").filter(|name| !name.is_empty())
    }

    /// Whether the task has stopped for good: it will never run again.
    fn has_stopped(&self) -> bool {
        matches!(self.last_status.as_deref(), Some("STOPPED" | "DELETED"))
    }

    /// Whether a container of the task runs.
    fn runs(&self) -> bool {
        !self.has_stopped() && self.containers.iter().any(Container::is_running)
    }

    /// Whether the description has the status of each container that may run.
    ///
    /// While a task starts, its containers may have no status yet, and when it has stopped they need
    /// none: the list of containers may be empty. Anything else would read as software that exited.
    fn is_described_completely(&self) -> bool {
        let status = self.last_status.as_deref().unwrap_or_default();
        let may_run = !matches!(
            status,
            "PROVISIONING" | "PENDING" | "ACTIVATING" | "DEPROVISIONING" | "STOPPED" | "DELETED"
        );
        let stops = self.desired_status.as_deref() == Some("STOPPED")
            || matches!(status, "DEACTIVATING" | "STOPPING");
        let mut containers = self.containers.iter();
        if self.has_stopped() {
            true
        } else if self.containers.is_empty() {
            !may_run || stops
        } else if may_run {
            containers.all(|container| container.last_status.is_some())
        } else {
            let first = self.containers[0].last_status.is_some();
            containers.all(|container| container.last_status.is_some() == first)
        }
    }
}

impl Container {
    fn is_running(&self) -> bool {
        self.last_status.as_deref() == Some("RUNNING")
    }
}

/// Why one call of the ECS API failed. Messages of AWS are truncated when they are shown.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    #[error("the cluster does not exist")]
    ClusterNotFound,
    /// The caller is not allowed to do this. Holds the message of AWS.
    #[error("{}", excerpt(.0))]
    AccessDenied(String),
    /// There are no valid credentials. Holds the reason.
    #[error("{}", excerpt(.0))]
    BadCredentials(String),
    /// The role for reading could not be assumed.
    #[error("role {role} cannot be assumed: {reason}", reason = excerpt(.reason))]
    RoleNotAssumed { role: String, reason: String },
    /// Too many calls. Holds the message of AWS.
    #[error("{}", excerpt(.0))]
    Throttled(String),
    /// The connection failed or broke. Holds the reason.
    #[error("{}", excerpt(.0))]
    Disconnected(String),
    /// There was no response, or one that names a fault of the service.
    #[error("{}", excerpt(.0))]
    Unavailable(String),
    /// AWS refused the time in the request's signature, and in a new one as well.
    #[error("{0}")]
    ClockSkew(ClockSkew),
    /// The deadline came before the response.
    #[error("no response before the deadline")]
    OutOfTime,
    /// ECS refused the request, and would refuse it again. Holds its message.
    #[error("{}", excerpt(.0))]
    Rejected(String),
    /// A success without the requested list, not even an empty one, or without a requested cluster.
    /// Taken for an empty list, or for a cluster that is gone, it would empty an environment.
    #[error("{}", excerpt(.0))]
    Incomplete(String),
    /// The response cannot be understood.
    #[error("the response cannot be understood: {}", excerpt(.0))]
    Malformed(String),
}

/// Why the running tasks could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EcsError {
    #[error("ECS did not {operation}: {source}")]
    Call {
        /// The operation, as an infinitive: `list the tasks of cluster "app"`.
        operation: String,
        source: CallError,
    },
    /// A cluster that the scope names does not exist.
    #[error("ECS has no active cluster \"{cluster}\"")]
    ClusterNotFound {
        /// As it was given.
        cluster: String,
    },
    /// ECS contradicts itself about a cluster, also after retries.
    #[error("ECS contradicts itself about cluster \"{cluster}\": {}", excerpt(.contradiction))]
    Contradiction {
        cluster: String,
        /// The contradiction, as a clause about ECS: `it lists task X and describes it as missing`.
        contradiction: String,
    },
    /// The scope matches nothing that exists.
    #[error("{0}")]
    NothingInScope(String),
}

/// Progress of a reading. Safe to read concurrently.
#[derive(Debug, Default)]
pub struct Progress {
    calls: AtomicU32,
    clusters: AtomicU32,
    clusters_read: AtomicU32,
    tasks_described: AtomicU32,
}

impl Progress {
    /// Calls made so far, failed ones included.
    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Clusters to read; 0 until they are known.
    pub fn clusters(&self) -> u32 {
        self.clusters.load(Ordering::Relaxed)
    }

    pub fn clusters_read(&self) -> u32 {
        self.clusters_read.load(Ordering::Relaxed)
    }

    pub fn tasks_described(&self) -> u32 {
        self.tasks_described.load(Ordering::Relaxed)
    }

    /// Sets all counts to 0, for a reading that is repeated.
    pub(crate) fn restart(&self) {
        for counter in [&self.calls, &self.clusters, &self.clusters_read, &self.tasks_described] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    fn increment(counter: &AtomicU32, by: usize) {
        counter.fetch_add(u32::try_from(by).unwrap_or(u32::MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_aws_message_is_shortened_to_one_line_of_under_900_bytes_in_a_call_error() {
        let long = "x\n".repeat(1 << 19);
        for error in [
            CallError::AccessDenied(long.clone()),
            CallError::BadCredentials(long.clone()),
            CallError::RoleNotAssumed { role: "arn".to_owned(), reason: long.clone() },
            CallError::Throttled(long.clone()),
            CallError::Disconnected(long.clone()),
            CallError::Unavailable(long.clone()),
            CallError::Rejected(long.clone()),
            CallError::Incomplete(long.clone()),
            CallError::Malformed(long),
        ] {
            let message = error.to_string();
            assert!(message.contains("x x x"), "{message}");
            assert!(message.len() < 900 && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn task_description_is_incomplete_if_a_container_that_may_run_has_no_status() {
        let (running, silent) = (Some("RUNNING"), None);
        for (desired, last, containers, complete) in [
            ("RUNNING", "RUNNING", &[running, running][..], true),
            ("RUNNING", "RUNNING", &[running, silent], false),
            ("RUNNING", "RUNNING", &[silent], false),
            ("RUNNING", "RUNNING", &[], false),
            ("RUNNING", "OF-TOMORROW", &[], false),
            ("RUNNING", "PENDING", &[], true),
            ("RUNNING", "PENDING", &[silent, silent], true),
            ("RUNNING", "ACTIVATING", &[running, silent], false),
            ("STOPPED", "RUNNING", &[], true),
            ("STOPPED", "DEACTIVATING", &[], true),
            ("", "STOPPING", &[], true),
            ("STOPPED", "DEACTIVATING", &[running, silent], false),
            ("STOPPED", "DEACTIVATING", &[silent], false),
            ("STOPPED", "STOPPED", &[running, silent], true),
        ] {
            let container = |status: Option<&str>| Container {
                last_status: status.map(str::to_owned),
                ..Container::default()
            };
            let task = Task {
                desired_status: Some(desired.to_owned()),
                last_status: Some(last.to_owned()),
                containers: containers.iter().copied().map(container).collect(),
                ..Task::default()
            };
            assert_eq!(task.is_described_completely(), complete, "{task:?}");
        }
    }
}

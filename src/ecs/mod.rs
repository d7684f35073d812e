//! Reading what runs in ECS.
//!
//! [`Reader`] asks an [`EcsApi`] for every task of the clusters in a [`Scope`]; [`observe`] says of
//! each container whether it counts.

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
pub use aws::{AwsEcs, connect};
pub use observation::{ExclusionReason, Observation, observe};
pub use quota::Quota;
pub use reading::{Reader, Reading};
pub use scope::{ClusterRef, Filter, ParseClusterError, Scope, Selection};
pub use source::{Role, Source};

use crate::excerpt::excerpt;

/// Tasks that one DescribeTasks call may name, and clusters that one DescribeClusters call may.
pub const DESCRIBE_BATCH: usize = 100;

/// The calls of the ECS API that reading needs, each one request: one page or one batch.
#[expect(async_fn_in_trait, reason = "the futures are awaited where they are made, never spawned")]
pub trait EcsApi {
    /// A page of the ARNs of the account's clusters.
    ///
    /// # Errors
    /// ECS did not answer with a page.
    async fn list_clusters(&self, next_token: Option<String>) -> Result<Page, CallError>;

    /// At most [`DESCRIBE_BATCH`] clusters. One that does not exist is left out of the answer.
    ///
    /// # Errors
    /// ECS did not describe them.
    async fn describe_clusters(&self, clusters: &[String]) -> Result<Vec<Cluster>, CallError>;

    /// A page of the ARNs of a cluster's tasks. The filter is on the *desired* status: a task that
    /// was told to stop is listed under [`DesiredStatus::Stopped`] while its containers still run.
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

/// What ECS wants of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DesiredStatus {
    /// To run: started, or on its way.
    Running,
    /// To stop: stopped within the last hour or so, or on its way.
    Stopped,
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// What it lists.
    pub arns: Vec<String>,
    /// How to ask for the next one; `None` at the end.
    pub next_token: Option<String>,
}

/// A cluster, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its ARN.
    pub arn: String,
    /// `ACTIVE`, `INACTIVE` when it was deleted, and others.
    pub status: Option<String>,
    /// `runningTasksCount`: trails the last stop by seconds.
    pub running_tasks: usize,
}

/// The answer to a request to describe tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DescribedTasks {
    /// Those that ECS described.
    pub tasks: Vec<Task>,
    /// Those that it did not.
    pub failures: Vec<Failure>,
}

/// Why ECS did not describe something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was asked for.
    pub arn: Option<String>,
    /// `MISSING` for what has gone.
    pub reason: Option<String>,
}

/// A task, as much of it as matters here. Status words are open-ended and stay words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Task {
    /// Task ARN.
    pub arn: String,
    /// Cluster name. The reader fills it in, since it knows whose tasks it asked for.
    pub cluster: String,
    /// `service:NAME` for a service's task, anything for others.
    pub group: Option<String>,
    /// What ECS wants of it: `RUNNING` or `STOPPED`.
    pub desired_status: Option<String>,
    /// Where the task is in its life.
    pub last_status: Option<String>,
    /// When it started, in seconds since the Unix epoch.
    pub started_at: Option<i64>,
    /// When it was made, in seconds since the Unix epoch.
    pub created_at: Option<i64>,
    /// Its containers.
    pub containers: Vec<Container>,
}

/// A container of a task. Every field may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// Its name in the task definition.
    pub name: Option<String>,
    /// The image reference that it was started with.
    pub image: Option<String>,
    /// The digest of the manifest that was pulled.
    pub image_digest: Option<String>,
    /// Where the container is in its life.
    pub last_status: Option<String>,
}

impl Task {
    /// The service that the task belongs to; `None` for a standalone task.
    pub fn service(&self) -> Option<&str> {
        self.group.as_deref()?.strip_prefix("service:").filter(|name| !name.is_empty())
    }

    /// The task has stopped for good: it will never run again.
    fn has_stopped(&self) -> bool {
        matches!(self.last_status.as_deref(), Some("STOPPED" | "DELETED"))
    }

    /// Some container of the task runs.
    fn runs(&self) -> bool {
        !self.has_stopped() && self.containers.iter().any(Container::is_running)
    }

    /// The description says of each container whether it runs.
    ///
    /// Of a task that starts nothing is said yet, and of one that stops nothing need be said any
    /// more: its list of containers may be empty. Anything else would read as software that exited.
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

/// What one call of the ECS API can come to. Of what AWS said, the beginning is shown.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The cluster does not exist, or no longer.
    #[error("the cluster does not exist")]
    ClusterNotFound,
    /// The caller may not do this. Holds what AWS said.
    #[error("{}", excerpt(.0))]
    AccessDenied(String),
    /// Nobody knows who the caller is. Holds why.
    #[error("{}", excerpt(.0))]
    BadCredentials(String),
    /// The role that is to read ECS could not be taken on.
    #[error("role {role} cannot be assumed: {reason}", reason = excerpt(.reason))]
    RoleNotAssumed {
        /// Its ARN.
        role: String,
        /// What came back.
        reason: String,
    },
    /// Too many calls. Holds what AWS said.
    #[error("{}", excerpt(.0))]
    Throttled(String),
    /// The connection could not be had, or broke. Holds how.
    #[error("{}", excerpt(.0))]
    Disconnected(String),
    /// No answer, or one that names a fault of the service.
    #[error("{}", excerpt(.0))]
    Unavailable(String),
    /// AWS refused the request for the time in its signature, and a newly signed one as well.
    #[error("{0}")]
    ClockSkew(ClockSkew),
    /// The deadline came before the answer.
    #[error("it did not answer before the time was up")]
    OutOfTime,
    /// ECS will not answer this, however often it is asked. Holds what it said.
    #[error("{}", excerpt(.0))]
    Rejected(String),
    /// A success without any of what was asked for, not even an empty list. Taken for an empty
    /// list, it would empty an environment.
    #[error("{}", excerpt(.0))]
    Empty(String),
    /// An answer that makes no sense.
    #[error("the answer makes no sense: {}", excerpt(.0))]
    Malformed(String),
}

/// Why what runs could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EcsError {
    /// A call failed.
    #[error("ECS did not {operation}: {source}")]
    Call {
        /// What was asked of ECS.
        operation: String,
        /// What came back.
        source: CallError,
    },
    /// A cluster that is named in the scope does not exist.
    #[error("ECS has no active cluster \"{cluster}\"")]
    ClusterNotFound {
        /// As it was given.
        cluster: String,
    },
    /// What ECS says of a cluster cannot all be true, however often it is asked.
    #[error("ECS contradicts itself about cluster \"{cluster}\": {}", excerpt(.contradiction))]
    Contradiction {
        /// Its name.
        cluster: String,
        /// What it says.
        contradiction: String,
    },
    /// The scope matches nothing that exists.
    #[error("{0}")]
    NothingInScope(String),
}

/// How far a reading is: safe to look at from elsewhere while it goes on.
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

    /// Clusters read.
    pub fn clusters_read(&self) -> u32 {
        self.clusters_read.load(Ordering::Relaxed)
    }

    /// Tasks described.
    pub fn tasks_described(&self) -> u32 {
        self.tasks_described.load(Ordering::Relaxed)
    }

    /// Nothing is read yet.
    pub(crate) fn restart(&self) {
        for counter in [&self.calls, &self.clusters, &self.clusters_read, &self.tasks_described] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    fn count(counter: &AtomicU32, by: usize) {
        counter.fetch_add(u32::try_from(by).unwrap_or(u32::MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_of_a_long_answer_is_repeated() {
        let long = "x\n".repeat(1 << 19);
        for error in [
            CallError::AccessDenied(long.clone()),
            CallError::BadCredentials(long.clone()),
            CallError::RoleNotAssumed { role: "arn".to_owned(), reason: long.clone() },
            CallError::Throttled(long.clone()),
            CallError::Disconnected(long.clone()),
            CallError::Unavailable(long.clone()),
            CallError::Rejected(long.clone()),
            CallError::Empty(long.clone()),
            CallError::Malformed(long),
        ] {
            let told = error.to_string();
            assert!(told.contains("x x x"), "{told}");
            assert!(told.len() < 900 && !told.contains('\n'), "{told}");
        }
    }

    #[test]
    fn a_description_is_complete_if_it_says_of_each_container_whether_it_runs() {
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

//! Reads every task of the clusters in scope, with as few calls as possible.

mod call;
mod cluster;
mod contradiction;
mod describe;
mod memory;
mod scoped_clusters;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

use super::{CallError, ClusterRef, EcsApi, EcsError, Progress, Quota, Scope, Task};
use cluster::ClusterTasks;
use memory::Memory;
use scoped_clusters::{ClusterInScope, ClusterState, nothing_in_scope_error};

const MAX_CONCURRENT_CLUSTERS: usize = 8;

/// Reads what runs in one account and region. Remembers between readings which tasks ran and which
/// have stopped for good.
#[derive(Debug)]
pub struct Reader<E> {
    ecs: E,
    quota: Quota,
    call_permits: Semaphore,
    memory: Memory,
}

impl<E> Reader<E> {
    /// A reader that calls `ecs` no more often than `quota` allows, with at most `call_permits`
    /// calls at a time: each call takes a connection, and so a handshake and a file descriptor.
    pub fn new(ecs: E, quota: Quota, call_permits: usize) -> Self {
        let call_permits = Semaphore::new(call_permits);
        Self { ecs, quota, call_permits, memory: Memory::default() }
    }

    /// Changes how many calls there may be at a time.
    pub(crate) fn limit_calls(&mut self, call_permits: usize) {
        self.call_permits = Semaphore::new(call_permits);
    }

    pub fn ecs(&self) -> &E {
        &self.ecs
    }

    /// A reading that starts now. No call starts or is awaited after `give_up_at`.
    pub fn begin(&self, give_up_at: Option<Instant>) -> Reading<'_, E> {
        Reading {
            reader: self,
            give_up_at,
            listed: OnceCell::new(),
            clusters: Mutex::default(),
            states: tokio::sync::Mutex::default(),
        }
    }
}

/// One reading of an account and region, shared by all scopes in it.
#[derive(Debug)]
pub struct Reading<'r, E> {
    reader: &'r Reader<E>,
    give_up_at: Option<Instant>,
    listed: Once<Vec<ClusterRef>>,
    clusters: Mutex<HashMap<String, Arc<ClusterReading>>>,
    /// By [`ClusterInScope::key`], of the clusters that were described.
    states: tokio::sync::Mutex<HashMap<String, ClusterState>>,
}

/// Read by the first scope that needs it; the others wait, and fail with it.
type Once<T> = OnceCell<Result<Arc<T>, EcsError>>;

/// What one reading reads of a cluster, each once for all scopes.
#[derive(Debug, Default)]
struct ClusterReading {
    tasks: Once<ClusterTasks>,
    /// Read again because the first reading contradicts the cluster's description.
    reread: Once<ClusterTasks>,
    services: Once<Vec<String>>,
}

impl<'r, E: EcsApi> Reading<'r, E> {
    /// Another reading of the same account and region, which starts now.
    #[must_use]
    pub fn again(&self) -> Reading<'r, E> {
        self.reader.begin(self.give_up_at)
    }

    /// Every task of the clusters in `scope` that may run a container, and some that do not: one
    /// list per cluster, in no particular order.
    ///
    /// Costs, a cluster, the pages of two listings and one description per hundred tasks; a warm
    /// reader describes no task twice that has stopped. One cluster with fewer than a hundred tasks
    /// takes three calls, two of them side by side. Clusters are described and services listed only
    /// if nothing runs, to distinguish an empty cluster from a scope that matches nothing.
    ///
    /// # Errors
    /// The first cluster that cannot be read completely ends the reading: a partial answer would
    /// read as software that exited. A named cluster that does not exist, and a scope that matches
    /// nothing that exists, are errors too.
    pub async fn tasks(
        &self,
        scope: &Scope,
        progress: &Progress,
    ) -> Result<Vec<Arc<Vec<Task>>>, EcsError> {
        let clusters = self.clusters_in_scope(scope, progress).await?;
        Progress::increment(&progress.clusters, clusters.len());

        let mut read: Vec<_> = stream::iter(&clusters)
            .map(async |cluster| {
                let tasks = self.tasks_of(cluster, progress).await?;
                Progress::increment(&progress.clusters_read, 1);
                Ok::<_, EcsError>((cluster, tasks))
            })
            .buffer_unordered(MAX_CONCURRENT_CLUSTERS)
            .try_collect()
            .await?;

        let nothing_left = self.confirm_empty(&mut read, progress).await?;
        if nothing_left {
            return Err(nothing_in_scope_error("no cluster in scope exists any longer", &clusters));
        }
        let tasks: Vec<_> =
            read.into_iter().filter_map(|(_, tasks)| Some(Arc::clone(&tasks?.tasks))).collect();
        let mut all = tasks.iter().flat_map(|tasks| tasks.iter());
        let mut seen = HashSet::new();
        if let Some(task) = all.clone().find(|task| !seen.insert(task.arn.as_str())) {
            // A task in two clusters would be counted twice.
            let message = format!("it lists task {} in two clusters", task.arn);
            return Err(EcsError::Call {
                operation: "list the tasks of each cluster".to_owned(),
                source: CallError::Malformed(message),
            });
        }
        if !scope.services.is_everything() && !all.any(|task| counts(task, scope)) {
            if scope.services.include.is_empty() {
                // Standalone tasks are in scope, and all may have ended.
                tracing::info!(
                    "nothing in scope runs: services are only excluded, and no standalone task runs"
                );
            } else {
                self.require_service_in_scope(scope, &clusters, progress).await?;
            }
        }
        Ok(tasks)
    }

    /// The tasks of one cluster; `None` if it does not exist and is not named in the scope.
    async fn tasks_of(
        &self,
        cluster: &ClusterInScope,
        progress: &Progress,
    ) -> Result<Option<Arc<ClusterTasks>>, EcsError> {
        let reading = self.reading_of(cluster);
        let read = async || self.read_tasks(cluster, progress).await.map(Arc::new);
        none_if_gone(cluster, reading.tasks.get_or_init(read).await.clone())
    }

    /// The names of the cluster's services, listed once per reading.
    async fn service_names(
        &self,
        cluster: &ClusterInScope,
        progress: &Progress,
    ) -> Result<Arc<Vec<String>>, EcsError> {
        let reading = self.reading_of(cluster);
        let read = async || {
            let arns = self.list_services(cluster, progress).await?;
            // An ARN ends in `service/CLUSTER/NAME`, or in `service/NAME` in its older form.
            let name = |arn: &String| arn.rsplit('/').next().unwrap_or_default().to_owned();
            Ok(Arc::new(arns.iter().map(name).collect()))
        };
        reading.services.get_or_init(read).await.clone()
    }

    /// What this reading has read of the cluster so far.
    fn reading_of(&self, cluster: &ClusterInScope) -> Arc<ClusterReading> {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(clusters.entry(cluster.key().to_owned()).or_default())
    }
}

/// The result of reading a cluster; `None` if it does not exist. A named cluster has to exist.
fn none_if_gone<T>(
    cluster: &ClusterInScope,
    result: Result<T, EcsError>,
) -> Result<Option<T>, EcsError> {
    match result {
        Err(error) if is_cluster_not_found(&error) && cluster.named => {
            Err(EcsError::ClusterNotFound { cluster: cluster.id.clone() })
        }
        Err(error) if is_cluster_not_found(&error) => Ok(None),
        result => result.map(Some),
    }
}

fn is_cluster_not_found(error: &EcsError) -> bool {
    matches!(error, EcsError::Call { source: CallError::ClusterNotFound, .. })
}

/// Whether the task is in scope and runs a container.
fn counts(task: &Task, scope: &Scope) -> bool {
    scope.services.selects_task_of(task.service()) && task.runs()
}

#[cfg(test)]
mod tests;

//! Every task of the clusters in scope, as few calls as that takes.

mod calls;
mod cluster;
mod in_scope;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

use super::{CallError, ClusterRef, EcsApi, EcsError, Progress, Quota, Scope, Task, observe};
use in_scope::{ClusterInScope, nothing_in_scope};

/// Clusters read side by side.
const CLUSTERS_AT_ONCE: usize = 8;

/// Reads what runs in one account and region, and remembers between readings which listed tasks
/// have stopped for good.
#[derive(Debug)]
pub struct Reader<E> {
    ecs: E,
    quota: Quota,
    calls_at_once: Semaphore,
    /// Listed tasks that are known to have stopped, by cluster name. ECS lists a stopped task for
    /// an hour and more; it never runs again, so nobody needs to ask about it twice.
    stopped: Mutex<HashMap<String, HashSet<String>>>,
}

impl<E> Reader<E> {
    /// A reader that asks `ecs` no more often than `quota` allows, and side by side no more than
    /// `calls_at_once`: each call takes a connection, and so a handshake and a file descriptor.
    pub fn new(ecs: E, quota: Quota, calls_at_once: usize) -> Self {
        let calls_at_once = Semaphore::new(calls_at_once);
        Self { ecs, quota, calls_at_once, stopped: Mutex::default() }
    }

    /// What it asks.
    pub fn ecs(&self) -> &E {
        &self.ecs
    }

    /// What stopped in a cluster that is no longer listed need not be remembered.
    fn forget_all_but(&self, listed: &[ClusterRef]) {
        let listed: HashSet<_> = listed.iter().map(ClusterRef::name).collect();
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        stopped.retain(|cluster, _| listed.contains(cluster.as_str()));
    }

    /// A reading that begins now. No call goes on beyond `give_up_at`.
    pub fn begin(&self, give_up_at: Option<Instant>) -> Reading<'_, E> {
        Reading {
            reader: self,
            give_up_at,
            listed: OnceCell::new(),
            clusters: Mutex::default(),
            exists: tokio::sync::Mutex::default(),
        }
    }
}

/// One reading of an account and region: what one scope had read of it serves every other.
#[derive(Debug)]
pub struct Reading<'r, E> {
    reader: &'r Reader<E>,
    give_up_at: Option<Instant>,
    listed: Once<ClusterRef>,
    clusters: Mutex<HashMap<String, Arc<ClusterReading>>>,
    /// Which of the clusters that were asked about exist.
    exists: tokio::sync::Mutex<HashMap<String, bool>>,
}

/// Read by whoever is first; the others wait for it, and fail with it.
type Once<T> = OnceCell<Result<Arc<Vec<T>>, EcsError>>;

#[derive(Debug, Default)]
struct ClusterReading {
    tasks: Once<Task>,
    /// By name.
    services: Once<String>,
}

impl<E: EcsApi> Reading<'_, E> {
    /// Every task of the clusters in `scope` that may run a container, and some that do not: a list
    /// a cluster, in no particular order.
    ///
    /// Costs, a cluster, the pages of two listings and one description per hundred tasks; a warm
    /// reader describes no task twice that has stopped. One cluster with fewer than a hundred tasks
    /// takes three calls, two of them side by side. Only where nothing runs, clusters are described
    /// and services listed, to tell an honest empty from a scope that matches nothing.
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
        let clusters = self.clusters(scope, progress).await?;
        Progress::count(&progress.clusters, clusters.len());

        let read: Vec<_> = stream::iter(&clusters)
            .map(async |cluster| {
                let tasks = self.tasks_of(cluster, progress).await?;
                Progress::count(&progress.clusters_read, 1);
                Ok::<_, EcsError>((cluster, tasks))
            })
            .buffer_unordered(CLUSTERS_AT_ONCE)
            .try_collect()
            .await?;

        let (quiet, busy): (Vec<_>, Vec<_>) = read.into_iter().partition(|(_, tasks)| {
            tasks.as_ref().is_none_or(|tasks| !tasks.iter().any(runs_anything))
        });
        let quiet_ones: Vec<_> = quiet.iter().map(|(cluster, _)| *cluster).collect();
        let existing = self.existing(&quiet_ones, progress).await?;
        if busy.is_empty() && existing.is_empty() {
            return Err(nothing_in_scope("No cluster in scope exists any longer", &clusters));
        }
        // ECS is only eventually consistent: taken at its word, it would empty a cluster that runs.
        let mut gone = quiet.iter().filter(|(_, tasks)| tasks.is_none());
        if let Some((cluster, _)) = gone.find(|(c, _)| existing.contains(c.key())) {
            let message = "it says that the cluster does not exist, and describes it as existing";
            return Err(EcsError::Call {
                operation: format!("list the tasks of cluster \"{}\"", cluster.name),
                source: CallError::Malformed(message.to_owned()),
            });
        }
        let tasks: Vec<_> = busy.into_iter().chain(quiet).filter_map(|(_, tasks)| tasks).collect();
        let mut all = tasks.iter().flat_map(|tasks| tasks.iter());
        let mut seen = HashSet::new();
        if let Some(task) = all.clone().find(|task| !seen.insert(task.arn.as_str())) {
            // It would be counted twice.
            let message = format!("it lists task {} in two clusters", task.arn);
            return Err(EcsError::Call {
                operation: "list the tasks of each cluster".to_owned(),
                source: CallError::Malformed(message),
            });
        }
        if !scope.services.is_everything() && !all.clone().any(|task| counts(task, scope)) {
            self.require_a_service(scope, &mut all, &clusters, progress).await?;
        }
        Ok(tasks)
    }

    /// The tasks of one cluster; `None` where ECS says that one that nobody named has gone.
    async fn tasks_of(
        &self,
        cluster: &ClusterInScope,
        progress: &Progress,
    ) -> Result<Option<Arc<Vec<Task>>>, EcsError> {
        let reading = self.reading_of(cluster);
        let read = async || self.read_tasks(cluster, progress).await.map(Arc::new);
        match reading.tasks.get_or_init(read).await.clone() {
            Err(EcsError::Call { source: CallError::ClusterNotFound, .. }) if cluster.named => {
                Err(EcsError::ClusterNotFound { cluster: cluster.id.clone() })
            }
            Err(EcsError::Call { source: CallError::ClusterNotFound, .. }) => Ok(None),
            result => result.map(Some),
        }
    }

    async fn services_of(
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

    fn reading_of(&self, cluster: &ClusterInScope) -> Arc<ClusterReading> {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(clusters.entry(cluster.key().to_owned()).or_default())
    }
}

fn counts(task: &Task, scope: &Scope) -> bool {
    observe(task, scope, 0).any(|observation| observation.verdict.is_ok())
}

/// Some container of the task runs, whether or not it is in scope.
fn runs_anything(task: &Task) -> bool {
    observe(task, &Scope::default(), 0).any(|observation| observation.verdict.is_ok())
}

#[cfg(test)]
mod tests;

//! Clusters that list no running task: whether they exist, and whether that can be true.

use std::sync::Arc;

use super::cluster::{CONSISTENCY_WAITS, ClusterTasks};
use super::scoped_clusters::{ClusterInScope, ClusterState, active_name};
use super::{Reading, is_cluster_not_found, none_if_gone};
use crate::ecs::{CallError, EcsApi, EcsError, Progress};

/// After this many failed readings of a cluster in a row the cause may be permanent: the error then
/// advises to exclude it.
const ADVISE_EXCLUSION_AFTER: u32 = 5;

/// A cluster, and its tasks: `None` if it does not exist.
pub(super) type ClusterRead<'c> = (&'c ClusterInScope, Option<Arc<ClusterTasks>>);

impl<E: EcsApi> Reading<'_, E> {
    /// Checks the clusters that run nothing or list no task with desired status `RUNNING`: a
    /// cluster whose description contradicts its tasks is read again. Only here are clusters
    /// described, a hundred in a call.
    ///
    /// Returns whether there is nothing left: no cluster runs anything, and none exists.
    ///
    /// # Errors
    /// A cluster keeps contradicting itself: taken at its word, it would be emptied. One that is
    /// named does not exist.
    pub(super) async fn confirm_empty(
        &self,
        read: &mut [ClusterRead<'_>],
        progress: &Progress,
    ) -> Result<bool, EcsError> {
        let quiet = |(_, tasks): &ClusterRead<'_>| tasks.as_ref().is_none_or(|it| !it.runs);
        let unlikely = |(_, tasks): &ClusterRead<'_>| {
            tasks.as_ref().is_some_and(|it| it.lists_no_running_task)
        };
        let doubtful: Vec<_> = read
            .iter()
            .filter(|it| quiet(it) || unlikely(it))
            .map(|(cluster, _)| *cluster)
            .collect();
        let states = self.cluster_states(&doubtful, progress).await?;
        let mut exists = read.len() > doubtful.len();
        for (cluster, tasks) in read {
            let Some(state) = states.get(cluster.key()) else {
                self.reader.memory.reset_contradictions(cluster);
                continue;
            };
            match (state, &tasks) {
                (ClusterState::Gone, None) => {}
                (ClusterState::Gone, Some(read)) => exists |= read.runs,
                (ClusterState::Active { .. }, None) => {
                    return Err(existence_contradiction(cluster));
                }
                (ClusterState::Active { running_tasks }, Some(read)) => {
                    exists = true;
                    if *running_tasks > read.running_status_count() {
                        let first = Arc::clone(read);
                        *tasks =
                            self.reread_tasks(cluster, first, *running_tasks, progress).await?;
                    }
                    self.reader.memory.reset_contradictions(cluster);
                }
            }
        }
        Ok(!exists)
    }

    /// As [`Self::reread`], once for all scopes of this reading; `None` if the cluster does not exist
    /// any more.
    async fn reread_tasks(
        &self,
        cluster: &ClusterInScope,
        first: Arc<ClusterTasks>,
        running_tasks: usize,
        progress: &Progress,
    ) -> Result<Option<Arc<ClusterTasks>>, EcsError> {
        let reading = self.reading_of(cluster);
        let read = async || self.reread(cluster, first, running_tasks, progress).await;
        none_if_gone(cluster, reading.reread.get_or_init(read).await.clone())
    }

    /// Rereads a cluster that is described with more running tasks than it lists, until the two
    /// agree: the count trails the last stop by seconds, and a listing can be empty for a moment.
    ///
    /// A task that drains is not in the state `RUNNING`. Since it is not known whether it is counted
    /// all the same, the second reading is believed if it may be.
    async fn reread(
        &self,
        cluster: &ClusterInScope,
        mut tasks: Arc<ClusterTasks>,
        mut running_tasks: usize,
        progress: &Progress,
    ) -> Result<Arc<ClusterTasks>, EcsError> {
        for wait in CONSISTENCY_WAITS.into_iter().filter(|wait| self.has_time_for(*wait)) {
            tracing::info!(
                cluster = cluster.name,
                running_tasks,
                listed = tasks.running_or_draining_count(),
                wait_seconds = wait.as_secs_f64(),
                "ECS reports more running tasks than it lists: reading the cluster again"
            );
            tokio::time::sleep(wait).await;
            let described =
                self.describe_clusters(std::slice::from_ref(&cluster.id), progress).await?;
            let Some(active) = described.iter().find(|it| active_name(it).is_some()) else {
                return Err(EcsError::Call {
                    operation: format!("describe cluster \"{}\"", cluster.name),
                    source: CallError::ClusterNotFound,
                });
            };
            running_tasks = active.running_tasks;
            if running_tasks <= tasks.running_status_count() {
                return Ok(tasks);
            }
            tasks = match self.read_tasks(cluster, progress).await {
                Err(error) if is_cluster_not_found(&error) => {
                    // It was just described as existing, and may have been deleted since.
                    let described =
                        self.describe_clusters(std::slice::from_ref(&cluster.id), progress).await?;
                    let exists = described.iter().any(|it| active_name(it).is_some());
                    return Err(if exists { existence_contradiction(cluster) } else { error });
                }
                read => Arc::new(read?),
            };
            if running_tasks <= tasks.running_or_draining_count() {
                return Ok(tasks);
            }
        }
        let readings = self.reader.memory.count_contradiction(cluster);
        let listed = tasks.running_or_draining_count();
        let mut contradiction =
            format!("it says that {running_tasks} of its tasks run, and lists {listed} that do");
        if readings >= ADVISE_EXCLUSION_AFTER {
            let advice = "If the others are managed daemons, which ECS may not list, leave the \
                          cluster out by ECS_EXCLUDE";
            contradiction =
                format!("{contradiction}, in each of the last {readings} readings. {advice}");
        }
        Err(EcsError::Contradiction { cluster: cluster.name.clone(), contradiction })
    }
}

/// The error that ECS contradicts itself about the existence of the cluster.
fn existence_contradiction(cluster: &ClusterInScope) -> EcsError {
    let message = "it says that the cluster does not exist, and describes it as existing";
    EcsError::Call {
        operation: format!("list the tasks of cluster \"{}\"", cluster.name),
        source: CallError::Malformed(message.to_owned()),
    }
}

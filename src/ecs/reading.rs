//! Every task of the clusters in scope, as few calls as that takes.

mod in_scope;
mod pages;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{
    CallError, DESCRIBE_BATCH, DesiredStatus, EcsApi, EcsError, Progress, Quota, Scope, Task,
    observe,
};
use in_scope::{ClusterInScope, nothing_in_scope};
use pages::all_pages;

/// Clusters read side by side, and batches of tasks described side by side in each of them.
const CLUSTERS_AT_ONCE: usize = 8;
const BATCHES_AT_ONCE: usize = 4;

/// How long what ECS lists may take to be known to all of it.
const CONSISTENCY: Duration = Duration::from_millis(200);

/// Reads what runs, and remembers between readings which listed tasks have stopped for good.
#[derive(Debug)]
pub struct Reader<E> {
    ecs: E,
    quota: Quota,
    /// Listed tasks that are known to have stopped, by cluster name. ECS lists a stopped task for
    /// an hour and more; it never runs again, so nobody needs to ask about it twice.
    stopped: Mutex<HashMap<String, HashSet<String>>>,
}

impl<E: EcsApi> Reader<E> {
    /// A reader that asks `ecs` no more often than `quota` allows.
    pub fn new(ecs: E, quota: Quota) -> Self {
        Self { ecs, quota, stopped: Mutex::default() }
    }

    /// What it asks.
    pub fn ecs(&self) -> &E {
        &self.ecs
    }

    /// Every task of the clusters in `scope` that may run a container, in no particular order, and
    /// some that do not.
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
    pub async fn tasks(&self, scope: &Scope, progress: &Progress) -> Result<Vec<Task>, EcsError> {
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

        let (quiet, busy): (Vec<_>, Vec<_>) =
            read.into_iter().partition(|(_, tasks)| !tasks.iter().any(runs_anything));
        let quiet_ones: Vec<_> = quiet.iter().map(|(cluster, _)| *cluster).collect();
        let existing = self.existing(&quiet_ones, progress).await?;
        if busy.is_empty() && existing.is_empty() {
            return Err(nothing_in_scope("No cluster in scope exists any longer", &clusters));
        }
        let tasks: Vec<_> = busy.into_iter().chain(quiet).flat_map(|(_, tasks)| tasks).collect();
        if !scope.services.is_everything() && !tasks.iter().any(|task| counts(task, scope)) {
            self.require_a_service(scope, &tasks, &clusters, progress).await?;
        }
        Ok(tasks)
    }

    /// The tasks of one cluster; none where a cluster that nobody named has gone.
    async fn tasks_of(
        &self,
        cluster: &ClusterInScope,
        progress: &Progress,
    ) -> Result<Vec<Task>, EcsError> {
        match self.read_cluster(cluster, progress).await {
            Err(EcsError::Call { source: CallError::ClusterNotFound, .. }) if cluster.named => {
                Err(EcsError::ClusterNotFound { cluster: cluster.id.clone() })
            }
            Err(EcsError::Call { source: CallError::ClusterNotFound, .. }) => Ok(Vec::new()),
            result => result,
        }
    }

    async fn read_cluster(
        &self,
        cluster: &ClusterInScope,
        progress: &Progress,
    ) -> Result<Vec<Task>, EcsError> {
        let running = self.list_tasks(cluster, DesiredStatus::Running, progress).await?;
        // Only now: a task that is told to stop between the two listings is in both or in the
        // second, and would be in neither if they ran side by side.
        let (stopped, mut tasks) = futures_util::try_join!(
            self.list_tasks(cluster, DesiredStatus::Stopped, progress),
            self.describe_listed(cluster, &running, progress),
        )?;

        let asked: HashSet<&String> = running.iter().collect();
        let to_ask = {
            let known = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
            let known = known.get(&cluster.name);
            stopped
                .iter()
                .filter(|arn| !asked.contains(arn) && !known.is_some_and(|k| k.contains(*arn)))
                .cloned()
                .collect::<Vec<_>>()
        };
        tasks.extend(self.describe_listed(cluster, &to_ask, progress).await?);

        let listed: HashSet<String> = stopped.into_iter().collect();
        let newly_stopped: HashSet<&str> =
            tasks.iter().filter(|task| task.has_stopped()).map(|task| task.arn.as_str()).collect();
        let mut known = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(cluster.name.clone()).or_default();
        known.retain(|arn| listed.contains(arn));
        known.extend(newly_stopped.into_iter().map(ToOwned::to_owned));
        Ok(tasks)
    }

    async fn list_tasks(
        &self,
        cluster: &ClusterInScope,
        desired_status: DesiredStatus,
        progress: &Progress,
    ) -> Result<Vec<String>, EcsError> {
        let operation = match desired_status {
            DesiredStatus::Running => {
                format!("list the running tasks of cluster \"{}\"", cluster.name)
            }
            DesiredStatus::Stopped => {
                format!("list the stopping tasks of cluster \"{}\"", cluster.name)
            }
        };
        all_pages(&operation, &self.quota.cluster_resource_reads, progress, |token| {
            self.ecs.list_tasks(&cluster.id, desired_status, token)
        })
        .await
    }

    /// Tasks that were just listed. ECS is only eventually consistent: one that it does not know is
    /// asked for once more before it counts as gone.
    async fn describe_listed(
        &self,
        cluster: &ClusterInScope,
        arns: &[String],
        progress: &Progress,
    ) -> Result<Vec<Task>, EcsError> {
        let (mut tasks, missing) = self.describe(cluster, arns, progress).await?;
        if missing.is_empty() {
            return Ok(tasks);
        }
        tokio::time::sleep(CONSISTENCY).await;
        let (late, _gone) = self.describe(cluster, &missing, progress).await?;
        tasks.extend(late);
        Ok(tasks)
    }

    /// The tasks, each once, and the ARNs of those that ECS says are gone.
    async fn describe(
        &self,
        cluster: &ClusterInScope,
        arns: &[String],
        progress: &Progress,
    ) -> Result<(Vec<Task>, Vec<String>), EcsError> {
        let batches: Vec<_> = stream::iter(arns.chunks(DESCRIBE_BATCH))
            .map(|batch| self.describe_batch(cluster, batch, progress))
            .buffer_unordered(BATCHES_AT_ONCE)
            .try_collect()
            .await?;
        let (tasks, missing): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
        Ok((tasks.concat(), missing.concat()))
    }

    async fn describe_batch(
        &self,
        cluster: &ClusterInScope,
        arns: &[String],
        progress: &Progress,
    ) -> Result<(Vec<Task>, Vec<String>), EcsError> {
        let failed = |source| EcsError::Call {
            operation: format!("describe tasks of cluster \"{}\"", cluster.name),
            source,
        };
        self.quota.cluster_resource_reads.take().await;
        Progress::count(&progress.calls, 1);
        let answer = self.ecs.describe_tasks(&cluster.id, arns).await.map_err(failed)?;

        let mut left: HashSet<&str> = arns.iter().map(String::as_str).collect();
        let mut tasks = Vec::with_capacity(arns.len());
        let mut missing = Vec::new();
        for mut task in answer.tasks {
            task.cluster.clone_from(&cluster.name);
            if left.remove(task.arn.as_str()) {
                tasks.push(task);
            } else if !arns.contains(&task.arn) {
                let message = format!("it describes task {}, which nobody asked for", task.arn);
                return Err(failed(CallError::Malformed(message)));
            }
        }
        for failure in answer.failures {
            let arn = failure.arn.unwrap_or_default();
            if failure.reason.as_deref() != Some("MISSING") {
                let reason = failure.reason.unwrap_or_else(|| "no reason".to_owned());
                let message = format!("it gives {reason} for task {arn}");
                return Err(failed(CallError::Unavailable(message)));
            }
            if left.remove(arn.as_str()) {
                missing.push(arn);
            }
        }
        if let Some(arn) = left.into_iter().min() {
            let message = format!("it says nothing of task {arn}, which was asked for");
            return Err(failed(CallError::Malformed(message)));
        }
        Progress::count(&progress.tasks_described, tasks.len());
        Ok((tasks, missing))
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

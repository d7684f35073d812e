//! The tasks and the services of one cluster.

use std::collections::HashSet;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::Reading;
use super::in_scope::ClusterInScope;
use crate::ecs::{CallError, DESCRIBE_BATCH, DesiredStatus, EcsApi, EcsError, Progress, Task};

/// Batches of tasks described side by side in a cluster.
const BATCHES_AT_ONCE: usize = 4;

/// How long what ECS lists may take to be known to all of it.
const CONSISTENCY: Duration = Duration::from_millis(200);

impl<E: EcsApi> Reading<'_, E> {
    pub(super) async fn read_tasks(
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
            let known = self.reader.stopped.lock().unwrap_or_else(PoisonError::into_inner);
            let known = known.get(&cluster.name);
            stopped
                .iter()
                .filter(|arn| !asked.contains(arn) && !known.is_some_and(|k| k.contains(*arn)))
                .cloned()
                .collect::<Vec<_>>()
        };
        tasks.extend(self.describe_listed(cluster, &to_ask, progress).await?);

        let listed: HashSet<String> = stopped.into_iter().collect();
        let newly_stopped = tasks.iter().filter(|task| task.has_stopped()).map(|t| t.arn.clone());
        let mut known = self.reader.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(cluster.name.clone()).or_default();
        known.retain(|arn| listed.contains(arn));
        known.extend(newly_stopped);
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
        let bucket = &self.reader.quota.cluster_resource_reads;
        self.all_pages(&operation, bucket, progress, |token| {
            self.reader.ecs.list_tasks(&cluster.id, desired_status, token)
        })
        .await
    }

    /// ARNs of the cluster's services.
    pub(super) async fn list_services(
        &self,
        cluster: &ClusterInScope,
        progress: &Progress,
    ) -> Result<Vec<String>, EcsError> {
        let operation = format!("list the services of cluster \"{}\"", cluster.name);
        let bucket = &self.reader.quota.service_reads;
        self.all_pages(&operation, bucket, progress, |token| {
            self.reader.ecs.list_services(&cluster.id, token)
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
        Ok((tasks.into_iter().flatten().collect(), missing.concat()))
    }

    async fn describe_batch(
        &self,
        cluster: &ClusterInScope,
        arns: &[String],
        progress: &Progress,
    ) -> Result<(Vec<Task>, Vec<String>), EcsError> {
        let operation = format!("describe tasks of cluster \"{}\"", cluster.name);
        let bucket = &self.reader.quota.cluster_resource_reads;
        let answer = self
            .call(&operation, bucket, progress, || {
                self.reader.ecs.describe_tasks(&cluster.id, arns)
            })
            .await?;

        let failed = |source| EcsError::Call { operation: operation.clone(), source };
        let asked: HashSet<&str> = arns.iter().map(String::as_str).collect();
        let mut left = asked.clone();
        let mut tasks = Vec::with_capacity(arns.len());
        let mut missing = Vec::new();
        for mut task in answer.tasks {
            task.cluster.clone_from(&cluster.name);
            if left.remove(task.arn.as_str()) {
                tasks.push(task);
            } else if !asked.contains(task.arn.as_str()) {
                let message = format!("it describes task {}, which nobody asked for", task.arn);
                return Err(failed(CallError::Malformed(message)));
            }
        }
        for failure in answer.failures {
            let arn = failure.arn.unwrap_or_default();
            if failure.reason.as_deref() != Some("MISSING") {
                let reason = failure.reason.unwrap_or_else(|| "no reason".to_owned());
                let message = format!("it gives {reason} for task {arn}");
                return Err(failed(CallError::Refused(message)));
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

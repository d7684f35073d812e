//! The tasks and the services of one cluster.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Reading;
use super::describe::{UndescribedReason, UndescribedTask};
use super::memory::LastReading;
use super::scoped_clusters::ClusterInScope;
use crate::ecs::{DesiredStatus, EcsApi, EcsError, Progress, Task};

/// Waits before ECS is read again after it contradicted itself. It is eventually consistent: its
/// listings, descriptions and counts agree within seconds. Five seconds in total.
pub(super) const CONSISTENCY_WAITS: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1_600),
    Duration::from_secs(2),
];

/// Every task of a cluster that may run a container, and some that do not.
#[derive(Debug)]
pub(super) struct ClusterTasks {
    pub(super) tasks: Arc<Vec<Task>>,
    /// A container of them runs.
    pub(super) runs: bool,
    /// No task with desired status `RUNNING` is listed.
    pub(super) lists_no_running_task: bool,
}

/// The ARNs of a cluster's tasks, by desired status.
struct ListedTasks {
    running: Vec<String>,
    stopped: Vec<String>,
}

impl ClusterTasks {
    /// How many tasks have the last status `RUNNING`: what `runningTasksCount` of the cluster counts.
    pub(super) fn running_status_count(&self) -> usize {
        self.tasks.iter().filter(|task| task.last_status.as_deref() == Some("RUNNING")).count()
    }

    /// How many tasks have the last status `RUNNING` or are stopping and still run a container.
    pub(super) fn running_or_draining_count(&self) -> usize {
        let counts = |task: &&Task| task.runs() || task.last_status.as_deref() == Some("RUNNING");
        self.tasks.iter().filter(counts).count()
    }
}

impl<E: EcsApi> Reading<'_, E> {
    /// Lists and describes the tasks of a cluster. What is not described completely is read again, up
    /// to five times.
    ///
    /// # Errors
    /// A call failed, or a task that may run is still not described.
    pub(super) async fn read_tasks(
        &self,
        cluster: &ClusterInScope,
        progress: &Progress,
    ) -> Result<ClusterTasks, EcsError> {
        let last = self.reader.memory.last_reading(cluster);
        let running = self.list_tasks(cluster, DesiredStatus::Running, progress).await?;
        // Sequential: a task that is stopped between the two listings is in both or in the second.
        // If they ran concurrently it could be in neither.
        let (stopped, mut described) = futures_util::try_join!(
            self.list_tasks(cluster, DesiredStatus::Stopped, progress),
            self.describe(cluster, &running, progress),
        )?;
        let mut listed = ListedTasks { running, stopped };
        let others = listed.not_expected_to_run(&last);
        let others = self.describe(cluster, &others, progress).await?;
        described.tasks.extend(others.tasks);
        described.undescribed.extend(others.undescribed);
        let (mut tasks, mut undescribed) = (described.tasks, described.undescribed);
        listed.drop_tasks_that_may_be_missing(&mut undescribed, true);

        let mut waits = CONSISTENCY_WAITS.into_iter().enumerate();
        let retried = loop {
            let (Some(doubt), Some((attempt, wait))) = (undescribed.first(), waits.next()) else {
                break true;
            };
            if !self.has_time_for(wait) {
                break false;
            }
            let wait_seconds = wait.as_secs_f64();
            tracing::info!(cluster = cluster.name, %doubt, wait_seconds, "reading tasks again");
            tokio::time::sleep(wait).await;
            // At first, a new task may only not be known everywhere yet.
            let wanted = if attempt == 0 {
                undescribed.into_iter().map(|task| task.arn).collect()
            } else {
                let running = self.list_tasks(cluster, DesiredStatus::Running, progress).await?;
                let stopped = self.list_tasks(cluster, DesiredStatus::Stopped, progress).await?;
                listed = ListedTasks { running, stopped };
                listed.not_described(&tasks, &last)
            };
            let again = self.describe_remaining(cluster, &wanted, &tasks, progress).await?;
            tasks.extend(again.tasks);
            undescribed = again.undescribed;
            listed.drop_tasks_that_may_be_missing(&mut undescribed, false);
        };
        listed.check_undescribed(cluster, &undescribed, &tasks, &last, retried)?;

        let lists_no_running_task = listed.running.is_empty();
        let runs = tasks.iter().any(Task::runs);
        self.reader.memory.remember_reading(cluster, listed.into_last_reading(&tasks, &last));
        Ok(ClusterTasks { tasks: Arc::new(tasks), runs, lists_no_running_task })
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
}

impl ListedTasks {
    /// Tasks that are not expected to run but have to be described: listed ones that are not known
    /// to have stopped, and those that ran when the cluster was last read and are in neither
    /// listing, although ECS lists a stopped task for an hour.
    fn not_expected_to_run(&self, last: &LastReading) -> Vec<String> {
        let wanted: HashSet<&String> = self.running.iter().collect();
        let mut others: Vec<String> = self
            .stopped
            .iter()
            .filter(|arn| !wanted.contains(arn) && !last.stopped.contains(*arn))
            .cloned()
            .collect();
        if !last.running.is_empty() {
            let stopped: HashSet<&String> = self.stopped.iter().collect();
            let unlisted =
                last.running.iter().filter(|arn| !wanted.contains(arn) && !stopped.contains(arn));
            others.extend(unlisted.cloned());
        }
        others
    }

    /// All tasks that have to be described, except those in `tasks`.
    fn not_described(&self, tasks: &[Task], last: &LastReading) -> Vec<String> {
        let described: HashSet<&String> = tasks.iter().map(|task| &task.arn).collect();
        let others = self.not_expected_to_run(last);
        let all = self.running.iter().cloned().chain(others);
        all.filter(|arn| !described.contains(arn)).collect()
    }

    /// Removes missing tasks that are not expected to run. On the first attempt one that is listed as
    /// stopped stays, to be described once more, since it may still drain.
    fn drop_tasks_that_may_be_missing(
        &self,
        undescribed: &mut Vec<UndescribedTask>,
        is_first: bool,
    ) {
        if undescribed.is_empty() {
            return;
        }
        let running: HashSet<&String> = self.running.iter().collect();
        let stopped: HashSet<&String> =
            if is_first { self.stopped.iter().collect() } else { HashSet::new() };
        undescribed.retain(|UndescribedTask { arn, reason }| {
            *reason != UndescribedReason::Missing || running.contains(arn) || stopped.contains(arn)
        });
    }

    /// Logs the tasks that are still not described, which are left out.
    ///
    /// # Errors
    /// One of them may be software that runs: it did when the cluster was last read, its description
    /// is incomplete, or nothing else is known of the cluster. So is each of them if there was no
    /// time to ask often enough.
    fn check_undescribed(
        &self,
        cluster: &ClusterInScope,
        undescribed: &[UndescribedTask],
        tasks: &[Task],
        last: &LastReading,
        retried: bool,
    ) -> Result<(), EcsError> {
        let Some(first) = undescribed.first() else { return Ok(()) };
        let contradiction = |contradiction: String| {
            Err(EcsError::Contradiction { cluster: cluster.name.clone(), contradiction })
        };
        if let Some(unclear) =
            undescribed.iter().find(|task| task.reason == UndescribedReason::Incomplete)
        {
            return contradiction(unclear.to_string());
        }
        if let Some(seen) = undescribed.iter().find(|task| last.running.contains(&task.arn)) {
            return contradiction(format!("{seen}, and it ran when the cluster was last read"));
        }
        if !retried {
            return contradiction(format!("{first}, and no time is left to ask again"));
        }
        let described: HashSet<&String> = tasks.iter().map(|task| &task.arn).collect();
        if !self.running.is_empty() && !self.running.iter().any(|arn| described.contains(arn)) {
            let number = self.running.len();
            return contradiction(format!(
                "it lists {number} tasks that are to run, and describes none of them"
            ));
        }
        for doubt in undescribed {
            // It was just started, or it stopped long ago and ECS still lists it.
            tracing::warn!(cluster = cluster.name, %doubt, "the task is left out");
        }
        Ok(())
    }

    /// What to remember: the tasks that run a container, and the listed ones that have stopped.
    fn into_last_reading(self, tasks: &[Task], before: &LastReading) -> LastReading {
        let running = tasks.iter().filter(|task| task.runs()).map(|t| t.arn.clone()).collect();
        let now: HashSet<&String> =
            tasks.iter().filter(|task| task.has_stopped()).map(|task| &task.arn).collect();
        let has_stopped = |arn: &String| before.stopped.contains(arn) || now.contains(arn);
        let stopped = self.stopped.into_iter().filter(has_stopped).collect();
        LastReading { running, stopped }
    }
}

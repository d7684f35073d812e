//! Describes tasks in batches.

use std::collections::{HashMap, HashSet};
use std::fmt;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::Reading;
use super::scoped_clusters::ClusterInScope;
use crate::ecs::{CallError, DESCRIBE_BATCH, DescribedTasks, EcsApi, EcsError, Progress, Task};

/// Concurrent DescribeTasks calls for one cluster.
const MAX_CONCURRENT_BATCHES: usize = 4;

/// The result of describing tasks.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// Each once, under the ARN in the request.
    pub(super) tasks: Vec<Task>,
    pub(super) undescribed: Vec<UndescribedTask>,
}

/// A requested task that was not described.
#[derive(Debug)]
pub(super) struct UndescribedTask {
    pub(super) arn: String,
    pub(super) reason: UndescribedReason,
}

/// Why a task was not described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UndescribedReason {
    /// ECS reported it as `MISSING`.
    Missing,
    /// It was in neither the tasks nor the failures.
    LeftOut,
    /// The status of some container was missing.
    Incomplete,
}

impl fmt::Display for UndescribedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { arn, reason } = self;
        match reason {
            UndescribedReason::Missing => {
                write!(f, "it lists task {arn} and describes it as missing")
            }
            UndescribedReason::LeftOut => {
                write!(f, "it lists task {arn} and leaves it out of its description")
            }
            UndescribedReason::Incomplete => {
                write!(f, "it does not say of each container of task {arn} whether it runs")
            }
        }
    }
}

impl<E: EcsApi> Reading<'_, E> {
    pub(super) async fn describe(
        &self,
        cluster: &ClusterInScope,
        arns: &[String],
        progress: &Progress,
    ) -> Result<Described, EcsError> {
        self.describe_remaining(cluster, arns, &[], progress).await
    }

    /// Describes tasks that were not described before. Repeated descriptions of `known` tasks are
    /// ignored.
    pub(super) async fn describe_remaining(
        &self,
        cluster: &ClusterInScope,
        arns: &[String],
        known: &[Task],
        progress: &Progress,
    ) -> Result<Described, EcsError> {
        let mut batches = stream::iter(arns.chunks(DESCRIBE_BATCH))
            .map(|batch| self.describe_batch(cluster, batch, known, progress))
            .buffer_unordered(MAX_CONCURRENT_BATCHES);
        let mut all = Described::default();
        while let Some(batch) = batches.try_next().await? {
            all.tasks.extend(batch.tasks);
            all.undescribed.extend(batch.undescribed);
        }
        Ok(all)
    }

    async fn describe_batch(
        &self,
        cluster: &ClusterInScope,
        arns: &[String],
        known: &[Task],
        progress: &Progress,
    ) -> Result<Described, EcsError> {
        let operation = format!("describe tasks of cluster \"{}\"", cluster.name);
        let bucket = &self.reader.quota.cluster_resource_reads;
        let described = self
            .call(&operation, bucket, progress, async || {
                classify(self.reader.ecs.describe_tasks(&cluster.id, arns).await?, arns, known)
            })
            .await?;
        Progress::increment(&progress.tasks_described, described.tasks.len());
        Ok(Described {
            tasks: described
                .tasks
                .into_iter()
                .map(|task| Task { cluster: cluster.name.clone(), ..task })
                .collect(),
            ..described
        })
    }
}

/// Sorts a response into described and undescribed tasks.
///
/// # Errors
/// It is about other tasks, or refuses one of these.
fn classify(
    answer: DescribedTasks,
    requested: &[String],
    known: &[Task],
) -> Result<Described, CallError> {
    let mut open: HashSet<&str> = requested.iter().map(String::as_str).collect();
    let by_short_arn: HashMap<_, _> =
        requested.iter().map(|arn| (short_arn(arn), arn.as_str())).collect();
    // ECS has two ARN formats, and has been seen to respond in the other one.
    let find = |arn: &str| by_short_arn.get(&short_arn(arn)).copied();

    let mut sorted =
        Described { tasks: Vec::with_capacity(requested.len()), undescribed: Vec::new() };
    for mut task in answer.tasks {
        let Some(arn) = find(&task.arn) else {
            if known.iter().any(|known| known.arn == task.arn) {
                continue;
            }
            let message = format!("it describes task {}, which was not requested", task.arn);
            return Err(CallError::Malformed(message));
        };
        if !open.remove(arn) {
            continue;
        }
        if task.is_described_completely() {
            if task.arn != arn {
                arn.clone_into(&mut task.arn);
            }
            sorted.tasks.push(task);
        } else {
            let reason = UndescribedReason::Incomplete;
            sorted.undescribed.push(UndescribedTask { arn: arn.to_owned(), reason });
        }
    }
    for failure in answer.failures {
        let arn = failure.arn.unwrap_or_default();
        if failure.reason.as_deref() != Some("MISSING") {
            let reason = failure.reason.unwrap_or_else(|| "no reason".to_owned());
            return Err(CallError::Rejected(format!("it returns {reason} for task {arn}")));
        }
        if let Some(arn) = find(&arn).filter(|arn| open.remove(arn)) {
            sorted
                .undescribed
                .push(UndescribedTask { arn: arn.to_owned(), reason: UndescribedReason::Missing });
        }
    }
    let left_out = requested.iter().filter(|arn| open.contains(arn.as_str()));
    sorted.undescribed.extend(
        left_out
            .map(|arn| UndescribedTask { arn: arn.clone(), reason: UndescribedReason::LeftOut }),
    );
    Ok(sorted)
}

/// The prefix `arn:aws:ecs:REGION:ACCOUNT:task` and the id, without the cluster's name between
/// them. A bare id has an empty prefix.
fn short_arn(arn: &str) -> (&str, &str) {
    let prefix = arn.split_once('/').map_or("", |(prefix, _)| prefix);
    (prefix, arn.rsplit('/').next().unwrap_or(arn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecs::Failure;

    const LONG_ARN: &str = "arn:aws:ecs:eu-central-1:274425519734:task/app/1";
    const SHORT_ARN: &str = "arn:aws:ecs:eu-central-1:274425519734:task/1";
    const OTHER_TASK_ARN: &str = "arn:aws:ecs:eu-central-1:274425519734:task/app/2";

    #[test]
    fn response_with_the_other_arn_format_is_matched_to_the_requested_task() {
        for (requested, answered) in
            [(LONG_ARN, SHORT_ARN), (SHORT_ARN, LONG_ARN), (LONG_ARN, LONG_ARN)]
        {
            let requested = [requested.to_owned()];
            let failure = |arn: &str| Failure {
                arn: Some(arn.to_owned()),
                reason: Some("MISSING".to_owned()),
            };
            let tasks = vec![Task { arn: answered.to_owned(), ..stopped_task() }];
            let answer = DescribedTasks { tasks, failures: Vec::new() };
            let described = classify(answer, &requested, &[]).unwrap();
            assert_eq!(described.tasks[0].arn, requested[0]);
            let answer = DescribedTasks { tasks: vec![], failures: vec![failure(answered)] };
            let described = classify(answer, &requested, &[]).unwrap();
            assert_eq!(described.undescribed[0].reason, UndescribedReason::Missing);
            let answer = DescribedTasks { tasks: vec![], failures: vec![failure(OTHER_TASK_ARN)] };
            assert_eq!(
                classify(answer, &requested, &[]).unwrap().undescribed[0].reason,
                UndescribedReason::LeftOut
            );
        }
    }

    #[test]
    fn response_with_the_short_arn_of_a_task_in_another_account_is_malformed() {
        let task = Task { arn: SHORT_ARN.replace("2744", "1111"), ..stopped_task() };
        let answer = DescribedTasks { tasks: vec![task], failures: Vec::new() };
        assert!(matches!(
            classify(answer, &[LONG_ARN.to_owned()], &[]),
            Err(CallError::Malformed(_))
        ));
    }

    fn stopped_task() -> Task {
        Task { last_status: Some("STOPPED".to_owned()), ..Task::default() }
    }
}

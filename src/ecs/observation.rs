//! Which containers count as running, and why the others do not.

use super::{Scope, Task};
use crate::snapshot::{DigestSource, RunningContainer, TaskOrigin, artifact_name};

/// A container of a task that was read, and whether it counts as running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation<'t> {
    pub cluster: &'t str,
    /// Service name; `None` for a standalone task.
    pub service: Option<&'t str>,
    pub task_arn: &'t str,
    pub origin: &'t TaskOrigin,
    pub container: &'t str,
    pub image: Option<&'t str>,
    /// The container as it is counted, or why it is not.
    pub result: Result<RunningContainer<'t>, ExclusionReason<'t>>,
}

/// Why a container is not in the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExclusionReason<'t> {
    /// The container itself does not run, whatever the state of its task.
    #[error("the container's last status is {0}")]
    NotRunning(&'t str),
    /// The task has stopped for good, whatever the container's last status.
    #[error("its task has stopped")]
    TaskStopped,
    /// ECS returned no status of the container.
    #[error("ECS returned no status of the container")]
    NoStatus,
    /// The service is excluded from the environment.
    #[error("service \"{0}\" is not in scope")]
    ServiceNotInScope(&'t str),
    /// The environment includes services by name, and the task belongs to none.
    #[error("a standalone task is not in scope if services are included by name")]
    StandaloneNotInScope,
}

/// Decides for each container of `task` whether it counts.
///
/// A container runs if its own last status is `RUNNING`: one of a draining task counts, an init
/// container that exited does not. Nothing runs in a task that has stopped, which a reader asks about
/// only once. `now`, in seconds since the Unix epoch, stands in for a start time that ECS does not
/// give.
pub fn observe<'t>(
    task: &'t Task,
    scope: &Scope,
    now: i64,
) -> impl Iterator<Item = Observation<'t>> {
    let service = task.service();
    let in_scope = scope.services.selects_task_of(service);
    task.containers.iter().map(move |container| {
        let name = container.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("unnamed");
        let image = container.image.as_deref();
        let result = match (container.last_status.as_deref(), service) {
            (None, _) => Err(ExclusionReason::NoStatus),
            (Some(status), _) if status != "RUNNING" => Err(ExclusionReason::NotRunning(status)),
            (Some(_), _) if task.has_stopped() => Err(ExclusionReason::TaskStopped),
            (Some(_), service) if in_scope => {
                let (fingerprint, digest_source) =
                    DigestSource::resolve(image, container.image_digest.as_deref());
                Ok(RunningContainer {
                    cluster: &task.cluster,
                    service,
                    task_arn: &task.arn,
                    started_at: task.started_at.or(task.created_at).unwrap_or(now),
                    origin: Some(&task.origin).filter(|origin| !origin.is_empty()),
                    artifact_name: artifact_name(image, name),
                    fingerprint,
                    digest_source,
                })
            }
            (Some(_), Some(service)) => Err(ExclusionReason::ServiceNotInScope(service)),
            (Some(_), None) => Err(ExclusionReason::StandaloneNotInScope),
        };
        Observation {
            cluster: &task.cluster,
            service,
            task_arn: &task.arn,
            origin: &task.origin,
            container: name,
            image,
            result,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecs::{Container, Filter, Selection};

    fn task(group: Option<&str>, containers: &[(&str, Option<&str>)]) -> Task {
        Task {
            arn: "arn:aws:ecs:eu-central-1:274425519734:task/app/1".to_owned(),
            cluster: "app".to_owned(),
            group: group.map(ToOwned::to_owned),
            containers: containers
                .iter()
                .map(|(name, status)| Container {
                    name: Some((*name).to_owned()),
                    image: Some(format!("{name}:1")),
                    image_digest: None,
                    last_status: status.map(ToOwned::to_owned),
                })
                .collect(),
            ..Task::default()
        }
    }

    fn counted<'t>(task: &'t Task, scope: &Scope) -> Vec<Result<&'t str, ExclusionReason<'t>>> {
        observe(task, scope, 7).map(|o| o.result.map(|c| c.artifact_name)).collect()
    }

    #[test]
    fn container_of_a_draining_task_counts_only_if_its_own_last_status_is_running() {
        let mut draining = task(
            Some("service:web"),
            &[
                ("web", Some("RUNNING")),
                ("init", Some("STOPPED")),
                ("slow", Some("PENDING")),
                ("odd", Some("running")),
                ("silent", None),
            ],
        );
        draining.last_status = Some("DEACTIVATING".to_owned());
        let not_running = |status| Err(ExclusionReason::NotRunning(status));
        assert_eq!(
            counted(&draining, &Scope::default()),
            [
                Ok("web:1"),
                not_running("STOPPED"),
                not_running("PENDING"),
                not_running("running"),
                Err(ExclusionReason::NoStatus),
            ]
        );
    }

    #[test]
    fn standalone_tasks_count_like_any_other_unless_services_are_included() {
        let including_web = Scope {
            services: Selection {
                include: Filter { names: vec!["web".to_owned()], pattern: None },
                exclude: Filter::default(),
            },
            ..Scope::default()
        };
        let other = Err(ExclusionReason::ServiceNotInScope("db"));
        let cases = [
            (Some("service:web"), Ok("x:1"), Ok("x:1")),
            (Some("service:db"), Ok("x:1"), other),
            (Some("family:x"), Ok("x:1"), Err(ExclusionReason::StandaloneNotInScope)),
            (Some("service:"), Ok("x:1"), Err(ExclusionReason::StandaloneNotInScope)),
            (None, Ok("x:1"), Err(ExclusionReason::StandaloneNotInScope)),
        ];
        for (group, everything, with_services) in cases {
            let task = task(group, &[("x", Some("RUNNING"))]);
            assert_eq!(counted(&task, &Scope::default()), [everything], "{group:?}");
            assert_eq!(counted(&task, &including_web), [with_services], "{group:?}");
        }
    }

    #[test]
    fn start_time_of_a_container_is_that_of_its_task_else_its_creation_else_now() {
        let mut task = task(None, &[("x", Some("RUNNING"))]);
        let started_at = |task: &Task| {
            observe(task, &Scope::default(), 7).next().unwrap().result.unwrap().started_at
        };
        assert_eq!(started_at(&task), 7);
        task.created_at = Some(5);
        assert_eq!(started_at(&task), 5);
        task.started_at = Some(6);
        assert_eq!(started_at(&task), 6);
    }
}

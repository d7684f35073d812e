//! Accounts, in the words of the tables.

use envsnap::standin::{Cluster, Container, Task, World};
use jiff::Timestamp;

use crate::programs::{ACCOUNT, REGION};

/// When every task was created, and when it started, in seconds since the Unix epoch.
pub(super) const CREATED: i64 = 1_661_161_100;
pub(super) const STARTED: i64 = 1_661_161_157;

/// An account with these clusters.
pub(super) fn account(clusters: impl IntoIterator<Item = Cluster>) -> World {
    clusters.into_iter().fold(World::new(REGION, ACCOUNT), World::cluster)
}

/// An account with cluster `app` alone, where service `web` runs a task of image `web:1`, whose
/// digest is `a`, and these tasks beside it.
pub(super) fn account_with_app(tasks: impl IntoIterator<Item = Task>) -> World {
    account([tasks.into_iter().fold(Cluster::new("app").task(web_task()), Cluster::task)])
}

/// A task of service `web`, which runs image `web:1`, whose digest is `a`.
pub(super) fn web_task() -> Task {
    service_task("web", [container("web", "web:1", 'a')])
}

/// A running task of a service.
pub(super) fn service_task(name: &str, containers: impl IntoIterator<Item = Container>) -> Task {
    containers.into_iter().fold(with_start_times(Task::in_service(name)), Task::with)
}

/// A running task of no service, as `RunTask` starts it.
pub(super) fn standalone_task(
    family: &str,
    containers: impl IntoIterator<Item = Container>,
) -> Task {
    containers.into_iter().fold(with_start_times(Task::standalone(family)), Task::with)
}

/// The task, created and started at the times that all tasks have.
fn with_start_times(task: Task) -> Task {
    let mut task = task.running_since(Timestamp::from_second(STARTED).unwrap());
    task.created_at = Some(Timestamp::from_second(CREATED).unwrap());
    task
}

/// A container of this image, whose digest is `digit` 64 times.
pub(super) fn container(name: &str, image: &str, digit: char) -> Container {
    Container::new(name).image(image).digest(&digest(digit))
}

/// The digest of 64 times this hexadecimal digit, by which the tables call it.
pub(super) fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

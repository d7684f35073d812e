//! Accounts of few and many tasks, services and clusters.

use envsnap::standin::{Cluster, World};

use super::account::{account, container, service_task, web_task};
use super::{Case, Fails, NoReport, Reports, reports};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "no task, in a service that exists",
            service_without_tasks(),
            NoReport,
            reports([]),
        ),
        Case::new(
            "a cluster without services and tasks",
            account([Cluster::new("app")]),
            NoReport,
            reports([]),
        ),
        Case::same_result("1 task", account_with_tasks(1), reports(["app/web web:1=a"])),
        Case::same_result(
            "100 tasks of one service",
            account_with_tasks(100),
            reports(["100 x app/web web:1=a"]),
        ),
        Case::same_result(
            "101 tasks of one service",
            account_with_tasks(101),
            reports(["101 x app/web web:1=a"]),
        ),
        Case::same_result(
            "250 tasks of one service",
            account_with_tasks(250),
            reports(["250 x app/web web:1=a"]),
        ),
        Case::same_result(
            "11 services",
            account_with_services(11),
            Reports(numbered_lines(11, |n| format!("app/web-{n} web:1=a"))),
        ),
        Case::new("no cluster", account([]), Fails(2, "aws-prod: NothingInScope: "), reports([])),
        Case::same_result(
            "30 clusters",
            account_with_clusters(30),
            Reports(numbered_lines(30, |n| format!("app-{n}/web web:1=a"))),
        ),
        Case::same_result(
            "101 clusters",
            account_with_clusters(101),
            Reports(numbered_lines(101, |n| format!("app-{n}/web web:1=a"))),
        ),
    ]
}

/// A service that exists and runs nothing.
fn service_without_tasks() -> World {
    account([Cluster::new("app").service("web")])
}

/// One service with this many tasks.
fn account_with_tasks(count: usize) -> World {
    account([Cluster::new("app").tasks(count, &web_task())])
}

/// This many services, each with one task.
pub(super) fn account_with_services(count: usize) -> World {
    let task = |number| service_task(&format!("web-{number}"), [container("web", "web:1", 'a')]);
    account([(0..count).map(task).fold(Cluster::new("app"), Cluster::task)])
}

/// This many clusters, each with one task.
pub(super) fn account_with_clusters(count: usize) -> World {
    account((0..count).map(|number| Cluster::new(&format!("app-{number}")).task(web_task())))
}

/// A line for each number below `count`, sorted.
pub(super) fn numbered_lines(count: usize, line: impl Fn(usize) -> String) -> Vec<String> {
    let mut lines: Vec<_> = (0..count).map(line).collect();
    lines.sort();
    lines
}

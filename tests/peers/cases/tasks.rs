//! Kinds of tasks.

use envsnap::standin::{Cluster, Task};
use serde_json::json;

use super::account::{
    account, account_with_app, container, service_task, standalone_task, web_task,
};
use super::{Case, Crashes, reports};

const WEB: &str = "app/web web:1=a";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::same_result("a task of a service", account_with_app([]), reports([WEB])),
        Case::new(
            "a standalone task (RunTask)",
            account_with_app([standalone_task("job", [container("job", "job:1", 'b')])]),
            reports(["app/- job:1=b", WEB]),
            reports([WEB]),
        ),
        Case::new(
            "a cluster of standalone tasks only",
            account([
                Cluster::new("jobs").task(standalone_task("job", [container("job", "job:1", 'b')]))
            ]),
            reports(["jobs/- job:1=b"]),
            reports([]),
        ),
        Case::new(
            "a scheduled task",
            account_with_app([scheduled_task()]),
            reports(["app/- nightly:1=b", WEB]),
            reports([WEB]),
        ),
        Case::same_result(
            "a task of a daemon service",
            account_with_app([daemon_task()]),
            reports(["app/agent agent:1=b", WEB]),
        ),
        Case::same_result(
            "EC2, Fargate, external and managed launch types",
            account_with_app(["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"].map(|kind| {
                Task {
                    launch_type: Some(kind.to_owned()),
                    ..service_task("api", [container("api", "api:1", 'b')])
                }
            })),
            reports(["4 x app/api api:1=b", WEB]),
        ),
        Case::new(
            "a draining task, whose containers still run",
            account_with_app([service_task("web", [container("web", "web:0", 'b')]).draining()]),
            reports(["app/web web:0=b", WEB]),
            reports([WEB]),
        ),
        Case::same_result(
            "a task that has stopped",
            account_with_app([service_task("web", [container("web", "web:0", 'b')]).stopped()]),
            reports([WEB]),
        ),
        Case::same_result(
            "a task that has not started",
            account_with_app([service_task("web", [container("web", "web:2", 'b')]).pending()]),
            reports([WEB]),
        ),
        Case::new(
            "a task in state ACTIVATING, whose containers run",
            account_with_app([with_last_status(
                "ACTIVATING",
                service_task("web", [container("web", "web:2", 'b').last_status("RUNNING")]),
            )]),
            reports([WEB, "app/web web:2=b"]),
            reports([WEB]),
        ),
        Case::new(
            "a task in an unknown state, whose containers run",
            account_with_app([with_last_status(
                "HIBERNATING",
                service_task("web", [container("web", "web:2", 'b')]),
            )]),
            reports([WEB, "app/web web:2=b"]),
            reports([WEB]),
        ),
        Case::new(
            "a task without startedAt",
            account_with_app([service_task("api", [container("api", "api:1", 'b')])
                .raw(json!({"startedAt": null}))]),
            reports(["app/api api:1=b since it was created", WEB]),
            Crashes,
        ),
        Case::new(
            "a task without startedAt and createdAt",
            account_with_app([service_task("api", [container("api", "api:1", 'b')])
                .raw(json!({"startedAt": null, "createdAt": null}))]),
            reports(["app/api api:1=b since now", WEB]),
            Crashes,
        ),
        Case::same_result(
            "one image in several clusters",
            account(["app", "edge", "ops"].map(|name| Cluster::new(name).task(web_task()))),
            reports([WEB, "edge/web web:1=a", "ops/web web:1=a"]),
        ),
    ]
}

fn scheduled_task() -> Task {
    Task {
        started_by: Some("events-rule/nightly".to_owned()),
        group: Some("family:nightly".to_owned()),
        ..standalone_task("nightly", [container("nightly", "nightly:1", 'b')])
    }
}

fn daemon_task() -> Task {
    Task {
        launch_type: Some("EC2".to_owned()),
        started_by: Some("ecs-svc/1234567890123456789".to_owned()),
        group: Some("service:agent".to_owned()),
        ..service_task("agent", [container("agent", "agent:1", 'b')])
    }
}

fn with_last_status(last_status: &str, task: Task) -> Task {
    Task { last_status: last_status.to_owned(), ..task }
}

//! Kinds of tasks.

use envsnap::standin::{Cluster, Task};
use serde_json::json;

use super::account::{account, app, image, service, standalone, web};
use super::{Case, Crashes, reports};

const WEB: &str = "app/web web:1=a";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::same_result("a task of a service", app([]), reports([WEB])),
        Case::new(
            "a standalone task (RunTask)",
            app([standalone("job", [image("job", "job:1", 'b')])]),
            reports(["app/- job:1=b", WEB]),
            reports([WEB]),
        ),
        Case::new(
            "a cluster of standalone tasks only",
            account([Cluster::new("jobs").task(standalone("job", [image("job", "job:1", 'b')]))]),
            reports(["jobs/- job:1=b"]),
            reports([]),
        ),
        Case::new(
            "a scheduled task",
            app([scheduled()]),
            reports(["app/- nightly:1=b", WEB]),
            reports([WEB]),
        ),
        Case::same_result(
            "a task of a daemon service",
            app([daemon()]),
            reports(["app/agent agent:1=b", WEB]),
        ),
        Case::same_result(
            "EC2, Fargate, external and managed launch types",
            app(["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"].map(|kind| Task {
                launch_type: Some(kind.to_owned()),
                ..service("api", [image("api", "api:1", 'b')])
            })),
            reports(["4 x app/api api:1=b", WEB]),
        ),
        Case::new(
            "a draining task, whose containers still run",
            app([service("web", [image("web", "web:0", 'b')]).draining()]),
            reports(["app/web web:0=b", WEB]),
            reports([WEB]),
        ),
        Case::same_result(
            "a task that has stopped",
            app([service("web", [image("web", "web:0", 'b')]).stopped()]),
            reports([WEB]),
        ),
        Case::same_result(
            "a task that has not started",
            app([service("web", [image("web", "web:2", 'b')]).pending()]),
            reports([WEB]),
        ),
        Case::new(
            "a task in state ACTIVATING, whose containers run",
            app([in_state(
                "ACTIVATING",
                service("web", [image("web", "web:2", 'b').last_status("RUNNING")]),
            )]),
            reports([WEB, "app/web web:2=b"]),
            reports([WEB]),
        ),
        Case::new(
            "a task in an unknown state, whose containers run",
            app([in_state("HIBERNATING", service("web", [image("web", "web:2", 'b')]))]),
            reports([WEB, "app/web web:2=b"]),
            reports([WEB]),
        ),
        Case::new(
            "a task without startedAt",
            app([service("api", [image("api", "api:1", 'b')]).raw(json!({"startedAt": null}))]),
            reports(["app/api api:1=b since it was created", WEB]),
            Crashes,
        ),
        Case::new(
            "a task without startedAt and createdAt",
            app([service("api", [image("api", "api:1", 'b')])
                .raw(json!({"startedAt": null, "createdAt": null}))]),
            reports(["app/api api:1=b since now", WEB]),
            Crashes,
        ),
        Case::same_result(
            "one image in several clusters",
            account(["app", "edge", "ops"].map(|name| Cluster::new(name).task(web()))),
            reports([WEB, "edge/web web:1=a", "ops/web web:1=a"]),
        ),
    ]
}

fn scheduled() -> Task {
    Task {
        started_by: Some("events-rule/nightly".to_owned()),
        group: Some("family:nightly".to_owned()),
        ..standalone("nightly", [image("nightly", "nightly:1", 'b')])
    }
}

fn daemon() -> Task {
    Task {
        launch_type: Some("EC2".to_owned()),
        started_by: Some("ecs-svc/1234567890123456789".to_owned()),
        group: Some("service:agent".to_owned()),
        ..service("agent", [image("agent", "agent:1", 'b')])
    }
}

fn in_state(last_status: &str, task: Task) -> Task {
    Task { last_status: last_status.to_owned(), ..task }
}

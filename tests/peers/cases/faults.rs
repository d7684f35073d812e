//! Calls that ECS refuses, and responses that lack a task.

use envsnap::standin::{Cluster, Fault, Operation, StandIn, World};
use serde_json::json;

use super::account::{account, container, service_task, web_task};
use super::{Case, Fails, reports};

const WEB: &str = "app/web web:1=a";
const API: &str = "db/api api:1=b";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::same_result(
            "a task that is gone before it is described",
            three_tasks_in_two_clusters(),
            reports([WEB, API]),
        )
        .with_fault(remove_api_task_before_description),
        Case::new(
            "the only task of a cluster is gone before it is described",
            two_clusters_with_services(),
            Fails(2, "aws-prod: EcsUnavailable: "),
            reports([WEB]),
        )
        .with_fault(remove_api_task_before_description),
        Case::new(
            "a task that cannot be described for another reason",
            two_clusters_with_services(),
            Fails(2, "aws-prod: EcsUnavailable: "),
            reports([WEB]),
        )
        .with_fault(|ecs| {
            let failure =
                json!({"tasks": [], "failures": [{"arn": api_task_arn(ecs), "reason": "INTERNAL"}]});
            let fault = Fault::json(&failure.to_string());
            ecs.faults(|faults| {
                faults.always_in("db", Operation::DescribeTasks, fault);
            });
        }),
        Case::new(
            "one cluster that may not be read",
            two_clusters_with_services(),
            Fails(2, "aws-prod: AccessDenied: "),
            Fails(1, "AccessDeniedException"),
        )
        .with_fault(|ecs| {
            ecs.faults(|faults| {
                for operation in Operation::ALL {
                    faults.always_in("db", operation, Fault::AccessDenied);
                }
            });
        }),
    ]
}

/// Cluster `app` with service `web`, and cluster `db` with service `api`.
fn two_clusters_with_services() -> World {
    let api = service_task("api", [container("api", "api:1", 'b')]);
    account([Cluster::new("app").task(web_task()), Cluster::new("db").task(api)])
}

/// The same, with a second task of `api`.
fn three_tasks_in_two_clusters() -> World {
    let api = service_task("api", [container("api", "api:1", 'b')]);
    account([Cluster::new("app").task(web_task()), Cluster::new("db").tasks(2, &api)])
}

/// The id of the first task in cluster `db`.
fn api_task_id(ecs: &StandIn) -> String {
    ecs.update(|world| world.clusters["db"].tasks.keys().next().unwrap().clone())
}

fn api_task_arn(ecs: &StandIn) -> String {
    let id = api_task_id(ecs);
    ecs.update(|world| world.task_arn("db", &id))
}

/// Has ECS list a task of `api`, and then say that it does not exist.
fn remove_api_task_before_description(ecs: &StandIn) {
    let id = api_task_id(ecs);
    ecs.faults(|faults| {
        faults.lose_task(&id);
    });
}

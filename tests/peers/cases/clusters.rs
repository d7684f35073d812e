//! Clusters that are deleted or inactive, and filters by cluster and service.

use envsnap::standin::{Cluster, Operation, World};

use super::account::{
    account, account_with_app, container, service_task, standalone_task, web_task,
};
use super::{CLUSTERS, Case, EXCLUDE_CLUSTERS, EXCLUDE_SERVICES, Fails, SERVICES, reports};

const WEB: &str = "app/web web:1=a";
const NOT_FOUND: &str = "aws-prod: ClusterNotFound: ";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::same_result("a cluster by name", clusters_app_and_gone(), reports([WEB]))
            .filtered(CLUSTERS, "app"),
        Case::same_result("all clusters but one", clusters_app_and_gone(), reports([WEB]))
            .filtered(EXCLUDE_CLUSTERS, "gone"),
        Case::new(
            "a cluster that does not exist, by name",
            account_with_app([]),
            Fails(2, NOT_FOUND),
            reports([]),
        )
        .filtered(CLUSTERS, "missing"),
        Case::new(
            "two clusters by name, one of which does not exist",
            account_with_app([]),
            Fails(2, NOT_FOUND),
            reports([WEB]),
        )
        .filtered(CLUSTERS, "app,missing"),
        Case::new(
            "an inactive cluster that is still listed",
            with_inactive_cluster(),
            reports([WEB]),
            Fails(1, "ClusterNotFoundException"),
        ),
        Case::new(
            "an inactive cluster, by name",
            with_inactive_cluster(),
            Fails(2, NOT_FOUND),
            Fails(1, "ClusterNotFoundException"),
        )
        .filtered(CLUSTERS, "old"),
        Case::same_result(
            "a cluster that goes once clusters are listed",
            clusters_app_and_gone(),
            reports([WEB]),
        )
        .with_fault(|ecs| ecs.on_call(Operation::ListClusters, 1, remove_cluster_gone)),
        Case::new(
            "a cluster that goes once its tasks or services are listed",
            clusters_app_and_gone(),
            reports([WEB]),
            Fails(1, "ClusterNotFoundException"),
        )
        .with_fault(|ecs| {
            ecs.on_call(Operation::ListTasks, 1, remove_cluster_gone);
            ecs.on_call(Operation::ListServices, 1, remove_cluster_gone);
        }),
        Case::same_result("a service by name", two_services_and_standalone_task(), reports([WEB]))
            .filtered(SERVICES, "web"),
        Case::new(
            "all services but one, and standalone tasks",
            two_services_and_standalone_task(),
            reports(["app/- job:1=c", WEB]),
            reports([WEB]),
        )
        .filtered(EXCLUDE_SERVICES, "api"),
        Case::new(
            "a filter that matches no service",
            two_services_and_standalone_task(),
            Fails(2, "aws-prod: NothingInScope: "),
            reports([]),
        )
        .filtered(SERVICES, "nope"),
    ]
}

fn with_inactive_cluster() -> World {
    account([Cluster::new("app").task(web_task()), Cluster::new("old").task(web_task()).inactive()])
}

fn clusters_app_and_gone() -> World {
    account([Cluster::new("app").task(web_task()), Cluster::new("gone").task(web_task())])
}

fn remove_cluster_gone(world: &mut World) {
    world.clusters.remove("gone");
}

fn two_services_and_standalone_task() -> World {
    account_with_app([
        service_task("api", [container("api", "api:1", 'b')]),
        standalone_task("job", [container("job", "job:1", 'c')]),
    ])
}

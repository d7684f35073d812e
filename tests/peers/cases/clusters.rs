//! Clusters that come and go, and filters that match or do not.

use envsnap::standin::{Cluster, Operation, World};

use super::account::{account, app, image, service, standalone, web};
use super::{CLUSTERS, Case, EXCLUDE_CLUSTERS, EXCLUDE_SERVICES, Fails, SERVICES, reports};

const WEB: &str = "app/web web:1=a";
const NOT_FOUND: &str = "aws-prod: ClusterNotFound: ";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::same_result("a cluster by name", two_clusters(), reports([WEB]))
            .filtered(CLUSTERS, "app"),
        Case::same_result("all clusters but one", two_clusters(), reports([WEB]))
            .filtered(EXCLUDE_CLUSTERS, "gone"),
        Case::new(
            "a cluster that does not exist, by name",
            app([]),
            Fails(2, NOT_FOUND),
            reports([]),
        )
        .filtered(CLUSTERS, "missing"),
        Case::new(
            "two clusters by name, one of which does not exist",
            app([]),
            Fails(2, NOT_FOUND),
            reports([WEB]),
        )
        .filtered(CLUSTERS, "app,missing"),
        Case::new(
            "an inactive cluster that is still listed",
            with_inactive(),
            reports([WEB]),
            Fails(1, "ClusterNotFoundException"),
        ),
        Case::new(
            "an inactive cluster, by name",
            with_inactive(),
            Fails(2, NOT_FOUND),
            Fails(1, "ClusterNotFoundException"),
        )
        .filtered(CLUSTERS, "old"),
        Case::same_result(
            "a cluster that goes once clusters are listed",
            two_clusters(),
            reports([WEB]),
        )
        .with_fault(|ecs| ecs.on_call(Operation::ListClusters, 1, forget_gone)),
        Case::new(
            "a cluster that goes once its tasks or services are listed",
            two_clusters(),
            reports([WEB]),
            Fails(1, "ClusterNotFoundException"),
        )
        .with_fault(|ecs| {
            ecs.on_call(Operation::ListTasks, 1, forget_gone);
            ecs.on_call(Operation::ListServices, 1, forget_gone);
        }),
        Case::same_result("a service by name", of_all_kinds(), reports([WEB]))
            .filtered(SERVICES, "web"),
        Case::new(
            "all services but one, and standalone tasks",
            of_all_kinds(),
            reports(["app/- job:1=c", WEB]),
            reports([WEB]),
        )
        .filtered(EXCLUDE_SERVICES, "api"),
        Case::new(
            "a filter that matches no service",
            of_all_kinds(),
            Fails(2, "aws-prod: NothingInScope: "),
            reports([]),
        )
        .filtered(SERVICES, "nope"),
    ]
}

fn with_inactive() -> World {
    account([Cluster::new("app").task(web()), Cluster::new("old").task(web()).inactive()])
}

fn two_clusters() -> World {
    account([Cluster::new("app").task(web()), Cluster::new("gone").task(web())])
}

fn forget_gone(world: &mut World) {
    world.clusters.remove("gone");
}

fn of_all_kinds() -> World {
    app([
        service("api", [image("api", "api:1", 'b')]),
        standalone("job", [image("job", "job:1", 'c')]),
    ])
}

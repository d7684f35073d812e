//! What ECS refuses, as the SDK's typed errors.

use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_sdk_ecs::types::LaunchType;

use super::{Cluster, app, runner, start, task_arns, world};

#[tokio::test]
async fn a_page_size_out_of_range_is_refused() {
    let (_ecs, client) = start(world().cluster(app(1))).await;
    for size in [i32::MIN, -1, 0, 101, i32::MAX] {
        let error = client.list_tasks().cluster("app").max_results(size);
        let error = error.send().await.unwrap_err().into_service_error();
        assert!(error.is_invalid_parameter_exception(), "{size}: {error:?}");
        let error = client.list_clusters().max_results(size);
        let error = error.send().await.unwrap_err().into_service_error();
        assert!(error.is_invalid_parameter_exception(), "{size}: {error:?}");
        let error = client.list_services().cluster("app").max_results(size);
        let error = error.send().await.unwrap_err().into_service_error();
        assert!(error.is_invalid_parameter_exception(), "{size}: {error:?}");
    }
    for size in [1, 100] {
        let page = client.list_tasks().cluster("app").max_results(size);
        assert_eq!(page.send().await.unwrap().task_arns().len(), 1);
    }
}

#[tokio::test]
async fn describing_more_resources_per_call_than_ecs_allows_is_rejected() {
    let (_ecs, client) = start(world().cluster(app(1))).await;
    let names = |count: usize| Some(vec!["app".to_owned(); count]);
    let tasks = |count| client.describe_tasks().cluster("app").set_tasks(names(count));
    let services = |count| {
        let describe = client.describe_services().cluster("app");
        describe.set_services(names(count))
    };
    let clusters = |count| client.describe_clusters().set_clusters(names(count));

    assert!(tasks(100).send().await.is_ok());
    let error = tasks(101).send().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_parameter_exception(), "{error:?}");
    let error = tasks(0).send().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_parameter_exception(), "{error:?}");
    assert_eq!(error.message(), Some("Tasks cannot be empty."));

    assert!(services(10).send().await.is_ok());
    let error = services(11).send().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_parameter_exception(), "{error:?}");
    let error = services(0).send().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_parameter_exception(), "{error:?}");

    assert!(clusters(100).send().await.is_ok());
    let error = clusters(101).send().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_parameter_exception(), "{error:?}");
}

#[tokio::test]
async fn cluster_that_is_unknown_inactive_or_of_another_account_or_region_is_not_found() {
    let world = world().cluster(app(1)).cluster(Cluster::new("old").task(runner()).inactive());
    let (_ecs, client) = start(world).await;
    for cluster in [
        "missing",
        "old",
        "",
        "arn:aws:ecs:eu-central-1:274425519734:cluster/old",
        "arn:aws:ecs:us-east-1:274425519734:cluster/app",
        "arn:aws:ecs:eu-central-1:000000000000:cluster/app",
    ] {
        let error = client.list_tasks().cluster(cluster).send().await;
        let error = error.unwrap_err().into_service_error();
        assert!(error.is_cluster_not_found_exception(), "{cluster}");
        assert_eq!(error.message(), Some("Cluster not found."));
        let error = client.describe_tasks().cluster(cluster).tasks("t").send();
        let error = error.await.unwrap_err().into_service_error();
        assert!(error.is_cluster_not_found_exception(), "{cluster}");
        let error = client.list_services().cluster(cluster).send().await;
        let error = error.unwrap_err().into_service_error();
        assert!(error.is_cluster_not_found_exception(), "{cluster}");
        let error = client.describe_services().cluster(cluster).services("s");
        let error = error.send().await.unwrap_err().into_service_error();
        assert!(error.is_cluster_not_found_exception(), "{cluster}");
    }
}

#[tokio::test]
async fn request_without_a_cluster_uses_the_cluster_named_default() {
    let world = world().cluster(Cluster::new("default").task(runner()));
    let (_ecs, client) = start(world).await;
    let listed = client.list_tasks().send().await.unwrap();
    assert_eq!(listed.task_arns().len(), 1);
    let described = client.describe_clusters().send().await.unwrap();
    assert_eq!(described.clusters()[0].cluster_name(), Some("default"));
}

#[tokio::test]
async fn inactive_clusters_are_described_and_listed_unless_unlisted_and_unknown_ones_missing() {
    let world = world()
        .cluster(app(1))
        .cluster(Cluster::new("old").task(runner()).inactive())
        .cluster(Cluster::new("older").inactive().unlisted());
    let (_ecs, client) = start(world).await;
    let listed = client.list_clusters().send().await.unwrap();
    assert_eq!(
        listed.cluster_arns(),
        [
            "arn:aws:ecs:eu-central-1:274425519734:cluster/app",
            "arn:aws:ecs:eu-central-1:274425519734:cluster/old",
        ]
    );
    let described = client
        .describe_clusters()
        .clusters("arn:aws:ecs:eu-central-1:274425519734:cluster/old")
        .clusters("older")
        .clusters("missing")
        .send()
        .await
        .unwrap();
    for cluster in described.clusters() {
        assert_eq!(cluster.status(), Some("INACTIVE"));
        assert_eq!(cluster.running_tasks_count(), 0);
    }
    assert_eq!(described.clusters().len(), 2);
    let [failure] = described.failures() else { panic!("not one failure: {described:?}") };
    assert_eq!(failure.arn(), Some("arn:aws:ecs:eu-central-1:274425519734:cluster/missing"));
    assert_eq!(failure.reason(), Some("MISSING"));
}

#[tokio::test]
async fn described_tasks_that_are_gone_or_of_another_cluster_are_reported_as_missing() {
    let world = world().cluster(app(2)).cluster(Cluster::new("other").task(runner()));
    let (ecs, client) = start(world).await;
    let elsewhere = task_arns(&client, "other", "RUNNING").await;
    let here = task_arns(&client, "app", "RUNNING").await;
    ecs.update(|world| world.cluster_mut("app").tasks.pop_first());
    let described = client
        .describe_tasks()
        .cluster("app")
        .set_tasks(Some([here.clone(), elsewhere.clone()].concat()))
        .tasks("no-such-id")
        .send()
        .await
        .unwrap();
    assert_eq!(described.tasks().len(), 1);
    assert_eq!(described.tasks()[0].task_arn(), Some(here[1].as_str()));
    let missing: Vec<_> = described
        .failures()
        .iter()
        .map(|failure| (failure.arn().unwrap(), failure.reason().unwrap()))
        .collect();
    assert_eq!(
        missing,
        [
            (here[0].as_str(), "MISSING"),
            (elsewhere[0].as_str(), "MISSING"),
            ("arn:aws:ecs:eu-central-1:274425519734:task/app/no-such-id", "MISSING"),
        ]
    );
}

#[tokio::test]
async fn services_are_described_with_task_counts_and_unknown_ones_reported_as_missing() {
    let cluster = app(2).task(runner().pending()).task(runner().draining()).service("idle");
    let (_ecs, client) = start(world().cluster(cluster)).await;
    let described = client
        .describe_services()
        .cluster("app")
        .services("runner")
        .services("arn:aws:ecs:eu-central-1:274425519734:service/app/idle")
        .services("missing")
        .send()
        .await
        .unwrap();
    let counts: Vec<_> = described
        .services()
        .iter()
        .map(|service| {
            let name = service.service_name().unwrap();
            let status = service.status().unwrap();
            let counts =
                (service.desired_count(), service.running_count(), service.pending_count());
            (name, status, counts)
        })
        .collect();
    assert_eq!(counts, [("runner", "ACTIVE", (3, 2, 1)), ("idle", "ACTIVE", (0, 0, 0))]);
    assert_eq!(described.failures().len(), 1);
}

#[tokio::test]
async fn unsupported_request_fields_are_rejected_with_their_name() {
    let (_ecs, client) = start(world().cluster(app(1))).await;
    let list = || client.list_tasks().cluster("app");
    for (field, refused) in [
        ("family", list().family("runner")),
        ("launchType", list().launch_type(LaunchType::Ec2)),
        ("startedBy", list().started_by("me")),
        ("containerInstance", list().container_instance("i-1")),
        ("desiredStatus", list().desired_status("DELETED".into())),
    ] {
        let error = refused.send().await.unwrap_err().into_service_error();
        assert!(error.is_invalid_parameter_exception(), "{error:?}");
        let message = error.message().unwrap();
        assert!(message.contains(field), "{message}");
    }
    let error = client.list_task_definitions().send().await.unwrap_err();
    let error = error.into_service_error();
    assert_eq!(error.code(), Some("UnknownOperationException"));
}

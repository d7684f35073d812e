//! From ECS over HTTP to the recorder over HTTP.

use std::time::Duration;

use envsnap::report::{MAX_ROWS, OutcomeKind, Trigger, TriggerKind};
use envsnap::standin::{Cluster, Container, Fault, Operation, Quotas, Task, World};
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use crate::harness::{Bench, ENVIRONMENT, app, digest, error_type, started, task, world};

fn replica_counts(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[tokio::test]
async fn draining_task_counts_until_it_stops_and_an_unchanged_run_posts_nothing() {
    let mut world = app();
    world.cluster_mut("app").add(task("runner", 9).draining());
    let bench = Bench::start(world, &[]).await;

    let first = bench.tick().await;
    assert_eq!((first.outcome, first.created), (OutcomeKind::Posted, true), "{first:?}");
    assert_eq!((first.tasks, first.containers), (Some(6), Some(6)));
    let expected = [("differ:3", 1), ("runner:1", 3), ("runner:9", 1), ("shas:2", 1)];
    assert_eq!(bench.recorded().await, (1, replica_counts(&expected)));

    let second = bench.tick().await;
    assert_eq!(second.outcome, OutcomeKind::Unchanged);
    assert_eq!(second.calls.server, 0);

    bench.ecs.update(|world| {
        for task in world.cluster_mut("app").tasks_of("runner") {
            if task.desired_status == "STOPPED" {
                task.stop();
            }
        }
    });
    let third = bench.tick().await;
    assert_eq!((third.outcome, third.created), (OutcomeKind::Posted, true));
    assert_eq!(third.changes.exited.len(), 1);
    assert_eq!(third.changes.exited[0].name, "runner:9");
    assert!(third.changes.started.is_empty() && third.changes.scaled.is_empty());
    let expected = [("differ:3", 1), ("runner:1", 3), ("shas:2", 1)];
    assert_eq!(bench.recorded().await, (2, replica_counts(&expected)));
}

#[tokio::test]
async fn one_cluster_takes_three_ecs_calls_per_run_and_three_server_calls_in_the_first() {
    let bench = Bench::start(world(Cluster::new("app").tasks(13, &task("web", 1))), &[]).await;
    let cold = bench.tick().await;
    assert_eq!((cold.calls.ecs, cold.calls.server), (3, 3));
    let warm = bench.tick().await;
    assert_eq!((warm.calls.ecs, warm.calls.server), (3, 0));
    assert_eq!(bench.ecs.calls().total(), 6, "what is counted is what was sent");
}

#[tokio::test]
async fn running_sidecars_and_pinned_images_are_counted_and_exited_or_pending_ones_are_not() {
    let sidecars = Task::in_service("web")
        .running_since(started())
        .container("web", "web:1", &digest(1))
        .container("twin", "web:1", &digest(1))
        .with(Container::new("init").image("init:1").digest(&digest(7)).exited(0))
        .with(Container::new("ecs-service-connect-Xa1b2"))
        .with(Container::new("aws-guardduty-agent-Yc3").digest(&digest(8)));
    let pinned = format!("job@{}", digest(5));
    let world = world(
        Cluster::new("app")
            .task(sidecars)
            .task(Task::standalone("job").with(Container::new("job").image(&pinned)))
            .task(task("pending", 6).pending())
            .task(task("stopped", 6).stopped()),
    );
    let bench = Bench::start(world, &[]).await;

    let outcome = bench.manual(|trigger| trigger.explain = true).await;

    assert_eq!((outcome.tasks, outcome.containers), (Some(2), Some(5)), "{outcome:?}");
    assert_eq!(outcome.unresolved, ["ecs-service-connect"]);
    let expected = [
        ("aws-guardduty-agent".to_owned(), 1),
        ("ecs-service-connect".to_owned(), 1),
        (pinned.clone(), 1),
        ("web:1".to_owned(), 2),
    ];
    assert_eq!(bench.recorded().await.1, expected);
    let source = |name: &str| {
        let artifact = outcome.artifacts.iter().find(|a| a.name == name).unwrap();
        serde_json::to_value(artifact.digest_source).unwrap()
    };
    assert_eq!(source("web:1"), "ecs");
    assert_eq!(source(&pinned), "pinned");
    assert_eq!(source("ecs-service-connect"), "unknown");

    let explanations = outcome.explanations.unwrap();
    assert_eq!(explanations.len(), 8);
    let why = |name: &str| {
        let row = explanations.iter().find(|row| row.container == name).unwrap();
        (row.counted, row.reason.clone())
    };
    assert_eq!(why("init"), (false, "not counted: the container's last status is STOPPED".into()));
    assert!(why("pending").1.contains("PENDING"), "{:?}", why("pending"));
    assert!(why("job").1.contains("pins one"), "{:?}", why("job"));
    assert!(why("job").1.contains("the index around it"), "{:?}", why("job"));
    assert!(!why("web").1.contains("index"), "{:?}", why("web"));

    let again = bench.tick().await;
    assert_eq!(
        again.outcome,
        OutcomeKind::Unchanged,
        "a new suffix or an unknown digest is no change"
    );
}

#[tokio::test]
async fn service_filter_excludes_other_services_and_standalone_tasks() {
    let mut app = app();
    app.cluster_mut("app").add(Task::standalone("job").container("job", "job:1", &digest(9)));
    let bench =
        Bench::start(app, &[("ECS_SERVICES", "runner"), ("ECS_SERVICES_REGEX", "^sh")]).await;
    bench.tick().await;
    assert_eq!(bench.recorded().await.1, replica_counts(&[("runner:1", 3), ("shas:2", 1)]));
}

#[tokio::test]
async fn four_thousand_tasks_are_all_reported_and_the_outcome_is_truncated() {
    let mut cluster = Cluster::new("app");
    for n in 0..4_000_u32 {
        let hex = format!("{n:064x}");
        let image = format!("{}-{n}", "x".repeat(200));
        cluster.add(Task::in_service("web").running_since(started()).container(
            "web",
            &image,
            &format!("sha256:{hex}"),
        ));
    }
    let bench = Bench::start(world(cluster), &[("QUOTA_SHARE", "1")]).await;
    bench.ecs.faults(|faults| {
        faults.throttle(Quotas::documented());
    });

    let outcome = bench.manual(|trigger| trigger.explain = true).await;

    assert_eq!(outcome.outcome, OutcomeKind::Posted, "{:?}", outcome.error);
    assert_eq!((outcome.tasks, outcome.artifacts.len()), (Some(4_000), 4_000));
    assert_eq!(outcome.calls.ecs, 81, "40 pages, one of stopped tasks, 40 descriptions");
    assert_eq!(bench.ecs.calls().total(), 81, "none was throttled and made again");
    assert_eq!(bench.recorder.latest(ENVIRONMENT).await.running().count(), 4_000);
    let short = outcome.truncated(MAX_ROWS);
    assert_eq!(short.artifacts.len(), MAX_ROWS);
    assert_eq!(short.omitted.artifacts, 3_000);
    assert_eq!(short.omitted.started, 3_000);
    assert_eq!(short.omitted.explanations, 3_000);
    assert!(serde_json::to_vec(&short).unwrap().len() < 5 << 20);
}

#[tokio::test]
async fn cluster_that_cannot_be_read_completely_fails_the_run_and_posts_nothing() {
    let faults = [
        (Fault::AccessDenied, "AccessDenied"),
        (Fault::throttling(), "Throttled"),
        (Fault::server_error(), "EcsUnavailable"),
        (Fault::html(), "EcsUnavailable"),
        (Fault::empty(), "EcsUnavailable"),
        (Fault::HalfAnswer, "EcsUnavailable"),
        (Fault::Reset, "EcsUnavailable"),
        (Fault::json("{\"taskArns\": 7}"), "EcsUnavailable"),
    ];
    // Side by side, since the reader waits between its attempts at a call.
    join_all(faults.iter().flat_map(|(fault, expected)| {
        [Operation::ListTasks, Operation::DescribeTasks]
            .map(|operation| posts_nothing_while(operation, fault, expected))
    }))
    .await;
}

/// Asserts that a run in which `operation` of one cluster fails ends with error `expected` and no report.
async fn posts_nothing_while(operation: Operation, fault: &Fault, expected: &str) {
    let mut app = app();
    app.clusters.insert("db".to_owned(), Cluster::new("db").task(task("db", 4)));
    let bench = Bench::start(app, &[("ECS_CLUSTERS", "app,db")]).await;
    let name = format!("{operation} {fault:?}");
    bench.ecs.faults(|faults| {
        faults.always_in("db", operation, fault.clone());
    });

    let trigger = Trigger::new(TriggerKind::Schedule);
    let deadline = Instant::now() + Duration::from_secs(10);
    let outcome = bench.reporter.run(&trigger, Some(deadline)).await.unwrap();
    let outcome = outcome.environments.into_iter().next().unwrap();

    assert_eq!(outcome.outcome, OutcomeKind::Failed, "{name}");
    assert_eq!(error_type(&outcome), expected, "{name}: {:?}", outcome.error);
    let message = outcome.error.unwrap().message;
    assert!(message.contains("cluster \"db\""), "{name}: {message}");
    let snapshots = bench.recorder.get("/snapshots/acme/aws-prod").await;
    assert_eq!(snapshots.body, serde_json::json!([]), "{name}");

    bench.ecs.faults(|faults| {
        faults.clear();
    });
    assert_eq!(bench.tick().await.outcome, OutcomeKind::Posted, "{name}");
}

#[tokio::test]
async fn empty_snapshot_is_posted_only_if_the_clusters_exist_and_run_nothing() {
    let bench = Bench::start(app(), &[]).await;
    bench.tick().await;

    bench.ecs.update(|world| world.cluster_mut("app").status = "INACTIVE".to_owned());
    assert_eq!(error_type(&bench.tick().await), "ClusterNotFound");
    bench.ecs.set_world(World::new("eu-central-1", "274425519734"));
    assert_eq!(error_type(&bench.tick().await), "ClusterNotFound");
    assert_eq!(bench.recorded().await.0, 1);

    bench.ecs.set_world(world(Cluster::new("app").service("runner")));
    let emptied = bench.tick().await;
    assert_eq!((emptied.outcome, emptied.changes.exited.len()), (OutcomeKind::Posted, 3));
    assert_eq!(bench.recorded().await, (2, vec![]));
    assert_eq!(bench.tick().await.outcome, OutcomeKind::Unchanged);
}

#[tokio::test]
async fn empty_cluster_of_an_environment_without_snapshots_is_unchanged() {
    let bench = Bench::start(world(Cluster::new("app")), &[("HEARTBEAT", "1h")]).await;
    for _ in 0..2 {
        let outcome = bench.tick().await;
        assert_eq!(outcome.outcome, OutcomeKind::Unchanged, "{outcome:?}");
    }
}

#[tokio::test]
async fn running_task_without_container_statuses_is_an_error() {
    let cases = [
        json!({"containers": null}),
        json!({"containers": []}),
        json!({"containers": [{"name": "web"}]}),
        json!({"containers": [{"name": "web", "lastStatus": "RUNNING"}, {"name": "side"}]}),
        json!({"containers": null, "lastStatus": null}),
    ];
    join_all(cases.map(async |raw| {
        let cluster = Cluster::new("app").task(task("web", 1).raw(raw.clone()));
        let bench = Bench::start(world(cluster), &[]).await;
        let outcome = bench.tick().await;
        assert_eq!(error_type(&outcome), "EcsUnavailable", "{raw}: {outcome:?}");
        let message = outcome.error.unwrap().message;
        assert!(message.contains("does not say of each container"), "{raw}: {message}");
    }))
    .await;
}

#[tokio::test]
async fn stopping_task_without_containers_is_not_counted_and_no_error() {
    for raw in [
        json!({"containers": [], "lastStatus": "DEACTIVATING"}),
        json!({"containers": null, "lastStatus": "STOPPING"}),
        json!({"containers": []}),
    ] {
        let stopping = task("web", 1).draining().raw(raw.clone());
        let cluster = Cluster::new("app").task(task("web", 2)).task(stopping);
        let bench = Bench::start(world(cluster), &[]).await;
        let outcome = bench.tick().await;
        assert_eq!(
            (outcome.outcome, outcome.tasks),
            (OutcomeKind::Posted, Some(1)),
            "{raw}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn cluster_or_service_filter_that_matches_nothing_is_an_error() {
    for variables in [
        [("ECS_CLUSTERS", ""), ("ECS_CLUSTERS_REGEX", "^nope")],
        [("ECS_CLUSTERS", "app"), ("ECS_SERVICES", "nope")],
    ] {
        let bench = Bench::start(app(), &variables).await;
        let outcome = bench.tick().await;
        assert_eq!(error_type(&outcome), "NothingInScope", "{variables:?}");
        let snapshots = bench.recorder.get("/snapshots/acme/aws-prod").await;
        assert_eq!(snapshots.body, serde_json::json!([]));
    }
}

#[tokio::test]
async fn an_unfinished_environment_fails_at_the_deadline_and_names_its_last_step() {
    let bench = Bench::start(app(), &[]).await;
    bench.ecs.faults(|faults| {
        faults.always(Operation::ListTasks, Fault::NoResponse);
    });
    let give_up_at = Instant::now() + Duration::from_millis(200);

    let trigger = Trigger::new(TriggerKind::Schedule);
    let outcome = bench.reporter.run(&trigger, Some(give_up_at)).await.unwrap();

    let [environment] = &outcome.environments[..] else { panic!("{outcome:?}") };
    assert_eq!(error_type(environment), "DeadlineExceeded");
    let message = &environment.error.as_ref().unwrap().message;
    assert!(
        message.contains("list the running tasks of cluster \"app\": no response"),
        "{message}"
    );
    bench.ecs.faults(|faults| {
        faults.clear();
    });
    assert_eq!(bench.tick().await.outcome, OutcomeKind::Posted, "the next run begins afresh");
}

#[tokio::test]
async fn dry_run_neither_posts_a_report_nor_creates_the_environment() {
    let variables = [("DRY_RUN", "true"), ("AUTO_CREATE_ENVIRONMENT", "true")];
    let bench = Bench::without_environment(app(), &variables).await;
    for _ in 0..2 {
        let outcome = bench.manual(|trigger| trigger.force = true).await;
        assert_eq!(outcome.outcome, OutcomeKind::DryRun, "{outcome:?}");
        assert_eq!(outcome.changes.started.len(), 3);
    }
    let environment = bench.recorder.get("/environments/acme/aws-prod").await;
    assert_eq!(environment.status, 404);

    let bench = Bench::start(app(), &[]).await;
    let outcome = bench.manual(|trigger| trigger.dry_run = true).await;
    assert_eq!(outcome.outcome, OutcomeKind::DryRun);
    assert_eq!(bench.tick().await.outcome, OutcomeKind::Posted);
    let outcome = bench.manual(|trigger| trigger.dry_run = true).await;
    assert_eq!(outcome.outcome, OutcomeKind::Unchanged, "nothing would have been posted");
}

#[tokio::test]
async fn event_can_select_only_a_configured_environment() {
    let bench = Bench::start(app(), &[]).await;
    let outcome = bench.manual(|t| t.environment = Some(ENVIRONMENT.to_owned())).await;
    assert_eq!(outcome.outcome, OutcomeKind::Posted);
    let mut other = Trigger::new(TriggerKind::Manual);
    other.environment = Some("aws-beta".to_owned());
    let error = bench.reporter.run(&other, None).await.unwrap_err().to_string();
    assert!(error.contains("\"aws-beta\" is not configured here (aws-prod)"), "{error}");
}

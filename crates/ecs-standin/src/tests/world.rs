//! What the answers say of the world.

use aws_sdk_ecs::error::SdkError;
use aws_sdk_ecs::types::{DesiredStatus, Task as Described};
use serde_json::json;

use super::{Cluster, Task, app, runner, start, task_arns, world};
use crate::{Container, Operation};

/// The tasks of the cluster `app` that are listed with this desired status.
async fn describe_listed_tasks(
    client: &aws_sdk_ecs::Client,
    desired_status: &str,
) -> Vec<Described> {
    let arns = task_arns(client, "app", desired_status).await;
    let described =
        client.describe_tasks().cluster("app").set_tasks(Some(arns)).send().await.unwrap();
    described.tasks().to_vec()
}

#[tokio::test]
async fn described_task_has_its_fields_and_containers_as_parsed_by_the_sdk() {
    let (ecs, client) = start(world().cluster(app(1))).await;
    let tasks = describe_listed_tasks(&client, "RUNNING").await;
    let [task] = tasks.as_slice() else { panic!("not one task: {tasks:?}") };
    let id = ecs.update(|world| world.cluster_mut("app").tasks.keys().next().cloned());
    let id = id.unwrap();
    assert_eq!(id.len(), 32);
    assert_eq!(
        task.task_arn().unwrap(),
        format!("arn:aws:ecs:eu-central-1:274425519734:task/app/{id}")
    );
    assert_eq!(task.cluster_arn().unwrap(), "arn:aws:ecs:eu-central-1:274425519734:cluster/app");
    assert_eq!(
        task.task_definition_arn().unwrap(),
        "arn:aws:ecs:eu-central-1:274425519734:task-definition/runner:1"
    );
    assert_eq!(task.group().unwrap(), "service:runner");
    assert_eq!(task.last_status().unwrap(), "RUNNING");
    assert_eq!(task.desired_status().unwrap(), "RUNNING");
    assert_eq!(task.launch_type().unwrap().as_str(), "FARGATE");
    assert_eq!(task.started_by(), None);
    let started = task.started_at().unwrap();
    assert_eq!(started.to_millis().unwrap(), 1_700_000_000_250);
    let [container] = task.containers() else { panic!("not one container: {task:?}") };
    assert_eq!(container.name().unwrap(), "runner");
    assert_eq!(container.image().unwrap(), "registry.example/runner:16d9990");
    assert_eq!(container.image_digest().unwrap(), "sha256:9af4");
    assert_eq!(container.last_status().unwrap(), "RUNNING");
    assert_eq!(container.runtime_id(), None);
    assert_eq!(container.exit_code(), None);
}

#[tokio::test]
async fn pending_tasks_are_listed_as_running_and_draining_tasks_as_stopped() {
    let cluster = Cluster::new("app")
        .task(runner())
        .task(runner().pending())
        .task(runner().draining())
        .task(runner().stopped());
    let (ecs, client) = start(world().cluster(cluster)).await;
    let mut seen = Vec::new();
    for desired in ["RUNNING", "STOPPED"] {
        for task in describe_listed_tasks(&client, desired).await {
            assert_eq!(task.desired_status().unwrap(), desired);
            let container = &task.containers()[0];
            seen.push((
                desired,
                task.last_status().unwrap().to_owned(),
                container.last_status().unwrap().to_owned(),
                task.started_at().is_some(),
                container.exit_code(),
            ));
        }
    }
    seen.sort();
    let expected = [
        ("RUNNING", "PENDING", "PENDING", false, None),
        ("RUNNING", "RUNNING", "RUNNING", true, None),
        ("STOPPED", "DEACTIVATING", "RUNNING", true, None),
        ("STOPPED", "STOPPED", "STOPPED", true, Some(0)),
    ]
    .map(|(desired, task, container, started, exit)| {
        (desired, task.to_owned(), container.to_owned(), started, exit)
    });
    assert_eq!(seen, expected);
    // Not even a task that claims to be wanted so is listed as pending.
    ecs.update(|world| {
        for task in world.cluster_mut("app").tasks_of("runner") {
            "PENDING".clone_into(&mut task.desired_status);
        }
    });
    assert!(task_arns(&client, "app", "PENDING").await.is_empty());
}

#[tokio::test]
async fn task_listing_is_of_running_tasks_by_default_and_can_be_of_one_service() {
    let cluster = app(2)
        .task(runner().stopped())
        .task(Task::standalone("migration"))
        .task(Task::in_service("shas"));
    let (_ecs, client) = start(world().cluster(cluster)).await;
    let list = || client.list_tasks().cluster("app");
    assert_eq!(list().send().await.unwrap().task_arns().len(), 4);
    for service in ["runner", "arn:aws:ecs:eu-central-1:274425519734:service/app/runner"] {
        let listed = list().service_name(service).send().await.unwrap();
        assert_eq!(listed.task_arns().len(), 2, "{service}");
    }
    let stopped = list().service_name("runner").desired_status(DesiredStatus::Stopped);
    assert_eq!(stopped.send().await.unwrap().task_arns().len(), 1);
    let unknown = list().service_name("missing").send().await.unwrap_err();
    assert!(unknown.into_service_error().is_service_not_found_exception());
}

#[tokio::test]
async fn task_group_is_its_service_or_family_unless_it_is_set() {
    let mut odd = runner();
    odd.group = Some(String::new());
    let cluster = Cluster::new("app").task(Task::standalone("migration")).task(odd);
    let (_ecs, client) = start(world().cluster(cluster)).await;
    let mut groups: Vec<String> = describe_listed_tasks(&client, "RUNNING")
        .await
        .iter()
        .map(|task| task.group().unwrap().to_owned())
        .collect();
    groups.sort();
    assert_eq!(groups, ["", "family:migration"]);
}

#[tokio::test]
async fn raw_overlay_replaces_adds_and_removes_fields_of_a_described_task() {
    let overlay = json!({
        "lastStatus": "DELETED",
        "group": null,
        "version": 7,
        "containers": [{"imageDigest": "nonsense"}],
    });
    let cluster = app(0).task(runner().raw(overlay));
    let (ecs, client) = start(world().cluster(cluster)).await;
    let tasks = describe_listed_tasks(&client, "RUNNING").await;
    assert_eq!(tasks[0].last_status().unwrap(), "DELETED");
    assert_eq!(tasks[0].group(), None);
    assert_eq!(tasks[0].version(), 7);
    assert_eq!(tasks[0].containers()[0].name(), None);
    assert_eq!(tasks[0].containers()[0].image_digest().unwrap(), "nonsense");

    ecs.update(|world| {
        for task in world.cluster_mut("app").tasks_of("runner") {
            task.raw = Some(json!(null));
        }
    });
    let arns = task_arns(&client, "app", "RUNNING").await;
    let describe = client.describe_tasks().cluster("app").set_tasks(Some(arns));
    let error = describe.send().await.unwrap_err();
    assert!(matches!(error, SdkError::ResponseError(_)), "{error:?}");
}

#[tokio::test]
async fn container_fields_that_are_not_set_are_omitted_from_the_description() {
    let task = runner()
        .with(Container::new("aws-guardduty-agent-x").digest("sha256:aa"))
        .with(Container::new("init").runtime_id("r-1").exited(3));
    let (_ecs, client) = start(world().cluster(app(0).task(task))).await;
    let tasks = describe_listed_tasks(&client, "RUNNING").await;
    let [_, sidecar, init] = tasks[0].containers() else {
        panic!("not three containers: {tasks:?}")
    };
    assert_eq!(sidecar.image(), None);
    assert_eq!(sidecar.last_status().unwrap(), "RUNNING");
    assert_eq!(init.image_digest(), None);
    assert_eq!(init.last_status().unwrap(), "STOPPED");
    assert_eq!(init.runtime_id().unwrap(), "r-1");
    assert_eq!(init.exit_code(), Some(3));
}

#[tokio::test]
async fn on_call_changes_the_world_after_the_nth_call_or_at_once_if_it_is_past() {
    let (ecs, client) = start(world().cluster(app(2))).await;
    ecs.on_call(Operation::ListTasks, 2, |world| {
        for task in world.cluster_mut("app").tasks_of("runner") {
            task.drain();
        }
    });
    assert_eq!(task_arns(&client, "app", "RUNNING").await.len(), 2);
    assert_eq!(task_arns(&client, "app", "RUNNING").await.len(), 2);
    assert_eq!(task_arns(&client, "app", "RUNNING").await.len(), 0);
    assert_eq!(task_arns(&client, "app", "STOPPED").await.len(), 2);

    ecs.on_call(Operation::ListTasks, 1, |world| world.clusters.clear());
    assert!(ecs.update(|world| world.clusters.is_empty()));
}

#[tokio::test]
async fn calls_are_counted_by_operation_and_logged_in_order() {
    let (ecs, client) = start(world().page_size_cap(1).cluster(app(2))).await;
    let running = task_arns(&client, "app", "RUNNING").await;
    task_arns(&client, "app", "STOPPED").await;
    client.describe_tasks().cluster("app").set_tasks(Some(running)).send().await.unwrap();
    client.list_clusters().send().await.unwrap();

    let calls = ecs.calls();
    assert_eq!(calls.total(), 5);
    assert_eq!(calls.count(Operation::ListTasks), 3);
    assert_eq!(calls.count(Operation::ListServices), 0);
    let listings: Vec<_> = calls.by_operation(Operation::ListTasks).collect();
    let shown: Vec<_> = listings
        .iter()
        .map(|call| (call.desired_status.as_deref().unwrap(), call.continued))
        .collect();
    assert_eq!(shown, [("RUNNING", false), ("RUNNING", true), ("STOPPED", false)]);
    assert!(listings[1].ended_before(listings[2]));
    assert!(!listings[2].ended_before(listings[1]));
    let statuses = calls.log().iter().map(|call| call.status);
    assert!(statuses.into_iter().all(|status| status == Some(200)));
}

#[tokio::test]
async fn task_ids_are_the_same_in_each_run_and_a_new_task_never_has_an_old_id() {
    let mut cluster = app(3);
    assert_eq!(cluster, app(3));
    let old: Vec<String> = cluster.tasks.keys().cloned().collect();
    cluster.tasks.remove(&old[0]);
    let new = cluster.add(runner());
    assert!(!old.contains(&new));
}

mod contradictions;

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::ecs::fake::{FakeCluster, FakeEcs, FakeTask, arn};
use crate::ecs::{Container, DescribedTasks, Filter, Page, Selection, observe};

fn clusters(names: &[&str]) -> Scope {
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    let include = Filter { names, pattern: None };
    Scope { clusters: Selection { include, ..Selection::default() }, ..Scope::default() }
}

fn services(include: &[&str], exclude: &[&str]) -> Scope {
    let filter = |names: &[&str]| Filter {
        names: names.iter().map(ToString::to_string).collect(),
        pattern: None,
    };
    let services = Selection { include: filter(include), exclude: filter(exclude) };
    Scope { services, ..clusters(&["app"]) }
}

fn everything() -> Scope {
    Scope::default()
}

fn reader<E: EcsApi>(ecs: E) -> Reader<E> {
    Reader::new(ecs, Quota::with_share(1.0), 8)
}

/// The names of the artifacts that run in `scope`, one per container and sorted.
async fn running(reader: &Reader<FakeEcs>, scope: &Scope) -> Result<Vec<String>, EcsError> {
    let tasks = reader.begin(None).tasks(scope, &Progress::default()).await?;
    let mut names: Vec<_> = tasks
        .iter()
        .flat_map(|tasks| tasks.iter())
        .flat_map(|task| observe(task, scope, 0))
        .filter_map(|observation| observation.result.ok())
        .map(|container| container.artifact_name.to_owned())
        .collect();
    names.sort();
    Ok(names)
}

#[tokio::test]
async fn cluster_of_three_tasks_is_read_with_two_listings_and_one_description() {
    let fake = FakeEcs::new([("app", FakeCluster::with_running_tasks(&["a", "b", "c"]))]);
    let reader = reader(fake);
    assert_eq!(running(&reader, &clusters(&["app"])).await.unwrap(), ["a:1", "b:1", "c:1"]);
    assert_eq!(reader.ecs.take_calls(), ["list Running", "list Stopped", "describe 3 tasks"]);
}

#[tokio::test]
async fn a_draining_task_still_counts() {
    let mut app = FakeCluster::with_running_tasks(&["new"]);
    app.tasks.push(FakeTask::draining("old"));
    let reader = reader(FakeEcs::new([("app", app)]));
    assert_eq!(running(&reader, &clusters(&["app"])).await.unwrap(), ["new:1", "old:1"]);
}

#[tokio::test]
async fn task_that_is_stopped_between_the_two_listings_and_drains_is_read() {
    let fake = FakeEcs::new([("app", FakeCluster::with_running_tasks(&["a", "b"]))]);
    fake.change_after("list Running", |account| {
        account.get_mut("app").unwrap().tasks[0] = FakeTask::draining("a");
    });
    let reader = reader(fake);
    assert_eq!(running(&reader, &clusters(&["app"])).await.unwrap(), ["a:1", "b:1"]);
}

#[tokio::test]
async fn stopped_task_is_described_in_one_reading_only_and_a_draining_one_until_it_stops() {
    let mut app = FakeCluster::with_running_tasks(&["a", "b"]);
    app.tasks[0].stop();
    app.tasks.push(FakeTask::draining("c"));
    let reader = reader(FakeEcs::new([("app", app)]));
    let listings = ["list Running", "list Stopped"].map(str::to_owned);
    let with = |describes: &[&str]| {
        let mut calls = listings.to_vec();
        calls.extend(describes.iter().map(ToString::to_string));
        calls
    };
    let scope = clusters(&["app"]);

    assert_eq!(running(&reader, &scope).await.unwrap(), ["b:1", "c:1"]);
    assert_eq!(reader.ecs.take_calls(), with(&["describe 1 tasks", "describe 2 tasks"]));
    assert_eq!(running(&reader, &scope).await.unwrap(), ["b:1", "c:1"]);
    assert_eq!(reader.ecs.take_calls(), with(&["describe 1 tasks", "describe 1 tasks"]));

    reader.ecs.change(|account| account.get_mut("app").unwrap().tasks[2].stop());
    assert_eq!(running(&reader, &scope).await.unwrap(), ["b:1"]);
    reader.ecs.take_calls();
    assert_eq!(running(&reader, &scope).await.unwrap(), ["b:1"]);
    assert_eq!(reader.ecs.take_calls(), with(&["describe 1 tasks"]));

    reader.ecs.change(|account| drop(account.get_mut("app").unwrap().tasks.drain(2..)));
    running(&reader, &scope).await.unwrap();
    let known = reader.memory.stopped_tasks_by_cluster()["app"].clone();
    assert_eq!(known, HashSet::from([arn("task", "app/a")]), "what is not listed is forgotten");
}

#[tokio::test]
async fn stopped_tasks_of_a_deleted_cluster_are_removed_from_the_readers_memory() {
    let [mut app, mut preview] =
        [&["a", "b"], &["c", "d"]].map(|it| FakeCluster::with_running_tasks(it));
    app.tasks[0].stop();
    preview.tasks[0].stop();
    let reader = reader(FakeEcs::new([("app", app), ("preview-1", preview)]));
    running(&reader, &everything()).await.unwrap();
    assert_eq!(reader.memory.stopped_tasks_by_cluster().len(), 2);
    reader.ecs.change(|account| drop(account.remove("preview-1")));
    running(&reader, &everything()).await.unwrap();
    let known: Vec<_> = reader.memory.stopped_tasks_by_cluster().into_keys().collect();
    assert_eq!(known, ["app"]);
}

#[tokio::test]
async fn container_of_a_task_with_last_status_stopped_does_not_count_even_if_it_is_running() {
    let mut app = FakeCluster::with_running_tasks(&["a", "b"]);
    app.tasks[0] = FakeTask::draining("a");
    app.tasks[0].task.last_status = Some("STOPPED".to_owned());
    let reader = reader(FakeEcs::new([("app", app)]));
    let scope = clusters(&["app"]);
    for warmth in ["cold", "warm"] {
        assert_eq!(running(&reader, &scope).await.unwrap(), ["b:1"], "{warmth}");
    }
}

#[tokio::test]
async fn every_page_of_every_cluster_is_read() {
    let clusters = ["a", "b", "c", "d"].map(|name| {
        let tasks: Vec<_> = (0..10).map(|n| format!("{name}{n}")).collect();
        (
            name,
            FakeCluster::with_running_tasks(&tasks.iter().map(String::as_str).collect::<Vec<_>>()),
        )
    });
    let reader = reader(FakeEcs::new(clusters));
    assert_eq!(running(&reader, &everything()).await.unwrap().len(), 40);
}

#[tokio::test]
async fn cluster_that_is_named_but_inactive_or_nonexistent_is_an_error() {
    let mut gone = FakeCluster::with_running_tasks(&[]);
    gone.inactive = true;
    let reader =
        reader(FakeEcs::new([("app", FakeCluster::with_running_tasks(&["a"])), ("gone", gone)]));
    for name in ["gone", "never"] {
        let error = running(&reader, &clusters(&["app", name])).await.unwrap_err();
        assert!(
            matches!(&error, EcsError::ClusterNotFound { cluster } if cluster == name),
            "{error}"
        );
    }
    assert_eq!(running(&reader, &everything()).await.unwrap(), ["a:1"]);
}

#[tokio::test]
async fn cluster_that_is_not_named_and_deleted_during_the_reading_is_left_out() {
    let fake = FakeEcs::new([
        ("app", FakeCluster::with_running_tasks(&["a"])),
        ("gone", FakeCluster::with_running_tasks(&["b"])),
    ]);
    fake.change_after("list clusters", |account| drop(account.remove("gone")));
    let reader = reader(fake);
    assert_eq!(running(&reader, &everything()).await.unwrap(), ["a:1"]);
}

#[tokio::test]
async fn cluster_that_list_tasks_does_not_find_and_that_is_described_as_active_is_an_error() {
    let fake = FakeEcs::new([("app", FakeCluster::with_running_tasks(&["a"]))]);
    fake.change_after("list clusters", |account| account.get_mut("app").unwrap().inactive = true);
    fake.change_after("list Running", |account| account.get_mut("app").unwrap().inactive = false);
    let reader = reader(fake);
    let error = running(&reader, &everything()).await.unwrap_err();
    assert!(error.to_string().contains("cluster \"app\""), "{error}");
    assert_eq!(running(&reader, &everything()).await.unwrap(), ["a:1"]);
}

#[tokio::test(start_paused = true)]
async fn cluster_not_found_when_read_again_but_described_as_active_is_an_error() {
    let fake = FakeEcs::new([("app", FakeCluster::with_running_tasks(&["a"]))]);
    fake.empty_listings.lock().unwrap().0 = 1;
    let set = |inactive| {
        move |account: &mut std::collections::BTreeMap<String, FakeCluster>| {
            account.get_mut("app").unwrap().inactive = inactive;
        }
    };
    // Gone for the second listing alone: not for the descriptions around it.
    fake.change_after("describe 1 clusters", |_| ());
    fake.change_after("describe 1 clusters", set(true));
    fake.change_after("list Running", |_| ());
    fake.change_after("list Running", set(false));
    let reader = reader(fake);
    let error = running(&reader, &everything()).await.unwrap_err();
    assert!(error.to_string().contains("cluster \"app\""), "{error}");
    assert_eq!(running(&reader, &everything()).await.unwrap(), ["a:1"]);
}

#[tokio::test]
async fn existing_cluster_without_tasks_is_read_as_empty_without_error() {
    let reader = reader(FakeEcs::new([("app", FakeCluster::default())]));
    assert_eq!(running(&reader, &clusters(&["app"])).await.unwrap(), [""; 0]);
    assert_eq!(running(&reader, &everything()).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn scope_that_matches_no_existing_cluster_or_service_is_an_error() {
    let nothing = reader(FakeEcs::default());
    let deleted = FakeCluster { inactive: true, ..FakeCluster::default() };
    let deleted = reader(FakeEcs::new([("old", deleted)]));
    let mut app = FakeCluster::with_running_tasks(&["a"]);
    app.services = ["web", "db", "s1", "s2"].map(str::to_owned).to_vec();
    let app = reader(FakeEcs::new([("app", app)]));
    let mut excluding_all = clusters(&["app"]);
    excluding_all.clusters.exclude.pattern = regex_lite::Regex::new("a").ok();

    for (reader, scope) in [
        (&nothing, everything()),
        (&deleted, everything()),
        (&app, excluding_all),
        (&app, services(&["wbe"], &[])),
    ] {
        let result = running(reader, &scope).await;
        assert!(matches!(result, Err(EcsError::NothingInScope(_))), "{scope:?} {result:?}");
    }
}

#[tokio::test]
async fn services_are_listed_only_if_the_service_filter_matches_no_running_container() {
    let mut app = FakeCluster::with_running_tasks(&["a"]);
    app.services = ["s0", "s1", "s2", "idle", "web"].map(str::to_owned).to_vec();
    let reader = reader(FakeEcs::new([("app", app)]));
    let listed = |calls: Vec<String>| calls.iter().any(|call| call == "list services");

    assert_eq!(running(&reader, &services(&["web"], &[])).await.unwrap(), ["a:1"]);
    assert!(!listed(reader.ecs.take_calls()));
    assert_eq!(running(&reader, &services(&["idle"], &[])).await.unwrap(), [""; 0]);
    assert!(listed(reader.ecs.take_calls()));
}

#[tokio::test]
async fn standalone_tasks_that_ended_beside_an_excluded_service_leave_an_empty_reading() {
    let mut app = FakeCluster::with_running_tasks(&["web", "job"]);
    app.services = vec!["web".to_owned()];
    app.tasks[0].task.group = Some("service:web".to_owned());
    app.tasks[1].task.group = Some("family:job".to_owned());
    let reader = reader(FakeEcs::new([("app", app)]));
    let scope = services(&[], &["web"]);
    assert_eq!(running(&reader, &scope).await.unwrap(), ["job:1"]);
    reader.ecs.change(|account| drop(account.get_mut("app").unwrap().tasks.remove(1)));
    assert_eq!(running(&reader, &scope).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn excluding_a_service_in_a_cluster_without_tasks_and_services_reads_it_as_empty() {
    let reader = reader(FakeEcs::new([("app", FakeCluster::default())]));
    assert_eq!(running(&reader, &services(&[], &["web"])).await.unwrap(), [""; 0]);
}

/// Answers each listing with this page, and each description with these tasks.
fn scripted_ecs(page: Page, described: DescribedTasks) -> FakeEcs {
    FakeEcs { lists: Some(page), describes: Some(described), ..FakeEcs::default() }
}

#[tokio::test(start_paused = true)]
async fn malformed_response_to_a_listing_or_description_fails_the_whole_reading() {
    let failure = |arn: Option<&str>, reason: Option<&str>| crate::ecs::Failure {
        arn: arn.map(ToOwned::to_owned),
        reason: reason.map(ToOwned::to_owned),
    };
    let task = |arn: &str| Task { arn: arn.to_owned(), ..FakeTask::running("a").task };
    let two = |next_token: Option<&str>| Page {
        arns: ["t/1", "t/1", "t/2"].map(str::to_owned).to_vec(),
        next_token: next_token.map(ToOwned::to_owned),
    };
    let cases = [
        (two(Some("again")), vec![], vec![], "its pages never end"),
        (two(None), vec![task("t/1"), task("t/3")], vec![], "task t/3, which was not requested"),
        (
            two(None),
            vec![task("t/1")],
            vec![failure(Some("t/2"), Some("ACCESS"))],
            "it returns ACCESS for task t/2",
        ),
        (two(None), vec![task("t/1")], vec![failure(None, None)], "it returns no reason"),
    ];
    for (page, tasks, failures, expected) in cases {
        let reader = reader(scripted_ecs(page, DescribedTasks { tasks, failures }));
        let error = reader
            .begin(None)
            .tasks(&clusters(&["app"]), &Progress::default())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    let page = Page { arns: vec!["nonsense/é".to_owned()], next_token: None };
    let reader = reader(scripted_ecs(page, DescribedTasks::default()));
    let error = reader.begin(None).tasks(&everything(), &Progress::default()).await.unwrap_err();
    assert!(error.to_string().contains("is not the ARN of a cluster"), "{error}");
}

#[tokio::test]
async fn task_that_is_listed_in_two_clusters_is_an_error() {
    let task = FakeTask::running("a").task;
    let page = Page { arns: vec![task.arn.clone()], next_token: None };
    let described = DescribedTasks { tasks: vec![task], failures: Vec::new() };
    let reader = reader(scripted_ecs(page, described));
    let scope = clusters(&["app", "db"]);
    let error = reader.begin(None).tasks(&scope, &Progress::default()).await.unwrap_err();
    assert!(error.to_string().contains("in two clusters"), "{error}");
}

#[tokio::test]
async fn task_that_is_described_twice_in_a_response_is_returned_once() {
    let task = FakeTask::running("a").task;
    let page = Page { arns: vec![task.arn.clone()], next_token: None };
    let described = DescribedTasks { tasks: vec![task.clone(), task], failures: Vec::new() };
    let reader = reader(scripted_ecs(page, described));
    let tasks = reader.begin(None).tasks(&clusters(&["app"]), &Progress::default()).await.unwrap();
    assert_eq!(tasks[0].len(), 1);
}

#[tokio::test(start_paused = true)]
async fn concurrent_readings_of_a_reader_together_keep_its_limit_of_concurrent_calls() {
    let ecs = FakeEcs { latency: Duration::from_millis(50), ..FakeEcs::default() };
    ecs.change(|clusters| {
        clusters.extend((0..40).map(|n| (format!("c{n}"), FakeCluster::default())));
    });
    let reader = Reader::new(ecs, Quota::with_share(1.0), 5);
    let (scope, progress) = (everything(), Progress::default());
    let read = (0..3).map(async |_| reader.begin(None).tasks(&scope, &progress).await);
    assert!(futures_util::future::join_all(read).await.iter().all(Result::is_ok));
    assert_eq!(reader.ecs.most_under_way.get(), 5);
}

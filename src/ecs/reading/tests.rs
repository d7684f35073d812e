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
async fn one_small_cluster_takes_three_calls() {
    let fake = FakeEcs::new([("app", FakeCluster::running(&["a", "b", "c"]))]);
    let reader = reader(fake);
    assert_eq!(running(&reader, &clusters(&["app"])).await.unwrap(), ["a:1", "b:1", "c:1"]);
    assert_eq!(reader.ecs.take_calls(), ["list Running", "list Stopped", "describe 3 tasks"]);
}

#[tokio::test]
async fn a_draining_task_still_counts() {
    let mut app = FakeCluster::running(&["new"]);
    app.tasks.push(FakeTask::draining("old"));
    let reader = reader(FakeEcs::new([("app", app)]));
    assert_eq!(running(&reader, &clusters(&["app"])).await.unwrap(), ["new:1", "old:1"]);
}

#[tokio::test]
async fn a_task_stopped_between_the_listings_is_not_lost() {
    let fake = FakeEcs::new([("app", FakeCluster::running(&["a", "b"]))]);
    fake.change_after("list Running", |account| {
        account.get_mut("app").unwrap().tasks[0] = FakeTask::draining("a");
    });
    let reader = reader(fake);
    assert_eq!(running(&reader, &clusters(&["app"])).await.unwrap(), ["a:1", "b:1"]);
}

#[tokio::test]
async fn a_stopped_task_is_described_once_and_a_draining_one_until_it_stops() {
    let mut app = FakeCluster::running(&["a", "b"]);
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
    let known = reader.memory.stopped()["app"].clone();
    assert_eq!(known, HashSet::from([arn("task", "app/a")]), "what is not listed is forgotten");
}

#[tokio::test]
async fn stopped_tasks_of_a_cluster_that_is_gone_are_forgotten() {
    let [mut app, mut preview] = [&["a", "b"], &["c", "d"]].map(|it| FakeCluster::running(it));
    app.tasks[0].stop();
    preview.tasks[0].stop();
    let reader = reader(FakeEcs::new([("app", app), ("preview-1", preview)]));
    running(&reader, &everything()).await.unwrap();
    assert_eq!(reader.memory.stopped().len(), 2);
    reader.ecs.change(|account| drop(account.remove("preview-1")));
    running(&reader, &everything()).await.unwrap();
    let known: Vec<_> = reader.memory.stopped().into_keys().collect();
    assert_eq!(known, ["app"]);
}

#[tokio::test]
async fn a_stopped_task_runs_nothing_for_a_cold_reader_as_for_a_warm_one() {
    let mut app = FakeCluster::running(&["a", "b"]);
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
        (name, FakeCluster::running(&tasks.iter().map(String::as_str).collect::<Vec<_>>()))
    });
    let reader = reader(FakeEcs::new(clusters));
    assert_eq!(running(&reader, &everything()).await.unwrap().len(), 40);
}

#[tokio::test]
async fn a_named_cluster_has_to_exist() {
    let mut gone = FakeCluster::running(&[]);
    gone.inactive = true;
    let reader = reader(FakeEcs::new([("app", FakeCluster::running(&["a"])), ("gone", gone)]));
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
async fn a_cluster_that_goes_while_it_is_read_leaves_the_scope() {
    let fake = FakeEcs::new([
        ("app", FakeCluster::running(&["a"])),
        ("gone", FakeCluster::running(&["b"])),
    ]);
    fake.change_after("list clusters", |account| drop(account.remove("gone")));
    let reader = reader(fake);
    assert_eq!(running(&reader, &everything()).await.unwrap(), ["a:1"]);
}

#[tokio::test]
async fn a_cluster_that_is_said_to_be_gone_and_described_as_existing_is_an_error() {
    let fake = FakeEcs::new([("app", FakeCluster::running(&["a"]))]);
    fake.change_after("list clusters", |account| account.get_mut("app").unwrap().inactive = true);
    fake.change_after("list Running", |account| account.get_mut("app").unwrap().inactive = false);
    let reader = reader(fake);
    let error = running(&reader, &everything()).await.unwrap_err();
    assert!(error.to_string().contains("cluster \"app\""), "{error}");
    assert_eq!(running(&reader, &everything()).await.unwrap(), ["a:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_lists_nothing_and_then_is_said_to_be_gone_is_not_taken_for_gone() {
    let fake = FakeEcs::new([("app", FakeCluster::running(&["a"]))]);
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
async fn an_existing_cluster_that_runs_nothing_is_an_honest_empty() {
    let reader = reader(FakeEcs::new([("app", FakeCluster::default())]));
    assert_eq!(running(&reader, &clusters(&["app"])).await.unwrap(), [""; 0]);
    assert_eq!(running(&reader, &everything()).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_scope_that_matches_nothing_is_an_error_and_never_an_empty_environment() {
    let nothing = reader(FakeEcs::default());
    let deleted = FakeCluster { inactive: true, ..FakeCluster::default() };
    let deleted = reader(FakeEcs::new([("old", deleted)]));
    let mut app = FakeCluster::running(&["a"]);
    app.services = ["web", "db", "s1", "s2"].map(str::to_owned).to_vec();
    let app = reader(FakeEcs::new([("app", app)]));
    let mut excluding_all = clusters(&["app"]);
    excluding_all.clusters.exclude.pattern = regex_lite::Regex::new("a").ok();

    for (reader, scope) in [
        (&nothing, everything()),
        (&deleted, everything()),
        (&app, excluding_all),
        (&app, services(&["wbe"], &[])),
        (&app, services(&[], &["web", "db", "s1", "s2"])),
    ] {
        let result = running(reader, &scope).await;
        assert!(matches!(result, Err(EcsError::NothingInScope(_))), "{scope:?} {result:?}");
    }
}

#[tokio::test]
async fn services_are_listed_only_if_a_filter_left_no_container() {
    let mut app = FakeCluster::running(&["a"]);
    app.services = ["s0", "s1", "s2", "idle", "web"].map(str::to_owned).to_vec();
    let reader = reader(FakeEcs::new([("app", app)]));
    let listed = |calls: Vec<String>| calls.iter().any(|call| call == "list services");

    assert_eq!(running(&reader, &services(&["web"], &[])).await.unwrap(), ["a:1"]);
    assert!(!listed(reader.ecs.take_calls()));
    assert_eq!(running(&reader, &services(&["idle"], &[])).await.unwrap(), [""; 0]);
    assert!(listed(reader.ecs.take_calls()));
}

#[tokio::test]
async fn an_exclusion_with_nothing_to_leave_out_is_an_honest_empty() {
    let reader = reader(FakeEcs::new([("app", FakeCluster::default())]));
    assert_eq!(running(&reader, &services(&[], &["web"])).await.unwrap(), [""; 0]);
}

/// Answers with what the test wrote down.
fn scripted(page: Page, described: DescribedTasks) -> FakeEcs {
    FakeEcs { lists: Some(page), describes: Some(described), ..FakeEcs::default() }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_makes_no_sense_is_an_error_and_never_a_part_of_the_truth() {
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
        let reader = reader(scripted(page, DescribedTasks { tasks, failures }));
        let error = reader
            .begin(None)
            .tasks(&clusters(&["app"]), &Progress::default())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    let page = Page { arns: vec!["nonsense/é".to_owned()], next_token: None };
    let reader = reader(scripted(page, DescribedTasks::default()));
    let error = reader.begin(None).tasks(&everything(), &Progress::default()).await.unwrap_err();
    assert!(error.to_string().contains("is not the ARN of a cluster"), "{error}");
}

#[tokio::test]
async fn a_task_that_is_in_two_clusters_is_an_error_and_never_two_replicas() {
    let task = FakeTask::running("a").task;
    let page = Page { arns: vec![task.arn.clone()], next_token: None };
    let described = DescribedTasks { tasks: vec![task], failures: Vec::new() };
    let reader = reader(scripted(page, described));
    let scope = clusters(&["app", "db"]);
    let error = reader.begin(None).tasks(&scope, &Progress::default()).await.unwrap_err();
    assert!(error.to_string().contains("in two clusters"), "{error}");
}

#[tokio::test]
async fn a_task_that_is_described_twice_runs_once() {
    let task = FakeTask::running("a").task;
    let page = Page { arns: vec![task.arn.clone()], next_token: None };
    let described = DescribedTasks { tasks: vec![task.clone(), task], failures: Vec::new() };
    let reader = reader(scripted(page, described));
    let tasks = reader.begin(None).tasks(&clusters(&["app"]), &Progress::default()).await.unwrap();
    assert_eq!(tasks[0].len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_readings_of_a_reader_share_the_calls_that_may_be_under_way() {
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

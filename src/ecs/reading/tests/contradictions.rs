//! Readings in which ECS contradicts itself.

use super::*;

/// As [`running`], with the milliseconds that it took.
async fn running_within(
    reader: &Reader<FakeEcs>,
    scope: &Scope,
) -> (Result<Vec<String>, EcsError>, u128) {
    let begun = Instant::now();
    let result = running(reader, scope).await;
    (result, begun.elapsed().as_millis())
}

fn contradiction(result: Result<Vec<String>, EcsError>) -> String {
    match result.unwrap_err() {
        error @ EcsError::Contradiction { .. } => error.to_string(),
        error => panic!("{error}"),
    }
}

/// Cluster `app` with task `a`, of which the tasks after it are still unknown so many times.
fn with_unknown(tasks: &[(&str, usize)]) -> FakeEcs {
    let mut app = FakeCluster::running(&["a"]);
    for (name, times) in tasks {
        let task = FakeTask::running(name);
        task.lost.set(*times);
        app.tasks.push(task);
    }
    FakeEcs::new([("app", app)])
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_not_known_everywhere_yet_is_described_again_after_growing_waits() {
    for (times, milliseconds) in [(1, 200), (2, 600), (4, 3_000), (5, 5_000)] {
        let reader = reader(with_unknown(&[("b", times)]));
        let (result, took) = running_within(&reader, &clusters(&["app"])).await;
        assert_eq!(result.unwrap(), ["a:1", "b:1"], "{times}");
        assert!((milliseconds..milliseconds + 10).contains(&took), "{times} times: {took} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_task_that_stays_unknown_is_left_out_and_one_that_ran_fails_the_reading() {
    let reader = reader(with_unknown(&[("b", usize::MAX)]));
    let scope = clusters(&["app"]);
    let (result, took) = running_within(&reader, &scope).await;
    assert_eq!((result.unwrap(), took / 10), (vec!["a:1".to_owned()], 500));

    let lose = |name: usize, times| {
        reader.ecs.change(|account| account["app"].tasks[name].lost.set(times));
    };
    lose(1, 0);
    assert_eq!(running(&reader, &scope).await.unwrap(), ["a:1", "b:1"]);
    for _ in 0..2 {
        lose(1, usize::MAX);
        let error = contradiction(running(&reader, &scope).await);
        assert!(error.contains("task/app/b and describes it as missing, and it ran"), "{error}");
    }
    // A fresh listing ends it.
    reader.ecs.take_calls();
    reader.ecs.change_after("describe 1 tasks", |account| {
        drop(account.get_mut("app").unwrap().tasks.remove(1));
    });
    assert_eq!(running(&reader, &scope).await.unwrap(), ["a:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_left_out_of_a_description_is_treated_like_a_missing_one() {
    let mut app = FakeCluster::running(&["a", "b"]);
    app.tasks[1].left_out = 1.into();
    let reader = reader(FakeEcs::new([("app", app)]));
    let scope = clusters(&["app"]);
    assert_eq!(running(&reader, &scope).await.unwrap(), ["a:1", "b:1"]);
    reader.ecs.change(|account| account["app"].tasks[1].left_out.set(usize::MAX));
    let error = contradiction(running(&reader, &scope).await);
    assert!(error.contains("task/app/b and leaves it out"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_listing_of_which_nothing_is_known_fails_the_reading() {
    let mut app = FakeCluster::running(&["b", "c"]);
    app.tasks.iter_mut().for_each(|task| task.lost = usize::MAX.into());
    app.tasks.push(FakeTask::draining("a"));
    let reader = reader(FakeEcs::new([("app", app)]));
    let error = contradiction(running(&reader, &clusters(&["app"])).await);
    assert!(error.contains("lists 2 tasks that are to run, and describes none"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_task_may_be_missing_and_is_described_once_more() {
    for (times, expected) in [(1, vec!["a:1", "b:1"]), (usize::MAX, vec!["a:1"])] {
        let mut app = FakeCluster::running(&["a"]);
        let draining = FakeTask::draining("b");
        draining.lost.set(times);
        app.tasks.push(draining);
        let reader = reader(FakeEcs::new([("app", app)]));
        let (result, took) = running_within(&reader, &clusters(&["app"])).await;
        assert_eq!(result.unwrap(), expected);
        assert!((200..210).contains(&took), "{took} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_no_reading_without_the_time_to_ask_again() {
    let reader = reader(with_unknown(&[("b", usize::MAX)]));
    let deadline = Instant::now() + Duration::from_millis(1_500);
    let (reading, scope) = (reader.begin(Some(deadline)), clusters(&["app"]));
    let error = reading.tasks(&scope, &Progress::default()).await.unwrap_err().to_string();
    assert!(error.contains("no time is left to ask again"), "{error}");
    assert!(Instant::now() < deadline);
}

#[tokio::test(start_paused = true)]
async fn a_container_without_a_status_is_described_again_and_then_an_error() {
    let mut app = FakeCluster::running(&["a"]);
    let silent = Container { last_status: None, ..app.tasks[0].task.containers[0].clone() };
    app.tasks[0].task.containers.push(silent);
    let fake = FakeEcs::new([("app", app)]);
    let says = |account: &mut BTreeMap<String, FakeCluster>| {
        let container = &mut account.get_mut("app").unwrap().tasks[0].task.containers[1];
        container.last_status = Some("RUNNING".to_owned());
    };
    fake.change_after("describe 1 tasks", says);
    let reader = reader(fake);
    let scope = clusters(&["app"]);
    assert_eq!(running(&reader, &scope).await.unwrap(), ["a:1", "a:1"]);
    reader.ecs.change(|account| {
        let container = &mut account.get_mut("app").unwrap().tasks[0].task.containers[0];
        container.last_status = None;
    });
    let error = contradiction(running(&reader, &scope).await);
    assert!(error.contains("does not say of each container of task arn:"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_listing_of_a_cluster_that_runs_something_is_read_again() {
    // Of a cold reader, which knows of no task that it could ask for.
    for (times, milliseconds) in [(1, 200), (3, 1_400)] {
        let mut app = FakeCluster::running(&["a", "b"]);
        app.tasks.push(FakeTask::draining("c"));
        let reader = reader(FakeEcs::new([("app", app)]));
        reader.ecs.change(|account| drop(account.get_mut("app").unwrap().tasks.pop()));
        reader.ecs.empty_listings.lock().unwrap().0 = times;
        let (result, took) = running_within(&reader, &everything()).await;
        assert_eq!(result.unwrap(), ["a:1", "b:1"]);
        assert!((milliseconds..milliseconds + 10).contains(&took), "{times} times: {took} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_listing_beside_a_task_that_drains_is_read_again() {
    let mut app = FakeCluster::running(&["a"]);
    app.tasks.push(FakeTask::draining("b"));
    let reader = reader(FakeEcs::new([("app", app)]));
    reader.ecs.empty_listings.lock().unwrap().0 = 1;
    assert_eq!(running(&reader, &everything()).await.unwrap(), ["a:1", "b:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_never_lists_what_it_runs_fails_and_after_five_readings_says_why() {
    let idle = FakeCluster { counted_too_many: 2, ..FakeCluster::default() };
    let app = FakeCluster::running(&["a"]);
    let reader = reader(FakeEcs::new([("app", app), ("idle", idle)]));
    for nth in 1..=6 {
        let error = contradiction(running(&reader, &everything()).await);
        let expected = "cluster \"idle\": it says that 2 of its tasks run, and lists 0 that do";
        assert!(error.contains(expected), "{error}");
        let advises = error.contains("managed daemons") && error.contains("ECS_EXCLUDE");
        assert_eq!(advises, nth >= 5, "reading {nth}: {error}");
    }
    let count = |too_many| {
        reader.ecs.change(|account| account.get_mut("idle").unwrap().counted_too_many = too_many);
    };
    count(0);
    assert_eq!(running(&reader, &everything()).await.unwrap(), ["a:1"]);
    count(2);
    let error = contradiction(running(&reader, &everything()).await);
    assert!(!error.contains("managed daemons"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_count_that_trails_the_last_stop_is_waited_for() {
    let app = FakeCluster { counted_too_many: 1, ..FakeCluster::default() };
    let fake = FakeEcs::new([("app", app)]);
    fake.change_after("describe 1 clusters", |account| {
        account.get_mut("app").unwrap().counted_too_many = 0;
    });
    let reader = reader(fake);
    assert_eq!(running(&reader, &clusters(&["app"])).await.unwrap(), [""; 0]);
    assert_eq!(reader.ecs.take_calls().len(), 4, "two listings and two descriptions");
}

#[tokio::test]
async fn a_task_that_ran_and_that_no_listing_names_is_described_before_it_is_gone() {
    let reader = reader(FakeEcs::new([("app", FakeCluster::running(&["a", "b", "c"]))]));
    let scope = clusters(&["app"]);
    running(&reader, &scope).await.unwrap();
    reader.ecs.change(|account| {
        let tasks = &mut account.get_mut("app").unwrap().tasks;
        tasks[1].unlisted = true;
        tasks.remove(2);
    });
    reader.ecs.take_calls();
    assert_eq!(running(&reader, &scope).await.unwrap(), ["a:1", "b:1"]);
    assert_eq!(reader.ecs.take_calls().len(), 4, "and not again");
    reader.ecs.empty_listings.lock().unwrap().0 = 1;
    assert_eq!(running(&reader, &scope).await.unwrap(), ["a:1", "b:1"]);
}

#[tokio::test]
async fn a_cluster_that_was_read_and_is_not_listed_is_described_before_it_is_gone() {
    let reader = reader(FakeEcs::new([
        ("app", FakeCluster::running(&["a"])),
        ("db", FakeCluster::running(&["b"])),
    ]));
    assert_eq!(running(&reader, &everything()).await.unwrap(), ["a:1", "b:1"]);
    for _ in 0..2 {
        reader.ecs.empty_listings.lock().unwrap().1 = 1;
        assert_eq!(running(&reader, &everything()).await.unwrap(), ["a:1", "b:1"]);
    }
    reader.ecs.change(|account| drop(account.remove("db")));
    assert_eq!(running(&reader, &everything()).await.unwrap(), ["a:1"]);
    reader.ecs.take_calls();
    assert_eq!(running(&reader, &everything()).await.unwrap(), ["a:1"]);
    assert_eq!(reader.ecs.take_calls().len(), 4, "what is gone is forgotten");
}

#[tokio::test]
async fn a_cluster_that_is_not_listed_is_not_gone_though_another_scope_names_it() {
    let reader = reader(FakeEcs::new([
        ("app", FakeCluster::running(&["a"])),
        ("db", FakeCluster::running(&["b"])),
    ]));
    let all = async || {
        let reading = reader.begin(None);
        // Of one reading, in which the cluster is read once: for the scope that names it.
        reading.tasks(&clusters(&["app"]), &Progress::default()).await.unwrap();
        let tasks = reading.tasks(&everything(), &Progress::default()).await.unwrap();
        tasks.iter().map(|tasks| tasks.len()).sum::<usize>()
    };
    assert_eq!(all().await, 2);
    reader.ecs.empty_listings.lock().unwrap().1 = 1;
    assert_eq!(all().await, 2);
}

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

/// The message of the contradiction that a reading failed with; panics if it has another result.
fn contradiction_message(result: Result<Vec<String>, EcsError>) -> String {
    match result.unwrap_err() {
        error @ EcsError::Contradiction { .. } => error.to_string(),
        error => panic!("{error}"),
    }
}

/// A cluster `app` with task `a` and these tasks, each of which is described as missing so many times
/// first.
fn with_tasks_missing_at_first(tasks: &[(&str, usize)]) -> FakeEcs {
    let mut app = FakeCluster::with_running_tasks(&["a"]);
    for (name, times) in tasks {
        let task = FakeTask::running(name);
        task.lost.set(*times);
        app.tasks.push(task);
    }
    FakeEcs::new([("app", app)])
}

#[tokio::test(start_paused = true)]
async fn listed_task_that_is_described_as_missing_is_described_again_after_growing_waits() {
    for (times, milliseconds) in [(1, 200), (2, 600), (4, 3_000), (5, 5_000)] {
        let reader = reader(with_tasks_missing_at_first(&[("b", times)]));
        let (result, took) = running_within(&reader, &clusters(&["app"])).await;
        assert_eq!(result.unwrap(), ["a:1", "b:1"], "{times}");
        assert!((milliseconds..milliseconds + 10).contains(&took), "{times} times: {took} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn new_task_that_stays_missing_is_left_out_and_one_that_ran_before_fails_the_reading() {
    let reader = reader(with_tasks_missing_at_first(&[("b", usize::MAX)]));
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
        let error = contradiction_message(running(&reader, &scope).await);
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
async fn task_omitted_from_a_description_is_described_again_and_fails_the_reading_if_it_ran() {
    let mut app = FakeCluster::with_running_tasks(&["a", "b"]);
    app.tasks[1].left_out = 1.into();
    let reader = reader(FakeEcs::new([("app", app)]));
    let scope = clusters(&["app"]);
    assert_eq!(running(&reader, &scope).await.unwrap(), ["a:1", "b:1"]);
    reader.ecs.change(|account| account["app"].tasks[1].left_out.set(usize::MAX));
    let error = contradiction_message(running(&reader, &scope).await);
    assert!(error.contains("task/app/b and leaves it out"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn reading_fails_if_none_of_the_tasks_listed_as_running_can_be_described() {
    let mut app = FakeCluster::with_running_tasks(&["b", "c"]);
    app.tasks.iter_mut().for_each(|task| task.lost = usize::MAX.into());
    app.tasks.push(FakeTask::draining("a"));
    let reader = reader(FakeEcs::new([("app", app)]));
    let error = contradiction_message(running(&reader, &clusters(&["app"])).await);
    assert!(error.contains("lists 2 tasks that are to run, and describes none"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn missing_task_that_is_listed_as_stopped_is_described_once_more_and_then_left_out() {
    for (times, expected) in [(1, vec!["a:1", "b:1"]), (usize::MAX, vec!["a:1"])] {
        let mut app = FakeCluster::with_running_tasks(&["a"]);
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
async fn cluster_that_is_deleted_between_two_readings_is_not_read_as_empty() {
    let app = FakeCluster { counted_too_many: 5, ..FakeCluster::default() };
    let reader = reader(FakeEcs::new([("app", app)]));
    reader.ecs.change_after("describe 1 clusters", |account| {
        account.get_mut("app").unwrap().inactive = true;
    });
    let result = running(&reader, &clusters(&["app"])).await;
    let is_not_found = matches!(
        &result,
        Err(EcsError::ClusterNotFound { .. }
            | EcsError::Call { source: CallError::ClusterNotFound, .. })
    );
    assert!(is_not_found, "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn reading_fails_if_no_time_is_left_to_describe_a_missing_task_again() {
    let reader = reader(with_tasks_missing_at_first(&[("b", usize::MAX)]));
    let deadline = Instant::now() + Duration::from_millis(1_500);
    let (reading, scope) = (reader.begin(Some(deadline)), clusters(&["app"]));
    let error = reading.tasks(&scope, &Progress::default()).await.unwrap_err().to_string();
    assert!(error.contains("no time is left to ask again"), "{error}");
    assert!(Instant::now() < deadline);
}

#[tokio::test(start_paused = true)]
async fn container_without_status_is_described_again_and_fails_the_reading_if_it_stays_so() {
    let mut app = FakeCluster::with_running_tasks(&["a"]);
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
    let error = contradiction_message(running(&reader, &scope).await);
    assert!(error.contains("does not say of each container of task arn:"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn cluster_that_lists_no_task_but_counts_running_ones_is_read_again() {
    // Of a cold reader, which knows of no task that it could ask for.
    for (times, milliseconds) in [(1, 200), (3, 1_400)] {
        let mut app = FakeCluster::with_running_tasks(&["a", "b"]);
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
async fn cluster_that_lists_only_a_draining_task_but_counts_a_running_one_is_read_again() {
    let mut app = FakeCluster::with_running_tasks(&["a"]);
    app.tasks.push(FakeTask::draining("b"));
    let reader = reader(FakeEcs::new([("app", app)]));
    reader.ecs.empty_listings.lock().unwrap().0 = 1;
    assert_eq!(running(&reader, &everything()).await.unwrap(), ["a:1", "b:1"]);
}

#[tokio::test(start_paused = true)]
async fn cluster_that_never_lists_its_running_tasks_fails_and_the_fifth_error_advises_exclusion() {
    let idle = FakeCluster { counted_too_many: 2, ..FakeCluster::default() };
    let app = FakeCluster::with_running_tasks(&["a"]);
    let reader = reader(FakeEcs::new([("app", app), ("idle", idle)]));
    for nth in 1..=6 {
        let error = contradiction_message(running(&reader, &everything()).await);
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
    let error = contradiction_message(running(&reader, &everything()).await);
    assert!(!error.contains("managed daemons"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn empty_cluster_whose_running_count_drops_to_zero_on_retry_is_read_as_empty() {
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
async fn task_that_ran_and_is_in_no_listing_is_described_before_it_counts_as_gone() {
    let reader = reader(FakeEcs::new([("app", FakeCluster::with_running_tasks(&["a", "b", "c"]))]));
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
async fn cluster_that_is_no_longer_listed_is_described_before_it_counts_as_deleted() {
    let reader = reader(FakeEcs::new([
        ("app", FakeCluster::with_running_tasks(&["a"])),
        ("db", FakeCluster::with_running_tasks(&["b"])),
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
async fn unlisted_cluster_is_still_read_by_a_scope_if_another_scope_of_the_reading_names_it() {
    let reader = reader(FakeEcs::new([
        ("app", FakeCluster::with_running_tasks(&["a"])),
        ("db", FakeCluster::with_running_tasks(&["b"])),
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

//! What each reporter does to an environment that has artifacts, once it finds nothing that runs.

use envsnap::standin::{StandIn, World};

use super::account::{account_with_app, digest};
use super::{CLUSTERS, Filter, SERVICES};
use crate::recorder::Recorder;
use crate::reporters::{envsnap_report_to, kosli_snapshot_to};

/// The index and the artifacts (name, fingerprint, replicas) of the latest snapshot after a run of a
/// reporter, and the exit code of the run.
type Outcome = (u64, Vec<(String, String, u64)>, Option<i32>);

/// The reporter left the first snapshot as it was.
fn first_snapshot_kept(exit_code: i32) -> Outcome {
    let fingerprint = digest('a').replace("sha256:", "");
    (1, vec![("web:1".to_owned(), fingerprint, 1)], Some(exit_code))
}

/// The reporter recorded a second snapshot without artifacts.
fn emptied_and_success() -> Outcome {
    (2, vec![], Some(0))
}

/// Runs each reporter, ours and then the incumbent, on an environment where `web:1` ran, after `change`.
async fn outcome_of_each_reporter(
    filter: Option<(Filter, &str)>,
    change: fn(&mut World),
) -> [Outcome; 2] {
    let mut outcomes = Vec::new();
    for is_incumbent in [false, true] {
        let ecs = StandIn::start(account_with_app([])).await.unwrap();
        let (aws, recorder) = (ecs.endpoint(), Recorder::start().await);
        envsnap_report_to(&recorder.url, &aws, &[("AUTO_CREATE_ENVIRONMENT", "true")])
            .await
            .success();
        ecs.update(change);
        let arguments: Vec<_> = filter.iter().flat_map(|(names, value)| [names.0, value]).collect();
        let variables: Vec<_> = filter.iter().map(|(names, value)| (names.1, *value)).collect();
        let result = if is_incumbent {
            kosli_snapshot_to(&recorder.url, &aws, &arguments).await
        } else {
            envsnap_report_to(&recorder.url, &aws, &variables).await
        };
        let (index, running) = recorder.latest_snapshot().await;
        outcomes.push((index, running, result.code));
    }
    outcomes.try_into().unwrap()
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn a_scope_that_matches_nothing_empties_the_environment_for_them_and_not_for_us() {
    let no_change = |_: &mut World| {};
    let delete = |world: &mut World| world.clusters.clear();
    for (what, filter, change) in [
        ("a filter that matches no service", Some((SERVICES, "wbe")), no_change as fn(&mut World)),
        ("a cluster that was mistyped", Some((CLUSTERS, "ap")), no_change),
        ("a named cluster that was deleted", Some((CLUSTERS, "app")), delete),
        ("an account without clusters", None, delete),
    ] {
        assert_eq!(
            outcome_of_each_reporter(filter, change).await,
            [first_snapshot_kept(2), emptied_and_success()],
            "{what}"
        );
    }
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn a_service_that_runs_nothing_any_longer_empties_the_environment_for_both() {
    let stop = |world: &mut World| {
        for task in world.cluster_mut("app").tasks_of("web") {
            task.stop();
        }
    };
    assert_eq!(
        outcome_of_each_reporter(None, stop).await,
        [emptied_and_success(), emptied_and_success()]
    );
}

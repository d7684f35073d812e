//! What becomes of an environment that has something in it, once nothing is found to run.

use envsnap::standin::{StandIn, World};

use super::account::{app, digest};
use super::{CLUSTERS, Filter, SERVICES};
use crate::recorder::Recorder;
use crate::reporters::{envsnap_report_to, kosli_snapshot_to};

/// The index of the latest snapshot and what runs in it, and how the reporter ended.
type Left = (u64, Vec<(String, String, u64)>, Option<i32>);

fn untouched(code: i32) -> Left {
    let fingerprint = digest('a').replace("sha256:", "");
    (1, vec![("web:1".to_owned(), fingerprint, 1)], Some(code))
}

fn emptied() -> Left {
    (2, vec![], Some(0))
}

/// What each reporter leaves of an environment where `web:1` ran, after `change`.
async fn left(filter: Option<(Filter, &str)>, change: fn(&mut World)) -> [Left; 2] {
    let mut left = Vec::new();
    for theirs in [false, true] {
        let ecs = StandIn::start(app([])).await.unwrap();
        let (aws, recorder) = (ecs.endpoint(), Recorder::start().await);
        envsnap_report_to(&recorder.url, &aws, &[("AUTO_CREATE_ENVIRONMENT", "true")])
            .await
            .success();
        ecs.update(change);
        let arguments: Vec<_> = filter.iter().flat_map(|(of, value)| [of.0, value]).collect();
        let variables: Vec<_> = filter.iter().map(|(of, value)| (of.1, *value)).collect();
        let ended = if theirs {
            kosli_snapshot_to(&recorder.url, &aws, &arguments).await
        } else {
            envsnap_report_to(&recorder.url, &aws, &variables).await
        };
        let (index, running) = recorder.latest_snapshot().await;
        left.push((index, running, ended.code));
    }
    left.try_into().unwrap()
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
        assert_eq!(left(filter, change).await, [untouched(2), emptied()], "{what}");
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
    assert_eq!(left(None, stop).await, [emptied(), emptied()]);
}

//! The calls of ECS that each reporter makes, and how ECS's quotas throttle them.

use envsnap::standin::{Operation, Quotas, StandIn, World};

use super::Expected;
use super::sizes::{account_with_clusters, account_with_services, numbered_lines};
use crate::reporters::{envsnap_report, kosli_snapshot};

/// Calls of each operation, in the order of [`Operation::ALL`]: `ListClusters`, `DescribeClusters`,
/// `ListTasks`, `DescribeTasks`, `ListServices`, `DescribeServices`.
type CallCounts = [u64; 6];

/// The calls of each operation so far.
fn call_counts(ecs: &StandIn) -> CallCounts {
    let calls = ecs.calls();
    Operation::ALL.map(|operation| calls.count(operation))
}

/// The calls of a first run of ours and of theirs, with the whole account in scope.
async fn count_calls_of_both_reporters(world: World) -> (CallCounts, CallCounts) {
    let ecs = StandIn::start(world.clone()).await.unwrap();
    envsnap_report(&ecs.endpoint(), &[]).await.0.success();
    let our_counts = call_counts(&ecs);
    let ecs = StandIn::start(world).await.unwrap();
    kosli_snapshot(&ecs.endpoint(), &[]).await.0.success();
    (our_counts, call_counts(&ecs))
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn our_calls_grow_with_tasks_and_theirs_with_services() {
    for (count, ours, theirs) in [
        (1, [1, 0, 2, 1, 0, 0], [1, 1, 1, 1, 1, 1]),
        (10, [1, 0, 2, 1, 0, 0], [1, 1, 10, 10, 1, 1]),
        (150, [1, 0, 3, 2, 0, 0], [1, 1, 150, 150, 15, 15]),
    ] {
        assert_eq!(
            count_calls_of_both_reporters(account_with_services(count)).await,
            (ours, theirs),
            "{count} services of one task"
        );
    }
    let (ours, theirs) = ([1, 0, 60, 30, 0, 0], [1, 1, 30, 30, 30, 30]);
    assert_eq!(
        count_calls_of_both_reporters(account_with_clusters(30)).await,
        (ours, theirs),
        "30 clusters with a service"
    );
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn a_hundred_and_fifty_services_throttle_them_and_not_us() {
    let start_throttled = async || {
        let ecs = StandIn::start(account_with_services(150)).await.unwrap();
        ecs.faults(|faults| {
            faults.throttle(Quotas::documented());
        });
        ecs
    };
    let throttled_calls = |ecs: &StandIn| {
        let calls = ecs.calls();
        calls.log().iter().filter(|call| call.status == Some(400)).count()
    };
    let all_services = Expected::Reports(numbered_lines(150, |n| format!("app/web-{n} web:1=a")));

    let ecs = start_throttled().await;
    assert_eq!(all_services.mismatch(&envsnap_report(&ecs.endpoint(), &[]).await), None);
    assert_eq!((call_counts(&ecs), throttled_calls(&ecs)), ([1, 0, 3, 2, 0, 0], 0));

    // Whether retrying is enough is a matter of chance: it was in 7 runs of 16.
    let ecs = start_throttled().await;
    let result = kosli_snapshot(&ecs.endpoint(), &[]).await;
    assert!(throttled_calls(&ecs) > 0, "{:?}", call_counts(&ecs));
    let failed = Expected::Fails(1, "ThrottlingException").mismatch(&result);
    let difference = if result.0.code == Some(0) { all_services.mismatch(&result) } else { failed };
    assert_eq!(difference, None);
}

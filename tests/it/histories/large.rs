//! Large accounts: counted to the last container, in as few calls and as little time as the quota
//! allows.

use std::collections::{BTreeMap, BTreeSet};

use envsnap::report::{OutcomeKind, Trigger, TriggerKind};

use super::account::{Account, Cluster, Container, SOFTWARE, Task, arn};
use super::ecs::FakeEcs;
use super::history::{History, Part, Policy};
use super::record::{ServerKind, UnknownFingerprints};
use super::run::{config, start_process};
use super::server::FakeServer;
use super::timeline::{MINUTE, Millis, Timeline};

/// So many clusters, each with `running` tasks of one container and `stopped` tasks that stopped
/// ten minutes ago.
fn large_account(clusters: usize, running: usize, stopped: usize) -> Account {
    let names: Vec<_> = (0..clusters).map(|n| format!("cluster-{n:03}")).collect();
    let mut tasks = BTreeMap::new();
    for cluster in &names {
        for n in 0..running + stopped {
            let stops = (n >= running).then_some(-10 * MINUTE);
            let container = Container { runs: &SOFTWARE[n % 2], starts: -20 * MINUTE, stops };
            let task = Task {
                cluster: cluster.clone(),
                group: Some("service:web".to_owned()),
                created: -20 * MINUTE,
                stopping_at: stops,
                stopped: stops,
                containers: vec![container],
            };
            tasks.insert(arn("task", &format!("{cluster}/{n:05}")), task);
        }
    }
    let services = BTreeSet::from(["web".to_owned()]);
    let cluster = Cluster { made: -30 * MINUTE, deleted: None, vanished: None, services };
    Account { clusters: names.into_iter().map(|name| (name, cluster.clone())).collect(), tasks }
}

/// Calls of ECS and milliseconds of an invocation of a new process, and of the next one, a minute
/// later.
async fn ecs_calls_and_time(
    account: Account,
    containers: usize,
    quota_share: f64,
) -> [(u32, Millis); 2] {
    let history = History {
        environments: vec![Part::Everything],
        policy: Policy {
            compare_replicas: true,
            recheck: 15 * MINUTE,
            heartbeat: None,
            auto_create: false,
        },
        server: ServerKind {
            include_scaling: true,
            unknown: UnknownFingerprints::Shown,
            preconditions: true,
        },
        made: true,
        account,
        page_size: 100,
        latencies: vec![0],
        steps: Vec::new(),
    };
    let names = ["env-0".to_owned()];
    let time = Timeline::begin(false);
    let ecs = FakeEcs::new(history.account.clone(), time.clone(), 100, vec![0]);
    let server = FakeServer::new(history.server, time.clone(), vec![0]);
    server.with_record(&names[0], |record| record.exists = true);
    let mut config = config(&history, &names);
    config.quota_share = quota_share;
    let process = start_process(config, &ecs, &server, &time);

    let mut costs = [(0, 0); 2];
    for (cost, expected) in costs.iter_mut().zip([OutcomeKind::Posted, OutcomeKind::Unchanged]) {
        let begun = time.now();
        let outcome = process.run(&Trigger::new(TriggerKind::Schedule), None).await.unwrap();
        let outcome = &outcome.environments[0];
        assert_eq!(
            (outcome.outcome, outcome.containers),
            (expected, Some(containers)),
            "{outcome:?}"
        );
        *cost = (outcome.calls.ecs, time.now() - begun);
        time.wait_until(time.now() + MINUTE).await;
    }
    let recorded: u64 = server.latest_counts(&names[0]).values().sum();
    assert_eq!(usize::try_from(recorded), Ok(containers));
    costs
}

/// Milliseconds that so many calls that read tasks wait for the quota, which allows 97 at once and
/// then 20 a second, times its share.
fn quota_wait_ms(calls: u32, quota_share: f64) -> f64 {
    (f64::from(calls) - 97.0 * quota_share).max(0.0) / (20.0 * quota_share) * 1_000.0
}

#[tokio::test(start_paused = true)]
#[ignore = "takes long"]
async fn large_accounts_are_counted_to_the_last_container_as_fast_as_the_quota_allows() {
    // Clusters, running and stopped tasks in each; calls of a cold process, and of a warm one.
    let cases = [
        (1, 12_000, 0, 1 + 120 + 1 + 120, 1 + 120 + 1 + 120),
        (1, 12_000, 5_000, 1 + 120 + 50 + 170, 1 + 120 + 50 + 120),
        (250, 4, 0, 3 + 250 * 3, 3 + 250 * 3),
        (250, 4, 20, 3 + 250 * 4, 3 + 250 * 3),
    ];
    for (clusters, running, stopped, cold, warm) in cases {
        for share in [0.5, 1.0] {
            let account = large_account(clusters, running, stopped);
            // The bucket refills by the wall clock as well, which goes on while the virtual one is stopped.
            let begun = std::time::Instant::now();
            let costs = ecs_calls_and_time(account, clusters * running, share).await;
            let computed = begun.elapsed().as_secs_f64() * 1_000.0;
            let name = format!("{clusters} x {running} + {stopped} at {share}: {costs:?}");
            println!("{name}");
            let [(cold_calls, _), (warm_calls, _)] = costs;
            assert_eq!((cold_calls, warm_calls), (cold, warm), "{name}");
            let listings = u32::try_from(clusters.div_ceil(100)).unwrap();
            for (calls, took) in costs {
                #[expect(clippy::cast_precision_loss, reason = "minutes, in milliseconds")]
                let beyond = took as f64 - quota_wait_ms(calls - listings, share);
                assert!((-1.0 - computed..1_500.0).contains(&beyond), "{name}: {beyond}");
            }
        }
    }
}

//! Connections that died while the function was frozen.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use envsnap::api::{Client, EnvironmentApi as _, ServerApi as _};
use envsnap::ecs::AwsEcs;
use envsnap::report::{EnvironmentOutcome, OutcomeKind, Reporter, Trigger, TriggerKind};
use envsnap::standin::{Cluster, StandIn, World};
use envsnap::token::TokenSource;
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::harness::{Clock, ENVIRONMENT, app, aws, config, reporter, task};
use crate::proxy::{Death, Proxy};
use crate::recorder::server::Recorder;
use crate::stopped_clock::StoppedClock;

const SECOND: Duration = Duration::from_secs(1);

/// Too little for the shortest wait before another attempt.
const NO_TIME_TO_WAIT: Duration = Duration::from_millis(500);

/// A reporter that has run once, with a proxy before ECS and another before the server. It sends requests to
/// both at every run.
struct ThawedReporter {
    ecs: Proxy,
    server: Proxy,
    reporter: Reporter<AwsEcs, Client, Clock>,
    _stand_in: StandIn,
    _recorder: Recorder,
}

impl ThawedReporter {
    async fn new() -> Self {
        let more = ["a", "b", "c", "d", "e", "f", "g"];
        let more = more.map(|name| Cluster::new(name).task(task("web", 1)));
        let stand_in = StandIn::start(more.into_iter().fold(app(), World::cluster)).await.unwrap();
        let recorder = Recorder::start().await;
        recorder.create(ENVIRONMENT, Some(true)).await;
        let (ecs, server) = (Proxy::start(&stand_in.endpoint()), Proxy::start(&recorder.url));
        let variables = [("RECHECK", "0s"), ("ECS_CLUSTERS", ""), ("QUOTA_SHARE", "1")];
        let aws = aws(&ecs.url);
        let now = Arc::new(Mutex::new(SystemTime::now()));
        let reporter = reporter(&aws, &server.url, &variables, now).await;
        let thawed = Self { ecs, server, reporter, _stand_in: stand_in, _recorder: recorder };
        let first = thawed.run(None).await;
        assert_eq!(first.outcome, OutcomeKind::Posted, "{first:?}");
        thawed
    }

    async fn run(&self, give_up_at: Option<Instant>) -> EnvironmentOutcome {
        let trigger = Trigger::new(TriggerKind::Schedule);
        let outcome = self.reporter.run(&trigger, give_up_at).await.unwrap();
        outcome.environments.into_iter().next().unwrap()
    }
}

/// The result of `work` on a stopped clock. For each of `proxies` in turn, once a connection has swallowed a
/// request, the clock advances by its timeout and by the wait before the retry.
async fn on_a_stopped_clock<T>(
    work: impl Future<Output = T>,
    proxies: &mut [(&mut Proxy, Duration)],
) -> T {
    let clock = StoppedClock::start();
    let script = async {
        for (proxy, timeout) in proxies {
            proxy.swallowed().await;
            for time in [*timeout, SECOND] {
                // Timers end with the next millisecond.
                clock.advance(time + Duration::from_millis(2)).await;
                // What the timeout ends has to begin to wait before the wait can end.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        result = work => result,
        () = script => unreachable!("it never ends"),
    }
}

#[tokio::test]
async fn connections_closed_or_reset_while_frozen_are_retried_without_a_wait() {
    for death in [Death::Closed, Death::Reset, Death::Forgotten] {
        let thawed = ThawedReporter::new().await;
        let alive = thawed.run(None).await;
        let (opened_to_ecs, opened_to_server) = (thawed.ecs.opened(), thawed.server.opened());
        thawed.ecs.kill(death);
        thawed.server.kill(death);

        let clock = StoppedClock::start();
        let outcome = thawed.run(Some(Instant::now() + NO_TIME_TO_WAIT)).await;
        drop(clock);

        assert_eq!(outcome.outcome, OutcomeKind::Unchanged, "{death:?} {outcome:?}");
        assert_eq!(outcome.duration_ms, 0, "{death:?}: nothing was waited for");
        assert!(thawed.ecs.opened() > opened_to_ecs && thawed.server.opened() > opened_to_server);
        let more = (outcome.calls.ecs - alive.calls.ecs, outcome.calls.server - alive.calls.server);
        // Of what is closed by then, the HTTP clients themselves may take notice in time.
        assert!(more.0 <= 1 && more.1 <= 1, "{death:?} {more:?}");
        assert!(death != Death::Forgotten || more == (1, 1), "{more:?}");
    }
}

#[tokio::test]
async fn connections_that_are_silent_after_a_freeze_time_out_once_and_the_run_succeeds() {
    let mut thawed = ThawedReporter::new().await;
    let alive = thawed.run(None).await;
    thawed.ecs.kill(Death::Silent);
    thawed.server.kill(Death::Silent);

    let ThawedReporter { ecs, server, reporter, .. } = &mut thawed;
    let trigger = Trigger::new(TriggerKind::Schedule);
    let run = reporter.run(&trigger, Some(Instant::now() + 59 * SECOND));
    let outcome = on_a_stopped_clock(run, &mut [(ecs, 5 * SECOND), (server, 3 * SECOND)]).await;

    let outcome = outcome.unwrap().environments.into_iter().next().unwrap();
    assert_eq!(outcome.outcome, OutcomeKind::Unchanged, "{outcome:?}");
    // Of ECS and of the server at the same time, and a second's wait after each.
    assert!((10_000..10_100).contains(&outcome.duration_ms), "{outcome:?}");
    let more = (outcome.calls.ecs - alive.calls.ecs, outcome.calls.server - alive.calls.server);
    assert_eq!(more, (1, 1), "the other connections were not tried");
}

#[tokio::test]
async fn second_attempt_after_a_dead_connection_opens_a_new_one() {
    for death in [Death::Forgotten, Death::Silent] {
        let recorder = Recorder::start().await;
        recorder.create(ENVIRONMENT, Some(true)).await;
        let mut proxy = Proxy::start(&recorder.url);
        let config = config(&proxy.url, &[]);
        let tokens = TokenSource::new(&config.token, &aws("http://127.0.0.1:9"));
        let client = Client::new(config.host, config.org, tokens).unwrap();
        join_all((0..8).map(async |_| {
            client.environment(ENVIRONMENT, None).get().await.unwrap();
        }))
        .await;
        assert_eq!(proxy.opened(), 8);
        proxy.kill(death);

        let calls = if death == Death::Silent {
            let environment = client.environment(ENVIRONMENT, None);
            let proxies = &mut [(&mut proxy, 30 * SECOND)];
            on_a_stopped_clock(environment.get(), proxies).await.unwrap();
            environment.calls()
        } else {
            let _clock = StoppedClock::start();
            let give_up_at = Instant::now() + NO_TIME_TO_WAIT;
            let environment = client.environment(ENVIRONMENT, Some(give_up_at));
            environment.get().await.unwrap();
            environment.calls()
        };
        assert_eq!(calls, 2, "{death:?}");
    }
}

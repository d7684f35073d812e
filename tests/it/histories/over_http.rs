//! The same over HTTP: the AWS SDK between the reporter and the stand-in, and the recorder behind a
//! proxy. Time is that of the model: it passes from step to step, and when certain calls were
//! answered; what is waited for is real, and short.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use envsnap::api::Client;
use envsnap::api::wire::RecordedSnapshot;
use envsnap::ecs::{AwsEcs, Source, connect};
use envsnap::report::{EnvironmentOutcome, OutcomeKind, Reporter, Trigger, TriggerKind};
use envsnap::standin::StandIn;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::Instant;

use super::account::{Account, Counts};
use super::generator::part;
use super::history::Part;
use super::http_invocation::{HttpFault, HttpInvocation, http_invocation};
use super::invariants::Violation;
use super::plan::{Plan, plans};
use super::proxy::Proxy;
use super::shown::world;
use super::timeline::{MINUTE, Millis, unix_seconds};
use crate::harness::{self, Clock, ENVIRONMENT};
use crate::recorder::server::Recorder;

/// Time of an invocation with a fault: too short for another attempt at a request to the server.
const FAULTY_INVOCATION_TIMEOUT: Duration = Duration::from_millis(700);

/// The reporter between the stand-in for ECS and a proxy in front of the recorder.
struct HttpSetup {
    account: Arc<Account>,
    part: Part,
    include_scaling: bool,
    page_size: usize,
    now: Arc<AtomicI64>,
    ecs: StandIn,
    recorder: Recorder,
    proxy: Proxy,
    reporter: Reporter<AwsEcs, Client, Clock>,
    /// The hash of what the process knows that the recorder has.
    known: Option<String>,
}

impl HttpSetup {
    async fn start(account: Account, part: Part, include_scaling: bool, page_size: usize) -> Self {
        let now = Arc::new(AtomicI64::new(0));
        let ecs = StandIn::start(world(&account, page_size, 0)).await.unwrap();
        let recorder = Recorder::start().await;
        recorder.create(ENVIRONMENT, Some(include_scaling)).await;
        let proxy = Proxy::start(&recorder.url).await;
        let reporter = reporter(&ecs, &proxy, part, Arc::clone(&now)).await;
        let account = Arc::new(account);
        Self {
            account,
            part,
            include_scaling,
            page_size,
            now,
            ecs,
            recorder,
            proxy,
            reporter,
            known: None,
        }
    }

    /// Moves the time of ECS, the reporter and the recorder on.
    fn advance(&self, time: Millis) {
        let now = self.now.fetch_add(time, Ordering::SeqCst) + time;
        self.ecs.set_world(world(&self.account, self.page_size, now));
        self.recorder.advance(Duration::from_millis(time.unsigned_abs()).as_secs_f64());
    }

    /// Sets the faults of the invocation, and the calls that move the time.
    fn inject_faults(&self, invocation: &HttpInvocation) {
        let begun = self.now.load(Ordering::SeqCst);
        self.ecs.faults(|faults| {
            faults.clear();
            match &invocation.fault {
                Some(HttpFault::Ecs(operation, fault)) => {
                    faults.once(*operation, fault.clone());
                }
                Some(HttpFault::NotYetKnown) => {
                    for arn in self.account.tasks.keys() {
                        faults.lose_task_times(arn.rsplit('/').next().unwrap(), 1);
                    }
                }
                _ => {}
            }
        });
        self.proxy.set_faults(match &invocation.fault {
            Some(HttpFault::Server(faults)) => faults.clone(),
            _ => Vec::new(),
        });
        for (operation, nth, after) in &invocation.moves {
            let (account, now) = (Arc::clone(&self.account), Arc::clone(&self.now));
            let (page_size, to) = (self.page_size, begun + after);
            let nth = self.ecs.calls().count(*operation) + nth;
            self.ecs.on_call(*operation, nth, move |shown| {
                if now.fetch_max(to, Ordering::SeqCst) < to {
                    *shown = world(&account, page_size, to);
                }
            });
        }
    }

    /// Runs an invocation, and checks the invariants a, d and f.
    async fn invoke(
        &mut self,
        invocation: &HttpInvocation,
    ) -> Result<EnvironmentOutcome, Violation> {
        self.advance(invocation.after);
        if invocation.restart {
            self.known = None;
            self.reporter =
                reporter(&self.ecs, &self.proxy, self.part, Arc::clone(&self.now)).await;
        }
        let before = self.read_recorded().await;
        self.inject_faults(invocation);
        let begun = self.now.load(Ordering::SeqCst);
        let time = if invocation.fault.is_some() {
            FAULTY_INVOCATION_TIMEOUT
        } else {
            Duration::from_secs(30)
        };
        let schedule = Trigger::new(TriggerKind::Schedule);
        let outcome = self.reporter.run(&schedule, Some(Instant::now() + time)).await.unwrap();
        let outcome = outcome.environments.into_iter().next().unwrap();
        self.proxy.set_faults([]);
        let after = self.read_recorded().await;
        let ended = self.now.load(Ordering::SeqCst);

        if after.index != before.index {
            self.check_recorded_replicas(&after.counts, begun, ended)?;
        }
        let failed = outcome.outcome == OutcomeKind::Failed;
        let reported = before.reported_at != after.reported_at;
        let hash = outcome.content_hash.clone();
        match outcome.outcome {
            _ if failed != outcome.error.is_some() => Err(format!("f: {outcome:?}")),
            OutcomeKind::Failed if invocation.fault.is_none() => Err(format!("f: {outcome:?}")),
            OutcomeKind::Posted if !reported => Err("f: reported as posted".to_owned()),
            OutcomeKind::Unchanged if reported => Err("f: reported as unchanged".to_owned()),
            OutcomeKind::Posted if self.known == hash => Err("d: posted again".to_owned()),
            _ => Ok(()),
        }
        .map_err(|violation| format!("{violation} (at {begun} ms)"))?;
        let plain = !matches!(invocation.fault, Some(HttpFault::Server(_)));
        match outcome.outcome {
            OutcomeKind::Posted => self.known = hash.filter(|_| plain),
            OutcomeKind::Unchanged if outcome.calls.server > 0 && plain => self.known = hash,
            OutcomeKind::Failed if reported => self.known = None,
            _ => {}
        }
        Ok(outcome)
    }

    /// Invariant a.
    fn check_recorded_replicas(
        &self,
        posted: &Counts,
        begun: Millis,
        ended: Millis,
    ) -> Result<(), Violation> {
        let wanted = |task: &_| self.part.has_task(task);
        let throughout = self.account.count(wanted, |c| c.runs_throughout(begun, ended));
        let sometime = self.account.count(wanted, |c| c.runs_at_some_moment(begun, ended));
        let number = |counts: &Counts, identity| counts.get(identity).copied().unwrap_or_default();
        for identity in throughout.keys().chain(posted.keys()) {
            let (least, most) = (number(&throughout, identity), number(&sometime, identity));
            let posted = number(posted, identity);
            if !(least..=most).contains(&posted) {
                return Err(format!(
                    "a: {posted} of {identity}, and there were {least} to {most} \
                     ({begun} to {ended} ms)"
                ));
            }
        }
        Ok(())
    }

    async fn read_recorded(&self) -> Recorded {
        let environment = self.recorder.get(&format!("/environments/acme/{ENVIRONMENT}")).await;
        let reported_at = environment.body["last_reported_at"].as_f64();
        let latest = self.recorder.get(&format!("/snapshots/acme/{ENVIRONMENT}/-1")).await;
        let Ok(latest) = serde_json::from_value::<RecordedSnapshot>(latest.body) else {
            return Recorded { index: 0, reported_at, counts: Counts::new() };
        };
        let mut counts = Counts::new();
        for artifact in latest.running() {
            let known = artifact.fingerprint.clone().filter(|fingerprint| !fingerprint.is_empty());
            let identity = known.unwrap_or_else(|| artifact.name.clone());
            *counts.entry(identity).or_default() += artifact.annotation.now;
        }
        Recorded { index: latest.index, reported_at, counts }
    }

    /// Invariants c and d: two invocations without faults later the recorder has what runs, and the
    /// next one reports nothing.
    async fn check_final_state(&mut self) -> Result<(), Violation> {
        let calm = HttpInvocation { after: MINUTE, restart: false, moves: Vec::new(), fault: None };
        for round in 0..3 {
            let outcome = self.invoke(&calm).await?;
            if round == 2 && outcome.outcome != OutcomeKind::Unchanged {
                return Err(format!("d: posted again though nothing changed: {outcome:?}"));
            }
        }
        let now = self.now.load(Ordering::SeqCst);
        let runs = self.account.count(|task| self.part.has_task(task), |c| c.runs_at(now));
        let recorded = self.read_recorded().await.counts;
        let same =
            if self.include_scaling { runs == recorded } else { runs.keys().eq(recorded.keys()) };
        if same { Ok(()) } else { Err(format!("c: {runs:?} run, and {recorded:?} is recorded")) }
    }
}

/// Index and replicas of the latest snapshot, and when it was last reported.
struct Recorded {
    index: u64,
    reported_at: Option<f64>,
    counts: Counts,
}

/// A new reporter process.
async fn reporter(
    ecs: &StandIn,
    proxy: &Proxy,
    part: Part,
    now: Arc<AtomicI64>,
) -> Reporter<AwsEcs, Client, Clock> {
    let aws = harness::aws(&ecs.endpoint());
    let mut config = harness::config(&proxy.url, &[("QUOTA_SHARE", "1")]);
    config.environments[0].scope = part.scope();
    let server = harness::server(&config, &aws);
    let ecs = connect(&aws, &Source::default()).await;
    let clock: Clock = Box::new(move || {
        let seconds = unix_seconds(now.load(Ordering::SeqCst));
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())
    });
    Reporter::new(config, |_| ecs.clone(), server, clock)
}

/// Runs the invocations on the account of the plan, and checks the invariants.
fn run_and_check(
    plan: &Plan,
    part: Part,
    include_scaling: bool,
    page_size: usize,
    invocations: &[HttpInvocation],
) -> Result<(), Violation> {
    let begun = invocations.iter().scan(0, |at, invocation| {
        *at += invocation.after;
        Some(*at)
    });
    let account = plan.account(&begun.collect::<Vec<_>>());
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(async {
        let mut scene = HttpSetup::start(account, part, include_scaling, page_size).await;
        for invocation in invocations {
            scene.invoke(invocation).await?;
        }
        scene.check_final_state().await
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 50,
        // Each of them takes real time.
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    })]

    #[test]
    #[ignore = "takes long"]
    fn snapshots_recorded_over_http_match_what_ran_under_every_fault(
        plan in plans(),
        part in part(),
        include_scaling in any::<bool>(),
        page_size in 1..4_usize,
        invocations in vec(http_invocation(), 1..5),
    ) {
        run_and_check(&plan, part, include_scaling, page_size, &invocations)
            .map_err(TestCaseError::fail)?;
    }
}

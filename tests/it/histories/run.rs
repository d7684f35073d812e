//! A history as it happens.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use envsnap::config::{Config, EnvironmentConfig};
use envsnap::ecs::Source;
use envsnap::report::{EnvironmentOutcome, Outcome, Reporter, Trigger, TriggerKind};
use tokio::time::Instant;

use super::account::arn;
use super::ecs::FakeEcs;
use super::history::{History, Invocation, StepKind, Triggered};
use super::invariants::{Known, ObservedRun, Violation, check_recorded_matches_running};
use super::server::FakeServer;
use super::timeline::{MINUTE, Millis, Seconds, Timeline};

pub(super) type Process = Reporter<FakeEcs, FakeServer, Box<dyn Fn() -> SystemTime>>;

/// Milliseconds before the deadline at which the reporter gives up, to say why.
const DEADLINE_MARGIN: u64 = 100;

/// A run of a history in virtual time.
struct Simulation<'a> {
    history: &'a History,
    /// Of the environments.
    names: Vec<String>,
    time: Timeline,
    ecs: FakeEcs,
    server: FakeServer,
    processes: BTreeMap<usize, Process>,
    /// By process and environment.
    known: BTreeMap<(usize, usize), Known>,
}

/// Runs the history and checks all invariants; if one does not hold, runs it again, to add a diary
/// to the error.
pub(super) fn run_and_check(history: &History) -> Result<(), Violation> {
    let happens = |with_a_diary| {
        // The jitter of waits draws on it: the same history has always the same end.
        fastrand::seed(0);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut stage = Simulation::new(history, with_a_diary);
            let result = stage.run_steps().await;
            result.map_err(|violation| format!("{violation}\n{}", stage.time.diary()))
        })
    };
    happens(false).map_err(|violation| happens(true).err().unwrap_or(violation))
}

impl<'a> Simulation<'a> {
    fn new(history: &'a History, with_a_diary: bool) -> Self {
        let History { account, page_size, latencies, .. } = history;
        let time = Timeline::begin(with_a_diary);
        let ecs = FakeEcs::new(account.clone(), time.clone(), *page_size, latencies.clone());
        let server = FakeServer::new(history.server, time.clone(), latencies.clone());
        let names: Vec<_> = (0..history.environments.len()).map(|n| format!("env-{n}")).collect();
        for name in &names {
            server.with_record(name, |record| record.exists = history.made);
        }
        let (processes, known) = (BTreeMap::new(), BTreeMap::new());
        Self { history, names, time, ecs, server, processes, known }
    }

    /// Runs the steps, and then checks the final state.
    async fn run_steps(&mut self) -> Result<(), Violation> {
        let mut at = 0;
        for step in &self.history.steps {
            at += step.after;
            self.time.wait_until(at).await;
            self.time.note(|| format!("{:?}", step.what));
            match &step.what {
                StepKind::Invocation(invocation) => self.invoke(invocation).await?,
                StepKind::Restart(process) => {
                    self.ecs.forget_process(*process);
                    self.processes.remove(process);
                    self.known.retain(|(of, _), _| of != process);
                }
                StepKind::Write(software) => {
                    self.names
                        .iter()
                        .for_each(|name| self.server.report_by_other_writer(name, software));
                }
                StepKind::Archive => self.set_archived(true),
                StepKind::Restore => self.set_archived(false),
            }
        }
        self.check_final_state().await
    }

    fn set_archived(&self, archived: bool) {
        for name in &self.names {
            self.server.with_record(name, |record| record.archived = archived);
        }
    }

    /// The process with this number, which is started if it does not run.
    fn process(&mut self, number: usize) -> &Process {
        let Self { history, names, time, ecs, server, .. } = self;
        let new = || start_process(config(history, names), ecs, server, time);
        self.processes.entry(number).or_insert_with(new)
    }

    /// Runs an invocation, and checks the invariants in each environment.
    async fn invoke(&mut self, invocation: &Invocation) -> Result<(), Violation> {
        let Invocation { process, kind, deadline, ecs, server } = invocation;
        self.ecs.begin_invocation(ecs);
        let mut others = Vec::new();
        for (n, name) in self.names.iter().enumerate() {
            let of_it = server.iter().filter(|(environment, ..)| *environment == n);
            self.server.begin_invocation(
                name,
                *process,
                of_it.map(|(_, call, fault)| (*call, fault.clone())),
            );
            others.push(self.server.with_record(name, |record| record.reports_by_others(*process)));
        }
        let begun = self.time.now();
        let give_up_at = Instant::now() + Duration::from_millis(deadline.unsigned_abs());
        let trigger = trigger(*kind);
        let outcome = self.process(*process).run(&trigger, Some(give_up_at)).await.unwrap();
        let ended = self.time.now();
        if ended > begun + deadline + 1 {
            return Err(format!("f: it ended at {}, after its deadline", Seconds(ended)));
        }
        self.check_reported_calls_and_environments(&outcome, *kind)?;
        for outcome in &outcome.environments {
            let n = self.names.iter().position(|name| *name == outcome.environment).unwrap();
            self.time.note(|| describe(outcome));
            let run = self.observe(n, invocation, begun, outcome);
            let at = || format!(" (env-{n}, in the invocation at {})", Seconds(begun));
            run.check_invariants().map_err(|violation| violation + &at())?;
            let after = self
                .server
                .with_record(&self.names[n], |record| record.reports_by_others(*process));
            match run.known_afterwards((others[n], after)) {
                Some(known) => self.known.insert((*process, n), known),
                None => self.known.remove(&(*process, n)),
            };
        }
        if outcome.failures().next().is_none() {
            self.ecs.end_successful_invocation(*process);
        }
        Ok(())
    }

    /// The calls are reported, and only environments that may have changed were read.
    fn check_reported_calls_and_environments(
        &self,
        outcome: &Outcome,
        kind: Triggered,
    ) -> Result<(), Violation> {
        let reported: u32 = outcome.environments.iter().map(|e| e.calls.ecs).sum();
        let made = self.ecs.calls_of_this_invocation();
        if usize::try_from(reported) != Ok(made) {
            return Err(format!("f: {made} calls of ECS, {reported} were reported"));
        }
        let wanted = self.history.environments.iter().map(|part| match kind {
            Triggered::ByTasks(cluster) => part.has_cluster(cluster),
            _ => true,
        });
        let wanted = self.names.iter().zip(wanted).filter(|(_, wanted)| *wanted);
        if !wanted.map(|(name, _)| name).eq(outcome.environments.iter().map(|e| &e.environment)) {
            return Err(format!("f: {:?} were reported", outcome.environments));
        }
        Ok(())
    }

    fn observe<'s>(
        &'s self,
        environment: usize,
        invocation: &'s Invocation,
        begun: Millis,
        outcome: &'s EnvironmentOutcome,
    ) -> ObservedRun<'s> {
        let part = self.history.environments[environment];
        let alone = self.names.len() == 1;
        // What one environment did not get, another one may have had when it tried again.
        let damage = self.ecs.fault_effects();
        let contradicted =
            damage.contradicted.then(|| self.ecs.tasks_that_may_be_left_out(invocation.process));
        let unusable = if alone { damage.unread_listings() } else { damage.failed };
        let mut concerned = unusable.iter().map(|c| c.as_ref().is_none_or(|c| part.has_cluster(c)));
        self.server.with_record(&self.names[environment], |record| ObservedRun {
            history: self.history,
            account: self.ecs.account(),
            invocation,
            part,
            outcome,
            begun,
            before_deadline: outcome.duration_ms + DEADLINE_MARGIN
                < invocation.deadline.unsigned_abs(),
            known: self.known.get(&(invocation.process, environment)).cloned(),
            visit: record.visit.clone(),
            unread: concerned.any(|concerned| concerned),
            alone,
            contradicted,
        })
    }

    /// Faults have ended and nothing changes any more: checks that two invocations later the server
    /// has what runs, and nothing is reported again.
    async fn check_final_state(&mut self) -> Result<(), Violation> {
        self.time.note(|| "from here on nothing changes and nothing fails".to_owned());
        self.set_archived(false);
        let mut processes: Vec<_> = self.processes.keys().copied().collect();
        if processes.is_empty() {
            processes.push(0);
        }
        // A minute after the last step, the last changes are over.
        let mut at = self.time.now();
        let mut disturbed = false;
        for name in &self.names {
            self.server.with_record(name, |record| {
                record.exists = true;
                let late = record.late.iter().map(|(at, _)| *at).max();
                at = at.max(late.unwrap_or_default());
                disturbed |=
                    late.is_some() || processes.iter().any(|p| record.reports_by_others(*p) > 0);
            });
        }
        if disturbed {
            // A process that slept finds out what others reported.
            at += 3 * MINUTE;
        }
        for round in 0..5 {
            // The last one comes after every recheck.
            at += if round == 4 { 16 * MINUTE } else { MINUTE };
            self.time.wait_until(at).await;
            self.time.note(|| format!("round {round}"));
            let process = processes[round % processes.len()];
            self.invoke(&Invocation::without_faults(process)).await?;
            if round > 0 {
                self.check_server_has_what_runs()?;
            }
            if round > 1 && self.history.policy.heartbeat.is_none() {
                self.check_nothing_was_reported()?;
            }
        }
        Ok(())
    }

    fn check_server_has_what_runs(&self) -> Result<(), Violation> {
        let now = self.time.now();
        for (name, part) in self.names.iter().zip(&self.history.environments) {
            let runs = self.ecs.account().count(|task| part.has_task(task), |c| c.runs_at(now));
            check_recorded_matches_running(self.history, &runs, &self.server.latest_counts(name))
                .map_err(|violation| format!("{violation} in {name}"))?;
        }
        Ok(())
    }

    fn check_nothing_was_reported(&self) -> Result<(), Violation> {
        for name in &self.names {
            if self.server.with_record(name, |record| !record.visit.puts.is_empty()) {
                return Err(format!("d: {name} was reported again, though nothing changed"));
            }
        }
        Ok(())
    }
}

pub(super) fn start_process(
    config: Config,
    ecs: &FakeEcs,
    server: &FakeServer,
    time: &Timeline,
) -> Process {
    let time = time.clone();
    let clock = Box::new(move || time.wall_clock());
    Reporter::new(config, |_| ecs.clone(), server.clone(), clock)
}

pub(super) fn config(history: &History, names: &[String]) -> Config {
    let millis = |millis: Millis| Duration::from_millis(millis.unsigned_abs());
    let mut config = crate::harness::config("http://127.0.0.1:1", &[("QUOTA_SHARE", "1")]);
    config.policy.compare_replicas = history.policy.compare_replicas;
    config.policy.recheck = millis(history.policy.recheck);
    config.policy.heartbeat = history.policy.heartbeat.map(millis);
    let environments = names.iter().zip(&history.environments);
    config.environments = environments
        .map(|(name, part)| EnvironmentConfig {
            name: name.clone(),
            scope: part.scope(),
            source: Source::default(),
            auto_create: history.policy.auto_create,
            include_scaling: None,
        })
        .collect();
    config
}

fn trigger(kind: Triggered) -> Trigger {
    let mut trigger = Trigger::new(match kind {
        Triggered::BySchedule => TriggerKind::Schedule,
        Triggered::ByTasks(_) => TriggerKind::TaskStateChange,
        Triggered::Forced | Triggered::Dry => TriggerKind::Manual,
    });
    if let Triggered::ByTasks(cluster) = kind {
        trigger.clusters = vec![arn("cluster", cluster).parse().unwrap()];
    }
    trigger.force = kind == Triggered::Forced;
    trigger.dry_run = kind == Triggered::Dry;
    trigger
}

fn describe(outcome: &EnvironmentOutcome) -> String {
    let counts: Vec<_> =
        outcome.artifacts.iter().map(|a| format!("{:.20} x{}", a.name, a.replicas)).collect();
    format!("  {}: {:?} {counts:?} {:?}", outcome.environment, outcome.outcome, outcome.error)
}

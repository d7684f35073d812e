//! One run of one environment: read, compare, post.

use std::cell::Cell;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::OptionFuture;

use super::decision::{Decision, Facts};
use super::environment::RunContext;
use super::heartbeat::Heartbeat;
use super::memory::Memory;
use super::server_state::{
    ServerState, create_environment, fetch_latest, fetch_status, is_heartbeat_due,
};
use super::{Changes, EnvironmentOutcome, Explanation, OutcomeKind, ReportError};
use crate::api::wire::EcsReport;
use crate::api::{EnvironmentApi, LatestSnapshot, ReportOptions};
use crate::config::{EnvironmentConfig, Policy};
use crate::ecs::{EcsApi, EcsError, Observation, Progress, Reading, Scope, Task, observe};
use crate::snapshot::{Diff, RunningContainer, Snapshot};

/// Readings of an environment before the run gives up in favour of the other processes that report
/// it.
const MAX_READINGS: usize = 5;

/// As the error at the deadline names this step, after "no time was left to".
const READ_ECS_STEP: &str = "read all of ECS that is in scope";
/// See [`READ_ECS_STEP`].
const FETCH_LATEST_STEP: &str = "ask the server for its latest snapshot";

/// One run of one environment: what it needs, and where it stores what it finds.
pub(super) struct EnvironmentRun<'a, S, C, A> {
    pub(super) config: &'a EnvironmentConfig,
    pub(super) heartbeat: Option<Heartbeat>,
    pub(super) progress: &'a Progress,
    pub(super) run: &'a RunContext<'a, S, C>,
    pub(super) server: &'a A,
    pub(super) memory: &'a mut Memory,
    /// Filled in with what is read and compared.
    pub(super) outcome: &'a mut EnvironmentOutcome,
    /// The current step, for the error at the deadline.
    pub(super) step: &'a Cell<&'static str>,
}

/// What ran at the end of a reading.
pub(super) struct CurrentSnapshot {
    pub(super) tasks: Vec<Arc<Vec<Task>>>,
    pub(super) snapshot: Snapshot,
    content_hash: String,
    /// The end of the reading.
    at: SystemTime,
}

impl CurrentSnapshot {
    /// The running containers in `scope`.
    pub(super) fn containers<'t>(
        &'t self,
        scope: &'t Scope,
    ) -> impl Iterator<Item = RunningContainer<'t>> {
        observations(&self.tasks, scope, self.at).filter_map(|it| it.result.ok())
    }

    /// The origin of tasks is left out unless the server accepts it (`accepts_origin`).
    fn to_ecs_report(&self, config: &EnvironmentConfig, accepts_origin: bool) -> EcsReport {
        let containers = self.containers(&config.scope).map(|container| RunningContainer {
            origin: container.origin.filter(|_| accepts_origin),
            ..container
        });
        EcsReport::from_containers(&containers.collect::<Vec<_>>())
    }
}

/// Whether a report was recorded.
enum PostResult {
    Recorded,
    /// Not recorded: this state is newer than the one that was compared.
    Overtaken(ServerState),
}

impl<S, C: Fn() -> SystemTime, A: EnvironmentApi> EnvironmentRun<'_, S, C, A> {
    /// Reads, compares and posts.
    ///
    /// Another run may overlap with this one, and what that one reads may be newer. So a report is
    /// sent only if no snapshot was recorded since *before the reading began*: the index of the
    /// latest one is known from the last run, or is fetched first. Otherwise the reading is
    /// repeated.
    pub(super) async fn report<E: EcsApi>(
        mut self,
        reading: &Reading<'_, E>,
    ) -> Result<OutcomeKind, ReportError> {
        self.memory.on_run_start((self.run.clock)());
        let mut known_index = self.memory.index();
        let mut answer = None;
        if known_index.is_none() {
            self.step.set(FETCH_LATEST_STEP);
            let fetched = self.fetch_latest().await;
            known_index = fetched.as_ref().ok().map(|latest| latest.index);
            answer = Some(fetched);
        }
        let own_reading;
        let reading = if self.run.readiness.wait().await {
            reading
        } else {
            if let Some(Err(error)) = answer {
                return Err(error);
            }
            own_reading = reading.again();
            &own_reading
        };
        let mut current = self.read_and_fetch_latest(reading, &mut answer).await?;
        let is_trusted =
            self.memory.trusts(&current.content_hash, current.at, self.run.policy.recheck)
                && !self.heartbeat_may_be_due(current.at)
                && !self.run.trigger.force;
        let mut latest = match answer {
            Some(answer) => answer?,
            None if is_trusted => return Ok(OutcomeKind::Unchanged),
            None => self.fetch_latest().await?,
        };
        for _ in 0..MAX_READINGS {
            match self.decide(&current, &mut latest).await? {
                Decision::Unchanged => {
                    self.outcome.changes = Changes::default();
                    return Ok(OutcomeKind::Unchanged);
                }
                Decision::DryRun => return Ok(OutcomeKind::DryRun),
                Decision::Post | Decision::Create => {}
            }
            if known_index == Some(latest.index) {
                match self.post(&current, &latest).await? {
                    PostResult::Recorded => return Ok(OutcomeKind::Posted),
                    PostResult::Overtaken(newer) => latest = newer,
                }
            }
            tracing::info!(
                environment = self.config.name,
                index = latest.index,
                "another process recorded a snapshot while this one read: reading again"
            );
            known_index = Some(latest.index);
            self.step.set(READ_ECS_STEP);
            current = self.read(&reading.again()).await?;
        }
        let environment = self.config.name.clone();
        Err(ReportError::Overtaken { environment, readings: MAX_READINGS })
    }

    /// Reads, and concurrently fetches the server's latest snapshot unless it is known or the
    /// memory is sufficient.
    async fn read_and_fetch_latest<E: EcsApi>(
        &mut self,
        reading: &Reading<'_, E>,
        answer: &mut Option<Result<ServerState, ReportError>>,
    ) -> Result<CurrentSnapshot, ReportError> {
        self.step.set(READ_ECS_STEP);
        let now = (self.run.clock)();
        let is_fresh = self.memory.is_fresh(now, self.run.policy.recheck);
        let remembered = is_fresh && !self.heartbeat_may_be_due(now) && !self.run.trigger.force;
        if answer.is_some() || remembered {
            return self.read(reading).await;
        }
        let Self { config, progress, run, server, memory, outcome, step, .. } = self;
        let read = async {
            let explain = run.trigger.explain;
            let current =
                read_current(config, progress, run.clock, explain, outcome, reading).await?;
            // If the response were already there, this step would never be reported.
            step.set(FETCH_LATEST_STEP);
            Ok::<_, ReportError>(current)
        };
        let fetch = async { Ok(fetch_latest_and_status(config, run, memory, *server).await) };
        let (current, fetched) = futures_util::try_join!(read, fetch)?;
        *answer = Some(fetched);
        Ok(current)
    }

    async fn read<E: EcsApi>(
        &mut self,
        reading: &Reading<'_, E>,
    ) -> Result<CurrentSnapshot, ReportError> {
        let (explain, clock) = (self.run.trigger.explain, self.run.clock);
        Ok(read_current(self.config, self.progress, clock, explain, self.outcome, reading).await?)
    }

    async fn fetch_latest(&mut self) -> Result<ServerState, ReportError> {
        self.step.set(FETCH_LATEST_STEP);
        fetch_latest_and_status(self.config, self.run, self.memory, self.server).await
    }

    fn heartbeat_may_be_due(&self, now: SystemTime) -> bool {
        self.memory.heartbeat_may_be_due(now, self.heartbeat)
    }

    /// Compares what runs with the server's latest snapshot, and creates the environment if it is
    /// missing.
    async fn decide(
        &mut self,
        current: &CurrentSnapshot,
        latest: &mut ServerState,
    ) -> Result<Decision, ReportError> {
        let diff = Diff::between(&latest.snapshot, &current.snapshot);
        let differs = self.differs(&diff, current, latest.index);
        self.outcome.changes = diff.into();
        if !differs && !latest.is_missing {
            self.memory.remember_snapshot(current.content_hash.clone(), latest.index, current.at);
        }
        // An environment without a snapshot has no heartbeat.
        let heartbeat_due = !differs
            && latest.index > 0
            && self.heartbeat_may_be_due(current.at)
            && is_heartbeat_due(self.memory, self.server, current.at, self.heartbeat).await?;
        let facts = Facts {
            differs,
            is_missing: latest.is_missing,
            heartbeat_due,
            force: self.run.trigger.force,
            dry_run: self.run.policy.dry_run || self.run.trigger.dry_run,
        };
        self.outcome.reason = facts.reason();
        let decision = match facts.decide() {
            Decision::Create => {
                self.step.set("create the environment on the server");
                create_environment(self.config, self.memory, self.server).await?;
                latest.is_missing = false;
                if !differs {
                    self.memory.remember_snapshot(
                        current.content_hash.clone(),
                        latest.index,
                        current.at,
                    );
                }
                Facts { is_missing: false, ..facts }.decide()
            }
            decision => decision,
        };
        Ok(decision)
    }

    /// Whether what runs differs from the server's snapshot `index`. Replicas are compared only if
    /// the server counts them.
    fn differs(&self, diff: &Diff, current: &CurrentSnapshot, index: u64) -> bool {
        let replicas_count = self.run.policy.compare_replicas && self.memory.replicas.are_counted();
        let same = if replicas_count { diff.is_empty() } else { diff.same_artifacts() };
        !same && !self.memory.matches(&current.content_hash, index)
    }

    /// Posts the report, unless a snapshot was recorded after `compared`.
    async fn post(
        &mut self,
        current: &CurrentSnapshot,
        compared: &ServerState,
    ) -> Result<PostResult, ReportError> {
        let index = compared.index;
        if !self.server.accepts_preconditions() {
            // Without preconditions, a snapshot recorded after this response is overwritten.
            let latest = self.fetch_latest().await?;
            if latest.index != index {
                return Ok(PostResult::Overtaken(latest));
            }
        }
        self.step.set("post the snapshot to the server");
        self.memory.forget_snapshot();
        let calls = self.server.calls();
        let report = current.to_ecs_report(self.config, self.server.accepts_origin());
        let options =
            ReportOptions { latest_index: Some(index), heartbeat: self.run.policy.heartbeat };
        let reported = match self.server.report(&report, options).await {
            Err(error) if error.is_precondition_failed() => {
                // An attempt that seemed to fail may have made the snapshot.
                let repeated = self.server.calls() - calls > 1;
                let latest = self.fetch_latest().await?;
                let is_ours = repeated
                    && latest.index == index.saturating_add(1)
                    && Diff::between(&latest.snapshot, &current.snapshot).is_empty();
                if !is_ours {
                    return Ok(PostResult::Overtaken(latest));
                }
                self.memory.remember_report_time(Some(current.at), current.at);
                self.memory.remember_snapshot(
                    current.content_hash.clone(),
                    latest.index,
                    current.at,
                );
                self.outcome.created = true;
                self.outcome.index = Some(latest.index);
                return Ok(PostResult::Recorded);
            }
            answer => answer?,
        };
        self.memory.environment_seen = true;
        self.memory.remember_report_time(Some(current.at), current.at);
        self.outcome.head = reported.head.map(|head| head.to_string());
        if !reported.repeated {
            let index = index.saturating_add(u64::from(reported.created));
            self.memory.remember_snapshot(current.content_hash.clone(), index, current.at);
            self.outcome.created = reported.created;
            self.outcome.index = reported.created.then_some(index);
            return Ok(PostResult::Recorded);
        }
        // An attempt that seemed to fail may have made the snapshot. The response to the next one
        // does not say so.
        match self.server.latest_snapshot().await {
            Ok(LatestSnapshot::Snapshot { index: latest, .. }) => {
                self.outcome.created = latest > index;
                self.outcome.index = self.outcome.created.then_some(latest);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "whether a snapshot was made is not known"),
        }
        Ok(PostResult::Recorded)
    }
}

/// Fetches the server's state and, concurrently, if it was not fetched recently, whether the server
/// counts replicas.
async fn fetch_latest_and_status<S, C: Fn() -> SystemTime>(
    config: &EnvironmentConfig,
    run: &RunContext<'_, S, C>,
    memory: &mut Memory,
    server: &impl EnvironmentApi,
) -> Result<ServerState, ReportError> {
    let (now, name) = ((run.clock)(), &config.name);
    let Policy { compare_replicas, recheck, .. } = *run.policy;
    let is_stale = compare_replicas && memory.replicas.is_stale(now, recheck);
    let (latest, status) = futures_util::join!(
        fetch_latest(config, memory, server),
        OptionFuture::from(is_stale.then(|| fetch_status(server, name)))
    );
    if let Some(status) = status.flatten() {
        memory.remember_report_time(status.reported_at(), now);
        let counted = memory.replicas.are_counted();
        memory.replicas.update(name, status.include_scaling, now);
        if memory.replicas.are_counted() && !counted {
            // What was equal to the record without replicas may differ with them.
            memory.forget_snapshot();
        }
    }
    latest
}

/// Reads what runs, and fills in `outcome` with it: with an explanation of each container if
/// `explain` is set.
pub(super) async fn read_current<E: EcsApi>(
    config: &EnvironmentConfig,
    progress: &Progress,
    clock: &impl Fn() -> SystemTime,
    explain: bool,
    outcome: &mut EnvironmentOutcome,
    reading: &Reading<'_, E>,
) -> Result<CurrentSnapshot, EcsError> {
    let tasks = reading.tasks(&config.scope, progress).await?;
    let at = clock();
    let mut explanations = explain.then(Vec::new);
    let containers: Vec<_> = observations(&tasks, &config.scope, at)
        .inspect(|observation| {
            if let Some(explanations) = &mut explanations {
                explanations.push(Explanation::from(observation));
            }
        })
        .filter_map(|observation| observation.result.ok())
        .collect();
    let snapshot: Snapshot = containers.iter().collect();
    let content_hash = snapshot.content_hash();
    outcome.fill_in_snapshot(&containers, &snapshot, &content_hash);
    outcome.explanations = explanations;
    Ok(CurrentSnapshot { tasks, snapshot, content_hash, at })
}

fn observations<'t>(
    tasks: &'t [Arc<Vec<Task>>],
    scope: &Scope,
    at: SystemTime,
) -> impl Iterator<Item = Observation<'t>> {
    let now = unix_seconds(at);
    let tasks = tasks.iter().flat_map(|tasks| tasks.iter());
    tasks.flat_map(move |task| observe(task, scope, now))
}

fn unix_seconds(time: SystemTime) -> i64 {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}

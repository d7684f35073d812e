//! One environment: read, compare, post.

use std::cell::Cell;
use std::time::SystemTime;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::memory::Memory;
use super::recorded::{create, is_silent, latest};
use super::{
    Calls, Changes, EnvironmentOutcome, ErrorRow, Explanation, ReportError, Trigger, Verdict,
};
use crate::api::wire::EcsReport;
use crate::api::{EnvironmentApi, Latest, ServerApi};
use crate::config::{EnvironmentConfig, Policy};
use crate::ecs::{ClusterRef, EcsApi, Progress, Reading, observe};
use crate::snapshot::{Diff, RunningContainer, Snapshot};

/// An environment that is reported, and what is remembered of it.
#[derive(Debug)]
pub(super) struct Monitored {
    pub(super) config: EnvironmentConfig,
    /// Which of the reporter's readers reads it.
    pub(super) reader: usize,
    memory: Mutex<Memory>,
    pub(super) progress: Progress,
}

/// What the environments of one run have in common.
pub(super) struct Run<'a, S, C> {
    pub(super) trigger: &'a Trigger,
    pub(super) policy: &'a Policy,
    pub(super) server: &'a S,
    pub(super) clock: &'a C,
    pub(super) give_up_at: Option<Instant>,
}

impl Monitored {
    pub(super) fn new(config: EnvironmentConfig, reader: usize) -> Self {
        Self { config, reader, memory: Mutex::default(), progress: Progress::default() }
    }

    /// A task of this cluster may belong to the environment.
    pub(super) fn may_include(&self, cluster: &ClusterRef) -> bool {
        let source = &self.config.source;
        let same = |ours: Option<&str>, theirs: Option<&str>| {
            ours.zip(theirs).is_none_or(|(ours, theirs)| ours == theirs)
        };
        same(source.region.as_deref(), cluster.region())
            && same(source.account(), cluster.account())
            && self.config.scope.clusters.selects(cluster.name())
    }

    /// Reports the environment. At the deadline what is unfinished fails.
    pub(super) async fn report<E: EcsApi, S: ServerApi, C: Fn() -> SystemTime>(
        &self,
        reading: &Reading<'_, E>,
        run: &Run<'_, S, C>,
    ) -> EnvironmentOutcome {
        let started = Instant::now();
        self.progress.restart();
        let server = run.server.environment(&self.config.name, run.give_up_at);
        let mut outcome = EnvironmentOutcome::of(&self.config.name);
        let doing = Cell::new("begin");

        let work = self.report_to(&server, reading, run, &mut outcome, &doing);
        let result = match run.give_up_at {
            None => work.await,
            Some(at) => tokio::time::timeout_at(at, work)
                .await
                .unwrap_or_else(|_| Err(ReportError::DeadlineExceeded(doing.get()))),
        };

        match result {
            Ok(verdict) => outcome.outcome = verdict,
            Err(error) => {
                outcome.outcome = Verdict::Failed;
                outcome.error =
                    Some(ErrorRow { error_type: error.error_type(), message: error.to_string() });
            }
        }
        outcome.changes = printable(outcome.changes, &server).await;
        outcome.calls = Calls { ecs: self.progress.calls(), server: server.calls() };
        outcome.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        outcome
    }

    /// Reads, compares and posts, and writes into `outcome` what it learns on the way.
    async fn report_to<E: EcsApi, S: ServerApi, C: Fn() -> SystemTime>(
        &self,
        server: &impl EnvironmentApi,
        reading: &Reading<'_, E>,
        run: &Run<'_, S, C>,
        outcome: &mut EnvironmentOutcome,
        doing: &Cell<&'static str>,
    ) -> Result<Verdict, ReportError> {
        let Policy { compare_replicas, heartbeat, recheck, dry_run } = *run.policy;
        let trigger = run.trigger;
        let mut memory = self.memory.lock().await;
        memory.awake((run.clock)());

        doing.set("read all of ECS that is in scope");
        let containers = self.read(reading, run, outcome).await?;
        let now = (run.clock)();
        let snapshot: Snapshot = containers.iter().collect();
        let content_hash = snapshot.content_hash();
        outcome.running(&containers, &snapshot, &content_hash);

        let may_be_silent = memory.may_be_silent(now, heartbeat);
        if !trigger.force && !may_be_silent && memory.trusts(&content_hash, now, recheck) {
            return Ok(Verdict::Unchanged);
        }

        doing.set("ask the server for its latest snapshot");
        let recorded = latest(&self.config, &mut memory, server).await?;
        let differs = {
            let diff = Diff::between(&recorded.snapshot, &snapshot);
            let same = if compare_replicas { diff.is_empty() } else { diff.same_artifacts() };
            outcome.changes = diff.into();
            !same && !memory.recognises(&content_hash, recorded.index)
        };
        let dry_run = dry_run || trigger.dry_run;
        if recorded.missing && !dry_run {
            doing.set("make the environment on the server");
            create(&self.config, &mut memory, server).await?;
        }
        if !differs {
            // What is not there yet, since this is a dry run, is no memory of the server.
            if !(recorded.missing && dry_run) {
                memory.remember(content_hash.clone(), recorded.index, now);
            }
            // Nothing is posted to an environment that never had anything.
            let silent = may_be_silent
                && recorded.index > 0
                && is_silent(&mut memory, server, now, heartbeat).await?;
            if !trigger.force && !silent {
                outcome.changes = Changes::default();
                return Ok(Verdict::Unchanged);
            }
        }
        if dry_run {
            return Ok(Verdict::DryRun);
        }

        doing.set("post the snapshot to the server");
        memory.forget();
        let reported = server.report(&EcsReport::of(&containers)).await?;
        memory.environment_seen = true;
        memory.remember_report(Some(now));
        outcome.head = reported.head;
        if !reported.repeated {
            let index = recorded.index.saturating_add(u64::from(reported.created));
            memory.remember(content_hash, index, now);
            outcome.created = reported.created;
            return Ok(Verdict::Posted);
        }
        // An attempt that seemed to fail may have made the snapshot, and then the answer to the next
        // one does not say so.
        match server.latest_snapshot().await {
            Ok(Latest::Snapshot { index, .. }) => outcome.created = index > recorded.index,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "whether a snapshot was made is not known"),
        }
        Ok(Verdict::Posted)
    }

    /// The containers that count, with an explanation of each that was read where that is asked for.
    async fn read<E: EcsApi, S, C: Fn() -> SystemTime>(
        &self,
        reading: &Reading<'_, E>,
        run: &Run<'_, S, C>,
        outcome: &mut EnvironmentOutcome,
    ) -> Result<Vec<RunningContainer>, ReportError> {
        let scope = &self.config.scope;
        let tasks = reading.tasks(scope, &self.progress).await?;
        let now = unix_seconds((run.clock)());
        let observations: Vec<_> = tasks
            .iter()
            .flat_map(|tasks| tasks.iter())
            .flat_map(|task| observe(task, scope, now))
            .collect();
        if run.trigger.explain {
            outcome.explanations = Some(observations.iter().map(Explanation::from).collect());
        }
        Ok(observations.into_iter().filter_map(|observation| observation.verdict.ok()).collect())
    }
}

/// The changes as they are printed: the names of what exited or scaled are the server's text.
async fn printable(mut changes: Changes, server: &impl EnvironmentApi) -> Changes {
    let names = changes.exited.iter_mut().map(|row| &mut row.name);
    for name in names.chain(changes.scaled.iter_mut().map(|row| &mut row.name)) {
        *name = server.printable(std::mem::take(name)).await;
    }
    changes
}

fn unix_seconds(time: SystemTime) -> i64 {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}

//! The use case: read what runs, compare it with the latest snapshot, post it if it differs.

mod error;
mod memory;
mod outcome;
mod recorded;
mod trigger;

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::api::wire::EcsReport;
use crate::api::{Client, EnvironmentApi, Latest, ServerApi};
use crate::config::{Config, EnvironmentConfig, Policy};
use crate::ecs::{self, AwsEcs, EcsApi, Progress, Quota, Reader, observe};
use crate::snapshot::{Diff, RunningContainer, Snapshot};
use crate::token::TokenSource;
pub use error::{ConnectError, ReportError};
use memory::Memory;
pub use outcome::{
    ArtifactRow, Calls, ChangeRow, Changes, EnvironmentOutcome, ErrorRow, Explanation, MOST_ROWS,
    Omitted, Outcome, ScaledRow, Verdict,
};
use recorded::{create, is_silent, latest};
pub use trigger::{InvalidEvent, Trigger, TriggerKind};

/// Reports environments, and remembers between runs what the server has.
#[derive(Debug)]
pub struct Reporter<E, S, C> {
    reader: Reader<E>,
    server: S,
    policy: Policy,
    environments: Vec<Monitored>,
    clock: C,
}

#[derive(Debug)]
struct Monitored {
    config: EnvironmentConfig,
    memory: Mutex<Memory>,
    progress: Progress,
}

/// How long [`Reporter::warm_up`] may take.
const WARM_UP: Duration = Duration::from_secs(2);

/// A reporter of the real ECS to a real server.
pub type ConnectedReporter = Reporter<AwsEcs, Client, fn() -> SystemTime>;

impl ConnectedReporter {
    /// A reporter of everything in `config`, from the account and region in `aws`.
    ///
    /// # Errors
    /// There is no region to read, or the HTTP client could not be set up.
    pub fn connect(config: Config, aws: &SdkConfig) -> Result<Self, ConnectError> {
        if aws.region().is_none_or(|region| region.as_ref().is_empty()) {
            return Err(ConnectError::NoRegion);
        }
        let tokens = TokenSource::new(&config.token, aws);
        let server = Client::new(config.host.clone(), config.org.clone(), tokens)?;
        Ok(Self::new(config, ecs::connect(aws), server, SystemTime::now))
    }

    /// Opens the connections that a run needs and fetches the token, for two seconds at the most.
    ///
    /// At small memory sizes the TLS handshakes are the largest part of a function's first run, and
    /// its start-up has more processor than a run. What fails is met again, and told, by the run.
    pub async fn warm_up(&self) {
        let both = async {
            futures_util::join!(self.reader.ecs().warm_up(), self.server.warm_up());
        };
        let _late = tokio::time::timeout(WARM_UP, both).await;
    }
}

impl<E: EcsApi, S: ServerApi, C: Fn() -> SystemTime> Reporter<E, S, C> {
    /// A reporter of everything in `config`, on the time that `clock` tells.
    pub fn new(config: Config, ecs: E, server: S, clock: C) -> Self {
        let quota = Quota::share(config.quota_share);
        let environments = config
            .environments
            .into_iter()
            .map(|config| Monitored {
                config,
                memory: Mutex::default(),
                progress: Progress::default(),
            })
            .collect();
        Self { reader: Reader::new(ecs, quota), server, policy: config.policy, environments, clock }
    }

    /// How far the reading of the environments is, in the order of the configuration.
    pub fn progress(&self) -> impl Iterator<Item = &Progress> {
        self.environments.iter().map(|environment| &environment.progress)
    }

    /// Reports every environment that the trigger asks for, side by side. One that fails does not
    /// keep the others from being reported. At `give_up_at` what is unfinished fails.
    ///
    /// # Errors
    /// The trigger asks for an environment that is not configured.
    pub async fn run(
        &self,
        trigger: &Trigger,
        give_up_at: Option<Instant>,
    ) -> Result<Outcome, InvalidEvent> {
        let wanted: Vec<_> = self
            .environments
            .iter()
            .filter(|e| trigger.environment.as_ref().is_none_or(|name| *name == e.config.name))
            .collect();
        if let (Some(name), true) = (&trigger.environment, wanted.is_empty()) {
            let configured: Vec<_> = self.environments.iter().map(|e| &*e.config.name).collect();
            return Err(InvalidEvent(format!(
                "Environment {name:?} is not one that is configured here ({})",
                configured.join(", ")
            )));
        }
        let runs = wanted
            .into_iter()
            .map(|environment| async { self.run_one(environment, trigger, give_up_at).await });
        Ok(Outcome { trigger: trigger.kind, environments: join_all(runs).await })
    }

    async fn run_one(
        &self,
        environment: &Monitored,
        trigger: &Trigger,
        give_up_at: Option<Instant>,
    ) -> EnvironmentOutcome {
        let started = Instant::now();
        environment.progress.restart();
        let server = self.server.environment(&environment.config.name, give_up_at);
        let mut outcome = EnvironmentOutcome::of(&environment.config.name);
        let doing = Cell::new("begin");

        let work = self.report(environment, trigger, &server, &mut outcome, &doing);
        let result = match give_up_at {
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
        outcome.calls = Calls { ecs: environment.progress.calls(), server: server.calls() };
        outcome.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        outcome
    }

    /// The containers that count, with an explanation of each that was read where that is asked for.
    async fn read(
        &self,
        environment: &Monitored,
        trigger: &Trigger,
        outcome: &mut EnvironmentOutcome,
    ) -> Result<Vec<RunningContainer>, ReportError> {
        let scope = &environment.config.scope;
        let tasks = self.reader.tasks(scope, &environment.progress).await?;
        let now = unix_seconds((self.clock)());
        let observations: Vec<_> =
            tasks.iter().flat_map(|task| observe(task, scope, now)).collect();
        if trigger.explain {
            outcome.explanations = Some(observations.iter().map(Explanation::from).collect());
        }
        Ok(observations.into_iter().filter_map(|observation| observation.verdict.ok()).collect())
    }

    /// Reads, compares and posts, and writes into `outcome` what it learns on the way.
    async fn report(
        &self,
        environment: &Monitored,
        trigger: &Trigger,
        server: &impl EnvironmentApi,
        outcome: &mut EnvironmentOutcome,
        doing: &Cell<&'static str>,
    ) -> Result<Verdict, ReportError> {
        let Policy { compare_replicas, heartbeat, recheck, dry_run } = self.policy;
        let mut memory = environment.memory.lock().await;

        doing.set("read all of ECS that is in scope");
        let containers = self.read(environment, trigger, outcome).await?;
        let now = (self.clock)();
        let snapshot: Snapshot = containers.iter().collect();
        let content_hash = snapshot.content_hash();
        outcome.running(&containers, &snapshot, &content_hash);

        let may_be_silent = memory.may_be_silent(now, heartbeat);
        if !trigger.force && !may_be_silent && memory.trusts(&content_hash, now, recheck) {
            return Ok(Verdict::Unchanged);
        }

        doing.set("ask the server for its latest snapshot");
        let recorded = latest(&environment.config, &mut memory, server).await?;
        let differs = {
            let diff = Diff::between(&recorded.snapshot, &snapshot);
            let same = if compare_replicas { diff.is_empty() } else { diff.same_artifacts() };
            outcome.changes = diff.into();
            !same && !memory.recognises(&content_hash, recorded.index)
        };
        let dry_run = dry_run || trigger.dry_run;
        if recorded.missing && !dry_run {
            doing.set("make the environment on the server");
            create(&environment.config, &mut memory, server).await?;
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
        if !reported.repeated {
            memory.remember(content_hash, recorded.index + u64::from(reported.created), now);
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
}

fn unix_seconds(time: SystemTime) -> i64 {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}

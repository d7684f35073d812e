//! The use case: read what runs, compare it with the latest snapshot, post it if it differs.

mod memory;
mod outcome;
mod trigger;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::api::wire::{ECS, EcsReport, EnvironmentRequest};
use crate::api::{ApiError, Client, EnvironmentClient, Latest, NoClient};
use crate::config::{Config, EnvironmentConfig, Policy};
use crate::ecs::{self, AwsEcs, CallError, EcsApi, EcsError, Progress, Reader, observe};
use crate::snapshot::{Diff, DigestSource, Identity, RunningContainer, Snapshot};
use crate::token::TokenSource;
use memory::Memory;
pub use outcome::{
    ArtifactRow, Calls, ChangeRow, Changes, EnvironmentOutcome, ErrorRow, Explanation, MOST_ROWS,
    Omitted, Outcome, ScaledRow, Verdict,
};
pub use trigger::{InvalidEvent, Trigger, TriggerKind};

/// The description of an environment that is made here.
const DESCRIPTION: &str = "Reported by envsnap";

/// Reports environments, and remembers between runs what the server has.
#[derive(Debug)]
pub struct Reporter<E, C> {
    reader: Reader<E>,
    server: Client,
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

/// Why an environment could not be reported.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// What runs could not be read.
    #[error(transparent)]
    Ecs(#[from] EcsError),
    /// The server did not do its part.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The environment is of another type.
    #[error("Environment \"{environment}\" is of type {found} on the server, and should be ECS")]
    NotEcs {
        /// Its name.
        environment: String,
        /// Its type.
        found: String,
    },
    /// Lambda would have ended the function within a second.
    #[error(
        "There was no time left to {0}. Give the function a longer timeout, or a smaller scope"
    )]
    DeadlineExceeded(&'static str),
}

impl ReportError {
    /// A stable word for alarms and programs.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Ecs(EcsError::NothingInScope(_)) => "NothingInScope",
            Self::Ecs(
                EcsError::ClusterNotFound { .. }
                | EcsError::Call { source: CallError::ClusterNotFound, .. },
            ) => "ClusterNotFound",
            Self::Ecs(EcsError::Call { source, .. }) => match source {
                CallError::AccessDenied(_) | CallError::BadCredentials(_) => "AccessDenied",
                CallError::Throttled(_) => "Throttled",
                _ => "EcsUnavailable",
            },
            Self::Api(ApiError::Token(_)) => "TokenUnavailable",
            Self::Api(ApiError::EnvironmentNotFound { .. }) => "EnvironmentNotFound",
            Self::Api(ApiError::Rejected { .. }) | Self::NotEcs { .. } => "ServerRejected",
            Self::Api(ApiError::Unavailable { .. }) => "ServerUnavailable",
            Self::DeadlineExceeded(_) => "DeadlineExceeded",
        }
    }
}

/// Why nothing can be reported at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody says which AWS region to read.
    #[error("AWS_REGION is not set, and no profile names a region: it should be the one to read.")]
    NoRegion,
    /// The server's client could not be set up.
    #[error(transparent)]
    Client(#[from] NoClient),
}

/// What the server has of an environment.
struct Recorded {
    /// It does not have the environment, which is to be made.
    missing: bool,
    /// Of the latest snapshot; 0 where there is none.
    index: u64,
    snapshot: Snapshot,
}

/// How long [`Reporter::warm_up`] may take.
const WARM_UP: Duration = Duration::from_secs(2);

impl Reporter<AwsEcs, fn() -> SystemTime> {
    /// A reporter of everything in `config`, from the account and region in `aws`.
    ///
    /// # Errors
    /// There is no region to read, or the HTTP client could not be set up.
    pub fn connect(config: Config, aws: &SdkConfig) -> Result<Self, ConnectError> {
        if aws.region().is_none() {
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

impl<E: EcsApi, C: Fn() -> SystemTime> Reporter<E, C> {
    /// A reporter of everything in `config`, on the time that `clock` tells.
    pub fn new(config: Config, ecs: E, server: Client, clock: C) -> Self {
        let environments = config
            .environments
            .into_iter()
            .map(|config| Monitored {
                config,
                memory: Mutex::default(),
                progress: Progress::default(),
            })
            .collect();
        Self { reader: Reader::new(ecs), server, policy: config.policy, environments, clock }
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
        let server = self.server.environment(&environment.config.name);
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

    /// Reads, compares and posts, and writes into `outcome` what it learns on the way.
    async fn report(
        &self,
        environment: &Monitored,
        trigger: &Trigger,
        server: &EnvironmentClient<'_>,
        outcome: &mut EnvironmentOutcome,
        doing: &Cell<&'static str>,
    ) -> Result<Verdict, ReportError> {
        let Policy { compare_replicas, heartbeat, recheck, dry_run } = self.policy;
        let scope = &environment.config.scope;
        let mut memory = environment.memory.lock().await;

        doing.set("read all of ECS that is in scope");
        let tasks = self.reader.tasks(scope, &environment.progress).await?;
        let now = (self.clock)();
        let observations: Vec<_> =
            tasks.iter().flat_map(|task| observe(task, scope, unix_seconds(now))).collect();
        if trigger.explain {
            outcome.explanations = Some(observations.iter().map(Explanation::from).collect());
        }
        let containers: Vec<RunningContainer> =
            observations.into_iter().filter_map(|o| o.verdict.ok()).collect();
        let snapshot: Snapshot = containers.iter().collect();
        let content_hash = snapshot.content_hash();
        describe(outcome, &containers, &snapshot, &content_hash);

        let may_be_silent = memory.may_be_silent(now, heartbeat);
        if !trigger.force && !may_be_silent && memory.trusts(&content_hash, now, recheck) {
            return Ok(Verdict::Unchanged);
        }

        doing.set("ask the server for its latest snapshot");
        let recorded = latest(environment, &mut memory, server).await?;
        let differs = {
            let diff = Diff::between(&recorded.snapshot, &snapshot);
            let same = if compare_replicas { diff.is_empty() } else { diff.same_artifacts() };
            outcome.changes = diff.into();
            !same && !memory.recognises(&content_hash, recorded.index)
        };
        let dry_run = dry_run || trigger.dry_run;
        if recorded.missing && !dry_run {
            doing.set("make the environment on the server");
            create(environment, &mut memory, server).await?;
        }
        if !differs {
            memory.remember(content_hash.clone(), recorded.index, now);
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
        // After a repetition nobody knows whether the first attempt made a snapshot, and so which
        // index is the latest.
        if !reported.repeated {
            memory.remember(content_hash, recorded.index + u64::from(reported.created), now);
        }
        outcome.created = reported.created;
        Ok(Verdict::Posted)
    }
}

/// What the server has, or that it has no such environment and may be given one.
async fn latest(
    environment: &Monitored,
    memory: &mut Memory,
    server: &EnvironmentClient<'_>,
) -> Result<Recorded, ReportError> {
    let name = &environment.config.name;
    let nothing = |missing| Recorded { missing, index: 0, snapshot: Snapshot::default() };
    let recorded = match server.latest_snapshot().await {
        Ok(Latest::NoSnapshotYet) => nothing(false),
        Ok(Latest::Snapshot(latest)) if latest.environment_type == ECS => {
            Recorded { missing: false, index: latest.index, snapshot: latest.snapshot() }
        }
        Ok(Latest::Snapshot(latest)) => {
            let found = latest.environment_type;
            return Err(ReportError::NotEcs { environment: name.clone(), found });
        }
        Err(ApiError::EnvironmentNotFound { .. })
            if environment.config.auto_create && !memory.environment_seen =>
        {
            nothing(true)
        }
        Err(error) => return Err(error.into()),
    };
    if memory.saw_another_index(recorded.index) {
        tracing::info!(
            environment = name,
            index = recorded.index,
            "another writer recorded a snapshot since this process last looked"
        );
    }
    memory.environment_seen |= !recorded.missing;
    Ok(recorded)
}

async fn create(
    environment: &Monitored,
    memory: &mut Memory,
    server: &EnvironmentClient<'_>,
) -> Result<(), ReportError> {
    let name = &environment.config.name;
    let request = EnvironmentRequest {
        name: name.clone(),
        environment_type: ECS.to_owned(),
        description: DESCRIPTION.to_owned(),
        include_scaling: Some(true),
    };
    server.create(&request).await?;
    memory.environment_seen = true;
    tracing::info!(environment = name, "made the environment on the server");
    Ok(())
}

/// Nobody has reported to the environment for as long as `heartbeat`, says the server.
async fn is_silent(
    memory: &mut Memory,
    server: &EnvironmentClient<'_>,
    now: SystemTime,
    heartbeat: Option<Duration>,
) -> Result<bool, ReportError> {
    let last_reported_at = server.get().await?.last_reported_at;
    memory.remember_report(last_reported_at.and_then(|seconds| {
        SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }));
    Ok(memory.may_be_silent(now, heartbeat))
}

fn describe(
    outcome: &mut EnvironmentOutcome,
    containers: &[RunningContainer],
    snapshot: &Snapshot,
    content_hash: &str,
) {
    let mut sources = BTreeMap::<Identity, DigestSource>::new();
    for container in containers {
        let identity = Identity::of(&container.artifact_name, container.fingerprint);
        let source = sources.entry(identity).or_insert(container.digest_source);
        *source = container.digest_source.min(*source);
    }
    outcome.content_hash = Some(content_hash.to_owned());
    outcome.containers = containers.len();
    outcome.tasks = containers.iter().map(|c| &c.task_arn).collect::<BTreeSet<_>>().len();
    outcome.artifacts = snapshot
        .artifacts()
        .map(|artifact| ArtifactRow {
            name: artifact.name.clone(),
            fingerprint: artifact.fingerprint,
            replicas: artifact.replicas,
            digest_source: sources
                .get(&Identity::of(&artifact.name, artifact.fingerprint))
                .copied()
                .unwrap_or(DigestSource::Unknown),
        })
        .collect();
    outcome.unresolved = snapshot
        .artifacts()
        .filter(|artifact| artifact.fingerprint.is_none())
        .map(|artifact| artifact.name.clone())
        .collect();
}

fn unix_seconds(time: SystemTime) -> i64 {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}

//! One environment, and its state between runs.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::account::OwnAccount;
use super::environment_run::{self, EnvironmentRun};
use super::heartbeat::Heartbeat;
use super::inventory::Inventory;
use super::memory::Memory;
use super::readiness::Readiness;
use super::{Calls, EnvironmentOutcome, ErrorKind, OutcomeKind, ReportError, Trigger};
use crate::api::{EnvironmentApi, ServerApi};
use crate::config::{EnvironmentConfig, Policy};
use crate::ecs::{ClusterRef, EcsApi, EcsError, Progress, Reading, Source};

/// Reports one environment, with what is remembered of it between runs.
#[derive(Debug)]
pub(super) struct EnvironmentReporter {
    pub(super) config: EnvironmentConfig,
    /// Index of the reader that reads it.
    pub(super) reader: usize,
    heartbeat: Option<Heartbeat>,
    memory: Mutex<Memory>,
    pub(super) progress: Progress,
}

/// What the environments of one run share.
pub(super) struct RunContext<'a, S, C> {
    pub(super) trigger: &'a Trigger,
    pub(super) policy: &'a Policy,
    pub(super) server: &'a S,
    pub(super) clock: &'a C,
    /// The account that is read without a role.
    pub(super) account: &'a OwnAccount,
    pub(super) give_up_at: Option<Instant>,
    pub(super) readiness: Readiness,
}

impl EnvironmentReporter {
    /// `reader` is the index of the reader for its account, region and role. `period` is that of
    /// the heartbeat.
    pub(super) fn new(config: EnvironmentConfig, reader: usize, period: Option<Duration>) -> Self {
        let heartbeat = period.map(|period| Heartbeat::new(period, &config.name));
        let (memory, progress) = (Mutex::default(), Progress::default());
        Self { config, reader, heartbeat, memory, progress }
    }

    /// Whether a task of this cluster may belong to the environment.
    pub(super) fn may_include(&self, cluster: &ClusterRef) -> bool {
        let source = &self.config.source;
        cluster.may_be_in(source.region.as_deref(), source.account())
            && self.config.scope.clusters.selects_cluster(cluster)
    }

    /// Reads, compares and posts the environment. An error is in the outcome, also if something is
    /// unfinished at the deadline.
    pub(super) async fn report<E: EcsApi, S: ServerApi, C: Fn() -> SystemTime>(
        &self,
        reading: &Reading<'_, E>,
        run: &RunContext<'_, S, C>,
    ) -> EnvironmentOutcome {
        let started = Instant::now();
        self.progress.restart();
        let server = run.server.environment(&self.config.name, run.give_up_at);
        let mut outcome = EnvironmentOutcome::new(&self.config.name);
        let step = Cell::new("begin");

        let work = async {
            let mut memory = self.memory.lock().await;
            let environment_run = EnvironmentRun {
                config: &self.config,
                heartbeat: self.heartbeat,
                progress: &self.progress,
                run,
                server: &server,
                memory: &mut memory,
                outcome: &mut outcome,
                step: &step,
            };
            match environment_run.report(reading).await {
                Err(ReportError::Ecs(error)) => Err(self.with_location(error, run.account).await),
                result => result,
            }
        };
        let result = match run.give_up_at {
            None => work.await,
            Some(at) => tokio::time::timeout_at(at, work)
                .await
                .unwrap_or_else(|_| Err(ReportError::DeadlineExceeded(step.get()))),
        };

        match result {
            Ok(kind) => outcome.outcome = kind,
            Err(error) => outcome.fail(error.kind(), error.to_string()),
        }
        outcome.calls = Calls { ecs: self.progress.calls(), server: server.calls() };
        outcome.duration_ms = milliseconds_since(started);
        outcome
    }
}

impl EnvironmentReporter {
    /// Reads what runs, without a comparison.
    pub(super) async fn read<E: EcsApi>(
        &self,
        reading: &Reading<'_, E>,
        explain: bool,
        clock: &impl Fn() -> SystemTime,
        own: &OwnAccount,
    ) -> Inventory {
        let started = Instant::now();
        self.progress.restart();
        let Self { config, progress, .. } = self;
        let mut outcome = EnvironmentOutcome::new(&config.name);
        outcome.outcome = OutcomeKind::NotCompared;
        let mut inventory = match environment_run::read_current(
            config,
            progress,
            clock,
            explain,
            &mut outcome,
            reading,
        )
        .await
        {
            Ok(current) => Inventory::new(&current, config, outcome),
            Err(error) => {
                let error = self.with_location(error, own).await;
                outcome.fail(error.kind(), error.to_string());
                Inventory::failed(Some(&config.source), outcome)
            }
        };
        if inventory.account.is_none() && inventory.outcome.error.is_none() {
            inventory.account = own.id().await.map(ToOwned::to_owned);
        }
        inventory.outcome.calls.ecs = progress.calls();
        inventory.outcome.duration_ms = milliseconds_since(started);
        inventory
    }

    /// Adds the account and region to an error about something that does not exist, since most
    /// often another account or region was meant.
    async fn with_location(&self, error: EcsError, own: &OwnAccount) -> ReportError {
        let kind = ErrorKind::from(&error);
        if !matches!(kind, ErrorKind::NothingInScope | ErrorKind::ClusterNotFound) {
            return error.into();
        }
        let Source { region, .. } = &self.config.source;
        let account = match self.config.source.account() {
            Some(account) => Some(account),
            None => own.id().await,
        };
        let place = format!(
            "{}, {}",
            region.as_deref().map_or("the region of this process".to_owned(), |region| {
                format!("region {region}")
            }),
            account.map_or("an account that STS does not name".to_owned(), |account| {
                format!("account {account}")
            })
        );
        ReportError::NotFoundAt { source: error, place }
    }
}

fn milliseconds_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

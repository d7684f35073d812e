//! The use case: read what runs, compare it with the latest snapshot, post it if it differs.

mod environment;
mod environment_run;
mod error;
mod heartbeat;
mod memory;
mod outcome;
mod recorded;
mod trigger;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use futures_util::future::join_all;
use tokio::sync::Barrier;
use tokio::time::Instant;

use crate::api::{Client, ServerApi};
use crate::config::{Config, EnvironmentConfig, Policy};
use crate::ecs::{self, AwsEcs, ClusterRef, EcsApi, Progress, Quota, Reader, Source};
use crate::token::TokenSource;
use environment::{Monitored, Run};
pub use error::{ConnectError, ReportError};
pub use outcome::{
    ArtifactRow, Calls, ChangeRow, Changes, EnvironmentOutcome, ErrorRow, Explanation, MOST_ROWS,
    Omitted, Outcome, ScaledRow, Verdict,
};
pub use trigger::{InvalidEvent, Trigger, TriggerKind};

/// Reports environments, and remembers between runs what the server has.
#[derive(Debug)]
pub struct Reporter<E, S, C> {
    /// One for each account, region and role.
    readers: Vec<Reader<E>>,
    server: S,
    policy: Policy,
    environments: Vec<Monitored>,
    clock: C,
}

/// Calls to ECS side by side, which the accounts, regions and roles have to share. With the share of
/// the quota that is there after the first few seconds, two or three would do.
const CALLS_AT_ONCE: usize = 16;

/// What each of them has at least.
const LEAST_CALLS_AT_ONCE: usize = 2;

/// How long [`Reporter::warm_up`] may take.
const WARM_UP: Duration = Duration::from_secs(2);

/// A reporter of the real ECS to a real server.
pub type ConnectedReporter = Reporter<AwsEcs, Client, fn() -> SystemTime>;

impl ConnectedReporter {
    /// A reporter of everything in `config`. What has no region or role of its own is read in the
    /// region and by the credentials of `aws`.
    ///
    /// # Errors
    /// There is no region to read, a cluster is of another one, or the HTTP client could not be set
    /// up.
    pub async fn connect(mut config: Config, aws: &SdkConfig) -> Result<Self, ConnectError> {
        let region = aws.region().map(ToString::to_string).filter(|region| !region.is_empty());
        let mut accounts = HashMap::new();
        for environment in &mut config.environments {
            environment.source.region = environment.source.region.take().or_else(|| region.clone());
            let (environment, source) = (&*environment, &environment.source);
            let Some(region) = &source.region else { return Err(ConnectError::NoRegion) };
            require(environment, ClusterRef::region, region, "region")?;
            if !accounts.contains_key(source) {
                accounts.insert(source.clone(), ecs::connect(aws, source).await);
            }
        }
        let tokens = TokenSource::new(&config.token, aws);
        let server = Client::new(config.host.clone(), config.org.clone(), tokens)?;
        Ok(Self::new(config, |source| accounts[source].clone(), server, SystemTime::now))
    }

    /// Makes sure that the clusters that are given by ARN are of this account, the function's own,
    /// unless a role is taken on to read them.
    ///
    /// # Errors
    /// One is of another account: it would be read by its name, and taken for this account's.
    pub fn require_account(&self, account: &str) -> Result<(), ConnectError> {
        let own = self.environments.iter().filter(|it| it.config.source.role.is_none());
        own.map(|environment| &environment.config)
            .try_for_each(|it| require(it, ClusterRef::account, account, "account"))
    }

    /// Opens the connections that a run needs, takes on its roles and fetches the token, for two
    /// seconds at the most.
    ///
    /// At small memory sizes the TLS handshakes are the largest part of a function's first run, and
    /// its start-up has more processor than a run. What fails is met again, and told, by the run.
    pub async fn warm_up(&self) {
        let accounts = join_all(self.readers.iter().map(|reader| reader.ecs().warm_up()));
        let all = async {
            futures_util::join!(accounts, self.server.warm_up());
        };
        let _late = tokio::time::timeout(WARM_UP, all).await;
    }
}

impl<E: EcsApi, S: ServerApi, C: Fn() -> SystemTime> Reporter<E, S, C> {
    /// A reporter of everything in `config`, which asks what `ecs` gives for each account, region
    /// and role once, on the time that `clock` tells.
    pub fn new(config: Config, ecs: impl Fn(&Source) -> E, server: S, clock: C) -> Self {
        let sources: HashSet<_> = config.environments.iter().map(|e| &e.source).collect();
        // Each has its own: calls that hang in one region keep none in another one waiting.
        let calls_at_once = (CALLS_AT_ONCE / sources.len().max(1)).max(LEAST_CALLS_AT_ONCE);
        let mut quotas = HashMap::new();
        let mut indexes = HashMap::new();
        let mut readers = Vec::new();
        let mut environments = Vec::new();
        for environment in config.environments {
            let source = &environment.source;
            let reader = *indexes.entry(source.clone()).or_insert_with(|| {
                // Whoever reads an account and region, in whatever role, drinks from its quota.
                let account = (source.account().map(ToOwned::to_owned), source.region.clone());
                let quota =
                    quotas.entry(account).or_insert_with(|| Quota::share(config.quota_share));
                readers.push(Reader::new(ecs(source), quota.clone(), calls_at_once));
                readers.len() - 1
            });
            environments.push(Monitored::new(environment, reader, config.policy.heartbeat));
        }
        Self { readers, server, policy: config.policy, environments, clock }
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
        let wanted: Vec<_> = self.environments.iter().filter(|e| is_wanted(e, trigger)).collect();
        if let (Some(name), true) = (&trigger.environment, wanted.is_empty()) {
            let configured: Vec<_> = self.environments.iter().map(|e| &*e.config.name).collect();
            return Err(InvalidEvent(format!(
                "Environment {name:?} is not one that is configured here ({})",
                configured.join(", ")
            )));
        }
        let Self { server, policy, clock, .. } = self;
        let ready = Barrier::new(wanted.len().max(1));
        let run = Run { trigger, policy, server, clock, give_up_at, ready };
        let readings: Vec<_> = self.readers.iter().map(|reader| reader.begin(give_up_at)).collect();
        let reports = wanted
            .into_iter()
            .map(|environment| environment.report(&readings[environment.reader], &run));
        Ok(Outcome { trigger: trigger.kind, environments: join_all(reports).await })
    }
}

/// The clusters that the environment names by ARN are of this region or account.
fn require(
    environment: &EnvironmentConfig,
    of: impl Fn(&ClusterRef) -> Option<&str>,
    wanted: &str,
    what: &str,
) -> Result<(), ConnectError> {
    let named = &environment.scope.clusters.include.names;
    match named.iter().find(|cluster| of(cluster).is_some_and(|is| is != wanted)) {
        None => Ok(()),
        Some(cluster) => Err(ConnectError::Elsewhere {
            environment: environment.name.clone(),
            cluster: cluster.given().to_owned(),
            read: format!("{what} {wanted}"),
        }),
    }
}

fn is_wanted(environment: &Monitored, trigger: &Trigger) -> bool {
    match &trigger.environment {
        Some(name) => *name == environment.config.name,
        None => {
            trigger.clusters.is_empty()
                || trigger.clusters.iter().any(|cluster| environment.may_include(cluster))
        }
    }
}

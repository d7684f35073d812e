//! The use case: read what runs, compare it with the latest snapshot, post it if it differs.

mod account;
mod decision;
mod environment;
mod environment_run;
mod error;
mod error_kind;
mod fleet;
mod heartbeat;
mod inventory;
mod memory;
mod outcome;
mod readiness;
mod replicas;
mod server_state;
mod trigger;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::api::{Client, ServerApi};
use crate::config::{Config, EnvironmentConfig, EnvironmentsPath, Policy, ReadingConfig};
use crate::ecs::{self, AwsEcs, ClusterRef, EcsApi, Progress, Quota, Reader, Source};
use crate::token::TokenSource;
use account::OwnAccount;
use environment::{EnvironmentReporter, RunContext};
pub use error::{ConnectError, ReportError};
pub use error_kind::{ErrorKind, RemedyContext};
use fleet::Fleet;
pub use inventory::{Inventory, Location, RunningArtifact};
pub use outcome::{
    ArtifactRow, Calls, ChangeRow, Changes, EnvironmentOutcome, ErrorRow, Explanation, MAX_ROWS,
    Omitted, Outcome, OutcomeKind, ReportReason, ScaledRow,
};
use readiness::Readiness;
pub use trigger::{InvalidEvent, Trigger, TriggerKind};

/// Reports environments, and remembers the server's state between runs.
#[derive(Debug)]
pub struct Reporter<E, S, C> {
    /// One for each account, region and role.
    readers: Vec<Reader<E>>,
    server: S,
    policy: Policy,
    environments: Vec<EnvironmentReporter>,
    /// Invalid environments. They fail, and the others are reported.
    invalid: Vec<InvalidEnvironment>,
    account: OwnAccount,
    clock: C,
    /// Index of the reader for each source.
    sources: HashMap<Source, usize>,
    /// By account and region.
    quotas: HashMap<(Option<String>, Option<String>), Quota>,
    quota_share: f64,
    /// Set if the environments are configured in SSM.
    fleet: Option<Box<Fleet>>,
}

/// An environment whose configuration is invalid.
#[derive(Debug)]
struct InvalidEnvironment {
    name: String,
    message: String,
}

/// Concurrent calls to ECS, shared by the accounts, regions and roles. With the share of the quota
/// that is left after the first few seconds, two or three would do.
const MAX_CONCURRENT_CALLS: usize = 16;

/// Per reader, however many readers there are.
const MIN_CONCURRENT_CALLS: usize = 2;

/// Timeout of [`Reporter::warm_up`].
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(2);

pub type ConnectedReporter = Reporter<AwsEcs, Client, fn() -> SystemTime>;

/// The server of a [`Reporter`] that only reads: nothing is compared or posted.
#[derive(Debug, Clone, Copy)]
pub struct NoServer;

/// Reads ECS without a server.
pub type EcsInventory = Reporter<AwsEcs, NoServer, fn() -> SystemTime>;

impl EcsInventory {
    /// A reporter that only reads everything in `config`. An environment without a region or role
    /// is read with those of `aws`. Environments in SSM are read by [`Self::refresh`].
    ///
    /// # Errors
    /// There is no region to read, or a cluster is of another one.
    pub async fn connect_to_read(
        mut config: ReadingConfig,
        aws: &SdkConfig,
    ) -> Result<Self, ConnectError> {
        let accounts = connect_to_accounts(&mut config.environments, aws).await?;
        let path = config.environments_path.take();
        let policy = Policy {
            compare_replicas: true,
            heartbeat: None,
            recheck: Duration::ZERO,
            dry_run: true,
        };
        let ecs = |source: &Source| accounts[source].clone();
        let clock: fn() -> SystemTime = SystemTime::now;
        let mut reporter = Self::build(config, policy, ecs, NoServer, clock);
        reporter.set_process_account(aws, path);
        Ok(reporter)
    }
}

impl ConnectedReporter {
    /// A reporter of everything in `config`. An environment without a region or role is read with
    /// those of `aws`. Environments in SSM are read by [`Self::refresh`].
    ///
    /// # Errors
    /// There is no region to read, a cluster is of another one, or the HTTP client could not be set
    /// up.
    pub async fn connect(config: Config, aws: &SdkConfig) -> Result<Self, ConnectError> {
        // On the heap: it is large, and needed once.
        Box::pin(Self::connect_with_clock(config, aws, SystemTime::now)).await
    }
}

impl<C: Fn() -> SystemTime> Reporter<AwsEcs, Client, C> {
    /// Like [`ConnectedReporter::connect`], with another clock.
    ///
    /// # Errors
    /// As there.
    pub async fn connect_with_clock(
        mut config: Config,
        aws: &SdkConfig,
        clock: C,
    ) -> Result<Self, ConnectError> {
        let accounts = connect_to_accounts(&mut config.environments, aws).await?;
        let tokens = TokenSource::new(&config.token, aws);
        let (host, proxy) = (config.host.clone(), config.proxy.clone());
        let server = Client::with_proxy(host, proxy, config.org.clone(), tokens)?;
        let path = config.environments_path.take();
        let mut reporter = Self::new(config, |source| accounts[source].clone(), server, clock);
        reporter.set_process_account(aws, path);
        Ok(reporter)
    }

    /// Checks that the clusters given by ARN are of this account, the function's own, unless a role
    /// is assumed to read them. If the environments are in SSM, only those with other accounts'
    /// clusters fail. Messages name the account from now on.
    ///
    /// # Errors
    /// One is of another account: it would be read by its name, and taken for this account's.
    pub fn require_account(&mut self, account: &str) -> Result<(), ConnectError> {
        self.account.set(account);
        let Self { environments, invalid, fleet, .. } = self;
        let problem = |environment: &EnvironmentReporter| {
            let config = &environment.config;
            let own = config.source.role.is_none();
            own.then(|| require_location(config, ClusterRef::account, account, "account").err())
                .flatten()
        };
        if fleet.is_none() {
            return environments.iter().find_map(problem).map_or(Ok(()), Err);
        }
        environments.retain(|environment| {
            let problem = problem(environment);
            if let Some(problem) = &problem {
                let name = environment.config.name.clone();
                invalid.push(InvalidEnvironment { name, message: problem.to_string() });
            }
            problem.is_none()
        });
        Ok(())
    }

    /// Opens the connections that a run needs, assumes its roles and fetches the token, for two
    /// seconds at most.
    ///
    /// At small memory sizes the TLS handshakes are the largest part of a function's first run, and
    /// its start-up has more processor than a run. Failures are ignored here: the run meets them
    /// again, and reports them.
    pub async fn warm_up(&self) {
        let accounts = join_all(self.readers.iter().map(|reader| reader.ecs().warm_up()));
        let all = async {
            futures_util::join!(accounts, self.server.warm_up());
        };
        let _late = tokio::time::timeout(WARM_UP_TIMEOUT, all).await;
    }
}

impl<S, C> Reporter<AwsEcs, S, C> {
    /// Sets the account of the process, and the path if the environments are in SSM.
    fn set_process_account(&mut self, aws: &SdkConfig, path: Option<EnvironmentsPath>) {
        self.account = OwnAccount::new(aws);
        self.fleet = path.map(|path| Box::new(Fleet::new(path, aws)));
    }
}

impl<E: EcsApi, S, C: Fn() -> SystemTime> Reporter<E, S, C> {
    /// A reporter of everything in `config`. `ecs` is called once for each account, region and
    /// role.
    pub fn new(config: Config, ecs: impl Fn(&Source) -> E, server: S, clock: C) -> Self {
        let Config { environments, environments_path, quota_share, policy, .. } = config;
        let reading = ReadingConfig { environments, environments_path, quota_share };
        Self::build(reading, policy, ecs, server, clock)
    }

    fn build(
        config: ReadingConfig,
        policy: Policy,
        ecs: impl Fn(&Source) -> E,
        server: S,
        clock: C,
    ) -> Self {
        let mut reporter = Self {
            readers: Vec::new(),
            server,
            policy,
            environments: Vec::new(),
            invalid: Vec::new(),
            account: OwnAccount::default(),
            clock,
            sources: HashMap::new(),
            quotas: HashMap::new(),
            quota_share: config.quota_share,
            fleet: None,
        };
        for environment in config.environments {
            reporter.add(environment, &ecs);
        }
        reporter
    }

    /// Divides the concurrent calls among the readers. Each has its own limit: calls that hang in one
    /// region do not delay another one.
    fn share_calls(&mut self) {
        let used: HashSet<_> = self.environments.iter().map(|it| it.reader).collect();
        let calls = MAX_CONCURRENT_CALLS / used.len().max(1);
        for reader in &mut self.readers {
            reader.limit_calls(calls.max(MIN_CONCURRENT_CALLS));
        }
    }

    /// Adds an environment. `ecs` is called if there is no reader for its account, region and role
    /// yet.
    fn add(&mut self, environment: EnvironmentConfig, ecs: impl FnOnce(&Source) -> E) {
        let Self { readers, sources, quotas, quota_share, .. } = self;
        let source = &environment.source;
        let reader = *sources.entry(source.clone()).or_insert_with(|| {
            // All roles that read an account and region share its quota.
            let account = (source.account().map(ToOwned::to_owned), source.region.clone());
            let quota = quotas.entry(account).or_insert_with(|| Quota::with_share(*quota_share));
            readers.push(Reader::new(ecs(source), quota.clone(), MAX_CONCURRENT_CALLS));
            readers.len() - 1
        });
        self.environments.push(EnvironmentReporter::new(
            environment,
            reader,
            self.policy.heartbeat,
        ));
        self.share_calls();
    }

    /// Progress of each environment, in the order of the configuration.
    pub fn progress(&self) -> impl Iterator<Item = &Progress> {
        self.environments.iter().map(|environment| &environment.progress)
    }

    /// The environments whose configuration is valid.
    pub fn environments(&self) -> impl Iterator<Item = &EnvironmentConfig> {
        self.environments.iter().map(|environment| &environment.config)
    }

    /// How many environments are not valid.
    pub fn invalid_count(&self) -> usize {
        self.invalid.len()
    }

    /// Reads every environment concurrently, without a server. A failure of one does not affect the
    /// others.
    pub async fn read(&self, explain: bool) -> Vec<Inventory> {
        let readings: Vec<_> = self.readers.iter().map(|reader| reader.begin(None)).collect();
        let read = self.environments.iter().map(|environment| {
            let reading = &readings[environment.reader];
            environment.read(reading, explain, &self.clock, &self.account)
        });
        let mut inventories = join_all(read).await;
        inventories.extend(self.invalid.iter().map(InvalidEnvironment::inventory));
        inventories
    }
}

impl<E: EcsApi, S: ServerApi, C: Fn() -> SystemTime> Reporter<E, S, C> {
    /// Reports every environment that the trigger selects, concurrently. A failure of one does not
    /// affect the others. What is unfinished at `give_up_at` fails.
    ///
    /// # Errors
    /// The trigger asks for an environment that is not configured.
    pub async fn run(
        &self,
        trigger: &Trigger,
        give_up_at: Option<Instant>,
    ) -> Result<Outcome, InvalidEvent> {
        let selected: Vec<_> =
            self.environments.iter().filter(|e| is_selected(e, trigger)).collect();
        // An invalid environment has no known clusters: an event of a cluster does not make it
        // fail.
        let invalid = self.invalid.iter().filter(|invalid| match &trigger.environment {
            Some(name) => *name == invalid.name,
            None => trigger.clusters.is_empty(),
        });
        let invalid: Vec<_> = invalid.map(InvalidEnvironment::outcome).collect();
        let is_unknown = selected.is_empty() && invalid.is_empty();
        if let (Some(name), true) = (&trigger.environment, is_unknown) {
            let configured: Vec<_> = self.environments.iter().map(|e| &*e.config.name).collect();
            return Err(InvalidEvent(format!(
                "environment {name:?} is not configured here ({})",
                configured.join(", ")
            )));
        }
        let Self { server, policy, clock, account, .. } = self;
        let readiness = Readiness::new(selected.len());
        let run = RunContext { trigger, policy, server, clock, account, give_up_at, readiness };
        let readings: Vec<_> = self.readers.iter().map(|reader| reader.begin(give_up_at)).collect();
        let reports = selected
            .into_iter()
            .map(|environment| environment.report(&readings[environment.reader], &run));
        let mut environments = join_all(reports).await;
        environments.extend(invalid);
        Ok(Outcome { trigger: trigger.kind, environments })
    }
}

impl InvalidEnvironment {
    fn inventory(&self) -> Inventory {
        Inventory::failed(None, self.outcome())
    }

    fn outcome(&self) -> EnvironmentOutcome {
        let mut outcome = EnvironmentOutcome::new(&self.name);
        outcome.fail(ErrorKind::Config, self.message.clone());
        outcome
    }
}

/// A client for each account, region and role of `environments`, whose regions are filled in.
async fn connect_to_accounts(
    environments: &mut [EnvironmentConfig],
    aws: &SdkConfig,
) -> Result<HashMap<Source, AwsEcs>, ConnectError> {
    let mut accounts = HashMap::new();
    for environment in environments {
        fill_region(environment, aws)?;
        let source = &environment.source;
        if !accounts.contains_key(source) {
            accounts.insert(source.clone(), ecs::connect(aws, source).await);
        }
    }
    Ok(accounts)
}

/// Fills in the region, which is that of `aws` unless the environment has its own.
fn fill_region(environment: &mut EnvironmentConfig, aws: &SdkConfig) -> Result<(), ConnectError> {
    if environment.source.region.is_none() {
        let region = aws.region().map(ToString::to_string).filter(|region| !region.is_empty());
        environment.source.region = Some(region.ok_or(ConnectError::NoRegion)?);
    }
    let region = environment.source.region.as_deref().unwrap_or_default();
    require_location(environment, ClusterRef::region, region, "region")
}

/// Checks that the clusters that the environment names by ARN are of this region or account.
fn require_location(
    environment: &EnvironmentConfig,
    of: impl Fn(&ClusterRef) -> Option<&str>,
    selected: &str,
    what: &str,
) -> Result<(), ConnectError> {
    let named = &environment.scope.clusters.include.names;
    match named.iter().find(|cluster| of(cluster).is_some_and(|is| is != selected)) {
        None => Ok(()),
        Some(cluster) => Err(ConnectError::WrongLocation {
            environment: environment.name.clone(),
            cluster: cluster.given().to_owned(),
            read: format!("{what} {selected}"),
        }),
    }
}

fn is_selected(environment: &EnvironmentReporter, trigger: &Trigger) -> bool {
    match &trigger.environment {
        Some(name) => *name == environment.config.name,
        None => {
            trigger.clusters.is_empty()
                || trigger.clusters.iter().any(|cluster| environment.may_include(cluster))
        }
    }
}

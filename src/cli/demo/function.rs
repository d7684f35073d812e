//! The function, invoked by a schedule and by task events as on Lambda.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use anyhow::bail;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use jiff::{SignedDuration, Timestamp};

use super::ci::Jobs;
use super::clock::HistoryClock;
use super::cyber_dojo::{self, BETA, ENVIRONMENTS, History, ORG, PROD};
use super::story::REGION;
use crate::api::wire::{ECS, EnvironmentRequest};
use crate::api::{Client, EnvironmentApi as _, ServerApi as _};
use crate::aws::AwsHttpClient;
use crate::config::Config;
use crate::ecs::{AwsEcs, Source, connect};
use crate::report::{OutcomeKind, Reporter, Trigger, TriggerKind};
use crate::standin::StandIn;
use crate::token::TokenSource;

/// The event with which the schedule invokes the function.
const SCHEDULED_EVENT: &str = include_str!("../../../events/scheduled.json");

/// The function's variable `HEARTBEAT`, in hours. The recorder shows a gap after that time and ten
/// minutes without a report.
const HEARTBEAT_HOURS: i64 = 6;

/// How long after a report both environments are reported again: a little less than the heartbeat.
const CONFIRMED_AFTER: SignedDuration = SignedDuration::from_mins(HEARTBEAT_HOURS * 60 - 1);

/// Runs of the function before a new process replaces it, as on Lambda now and then. Its share of
/// ECS's quota is full again: the share refills in real time, which hardly passes during the
/// demo's.
const RUNS_PER_PROCESS: usize = 12;

/// The function, as Lambda runs it: its current process, and what it has reported so far.
pub(super) struct Function {
    clock: HistoryClock,
    config: Config,
    aws: SdkConfig,
    account: AwsEcs,
    process: Reporter<AwsEcs, Client, Time>,
    /// Invocations so far.
    pub(super) runs: usize,
    /// Snapshots that it has made.
    pub(super) snapshots: usize,
    /// When each environment was last reported.
    reported: BTreeMap<String, Timestamp>,
}

/// The clock of the function.
type Time = Box<dyn Fn() -> SystemTime>;

impl Function {
    /// The function, configured for the account `ecs` and the recorder at `host`.
    pub(super) async fn new(
        ecs: &StandIn,
        host: &str,
        clock: HistoryClock,
    ) -> anyhow::Result<Self> {
        let heartbeat = format!("{HEARTBEAT_HOURS}h");
        let config = Config::from_lookup(|variable| {
            let value = match variable {
                "ENVIRONMENTS" => ENVIRONMENTS,
                "KOSLI_ORG" => ORG,
                "KOSLI_HOST" => host,
                "KOSLI_API_TOKEN" => "demo",
                "HEARTBEAT" => &heartbeat,
                "QUOTA_SHARE" => "1",
                _ => return None,
            };
            Some(value.to_owned())
        })?;
        let aws = stand_in_account(ecs)?;
        let source = Source { region: Some(REGION.to_owned()), role: None };
        let account = connect(&aws, &source).await;
        let process = new_process(&config, &aws, &account, &clock)?;
        let (runs, snapshots, reported) = (0, 0, BTreeMap::new());
        Ok(Self { clock, config, aws, account, process, runs, snapshots, reported })
    }

    /// A client of the recorder, with the function's configuration.
    pub(super) fn recorder_client(&self) -> anyhow::Result<Client> {
        recorder_client(&self.config, &self.aws)
    }

    /// Creates the environments, as someone does before the first report.
    pub(super) async fn create_environments(&self) -> anyhow::Result<()> {
        let client = self.recorder_client()?;
        for (name, description) in
            [(BETA, "cyber-dojo for its developers"), (PROD, "cyber-dojo.org")]
        {
            let request = EnvironmentRequest {
                name: name.to_owned(),
                environment_type: ECS.to_owned(),
                description: description.to_owned(),
                include_scaling: Some(true),
            };
            client.environment(name, None).create(&request).await?;
        }
        Ok(())
    }

    /// Replays the history, with a run at each event and whenever a heartbeat is due.
    pub(super) async fn replay(
        &mut self,
        history: &History,
        jobs: &mut Jobs,
        ecs: &StandIn,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        for events in history.events.chunk_by(|one, other| one.at == other.at) {
            let Some(at) = events.first().map(|event| event.at) else { continue };
            self.confirm_until(history, jobs, at).await?;
            self.clock.freeze_at(at);
            ecs.update(|world| events.iter().for_each(|event| event.apply(world)));
            self.report_clusters(&events.iter().map(|event| event.cluster).collect()).await?;
        }
        self.confirm_until(history, jobs, now).await
    }

    /// Reports unchanged environments until `end`, while the jobs run.
    async fn confirm_until(
        &mut self,
        history: &History,
        jobs: &mut Jobs,
        end: Timestamp,
    ) -> anyhow::Result<()> {
        while let Some(due) = self.next_confirmation(history).filter(|due| *due < end) {
            jobs.run_until(due, &self.clock).await?;
            self.clock.freeze_at(due);
            self.confirm().await?;
        }
        jobs.run_until(end, &self.clock).await
    }

    /// When an unchanged environment is to be reported next; where the gap begins and ends instead of in
    /// it.
    fn next_confirmation(&self, history: &History) -> Option<Timestamp> {
        let last = *self.reported.values().min()?;
        let due = last + CONFIRMED_AFTER;
        let [from, to] = history.gap;
        Some(match due {
            due if !(from..to).contains(&due) => due,
            _ if last < from => from,
            _ => to,
        })
    }

    /// A scheduled run: all environments are read, and none has changed.
    ///
    /// Each is posted, changed or not, as the heartbeat would do it: so both are due together.
    pub(super) async fn confirm(&mut self) -> anyhow::Result<()> {
        let schedule = Trigger { force: true, ..Trigger::parse(SCHEDULED_EVENT)? };
        self.run(&schedule, &BTreeSet::new()).await
    }

    /// A run for task events of these clusters: their environments have changed.
    async fn report_clusters(&mut self, clusters: &BTreeSet<&str>) -> anyhow::Result<()> {
        let mut events = Trigger::new(TriggerKind::TaskStateChange);
        for cluster in clusters {
            events.clusters.push(cluster.parse()?);
        }
        self.run(&events, clusters).await
    }

    /// Runs the function once, in a new process now and then. Fails if other environments than
    /// those of the clusters `changed` got a new snapshot.
    async fn run(&mut self, trigger: &Trigger, changed: &BTreeSet<&str>) -> anyhow::Result<()> {
        if self.runs > 0 && self.runs.is_multiple_of(RUNS_PER_PROCESS) {
            self.process = new_process(&self.config, &self.aws, &self.account, &self.clock)?;
        }
        self.runs += 1;
        let outcome = self.process.run(trigger, None).await?;
        for environment in outcome.environments {
            let name = environment.environment;
            if let Some(error) = environment.error {
                bail!("{name}: {}: {}", error.kind.error_type(), error.message);
            }
            let has_changed =
                changed.iter().any(|cluster| cyber_dojo::environment(cluster) == name);
            if environment.created != has_changed {
                let expected = if has_changed { "should" } else { "should not" };
                bail!(
                    "the demo's history is wrong: the report at {} {expected} have created a snapshot \
                     of {name}",
                    self.clock.now()
                );
            }
            self.snapshots += usize::from(environment.created);
            if environment.outcome == OutcomeKind::Posted {
                self.reported.insert(name, self.clock.now());
            }
        }
        Ok(())
    }
}

/// A new process of the function, without memory.
fn new_process(
    config: &Config,
    aws: &SdkConfig,
    account: &AwsEcs,
    clock: &HistoryClock,
) -> anyhow::Result<Reporter<AwsEcs, Client, Time>> {
    let server = recorder_client(config, aws)?;
    let time: Time = Box::new(clock.for_reporter());
    Ok(Reporter::new(config.clone(), |_| account.clone(), server, time))
}

fn recorder_client(config: &Config, aws: &SdkConfig) -> anyhow::Result<Client> {
    let tokens = TokenSource::new(&config.token, aws);
    Ok(Client::new(config.host.clone(), config.org.clone(), tokens)?)
}

/// An account on the stand-in, without any of the user's own settings (profile, proxy, endpoint).
fn stand_in_account(ecs: &StandIn) -> anyhow::Result<SdkConfig> {
    let credentials = Credentials::from_keys("demo", "demo", None);
    Ok(SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(ecs.endpoint())
        .region(Region::from_static(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(AwsHttpClient::without_proxy()?)
        .build())
}

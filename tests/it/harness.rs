//! A reporter between the ECS stand-in and the recorder, on loopback, with a clock that only the
//! test moves.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use envsnap::api::Client;
use envsnap::aws::AwsHttpClient;
use envsnap::config::Config;
use envsnap::ecs::{AwsEcs, Source, connect};
use envsnap::report::{EnvironmentOutcome, Outcome, Reporter, Trigger, TriggerKind};
use envsnap::standin::{Cluster, StandIn, Task, World};
use envsnap::token::TokenSource;
use jiff::Timestamp;

use crate::recorder::server::Recorder;

pub(crate) type Clock = Box<dyn Fn() -> SystemTime>;

/// A reporter between an ECS stand-in and a recorder on loopback, with a clock that only the test moves.
pub(crate) struct Bench {
    pub(crate) ecs: StandIn,
    pub(crate) recorder: Recorder,
    pub(crate) reporter: Reporter<AwsEcs, Client, Clock>,
    now: Arc<Mutex<SystemTime>>,
}

pub(crate) const ENVIRONMENT: &str = "aws-prod";

/// When the tasks of the stand-in started.
pub(crate) fn started() -> Timestamp {
    Timestamp::from_second(1_661_161_157).unwrap()
}

/// `sha256:` and this byte 32 times, in hexadecimal.
pub(crate) fn digest(byte: u8) -> String {
    format!("sha256:{}", format!("{byte:02x}").repeat(32))
}

/// A running task of `service` whose image is `SERVICE:BYTE`.
pub(crate) fn task(service: &str, byte: u8) -> Task {
    Task::in_service(service).running_since(started()).container(
        service,
        &format!("{service}:{byte}"),
        &digest(byte),
    )
}

/// An account whose only cluster is this one.
pub(crate) fn world(cluster: Cluster) -> World {
    World::new("eu-central-1", "274425519734").cluster(cluster)
}

/// Three of `runner`, one each of `shas` and `differ`, in cluster `app`.
pub(crate) fn app() -> World {
    world(
        Cluster::new("app")
            .tasks(3, &task("runner", 1))
            .task(task("shas", 2))
            .task(task("differ", 3)),
    )
}

/// An HTTP client of servers on loopback: without a proxy, and without TLS, for which it would read all root
/// certificates of the machine.
pub(crate) fn http_client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

/// An SDK configuration for the stand-in, with its own HTTP client, and without a proxy or profile of the
/// machine.
pub(crate) fn aws(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::from_keys("test", "test", None);
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::from_static("eu-central-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(AwsHttpClient::without_proxy().unwrap())
        .build()
}

/// The configuration for the server at `host` and cluster `app`; `variables` take precedence.
pub(crate) fn config(host: &str, variables: &[(&str, &str)]) -> Config {
    let defaults = [
        ("KOSLI_HOST", host),
        ("KOSLI_ORG", "acme"),
        ("KOSLI_ENVIRONMENT", ENVIRONMENT),
        ("KOSLI_API_TOKEN", "t0k3n"),
        ("ECS_CLUSTERS", "app"),
        ("RECHECK", "15m"),
    ];
    Config::from_lookup(|wanted| {
        let found = variables.iter().chain(&defaults).find(|(name, _)| *name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    })
    .unwrap()
}

/// The client of the snapshot server.
pub(crate) fn server(config: &Config, aws: &SdkConfig) -> Client {
    let tokens = TokenSource::new(&config.token, aws);
    Client::new(config.host.clone(), config.org.clone(), tokens).unwrap()
}

/// A reporter that these variables configure, for which it is `now`.
pub(crate) async fn reporter(
    aws: &SdkConfig,
    host: &str,
    variables: &[(&str, &str)],
    now: Arc<Mutex<SystemTime>>,
) -> Reporter<AwsEcs, Client, Clock> {
    let config = config(host, variables);
    let server = server(&config, aws);
    let clock: Clock = Box::new(move || *now.lock().unwrap());
    // On the heap: it is large.
    let ecs = Box::pin(connect(aws, &Source::default())).await;
    Reporter::new(config, |_| ecs.clone(), server, clock)
}

impl Bench {
    /// A bench whose recorder has environment `aws-prod`, with nothing recorded in it.
    pub(crate) async fn start(world: World, variables: &[(&str, &str)]) -> Self {
        let bench = Self::without_environment(world, variables).await;
        bench.recorder.create(ENVIRONMENT, Some(true)).await;
        bench
    }

    pub(crate) async fn without_environment(world: World, variables: &[(&str, &str)]) -> Self {
        let ecs = StandIn::start(world).await.unwrap();
        let recorder = Recorder::start().await;
        let at = SystemTime::UNIX_EPOCH + Duration::from_mins(27_686_020);
        let now = Arc::new(Mutex::new(at));
        let reporter =
            reporter(&aws(&ecs.endpoint()), &recorder.url, variables, Arc::clone(&now)).await;
        Self { ecs, recorder, reporter, now }
    }

    /// A reporter as in a new process, which remembers nothing of earlier runs.
    pub(crate) async fn cold(&self, variables: &[(&str, &str)]) -> Reporter<AwsEcs, Client, Clock> {
        reporter(&aws(&self.ecs.endpoint()), &self.recorder.url, variables, Arc::clone(&self.now))
            .await
    }

    /// Lets time pass for the reporter and the recorder.
    pub(crate) fn advance(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
        self.recorder.advance(time.as_secs_f64());
    }

    /// A scheduled run.
    pub(crate) async fn tick(&self) -> EnvironmentOutcome {
        run(&self.reporter, &Trigger::new(TriggerKind::Schedule)).await
    }

    /// A manual run, whose trigger `change` modifies.
    pub(crate) async fn manual(&self, change: impl FnOnce(&mut Trigger)) -> EnvironmentOutcome {
        let mut trigger = Trigger::new(TriggerKind::Manual);
        change(&mut trigger);
        run(&self.reporter, &trigger).await
    }

    /// The index of the latest snapshot, and each artifact's name and replicas.
    pub(crate) async fn recorded(&self) -> (u64, Vec<(String, u64)>) {
        let latest = self.recorder.latest(ENVIRONMENT).await;
        let mut running: Vec<_> =
            latest.running().map(|a| (a.name.clone(), a.annotation.now)).collect();
        running.sort();
        (latest.index, running)
    }
}

/// A run of a reporter with a single environment.
pub(crate) async fn run(
    reporter: &Reporter<AwsEcs, Client, Clock>,
    trigger: &Trigger,
) -> EnvironmentOutcome {
    let Outcome { environments, .. } = reporter.run(trigger, None).await.unwrap();
    let [environment] = <[_; 1]>::try_from(environments).unwrap();
    environment
}

/// The type of the error that the environment failed with, or `none`.
pub(crate) fn error_type(outcome: &EnvironmentOutcome) -> &str {
    outcome.error.as_ref().map_or("none", |error| error.kind.error_type())
}

//! `envsnap demo`: the reporter at work on a small scripted account, on loopback.

mod timeline;

use std::net::Ipv4Addr;

use anyhow::bail;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::screen::{Coloured, Screen};
use super::{env, print, tables};
use crate::api::wire::RecordedSnapshot;
use crate::api::{Client, ServerApi as _};
use crate::config::Config;
use crate::recorder::{self, Access, Store};
use crate::report::{ConnectedReporter, Trigger, Verdict};
use crate::standin::StandIn;
use crate::token::TokenSource;

const SCHEDULED: &str = include_str!("../../events/scheduled.json");

/// Show the reporter at work on an ECS account and a server that run here, on loopback
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Leave both servers running at the end, and say how to ask them
    #[arg(long)]
    keep: bool,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let ecs = StandIn::start(timeline::rolling_over(now)).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let host = format!("http://{}", listener.local_addr()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let recorder =
        tokio::spawn(recorder::serve(listener, Store::in_memory()?, Access::open(), async {
            drop(stopped.await);
        }));

    let config = Config::from_lookup(|variable| {
        let value = match variable {
            "KOSLI_ENVIRONMENT" => timeline::ENVIRONMENT,
            "KOSLI_ORG" => timeline::ORG,
            "KOSLI_HOST" => &host,
            "KOSLI_API_TOKEN" => "demo",
            "ECS_CLUSTERS" => timeline::CLUSTER,
            "AUTO_CREATE_ENVIRONMENT" => "true",
            _ => return None,
        };
        Some(value.to_owned())
    })?;
    let aws = stand_in_account(&ecs);
    let server = Client::new(
        config.host.clone(),
        config.org.clone(),
        TokenSource::new(&config.token, &aws),
    )?;
    let reporter = ConnectedReporter::connect(config, &aws).await?;

    print(
        "An ECS stand-in and a snapshot recorder run on loopback: nothing leaves this machine.\n\n\
         1. The schedule fires while runner rolls over from 85d83c6 to 16d9990.\n",
    )?;
    fire(&reporter, Verdict::Posted).await?;
    let before = latest(&server).await?;

    print("\n2. It fires again, and nothing has changed.\n")?;
    fire(&reporter, Verdict::Unchanged).await?;

    print("\n3. The last task of 85d83c6 has stopped, and it fires once more.\n")?;
    ecs.update(timeline::finish_rollover);
    fire(&reporter, Verdict::Posted).await?;
    let after = latest(&server).await?;

    let name = timeline::ENVIRONMENT;
    let screen = Screen::of_this_process(Coloured::Auto);
    for recorded in [&before, &after] {
        let table = env::snapshot_table(recorded, false, &screen);
        print(&format!("\n{name}#{}\n\n{table}", recorded.index))?;
    }
    let (before, after) = (format!("{name}#{}", before.index), format!("{name}#{}", after.index));
    let diff = server.diff(&before, &after, None).await?.document;
    let heading = env::diff_heading(&before, &after);
    print(&format!("\n{heading}\n\n{}", env::diff_blocks(&diff, &screen)))?;

    if arguments.keep {
        print(&how_to_ask(&ecs.endpoint(), &host))?;
        tokio::signal::ctrl_c().await?;
    }
    drop(stop);
    recorder.await??;
    Ok(())
}

/// The stand-in's account, and nothing of the person's own settings: no profile, proxy or endpoint.
fn stand_in_account(ecs: &StandIn) -> SdkConfig {
    let credentials = Credentials::from_keys("demo", "demo", None);
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(ecs.endpoint())
        .region(Region::from_static(timeline::REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}

/// Runs what the function runs when `events/scheduled.json` reaches it.
async fn fire(reporter: &ConnectedReporter, expected: Verdict) -> anyhow::Result<()> {
    let outcome = reporter.run(&Trigger::parse(SCHEDULED)?, None).await?;
    for environment in &outcome.environments {
        print(&format!("   {}\n", tables::summary(environment)))?;
        if let Some(error) = &environment.error {
            bail!("{}: {}", error.error_type, error.message);
        }
        if environment.outcome != expected {
            bail!("the demonstration's own timeline is broken: this was to be {expected:?}");
        }
    }
    Ok(())
}

async fn latest(server: &Client) -> anyhow::Result<RecordedSnapshot> {
    Ok(server.environment(timeline::ENVIRONMENT, None).snapshot("-1").await?)
}

fn how_to_ask(ecs: &str, host: &str) -> String {
    let (org, environment) = (timeline::ORG, timeline::ENVIRONMENT);
    format!(
        "
Both servers run until Ctrl-C. Look at the page in a browser:

  {host}/{org}/environments/{environment}

Or ask from another terminal:

  export KOSLI_HOST={host} KOSLI_API_TOKEN=demo
  export KOSLI_ORG={org} KOSLI_ENVIRONMENT={environment}
  cargo run -- env get {environment}#1
  cargo run -- env log {environment} --long
  cargo run -- artifact where runner
  curl -s {host}/api/v2/snapshots/{org}/{environment}/-1

  export AWS_ENDPOINT_URL={ecs} AWS_REGION={region}
  export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo
  cargo run -- report --dry-run --explain
",
        region = timeline::REGION,
    )
}

//! `envsnap demo`: the reporter at work on a small scripted account, on loopback.

mod timeline;

use std::net::Ipv4Addr;

use anyhow::{Context as _, bail};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::tables;
use crate::api::wire::RecordedSnapshot;
use crate::api::{Client, Latest};
use crate::config::Config;
use crate::ecs::AwsEcs;
use crate::recorder::{self, Access, Store};
use crate::report::{Reporter, Trigger, Verdict};
use crate::snapshot::Diff;
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
    let aws = stand_in_account(&ecs).await;
    let server = Client::new(
        config.host.clone(),
        config.org.clone(),
        TokenSource::new(&config.token, &aws),
    )?;
    let reporter = Reporter::connect(config, &aws)?;

    println!(
        "An ECS stand-in and a snapshot recorder run on loopback: nothing leaves this machine."
    );
    println!("\n1. The schedule fires while runner rolls over from 85d83c6 to 16d9990.");
    fire(&reporter, Verdict::Posted).await?;
    let before = latest(&server).await?;

    println!("\n2. It fires again, and nothing has changed.");
    fire(&reporter, Verdict::Unchanged).await?;

    println!("\n3. The last task of 85d83c6 has stopped, and it fires once more.");
    ecs.update(timeline::finish_rollover);
    fire(&reporter, Verdict::Posted).await?;
    let after = latest(&server).await?;

    for recorded in [&before, &after] {
        println!("\n{}#{}\n", timeline::ENVIRONMENT, recorded.index);
        print!("{}", tables::snapshot(recorded, Timestamp::now()));
    }
    println!(
        "\nFrom {env}#{} to {env}#{} (- exited, + started, ~ scaled)\n",
        before.index,
        after.index,
        env = timeline::ENVIRONMENT
    );
    let diff = Diff::between(&before.snapshot(), &after.snapshot());
    print!("{}", tables::changes(&diff.into()));

    if arguments.keep {
        how_to_ask(&ecs.endpoint(), &host);
        tokio::signal::ctrl_c().await?;
    }
    drop(stop);
    recorder.await??;
    Ok(())
}

/// The stand-in's account, and never one of the person's own.
async fn stand_in_account(ecs: &StandIn) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(ecs.endpoint())
        .region(Region::from_static(timeline::REGION))
        .credentials_provider(Credentials::from_keys("demo", "demo", None))
        .load()
        .await
}

/// Runs what the function runs when `events/scheduled.json` reaches it.
async fn fire(
    reporter: &Reporter<AwsEcs, fn() -> std::time::SystemTime>,
    expected: Verdict,
) -> anyhow::Result<()> {
    let outcome = reporter.run(&Trigger::parse(SCHEDULED)?, None).await?;
    for environment in &outcome.environments {
        println!("   {}", tables::summary(environment));
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
    match server.environment(timeline::ENVIRONMENT).latest_snapshot().await? {
        Latest::Snapshot(snapshot) => Ok(*snapshot),
        Latest::NoSnapshotYet => None.context("the recorder has no snapshot"),
    }
}

fn how_to_ask(ecs: &str, host: &str) {
    let (org, environment) = (timeline::ORG, timeline::ENVIRONMENT);
    println!(
        "
Both servers run until Ctrl-C. Ask them from another terminal:

  curl -s {host}/api/v2/snapshots/{org}/{environment}/-1
  curl -s {host}/api/v2/snapshots/{org}/{environment}/1

  export AWS_ENDPOINT_URL={ecs} AWS_REGION={region}
  export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo
  export KOSLI_HOST={host} KOSLI_API_TOKEN=demo
  export KOSLI_ORG={org} KOSLI_ENVIRONMENT={environment}
  cargo run -- report --dry-run --explain",
        region = timeline::REGION,
    );
}

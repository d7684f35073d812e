//! `envsnap demo`: the function and CI jobs at work on a scripted account, through two weeks, on loopback;
//! then the questions of the tutorial.

mod ci;
mod clock;
mod cyber_dojo;
mod function;
mod questions;
mod story;

use std::net::Ipv4Addr;
use std::time::Instant;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::{print, print_unless_closed};
use crate::recorder::{self, Access, SqliteStore};
use crate::standin::StandIn;
use ci::{FIRST_JOB_LEAD_TIME, Jobs};
use clock::HistoryClock;
use cyber_dojo::{BETA, History, INCIDENT, ORG, PROD};
use function::Function;
use story::REGION;

/// Show the function, the recorder and the command line at work on two weeks of a scripted account
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Leave both servers running, and print the address of the page and example commands
    #[arg(long)]
    keep: bool,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let is_read = print_unless_closed(
        "Two weeks of cyber-dojo's environments aws-beta and aws-prod, on an ECS stand-in and a recorder\n\
         on loopback. Nothing leaves this machine. It takes some seconds.\n\n",
    )?;
    if !is_read {
        return Ok(());
    }
    let now = Timestamp::now();
    let mut history = History::until(now);
    let clock = HistoryClock::frozen_at(history.begins - FIRST_JOB_LEAD_TIME);
    let ecs = StandIn::start(story::world()).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let host = format!("http://{}", listener.local_addr()?);
    let store = SqliteStore::in_memory()?.with_clock(clock.for_recorder());
    let (stop, stopped) = oneshot::channel::<()>();
    let recorder = tokio::spawn(recorder::serve(listener, store, Access::open(), None, async {
        drop(stopped.await);
    }));

    let began = Instant::now();
    let mut function = Function::new(&ecs, &host, clock.clone()).await?;
    function.create_environments().await?;
    let mut jobs = Jobs::new(function.recorder_client()?, &mut history).await?;
    function.replay(&history, &mut jobs, &ecs, now).await?;
    clock.unfreeze();
    function.confirm().await?;
    print(&format!(
        "The function ran {} times, and posted {} snapshots; CI jobs made {} reports: artifacts, \
         evidence,\nand deployments. It took {:.1} s. Now the questions:\n",
        function.runs,
        function.snapshots,
        jobs.reports,
        began.elapsed().as_secs_f64(),
    ))?;

    let envsnap = program_command();
    questions::run_all(&host, envsnap).await?;
    if arguments.keep {
        print(&instructions(&ecs.endpoint(), &host, envsnap))?;
        tokio::signal::ctrl_c().await?;
    } else {
        print(&format!(
            "
Next:

  {envsnap} demo --keep                 # leaves both servers running, to ask and to see the page
  {envsnap} report --help               # the function's work, once, on your own AWS account
  {envsnap} serve --db snapshots.db     # a recorder of your own
"
        ))?;
    }
    drop(stop);
    recorder.await??;
    Ok(())
}

/// The command that started this program, for examples: `cargo run` sets the variable `CARGO`.
fn program_command() -> &'static str {
    if std::env::var_os("CARGO").is_some() { "cargo run --" } else { "envsnap" }
}

/// What `--keep` prints: the addresses and settings of the running servers, and commands to try.
fn instructions(ecs: &str, host: &str, envsnap: &str) -> String {
    let before = INCIDENT - 1;
    format!(
        "
Both servers run until Ctrl-C. The timeline, in a browser:

  {host}/{ORG}/environments/{PROD}

To ask the same and more from another terminal, after these settings:

  export KOSLI_HOST={host} KOSLI_ORG={ORG} KOSLI_API_TOKEN=demo
  export KOSLI_ENVIRONMENT={PROD} ECS_CLUSTERS=prod AWS_REGION={REGION}
  export AWS_ENDPOINT_URL={ecs} AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo

Next:

  {envsnap} env diff {PROD}#{before} {PROD}#{INCIDENT}    # four services changed, and the site broke
  {envsnap} env diff {BETA} {PROD}#{INCIDENT}        # {BETA} works: the difference is the cause
  {envsnap} artifact where alpine                  # a container that ran for seven minutes
  {envsnap} report --dry-run --explain             # what the function reads, and what counts
"
    )
}

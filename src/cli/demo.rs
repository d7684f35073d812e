//! `envsnap demo`: the function at work on a scripted account, through two weeks, on loopback.

mod clock;
mod cyber_dojo;
mod function;
mod story;

use std::net::Ipv4Addr;
use std::time::Instant;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::terminal::{ColourChoice, Terminal};
use super::{env, print};
use crate::api::Client;
use crate::recorder::{self, Access, SqliteStore};
use crate::standin::StandIn;
use clock::HistoryClock;
use cyber_dojo::{BETA, History, INCIDENT, ORG, PROD, ROLLOVER};
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
    print(
        "Two weeks of cyber-dojo's environments aws-beta and aws-prod, on an ECS stand-in and a recorder\n\
         on loopback. Nothing leaves this machine. It takes some seconds.\n\n",
    )?;
    let now = Timestamp::now();
    let history = History::until(now);
    let clock = HistoryClock::frozen_at(history.begins);
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
    function.replay(&history, &ecs, now).await?;
    clock.unfreeze();
    function.confirm().await?;
    print(&format!(
        "The function ran {} times, in {:.1} s, and posted {} snapshots.\n",
        function.runs,
        began.elapsed().as_secs_f64(),
        function.snapshots
    ))?;

    let server = function.client()?;
    let [before, after] = ROLLOVER.map(|index| format!("{PROD}#{index}"));
    print(&format!(
        "\n1. A blue-green deployment of runner. {before} has both versions, {after} the new one.\n\n{}",
        difference(&server, &before, &after).await?
    ))?;
    print(&format!(
        "\n2. An incident. {PROD}#{INCIDENT} changed four services at once, and the site broke. \
         {BETA} works.\n   What is different there?\n\n{}",
        difference(&server, BETA, PROD).await?
    ))?;

    let envsnap = program();
    if arguments.keep {
        print(&instructions(&ecs.endpoint(), &host, envsnap))?;
        tokio::signal::ctrl_c().await?;
    } else {
        print(&format!(
            "
Next:

  {envsnap} demo --keep                 # the timeline in a browser, and example commands
  {envsnap} report --help               # the function's work, once, on your own AWS account
  {envsnap} serve --db snapshots.db     # a recorder of your own
"
        ))?;
    }
    drop(stop);
    recorder.await??;
    Ok(())
}

/// How the user starts this program: `cargo run` sets this variable, with the path of Cargo.
fn program() -> &'static str {
    if std::env::var_os("CARGO").is_some() { "cargo run --" } else { "envsnap" }
}

async fn difference(server: &Client, from: &str, to: &str) -> anyhow::Result<String> {
    let terminal = Terminal::detect(ColourChoice::Auto);
    let diff = server.diff(from, to, None).await?.document;
    Ok(env::diff_text(&diff, from, to, &env::States::new(), &terminal))
}

fn instructions(ecs: &str, host: &str, envsnap: &str) -> String {
    let before = INCIDENT - 1;
    format!(
        "
Both servers run until Ctrl-C. The timeline, in a browser:

  {host}/{ORG}/environments/{PROD}

Or from another terminal, after these settings:

  export KOSLI_HOST={host} KOSLI_ORG={ORG} KOSLI_API_TOKEN=demo
  export KOSLI_ENVIRONMENT={PROD} ECS_CLUSTERS=prod AWS_REGION={REGION}
  export AWS_ENDPOINT_URL={ecs} AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo

Next:

  {envsnap} env diff {PROD}#{before} {PROD}#{INCIDENT}    # everything that the incident changed
  {envsnap} artifact where alpine                  # a container that ran for seven minutes
  {envsnap} report --dry-run --explain             # what the function reads, and what counts
"
    )
}

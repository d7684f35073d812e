//! `envsnap env`: what ran in an environment, and when; and the environments themselves.

mod between;
mod change;
mod diff;
mod get;
mod inspect;
mod log;
mod ls;
mod watch;

use clap::Subcommand;

use super::ExitStatus;
use super::server_args::ServerArgs;
pub(super) use get::{clusters_and_services, origin_of_task};

/// Show what runs or ran in an environment; create, rename and archive environments
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    args: ServerArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(ls::Arguments),
    Get(get::Arguments),
    Diff(diff::Arguments),
    Log(log::Arguments),
    Inspect(inspect::Arguments),
    Watch(watch::Arguments),
    Create(change::CreateArguments),
    Rename(change::RenameArguments),
    Archive(change::ArchiveArguments),
}

impl Arguments {
    pub(super) fn is_watch(&self) -> bool {
        matches!(self.command, Command::Watch(_))
    }
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitStatus> {
    let Arguments { args, command } = arguments;
    if !matches!(command, Command::Ls(_) | Command::Get(_) | Command::Diff(_) | Command::Log(_)) {
        args.refuse_csv()?;
    }
    match command {
        Command::Ls(ls::Arguments {}) => ls::run(&args).await?,
        Command::Get(arguments) => get::run(&args, &arguments).await?,
        Command::Diff(arguments) => return diff::run(&args, &arguments).await,
        Command::Log(arguments) => log::run(&args, &arguments).await?,
        Command::Inspect(arguments) => inspect::run(&args, &arguments).await?,
        Command::Watch(arguments) => watch::run(&args, &arguments).await?,
        Command::Create(arguments) => change::create(&args, arguments).await?,
        Command::Rename(arguments) => change::rename(&args, &arguments).await?,
        Command::Archive(arguments) => change::archive(&args, &arguments).await?,
    }
    Ok(ExitStatus::Success)
}

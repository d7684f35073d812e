//! `envsnap env`: what ran in an environment, and when; and the environments themselves.

mod change;
mod diff;
mod get;
mod inspect;
mod log;
mod ls;
mod watch;

use clap::Subcommand;

use super::Found;
use super::asking::Asking;
pub(super) use diff::text as diff_text;

/// Ask what runs or ran in an environment; create, rename and archive environments
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    asking: Asking,
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    Ls(ls::Arguments),
    Get(get::Arguments),
    Diff(diff::Arguments),
    Log(log::Arguments),
    Inspect(inspect::Arguments),
    Watch(watch::Arguments),
    Create(change::Create),
    Rename(change::Rename),
    Archive(change::Archive),
}

impl Arguments {
    pub(super) fn watches(&self) -> bool {
        matches!(self.question, Question::Watch(_))
    }
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<Found> {
    let Arguments { asking, question } = arguments;
    match question {
        Question::Ls(ls::Arguments {}) => ls::run(&asking).await?,
        Question::Get(arguments) => get::run(&asking, &arguments).await?,
        Question::Diff(arguments) => return diff::run(&asking, &arguments).await,
        Question::Log(arguments) => log::run(&asking, &arguments).await?,
        Question::Inspect(arguments) => inspect::run(&asking, &arguments).await?,
        Question::Watch(arguments) => watch::run(&asking, &arguments).await?,
        Question::Create(arguments) => change::create(&asking, arguments).await?,
        Question::Rename(arguments) => change::rename(&asking, &arguments).await?,
        Question::Archive(arguments) => change::archive(&asking, &arguments).await?,
    }
    Ok(Found::Nothing)
}

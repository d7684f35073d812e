//! The command line.

mod backup;
mod demo;
mod progress;
mod report;
mod serve;
mod tables;
mod verify;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::logging::own_events;

/// Every error; 1 is kept for *found*, as with `grep` and `diff`.
const FAILED: u8 = 2;

/// Records exactly which software runs in your AWS ECS environments, by fingerprint
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Report(report::Arguments),
    Serve(serve::Arguments),
    Verify(verify::Arguments),
    Backup(backup::Arguments),
    Demo(demo::Arguments),
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Does what the process's arguments ask for.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        .log_internal_errors(false);
    let log = if matches!(arguments.command, Command::Serve(_)) {
        log.with_filter(own_events(LevelFilter::INFO)).boxed()
    } else {
        log.without_time().with_filter(own_events(LevelFilter::WARN)).boxed()
    };
    // Only a second call in one process could fail here, and there is none.
    let _set = tracing_subscriber::registry().with(log).try_init();

    let result = tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match arguments.command {
                Command::Report(arguments) => report::run(arguments).await,
                Command::Serve(arguments) => serve::run(arguments).await,
                Command::Verify(arguments) => verify::run(&arguments),
                Command::Backup(arguments) => backup::run(&arguments),
                Command::Demo(arguments) => demo::run(arguments).await,
            }
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("envsnap: {error:#}\n"));
            ExitCode::from(FAILED)
        }
    }
}

/// Prints `text`. A reader that has seen enough (`envsnap … | head`) is no error.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Prints `text` for people, beside what is for programs.
fn complain(text: &str) {
    // Nobody is left to tell where even this cannot be written to.
    let _lost = io::stderr().lock().write_all(text.as_bytes());
}

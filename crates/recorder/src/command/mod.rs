//! The recorder's subcommands, shared by `envsnap-recorder` and `envsnap`.

pub mod backup;
mod heads;
mod healthcheck;
pub mod rebuild;
pub mod serve;
pub mod verify;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::http::LogWriter;
use crate::text::replace_invisible_lines;

const FAILURE_EXIT_CODE: u8 = 2;

/// A snapshot server on one file
#[derive(Debug, Parser)]
#[command(name = "envsnap-recorder", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Verify(verify::Arguments),
    Backup(backup::Arguments),
    Rebuild(rebuild::Arguments),
    Healthcheck(healthcheck::Arguments),
}

/// Lets a write beyond a limit of file size (`ulimit -f`) fail, as on a full disk, instead of ending the
/// process, from now on. Has to be called in a runtime.
///
/// # Errors
/// The signal cannot be handled.
pub fn handle_file_size_signal() -> io::Result<()> {
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}

/// Parses the process's arguments and runs the subcommand.
pub fn run() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let mut log_writer = match LogWriter::start(io::stderr()) {
        Ok(log_writer) => log_writer,
        Err(error) => {
            // If standard error cannot be written either, there is no place left to report to.
            let _lost = writeln!(
                io::stderr(),
                "envsnap-recorder: cannot start a thread for the log: {error}"
            );
            return ExitCode::from(FAILURE_EXIT_CODE);
        }
    };
    let lines = log_writer.clone();
    let level = match &command {
        Command::Serve(_) => LevelFilter::INFO,
        _ => LevelFilter::WARN,
    };
    let log = tracing_subscriber::fmt::layer()
        .with_writer(move || lines.clone())
        .with_target(false)
        .with_ansi(false)
        .log_internal_errors(false)
        .with_filter(Targets::new().with_target("envsnap", level));
    // Fails only if a subscriber is already set, and nothing else sets one.
    let _set = tracing_subscriber::registry().with(log).try_init();

    let done = tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            handle_file_size_signal()?;
            match command {
                Command::Serve(arguments) => serve::run(arguments, log_writer.clone()).await,
                Command::Verify(arguments) => {
                    verify::run(&arguments).await.and_then(|summary| print(&summary))
                }
                Command::Backup(arguments) => {
                    backup::run(&arguments).and_then(|summary| print(&summary))
                }
                Command::Rebuild(arguments) => {
                    rebuild::run(&arguments).and_then(|summary| print(&summary))
                }
                Command::Healthcheck(arguments) => healthcheck::run(&arguments),
            }
        })
    });
    let code = match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line =
                format!("envsnap-recorder: {}\n", replace_invisible_lines(&format!("{error:#}")));
            let _lost = log_writer.write_all(line.as_bytes());
            ExitCode::from(FAILURE_EXIT_CODE)
        }
    };
    log_writer.wait_until_written();
    code
}

/// Prints `text`. A closed pipe (`envsnap-recorder … | head`) is not an error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

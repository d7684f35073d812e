//! The command line.

mod allow;
mod artifact;
mod artifact_table;
mod check;
mod completions;
mod coverage;
mod csv;
mod demo;
mod env;
mod escape;
mod expression;
mod fingerprint;
mod json;
mod matrix;
mod missing;
mod pipeline;
mod progress;
mod proof;
mod ps;
mod reference;
mod report;
mod rogue;
mod server_args;
mod since;
mod tables;
mod task_origin;
mod terminal;
mod trace;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::misspelt_variables;
use crate::logging::own_targets;
use crate::recorder::LogWriter;
use crate::recorder::command::{backup, handle_file_size_signal, rebuild, serve, verify};
use crate::redact::{RedactingWriter, redact_known};
use escape::replace_invisible_lines;
pub use reference::reference;

/// Exit code if a comparison finds a difference, as with `git diff --exit-code`, if something runs that
/// should not, or if a searched artifact is not known.
const EXIT_DIFFERENT: u8 = 1;

/// Exit code of `envsnap check` if a check failed.
const EXIT_CHECK_FAILED: u8 = 1;

/// Exit code of any command that ends with an error.
const EXIT_ERROR: u8 = 2;

/// The exit code of a command without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExitStatus {
    Success,
    Different,
    CheckFailed,
}

/// The status of a command that compares nothing.
fn success(_done: ()) -> ExitStatus {
    ExitStatus::Success
}

/// Records exactly which software runs in your AWS ECS environments, by fingerprint
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ps(ps::Arguments),
    Check(check::Arguments),
    Report(report::Arguments),
    Serve(serve::Arguments),
    Verify(verify::Arguments),
    Backup(backup::Arguments),
    Rebuild(rebuild::Arguments),
    Proof(proof::Arguments),
    Demo(demo::Arguments),
    Env(env::Arguments),
    #[command(visible_alias = "flow")]
    Pipeline(pipeline::Arguments),
    Artifact(artifact::Arguments),
    Rogue(rogue::Arguments),
    Missing(missing::Arguments),
    Trace(trace::Arguments),
    Matrix(matrix::Arguments),
    Allow(allow::Arguments),
    Fingerprint(fingerprint::Arguments),
    Completions(completions::Arguments),
}

/// The output format of `report`, `check` and `fingerprint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// The output format of commands that query a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    /// For people
    Table,
    /// For people with room: nothing wraps; clusters, services and tasks
    Wide,
    /// For programs: the server's JSON, and what the command adds to it
    Json,
    /// For spreadsheets, of commands that list something: a heading and a row each, times in UTC
    Csv,
}

/// CSV was requested of a command that does not print a list.
fn no_csv_error() -> anyhow::Error {
    anyhow::anyhow!("this command prints no list, so it has no CSV. Use -o json")
}

/// Runs the command in the process's arguments.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let mut log_writer = match LogWriter::start(io::stderr()) {
        Ok(log_writer) => log_writer,
        Err(error) => {
            eprint(&format!("envsnap: cannot start a thread for the log: {error}\n"));
            return ExitCode::from(EXIT_ERROR);
        }
    };
    let lines = log_writer.clone();
    let log = tracing_subscriber::fmt::layer()
        .with_writer(move || RedactingWriter(lines.clone()))
        .with_target(false)
        .with_ansi(false)
        .log_internal_errors(false);
    let log = match &arguments.command {
        Command::Serve(_) => log.with_filter(own_targets(LevelFilter::INFO)).boxed(),
        // It prints its own errors, once and not at every attempt.
        Command::Env(arguments) if arguments.is_watch() => {
            log.with_filter(own_targets(LevelFilter::OFF)).boxed()
        }
        _ => log.without_time().with_filter(own_targets(LevelFilter::WARN)).boxed(),
    };
    // Fails only if called twice in a process.
    let _set = tracing_subscriber::registry().with(log).try_init();

    let result = tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            handle_file_size_signal()?;
            match arguments.command {
                Command::Ps(arguments) => ps::run(arguments).await.map(success),
                Command::Check(arguments) => Box::pin(check::run(arguments)).await,
                Command::Report(arguments) => report::run(arguments).await.map(success),
                Command::Serve(arguments) => {
                    serve::run(arguments, log_writer.clone()).await.map(success)
                }
                Command::Verify(arguments) => {
                    print_result(verify::run(&arguments).await).map(success)
                }
                Command::Proof(arguments) => {
                    proof::run(arguments).await.map(success).map_err(server_args::with_hint)
                }
                Command::Backup(arguments) => print_result(backup::run(&arguments)).map(success),
                Command::Rebuild(arguments) => print_result(rebuild::run(&arguments)).map(success),
                Command::Demo(arguments) => Box::pin(demo::run(arguments)).await.map(success),
                Command::Env(arguments) => {
                    env::run(arguments).await.map_err(server_args::with_hint)
                }
                Command::Pipeline(arguments) => {
                    pipeline::run(arguments).await.map(success).map_err(server_args::with_hint)
                }
                Command::Artifact(arguments) => {
                    artifact::run(arguments).await.map_err(server_args::with_hint)
                }
                Command::Rogue(arguments) => {
                    rogue::run(arguments).await.map_err(server_args::with_hint)
                }
                Command::Missing(arguments) => {
                    missing::run(arguments).await.map_err(server_args::with_hint)
                }
                Command::Trace(arguments) => {
                    trace::run(arguments).await.map(success).map_err(server_args::with_hint)
                }
                Command::Matrix(arguments) => {
                    matrix::run(arguments).await.map(success).map_err(server_args::with_hint)
                }
                Command::Allow(arguments) => {
                    allow::run(arguments).await.map(success).map_err(server_args::with_hint)
                }
                Command::Fingerprint(arguments) => fingerprint::run(arguments).await.map(success),
                Command::Completions(arguments) => completions::run(&arguments).map(success),
            }
        })
    });
    let code = match result {
        Ok(ExitStatus::Success) => ExitCode::SUCCESS,
        Ok(ExitStatus::Different) => ExitCode::from(EXIT_DIFFERENT),
        Ok(ExitStatus::CheckFailed) => ExitCode::from(EXIT_CHECK_FAILED),
        Err(error) => {
            let line = format!("envsnap: {}\n", replace_invisible_lines(&format!("{error:#}")));
            // There is no other place to report a failure to.
            let _lost = log_writer.write_all(line.as_bytes());
            ExitCode::from(EXIT_ERROR)
        }
    };
    log_writer.wait_until_written();
    code
}

fn print_result(result: anyhow::Result<String>) -> anyhow::Result<()> {
    Ok(print(&result?)?)
}

/// Prints `text`. A closed pipe (`envsnap … | head`) is no error.
fn print(text: &str) -> io::Result<()> {
    print_unless_closed(text).map(drop)
}

/// Prints `text`, and returns whether the output is still open.
fn print_unless_closed(text: &str) -> io::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(redact_known(text).as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        result => result.map(|()| true),
    }
}

/// Warns of variables that seem to be misspelt. They may belong to another program here: where
/// nothing is recorded, they are no error as in the function.
fn warn_of_misspelt_variables() {
    for problem in misspelt_variables_of_process() {
        eprint(&format!("envsnap: warning: {problem}\n"));
    }
}

/// A sentence for each variable of this process that seems to be misspelt.
fn misspelt_variables_of_process() -> Vec<String> {
    let set = std::env::vars_os().filter(|(_, value)| !value.to_string_lossy().trim().is_empty());
    let names: Vec<_> = set.map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    misspelt_variables(names.iter().map(String::as_str))
}

/// Prints `text` to standard error.
fn eprint(text: &str) {
    // There is no other place to report a failure to.
    let _lost = io::stderr().lock().write_all(redact_known(text).as_bytes());
}

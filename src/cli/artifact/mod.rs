//! `envsnap artifact`: what was built, where it comes from, and where it runs and ran.

mod build;
mod card;
mod deployment;
mod evidence;
mod get;
mod git;
mod junit;
mod ls;
mod report;
mod runs;
mod similar;
mod view;

use anyhow::bail;
use clap::Subcommand;
use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use serde_json::Value;

use super::escape::replace_invisible;
use super::expression::{first_line, time};
use super::server_args::{Connection, ServerArgs};
use super::terminal::Terminal;
use super::{ExitStatus, OutputFormat, eprint, print};
use crate::api::wire::{Environment, LOGICAL};
use crate::api::{ApiError, ServerApi as _};
use crate::recorder::domain::ArtifactPattern as Pattern;
use crate::recorder::text::pluralize;
pub(super) use card::card;
pub(super) use get::{fetch_reported_artifacts, hex_digits};
pub(super) use git::{git, resolve_commit};
pub(super) use report::parse_fingerprint;
use runs::{ArtifactKey, EnvironmentRuns, Run, from_events};
use similar::similar_names;

/// The default of `artifact where --limit`: changes that are searched per environment.
const DEFAULT_CHANGE_LIMIT: u32 = 5_000;

/// That a command sends to the server for several environments or artifacts.
pub(super) const MAX_CONCURRENT_REQUESTS: usize = 4;

/// Show what pipelines built, where it comes from, and where it runs or ran
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
    Where(WhereArgs),
    // They are large.
    Report(Box<report::Arguments>),
    Evidence(Box<evidence::Arguments>),
    Deployment(Box<deployment::Arguments>),
}

/// Show every environment where an artifact runs or ran, from and to which snapshot
///
/// Of every environment of the organization that is not archived. A recorder of this project looks at
/// all history; of another server, latest first as far back as --limit and --since allow, and the
/// output says if an earlier part of a history was not searched.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
ARTIFACT is
  9af401c             the beginning of a fingerprint, 5 hexadecimal digits or more
  runner              a repository, the last part of an image's name
  cyberdojo/runner    the same with more parts, up to the whole name
  runner:16d9990      with its tag
  16d9990             a tag alone, or the beginning of one that is a commit
  'run*:16d*'         with * for anything, in quotes
What may be a fingerprint and a tag is looked for as both. If nothing of that name is known, what runs
under a similar one is named, and the exit code is 1.

Examples:
  envsnap artifact where 9af401c
  envsnap artifact where runner --since 30d
  envsnap artifact where '*-start-points' -o json")]
struct WhereArgs {
    /// The artifact, by fingerprint or name
    #[arg(value_name = "ARTIFACT")]
    artifact: Pattern,
    /// Look only at what changed since then: 30d, 2022-08-22, or another time, as in env get
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// The most changes to look at in each environment
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CHANGE_LIMIT, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitStatus> {
    let Arguments { args, command } = arguments;
    if !matches!(command, Command::Ls(_) | Command::Where(_)) {
        args.refuse_csv()?;
    }
    match command {
        Command::Ls(arguments) => ls::run(&args, &arguments).await?,
        Command::Get(arguments) => get::run(&args, &arguments).await?,
        Command::Where(wanted) => return run_where(&args, wanted).await,
        Command::Report(arguments) => report::run(&args, *arguments).await?,
        Command::Evidence(arguments) => evidence::run(&args, *arguments).await?,
        Command::Deployment(arguments) => deployment::run(&args, *arguments).await?,
    }
    Ok(ExitStatus::Success)
}

/// Runs `artifact where`.
async fn run_where(args: &ServerArgs, wanted: WhereArgs) -> anyhow::Result<ExitStatus> {
    let connection = args.connect().await?;
    let environments = connection.client.environments(None).await?.document;
    let count = environments.len();
    let terminal = args.terminal();
    let shown_environments =
        format!("{} of {}", pluralize(count, "environment"), replace_invisible(&connection.org));
    if connection.client.supports_artifact_runs() {
        let runs = connection.client.artifact_runs(wanted.artifact.as_str(), None).await?;
        let since =
            wanted.since.map_or(f64::NEG_INFINITY, |since| since.as_duration().as_secs_f64());
        let found = runs::from_artifact_runs(&runs, since);
        let is_known = !runs.is_empty();
        let similar = if is_known {
            Vec::new()
        } else {
            similar_names(&connection.client, &environments, &wanted.artifact).await?
        };
        let searched = SearchScope { environments: &shown_environments, similar: &similar };
        print_runs(&found, &wanted.artifact, wanted.since, &searched, args.output, &terminal)?;
        return Ok(exit_status(is_known));
    }
    let results: Vec<_> = stream::iter(&environments)
        .filter(|environment| std::future::ready(environment.environment_type != LOGICAL))
        .map(|environment| search_environment(&connection, environment, &wanted))
        .buffered(MAX_CONCURRENT_REQUESTS)
        .collect()
        .await;

    let mut found = Vec::new();
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(environment) => found.push(environment),
            Err((name, error)) => failures.push(format!("{}: {error}", replace_invisible(&name))),
        }
    }
    let is_known = found.iter().any(|environment| !environment.artifacts.is_empty());
    let similar = if is_known || !failures.is_empty() {
        Vec::new()
    } else {
        similar_names(&connection.client, &environments, &wanted.artifact).await?
    };
    let searched = SearchScope { environments: &shown_environments, similar: &similar };
    print_runs(&found, &wanted.artifact, wanted.since, &searched, args.output, &terminal)?;
    eprint_search_limits(&found, &terminal);
    if !failures.is_empty() {
        bail!("not every environment could be searched: {}", failures.join("\n"));
    }
    Ok(exit_status(is_known))
}

/// Success, or the exit code 1 if nothing of the name is known.
fn exit_status(is_known: bool) -> ExitStatus {
    if is_known { ExitStatus::Success } else { ExitStatus::Different }
}

/// Where an artifact was searched for, and names to suggest if it was not found.
struct SearchScope<'a> {
    /// In words.
    environments: &'a str,
    /// Names like that of an artifact that is not known.
    similar: &'a [String],
}

/// Prints the runs that were found.
fn print_runs(
    found: &[EnvironmentRuns],
    wanted: &Pattern,
    since: Option<Timestamp>,
    searched: &SearchScope<'_>,
    format: OutputFormat,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    print(&match format {
        OutputFormat::Json => view::json(found, since, searched)?,
        OutputFormat::Csv => view::csv(found)?,
        _ => {
            first_line([("Since ", since)], terminal)
                + &view::text(found, wanted, searched, terminal)
        }
    })?;
    Ok(())
}

/// Prints in which snapshots of one environment an artifact ran, and when.
pub(super) async fn show_snapshots_with_artifact(
    args: &ServerArgs,
    environment: &str,
    wanted: &Pattern,
) -> anyhow::Result<()> {
    let connection = args.connect().await?;
    let described = connection.client.environment(environment, None).describe().await?.document;
    let found = if connection.client.supports_artifact_runs() {
        let runs = connection.client.artifact_runs(wanted.as_str(), Some(environment)).await?;
        runs::from_artifact_runs(&runs, f64::NEG_INFINITY)
    } else {
        let most = WhereArgs { artifact: wanted.clone(), since: None, limit: DEFAULT_CHANGE_LIMIT };
        vec![search_environment(&connection, &described, &most).await.map_err(|(_, error)| error)?]
    };
    let (output, terminal) = (replace_invisible(environment), args.terminal());
    let searched = SearchScope { environments: &output, similar: &[] };
    print_runs(&found, wanted, None, &searched, args.output, &terminal)?;
    eprint_search_limits(&found, &terminal);
    Ok(())
}

/// When an artifact ran in every environment, as text and as JSON; `None` and `null` if the server does
/// not say it.
pub(super) async fn runs_of(
    connection: &Connection,
    fingerprint: &str,
    terminal: &Terminal,
) -> anyhow::Result<(Option<String>, Value)> {
    if !connection.client.supports_artifact_runs() {
        return Ok((None, Value::Null));
    }
    let runs = connection.client.artifact_runs(fingerprint, None).await?;
    let found = runs::from_artifact_runs(&runs, f64::NEG_INFINITY);
    Ok((Some(view::all_run_lines(&found, terminal)), view::runs_json(&found)))
}

/// Finds the runs of an artifact in one environment.
async fn search_environment(
    connection: &Connection,
    environment: &Environment,
    wanted: &WhereArgs,
) -> Result<EnvironmentRuns, (String, ApiError)> {
    let name = &environment.name;
    let failed = |error| (name.clone(), error);
    let client = connection.client.environment(name, None);
    let latest = match client.snapshot_response("-1").await {
        Err(ApiError::NoSnapshotYet { .. }) => return Ok(EnvironmentRuns::empty(name)),
        answer => answer.map_err(failed)?.document,
    };
    // A fixed end keeps the pages stable while snapshots are recorded.
    let interval = format!("1..{}", latest.index);
    let since = wanted.since.map_or(f64::NEG_INFINITY, |since| since.as_duration().as_secs_f64());
    let most = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
    let events = client.latest_events(&interval, since, most).await.map_err(failed)?;
    Ok(from_events(name, &latest, &events, &wanted.artifact))
}

/// Says of each environment that was not searched completely where the search began.
fn eprint_search_limits(found: &[EnvironmentRuns], terminal: &Terminal) {
    for environment in found {
        if let Some((index, time)) = environment.searched_back_to {
            eprint(&format!(
                "{}: not searched before #{index}, {} (--limit, --since).\n",
                replace_invisible(&environment.name),
                terminal.time(time)
            ));
        }
    }
}

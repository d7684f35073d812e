//! `envsnap env log`: the history of an environment.

mod view;

use std::collections::BTreeMap;

use crate::api::wire::{EnvironmentEvent, SnapshotListEntry};
use crate::api::{ApiError, EnvironmentClient, Listing, ServerApi as _};
use crate::cli::escape::escape_json;
use crate::cli::expression::{environment_name, interval};
use crate::cli::server_args::ServerArgs;
use crate::cli::{OutputFormat, eprint, print};
use crate::recorder::text::pluralize;
use view::LogView;

const MAX_EVENTS: usize = 10_000;

/// List the snapshots of an environment, the latest first
///
/// Each with how long it was the latest, and how many artifacts started (+), exited (-) and were
/// scaled (~) with it.
///
/// A recorder of this project also says which times no report covers, so that it is not known what ran
/// then: later than the reporter's HEARTBEAT and ten minutes after a report, or two hours after a
/// report of a client that announces no heartbeat.
#[derive(Debug, clap::Args)]
#[command(after_help = "An interval is A..B, where A and B each are
  N      the snapshot with index N, from 1
  ~N     N behind the latest (in quotes: some shells read ~ as a home)
  NOW    the latest; it may be left out, as in 60..
or one of these alone, for one snapshot.

Examples:
  envsnap env log aws-prod
  envsnap env log aws-prod 60.. --long
  envsnap env log aws-prod '~3..NOW' -o json")]
pub(super) struct Arguments {
    /// The environment
    #[arg(value_name = "NAME", value_parser = environment_name)]
    name: String,
    /// Which snapshots: all of them, unless this is given
    #[arg(value_name = "INTERVAL", value_parser = interval, default_value = "", hide_default_value = true)]
    interval: String,
    /// Show each artifact that started, exited or was scaled
    #[arg(long)]
    long: bool,
    /// The most snapshots to list; with --long -o json, events
    #[arg(short = 'n', long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
}

pub(super) async fn run(args: &ServerArgs, arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { name, interval, long, limit } = arguments;
    let (limit, terminal) = (usize::from(*limit), args.terminal());
    let connection = args.connect().await?;
    let environment = connection.client.environment(name, None);
    if args.output == OutputFormat::Json && *long {
        let events = environment.latest_events(interval, f64::NEG_INFINITY, limit).await;
        return print_json(name, &empty_if_no_snapshot(events)?, "event");
    }
    let snapshots = empty_if_no_snapshot(environment.latest_snapshots(interval, limit).await)?;
    if args.output == OutputFormat::Json {
        return print_json(name, &snapshots, "snapshot");
    }
    let changes = changes(&environment, &snapshots.documents).await?;
    let log = LogView { snapshots: &snapshots.documents, changes };
    print(&if *long { log.long(&terminal) } else { log.short(&terminal) })?;
    eprint_truncation(name, &snapshots, "snapshot");
    Ok(())
}

fn empty_if_no_snapshot<T>(listed: Result<Listing<T>, ApiError>) -> Result<Listing<T>, ApiError> {
    match listed {
        Err(ApiError::NoSnapshotYet { .. }) => Ok(Listing::default()),
        listed => listed,
    }
}

fn print_json<T>(name: &str, listed: &Listing<T>, what: &str) -> anyhow::Result<()> {
    let texts: Vec<_> = listed.texts.iter().map(|text| text.get()).collect();
    print(&escape_json(&format!("[{}]", texts.join(",\n "))))?;
    eprint_truncation(name, listed, what);
    Ok(())
}

fn eprint_truncation<T>(name: &str, listed: &Listing<T>, what: &str) {
    if listed.is_truncated {
        let output = pluralize(listed.documents.len(), what);
        eprint(&format!("Only the latest {output} of {name}: --limit N lists more.\n"));
    }
}

/// The changes of each of these snapshots, by index. Snapshots beyond the limit of events are
/// missing.
async fn changes(
    environment: &EnvironmentClient<'_>,
    snapshots: &[SnapshotListEntry],
) -> Result<BTreeMap<u64, Vec<EnvironmentEvent>>, ApiError> {
    let indexes = || snapshots.iter().map(|snapshot| snapshot.index);
    let (Some(first), Some(last)) = (indexes().min(), indexes().max()) else {
        return Ok(BTreeMap::new());
    };
    let interval = format!("{first}..{last}");
    let events = environment.latest_events(&interval, f64::NEG_INFINITY, MAX_EVENTS).await?;
    // The earliest one may have more events beyond the limit.
    let known_from = match events.documents.last() {
        Some(earliest) if events.is_truncated => earliest.snapshot_index + 1,
        _ => first,
    };
    let known = indexes().filter(|index| *index >= known_from);
    let mut changes: BTreeMap<_, Vec<_>> = known.map(|index| (index, Vec::new())).collect();
    for event in events.documents {
        if let Some(changes) = changes.get_mut(&event.snapshot_index) {
            changes.push(event);
        }
    }
    Ok(changes)
}

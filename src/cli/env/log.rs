//! `envsnap env log`: the history of an environment.

mod view;

use std::collections::BTreeMap;

use anyhow::bail;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::wire::{EnvironmentEvent, LOGICAL, SnapshotListEntry};
use crate::api::{ApiError, Client, EnvironmentClient, Listing, ServerApi as _};
use crate::cli::artifact::MAX_CONCURRENT_REQUESTS;
use crate::cli::csv::{self, Column};
use crate::cli::escape::escape_json;
use crate::cli::expression::{end_of_second, environment_name, first_line, interval, time};
use crate::cli::json::add_fields;
use crate::cli::server_args::ServerArgs;
use crate::cli::{OutputFormat, eprint, print};
use crate::recorder::text::pluralize;
use view::{LogRow, LogView};

/// The most events of an environment to fetch for the table. With `--since` or `--until` all are
/// fetched.
const MAX_EVENTS: usize = 10_000;

/// Snapshots or events of an environment, without `--limit` and without an interval or times.
const DEFAULT_LIMIT: u16 = 15;

const SNAPSHOT_CSV_COLUMNS: [Column; 5] = [
    Column::Text("environment", "/environment"),
    Column::Text("snapshot", "/index"),
    Column::Time("from", "/from"),
    Column::Time("to", "/to"),
    Column::Time("confirmed_until", "/confirmed_until"),
];

const EVENT_CSV_COLUMNS: [Column; 8] = [
    Column::Text("environment", "/environment_name"),
    Column::Text("snapshot", "/snapshot_index"),
    Column::Time("at", "/reported_at"),
    Column::Text("change", "/type"),
    Column::Text("artifact", "/artifact_name"),
    Column::Text("fingerprint", "/sha256"),
    Column::Text("description", "/description"),
    Column::Text("first_time_here", "/first_time_here"),
];

/// List the snapshots of an environment or of all, the latest first
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

A time is written as in env get: 2026-11-26 16:00, yesterday, 2 hours ago.

Examples:
  envsnap env log aws-prod
  envsnap env log aws-prod 60.. --long
  envsnap env log aws-prod --since yesterday
  envsnap env log --since '2026-11-26 16:00' --until 2026-11-28
  envsnap env log aws-prod '~3..NOW' -o json")]
pub(super) struct Arguments {
    /// The environment; all of them, unless this is given
    #[arg(value_name = "NAME", value_parser = environment_name)]
    name: Option<String>,
    /// Which snapshots: all of them, unless this is given
    #[arg(value_name = "INTERVAL", value_parser = interval, default_value = "", hide_default_value = true)]
    interval: String,
    /// Only snapshots that were the latest then or later
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "interval")]
    since: Option<Timestamp>,
    /// Only snapshots that were recorded until then
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "interval")]
    until: Option<Timestamp>,
    /// Show each artifact that started, exited or was scaled
    #[arg(long)]
    long: bool,
    /// The most snapshots to list of each environment; with --long -o json, events [default: 15, or all
    /// with an interval, --since or --until]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    limit: Option<u16>,
}

impl Arguments {
    /// Whether `--since` or `--until` is given.
    fn has_times(&self) -> bool {
        self.since.is_some() || self.until.is_some()
    }

    /// The most snapshots, or events, to list of each environment.
    fn limit(&self) -> usize {
        match self.limit {
            Some(limit) => limit.into(),
            None if self.has_times() || !self.interval.is_empty() => usize::MAX,
            None => DEFAULT_LIMIT.into(),
        }
    }
}

/// The history of one environment, as far as it was requested.
struct History {
    environment: String,
    snapshots: Listing<SnapshotListEntry>,
}

pub(super) async fn run(args: &ServerArgs, arguments: &Arguments) -> anyhow::Result<()> {
    let terminal = args.terminal();
    let times = [("Since ", arguments.since), ("until ", arguments.until)];
    if let (Some(since), Some(until)) = (arguments.since, arguments.until)
        && since > end_of_second(until)
    {
        bail!("--since is after --until: {}", first_line(times, &terminal).trim_end());
    }
    let connection = args.connect().await?;
    let names = if let Some(name) = &arguments.name {
        vec![name.clone()]
    } else {
        let environments = connection.client.environments(None).await?.document.into_iter();
        environments.filter(|it| it.environment_type != LOGICAL).map(|it| it.name).collect()
    };
    let histories: Vec<_> = stream::iter(&names)
        .map(|name| fetch_history(&connection.client, name, arguments))
        .buffered(MAX_CONCURRENT_REQUESTS)
        .try_collect()
        .await?;
    // The document is a list, which has no place for it.
    if matches!(args.output, OutputFormat::Json | OutputFormat::Csv) {
        eprint(&first_line(times, &terminal));
        let documents =
            fetch_json_list(&connection.client, &histories, arguments, args.output).await?;
        print(&if args.output == OutputFormat::Csv {
            let columns =
                if arguments.long { &EVENT_CSV_COLUMNS[..] } else { &SNAPSHOT_CSV_COLUMNS };
            csv::list(columns, &serde_json::from_str::<Vec<_>>(&documents)?)?
        } else {
            escape_json(&documents)
        })?;
        return Ok(());
    }
    let mut rows = Vec::new();
    for History { environment, snapshots } in &histories {
        let most = if arguments.has_times() { usize::MAX } else { MAX_EVENTS };
        let client = connection.client.environment(environment, None);
        let mut changes = fetch_changes(&client, &snapshots.documents, most).await?;
        let row = |snapshot| LogRow {
            environment: arguments.name.is_none().then_some(&**environment),
            snapshot,
            changes: changes.remove(&snapshot.index),
        };
        rows.extend(snapshots.documents.iter().map(row));
    }
    // Stable: the snapshots of one environment keep their order, which is not that of the clock.
    if arguments.name.is_none() {
        rows.sort_by(|one, other| other.snapshot.from.total_cmp(&one.snapshot.from));
    }
    let log = LogView { rows };
    let text = if arguments.long {
        log.long_text(&terminal)
    } else {
        log.table_text(args.output == OutputFormat::Wide, &terminal)
    };
    print(&(first_line(times, &terminal) + &text))?;
    for History { environment, snapshots } in &histories {
        eprint_truncation(environment, snapshots, "snapshot");
    }
    Ok(())
}

async fn fetch_history(
    client: &Client,
    name: &str,
    wanted: &Arguments,
) -> Result<History, ApiError> {
    let environment = client.environment(name, None);
    let limit = wanted.limit();
    let listed = if wanted.has_times() {
        let seconds = |time: Timestamp| end_of_second(time).as_duration().as_secs_f64();
        let since = wanted.since.map_or(f64::NEG_INFINITY, seconds);
        let until = wanted.until.map_or(f64::INFINITY, seconds);
        environment.snapshots_between(since, until).await.map(|listed| listed.at_most(limit))
    } else {
        environment.latest_snapshots(&wanted.interval, limit).await
    };
    Ok(History { environment: name.to_owned(), snapshots: empty_if_no_snapshot(listed)? })
}

/// A JSON list of the snapshots, or with `--long` of their events, of all environments: of several, the
/// latest first, each with the name of its environment.
async fn fetch_json_list(
    client: &Client,
    histories: &[History],
    wanted: &Arguments,
    format: OutputFormat,
) -> anyhow::Result<String> {
    let mut texts = Vec::new();
    for History { environment, snapshots } in histories {
        if !wanted.long {
            eprint_truncation(environment, snapshots, "snapshot");
            let is_asked_for = wanted.name.is_some() && format == OutputFormat::Json;
            let name = if is_asked_for { Value::Null } else { json!(environment) };
            texts.extend(snapshots.documents.iter().zip(&snapshots.texts).map(|(it, text)| {
                (it.from, add_fields(text.get(), [("environment", name.clone())]))
            }));
            continue;
        }
        let indexes = || snapshots.documents.iter().map(|snapshot| snapshot.index);
        let interval = match (indexes().min(), indexes().max()) {
            _ if !wanted.has_times() => wanted.interval.clone(),
            (Some(first), Some(last)) => format!("{first}..{last}"),
            _ => continue,
        };
        let client = client.environment(environment, None);
        let events = client.latest_events(&interval, f64::NEG_INFINITY, wanted.limit()).await;
        let events = empty_if_no_snapshot(events)?;
        eprint_truncation(environment, &events, "event");
        let of_events = events.documents.iter().zip(&events.texts);
        texts.extend(of_events.map(|(event, text)| (event.reported_at, text.get().to_owned())));
    }
    if wanted.name.is_none() {
        texts.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    }
    let texts: Vec<_> = texts.into_iter().map(|(_, text)| text).collect();
    Ok(format!("[{}]", texts.join(",\n ")))
}

fn empty_if_no_snapshot<T>(listed: Result<Listing<T>, ApiError>) -> Result<Listing<T>, ApiError> {
    match listed {
        Err(ApiError::NoSnapshotYet { .. }) => Ok(Listing::default()),
        listed => listed,
    }
}

fn eprint_truncation<T>(name: &str, listed: &Listing<T>, what: &str) {
    if listed.is_truncated {
        let output = pluralize(listed.documents.len(), what);
        eprint(&format!("Only the latest {output} of {name}: --limit N lists more.\n"));
    }
}

/// Fetches the events of each of these snapshots, by its index: of all together at most `most`.
/// Snapshots whose events are not all among them are missing.
async fn fetch_changes(
    environment: &EnvironmentClient<'_>,
    snapshots: &[SnapshotListEntry],
    most: usize,
) -> Result<BTreeMap<u64, Vec<EnvironmentEvent>>, ApiError> {
    let indexes = || snapshots.iter().map(|snapshot| snapshot.index);
    let (Some(first), Some(last)) = (indexes().min(), indexes().max()) else {
        return Ok(BTreeMap::new());
    };
    let interval = format!("{first}..{last}");
    let events = environment.latest_events(&interval, f64::NEG_INFINITY, most).await?;
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

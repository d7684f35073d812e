//! `envsnap env watch`: what changes, as it changes.

use std::time::Duration;

use anyhow::bail;
use tokio::signal::unix::{SignalKind, signal};

use super::diff::{self, States, artifact_blocks};
use crate::api::wire::{DiffArtifact, DiffItem, EnvironmentDiff, RunningSince};
use crate::api::{ApiError, Client, HistoryQuery, ServerApi as _};
use crate::cli::escape::{escape_json_line, replace_invisible};
use crate::cli::expression::environment_name;
use crate::cli::server_args::ServerArgs;
use crate::cli::terminal::{Colour, Terminal};
use crate::cli::{OutputFormat, eprint, print_unless_closed};
use envsnap_model::duration::parse_duration;

/// With more new snapshots at once, only the difference between the first and the last is printed.
const MAX_SINGLE_DIFFS: u64 = 20;

/// Show what changes in an environment, as it changes
///
/// Fetches the latest snapshot from time to time, and prints how each new one differs from the one
/// before: with -o json a document a line, as of env diff. Of more than 20 at once it prints only
/// how the last differs from the first. A server that does not answer is tried again. It ends on
/// Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  envsnap env watch aws-prod
  envsnap env watch aws-prod -o json | jq -c '.snappish2.artifacts[].name'")]
pub(super) struct Arguments {
    /// The environment
    #[arg(value_name = "NAME", value_parser = environment_name)]
    name: String,
    /// How long to wait between two requests
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_poll_interval)]
    interval: Duration,
}

/// Parses the time between two requests, 100 ms or longer.
fn parse_poll_interval(text: &str) -> Result<Duration, String> {
    let poll_interval =
        parse_duration(text).filter(|poll_interval| *poll_interval >= Duration::from_millis(100));
    poll_interval.ok_or_else(|| "it should be 100ms or longer, like 5s or 1m".to_owned())
}

pub(super) async fn run(args: &ServerArgs, arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(bundle) = args.server.bundle() {
        bail!("{} is a proof bundle: nothing in it will change", bundle.display());
    }
    let connection = args.connect().await?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = watch(&connection.client, args, arguments) => ended,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        _ = terminated.recv() => Ok(()),
    }
}

/// Runs until the output is closed, or the server returns an error that waiting does not change.
async fn watch(client: &Client, args: &ServerArgs, arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { name, interval } = arguments;
    let terminal = args.terminal();
    let mut known = fetch_latest_index(client, name).await?;
    let shown_name = replace_invisible(name);
    eprint(&match known {
        0 => format!("Watching {shown_name}, which has no snapshot yet.\n"),
        known => format!("Watching {shown_name} from {shown_name}#{known} on.\n"),
    });
    let mut is_unavailable = false;
    loop {
        tokio::time::sleep(*interval).await;
        match fetch_new_snapshots(client, name, known).await {
            Ok(new_snapshots) => {
                if is_unavailable {
                    eprint("The server is reachable again.\n");
                    is_unavailable = false;
                }
                if new_snapshots.latest < known {
                    bail!(
                        "the latest snapshot was {name}#{known} and is {name}#{} now: that is \
                         another history",
                        new_snapshots.latest
                    );
                }
                known = new_snapshots.latest;
                for text in new_snapshots.texts(args.output, &terminal.refreshed()) {
                    if !print_unless_closed(&text)? {
                        return Ok(());
                    }
                }
            }
            Err(error @ ApiError::Unavailable { .. }) => {
                if !is_unavailable {
                    eprint(&format!("{error}. Trying again.\n"));
                    is_unavailable = true;
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The index of the latest snapshot, 0 before the first.
async fn fetch_latest_index(client: &Client, name: &str) -> Result<u64, ApiError> {
    let part = HistoryQuery { per_page: 1, ..HistoryQuery::default() };
    match client.environment(name, None).snapshots(part).await {
        Err(ApiError::NoSnapshotYet { .. }) => Ok(0),
        answer => Ok(answer?.document.first().map_or(0, |snapshot| snapshot.index)),
    }
}

/// How the snapshots since the last request differ, each from the one before it.
struct NewSnapshots {
    latest: u64,
    diffs: Vec<PrintedDiff>,
}

/// How a snapshot differs from an earlier one.
struct PrintedDiff {
    heading: String,
    /// When it was recorded, in seconds since the Unix epoch.
    recorded_at: f64,
    diff: EnvironmentDiff,
    /// The server's JSON, or our own for the first snapshot, which has nothing to be compared with.
    text: String,
}

/// How the snapshots since the one with index `known` differ: all of them, or an error. More than
/// [`MAX_SINGLE_DIFFS`] are one difference.
async fn fetch_new_snapshots(
    client: &Client,
    name: &str,
    known: u64,
) -> Result<NewSnapshots, ApiError> {
    let latest = fetch_latest_index(client, name).await?;
    let step = if latest.saturating_sub(known) > MAX_SINGLE_DIFFS { latest - known } else { 1 };
    let mut diffs = Vec::new();
    let mut from = known;
    while from < latest {
        diffs.push(fetch_diff(client, name, from, from + step).await?);
        from += step;
    }
    Ok(NewSnapshots { latest, diffs })
}

/// How the snapshot with index `to` differs from that with index `from`; with 0 all that runs in it
/// started.
async fn fetch_diff(
    client: &Client,
    name: &str,
    from: u64,
    to: u64,
) -> Result<PrintedDiff, ApiError> {
    let snapshot =
        client.environment(name, None).snapshot_response(&format!("#{to}")).await?.document;
    let (before, after) = (format!("{name}#{from}"), format!("{name}#{to}"));
    let (diff, text) = if from > 0 {
        let answer = client.diff(&before, &after, None).await?;
        (answer.document, answer.text)
    } else {
        let artifacts = snapshot.running().map(|artifact| DiffArtifact {
            fingerprint: artifact.fingerprint.clone().unwrap_or_default(),
            name: artifact.name.clone(),
            most_recent_timestamp: artifact.creation_timestamp.last().copied().unwrap_or(0),
            flow: artifact.flow_name.clone(),
            commit_url: artifact.commit_url.clone(),
            instance_count: Some(artifact.annotation.now),
            since: RunningSince { started: artifact.started(), ..artifact.since },
            ..DiffArtifact::default()
        });
        let started = DiffItem { snapshot_id: Some(after.clone()), artifacts: artifacts.collect() };
        let nothing = DiffItem { snapshot_id: Some(before.clone()), artifacts: Vec::new() };
        let diff = EnvironmentDiff {
            snappish1: nothing,
            snappish2: started,
            ..EnvironmentDiff::default()
        };
        let text = serde_json::to_string(&diff).map_err(|error| ApiError::Unavailable {
            operation: format!("compare \"{before}\" with \"{after}\""),
            url: after.clone(),
            reason: error.to_string(),
            retry_after: None,
            transient: false,
        })?;
        (diff, text)
    };
    let heading = diff::heading(&before, &after);
    Ok(PrintedDiff { heading, recorded_at: snapshot.timestamp, diff, text })
}

impl NewSnapshots {
    /// Each difference as text: a line of JSON, or time, heading and blocks.
    fn texts(&self, format: OutputFormat, terminal: &Terminal) -> impl Iterator<Item = String> {
        self.diffs.iter().map(move |change| {
            if format == OutputFormat::Json {
                return escape_json_line(&change.text);
            }
            let heading = terminal.paint(Colour::Bold, &change.heading);
            let time = terminal.time(change.recorded_at);
            let blocks = if diff::is_empty(&change.diff) {
                "The same runs in both.\n".to_owned()
            } else {
                artifact_blocks(&change.diff, &States::new(), terminal)
            };
            format!("{time}\n{heading}\n\n{blocks}\n")
        })
    }
}

//! `envsnap ps --watch`: what starts, exits and is scaled, as it happens.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::{read_inventory, with_remedy};
use crate::cli::escape::{escape_json_line, replace_invisible};
use crate::cli::tables::fingerprint_or_unknown;
use crate::cli::terminal::{Colour, Terminal};
use crate::cli::{OutputFormat, eprint, print_unless_closed};
use crate::recorder::text::pluralize;
use crate::report::{EcsInventory, ErrorKind, ErrorRow, Inventory};
use crate::snapshot::{Artifact, Diff, Fingerprint, Identity};

/// A change of one artifact between two readings, as it is printed.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Change<'a> {
    /// When the reading ended that found it, in seconds since the Unix epoch.
    at: i64,
    #[serde(rename = "change")]
    kind: ChangeKind,
    name: &'a str,
    fingerprint: Option<Fingerprint>,
    /// Replicas before.
    from: u64,
    /// Replicas after.
    to: u64,
    /// `CLUSTER/SERVICE`, or `CLUSTER` of standalone tasks: where it runs, or ran if it exited.
    places: &'a [String],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum ChangeKind {
    Exited,
    Started,
    Scaled,
}

/// Runs until the output is closed, a signal ends it, or ECS returns an error that waiting does not
/// change.
pub(super) async fn run(
    reader: &EcsInventory,
    interval: Duration,
    format: OutputFormat,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = watch(reader, interval, format, terminal) => ended,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        _ = terminated.recv() => Ok(()),
    }
}

/// Prints how each reading differs from the one before it. Errors that may pass are printed once and
/// retried.
async fn watch(
    reader: &EcsInventory,
    interval: Duration,
    format: OutputFormat,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let mut before = match read_inventory(reader, false).await? {
        Ok(inventory) => inventory,
        Err(error) => anyhow::bail!("{}", with_remedy(&error)),
    };
    eprint(&format!(
        "Watching {} of {}, every {} (- exited, + started, ~ scaled). Ctrl-C ends it.\n",
        pluralize(before.outcome.containers.unwrap_or(0), "container"),
        pluralize(before.artifacts.len(), "artifact"),
        pluralize(interval.as_secs(), "second"),
    ));
    let mut is_failing = false;
    loop {
        tokio::time::sleep(interval).await;
        let now = match read_inventory(reader, false).await? {
            Ok(now) => now,
            Err(error) if is_transient(&error) => {
                if !is_failing {
                    eprint(&format!("{}. Trying again.\n", replace_invisible(&error.message)));
                    is_failing = true;
                }
                continue;
            }
            Err(error) => anyhow::bail!("{}", with_remedy(&error)),
        };
        if is_failing {
            eprint("ECS can be read again.\n");
            is_failing = false;
        }
        for line in change_lines(&before, &now, format, terminal)? {
            if !print_unless_closed(&line)? {
                return Ok(());
            }
        }
        before = now;
    }
}

/// Whether a later reading may succeed without a change of the options.
fn is_transient(error: &ErrorRow) -> bool {
    matches!(
        error.kind,
        ErrorKind::Throttled | ErrorKind::Contradiction | ErrorKind::EcsUnavailable
    )
}

/// A line for each artifact that exited, started or was scaled between the two readings.
fn change_lines(
    before: &Inventory,
    now: &Inventory,
    format: OutputFormat,
    terminal: &Terminal,
) -> serde_json::Result<Vec<String>> {
    let diff = Diff::between(&before.snapshot, &now.snapshot);
    let (ran_at, runs_at) = (places_by_artifact(before), places_by_artifact(now));
    let at = Timestamp::now().as_second();
    let one = |kind, artifact: &Artifact, from, to| {
        let identity = Identity::new(&artifact.name, artifact.fingerprint);
        let places = if kind == ChangeKind::Exited { &ran_at } else { &runs_at };
        let places = places.get(&identity).map(Vec::as_slice).unwrap_or_default();
        let (name, fingerprint) = (artifact.name.as_str(), artifact.fingerprint);
        render_change(&Change { at, kind, name, fingerprint, from, to, places }, format, terminal)
    };
    let exited =
        diff.exited.iter().map(|artifact| one(ChangeKind::Exited, artifact, artifact.replicas, 0));
    let started = diff
        .started
        .iter()
        .map(|artifact| one(ChangeKind::Started, artifact, 0, artifact.replicas));
    let scaled = diff.scaled.iter().map(|scaled| {
        let artifact = Artifact {
            name: scaled.name.clone(),
            fingerprint: scaled.fingerprint,
            replicas: scaled.to,
        };
        one(ChangeKind::Scaled, &artifact, scaled.from, scaled.to)
    });
    exited.chain(started).chain(scaled).collect()
}

fn render_change(
    change: &Change<'_>,
    format: OutputFormat,
    terminal: &Terminal,
) -> serde_json::Result<String> {
    if format == OutputFormat::Json {
        return Ok(escape_json_line(&serde_json::to_string(change)?));
    }
    let Change { at, name, fingerprint, from, to, places, .. } = change;
    let (sign, colour, replicas) = match change.kind {
        ChangeKind::Exited => ('-', Colour::Red, pluralize(*from, "replica")),
        ChangeKind::Started => ('+', Colour::Green, pluralize(*to, "replica")),
        ChangeKind::Scaled => ('~', Colour::Yellow, format!("{from} -> {to} replicas")),
    };
    let what = terminal.paint(colour, &format!("{sign} {}", replace_invisible(name)));
    let fingerprint = fingerprint.map(|fingerprint| fingerprint.to_string());
    let fingerprint = fingerprint_or_unknown(fingerprint.as_deref());
    let time = terminal.time(crate::recorder::text::unix_secs(*at));
    let places = replace_invisible(&places.join(", "));
    Ok(format!("{time}  {what}  {replicas}  {places}  {fingerprint}\n"))
}

/// Where each artifact runs: `CLUSTER/SERVICE`, or `CLUSTER` of standalone tasks.
fn places_by_artifact(inventory: &Inventory) -> HashMap<Identity, Vec<String>> {
    let of_artifact = |running: &crate::report::RunningArtifact| {
        let artifact = &running.artifact;
        let places = running.places.iter().map(|place| match &place.service {
            Some(service) => format!("{}/{service}", place.cluster),
            None => place.cluster.clone(),
        });
        (Identity::new(&artifact.name, artifact.fingerprint), places.collect())
    };
    inventory.artifacts.iter().map(of_artifact).collect()
}

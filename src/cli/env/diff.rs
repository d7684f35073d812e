//! `envsnap env diff`: what changed from one snapshot to another.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::between::{ComparedSnapshot, DiffContext, replaced_json, replaced_lines};
use crate::api::wire::{DiffArtifact, DiffItem, EnvironmentDiff};
use crate::api::{ApiError, Client, ServerApi as _};
use crate::cli::csv::{self, Column};
use crate::cli::escape::{escape_json, replace_invisible};
use crate::cli::expression::{SNAPSHOT_SYNTAX, SnapshotName, first_line};
use crate::cli::json::add_fields;
use crate::cli::server_args::ServerArgs;
use crate::cli::since;
use crate::cli::tables::fingerprint_or_unknown;
use crate::cli::terminal::{Colour, Terminal};
use crate::cli::{ExitStatus, OutputFormat, eprint, print};
use crate::recorder::text::unix_secs;

const CSV_COLUMNS: [Column; 7] = [
    Column::Text("change", "/change"),
    Column::Text("artifact", "/name"),
    Column::Text("fingerprint", "/fingerprint"),
    Column::Text("replicas_before", "/from"),
    Column::Text("replicas_after", "/to"),
    Column::Text("pipeline", "/flow"),
    Column::Text("commit", "/commit_url"),
];

/// Show what changed from one snapshot to another
///
/// A minus sign is an artifact that exited, a plus sign one that started, and ~ one that runs in
/// both with another number of replicas. The two may be of different environments.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{SNAPSHOT_SYNTAX}\n
Examples:
  envsnap env diff aws-prod#65 aws-prod#66
  envsnap env diff aws-prod~1 aws-prod
  envsnap env diff aws-beta aws-prod --exit-code >/dev/null || echo they differ"))]
pub(super) struct Arguments {
    /// The earlier snapshot
    #[arg(value_name = "FROM")]
    from: SnapshotName,
    /// The later snapshot
    #[arg(value_name = "TO")]
    to: SnapshotName,
    /// Exit with 1 if anything differs, and with 0 if nothing does
    #[arg(long)]
    exit_code: bool,
}

pub(super) async fn run(args: &ServerArgs, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    let Arguments { from, to, exit_code } = arguments;
    let connection = args.connect().await?;
    let answer = connection.client.diff(from.as_str(), to.as_str(), None).await?;
    let (diff, terminal) = (&answer.document, args.terminal());
    let between = fetch_context(&connection.client, diff, [from, to], &terminal).await?;
    print(&if args.output == OutputFormat::Json {
        let between = between.map_or(Value::Null, |between| between.json(terminal.now));
        let fields = [("between", between), ("replaced", replaced_json(diff))];
        escape_json(&add_fields(&answer.text, fields))
    } else if args.output == OutputFormat::Csv {
        eprint(&first_line([("From ", from.time), ("to ", to.time)], &terminal));
        csv::list(&CSV_COLUMNS, &csv_rows(diff))?
    } else {
        let states = fetch_compliance_states(&connection.client, diff).await?;
        let mut diff = diff.clone();
        if let Some(between) = &between {
            between.add_start_times(&mut diff);
        }
        let time_line = first_line([("From ", from.time), ("to ", to.time)], &terminal);
        time_line
            + &diff_text(&diff, [from.as_str(), to.as_str()], between.as_ref(), &states, &terminal)
    })?;
    Ok(if *exit_code && !is_empty(diff) { ExitStatus::Different } else { ExitStatus::Success })
}

/// One object, with the fields of [`CSV_COLUMNS`], for each artifact that exited, started or was
/// scaled.
fn csv_rows(diff: &EnvironmentDiff) -> Vec<Value> {
    let row = |change: &'static str| {
        move |it: &DiffArtifact| {
            let (from, to) = match change {
                "exited" => (it.instance_count, Some(0)),
                "started" => (Some(0), it.instance_count),
                _ => (it.s1_instance_count, it.s2_instance_count),
            };
            json!({
                "change": change, "name": it.name, "fingerprint": it.fingerprint, "from": from,
                "to": to, "flow": it.flow, "commit_url": it.commit_url,
            })
        }
    };
    let exited = diff.snappish1.artifacts.iter().map(row("exited"));
    let started = diff.snappish2.artifacts.iter().map(row("started"));
    exited.chain(started).chain(diff.changed.artifacts.iter().map(row("scaled"))).collect()
}

/// Fetches what the difference itself does not have; `None` if the server does not say which snapshots
/// it compared.
async fn fetch_context(
    client: &Client,
    diff: &EnvironmentDiff,
    [from, to]: [&SnapshotName; 2],
    terminal: &Terminal,
) -> Result<Option<DiffContext>, ApiError> {
    let ids = [&diff.snappish1, &diff.snappish2].map(|item| item.snapshot_id.as_deref());
    let [Some(one), Some(other)] = ids else { return Ok(None) };
    let one = ComparedSnapshot::fetch(client, one, from.time).await?;
    let other = ComparedSnapshot::fetch(client, other, to.time).await?;
    match (one, other) {
        (Some(one), Some(other)) => {
            Ok(Some(DiffContext::fetch(client, [one, other], terminal.now).await?))
        }
        _ => Ok(None),
    }
}

/// Of artifacts whose provenance is known, by fingerprint, for people.
pub(super) type States = BTreeMap<String, String>;

/// The compliance states of the artifacts in both snapshots, by fingerprint: the difference itself does
/// not have them.
async fn fetch_compliance_states(
    client: &Client,
    diff: &EnvironmentDiff,
) -> anyhow::Result<States> {
    let mut states = States::new();
    for item in [&diff.snappish1, &diff.snappish2] {
        // Only of snapshots with an artifact that a flow reported, to save the requests.
        let Some((environment, index)) =
            item.snapshot_id.as_deref().and_then(|id| id.rsplit_once('#'))
        else {
            continue;
        };
        let changed = diff.changed.artifacts.iter().chain(&item.artifacts);
        if changed.clone().all(|artifact| artifact.flow.is_none()) {
            continue;
        }
        let snapshot = client.environment(environment, None).snapshot(index).await?;
        for artifact in snapshot.running() {
            let Some(state) = super::get::compliance_state(artifact) else { continue };
            let problems =
                artifact.flows.first().map(|flow| &flow.problems[..]).unwrap_or_default();
            let state = match problems {
                [] => replace_invisible(state),
                problems => replace_invisible(&format!(
                    "{state} (missing or non-compliant: {})",
                    problems.join(", ")
                )),
            };
            states.insert(artifact.fingerprint.clone().unwrap_or_default(), state);
        }
    }
    Ok(states)
}

/// The output of `envsnap env diff`: a heading with the server's names of both snapshots, their times,
/// and a block for each artifact that differs.
fn diff_text(
    diff: &EnvironmentDiff,
    [from, to]: [&str; 2],
    between: Option<&DiffContext>,
    states: &States,
    terminal: &Terminal,
) -> String {
    let name =
        |item: &DiffItem, given| replace_invisible(item.snapshot_id.as_deref().unwrap_or(given));
    let (from, to) = (name(&diff.snappish1, from), name(&diff.snappish2, to));
    let times = between.map(|between| between.time_lines(terminal)).unwrap_or_default();
    let has_passed = between.is_some_and(DiffContext::has_interim_artifacts);
    if is_empty(diff) && !has_passed {
        return format!("The same runs in {from} and {to}.\n{times}");
    }
    let mut parts = vec![format!("{}\n{times}", heading(&from, &to))];
    if is_empty(diff) {
        parts.push(format!("The same runs in {from} and {to}.\n"));
    } else {
        parts.extend(Some(replaced_lines(diff)).filter(|lines| !lines.is_empty()));
        parts.push(artifact_blocks(diff, states, terminal));
    }
    parts.extend(
        between.map(|between| between.interim_artifact_blocks(terminal)).unwrap_or_default(),
    );
    parts.join("\n")
}

/// The first line of a difference between two snapshots, which explains the signs before the artifacts.
pub(super) fn heading(from: &str, to: &str) -> String {
    let environment = |snapshot: &str| snapshot.split('#').next().unwrap_or_default().to_owned();
    let (one, other) = (environment(from), environment(to));
    if one == other {
        format!("From {from} to {to} (- exited, + started, ~ scaled)")
    } else {
        format!("From {from} to {to} (- only in {one}, + only in {other}, ~ other replicas)")
    }
}

pub(super) fn is_empty(diff: &EnvironmentDiff) -> bool {
    [&diff.snappish1, &diff.snappish2, &diff.changed].iter().all(|item| item.artifacts.is_empty())
}

/// One block per artifact that exited, started or was scaled.
pub(super) fn artifact_blocks(
    diff: &EnvironmentDiff,
    states: &States,
    terminal: &Terminal,
) -> String {
    let of = |sign, colour, item: &DiffItem| -> Vec<String> {
        item.artifacts
            .iter()
            .map(|artifact| artifact_block(sign, colour, artifact, states, terminal))
            .collect()
    };
    [
        of('-', Colour::Red, &diff.snappish1),
        of('+', Colour::Green, &diff.snappish2),
        of('~', Colour::Yellow, &diff.changed),
    ]
    .concat()
    .join("\n")
}

/// The lines of one artifact: `sign`, name and fingerprint, its origin, times, state and replicas.
fn artifact_block(
    sign: char,
    colour: Colour,
    artifact: &DiffArtifact,
    states: &States,
    terminal: &Terminal,
) -> String {
    let known = |text: Option<&String>| match text {
        Some(text) if !text.is_empty() => replace_invisible(text),
        _ => "N/A".to_owned(),
    };
    let mut first = format!("{sign} Name:   {}", replace_invisible(&artifact.name));
    if let Some(kind) = &artifact.first_time_here {
        let _infallible = write!(first, " ({})", since::first_time_here(kind));
    }
    let mut text = format!(
        "{}\n  Sha256: {}\n  Pipeline: {}\n  Commit: {}\n  Started: {}\n",
        terminal.paint(colour, &first),
        fingerprint_or_unknown(Some(&artifact.fingerprint)),
        known(artifact.flow.as_ref()),
        known(artifact.commit_url.as_ref()),
        terminal.time_and_age(unix_secs(
            artifact.since.started.unwrap_or(artifact.most_recent_timestamp)
        )),
    );
    if let Some(at) = artifact.since.first_seen {
        let at_the_latest = artifact.since.first_seen_at_the_latest.unwrap_or_default();
        let seen = since::first_seen(at, at_the_latest, terminal);
        let _infallible = writeln!(text, "  First seen: {seen}");
    }
    if let Some(until) = artifact.since.confirmed_until {
        let _infallible = writeln!(text, "  Confirmed until: {}", terminal.time(until));
    }
    if let Some(state) = states.get(&artifact.fingerprint) {
        let _infallible = writeln!(text, "  State: {state}");
    }
    let replicas = match (artifact.s1_instance_count, artifact.s2_instance_count) {
        (Some(was), Some(now)) => Some(format!("{was} -> {now}")),
        _ => artifact.instance_count.map(|count| count.to_string()),
    };
    if let Some(replicas) = replicas {
        let _infallible = writeln!(text, "  Replicas: {replicas}");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::terminal::tests::berlin;

    #[test]
    fn exited_started_and_scaled_artifacts_are_printed_as_blocks_with_a_coloured_sign() {
        let diff: EnvironmentDiff = serde_json::from_value(json!({
            "snappish1": {"snapshot_id": "aws-prod#65", "artifacts": [
                {"fingerprint": "eeb0cfc9ee7f69fbd9531d5b8c1e8d22a8de119e2a422344a714a868e9a8bfec",
                 "name": "274425519734.dkr.ecr.eu-central-1.amazonaws.com/runner:85d83c6",
                 "flow": "runner", "most_recent_timestamp": 1_661_027_563,
                 "commit_url": "https://github.com/cyber-dojo/runner/commit/85d83c6ab8e0"},
            ]},
            "snappish2": {"snapshot_id": "aws-prod#66", "artifacts": [
                {"fingerprint": "", "name": "envoy\u{1b}[2J", "most_recent_timestamp": 0,
                 "flow": null, "commit_url": null, "instance_count": 2},
            ]},
            "changed": {"artifacts": [
                {"fingerprint": "ab", "name": "shas:1", "most_recent_timestamp": 1_661_161_157,
                 "s1_instance_count": 3, "s2_instance_count": 1},
            ]},
        }))
        .unwrap();
        assert_eq!(
            artifact_blocks(&diff, &States::new(), &berlin()),
            "\
- Name:   274425519734.dkr.ecr.eu-central-1.amazonaws.com/runner:85d83c6
  Sha256: eeb0cfc9ee7f69fbd9531d5b8c1e8d22a8de119e2a422344a714a868e9a8bfec
  Pipeline: runner
  Commit: https://github.com/cyber-dojo/runner/commit/85d83c6ab8e0
  Started: Sat, 20 Aug 2022 22:32:43 CEST • 12 days ago

+ Name:   envoy\u{fffd}[2J
  Sha256: unknown
  Pipeline: N/A
  Commit: N/A
  Started: N/A
  Replicas: 2

~ Name:   shas:1
  Sha256: ab
  Pipeline: N/A
  Commit: N/A
  Started: Mon, 22 Aug 2022 11:39:17 CEST • 11 days ago
  Replicas: 3 -> 1
"
        );
        let coloured = Terminal { use_colour: true, ..berlin() };
        let output = artifact_blocks(&diff, &States::new(), &coloured);
        for sign in ["\x1b[31m- Name", "\x1b[32m+ Name", "\x1b[33m~ Name"] {
            assert!(output.contains(sign), "{output}");
        }
        assert!(!is_empty(&diff));
        assert!(is_empty(&EnvironmentDiff::default()));
    }
}

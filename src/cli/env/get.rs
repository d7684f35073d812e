//! `envsnap env get`: what ran in a snapshot.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::str::FromStr;

use envsnap_model::provenance::Origin;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::wire::{RecordedArtifact, RecordedSnapshot};
use crate::api::{ApiResponse, ServerApi as _};
use crate::cli::artifact::show_snapshots_with_artifact;
use crate::cli::artifact_table::{ArtifactRow, artifact_table};
use crate::cli::coverage::{self, gap_at};
use crate::cli::csv::{self, Column};
use crate::cli::escape::{escape_json, replace_invisible};
use crate::cli::expression::{SNAPSHOT_SYNTAX, SnapshotName, environment_name, first_line};
use crate::cli::json::add_fields;
use crate::cli::server_args::ServerArgs;
use crate::cli::since;
use crate::cli::tables::fingerprint_or_unknown;
use crate::cli::task_origin;
use crate::cli::terminal::{Colour, Terminal};
use crate::cli::{OutputFormat, eprint, print};
use crate::recorder::domain::{ArtifactPattern, MIN_DIGITS};
use crate::recorder::text::unix_secs;
use crate::snapshot::TaskOrigin;

/// Printed in place of a value that is not known.
const NOT_AVAILABLE: &str = "N/A";

const CSV_COLUMNS: [Column; 16] = [
    Column::Text("artifact", "/name"),
    Column::Text("fingerprint", "/fingerprint"),
    Column::Text("replicas", "/annotation/now"),
    Column::Time("started", "/creationTimestamp/0"),
    Column::Time("first_seen", "/first_seen"),
    Column::Time("confirmed_until", "/confirmed_until"),
    Column::Text("commit", "/git_commit"),
    Column::Text("pipeline", "/flow_name"),
    Column::Text("cluster", "/ecs_context/cluster_name"),
    Column::Text("service", "/ecs_context/service_name"),
    Column::Text("all_places", "/ecs_places"),
    Column::Text("task", "/ecs_context/task_arn"),
    Column::Text("task_definition", "/ecs_context/origin/task_definition"),
    Column::Text("started_by", "/ecs_context/origin/started_by"),
    Column::Text("launch_type", "/ecs_context/origin/launch_type"),
    Column::Text("availability_zone", "/ecs_context/origin/availability_zone"),
];

/// Show what ran in a snapshot
///
/// One entry per artifact: the commit and the pipeline that built it if the server knows them,
/// since when it has run, and how many replicas of it ran.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{SNAPSHOT_SYNTAX}\n
Examples:
  envsnap env get aws-prod#65
  envsnap env get aws-prod@{{2.hours.ago}} -o wide
  envsnap env get aws-prod --name saver    which version of saver runs
  envsnap env get aws-prod@9af401c         the snapshots that contain this artifact
  envsnap env get aws-prod -o json | jq '.artifacts[].fingerprint'"))]
pub(super) struct Arguments {
    /// The snapshot; or NAME@FINGERPRINT, to list the snapshots that contain an artifact
    #[arg(value_name = "SNAPSHOT")]
    selector: Selector,
    /// Show only what is called so: a repository like saver, or a name with * for anything, as in *run*
    #[arg(long, value_name = "NAME")]
    name: Option<ArtifactPattern>,
}

/// What the argument `SNAPSHOT` selects.
#[derive(Debug, Clone)]
enum Selector {
    Snapshot(SnapshotName),
    /// The snapshots of an environment that contain an artifact with this fingerprint.
    Containing {
        environment: String,
        artifact: ArtifactPattern,
    },
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_fingerprint = |digits: &str| {
            (MIN_DIGITS..=64).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        match text.split_once('@') {
            Some((name, digits)) if is_fingerprint(digits) => {
                let environment = environment_name(name)?;
                let artifact = digits.parse().map_err(|error| format!("{digits}: {error}"))?;
                Ok(Self::Containing { environment, artifact })
            }
            _ => text.parse().map(Self::Snapshot),
        }
    }
}

pub(super) async fn run(args: &ServerArgs, arguments: &Arguments) -> anyhow::Result<()> {
    let snapshot = match &arguments.selector {
        Selector::Snapshot(snapshot) => snapshot,
        Selector::Containing { environment, artifact } => {
            return show_snapshots_with_artifact(args, environment, artifact).await;
        }
    };
    let SnapshotName { environment, expression, .. } = snapshot;
    let connection = args.connect().await?;
    let mut answer =
        connection.client.environment(environment, None).snapshot_response(expression).await?;
    if let Some(name) = &arguments.name {
        answer = filter_by_name(&answer, name)?;
    }
    let (recorded, terminal) = (&answer.document, args.terminal());
    let time_line =
        first_line([("", snapshot.time)], &terminal) + &same_second_note(recorded, snapshot);
    let known = coverage_lines(recorded, snapshot, &terminal);
    print(&match (args.output, &arguments.name) {
        (OutputFormat::Json, _) => {
            let requested = json!(snapshot.time.map(|time| time.to_string()));
            let gap = json!(gap_at(&recorded.gaps, snapshot.moment().unwrap_or(terminal.now)));
            let gap = if snapshot.time.is_some() || recorded.is_latest { gap } else { Value::Null };
            let fields = [("requested_time", requested), ("not_covered", gap)];
            escape_json(&add_fields(&answer.text, fields))
        }
        (OutputFormat::Csv, _) => {
            eprint(&time_line);
            let running = recorded.running().map(serde_json::to_value);
            csv::list(&CSV_COLUMNS, &running.collect::<Result<Vec<_>, _>>()?)?
        }
        (_, Some(name)) if recorded.running().next().is_none() => format!(
            "{time_line}{}\n{known}\nNothing called {} ran.\n",
            heading(environment, recorded, &terminal),
            replace_invisible(name.as_str())
        ),
        (format, _) => format!(
            "{time_line}{}\n{known}\n{}",
            heading(environment, recorded, &terminal),
            table(recorded, format == OutputFormat::Wide, &terminal)
        ),
    })?;
    Ok(())
}

/// Notes that the next snapshot was recorded within the requested second; empty if it was not. Times
/// are printed without a fraction, and a server may take such a time for the start of its second: then
/// the printed time of a snapshot finds the snapshot before it.
fn same_second_note(recorded: &RecordedSnapshot, requested: &SnapshotName) -> String {
    let Some((time, next)) = requested.time.zip(recorded.next_snapshot_timestamp) else {
        return String::new();
    };
    let is_in_this_second =
        time.subsec_nanosecond() == 0 && next - time.as_duration().as_secs_f64() < 1.0;
    if !is_in_this_second {
        return String::new();
    }
    let (name, next_index) = (replace_invisible(&requested.environment), recorded.index + 1);
    format!("Within the second after it {name}#{next_index} was recorded.\n\n")
}

/// The response with only the artifacts that `name` matches by their name, fingerprint or flow, both in
/// the document and in its JSON text.
fn filter_by_name(
    answer: &ApiResponse<RecordedSnapshot>,
    name: &ArtifactPattern,
) -> serde_json::Result<ApiResponse<RecordedSnapshot>> {
    let is_wanted = |artifact: &RecordedArtifact| {
        let mut flows = artifact.flows.iter().map(|flow| &*flow.flow_name);
        name.matches(artifact.fingerprint.as_deref().unwrap_or_default(), &artifact.name)
            || flows.any(|flow| name.matches("", flow))
    };
    let mut document = answer.document.clone();
    let wanted: Vec<_> = document.artifacts.iter().map(is_wanted).collect();
    let mut json: Value = serde_json::from_str(&answer.text)?;
    if let Some(artifacts) = json.get_mut("artifacts").and_then(Value::as_array_mut) {
        let mut wanted = wanted.iter();
        artifacts.retain(|_| wanted.next().copied().unwrap_or_default());
    }
    let mut wanted = wanted.iter();
    document.artifacts.retain(|_| wanted.next().copied().unwrap_or_default());
    Ok(ApiResponse { document, text: serde_json::to_string_pretty(&json)? })
}

/// `ENVIRONMENT#INDEX, recorded TIME`.
fn heading(environment: &str, recorded: &RecordedSnapshot, terminal: &Terminal) -> String {
    let name = format!("{}#{}", replace_invisible(environment), recorded.index);
    let recorded_at = terminal.time_and_age(recorded.timestamp);
    format!("{}, recorded {recorded_at}", terminal.paint(Colour::Bold, &name))
}

/// Lines below the heading: who reported the snapshot, until when it was confirmed and was the latest,
/// and which times no report covers.
fn coverage_lines(
    recorded: &RecordedSnapshot,
    requested: &SnapshotName,
    terminal: &Terminal,
) -> String {
    let mut text = String::new();
    if let Some(label) = recorded.reported_by.as_deref().filter(|label| !label.is_empty()) {
        let _infallible = writeln!(text, "Reported by {}", replace_invisible(label));
    }
    if let Some(until) = recorded.confirmed_until.filter(|until| *until > recorded.timestamp) {
        let _infallible = writeln!(text, "Confirmed until {}", terminal.time_and_age(until));
    }
    if let Some(next) = recorded.next_snapshot_timestamp {
        let _infallible =
            writeln!(text, "The latest until {}, #{}", terminal.time(next), recorded.index + 1);
    }
    // A past snapshot that is named by its number is requested without a time.
    let time = requested.moment().or_else(|| recorded.is_latest.then_some(terminal.now));
    text + &coverage::gap_lines(&recorded.gaps, time.unwrap_or(Timestamp::MIN), terminal)
}

/// A row for each artifact that ran, with more columns if `wide`.
pub(in crate::cli) fn table(
    recorded: &RecordedSnapshot,
    wide: bool,
    terminal: &Terminal,
) -> String {
    let has_first_seen =
        wide && recorded.running().any(|artifact| artifact.since.first_seen.is_some());
    let origins = wide && recorded.running().any(|artifact| origin_of_task(artifact).is_some());
    let states = recorded.running().any(|artifact| compliance_state(artifact).is_some());
    let mut rows: Vec<_> = recorded
        .running()
        .map(|artifact| artifact_row(artifact, wide, has_first_seen, terminal))
        .collect();
    if rows.is_empty() {
        return "Nothing ran.\n".to_owned();
    }
    let mut headings = vec!["COMMIT", "ARTIFACT", "PIPELINE"];
    if wide {
        headings.extend(["CLUSTER", "SERVICE", "TASK"]);
    }
    headings.push("STARTED");
    if has_first_seen {
        headings.extend(["FIRST_SEEN", "CONFIRMED_UNTIL"]);
    }
    headings.push("REPLICAS");
    if origins {
        headings.extend(task_origin::HEADINGS);
        for (row, artifact) in rows.iter_mut().zip(recorded.running()) {
            row.cells.extend(task_origin::cells(origin_of_task(artifact)));
        }
    }
    if states {
        headings.push("STATE");
        for (row, artifact) in rows.iter_mut().zip(recorded.running()) {
            row.cells.push(state_cell(artifact));
        }
    }
    artifact_table(&headings, 1, &rows, wide, terminal)
}

/// `has_first_seen`: there are columns for when an artifact was first seen and until when it was
/// confirmed.
fn artifact_row(
    artifact: &RecordedArtifact,
    wide: bool,
    has_first_seen: bool,
    terminal: &Terminal,
) -> ArtifactRow {
    let commit: Option<String> =
        artifact.git_commit.as_ref().map(|commit| commit.chars().take(7).collect());
    let mut cells = vec![
        or_not_available(commit.as_deref()),
        replace_invisible(&artifact.name),
        or_not_available(artifact.flow_name.as_deref()),
    ];
    if wide {
        let [clusters, services] = clusters_and_services(artifact);
        cells.extend([clusters, services, task_cell(artifact)]);
    }
    let format_time = |at| if wide { terminal.time(at) } else { terminal.age(at) };
    let or_unknown = |at: Option<f64>| at.map_or_else(|| NOT_AVAILABLE.to_owned(), format_time);
    cells.push(or_unknown(artifact.started().map(unix_secs)));
    let first_seen = first_seen(artifact, terminal);
    if has_first_seen {
        cells.push(first_seen.clone().unwrap_or_else(|| NOT_AVAILABLE.to_owned()));
        cells.push(or_unknown(artifact.since.confirmed_until));
    }
    cells.push(artifact.annotation.now.to_string());
    let note = first_seen.filter(|_| !wide).map(|it| format!("First seen: {it}"));
    ArtifactRow {
        cells,
        fingerprint: fingerprint_or_unknown(artifact.fingerprint.as_deref()),
        notes: note.into_iter().collect(),
    }
}

/// Where the task that the server returns for an artifact comes from: its task definition, what started
/// it, its launch type and zone.
pub(in crate::cli) fn origin_of_task(artifact: &RecordedArtifact) -> Option<&TaskOrigin> {
    artifact.ecs_context.as_ref()?.origin.as_ref()
}

/// When the artifact was first seen, and the first snapshot that contains it without interruption;
/// `None` if the server does not say it.
fn first_seen(artifact: &RecordedArtifact, terminal: &Terminal) -> Option<String> {
    let since = artifact.since;
    let at_the_latest = since.first_seen_at_the_latest.unwrap_or_default();
    let at = since::first_seen(since.first_seen?, at_the_latest, terminal);
    Some(match since.first_snapshot {
        Some(index) => format!("{at}, #{index}"),
        None => at,
    })
}

/// The compliance state of an artifact: that in the flow that first reported it if the server
/// returns it, else that by the policies of its environment, else whether it is compliant in that
/// flow. `None` if no pipeline has reported it and no policy covers it.
pub(super) fn compliance_state(artifact: &RecordedArtifact) -> Option<&str> {
    let compliance = |is_compliant| if is_compliant { "COMPLIANT" } else { "NON-COMPLIANT" };
    let flow = artifact.flows.first();
    let stated = flow.and_then(|flow| flow.state.as_deref());
    let in_flow = flow.and_then(|flow| flow.artifact_compliance_in_flow);
    stated.or_else(|| artifact.compliant.or(in_flow).map(compliance))
}

/// The compliance state, and whether the artifact started without provenance.
fn state_cell(artifact: &RecordedArtifact) -> String {
    let status = artifact.origin.as_ref().map(|origin| origin.status);
    let origin = status.filter(|status| matches!(status, Origin::Rogue | Origin::Late));
    let parts = [compliance_state(artifact), origin.map(Origin::as_str)];
    let parts: Vec<_> = parts.into_iter().flatten().map(replace_invisible).collect();
    if parts.is_empty() { NOT_AVAILABLE.to_owned() } else { parts.join(", ") }
}

fn or_not_available(text: Option<&str>) -> String {
    match text {
        Some(text) if !text.is_empty() => replace_invisible(text),
        _ => NOT_AVAILABLE.to_owned(),
    }
}

/// The names of the clusters, and those of the services, that run an artifact; each list is one text.
pub(in crate::cli) fn clusters_and_services(artifact: &RecordedArtifact) -> [String; 2] {
    let places = artifact.ecs_places.iter();
    let mut names: Vec<_> =
        places.map(|it| [it.cluster_name.as_deref(), it.service_name.as_deref()]).collect();
    if names.is_empty() {
        // The server returns only one.
        let context = artifact.ecs_context.as_ref();
        names.extend(context.map(|it| [it.cluster_name.as_deref(), it.service_name.as_deref()]));
    }
    [0, 1].map(|which| {
        let names: BTreeSet<_> = names.iter().map(|names| or_not_available(names[which])).collect();
        if names.is_empty() {
            return NOT_AVAILABLE.to_owned();
        }
        names.into_iter().collect::<Vec<_>>().join(", ")
    })
}

/// The id of the task that the server returns, and how many more replicas there are: `0123 and 2 more`.
fn task_cell(artifact: &RecordedArtifact) -> String {
    let context = artifact.ecs_context.as_ref();
    let id = context.and_then(|context| context.task_arn.rsplit('/').next());
    match artifact.annotation.now.saturating_sub(1) {
        more if more > 0 && id.is_some() => format!("{} and {more} more", or_not_available(id)),
        _ => or_not_available(id),
    }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::cli::terminal::tests::berlin;

    const REGISTRY: &str = "274425519734.dkr.ecr.eu-central-1.amazonaws.com";

    fn snapshot_with(artifacts: &Value) -> RecordedSnapshot {
        serde_json::from_value(json!({
            "index": 65, "timestamp": 1_661_161_162.48, "type": "ECS", "artifacts": artifacts,
        }))
        .unwrap()
    }

    fn aws_prod_snapshot() -> RecordedSnapshot {
        snapshot_with(&json!([
            {"name": format!("{REGISTRY}/runner:16d9990"), "flow_name": "runner",
             "git_commit": "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4",
             "fingerprint": "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625",
             "creationTimestamp": [1_661_161_157, 1_661_161_160, 1_661_161_160],
             "annotation": {"type": "unchanged", "was": 3, "now": 3},
             "ecs_context": {"task_arn": "arn:aws:ecs:eu-central-1:274425519734:task/app/0123",
                             "cluster_name": "app", "service_name": "runner"}},
            {"name": "envoy", "fingerprint": "", "creationTimestamp": [1_661_027_563],
             "annotation": {"type": "unchanged", "was": 1, "now": 1}},
            {"name": "gone:1", "fingerprint": "ab", "creationTimestamp": [],
             "annotation": {"type": "exited", "was": 1, "now": 0}},
        ]))
    }

    #[test]
    fn snapshot_is_printed_as_heading_and_table_that_wraps_long_names_at_100_columns() {
        let snapshot = aws_prod_snapshot();
        assert_eq!(
            heading("aws-prod", &snapshot, &berlin()),
            "aws-prod#65, recorded Mon, 22 Aug 2022 11:39:22 CEST • 11 days ago"
        );
        assert_eq!(
            table(&snapshot, false, &berlin()),
            "\
COMMIT   ARTIFACT                                                    PIPELINE  STARTED      REPLICAS
16d9990  Name: 274425519734.dkr.ecr.eu-central-1.amazonaws.com/      runner    11 days ago  3
               runner:16d9990
         SHA256: 9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625

N/A      Name: envoy                                                 N/A       12 days ago  1
         SHA256: unknown
"
        );
    }

    #[test]
    fn long_artifact_name_is_on_one_line_if_terminal_is_wide_or_output_is_wide() {
        let expected = "\
COMMIT   ARTIFACT                                                                  PIPELINE  \
STARTED      REPLICAS
16d9990  Name: 274425519734.dkr.ecr.eu-central-1.amazonaws.com/runner:16d9990      runner    \
11 days ago  3
";
        let roomy = Terminal { width: 140, ..berlin() };
        let output = table(&aws_prod_snapshot(), false, &roomy);
        assert!(output.starts_with(expected), "{output}");
        let output = table(&aws_prod_snapshot(), true, &berlin());
        assert!(
            output.contains("/runner:16d9990      runner    app      runner   0123 and 2 more  Mon, 22 Aug 2022 11:39:17 CEST  3"),
            "{output}"
        );
    }

    #[test]
    fn wide_table_names_every_cluster_and_service_of_an_artifact() {
        let place = |cluster, service: Option<&str>| {
            json!({
                "cluster_name": cluster, "service_name": service, "replicas": 1,
            })
        };
        let snapshot = snapshot_with(&json!([
            {"name": "web", "fingerprint": "", "creationTimestamp": [1_661_161_157, 1_661_161_160],
             "annotation": {"type": "unchanged", "was": 3, "now": 3},
             "ecs_context": {"task_arn": "t1", "cluster_name": "app", "service_name": "s1"},
             "ecs_places": [place("app", Some("s1")), place("app", Some("s2")), place("jobs", None)]},
        ]));
        let output = table(&snapshot, true, &berlin());
        assert!(output.contains("  app, jobs  N/A, s1, s2  t1 and 2 more  Mon"), "{output}");
    }

    #[test]
    fn table_replaces_control_characters_and_wraps_long_names_at_any_terminal_width() {
        let name = format!("{}\u{1b}[2J\n{}", "x".repeat(300), "日本".repeat(40));
        let pipeline = "a-pipeline-whose-name-is-long-as-well";
        let fingerprint = "cd".repeat(32);
        let snapshot = snapshot_with(&json!([
            {"name": name, "fingerprint": fingerprint, "flow_name": pipeline, "git_commit": "é",
             "creationTimestamp": [i64::MIN], "annotation": {"type": "changed", "was": 0, "now": u64::MAX}},
        ]));
        for width in [0, 40, 80, 100] {
            let output = table(&snapshot, false, &Terminal { width, ..berlin() });
            assert!(!output.contains('\u{1b}'), "{output}");
            assert!(output.contains(&format!("SHA256: {fingerprint}\n")), "{output}");
            let widest = output.lines().map(UnicodeWidthStr::width).max().unwrap();
            assert!(width < 100 || widest <= 120, "{widest}: {output}");
        }
        assert_eq!(table(&snapshot_with(&json!([])), false, &berlin()), "Nothing ran.\n");
    }
}

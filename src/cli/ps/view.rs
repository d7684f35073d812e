//! Output of `envsnap ps`.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::cli::OutputFormat;
use crate::cli::artifact_table::{self, artifact_table};
use crate::cli::csv::{self, Column};
use crate::cli::escape::{escape_json, replace_invisible};
use crate::cli::tables::{self, fingerprint_or_unknown};
use crate::cli::terminal::Terminal;
use crate::recorder::text::{pluralize, unix_secs};
use crate::report::{Calls, Explanation, Inventory, RunningArtifact};

/// The document of `-o json`.
#[derive(Serialize)]
struct Document<'a> {
    account: Option<&'a str>,
    region: Option<&'a str>,
    content_hash: Option<&'a str>,
    tasks: Option<usize>,
    containers: Option<usize>,
    artifacts: &'a [RunningArtifact],
    /// The names of artifacts without a known digest.
    unresolved: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    explanations: Option<&'a [Explanation]>,
    /// To ECS.
    calls: u32,
    duration_ms: u64,
}

const CSV_COLUMNS: [Column; 6] = [
    Column::Text("artifact", "/name"),
    Column::Text("fingerprint", "/fingerprint"),
    Column::Text("replicas", "/replicas"),
    Column::Text("digest_from", "/digest_source"),
    Column::Time("started", "/running_since"),
    Column::Text("places", "/places"),
];

pub(super) fn render(
    inventory: &Inventory,
    format: OutputFormat,
    terminal: &Terminal,
) -> anyhow::Result<String> {
    Ok(match format {
        OutputFormat::Csv => {
            let rows = inventory.artifacts.iter().map(csv_row);
            csv::list(&CSV_COLUMNS, &rows.collect::<Result<Vec<_>, _>>()?)?
        }
        OutputFormat::Json => {
            escape_json(&serde_json::to_string_pretty(&Document::from(inventory))?)
        }
        format => table(inventory, format == OutputFormat::Wide, terminal),
    })
}

/// The artifact's JSON, with each of its places as `CLUSTER/SERVICE`.
fn csv_row(artifact: &RunningArtifact) -> serde_json::Result<Value> {
    let places = artifact.places.iter().map(|place| {
        let service = place.service.as_deref().unwrap_or("-");
        format!("{}/{service}", place.cluster)
    });
    let mut row = serde_json::to_value(artifact)?;
    row["places"] = places.collect();
    Ok(row)
}

impl<'a> From<&'a Inventory> for Document<'a> {
    fn from(inventory: &'a Inventory) -> Self {
        let outcome = &inventory.outcome;
        Self {
            account: inventory.account.as_deref(),
            region: inventory.region.as_deref(),
            content_hash: outcome.content_hash.as_deref(),
            tasks: outcome.tasks,
            containers: outcome.containers,
            artifacts: &inventory.artifacts,
            unresolved: &outcome.unresolved,
            explanations: outcome.explanations.as_deref(),
            calls: outcome.calls.ecs,
            duration_ms: outcome.duration_ms,
        }
    }
}

fn table(inventory: &Inventory, wide: bool, terminal: &Terminal) -> String {
    let rows: Vec<_> =
        inventory.artifacts.iter().map(|artifact| artifact_row(artifact, wide, terminal)).collect();
    let mut headings = vec!["ARTIFACT", "CLUSTER", "SERVICE"];
    if wide {
        headings.push("DIGEST_FROM");
    }
    headings.extend(["STARTED", "REPLICAS"]);
    let mut text = format!("{}\n\n", heading(inventory));
    if rows.is_empty() {
        text.push_str("Nothing runs.\n");
    } else {
        text.push_str(&artifact_table(&headings, 0, &rows, wide, terminal));
    }
    if let Some(explanations) = &inventory.outcome.explanations {
        text.push('\n');
        text.push_str(&tables::explanations(explanations, (!wide).then_some(terminal.width)));
    }
    text
}

/// Account and region, and how many containers, artifacts and calls to ECS there were.
fn heading(inventory: &Inventory) -> String {
    let outcome = &inventory.outcome;
    let account = inventory.account.as_deref().unwrap_or("not known");
    let region = inventory.region.as_deref().unwrap_or("not known");
    let Calls { ecs, .. } = outcome.calls;
    format!(
        "Account {}, region {}: {} of {} ({} to ECS, {} ms)",
        replace_invisible(account),
        replace_invisible(region),
        pluralize(outcome.containers.unwrap_or(0), "container"),
        pluralize(inventory.artifacts.len(), "artifact"),
        pluralize(ecs, "call"),
        outcome.duration_ms
    )
}

fn artifact_row(
    running: &RunningArtifact,
    wide: bool,
    terminal: &Terminal,
) -> artifact_table::ArtifactRow {
    let RunningArtifact { artifact, running_since, places } = running;
    let clusters: BTreeSet<_> =
        places.iter().map(|place| replace_invisible(&place.cluster)).collect();
    let services: BTreeSet<_> = places
        .iter()
        .map(|place| replace_invisible(place.service.as_deref().unwrap_or("-")))
        .collect();
    let listed = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
    let mut cells = vec![replace_invisible(&artifact.name), listed(clusters), listed(services)];
    if wide {
        cells.push(artifact.digest_source.to_string());
    }
    let since = unix_secs(*running_since);
    cells.push(if wide { terminal.time(since) } else { terminal.age(since) });
    cells.push(artifact.replicas.to_string());
    let fingerprint = artifact.fingerprint.map(|fingerprint| fingerprint.to_string());
    artifact_table::ArtifactRow {
        cells,
        fingerprint: fingerprint_or_unknown(fingerprint.as_deref()),
        notes: Vec::new(),
    }
}

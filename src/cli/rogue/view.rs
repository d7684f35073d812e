//! Output of `envsnap rogue`.

use std::fmt::Write as _;

use envsnap_model::provenance::Origin;
use serde_json::{Value, json};

use super::finding::{Allowed, Finding, NonCompliance};
use super::registry::{Lookup, RelatedArtifact, Relation};
use crate::cli::artifact_table::{ArtifactRow, artifact_table};
use crate::cli::csv::{self, Column};
use crate::cli::env::{clusters_and_services, origin_of_task};
use crate::cli::escape::{escape_json, replace_invisible};
use crate::cli::tables::fingerprint_or_unknown;
use crate::cli::task_origin;
use crate::cli::terminal::Terminal;
use crate::recorder::text::{humanize_duration, pluralize};

const NOT_AVAILABLE: &str = "N/A";

const CSV_COLUMNS: [Column; 11] = [
    Column::Text("status", "/status"),
    Column::Text("artifact", "/name"),
    Column::Text("fingerprint", "/fingerprint"),
    Column::Text("replicas", "/replicas"),
    Column::Time("first_started", "/first_started"),
    Column::Text("places", "/places"),
    Column::Text("pipelines", "/pipelines"),
    Column::Text("allowed", "/allowed/reason"),
    Column::Text("task_definition", "/task_origin/task_definition"),
    Column::Text("started_by", "/task_origin/started_by"),
    Column::Text("registry_error", "/registry_error"),
];

/// The findings in a snapshot, as `envsnap rogue` prints them.
pub(super) struct RogueReport<'a> {
    pub(super) snapshot: &'a str,
    pub(super) findings: &'a [Finding<'a>],
    /// How many artifacts run.
    pub(super) count: u64,
    /// Evidence was looked at.
    pub(super) evidence: bool,
    /// The server does not say where artifacts come from.
    pub(super) is_derived: bool,
}

impl RogueReport<'_> {
    pub(super) fn text(&self, wide: bool, terminal: &Terminal) -> String {
        let rows: Vec<_> =
            self.findings.iter().map(|finding| self.row(finding, wide, terminal)).collect();
        let mut text = String::new();
        if !rows.is_empty() {
            let headings = ["STATUS", "ARTIFACT", "WHERE", "STARTED", "REPLICAS"];
            text.push_str(&artifact_table(&headings, 1, &rows, wide, terminal));
            text.push('\n');
        }
        text.push_str(&self.summary());
        if self.is_derived {
            text.push_str(
                "The server does not say where artifacts come from. This follows from its pipelines and \
                 its\nallow-list, and from the starts of the replicas that run now.\n",
            );
        }
        text
    }

    /// A sentence with the number of findings of each status.
    fn summary(&self) -> String {
        let snapshot = replace_invisible(self.snapshot);
        let of = format!("{} of {snapshot}", pluralize(self.count, "artifact"));
        let mut kinds: Vec<(&str, usize)> = Vec::new();
        for finding in self.findings {
            let status = finding.status(self.evidence);
            match kinds.iter_mut().find(|(kind, _)| *kind == status) {
                Some((_, count)) => *count += 1,
                None => kinds.push((status, 1)),
            }
        }
        if kinds.is_empty() {
            let evidence = if self.evidence { ", and lacks no evidence" } else { "" };
            return format!("Of {of} each was reported before it started{evidence}.\n");
        }
        let kinds: Vec<_> = kinds
            .iter()
            .map(|(kind, count)| format!("{count} {}", replace_invisible(kind)))
            .collect();
        format!("{} among {of}.\n", kinds.join(", "))
    }

    fn row(&self, finding: &Finding<'_>, wide: bool, terminal: &Terminal) -> ArtifactRow {
        let artifact = finding.artifact;
        let [clusters, services] = clusters_and_services(artifact);
        let started = finding.first_started;
        let format_start = |at| if wide { terminal.time(at) } else { terminal.age(at) };
        let cells = vec![
            replace_invisible(finding.status(self.evidence)),
            replace_invisible(&artifact.name),
            format!("{clusters}/{services}"),
            started.map_or_else(|| NOT_AVAILABLE.to_owned(), format_start),
            artifact.annotation.now.to_string(),
        ];
        ArtifactRow {
            cells,
            fingerprint: fingerprint_or_unknown(artifact.fingerprint.as_deref()),
            notes: self.notes(finding, terminal),
        }
    }

    /// The lines below an artifact: why it has its status, its latest task, what its registry says, and
    /// the flows in which it is not compliant.
    fn notes(&self, finding: &Finding<'_>, terminal: &Terminal) -> Vec<String> {
        let time = |at: Option<f64>| terminal.time(at.unwrap_or_default());
        let started = time(finding.first_started);
        let mut notes = Vec::new();
        match finding.origin {
            Origin::Rogue => {
                notes.push(format!("started {started}; no pipeline has reported it"));
            }
            Origin::Late => {
                let delay = humanize_duration(finding.delay.unwrap_or_default());
                let flow = finding.artifact.flows.first().map(|flow| &flow.flow_name);
                let flow = flow.or(finding.related().map(|related| &related.flow));
                let flow = flow.map_or("", String::as_str);
                notes.push(format!(
                    "started {started}; reported by pipeline {} {delay} after that",
                    replace_invisible(flow)
                ));
            }
            Origin::Unknown => {
                notes.push("it has no digest, so it cannot be checked".to_owned());
            }
            Origin::Allowed => notes.push(Self::allowed_note(finding, terminal)),
            Origin::Known => {}
        }
        let origin = origin_of_task(finding.artifact).and_then(task_origin::describe);
        notes.extend(origin.map(|origin| format!("its latest task: {origin}")));
        notes.extend(finding.lookup.as_ref().and_then(lookup_note));
        if self.evidence {
            notes.extend(finding.non_compliances().iter().map(non_compliance_note));
        }
        notes
    }

    fn allowed_note(finding: &Finding<'_>, terminal: &Terminal) -> String {
        match &finding.allowed {
            Some(Allowed::Listed(entry)) => {
                let mut note = "allowed".to_owned();
                if !entry.user_name.is_empty() {
                    let _infallible = write!(note, " by {}", replace_invisible(&entry.user_name));
                }
                let _infallible = write!(note, " on {}", terminal.time(entry.timestamp));
                if let Some(pattern) = &entry.name_pattern {
                    let _infallible = write!(note, " as {}", replace_invisible(pattern));
                }
                if !entry.description.is_empty() {
                    let _infallible = write!(note, ": {}", replace_invisible(&entry.description));
                }
                note
            }
            Some(Allowed::Reason(reason)) => format!("allowed: {}", replace_invisible(reason)),
            None => "allowed".to_owned(),
        }
    }

    /// A document of our own: it combines several responses of the server.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        let artifacts: Vec<_> = self.findings.iter().map(Self::artifact_json).collect();
        let document = json!({
            "snapshot": self.snapshot, "derived": self.is_derived, "running": self.count,
            "artifacts": artifacts,
        });
        Ok(escape_json(&serde_json::to_string_pretty(&document)?))
    }

    pub(super) fn csv(&self) -> anyhow::Result<String> {
        csv::list(&CSV_COLUMNS, &self.findings.iter().map(Self::artifact_json).collect::<Vec<_>>())
    }

    fn artifact_json(finding: &Finding<'_>) -> Value {
        let artifact = finding.artifact;
        let context = artifact.ecs_context.as_ref();
        let places: Vec<_> = if artifact.ecs_places.is_empty() {
            let place = |it: &crate::api::wire::EcsContext| {
                json!({
                    "cluster": it.cluster_name, "service": it.service_name,
                    "replicas": artifact.annotation.now,
                })
            };
            context.map(place).into_iter().collect()
        } else {
            let places = artifact.ecs_places.iter();
            let place = |it: &crate::api::wire::EcsPlace| json!({"cluster": it.cluster_name, "service": it.service_name, "replicas": it.replicas});
            places.map(place).collect()
        };
        let allowed = finding.allowed.as_ref().map(|allowed| match allowed {
            Allowed::Listed(entry) => json!({
                "reason": entry.description, "by": entry.user_name, "at": entry.timestamp,
                "id": entry.id, "pattern": entry.name_pattern,
            }),
            Allowed::Reason(reason) => json!({"reason": reason}),
        });
        let evidence = |it: &NonCompliance<'_>| json!({"pipeline": it.flow, "state": it.state, "problems": it.problems});
        json!({
            "status": finding.origin.as_str(),
            "name": artifact.name,
            "fingerprint": artifact.fingerprint,
            "places": places,
            "first_started": finding.first_started,
            "delay": finding.delay,
            "task_origin": origin_of_task(artifact),
            "replicas": artifact.annotation.now,
            "pipelines": artifact.flows.iter().map(|flow| &flow.flow_name).collect::<Vec<_>>(),
            "allowed": allowed,
            "related": finding.related().map(|it| json!({
                "relation": it.relation.as_str(), "fingerprint": it.fingerprint, "name": it.name,
                "pipeline": it.flow,
            })),
            "registry_error": match &finding.lookup {
                Some(Lookup::Failed(error)) => Some(error),
                _ => None,
            },
            "evidence": finding.non_compliances().iter().map(evidence).collect::<Vec<_>>(),
        })
    }
}

/// The result of a lookup in a registry, in words; `None` if nothing was found.
fn lookup_note(lookup: &Lookup) -> Option<String> {
    match lookup {
        Lookup::Found(RelatedArtifact { relation, fingerprint, name, flow, .. }) => {
            let what = match relation {
                Relation::Index => "a platform of the index",
                Relation::Platform => "the index of",
            };
            Some(format!(
                "{what} {} of pipeline {}, {}",
                replace_invisible(name),
                replace_invisible(flow),
                replace_invisible(fingerprint)
            ))
        }
        Lookup::NotFound => None,
        Lookup::Failed(error) => {
            Some(format!("its registry does not say more: {}", replace_invisible(error)))
        }
    }
}

fn non_compliance_note(evidence: &NonCompliance<'_>) -> String {
    let NonCompliance { flow, state, problems } = evidence;
    let (flow, state) = (replace_invisible(flow), replace_invisible(state));
    if problems.is_empty() {
        return format!("pipeline {flow}: {state}");
    }
    let problems: Vec<_> = problems.iter().map(|name| replace_invisible(name)).collect();
    format!("pipeline {flow}: {state}, missing or non-compliant: {}", problems.join(", "))
}

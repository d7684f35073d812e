//! `envsnap rogue`: what runs without anything behind it.

mod finding;
mod registry;
mod view;

use std::collections::BTreeMap;

use envsnap_model::provenance::Origin;

use super::expression::{SNAPSHOT_SYNTAX, SnapshotName, first_line};
use super::server_args::{Connection, ServerArgs};
use super::{ExitStatus, OutputFormat, print};
use crate::api::ServerApi as _;
use crate::api::wire::RecordedSnapshot;
use finding::Finding;

/// List what runs that no pipeline had reported when it started
///
/// rogue: no pipeline has reported it. late: one did, but only after it had started. unknown: it has no
/// digest. allowed: envsnap allow lists it, or it is a sidecar that AWS itself adds.
///
/// The exit code is 1 if anything is rogue or late, and with --evidence also if anything runs whose
/// evidence is missing or non-compliant.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{SNAPSHOT_SYNTAX}\n
Examples:
  envsnap rogue aws-prod
  envsnap rogue aws-prod --evidence
  envsnap rogue aws-prod --registry
  envsnap rogue aws-prod -o json | jq '.artifacts[] | select(.status == \"rogue\")'"))]
pub(super) struct Arguments {
    /// Of which environment or snapshot
    #[arg(value_name = "SNAPSHOT")]
    snapshot: SnapshotName,
    /// List also what was reported in time, and lacks evidence or has some against it
    #[arg(long)]
    evidence: bool,
    #[arg(
        long,
        help = "Ask the registry of each rogue image whether it is a platform's manifest of an index that \
                a pipeline reported, or an index of which every platform was reported; with the \
                credentials that docker login keeps"
    )]
    registry: bool,
    #[command(flatten)]
    args: ServerArgs,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitStatus> {
    let Arguments { snapshot, evidence, registry, args } = arguments;
    let SnapshotName { environment, expression, .. } = &snapshot;
    let connection = args.connect().await?;
    let client = connection.client.environment(environment, None);
    // Those with a known origin are only listed for their evidence.
    let origins = Origin::ALL.into_iter().filter(|origin| !evidence && *origin != Origin::Known);
    let origins: Vec<_> = origins.collect();
    let recorded = client.snapshot_with_origins(expression, &origins).await?.document;
    let is_derived = recorded.running().any(|artifact| artifact.origin.is_none());
    let any_allowed = recorded
        .running()
        .any(|artifact| artifact.origin.as_ref().is_some_and(|origin| origin.allowed.is_some()));
    let allowances = if is_derived || any_allowed {
        connection.client.allowances().await?.document
    } else {
        Vec::new()
    };
    let first_reports = fetch_first_reports(&connection, &recorded).await?;
    let mut findings: Vec<_> = recorded
        .running()
        .map(|artifact| Finding::new(artifact, environment, &allowances, &first_reports))
        .collect();
    // A recorder that returned only some artifacts counts all that run.
    let count = if evidence || is_derived {
        findings.len() as u64
    } else {
        recorded.artifact_compliance_count.values().copied().fold(0, u64::saturating_add)
    };
    if registry {
        registry::look_up_rogue_images(&connection.client, &mut findings).await;
    }
    findings.retain(|it| {
        it.origin != Origin::Known
            || it.related().is_some()
            || (evidence && !it.non_compliances().is_empty())
    });
    let rank = |it: &Finding<'_>| match it.origin {
        Origin::Rogue => 0,
        Origin::Late => 1,
        Origin::Known => 2,
        Origin::Unknown => 3,
        Origin::Allowed => 4,
    };
    findings.sort_by_key(rank);
    let name = format!("{environment}#{}", recorded.index);
    let shown =
        view::RogueReport { snapshot: &name, findings: &findings, count, evidence, is_derived };
    print(&match args.output {
        OutputFormat::Json => shown.json()?,
        OutputFormat::Csv => shown.csv()?,
        format => {
            let terminal = args.terminal();
            let time_line = first_line([("", snapshot.time)], &terminal);
            time_line + &shown.text(format == OutputFormat::Wide, &terminal)
        }
    })?;
    let is_bad =
        |it: &Finding<'_>| it.origin.is_rogue() || (evidence && !it.non_compliances().is_empty());
    Ok(if findings.iter().any(is_bad) { ExitStatus::Different } else { ExitStatus::Success })
}

/// Fetches when artifacts were first reported, in seconds since the Unix epoch and by fingerprint: only
/// of those of which the snapshot does not say it.
async fn fetch_first_reports(
    connection: &Connection,
    recorded: &RecordedSnapshot,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let mut first_reports: BTreeMap<String, f64> = BTreeMap::new();
    for artifact in recorded.running().filter(|artifact| artifact.origin.is_none()) {
        let fingerprint = artifact.fingerprint.as_deref().unwrap_or_default();
        for flow in artifact.flows.iter().filter(|flow| flow.reported_at.is_none()) {
            let client = &connection.client;
            let found = client.artifact_by_fingerprint(&flow.flow_name, fingerprint).await?;
            let Ok(created) = found.document.created_at.parse::<f64>() else { continue };
            let first = first_reports.entry(fingerprint.to_owned()).or_insert(created);
            *first = first.min(created);
        }
    }
    Ok(first_reports)
}

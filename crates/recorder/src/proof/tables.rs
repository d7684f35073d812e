//! The tables of a bundle, as CSV.

use std::io;

use envsnap_model::provenance::Origin;

use super::content::{Content, Run, unique_attestations};
use crate::domain::provenance::ReportRecord;
use crate::domain::{FirstTime, Micros, SnapshotArtifact};
use crate::text::csv_table as table;

/// In hexadecimal digits; empty if it is unknown.
fn fingerprint(artifact: &SnapshotArtifact) -> String {
    artifact.fingerprint.map(|known| known.to_string()).unwrap_or_default()
}

/// What each flow reported of an artifact; the flow that reported first comes first.
pub(super) fn reports(artifact: &SnapshotArtifact) -> &[ReportRecord] {
    artifact.provenance.as_ref().map_or(&[], |known| &known.flows)
}

/// The table of what ran, and when.
pub(super) fn runs_csv(content: &Content) -> io::Result<Vec<u8>> {
    let header = [
        "artifact",
        "fingerprint",
        "replicas",
        "from_snapshot",
        "from",
        "ran_before",
        "to_snapshot",
        "to",
        "started",
        "first_snapshot",
        "first_seen",
        "first_seen_at_the_latest",
        "confirmed_until",
        "first_time_here",
        "origin",
        "allowed_reason",
        "allowed_by",
        "pipeline",
        "commit",
        "state",
        "problems",
    ];
    let row = |run: Run<'_>| {
        let report = reports(run.artifact).first();
        let allowed = content.allowed(run.artifact);
        let first_seen = run.first_seen;
        vec![
            run.artifact.name.clone(),
            fingerprint(run.artifact),
            run.replicas.to_string(),
            run.from.0.to_string(),
            run.from.1.rfc3339(),
            run.since_before.to_string(),
            run.to.map(|(index, _)| index.to_string()).unwrap_or_default(),
            run.to.map(|(_, at)| at.rfc3339()).unwrap_or_default(),
            run.started
                .map(|at| Micros(at.saturating_mul(1_000_000)).rfc3339())
                .unwrap_or_default(),
            first_seen.map(|(index, _)| index.to_string()).unwrap_or_default(),
            first_seen.map(|(_, at)| at.rfc3339()).unwrap_or_default(),
            first_seen.map(|(index, _)| (index == 1).to_string()).unwrap_or_default(),
            run.confirmed_until.rfc3339(),
            run.first_time.map_or("", FirstTime::as_str).to_owned(),
            content.origin(run.artifact).map_or("", Origin::as_str).to_owned(),
            allowed.map_or("", |(reason, _)| reason).to_owned(),
            allowed.and_then(|(_, by)| by).map(|by| by.allowed_by.clone()).unwrap_or_default(),
            report.map(|report| report.flow.clone()).unwrap_or_default(),
            report.map(|report| report.commit.clone()).unwrap_or_default(),
            report.map(|report| report.state.as_str().to_owned()).unwrap_or_default(),
            report.map(|report| report.problems.join(" ")).unwrap_or_default(),
        ]
    };
    table(&header, content.runs().into_iter().map(row))
}

/// The table of what changed with each snapshot after the first.
pub(super) fn events_csv(content: &Content) -> io::Result<Vec<u8>> {
    let header = [
        "snapshot",
        "recorded_at",
        "artifact",
        "fingerprint",
        "was",
        "now",
        "first_time_here",
        "reported_by",
    ];
    let rows = content.events().iter().map(|event| {
        vec![
            event.index.to_string(),
            event.recorded_at.rfc3339(),
            event.artifact.name.clone(),
            fingerprint(&event.artifact),
            event.artifact.was.to_string(),
            event.artifact.now.to_string(),
            event.first_time_here().map_or("", FirstTime::as_str).to_owned(),
            content.reported_by(event.index).to_owned(),
        ]
    });
    table(&header, rows)
}

/// The table of the snapshots, who reported them, and their entries in the ledger.
pub(super) fn snapshots_csv(content: &Content) -> io::Result<Vec<u8>> {
    let header = [
        "snapshot",
        "recorded_at",
        "until",
        "confirmed_until",
        "reported_by",
        "ledger_seq",
        "ledger_hash",
    ];
    let rows = content.spans().iter().map(|span| {
        let entry = content.entry(span.index);
        vec![
            span.index.to_string(),
            span.from.rfc3339(),
            span.to.map(Micros::rfc3339).unwrap_or_default(),
            span.confirmed_until.rfc3339(),
            content.reported_by(span.index).to_owned(),
            entry.map(|entry| entry.seq.to_string()).unwrap_or_default(),
            entry.map(|entry| entry.hash.to_string()).unwrap_or_default(),
        ]
    });
    table(&header, rows)
}

/// The table of the times that no report covers.
pub(super) fn gaps_csv(content: &Content) -> io::Result<Vec<u8>> {
    let rows = content
        .gaps()
        .map(|gap| vec![gap.from.rfc3339(), gap.until.map(Micros::rfc3339).unwrap_or_default()]);
    table(&["from", "until"], rows)
}

/// The table of the attestations of what ran.
pub(super) fn evidence_csv(content: &Content) -> io::Result<Vec<u8>> {
    let header = [
        "artifact",
        "fingerprint",
        "name",
        "type",
        "compliant",
        "reported_at",
        "reported_by",
        "pipeline",
        "trail",
        "file_sha256",
        "attestation",
    ];
    let rows = content.cards().iter().flat_map(|card| {
        unique_attestations(card).map(|attestation| {
            let compliant = attestation.is_compliant.map(|it| it.to_string());
            vec![
                card.name.clone(),
                card.fingerprint.clone(),
                attestation.name.clone(),
                attestation.kind.clone(),
                compliant.unwrap_or_default(),
                attestation.reported_at.rfc3339(),
                attestation.reported_by.clone(),
                attestation.flow.clone(),
                attestation.trail.clone(),
                attestation.attachment.as_ref().map(|file| file.sha256.clone()).unwrap_or_default(),
                attestation.id.to_string(),
            ]
        })
    });
    table(&header, rows)
}

//! The tables of a bundle, as CSV.

use std::io;

use envsnap_model::provenance::Origin;

use super::content::{Content, Run, unique_attestations};
use crate::domain::provenance::ReportRecord;
use crate::domain::{Micros, SnapshotArtifact};
use crate::text::csv_table as table;

fn fingerprint(artifact: &SnapshotArtifact) -> String {
    artifact.fingerprint.map(|known| known.to_string()).unwrap_or_default()
}

pub(super) fn first_report(artifact: &SnapshotArtifact) -> Option<&ReportRecord> {
    artifact.provenance.as_ref()?.flows.first()
}

/// What ran, and when.
pub(super) fn runs(content: &Content) -> io::Result<Vec<u8>> {
    let header = [
        "artifact",
        "fingerprint",
        "replicas",
        "from_snapshot",
        "from",
        "ran_before",
        "to_snapshot",
        "to",
        "origin",
        "flow",
        "commit",
        "state",
    ];
    let row = |run: Run<'_>| {
        let report = first_report(run.artifact);
        vec![
            run.artifact.name.clone(),
            fingerprint(run.artifact),
            run.replicas.to_string(),
            run.from.0.to_string(),
            run.from.1.rfc3339(),
            run.since_before.to_string(),
            run.to.map(|(index, _)| index.to_string()).unwrap_or_default(),
            run.to.map(|(_, at)| at.rfc3339()).unwrap_or_default(),
            content.origin(run.artifact).map_or("", Origin::as_str).to_owned(),
            report.map(|report| report.flow.clone()).unwrap_or_default(),
            report.map(|report| report.commit.clone()).unwrap_or_default(),
            report.map(|report| report.state.as_str().to_owned()).unwrap_or_default(),
        ]
    };
    table(&header, content.runs().into_iter().map(row))
}

/// What changed with each snapshot after the first.
pub(super) fn events(content: &Content) -> io::Result<Vec<u8>> {
    let header = ["snapshot", "recorded_at", "artifact", "fingerprint", "was", "now"];
    let rows = content.events().iter().map(|event| {
        vec![
            event.index.to_string(),
            event.recorded_at.rfc3339(),
            event.artifact.name.clone(),
            fingerprint(&event.artifact),
            event.artifact.was.to_string(),
            event.artifact.now.to_string(),
        ]
    });
    table(&header, rows)
}

/// The times that no report covers.
pub(super) fn gaps(content: &Content) -> io::Result<Vec<u8>> {
    let rows = content
        .gaps()
        .map(|gap| vec![gap.from.rfc3339(), gap.until.map(Micros::rfc3339).unwrap_or_default()]);
    table(&["from", "until"], rows)
}

/// The evidence for what ran.
pub(super) fn evidence(content: &Content) -> io::Result<Vec<u8>> {
    let header = [
        "artifact",
        "fingerprint",
        "name",
        "type",
        "compliant",
        "reported_at",
        "reported_by",
        "flow",
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

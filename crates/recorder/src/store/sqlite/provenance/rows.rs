//! Rows of the tables of provenance, and how they are read.

use std::sync::Arc;

use envsnap_model::provenance::ReportedAttestation;
use rusqlite::Row;

use super::super::json::Json;
use super::projection::template;
use crate::domain::Micros;
use crate::domain::provenance::StoredTemplate;

/// A row of table `flow`: the columns that are read for each artifact of the flow.
pub(super) struct FlowRow {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) template: Option<Arc<StoredTemplate>>,
}

/// SQL: the columns that [`flow`] reads.
pub(super) const SELECT_FLOW: &str = "SELECT id, name, template FROM flow";

/// Reads a row of [`SELECT_FLOW`].
pub(super) fn flow(row: &Row<'_>) -> rusqlite::Result<FlowRow> {
    Ok(FlowRow {
        id: row.get(0)?,
        name: row.get(1)?,
        template: template(row.get(2)?).map(Arc::new),
    })
}

/// A row of table `trail`: the columns that are read for each artifact in the trail.
pub(super) struct TrailRow {
    pub(super) id: i64,
    pub(super) flow: i64,
    pub(super) name: String,
    /// A JSON object.
    pub(super) details: String,
    pub(super) template: Option<Arc<StoredTemplate>>,
    pub(super) created_at: Micros,
    pub(super) changed_at: Micros,
}

/// SQL: the columns that [`trail`] reads.
pub(super) const SELECT_TRAIL: &str =
    "SELECT id, flow_id, name, details, template, created_at, changed_at FROM trail";

/// Reads a row of [`SELECT_TRAIL`].
pub(super) fn trail(row: &Row<'_>) -> rusqlite::Result<TrailRow> {
    Ok(TrailRow {
        id: row.get(0)?,
        flow: row.get(1)?,
        name: row.get(2)?,
        details: row.get(3)?,
        template: template(row.get(4)?).map(Arc::new),
        created_at: Micros(row.get(5)?),
        changed_at: Micros(row.get(6)?),
    })
}

/// A row of table `artifact_report`.
#[derive(Debug, Clone)]
pub(super) struct ReportRow {
    pub(super) seq: i64,
    pub(super) flow: i64,
    pub(super) trail: Option<i64>,
    pub(super) fingerprint: String,
    pub(super) name: String,
    pub(super) commit: String,
    pub(super) template_name: Option<String>,
    pub(super) recorded_at: Micros,
}

/// An artifact in a trail, as attestations name it: the trail, the fingerprint and the commit.
pub(super) type ArtifactInTrail = (i64, String, String);

impl ReportRow {
    /// The artifact in its trail; `None` if it was reported without a trail, so that no attestation can be
    /// about it.
    pub(super) fn in_trail(&self) -> Option<ArtifactInTrail> {
        self.trail.map(|trail| (trail, self.fingerprint.clone(), self.commit.clone()))
    }
}

/// SQL: the columns that [`report`] reads.
pub(super) const SELECT_REPORT: &str =
    "SELECT seq, flow_id, trail_id, fingerprint, name, git_commit, template_name, recorded_at
     FROM artifact_report";

/// Reads a row of [`SELECT_REPORT`].
pub(super) fn report(row: &Row<'_>) -> rusqlite::Result<ReportRow> {
    Ok(ReportRow {
        seq: row.get(0)?,
        flow: row.get(1)?,
        trail: row.get(2)?,
        fingerprint: row.get(3)?,
        name: row.get(4)?,
        commit: row.get(5)?,
        template_name: row.get(6)?,
        recorded_at: Micros(row.get(7)?),
    })
}

/// A row of table `attestation`, which has no details: they are in the ledger entry.
#[derive(Debug, Clone)]
pub(super) struct AttestationRow {
    pub(super) seq: i64,
    pub(super) trail: i64,
    pub(super) kind: String,
    pub(super) name: String,
    /// Empty if it names none.
    pub(super) fingerprint: String,
    /// Empty if it names none.
    pub(super) commit: String,
    pub(super) targets: Vec<String>,
    pub(super) is_compliant: Option<bool>,
    /// The sequence number of the attestation that it overrides.
    pub(super) overrides: Option<i64>,
    pub(super) recorded_at: Micros,
}

/// SQL: the columns that [`attestation`] reads.
pub(super) const SELECT_ATTESTATION: &str =
    "SELECT seq, trail_id, kind, name, fingerprint, git_commit, targets, is_compliant, overrides,
            recorded_at
     FROM attestation";

/// Reads a row of [`SELECT_ATTESTATION`].
pub(super) fn attestation(row: &Row<'_>) -> rusqlite::Result<AttestationRow> {
    let Json(targets) = row.get(6)?;
    Ok(AttestationRow {
        seq: row.get(0)?,
        trail: row.get(1)?,
        kind: row.get(2)?,
        name: row.get(3)?,
        fingerprint: row.get(4)?,
        commit: row.get(5)?,
        targets,
        is_compliant: row.get(7)?,
        overrides: row.get(8)?,
        recorded_at: Micros(row.get(9)?),
    })
}

impl AttestationRow {
    /// Whether it is bound to this artifact, which is of its trail: by fingerprint, otherwise by the
    /// name in the template and the commit, whichever of both was reported first.
    pub(super) fn is_about(&self, artifact: &ReportRow) -> bool {
        if !self.fingerprint.is_empty() {
            return self.fingerprint == artifact.fingerprint;
        }
        let is_target =
            artifact.template_name.as_ref().is_some_and(|name| self.targets.contains(name));
        is_target && self.commit == artifact.commit
    }

    /// Whether it is about the trail itself, and not about an artifact of it.
    pub(super) fn is_about_trail(&self) -> bool {
        self.fingerprint.is_empty() && self.targets.is_empty()
    }

    /// The attestation as the rules of compliance take it.
    pub(super) fn to_reported_attestation(&self) -> ReportedAttestation<'_> {
        ReportedAttestation {
            name: &self.name,
            kind: &self.kind,
            seq: self.seq,
            overridden: self.overrides,
            is_compliant: self.is_compliant,
        }
    }
}

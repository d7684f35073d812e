//! Rows about provenance as they stand in the tables.

use std::rc::Rc;

use envsnap_model::provenance::ReportedAttestation;
use rusqlite::Row;

use super::super::json::Json;
use super::projection::template;
use crate::domain::Micros;
use crate::domain::provenance::{RecordId, StoredTemplate};

/// What is read of a flow for each artifact of it.
pub(super) struct FlowRow {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) template: Option<Rc<StoredTemplate>>,
}

pub(super) const SELECT_FLOW: &str = "SELECT id, name, template FROM flow";

pub(super) fn flow(row: &Row<'_>) -> rusqlite::Result<FlowRow> {
    Ok(FlowRow { id: row.get(0)?, name: row.get(1)?, template: template(row.get(2)?).map(Rc::new) })
}

/// What is read of a trail for each artifact in it.
pub(super) struct TrailRow {
    pub(super) id: i64,
    pub(super) flow: i64,
    pub(super) name: String,
    pub(super) details: String,
    pub(super) template: Option<Rc<StoredTemplate>>,
    pub(super) created_at: Micros,
    pub(super) changed_at: Micros,
}

pub(super) const SELECT_TRAIL: &str =
    "SELECT id, flow_id, name, details, template, created_at, changed_at FROM trail";

pub(super) fn trail(row: &Row<'_>) -> rusqlite::Result<TrailRow> {
    Ok(TrailRow {
        id: row.get(0)?,
        flow: row.get(1)?,
        name: row.get(2)?,
        details: row.get(3)?,
        template: template(row.get(4)?).map(Rc::new),
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
    /// `None` if it was reported without a trail, so that nothing is attested of it.
    pub(super) fn in_trail(&self) -> Option<ArtifactInTrail> {
        self.trail.map(|trail| (trail, self.fingerprint.clone(), self.commit.clone()))
    }
}

pub(super) const SELECT_REPORT: &str =
    "SELECT seq, flow_id, trail_id, fingerprint, name, git_commit, template_name, recorded_at
     FROM artifact_report";

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
    pub(super) overrides: Option<i64>,
    pub(super) recorded_at: Micros,
}

pub(super) const SELECT_ATTESTATION: &str =
    "SELECT seq, trail_id, kind, name, fingerprint, git_commit, targets, is_compliant, overrides,
            recorded_at
     FROM attestation";

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

    pub(super) fn to_reported_attestation(&self, org: &str) -> ReportedAttestation {
        ReportedAttestation {
            name: self.name.clone(),
            kind: self.kind.clone(),
            id: RecordId::new(org, self.seq).to_string(),
            overridden: self.overrides.map(|seq| RecordId::new(org, seq).to_string()),
            is_compliant: self.is_compliant,
        }
    }
}

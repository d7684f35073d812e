//! Where the artifacts of a snapshot come from, as it is known when they are read.

use std::collections::BTreeMap;

use envsnap_model::provenance::origin;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::failure::Failure;
use super::super::json::Json;
use super::allowances::{Allowance, reason};
use super::reader::{DetailLevel, Reader};
use super::rows::ReportRow;
use crate::domain::provenance::{ArtifactProvenance, ReportRecord};
use crate::domain::{Micros, SnapshotArtifact};

/// The most flows that are shown of one artifact: the first ones that reported it.
const MAX_FLOWS: usize = 20;

/// The first start of an artifact in an environment: its organization, its fingerprint, its name if it
/// has none, and the environment.
pub(in super::super) const FIRST_START: &str =
    "SELECT interval.started_at, snapshot.recorded_at FROM interval
     JOIN snapshot ON snapshot.org_id = interval.org_id
         AND snapshot.environment_id = interval.environment_id
         AND snapshot.snapshot_index = interval.from_index
     WHERE interval.org_id = $1
       AND interval.artifact_id = (
           SELECT id FROM artifact
           WHERE artifact.org_id = interval.org_id AND fingerprint = $2 AND name = $3)
       AND interval.environment_id = $4
     ORDER BY interval.from_index LIMIT 1";

/// The environment whose artifacts are looked at, and the entries of the snapshot that shows them.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Shown<'a> {
    pub(in super::super) org_id: i64,
    pub(in super::super) environment_id: i64,
    /// The environment's name.
    pub(in super::super) environment: &'a str,
    /// The entries of the snapshot before and of this one, between which provenance that was
    /// reported is new in it.
    pub(in super::super) entries: Option<(i64, i64)>,
}

/// Whether the organization has any of these, so that they need not be looked for.
#[derive(Debug, Clone, Copy)]
struct Reported {
    artifacts: bool,
    deployments: bool,
}

/// Adds its provenance to each artifact.
pub(in super::super) fn add<'a>(
    connection: &Connection,
    shown: Shown<'_>,
    artifacts: impl IntoIterator<Item = &'a mut SnapshotArtifact>,
) -> Result<(), Failure> {
    let org: String = connection
        .prepare_cached("SELECT name FROM org WHERE id = $1")?
        .query_row([shown.org_id], |row| row.get(0))?;
    let reader = Reader::new(connection, &org, shown.org_id);
    let reported =
        Reported { artifacts: reader.has_reports()?, deployments: reader.has_deployments()? };
    let allowances = reader.allowances_in(shown.environment_id)?;
    for artifact in artifacts {
        let provenance = reader.provenance_of(artifact, shown, reported, &allowances)?;
        artifact.provenance = Some(Box::new(provenance));
    }
    Ok(())
}

impl Reader<'_> {
    fn provenance_of(
        &self,
        artifact: &SnapshotArtifact,
        shown: Shown<'_>,
        reported: Reported,
        allowances: &[Allowance],
    ) -> Result<ArtifactProvenance, Failure> {
        let fingerprint = artifact.fingerprint.map(|it| it.to_string()).unwrap_or_default();
        let reports = if reported.artifacts && !fingerprint.is_empty() {
            self.reports_of(&fingerprint)?
        } else {
            Vec::new()
        };
        let first_reported = reports.first().map(|report| report.recorded_at);
        let is_unchanged = artifact.runs() && !artifact.changed();
        let updated = is_unchanged
            && shown.entries.is_some_and(|(before, this)| {
                reports.iter().any(|report| report.seq > before && report.seq < this)
            });
        let allowed = reason(allowances, &fingerprint, &artifact.name);
        // Without any report nothing depends on it.
        let first_started_at = if reported.artifacts {
            self.first_started_at(artifact, &fingerprint, shown)?
        } else {
            artifact.started_at.first().copied().unwrap_or_default()
        };
        #[expect(clippy::cast_precision_loss, reason = "exact far beyond any date")]
        let started = first_started_at as f64;
        let origin = origin(
            !fingerprint.is_empty(),
            allowed.is_some(),
            started,
            first_reported.map(Micros::seconds),
        );
        let deployments = if reported.deployments && !reports.is_empty() {
            self.deployments_of(&fingerprint, None)?
        } else {
            Vec::new()
        };
        Ok(ArtifactProvenance {
            flows: self.flows_of(&reports)?,
            deployments: deployments
                .into_iter()
                .filter(|deployment| deployment.environment == shown.environment)
                .map(|deployment| (deployment.flow, deployment.number))
                .collect(),
            first_started_at,
            origin,
            allowed,
            updated,
        })
    }

    /// What each flow knows of the artifact, in the order of their first reports.
    fn flows_of(&self, reports: &[ReportRow]) -> Result<Vec<ReportRecord>, Failure> {
        let mut flows: BTreeMap<i64, Vec<&ReportRow>> = BTreeMap::new();
        for report in reports {
            flows.entry(report.flow).or_default().push(report);
        }
        let mut flows: Vec<_> = flows.into_values().collect();
        flows.sort_by_key(|reports| reports.first().map(|first| first.seq));
        flows.truncate(MAX_FLOWS);
        flows
            .into_iter()
            .filter_map(|reports| reports.first().map(|first| (first.recorded_at, reports.clone())))
            .map(|(first, reports)| self.report_record(&reports, first, DetailLevel::Short))
            .collect()
    }

    /// When the artifact first started in the environment, in seconds since the Unix epoch.
    fn first_started_at(
        &self,
        artifact: &SnapshotArtifact,
        fingerprint: &str,
        shown: Shown<'_>,
    ) -> rusqlite::Result<i64> {
        let name = if fingerprint.is_empty() { &*artifact.name } else { "" };
        let first: Option<(Json<Vec<i64>>, i64)> = self
            .connection
            .prepare_cached(FIRST_START)?
            .query_row(params![shown.org_id, fingerprint, name, shown.environment_id], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((Json(started_at), recorded_at)) = first else {
            return Ok(artifact.started_at.first().copied().unwrap_or_default());
        };
        let recorded_at = recorded_at.div_euclid(1_000_000);
        // What was reported as running had started, whatever its time says.
        Ok(started_at.first().copied().unwrap_or(recorded_at).min(recorded_at))
    }
}

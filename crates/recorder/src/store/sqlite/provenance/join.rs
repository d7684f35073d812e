//! Where the artifacts of a snapshot come from, as it is known when they are read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use envsnap_model::provenance::{Origin, origin};
use rusqlite::{Connection, params};

use super::super::failure::Failure;
use super::super::json::Json;
use super::allowances::{Allowance, allowance_reason};
use super::reader::Reader;
use super::rows::ReportRow;
use crate::domain::provenance::{ArtifactProvenance, ReportRecord};
use crate::domain::{Micros, SnapshotArtifact};

/// The most flows that are shown of one artifact: the first ones that reported it.
const MAX_FLOWS_PER_ARTIFACT: usize = 20;

/// How many artifacts are looked up together. It bounds what is kept of those with very many reports.
const BATCH_SIZE: usize = 500;

/// The first starts in an environment of the artifacts in a JSON array of fingerprints and names, by
/// their positions in it. One of the two is empty. The order of the tables is fixed: what is wanted
/// comes first. Parameters have numbers here, since `$2` would be the first one if it comes first.
pub(in super::super) const FIRST_STARTS: &str =
    "SELECT wanted.key, interval.started_at, interval.run_from_at
     FROM json_each(?2) AS wanted
     CROSS JOIN artifact ON artifact.org_id = ?1 AND artifact.fingerprint = wanted.value ->> 0
         AND artifact.name = wanted.value ->> 1
     CROSS JOIN interval ON interval.org_id = ?1 AND interval.artifact_id = artifact.id
         AND interval.environment_id = ?3
         AND interval.run_from = (
             SELECT min(first.run_from) FROM interval AS first
             WHERE first.org_id = ?1 AND first.artifact_id = artifact.id
               AND first.environment_id = ?3)
         AND interval.from_index = interval.run_from
     WHERE interval.run_from_at IS NOT NULL";

/// Deployments of the artifacts with these fingerprints to an environment; of each the earliest
/// first. The sign keeps SQLite from reading all that were announced to the environment.
pub(in super::super) const DEPLOYMENTS: &str = "SELECT fingerprint, flow_id, number FROM deployment
     WHERE org_id = $1 AND fingerprint IN (SELECT value FROM json_each($2)) AND +environment = $3
     ORDER BY fingerprint, seq";

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
    /// Only artifacts that have one of these origins get their provenance; `None`: all do.
    pub(in super::super) origins: Option<&'a [Origin]>,
}

/// Adds its provenance to each artifact that has one of the origins.
pub(in super::super) fn add_provenance<'a>(
    connection: &Connection,
    shown: Shown<'_>,
    artifacts: impl IntoIterator<Item = &'a mut SnapshotArtifact>,
) -> Result<(), Failure> {
    let org: String = connection
        .prepare_cached("SELECT name FROM org WHERE id = $1")?
        .query_row([shown.org_id], |row| row.get(0))?;
    let reader = Reader::new(connection, &org, shown.org_id);
    let allowances = reader.allowances_in(shown.environment_id)?;
    // Without any report nothing depends on when they started, or on deployments.
    let has_reports = reader.has_reports()?;
    let mut artifacts: Vec<_> = artifacts.into_iter().collect();
    for artifacts in artifacts.chunks_mut(BATCH_SIZE) {
        let mut batch =
            if has_reports { Batch::read(&reader, shown, artifacts)? } else { Batch::default() };
        let mut wanted = Vec::with_capacity(artifacts.len());
        for (position, artifact) in artifacts.iter_mut().enumerate() {
            let derived = batch.derive_origin(position, artifact, &allowances);
            if shown.origins.is_none_or(|origins| origins.contains(&derived.origin)) {
                wanted.push((artifact, derived));
            }
        }
        if has_reports && !wanted.is_empty() {
            batch.read_evidence(&reader, shown, wanted.iter().map(|(artifact, _)| &***artifact))?;
        }
        for (artifact, derived) in wanted {
            let provenance = batch.provenance(&reader, shown, artifact, derived)?;
            artifact.provenance = Some(Box::new(provenance));
        }
    }
    Ok(())
}

/// The origin of an artifact, and what it follows from.
struct DerivedOrigin {
    /// In seconds since the Unix epoch.
    first_started_at: i64,
    /// Why it is allowed, if it is.
    allowed: Option<String>,
    origin: Origin,
}

/// What is recorded of some artifacts.
#[derive(Default)]
struct Batch {
    /// When a flow first reported the artifact, by fingerprint.
    first_reported: HashMap<String, Micros>,
    /// By fingerprint; the first one first.
    reports: HashMap<String, Vec<ReportRow>>,
    /// Flows and numbers, by fingerprint; the earliest first.
    deployments: HashMap<String, Vec<(i64, u32)>>,
    /// In seconds since the Unix epoch, by the artifact's position.
    first_starts: HashMap<usize, i64>,
    /// JSON objects with at least the fields in a short answer, by the entry that reported them.
    details: HashMap<i64, String>,
}

impl Batch {
    /// Reads what origins follow from: when the artifacts first started and were first reported.
    fn read(
        reader: &Reader<'_>,
        shown: Shown<'_>,
        artifacts: &[&mut SnapshotArtifact],
    ) -> Result<Self, Failure> {
        let fingerprints = fingerprints(artifacts.iter().map(|artifact| &**artifact));
        let mut batch =
            Self { first_starts: first_starts(reader, shown, artifacts)?, ..Self::default() };
        if shown.origins.is_some() {
            batch.first_reported = reader.first_reported(&fingerprints)?;
        } else {
            batch.read_reports(reader, &fingerprints)?;
        }
        Ok(batch)
    }

    fn read_reports(
        &mut self,
        reader: &Reader<'_>,
        fingerprints: &Json<BTreeSet<String>>,
    ) -> rusqlite::Result<()> {
        for row in reader.reports_of_all(fingerprints)? {
            self.first_reported.entry(row.fingerprint.clone()).or_insert(row.recorded_at);
            self.reports.entry(row.fingerprint.clone()).or_default().push(row);
        }
        Ok(())
    }

    /// Reads deployments, evidence and details of these artifacts, and their reports unless all were read.
    fn read_evidence<'a>(
        &mut self,
        reader: &Reader<'_>,
        shown: Shown<'_>,
        artifacts: impl Iterator<Item = &'a SnapshotArtifact>,
    ) -> Result<(), Failure> {
        let fingerprints = fingerprints(artifacts);
        if shown.origins.is_some() {
            self.read_reports(reader, &fingerprints)?;
        }
        let mut statement = reader.connection.prepare_cached(DEPLOYMENTS)?;
        let mut rows = statement.query(params![shown.org_id, fingerprints, shown.environment])?;
        while let Some(row) = rows.next()? {
            let deployments = self.deployments.entry(row.get(0)?).or_default();
            deployments.push((row.get(1)?, row.get(2)?));
        }
        let by_flow: Vec<_> =
            self.reports.values().flat_map(|reports| reports_by_flow(reports)).collect();
        let latest: Vec<_> = by_flow.iter().filter_map(|it| it.last()).map(|it| it.seq).collect();
        reader.preload(by_flow.into_iter().flatten())?;
        self.details = reader.short_artifact_details(latest)?;
        Ok(())
    }

    /// The reports of the artifact with this fingerprint; the first one first.
    fn reports_of(&self, fingerprint: &str) -> &[ReportRow] {
        self.reports.get(fingerprint).map_or(&[], |reports| reports)
    }

    /// The origin of the artifact, which is the one at this position.
    fn derive_origin(
        &self,
        position: usize,
        artifact: &SnapshotArtifact,
        allowances: &[Allowance],
    ) -> DerivedOrigin {
        let fingerprint = artifact.fingerprint.map(|it| it.to_string()).unwrap_or_default();
        let first_reported = self.first_reported.get(&fingerprint).copied();
        let allowed = allowance_reason(allowances, &fingerprint, &artifact.name);
        let first_started_at = self.first_starts.get(&position).copied();
        let first_started_at = first_started_at
            .unwrap_or_else(|| artifact.started_at.first().copied().unwrap_or_default());
        #[expect(clippy::cast_precision_loss, reason = "exact far beyond any date")]
        let started = first_started_at as f64;
        let origin = origin(
            !fingerprint.is_empty(),
            allowed.is_some(),
            started,
            first_reported.map(Micros::seconds),
        );
        DerivedOrigin { first_started_at, allowed, origin }
    }

    /// What is known of the artifact with this origin.
    fn provenance(
        &self,
        reader: &Reader<'_>,
        shown: Shown<'_>,
        artifact: &SnapshotArtifact,
        derived: DerivedOrigin,
    ) -> Result<ArtifactProvenance, Failure> {
        let fingerprint = artifact.fingerprint.map(|it| it.to_string()).unwrap_or_default();
        let reports = self.reports_of(&fingerprint);
        let is_unchanged = artifact.runs() && !artifact.changed();
        let updated = is_unchanged
            && shown.entries.is_some_and(|(before, this)| {
                reports.iter().any(|report| report.seq > before && report.seq < this)
            });
        let mut deployments = Vec::new();
        // What was never reported has no flow that could have announced it.
        if !reports.is_empty() {
            for (flow, number) in self.deployments.get(&fingerprint).into_iter().flatten() {
                deployments.push((reader.flow(*flow)?.name.clone(), *number));
            }
        }
        let flows =
            reports_by_flow(reports).into_iter().map(|reports| self.flow_report(reader, &reports));
        Ok(ArtifactProvenance {
            flows: flows.collect::<Result<_, _>>()?,
            deployments,
            first_started_at: derived.first_started_at,
            origin: derived.origin,
            allowed: derived.allowed,
            updated,
        })
    }

    /// What a flow reported of an artifact, from its reports in the order of their time.
    fn flow_report(
        &self,
        reader: &Reader<'_>,
        reports: &[&ReportRow],
    ) -> Result<ReportRecord, Failure> {
        let (Some(first), Some(latest)) = (reports.first(), reports.last()) else {
            return Err(rusqlite::Error::QueryReturnedNoRows.into());
        };
        let details = self.details.get(&latest.seq).cloned();
        let details = details.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        reader.report_record(reports, latest, first.recorded_at, details)
    }
}

/// The fingerprints of these artifacts, as SQLite gets them.
fn fingerprints<'a>(
    artifacts: impl Iterator<Item = &'a SnapshotArtifact>,
) -> Json<BTreeSet<String>> {
    Json(artifacts.filter_map(|it| it.fingerprint).map(|it| it.to_string()).collect())
}

/// The reports of an artifact by each flow, in the order of their first ones.
fn reports_by_flow(reports: &[ReportRow]) -> Vec<Vec<&ReportRow>> {
    let mut flows: BTreeMap<i64, Vec<&ReportRow>> = BTreeMap::new();
    for report in reports {
        flows.entry(report.flow).or_default().push(report);
    }
    let mut flows: Vec<_> = flows.into_values().collect();
    flows.sort_by_key(|reports| reports.first().map(|first| first.seq));
    flows.truncate(MAX_FLOWS_PER_ARTIFACT);
    flows
}

/// When the artifacts first started in the environment, in seconds since the Unix epoch, by position.
fn first_starts(
    reader: &Reader<'_>,
    shown: Shown<'_>,
    artifacts: &[&mut SnapshotArtifact],
) -> Result<HashMap<usize, i64>, Failure> {
    let wanted: Vec<[String; 2]> = artifacts
        .iter()
        .map(|artifact| match artifact.fingerprint {
            Some(fingerprint) => [fingerprint.to_string(), String::new()],
            None => [String::new(), artifact.name.clone()],
        })
        .collect();
    let mut statement = reader.connection.prepare_cached(FIRST_STARTS)?;
    let mut rows = statement.query(params![shown.org_id, Json(wanted), shown.environment_id])?;
    let mut found = HashMap::new();
    while let Some(row) = rows.next()? {
        let Json::<Vec<i64>>(started_at) = row.get(1)?;
        let recorded_at = row.get::<_, i64>(2)?.div_euclid(1_000_000);
        // What was reported as running had started, whatever its time says.
        let started_at = started_at.first().copied().unwrap_or(recorded_at).min(recorded_at);
        found.insert(row.get(0)?, started_at);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;

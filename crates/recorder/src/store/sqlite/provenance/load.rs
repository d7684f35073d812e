//! Reads flows, trails and evidence of many artifacts at a time.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use rusqlite::params;

use super::super::failure::Failure;
use super::super::json::Json;
use super::reader::{MAX_SHORT_FIELD_BYTES, Reader, short_details};
use super::rows::{
    ArtifactInTrail, AttestationRow, ReportRow, SELECT_ATTESTATION, SELECT_FLOW, SELECT_REPORT,
    SELECT_TRAIL, attestation, flow, report, trail,
};
use crate::domain::Micros;
use crate::domain::provenance::ArtifactReported;

/// The fields of an artifact report's details that responses with many artifacts use, and that they have if
/// the details are long.
const SHORT_ARTIFACT_FIELDS: [&str; 5] =
    ["fingerprint", "git_commit_info", "commit_url", "build_url", "repo_url"];

/// SQL: `select` restricted to organization `$1` and to the values of `column` in the JSON array `$2`.
fn select_where_in_json(select: &str, column: &str) -> String {
    format!("{select} WHERE org_id = $1 AND {column} IN (SELECT value FROM json_each($2))")
}

/// How many of the latest reports of an artifact by one flow are read for its state, beside the first
/// report: a flow may report the same artifact every day.
pub(super) const MAX_LATEST_REPORTS_PER_FLOW: u32 = 20;

/// The most pairs of an artifact and a flow that one query reads, which bounds its duration. Without a
/// limit, SQLite's planner would expect more pairs than reports, and scan all reports.
const MAX_ARTIFACT_FLOW_PAIRS: u32 = 20_000;

/// A table `first` of the first report by each flow of the artifacts whose fingerprints are in a JSON array.
/// One row is read for each, however often an artifact was reported.
fn first_reports() -> String {
    format!(
        "WITH RECURSIVE first (fingerprint, flow_id, seq, recorded_at) AS (
             SELECT report.fingerprint, report.flow_id, report.seq, report.recorded_at
             FROM json_each(?2) AS wanted
             CROSS JOIN artifact_report AS report ON report.org_id = ?1 AND report.seq = (
                 SELECT seq FROM artifact_report
                 WHERE org_id = ?1 AND fingerprint = wanted.value
                 ORDER BY flow_id, seq LIMIT 1)
             UNION ALL
             SELECT report.fingerprint, report.flow_id, report.seq, report.recorded_at
             FROM first
             CROSS JOIN artifact_report AS report ON report.org_id = ?1 AND report.seq = (
                 SELECT next.seq FROM artifact_report AS next
                 WHERE next.org_id = ?1 AND next.fingerprint = first.fingerprint
                   AND next.flow_id > first.flow_id
                 ORDER BY next.flow_id, next.seq LIMIT 1)
             LIMIT {MAX_ARTIFACT_FLOW_PAIRS})"
    )
}

/// Selects the reports of [`first_reports`], in no particular order.
pub(in super::super) fn first_reports_query() -> String {
    format!("{} SELECT fingerprint, seq, recorded_at FROM first", first_reports())
}

/// Selects the reports of [`first_reports`] and the latest ones by the same flows, in no particular order. A
/// first report that is also among the latest is selected once.
pub(in super::super) fn reports_query() -> String {
    format!(
        "{}
         SELECT report.seq, report.flow_id, report.trail_id, report.fingerprint, report.name,
                report.git_commit, report.template_name, report.recorded_at
         FROM first
         CROSS JOIN artifact_report AS report ON report.org_id = ?1 AND report.seq IN (
             SELECT * FROM (
                 SELECT latest.seq FROM artifact_report AS latest
                 WHERE latest.org_id = ?1 AND latest.fingerprint = first.fingerprint
                   AND latest.flow_id = first.flow_id
                 ORDER BY latest.seq DESC LIMIT {MAX_LATEST_REPORTS_PER_FLOW})
             UNION ALL
             SELECT first.seq)",
        first_reports()
    )
}

/// Selects the first report of one artifact by one flow and the latest ones, the earliest first.
pub(in super::super) fn reports_by_flow_query() -> String {
    let of_flow = "SELECT seq FROM artifact_report
                   WHERE org_id = ?1 AND fingerprint = ?2 AND flow_id = ?3 ORDER BY seq";
    format!(
        "{SELECT_REPORT} WHERE org_id = ?1 AND seq IN (
             SELECT * FROM ({of_flow} LIMIT 1)
             UNION ALL
             SELECT * FROM ({of_flow} DESC LIMIT {MAX_LATEST_REPORTS_PER_FLOW}))
         ORDER BY seq"
    )
}

/// Selects the flows whose ids are in a JSON array.
pub(in super::super) fn flows_query() -> String {
    select_where_in_json(SELECT_FLOW, "id")
}

/// Selects the trails whose ids are in a JSON array.
pub(in super::super) fn trails_query() -> String {
    select_where_in_json(SELECT_TRAIL, "id")
}

/// Selects the attestations that may be about artifacts, by their positions in a JSON array of trails,
/// fingerprints and commits. However many others are in the trail, they are not read.
pub(in super::super) fn attestations_query() -> String {
    let of_artifact = SELECT_ATTESTATION
        .replace("FROM attestation", ", wanted.key FROM json_each(?2) AS wanted")
        + " CROSS JOIN attestation ON org_id = ?1 AND trail_id = wanted.value ->> 0";
    format!(
        "{of_artifact} AND fingerprint = wanted.value ->> 1
         UNION ALL
         {of_artifact} AND fingerprint = '' AND git_commit = wanted.value ->> 2"
    )
}

/// Selects the payloads of the ledger entries whose sequence numbers are in a JSON array.
pub(in super::super) fn entries_query() -> String {
    select_where_in_json("SELECT seq, payload FROM ledger", "seq")
}

impl Reader<'_> {
    /// The first and the latest reports by each flow of these artifacts, the earliest first.
    pub(super) fn reports_of_all(
        &self,
        fingerprints: &Json<BTreeSet<String>>,
    ) -> rusqlite::Result<Vec<ReportRow>> {
        let mut reports: Vec<_> = self
            .connection
            .prepare_cached(&reports_query())?
            .query_map(params![self.org_id, fingerprints], report)?
            .collect::<rusqlite::Result<_>>()?;
        reports.sort_by_key(|report| report.seq);
        Ok(reports)
    }

    /// The first and the latest reports of the artifact by this flow, the earliest first.
    pub(super) fn reports_by_flow(
        &self,
        fingerprint: &str,
        flow: i64,
    ) -> rusqlite::Result<Vec<ReportRow>> {
        self.connection
            .prepare_cached(&reports_by_flow_query())?
            .query_map(params![self.org_id, fingerprint, flow], report)?
            .collect()
    }

    /// When each of these artifacts was first reported by any flow, by its fingerprint.
    pub(super) fn first_reported(
        &self,
        fingerprints: &Json<BTreeSet<String>>,
    ) -> rusqlite::Result<HashMap<String, Micros>> {
        let mut statement = self.connection.prepare_cached(&first_reports_query())?;
        let mut rows = statement.query(params![self.org_id, fingerprints])?;
        let mut first: HashMap<String, (i64, Micros)> = HashMap::new();
        while let Some(row) = rows.next()? {
            let report = (row.get(1)?, Micros(row.get(2)?));
            let earliest = first.entry(row.get(0)?).or_insert(report);
            *earliest = report.min(*earliest);
        }
        Ok(first.into_iter().map(|(fingerprint, (_, at))| (fingerprint, at)).collect())
    }

    /// Caches the flows, trails and attestations of these reports with one query each, instead of one query
    /// for each report.
    pub(super) fn preload<'b>(
        &self,
        reports: impl IntoIterator<Item = &'b ReportRow>,
    ) -> Result<(), Failure> {
        let (mut flows, mut trails) = (BTreeSet::new(), BTreeSet::new());
        let mut artifacts = BTreeSet::new();
        for report in reports {
            flows.insert(report.flow);
            trails.extend(report.trail);
            artifacts.extend(report.in_trail());
        }
        flows.retain(|id| !self.flows.borrow().contains_key(id));
        let mut statement = self.connection.prepare_cached(&flows_query())?;
        for row in statement.query_map(params![self.org_id, Json(flows)], flow)? {
            let row = row?;
            self.flows.borrow_mut().insert(row.id, Rc::new(row));
        }
        trails.retain(|id| !self.trails.borrow().contains_key(id));
        let mut statement = self.connection.prepare_cached(&trails_query())?;
        for row in statement.query_map(params![self.org_id, Json(trails)], trail)? {
            let row = row?;
            self.trails.borrow_mut().insert(row.id, Rc::new(row));
        }
        self.load_attestations(artifacts)
    }

    /// Caches the attestations that may be about these artifacts.
    pub(super) fn load_attestations(
        &self,
        mut artifacts: BTreeSet<ArtifactInTrail>,
    ) -> Result<(), Failure> {
        artifacts.retain(|artifact| !self.attestations.borrow().contains_key(artifact));
        let artifacts = Json(Vec::from_iter(artifacts));
        let mut found = vec![Vec::new(); artifacts.0.len()];
        let mut statement = self.connection.prepare_cached(&attestations_query())?;
        let mut rows = statement.query(params![self.org_id, artifacts])?;
        while let Some(row) = rows.next()? {
            let position: usize = row.get("key")?;
            if let Some(found) = found.get_mut(position) {
                found.push(attestation(row)?);
            }
        }
        for (artifact, mut rows) in artifacts.0.into_iter().zip(found) {
            rows.sort_by_key(|row: &AttestationRow| row.seq);
            self.attestations.borrow_mut().insert(artifact, rows);
        }
        Ok(())
    }

    /// The details of the artifact reports with these sequence numbers, as JSON objects by sequence number;
    /// of long ones only [`SHORT_ARTIFACT_FIELDS`].
    pub(super) fn short_artifact_details(
        &self,
        entries: Vec<i64>,
    ) -> Result<HashMap<i64, String>, Failure> {
        let mut statement = self.connection.prepare_cached(&entries_query())?;
        let mut rows = statement.query(params![self.org_id, Json(entries)])?;
        let mut found = HashMap::new();
        while let Some(row) = rows.next()? {
            let Json::<ArtifactReported>(ArtifactReported { mut details, .. }) = row.get(1)?;
            // Nothing in short details is too long for an answer.
            if details.len() > MAX_SHORT_FIELD_BYTES {
                details = short_details(&details, &SHORT_ARTIFACT_FIELDS);
            }
            found.insert(row.get(0)?, details);
        }
        Ok(found)
    }
}

//! Artifacts and their evidence.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params;

use super::super::failure::Failure;
use super::super::json::Json;
use super::super::runs::runs_of_fingerprint;
use super::reader::{DetailLevel, Reader};
use super::rows::{ReportRow, SELECT_REPORT, report};
use crate::domain::provenance::{
    ArtifactRecord, ArtifactReported, AttestationRecord, DeploymentRecord, RecordId, SearchResult,
    fields,
};
use crate::domain::{ArtifactRun, Error, Micros, Page};
use crate::store::provenance::{ArtifactQuery, ArtifactSelector, AttestationQuery};

/// The most bytes of attestations in one answer.
pub(super) const MAX_ATTESTATION_BYTES: usize = 8 << 20;

/// The most matches of a search.
const MAX_MATCHES: usize = 100;

/// How many reports of one commit are looked at: the latest ones.
const MAX_REPORTS_PER_COMMIT: usize = 1_000;

/// The columns by whose beginnings artifacts are found.
const FINGERPRINT: &str = "fingerprint";
const COMMIT: &str = "git_commit";

/// The first hundred values of `column` that are in a range, each found by one step in its index,
/// however many reports have it.
pub(in super::super) fn matches_query(column: &str) -> String {
    format!(
        "WITH RECURSIVE found (value) AS (
             SELECT min({column}) FROM artifact_report
             WHERE org_id = ?1 AND {column} >= ?2 AND {column} < ?3
             UNION ALL
             SELECT (SELECT min(next.{column}) FROM artifact_report AS next
                     WHERE next.org_id = ?1 AND next.{column} > found.value
                       AND next.{column} < ?3)
             FROM found WHERE value IS NOT NULL LIMIT {MAX_MATCHES})
         SELECT value FROM found WHERE value IS NOT NULL"
    )
}

/// Where an artifact was to run, and where it ran.
pub(super) struct ArtifactUsage {
    /// The earliest first.
    pub(super) deployments: Vec<DeploymentRecord>,
    /// The environments to which any flow announced a deployment.
    pub(super) announced_to: BTreeSet<String>,
    /// By environment and time.
    pub(super) runs: Vec<ArtifactRun>,
}

impl Reader<'_> {
    /// The artifacts of a flow that `query` selects, the latest report first.
    pub(super) fn artifacts(&self, query: &ArtifactQuery) -> Result<Vec<ArtifactRecord>, Failure> {
        let flow = self.existing_flow(&query.flow)?;
        let trail = query.trail.as_deref().map(|name| self.existing_trail(&query.flow, name));
        let trail = trail.transpose()?;
        let (column, digits, what) = match &query.selector {
            ArtifactSelector::Fingerprint(digits) => (FINGERPRINT, digits, "fingerprint"),
            ArtifactSelector::Commit(digits) => (COMMIT, digits, "commit"),
        };
        let rows = match trail {
            Some(trail) => self.reports_in_trail_by_prefix(trail, column, digits)?,
            None => self.reports_by_prefix(column, digits)?,
        };
        let mut latest: Vec<ReportRow> = Vec::new();
        for row in rows.into_iter().filter(|row| row.flow == flow) {
            if !latest.iter().any(|it| it.fingerprint == row.fingerprint) {
                latest.push(row);
            }
            if latest.len() == MAX_MATCHES {
                break;
            }
        }
        if let Some(id) = &query.attestation {
            let seq = RecordId::seq_in(id, self.org);
            let attestation = seq.map(|seq| self.attestation(seq)).transpose()?.flatten();
            latest.retain(|row| attestation.as_ref().is_some_and(|it| it.is_about(row)));
        }
        if latest.is_empty() {
            return Err(Error::ArtifactNotFound {
                org: self.org.to_owned(),
                flow: query.flow.clone(),
                artifact: format!("{what} '{digits}'"),
            }
            .into());
        }
        latest.into_iter().map(|row| self.artifact_record(row, trail)).collect()
    }

    /// A page of the artifacts that were reported, the latest first: each once in a flow.
    pub(super) fn list_artifacts(
        &self,
        flow: Option<&str>,
        repo: Option<&str>,
        page: Page,
    ) -> Result<(Vec<ArtifactRecord>, u64), Failure> {
        let flow = flow.map(|name| self.existing_flow(name)).transpose()?;
        // What archived flows reported is listed only under their names.
        let of_flow = if flow.is_some() {
            "flow_id = $2"
        } else {
            "$2 IS NULL AND flow_id NOT IN (
                 SELECT id FROM flow WHERE org_id = $1 AND archived_at IS NOT NULL)"
        };
        let mut statement = self.connection.prepare_cached(&format!(
            "{SELECT_REPORT} AS this
             WHERE org_id = $1 AND {of_flow}
               AND NOT EXISTS (
                   SELECT 1 FROM artifact_report AS later
                   WHERE later.org_id = this.org_id AND later.fingerprint = this.fingerprint
                     AND later.flow_id = this.flow_id AND later.seq > this.seq)
             ORDER BY seq DESC"
        ))?;
        let rows = statement.query_map(params![self.org_id, flow], report)?;
        let (mut total, mut found) = (0, Vec::new());
        for row in rows {
            let row = row?;
            if let Some(repo) = repo
                && !self.is_of_repo(&row, &[repo])?
            {
                continue;
            }
            total += 1;
            if total > page.offset() && found.len() < page.size as usize {
                found.push(self.artifact_record(row, None)?);
            }
        }
        Ok((found, total))
    }

    /// The artifact as a flow knows it, or only one trail of it, with the name, the commit, the trail and the
    /// details in `shown`, which is one of its reports. Its state follows from all of them.
    pub(super) fn artifact_record(
        &self,
        shown: ReportRow,
        trail: Option<i64>,
    ) -> Result<ArtifactRecord, Failure> {
        let reports = self.reports_by_flow(&shown.fingerprint, shown.flow)?;
        let usage = self.artifact_usage(&shown.fingerprint, Some(shown.flow))?;
        let first = reports.first().map_or(shown.recorded_at, |first| first.recorded_at);
        let reports = match trail {
            Some(trail) => self.reports_in_trail(trail, &shown.fingerprint)?,
            None => reports,
        };
        self.artifact_record_from(shown, &reports, first, usage)
    }

    /// As [`Self::artifact_record`], from these reports by its flow, the earliest first, of which the flow's first
    /// one was recorded at `first`.
    pub(super) fn artifact_record_from(
        &self,
        shown: ReportRow,
        reports: &[ReportRow],
        first: Micros,
        usage: ArtifactUsage,
    ) -> Result<ArtifactRecord, Failure> {
        let mut reports: Vec<_> = reports.iter().collect();
        // Between the first report and the latest ones there are others that are not read.
        if let Err(position) = reports.binary_search_by_key(&shown.seq, |report| report.seq) {
            reports.insert(position, &shown);
        }
        let attestations = self.attestations_of(reports.iter().copied())?;
        let attestations =
            attestations.into_iter().map(|row| self.attestation_record(row, DetailLevel::Short));
        let (entry, _actor): (ArtifactReported, _) = self.entry(shown.seq)?;
        Ok(ArtifactRecord {
            attestations: attestations.collect::<Result<_, _>>()?,
            deployments: usage.deployments,
            announced_to: usage.announced_to,
            runs: usage.runs,
            report: Some(self.report_record(&reports, &shown, first, entry.details)?),
            fingerprint: shown.fingerprint,
            name: shown.name,
        })
    }

    /// Where the artifact was to run, as one flow announced it or any, and where it ran.
    pub(super) fn artifact_usage(
        &self,
        fingerprint: &str,
        flow: Option<i64>,
    ) -> Result<ArtifactUsage, Failure> {
        Ok(ArtifactUsage {
            deployments: self.deployments_of(fingerprint, flow)?,
            announced_to: self.announced_to(fingerprint)?,
            runs: runs_of_fingerprint(self.connection, self.org_id, fingerprint)?,
        })
    }

    /// An artifact that ran and was never reported.
    pub(super) fn unreported(&self, fingerprint: &str) -> Result<Option<ArtifactRecord>, Failure> {
        let usage = self.artifact_usage(fingerprint, None)?;
        let Some(last) = usage.runs.last() else { return Ok(None) };
        Ok(Some(ArtifactRecord {
            fingerprint: fingerprint.to_owned(),
            name: last.name.clone(),
            report: None,
            deployments: usage.deployments,
            announced_to: usage.announced_to,
            attestations: Vec::new(),
            runs: usage.runs,
        }))
    }

    /// The commit of the flow's latest artifact on a branch.
    pub(super) fn latest_commit(
        &self,
        flow: &str,
        branch: Option<&str>,
    ) -> Result<Option<String>, Failure> {
        let flow = self.existing_flow(flow)?;
        let mut statement = self.connection.prepare_cached(
            "SELECT seq, git_commit FROM artifact_report
             WHERE org_id = $1 AND flow_id = $2 ORDER BY seq DESC",
        )?;
        let mut rows = statement.query([self.org_id, flow])?;
        while let Some(row) = rows.next()? {
            let Some(branch) = branch else { return Ok(Some(row.get(1)?)) };
            let (artifact, _actor): (ArtifactReported, _) = self.entry(row.get(0)?)?;
            let details = fields(&artifact.details);
            let commits = details.get("commits_list").and_then(|list| list.as_array());
            let mut commits = commits.into_iter().flatten().chain(details.get("git_commit_info"));
            let is_on_branch = commits
                .any(|commit| commit.get("branch").and_then(|it| it.as_str()) == Some(branch));
            if is_on_branch {
                return Ok(Some(row.get(1)?));
            }
        }
        Ok(None)
    }

    /// The attestations that `query` selects, the latest first.
    pub(super) fn attestations(
        &self,
        query: &AttestationQuery,
    ) -> Result<Vec<AttestationRecord>, Failure> {
        let rows = match query {
            AttestationQuery::Id(id) => {
                let seq = RecordId::seq_in(id, self.org);
                seq.map(|seq| self.attestation(seq)).transpose()?.flatten().into_iter().collect()
            }
            AttestationQuery::InTrail { flow, trail, name } => {
                let trail = self.existing_trail(flow, trail)?;
                let mut rows = self.attestations_named(trail, name)?;
                rows.reverse();
                rows
            }
            AttestationQuery::OfArtifact { flow, fingerprint, name } => {
                let (flow, mut rows) = (self.existing_flow(flow)?, Vec::new());
                for artifact in self.reports_by_prefix(FINGERPRINT, fingerprint)? {
                    if artifact.flow == flow {
                        rows.extend(self.attestations_of([&artifact])?);
                    }
                }
                rows.retain(|row| row.name == *name);
                rows.sort_by_key(|row| row.seq);
                rows.dedup_by_key(|row| row.seq);
                rows
            }
            AttestationQuery::InFlow { flow } => {
                let flow = self.existing_flow(flow)?;
                let trails: Vec<i64> = self
                    .connection
                    .prepare_cached(
                        "SELECT id FROM trail WHERE org_id = $1 AND flow_id = $2 ORDER BY id",
                    )?
                    .query_map([self.org_id, flow], |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()?;
                let mut rows = Vec::new();
                for trail in trails {
                    rows.extend(self.attestations_in_trail(trail)?);
                    if rows.len() > 10 * MAX_MATCHES {
                        return Err(Error::TooManyMatches { most: 10 * MAX_MATCHES }.into());
                    }
                }
                rows.sort_by_key(|row| row.seq);
                rows
            }
        };
        let (mut records, mut bytes) = (Vec::new(), 0);
        for row in rows.into_iter().rev() {
            let record = self.attestation_record(row, DetailLevel::Whole)?;
            bytes += record.details.len();
            if bytes > MAX_ATTESTATION_BYTES {
                let message = "These attestations are larger than 8 MB: ask for them one by one, by \
                               attestation_id";
                return Err(Error::too_large(message).into());
            }
            records.push(record);
        }
        Ok(records)
    }

    /// Reports of artifacts whose fingerprint or commit, as `column` says, begins with these digits, the
    /// latest first: of each fingerprint the first and the latest ones by each flow, and of each
    /// commit the latest ones.
    fn reports_by_prefix(&self, column: &str, digits: &str) -> Result<Vec<ReportRow>, Failure> {
        let found: Vec<String> = self
            .connection
            .prepare_cached(&matches_query(column))?
            .query_map(params![self.org_id, digits, after_prefix(digits)], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut rows = Vec::new();
        if column == FINGERPRINT {
            rows = self.reports_of_all(&Json(found.into_iter().collect()))?;
        } else {
            let mut statement = self.connection.prepare_cached(&format!(
                "{SELECT_REPORT} WHERE org_id = $1 AND git_commit = $2 ORDER BY seq DESC \
                 LIMIT {MAX_REPORTS_PER_COMMIT}"
            ))?;
            for commit in found {
                for row in statement.query_map(params![self.org_id, commit], report)? {
                    rows.push(row?);
                }
            }
        }
        rows.sort_by_key(|row| Reverse(row.seq));
        Ok(rows)
    }

    /// Like `reports_by_prefix`, but every report in one trail.
    fn reports_in_trail_by_prefix(
        &self,
        trail: i64,
        column: &str,
        digits: &str,
    ) -> Result<Vec<ReportRow>, Failure> {
        // The sign keeps SQLite from the index by commit.
        let column = if column == COMMIT { "+git_commit" } else { column };
        let rows = self
            .connection
            .prepare_cached(&format!(
                "{SELECT_REPORT} WHERE org_id = $1 AND trail_id = $2 AND {column} >= $3 AND {column} < $4
                 ORDER BY seq DESC"
            ))?
            .query_map(params![self.org_id, trail, digits, after_prefix(digits)], report)?
            .collect::<rusqlite::Result<_>>()?;
        Ok(rows)
    }

    /// Everything whose commit or fingerprint begins with these digits.
    pub(super) fn search(&self, digits: &str) -> Result<SearchResult, Failure> {
        let by_commit = self.reports_by_prefix(COMMIT, digits)?;
        let by_fingerprint = self.reports_by_prefix(FINGERPRINT, digits)?;
        let commits: BTreeSet<_> = by_commit.iter().map(|it| it.commit.clone()).collect();
        let mut fingerprints: BTreeSet<_> =
            by_fingerprint.iter().map(|it| it.fingerprint.clone()).collect();
        // The latest report of each artifact in each flow.
        let mut latest = BTreeMap::new();
        for row in by_commit.into_iter().chain(by_fingerprint) {
            latest.entry((row.fingerprint.clone(), row.flow)).or_insert(row);
        }
        let mut rows: Vec<_> = latest.into_values().collect();
        rows.sort_by_key(|row| Reverse(row.seq));
        rows.truncate(MAX_MATCHES);
        let rows = rows.into_iter().rev();
        let mut artifacts: Vec<_> =
            rows.map(|row| self.artifact_record(row, None)).collect::<Result<_, _>>()?;
        for fingerprint in self.running_by_prefix(digits)? {
            if !fingerprints.contains(&fingerprint) && !self.is_reported(&fingerprint)? {
                artifacts.extend(self.unreported(&fingerprint)?);
                fingerprints.insert(fingerprint);
            }
        }
        if artifacts.is_empty() {
            let text = digits.to_owned();
            return Err(Error::NoMatches { text }.into());
        }
        Ok(SearchResult {
            fingerprints: fingerprints.into_iter().collect(),
            commits: commits.into_iter().collect(),
            artifacts,
        })
    }

    fn is_reported(&self, fingerprint: &str) -> rusqlite::Result<bool> {
        Ok(!self.reports_of(fingerprint)?.is_empty())
    }

    /// Fingerprints of what ever ran.
    fn running_by_prefix(&self, digits: &str) -> rusqlite::Result<Vec<String>> {
        self.connection
            .prepare_cached(
                "SELECT fingerprint FROM artifact
                 WHERE org_id = $1 AND fingerprint >= $2 AND fingerprint < $3
                 ORDER BY fingerprint LIMIT $4",
            )?
            .query_map(
                params![self.org_id, digits, after_prefix(digits), MAX_MATCHES as u64],
                |row| row.get(0),
            )?
            .collect()
    }
}

/// What comes after every text that begins with these hexadecimal digits.
fn after_prefix(digits: &str) -> String {
    format!("{digits}g")
}

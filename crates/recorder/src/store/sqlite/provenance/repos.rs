//! The repositories from which artifacts were built.

use std::collections::{BTreeSet, HashMap};

use rusqlite::Connection;

use super::super::failure::Failure;
use super::super::json::Json;
use super::reader::Reader;
use super::rows::ReportRow;
use crate::domain::provenance::{ArtifactReported, fields};

/// The artifacts that ever ran in an environment and that a flow reported with one of these repositories:
/// their row ids by fingerprint.
pub(in super::super) fn artifacts_of_repos(
    connection: &Connection,
    org_id: i64,
    environment_id: i64,
    repos: &[String],
) -> Result<HashMap<String, i64>, Failure> {
    let ran: HashMap<String, i64> = connection
        .prepare_cached(
            "SELECT DISTINCT artifact.fingerprint, artifact.id FROM interval
             JOIN artifact ON artifact.org_id = interval.org_id
                 AND artifact.id = interval.artifact_id
             WHERE interval.org_id = $1 AND interval.environment_id = $2
               AND artifact.fingerprint <> ''",
        )?
        .query_map([org_id, environment_id], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    // The ids of records, which have the organization's name in them, are not read.
    let reader = Reader::new(connection, "", org_id);
    let fingerprints: BTreeSet<_> = ran.keys().cloned().collect();
    let mut found = HashMap::new();
    for report in reader.reports_of_all(&Json(fingerprints))? {
        if !found.contains_key(&report.fingerprint)
            && let Some(id) = ran.get(&report.fingerprint)
            && reader.is_of_repo(&report, repos)?
        {
            found.insert(report.fingerprint, *id);
        }
    }
    Ok(found)
}

impl Reader<'_> {
    /// Whether the repository of a reported artifact has one of these names, or a URL that ends with one.
    pub(super) fn is_of_repo(
        &self,
        row: &ReportRow,
        repos: &[impl AsRef<str>],
    ) -> Result<bool, Failure> {
        let (artifact, _actor): (ArtifactReported, _) = self.entry(row.seq)?;
        let details = fields(&artifact.details);
        let name =
            details.get("repo_info").and_then(|info| info.get("name")).and_then(|it| it.as_str());
        let url = details.get("repo_url").and_then(|url| url.as_str());
        Ok(repos.iter().map(AsRef::as_ref).any(|repo| {
            name == Some(repo) || url.is_some_and(|url| url.ends_with(&format!("/{repo}")))
        }))
    }
}

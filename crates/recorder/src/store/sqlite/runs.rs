//! When artifacts ran, over all history.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::environments::find_active;
use super::failure::Failure;
use super::json::Json;
use super::ledger::find_org;
use super::rows;
use crate::domain::{ArtifactPattern, ArtifactRun, Error, Micros};

/// The most runs in one answer: about ten megabytes.
const MAX_RUNS: usize = 50_000;

/// When the artifacts that `pattern` matches ran, in one environment or in all, by environment,
/// fingerprint and index.
pub(super) fn artifact_runs(
    connection: &Connection,
    org: &str,
    environment: Option<&str>,
    pattern: &ArtifactPattern,
) -> Result<Vec<ArtifactRun>, Failure> {
    let only = environment.map(|name| find_active(connection, org, name)).transpose()?;
    let only = only.map(|environment| environment.id);
    let Some(org_id) = find_org(connection, org)? else { return Ok(Vec::new()) };
    let mut runs = Vec::new();
    for artifact in matching_artifacts(connection, org_id, pattern)? {
        runs.extend(runs_of_artifact(connection, org_id, artifact, only)?);
        if runs.len() > MAX_RUNS {
            return Err(Error::TooManyRuns { most: MAX_RUNS }.into());
        }
    }
    runs.sort_by(|a, b| {
        let key = |it: &ArtifactRun| {
            (it.environment.clone(), it.fingerprint.is_none(), it.fingerprint, it.from_index)
        };
        key(a).cmp(&key(b))
    });
    Ok(runs)
}

/// Artifacts whose fingerprints are in a range.
pub(super) const ARTIFACTS_BY_PREFIX: &str =
    "SELECT id FROM artifact WHERE org_id = $1 AND fingerprint >= $2 AND fingerprint < $3";

/// The row ids of the artifact with this full fingerprint, or else of all of which the fingerprint or a
/// label matches.
fn matching_artifacts(
    connection: &Connection,
    org_id: i64,
    pattern: &ArtifactPattern,
) -> rusqlite::Result<BTreeSet<i64>> {
    if let Some(fingerprint) = pattern.full_fingerprint()
        && let Some(artifact) = artifact_by_fingerprint(connection, org_id, fingerprint)?
    {
        return Ok(BTreeSet::from([artifact]));
    }
    let mut found = BTreeSet::new();
    if let Some(prefix) = pattern.fingerprint_prefix() {
        // The character after the last digit ends the range.
        let mut statement = connection.prepare_cached(ARTIFACTS_BY_PREFIX)?;
        for artifact in
            statement.query_map(params![org_id, prefix, format!("{prefix}g")], |row| row.get(0))?
        {
            found.insert(artifact?);
        }
    }
    let mut statement = connection.prepare_cached(
        "SELECT artifact_id, label FROM artifact_label
         WHERE org_id = $1 AND instr(label, $2) > 0",
    )?;
    let mut rows = statement.query(params![org_id, pattern.literal()])?;
    while let Some(row) = rows.next()? {
        if pattern.matches_name(row.get_ref(1)?.as_str()?) {
            found.insert(row.get(0)?);
        }
    }
    Ok(found)
}

/// When an artifact ran, in one environment or, if `$3` is NULL, in all that are not archived.
pub(super) const RUNS_OF_ARTIFACT: &str =
    "SELECT environment.name, interval.name, artifact.fingerprint, interval.replicas,
                    interval.from_index, first.recorded_at, next.snapshot_index, next.recorded_at,
                    environment.latest_index, interval.was, interval.started_at,
                    current_task.started_at
             FROM interval
             JOIN artifact ON artifact.org_id = interval.org_id
                 AND artifact.id = interval.artifact_id
             JOIN environment ON environment.org_id = interval.org_id
                 AND environment.id = interval.environment_id
             JOIN snapshot AS first ON first.org_id = interval.org_id
                 AND first.environment_id = interval.environment_id
                 AND first.snapshot_index = interval.from_index
             LEFT JOIN snapshot AS next ON next.org_id = interval.org_id
                 AND next.environment_id = interval.environment_id
                 AND next.snapshot_index = interval.to_index + 1
             LEFT JOIN current_task ON current_task.org_id = interval.org_id
                 AND current_task.environment_id = interval.environment_id
                 AND current_task.artifact_id = interval.artifact_id
                 AND interval.to_index IS NULL
             WHERE interval.org_id = $1 AND interval.artifact_id = $2
               AND ($3 IS NULL OR interval.environment_id = $3)
               AND environment.archived_at IS NULL
             ORDER BY environment.name, interval.from_index";

/// When the artifact with this fingerprint ran, by environment and index.
pub(super) fn runs_of_fingerprint(
    connection: &Connection,
    org_id: i64,
    fingerprint: &str,
) -> rusqlite::Result<Vec<ArtifactRun>> {
    let artifact = artifact_by_fingerprint(connection, org_id, fingerprint)?;
    artifact.map_or_else(
        || Ok(Vec::new()),
        |artifact| runs_of_artifact(connection, org_id, artifact, None),
    )
}

/// The row id of the artifact that ran with this fingerprint.
fn artifact_by_fingerprint(
    connection: &Connection,
    org_id: i64,
    fingerprint: &str,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT id FROM artifact WHERE org_id = $1 AND fingerprint = $2 AND name = ''",
        )?
        .query_row(params![org_id, fingerprint], |row| row.get(0))
        .optional()
}

/// When the artifact with this row id ran, in one environment or in all, by environment and index.
pub(super) fn runs_of_artifact(
    connection: &Connection,
    org_id: i64,
    artifact: i64,
    environment: Option<i64>,
) -> rusqlite::Result<Vec<ArtifactRun>> {
    let mut first_seen = (0, Micros(0));
    connection
        .prepare_cached(RUNS_OF_ARTIFACT)?
        .query_map(params![org_id, artifact, environment], |row| {
            let (from_index, from) = (row.get(4)?, Micros(row.get(5)?));
            if row.get::<_, u64>(9)? == 0 {
                first_seen = (from_index, from);
            }
            let Json::<Vec<i64>>(reported) = row.get(10)?;
            let current = rows::lenient_column::<Json<Vec<i64>>>(row, 11);
            let started_at = current.map_or(reported, |Json(current)| current);
            let next: Option<u32> = row.get(6)?;
            let next_at: Option<i64> = row.get(7)?;
            Ok(ArtifactRun {
                environment: row.get(0)?,
                name: row.get(1)?,
                fingerprint: rows::fingerprint(row.get_ref(2)?.as_str()?)?,
                replicas: row.get(3)?,
                started_at: started_at.first().copied(),
                first_seen,
                from_index,
                from,
                to: next.zip(next_at.map(Micros)),
                latest_index: row.get(8)?,
            })
        })?
        .collect()
}

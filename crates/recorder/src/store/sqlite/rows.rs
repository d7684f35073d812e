//! Reads artifacts from rows.

use envsnap_model::snapshot::Fingerprint;
use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, Type};

use super::json::Json;
use crate::domain::{EcsLocation, Firsts, Micros, Seen, SnapshotArtifact, Task};

/// The columns that [`artifact`] reads, of an interval joined by [`ARTIFACT_JOIN`]. The last report of a run
/// is NULL if the run goes on; only its last interval says it.
pub(super) const ARTIFACT_COLUMNS: &str = "interval.name, artifact.fingerprint, interval.replicas,
    interval.started_at, interval.task, interval.places, interval.run_from, interval.run_from_at,
    CASE WHEN interval.to_index IS NOT NULL THEN coalesce(interval.run_until_at, (
        SELECT last.run_until_at FROM interval AS last
        WHERE last.org_id = interval.org_id AND last.artifact_id = interval.artifact_id
          AND last.environment_id = interval.environment_id AND last.run_from = interval.run_from
        ORDER BY last.from_index DESC LIMIT 1)) END,
    interval.first_image, interval.first_repository, interval.first_registry";

/// How many columns [`ARTIFACT_COLUMNS`] are.
pub(super) const ARTIFACT_COLUMN_COUNT: usize = 12;

/// Joins an interval with its artifact. The order of the tables is fixed.
pub(super) const ARTIFACT_JOIN: &str = "CROSS JOIN artifact ON artifact.org_id = interval.org_id
        AND artifact.id = interval.artifact_id";

/// Parses a fingerprint from a column; `None` for `""`, which stands for an unknown one.
pub(super) fn fingerprint(text: &str) -> rusqlite::Result<Option<Fingerprint>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| {
        let error = FromSqlError::other(error);
        rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
    })
}

/// Every place in which an artifact runs: `several`, or that of its task if `several` is empty.
pub(super) fn places(several: Vec<EcsLocation>, task: &Task, replicas: u64) -> Vec<EcsLocation> {
    if several.is_empty() {
        let (cluster, service) = (task.cluster.clone(), task.service.clone());
        return vec![EcsLocation { cluster, replicas, service }];
    }
    several
}

/// An artifact that runs, with as many replicas as before, from a row that begins with [`ARTIFACT_COLUMNS`].
/// A run that goes on is confirmed by the environment's `last_report`.
pub(super) fn artifact(
    row: &Row<'_>,
    last_report: Option<Micros>,
) -> rusqlite::Result<SnapshotArtifact> {
    let now: u64 = row.get(2)?;
    let Json(started_at) = row.get(3)?;
    let Json::<Option<Task>>(task) = row.get(4)?;
    let Json(several) = row.get(5)?;
    let task = task.unwrap_or_else(Task::unknown);
    let places = places(several, &task, now);
    let first_index = row.get(6)?;
    let last_report = row.get::<_, Option<i64>>(8)?.map(Micros).or(last_report);
    let firsts = Firsts { image: row.get(9)?, repository: row.get(10)?, registry: row.get(11)? };
    let first_at = row.get::<_, Option<i64>>(7)?.map(Micros);
    let seen = first_at.map(|first_at| {
        let confirmed_until = last_report.unwrap_or(first_at);
        Seen { first_index, first_at, confirmed_until, firsts }
    });
    Ok(SnapshotArtifact {
        name: row.get(0)?,
        fingerprint: fingerprint(row.get_ref(1)?.as_str()?)?,
        was: now,
        now,
        started_at,
        task,
        places,
        seen,
        provenance: None,
    })
}

/// A column that the ledger does not cover. An invalid value, which was written by hand, is logged and read
/// as `None`, so that the rest of the file stays readable.
pub(super) fn lenient_column<T: FromSql>(row: &Row<'_>, column: usize) -> Option<T> {
    row.get::<_, Option<T>>(column).unwrap_or_else(|error| {
        tracing::warn!(
            "ignored a value in the snapshot file that cannot be read: {error}. Find it with \
             envsnap verify"
        );
        None
    })
}

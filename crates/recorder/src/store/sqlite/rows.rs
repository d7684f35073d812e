//! Reads artifacts from rows.

use envsnap_model::snapshot::Fingerprint;
use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, Type};

use super::json::Json;
use crate::domain::{EcsLocation, SnapshotArtifact, Task};

/// The columns that [`artifact`] reads, of an interval joined with its artifact.
pub(super) const ARTIFACT_COLUMNS: &str = "interval.name, artifact.fingerprint, interval.replicas,
    interval.started_at, interval.task, interval.places";

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
pub(super) fn artifact(row: &Row<'_>) -> rusqlite::Result<SnapshotArtifact> {
    let now: u64 = row.get(2)?;
    let Json(started_at) = row.get(3)?;
    let Json::<Option<Task>>(task) = row.get(4)?;
    let Json(several) = row.get(5)?;
    let task = task.unwrap_or_else(Task::unknown);
    let places = places(several, &task, now);
    Ok(SnapshotArtifact {
        name: row.get(0)?,
        fingerprint: fingerprint(row.get_ref(1)?.as_str()?)?,
        was: now,
        now,
        started_at,
        task,
        places,
        seen: None,
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

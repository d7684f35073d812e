//! Snapshots in the file: the intervals that contain an index.

use std::cmp::Reverse;
use std::collections::HashMap;

use envsnap_model::expression::{Snappish, Timeline};
use envsnap_model::plausible_times;
use envsnap_model::provenance::Origin;
use envsnap_model::snapshot::Identity;
use rusqlite::{Connection, OptionalExtension as _, ToSql, params, params_from_iter};

use super::environments::found_or_error;
use super::failure::Failure;
use super::json::Json;
use super::projection::nodes_containing;
use super::readers::ReadSize;
use super::{gaps, provenance, rows};
use crate::domain::{EntryHash, Error, Micros, SnapshotArtifact, SnapshotRecord, Task};

/// The most artifacts of a snapshot that counts as a small read ([`ReadSize::Small`]).
const MAX_SMALL_ARTIFACTS: u64 = 500;

/// Reads the snapshots of one environment.
pub(super) struct History<'a> {
    pub(super) connection: &'a Connection,
    pub(super) org_id: i64,
    pub(super) environment_id: i64,
    pub(super) environment: String,
    pub(super) environment_type: String,
    /// How many snapshots there are.
    pub(super) count: u32,
    pub(super) last_reported_at: Option<Micros>,
    pub(super) heartbeat: Option<u32>,
    pub(super) now: Micros,
}

impl<'a> History<'a> {
    /// The history of the environment with this name, unless it is archived.
    pub(super) fn find(
        connection: &'a Connection,
        now: Micros,
        org: &str,
        environment: &str,
    ) -> Result<Self, Failure> {
        let is_wanted = "environment.name = $2 AND archived_at IS NULL";
        let found = Self::find_where(connection, now, is_wanted, params![org, environment])?;
        found_or_error(found, connection, org, environment)
    }

    /// The history of the environment that ledger entry `entry` created, archived or not.
    pub(super) fn find_created_by(
        connection: &'a Connection,
        now: Micros,
        org: &str,
        entry: i64,
    ) -> Result<Self, Failure> {
        let is_wanted = "environment.id = $2";
        let found = Self::find_where(connection, now, is_wanted, params![org, entry])?;
        found_or_error(found, connection, org, &format!("of entry {entry}"))
    }

    /// The history of the environment of organization `$1` for which the SQL condition `is_wanted` holds.
    fn find_where(
        connection: &'a Connection,
        now: Micros,
        is_wanted: &str,
        parameters: &[&dyn ToSql],
    ) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(&format!(
                "SELECT environment.org_id, environment.id, type, latest_index, last_reported_at,
                        heartbeat, environment.name
                 FROM environment
                 LEFT JOIN reporting ON reporting.org_id = environment.org_id
                     AND reporting.environment_id = environment.id
                 WHERE environment.org_id = (SELECT id FROM org WHERE name = $1) AND {is_wanted}"
            ))?
            .query_row(parameters, |row| {
                Ok(Self {
                    connection,
                    org_id: row.get(0)?,
                    environment_id: row.get(1)?,
                    environment: row.get(6)?,
                    environment_type: row.get(2)?,
                    count: row.get(3)?,
                    last_reported_at: rows::lenient_column(row, 4).map(Micros),
                    heartbeat: rows::lenient_column(row, 5),
                    now,
                })
            })
            .optional()
    }

    /// The recorded time of each snapshot, by index.
    pub(super) fn recorded_times(&self) -> rusqlite::Result<Vec<Micros>> {
        self.connection
            .prepare_cached(
                "SELECT recorded_at FROM snapshot
                 WHERE org_id = $1 AND environment_id = $2 ORDER BY snapshot_index",
            )?
            .query_map([self.org_id, self.environment_id], |row| row.get(0).map(Micros))?
            .collect()
    }

    /// By when each snapshot was recorded, by index, in seconds since the Unix epoch: see
    /// [`plausible_times`].
    fn plausible_times(&self) -> rusqlite::Result<Vec<f64>> {
        let times: Vec<_> = self.recorded_times()?.into_iter().map(Micros::seconds).collect();
        Ok(plausible_times(&times, self.now.seconds()))
    }

    /// The number of snapshots, from the first on, that were recorded at times for which `is_past` holds.
    fn count_while(&self, is_past: impl Fn(f64) -> bool) -> rusqlite::Result<u32> {
        let count = self.plausible_times()?.partition_point(|time| is_past(*time));
        Ok(u32::try_from(count).unwrap_or(self.count))
    }

    /// What runs in snapshot `index`, in no particular order. Each artifact is marked as unchanged.
    pub(super) fn running(&self, index: u32) -> rusqlite::Result<Vec<SnapshotArtifact>> {
        let key = [self.org_id, self.environment_id, i64::from(index)];
        let parameters = key.into_iter().chain(nodes_containing(index).map(i64::from));
        self.connection
            .prepare_cached(&running_query())?
            .query_map(params_from_iter(parameters), |row| {
                rows::artifact(row, self.last_reported_at)
            })?
            .collect()
    }

    /// What runs in the latest snapshot, latest start first; `None` if that is more than `max`, and
    /// nothing if there is no snapshot.
    pub(super) fn running_if_few(
        &self,
        max: u64,
    ) -> Result<Option<Vec<SnapshotArtifact>>, Failure> {
        let few = self.counts(self.count, self.count)?.iter().all(|(count, _)| *count <= max);
        if !few {
            return Ok(None);
        }
        let mut artifacts = self.running(self.count)?;
        self.apply_current_tasks(&mut artifacts)?;
        artifacts.sort_by_cached_key(SnapshotArtifact::identity);
        sort_artifacts(&mut artifacts);
        self.add_provenance(&mut artifacts, None, None)?;
        Ok(Some(artifacts))
    }

    /// Adds its provenance to each artifact that has one of `origins`, or to all. `entries` are those
    /// of the snapshot before and of the one that shows them.
    pub(super) fn add_provenance<'b>(
        &self,
        artifacts: impl IntoIterator<Item = &'b mut SnapshotArtifact>,
        entries: Option<(i64, i64)>,
        origins: Option<&[Origin]>,
    ) -> Result<(), Failure> {
        let (org_id, environment_id) = (self.org_id, self.environment_id);
        let environment = &*self.environment;
        let shown = provenance::Shown { org_id, environment_id, environment, entries, origins };
        provenance::add_provenance(self.connection, shown, artifacts)
    }

    /// The number of the ledger entry of the snapshot before `index`; 0 if there is none.
    fn seq_before(&self, index: u32) -> rusqlite::Result<i64> {
        let seq = self
            .connection
            .prepare_cached(
                "SELECT seq FROM snapshot
                 WHERE org_id = $1 AND environment_id = $2 AND snapshot_index = $3",
            )?
            .query_row(params![self.org_id, self.environment_id, i64::from(index) - 1], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(seq.unwrap_or(0))
    }

    /// What changed with the snapshots from `first` to `last`: the index, and the artifact as it is
    /// in that snapshot, by index.
    pub(super) fn changes(
        &self,
        first: u32,
        last: u32,
    ) -> rusqlite::Result<Vec<(u32, SnapshotArtifact)>> {
        let (first, last) = (i64::from(first), i64::from(last));
        let mut changes = self
            .connection
            .prepare_cached(&format!(
                "SELECT {}, interval.from_index, interval.was FROM interval {}
                 WHERE interval.org_id = $1 AND interval.environment_id = $2
                   AND interval.from_index BETWEEN $3 AND $4",
                rows::ARTIFACT_COLUMNS,
                rows::ARTIFACT_JOIN
            ))?
            .query_map([self.org_id, self.environment_id, first, last], |row| {
                let was = row.get(rows::ARTIFACT_COLUMN_COUNT + 1)?;
                let artifact = rows::artifact(row, self.last_reported_at)?;
                let index = row.get(rows::ARTIFACT_COLUMN_COUNT)?;
                Ok((index, SnapshotArtifact { was, ..artifact }))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        // What ended and did not begin again.
        let exited = self
            .connection
            .prepare_cached(&format!(
                "SELECT {}, interval.to_index + 1 FROM interval {}
                 WHERE interval.org_id = $1 AND interval.environment_id = $2
                   AND interval.to_index BETWEEN $3 - 1 AND $4 - 1
                   AND NOT EXISTS (
                       SELECT 1 FROM interval AS next
                       WHERE next.org_id = interval.org_id
                         AND next.artifact_id = interval.artifact_id
                         AND next.environment_id = interval.environment_id
                         AND next.run_from = interval.run_from
                         AND next.from_index = interval.to_index + 1)",
                rows::ARTIFACT_COLUMNS,
                rows::ARTIFACT_JOIN
            ))?
            .query_map([self.org_id, self.environment_id, first, last], |row| {
                let artifact = rows::artifact(row, self.last_reported_at)?;
                let exited = SnapshotArtifact { now: 0, started_at: Vec::new(), ..artifact };
                Ok((row.get(rows::ARTIFACT_COLUMN_COUNT)?, exited))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        changes.extend(exited);
        changes.sort_by(|(one, a), (other, b)| (one, a.identity()).cmp(&(other, b.identity())));
        Ok(changes)
    }

    /// What snapshot `index` shows: what runs, latest start first, then what exited with it.
    pub(super) fn artifacts(&self, index: u32) -> rusqlite::Result<Vec<SnapshotArtifact>> {
        let mut artifacts = self.running(index)?;
        let changes = self.changes(index, index)?;
        let mut exited = Vec::new();
        let mut was = HashMap::new();
        for (_, change) in changes {
            if change.runs() {
                was.insert(change.identity(), change.was);
            } else {
                exited.push(change);
            }
        }
        for artifact in &mut artifacts {
            artifact.was = was.remove(&artifact.identity()).unwrap_or(artifact.was);
        }
        if index == self.count {
            self.apply_current_tasks(&mut artifacts)?;
        }
        artifacts.sort_by_cached_key(SnapshotArtifact::identity);
        artifacts.extend(exited);
        sort_artifacts(&mut artifacts);
        Ok(artifacts)
    }

    /// How many artifacts snapshot `index` shows at most: those that run, and all that changed.
    fn max_artifacts_shown(&self, index: u32) -> rusqlite::Result<u64> {
        let running = self.counts(index, index)?.first().map_or(0, |(artifacts, _)| *artifacts);
        let changed = self.events_until(index)?.saturating_sub(self.events_until(index - 1)?);
        Ok(running + changed)
    }

    /// Replaces the tasks, start times and places of the latest snapshot by those of the latest report.
    pub(super) fn apply_current_tasks(
        &self,
        artifacts: &mut [SnapshotArtifact],
    ) -> rusqlite::Result<()> {
        let mut artifacts: HashMap<_, _> =
            artifacts.iter_mut().map(|artifact| (artifact.identity(), artifact)).collect();
        let mut statement = self.connection.prepare_cached(
            "SELECT artifact.fingerprint, artifact.name, started_at, task, places
             FROM current_task
             JOIN artifact ON artifact.org_id = current_task.org_id
                 AND artifact.id = current_task.artifact_id
             WHERE current_task.org_id = $1 AND current_task.environment_id = $2",
        )?;
        let mut rows = statement.query([self.org_id, self.environment_id])?;
        while let Some(row) = rows.next()? {
            let fingerprint = rows::fingerprint(row.get_ref(0)?.as_str()?)?;
            let name = row.get_ref(1)?.as_str()?;
            let identity = Identity::new(name, fingerprint);
            let Some(artifact) = artifacts.get_mut(&identity) else { continue };
            let (Some(Json(started_at)), Some(Json::<Option<Task>>(task)), Some(Json(places))) = (
                rows::lenient_column(row, 2),
                rows::lenient_column(row, 3),
                rows::lenient_column(row, 4),
            ) else {
                continue;
            };
            artifact.started_at = started_at;
            artifact.task = task.unwrap_or_else(|| artifact.task.clone());
            artifact.places = rows::places(places, &artifact.task, artifact.now);
        }
        Ok(())
    }

    /// Snapshot `index` with its ledger entry, its time, and each artifact's runs and provenance: of all
    /// artifacts, or of those that have one of `origins`.
    pub(super) fn snapshot(
        &self,
        index: u32,
        origins: Option<&[Origin]>,
    ) -> Result<SnapshotRecord, Failure> {
        let mut spans = self.spans(index, index)?;
        let span = spans.pop().ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let (seq, hash, reported_by) = self
            .connection
            .prepare_cached(
                "SELECT ledger.seq, ledger.hash, ledger.actor FROM snapshot
                 JOIN ledger ON ledger.org_id = snapshot.org_id AND ledger.seq = snapshot.seq
                 WHERE snapshot.org_id = $1 AND snapshot.environment_id = $2
                   AND snapshot.snapshot_index = $3",
            )?
            .query_row(params![self.org_id, self.environment_id, index], |row| {
                Ok((row.get(0)?, EntryHash::from(row.get::<_, [u8; 32]>(1)?), row.get(2)?))
            })?;
        let mut artifacts = self.artifacts(index)?;
        let running_count = artifacts.iter().filter(|artifact| artifact.runs()).count() as u64;
        self.add_provenance(&mut artifacts, Some((self.seq_before(index)?, seq)), origins)?;
        if origins.is_some() {
            artifacts.retain(|artifact| artifact.provenance.is_some());
        }
        Ok(SnapshotRecord {
            index,
            seq,
            hash,
            reported_by,
            recorded_at: span.from,
            confirmed_until: span.confirmed_until,
            next_recorded_at: span.to,
            gaps: span.gaps,
            environment_type: self.environment_type.clone(),
            running_count,
            is_partial: origins.is_some(),
            artifacts,
        })
    }

    /// How long each of the snapshots from `first` to `last` was the latest, by index.
    pub(super) fn spans(
        &self,
        first: u32,
        last: u32,
    ) -> rusqlite::Result<Vec<crate::domain::SnapshotSpan>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT snapshot.snapshot_index, snapshot.recorded_at, next.recorded_at,
                    next.previous_report
             FROM snapshot
             LEFT JOIN snapshot AS next ON next.org_id = snapshot.org_id
                 AND next.environment_id = snapshot.environment_id
                 AND next.snapshot_index = snapshot.snapshot_index + 1
             WHERE snapshot.org_id = $1 AND snapshot.environment_id = $2
               AND snapshot.snapshot_index BETWEEN $3 AND $4
             ORDER BY snapshot.snapshot_index",
        )?;
        let mut rows = statement.query(params![self.org_id, self.environment_id, first, last])?;
        let mut spans = Vec::new();
        while let Some(row) = rows.next()? {
            let from = Micros(row.get(1)?);
            let to = row.get::<_, Option<i64>>(2)?.map(Micros);
            let last_report = match to {
                Some(_) => row.get::<_, Option<i64>>(3)?.map(Micros),
                None => self.last_reported_at,
            };
            spans.push(crate::domain::SnapshotSpan {
                index: row.get(0)?,
                from,
                to,
                confirmed_until: last_report.unwrap_or(from),
                gaps: Vec::new(),
            });
        }
        gaps::add_report_gaps(self, &mut spans)?;
        Ok(spans)
    }
}

impl Timeline for History<'_> {
    type Error = rusqlite::Error;

    fn count(&self) -> u32 {
        self.count
    }

    fn now(&self) -> f64 {
        self.now.seconds()
    }

    fn until(&self, time: f64) -> rusqlite::Result<u32> {
        self.count_while(|recorded| recorded <= time)
    }

    fn before(&self, time: f64) -> rusqlite::Result<u32> {
        self.count_while(|recorded| recorded < time)
    }
}

/// The query for what runs in a snapshot. Its parameters: organization, environment, index, and the nodes
/// that [contain](nodes_containing) the index.
pub(super) fn running_query() -> String {
    // The signs keep SQLite from an index by start, through which it would read most intervals.
    format!(
        "SELECT {} FROM interval {}
         WHERE interval.org_id = ?1 AND interval.environment_id = ?2
           AND +interval.from_index <= ?3
           AND (interval.to_index IS NULL OR +interval.to_index >= ?3)
           AND interval.node IN ({})",
        rows::ARTIFACT_COLUMNS,
        rows::ARTIFACT_JOIN,
        (4..37).map(|parameter| format!("?{parameter}")).collect::<Vec<_>>().join(", ")
    )
}

/// Sorts running artifacts by latest start first, and puts those that exited last. The sort is stable.
pub(super) fn sort_artifacts(artifacts: &mut [SnapshotArtifact]) {
    artifacts.sort_by_key(|artifact| Reverse(artifact.started_at.last().copied()));
}

/// The snapshots that the expressions `wanted` resolve to, with the artifacts that have one of `origins`, or
/// with all. `None` if `size` is small and one of them has too many artifacts for that.
pub(super) fn find_snapshots<const N: usize>(
    connection: &Connection,
    now: Micros,
    org: &str,
    wanted: &[Snappish; N],
    origins: Option<&[Origin]>,
    size: ReadSize,
) -> Result<Option<[SnapshotRecord; N]>, Failure> {
    let mut found = Vec::with_capacity(N);
    for wanted in wanted {
        let history = History::find(connection, now, org, &wanted.environment)?;
        let index = resolve_index(&history, org, wanted)?;
        if size == ReadSize::Small && history.max_artifacts_shown(index)? > MAX_SMALL_ARTIFACTS {
            return Ok(None);
        }
        found.push(history.snapshot(index, origins)?);
    }
    let found = found.try_into().map_err(|_| rusqlite::Error::QueryReturnedNoRows)?;
    Ok(Some(found))
}

/// The index of the snapshot that the expression `wanted` resolves to, which exists.
fn resolve_index(history: &History<'_>, org: &str, wanted: &Snappish) -> Result<u32, Failure> {
    let (resolved, count) = (wanted.expression.resolve(history)?, history.count);
    let index = u32::try_from(resolved).ok().filter(|index| (1..=count).contains(index));
    index.ok_or_else(|| {
        Error::SnapshotNotFound {
            org: org.to_owned(),
            snapshot: wanted.to_string(),
            environment: wanted.environment.clone(),
            index: resolved,
            count,
        }
        .into()
    })
}

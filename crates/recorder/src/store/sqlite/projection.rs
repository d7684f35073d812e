//! Projects ledger entries onto the tables.
//!
//! Writes and `verify` use the same code, so that the tables cannot differ from the ledger.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::failure::Failure;
use super::json::Json;
use super::provenance::rename::rename_environment_of_deployments;
use super::{first_seen, provenance};
use crate::domain::{
    Change, Confirmed, EnvironmentChanged, EnvironmentCreated, EnvironmentRenamed, Micros, Payload,
    SnapshotTaken,
};

/// Applies entry `seq` of an organization to the tables.
pub(super) fn apply(
    connection: &Connection,
    org_id: i64,
    seq: i64,
    recorded_at: Micros,
    payload: &Payload,
) -> Result<(), Failure> {
    let projection = Projection { connection, org_id, seq, recorded_at };
    match payload {
        Payload::EnvironmentCreated(created) => projection.create_environment(created)?,
        Payload::EnvironmentChanged(changed) => projection.change_environment(changed)?,
        Payload::EnvironmentRenamed(renamed) => projection.rename_environment(renamed)?,
        Payload::EnvironmentArchived(archived) => {
            projection.set_archived(archived.environment, Some(recorded_at))?;
        }
        Payload::EnvironmentRestored(restored) => {
            projection.set_archived(restored.environment, None)?;
        }
        Payload::Snapshot(snapshot) => projection.add_snapshot(snapshot)?,
        Payload::Confirmed(confirmed) => projection.confirm_snapshot(confirmed)?,
        Payload::ClockCorrected(_) => {}
        Payload::FlowCreated(_)
        | Payload::FlowChanged(_)
        | Payload::FlowRenamed(_)
        | Payload::FlowArchived(_)
        | Payload::TrailBegun(_)
        | Payload::TrailChanged(_)
        | Payload::ArtifactReported(_)
        | Payload::AttestationReported(_)
        | Payload::DeploymentReported(_)
        | Payload::Allowed(_)
        | Payload::AllowanceWithdrawn(_) => {
            provenance::projection::apply(connection, org_id, seq, recorded_at, payload)?;
        }
    }
    Ok(())
}

/// Applies one ledger entry to the tables.
struct Projection<'a> {
    connection: &'a Connection,
    org_id: i64,
    seq: i64,
    recorded_at: Micros,
}

impl Projection<'_> {
    fn create_environment(&self, created: &EnvironmentCreated) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO environment
                     (org_id, id, name, type, description, include_scaling, included_environments,
                      policies, changed_at, latest_index)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)",
            )?
            .insert(params![
                self.org_id,
                self.seq,
                created.name,
                created.environment_type,
                created.description,
                created.include_scaling,
                created.included_environments.as_ref().map(Json),
                created.policies.as_ref().map(Json),
                self.recorded_at.0,
            ])?;
        Ok(())
    }

    fn change_environment(&self, changed: &EnvironmentChanged) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE environment SET
                     description = coalesce($1, description),
                     include_scaling = coalesce($2, include_scaling),
                     included_environments = coalesce($3, included_environments),
                     policies = coalesce($4, policies),
                     changed_at = $5
                 WHERE org_id = $6 AND id = $7",
            )?
            .execute(params![
                changed.description,
                changed.include_scaling,
                changed.included_environments.as_ref().map(Json),
                changed.policies.as_ref().map(Json),
                self.recorded_at.0,
                self.org_id,
                changed.environment,
            ])?;
        Ok(())
    }

    fn rename_environment(&self, renamed: &EnvironmentRenamed) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE environment SET name = $1, changed_at = $2 WHERE org_id = $3 AND id = $4",
            )?
            .execute(params![renamed.to, self.recorded_at.0, self.org_id, renamed.environment])?;
        let entry = (self.org_id, self.seq);
        rename_environment_of_deployments(self.connection, entry, &renamed.from, &renamed.to)?;
        let including: Vec<(i64, Json<Vec<String>>)> = self
            .connection
            .prepare_cached(
                "SELECT id, included_environments FROM environment
                 WHERE org_id = $1 AND included_environments IS NOT NULL",
            )?
            .query_map([self.org_id], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (id, Json(mut names)) in including {
            let mut found = false;
            for name in names.iter_mut().filter(|name| **name == renamed.from) {
                name.clone_from(&renamed.to);
                found = true;
            }
            if found {
                self.connection
                    .prepare_cached(
                        "UPDATE environment SET included_environments = $1
                         WHERE org_id = $2 AND id = $3",
                    )?
                    .execute(params![Json(names), self.org_id, id])?;
            }
        }
        Ok(())
    }

    fn set_archived(&self, environment: i64, at: Option<Micros>) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE environment SET archived_at = $1, changed_at = $2
                 WHERE org_id = $3 AND id = $4",
            )?
            .execute(params![at.map(|at| at.0), self.recorded_at.0, self.org_id, environment])?;
        Ok(())
    }

    fn add_snapshot(&self, snapshot: &SnapshotTaken) -> Result<(), Failure> {
        let previous = self
            .connection
            .prepare_cached(
                "SELECT artifacts, replicas, events, recorded_at FROM snapshot
                 WHERE org_id = $1 AND environment_id = $2 AND snapshot_index = $3",
            )?
            .query_row(
                params![self.org_id, snapshot.environment, i64::from(snapshot.index) - 1],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
            )
            .optional()?;
        let last_report = snapshot.previous_report.map(|report| report.0);
        let last_report = last_report.or(previous.map(|(_, _, _, recorded_at)| recorded_at));
        let (mut artifacts, mut replicas, events, _): (i64, i64, i64, i64) =
            previous.unwrap_or_default();
        for change in &snapshot.changes {
            let (was, now) = (to_i64_saturating(change.was), to_i64_saturating(change.now));
            artifacts += i64::from(now > 0) - i64::from(was > 0);
            replicas += now - was;
            self.change_artifact(snapshot, change, last_report)?;
        }
        let content_hash = hex::decode(&snapshot.content_hash).unwrap_or_default();
        self.connection
            .prepare_cached(
                "INSERT INTO snapshot
                     (org_id, environment_id, snapshot_index, seq, recorded_at, previous_report,
                      content_hash, artifacts, replicas, events)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )?
            .insert(params![
                self.org_id,
                snapshot.environment,
                snapshot.index,
                self.seq,
                self.recorded_at.0,
                snapshot.previous_report.map(|report| report.0),
                content_hash,
                artifacts,
                replicas,
                events + to_i64_saturating(snapshot.changes.len() as u64),
            ])?;
        self.connection
            .prepare_cached(
                "UPDATE environment SET latest_index = $1, reported_in_ledger_at = $2
                 WHERE org_id = $3 AND id = $4",
            )?
            .execute(params![
                snapshot.index,
                self.recorded_at.0,
                self.org_id,
                snapshot.environment
            ])?;
        self.extend_coverage(
            snapshot.environment,
            snapshot.covered_from,
            snapshot.previous_report,
        )?;
        Ok(())
    }

    /// Ends the artifact's open interval, and begins another one if it still runs. `last_report` is the one
    /// before this snapshot.
    fn change_artifact(
        &self,
        snapshot: &SnapshotTaken,
        change: &Change,
        last_report: Option<i64>,
    ) -> Result<(), Failure> {
        let artifact = self.artifact_id(change)?;
        let mut run = Run { from: snapshot.index, from_at: Some(self.recorded_at.0) };
        if change.was > 0 {
            run = self.close_interval(snapshot, artifact, change.now == 0, last_report)?;
        }
        if change.now == 0 {
            return Ok(());
        }
        let environment = (self.org_id, snapshot.environment);
        let (index, Change { name, fingerprint, .. }) = (snapshot.index, change);
        let firsts =
            first_seen::note_first_seen(self.connection, environment, index, name, fingerprint)?;
        self.connection
            .prepare_cached(
                "INSERT INTO interval
                     (org_id, artifact_id, environment_id, from_index, node, replicas, was, name,
                      started_at, task, places, run_from, run_from_at, first_image,
                      first_repository, first_registry)
                 VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
            )?
            .insert(params![
                self.org_id,
                artifact,
                snapshot.environment,
                snapshot.index,
                to_i64_saturating(change.now),
                to_i64_saturating(change.was),
                change.name,
                Json(&change.started_at),
                Json(&change.task),
                Json(&change.places),
                run.from,
                run.from_at,
                firsts.image,
                firsts.repository,
                firsts.registry,
            ])?;
        self.connection
            .prepare_cached(
                "INSERT INTO artifact_label (org_id, label, artifact_id) VALUES ($1, $2, $3)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![self.org_id, change.name, artifact])?;
        Ok(())
    }

    /// Ends the artifact's open interval with the snapshot before this one, and returns its run.
    /// `last_report` is the one before this snapshot, with which the run ended if it ends, too.
    fn close_interval(
        &self,
        snapshot: &SnapshotTaken,
        artifact: i64,
        run_ends: bool,
        last_report: Option<i64>,
    ) -> rusqlite::Result<Run> {
        let key = params![self.org_id, artifact, snapshot.environment];
        let (run, from) = self
            .connection
            .prepare_cached(
                "SELECT run_from, run_from_at, from_index FROM interval
                 WHERE org_id = $1 AND artifact_id = $2 AND environment_id = $3
                 ORDER BY run_from DESC, from_index DESC LIMIT 1",
            )?
            .query_row(key, |row| {
                Ok((Run { from: row.get(0)?, from_at: row.get(1)? }, row.get(2)?))
            })?;
        let run_until_at = last_report.or(run.from_at).filter(|_| run_ends);
        let to = snapshot.index.saturating_sub(1);
        self.connection
            .prepare_cached(
                "UPDATE interval SET to_index = $1, node = $2, run_until_at = $3
                 WHERE org_id = $4 AND environment_id = $5 AND node = 0 AND from_index = $6
                   AND artifact_id = $7",
            )?
            .execute(params![
                to,
                interval_node(from, to),
                run_until_at,
                self.org_id,
                snapshot.environment,
                from,
                artifact,
            ])?;
        Ok(run)
    }

    /// The row id of the artifact, which is inserted if it never ran.
    fn artifact_id(&self, change: &Change) -> rusqlite::Result<i64> {
        // One with a fingerprint is known by that alone.
        let name = if change.fingerprint.is_empty() { &*change.name } else { "" };
        let known = self
            .connection
            .prepare_cached(
                "SELECT id FROM artifact WHERE org_id = $1 AND fingerprint = $2 AND name = $3",
            )?
            .query_row(params![self.org_id, change.fingerprint, name], |row| row.get(0))
            .optional()?;
        if let Some(id) = known {
            return Ok(id);
        }
        let last: Option<i64> = self
            .connection
            .prepare_cached("SELECT max(id) FROM artifact WHERE org_id = $1")?
            .query_row([self.org_id], |row| row.get(0))?;
        let id = last.unwrap_or(0) + 1;
        self.connection
            .prepare_cached(
                "INSERT INTO artifact (org_id, id, fingerprint, name) VALUES ($1, $2, $3, $4)",
            )?
            .execute(params![self.org_id, id, change.fingerprint, name])?;
        Ok(id)
    }

    fn confirm_snapshot(&self, confirmed: &Confirmed) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE environment SET reported_in_ledger_at = $1 WHERE org_id = $2 AND id = $3",
            )?
            .execute(params![self.recorded_at.0, self.org_id, confirmed.environment])?;
        let goes_on = confirmed.until == self.recorded_at;
        let from = if goes_on { confirmed.from } else { self.recorded_at };
        self.extend_coverage(confirmed.environment, from, Some(confirmed.until))
    }

    /// Extends the covered time that began at `from` to this entry. If no such time has begun, the last one
    /// ends with `previous`, the report before this one, and a new one begins.
    fn extend_coverage(
        &self,
        environment: i64,
        from: Micros,
        previous: Option<Micros>,
    ) -> rusqlite::Result<()> {
        let last: Option<(i64, i64)> = self
            .connection
            .prepare_cached(
                "SELECT number, from_at FROM coverage WHERE org_id = $1 AND environment_id = $2
                 ORDER BY number DESC LIMIT 1",
            )?
            .query_row([self.org_id, environment], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let goes_on = last.is_some_and(|(_, began)| began == from.0);
        let end = if goes_on { Some(self.recorded_at) } else { previous };
        if let (Some((number, _)), Some(end)) = (last, end) {
            self.connection
                .prepare_cached(
                    "UPDATE coverage SET until_at = $1
                     WHERE org_id = $2 AND environment_id = $3 AND number = $4",
                )?
                .execute([end.0, self.org_id, environment, number])?;
        }
        if !goes_on {
            let number = last.map_or(1, |(number, _)| number + 1);
            self.connection
                .prepare_cached(
                    "INSERT INTO coverage (org_id, environment_id, number, from_at, until_at)
                     VALUES ($1, $2, $3, $4, $5)",
                )?
                .execute([self.org_id, environment, number, from.0, self.recorded_at.0])?;
        }
        Ok(())
    }
}

/// The time in which an artifact ran without an interruption, with any number of replicas.
struct Run {
    /// The snapshot in which it began.
    from: u32,
    /// When that was recorded, in microseconds since the Unix epoch; `None` if the file was damaged when it
    /// was brought to this version.
    from_at: Option<i64>,
}

/// For a column: SQLite's integers are signed.
fn to_i64_saturating(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The node of the interval `from..=to` in a binary tree over all snapshot indexes: of its indexes, the one
/// that the highest power of two divides.
///
/// An index is contained only by intervals at nodes on its path from the root: see [`nodes_containing`].
pub(super) fn interval_node(from: u32, to: u32) -> u32 {
    let below = from.saturating_sub(1);
    match (below ^ to).checked_ilog2() {
        Some(level) => to >> level << level,
        None => to,
    }
}

/// The nodes of all intervals that can contain snapshot `index`; 0, the first one, is that of intervals
/// that have not ended.
pub(super) fn nodes_containing(index: u32) -> [u32; 33] {
    let mut nodes = [0; 33];
    for (level, node) in (0..32).zip(&mut nodes[1..]) {
        // The one multiple of 2^level and not of 2^(level + 1) near it.
        *node = ((u64::from(index) >> level | 1) << level).try_into().unwrap_or(0);
    }
    nodes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn interval_node_is_in_the_interval_and_a_node_of_every_index_in_it(
            from in 1..5_000_u32, length in 0..5_000_u32, step in 0..5_000_u32,
        ) {
            let to = from + length;
            let node = interval_node(from, to);
            prop_assert!((from..=to).contains(&node));
            prop_assert!(nodes_containing(from + step.min(length)).contains(&node));
        }

        #[test]
        fn interval_node_is_a_node_of_both_ends_for_any_u32_indexes(from in 1..=u32::MAX, to in 1..=u32::MAX) {
            let node = interval_node(from.min(to), from.max(to));
            prop_assert!(nodes_containing(from).contains(&node));
            prop_assert!(nodes_containing(to).contains(&node));
        }
    }
}

//! What ran in an environment for the first time.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows;
use crate::domain::{FirstTime, Firsts, names_of};

/// Stores that the artifact's image, repository and registry run in snapshot `index`, unless they ran in an
/// earlier one. Returns the first snapshots of all three.
pub(super) fn note_first_seen(
    connection: &Connection,
    (org_id, environment_id): (i64, i64),
    index: u32,
    name: &str,
    fingerprint: &str,
) -> rusqlite::Result<Firsts> {
    let mut known = connection.prepare_cached(
        "SELECT snapshot_index FROM first_seen
         WHERE org_id = $1 AND environment_id = $2 AND kind = $3 AND name = $4",
    )?;
    let mut firsts = Firsts::default();
    for (kind, name) in names_of(name, rows::fingerprint(fingerprint)?) {
        let key = params![org_id, environment_id, kind.as_str(), name];
        let known = known.query_row(key, |row| row.get(0)).optional()?;
        if known.is_none() {
            connection
                .prepare_cached(
                    "INSERT INTO first_seen (org_id, environment_id, kind, name, snapshot_index)
                     VALUES ($1, $2, $3, $4, $5)",
                )?
                .execute(params![org_id, environment_id, kind.as_str(), name, index])?;
        }
        let first = match kind {
            FirstTime::Image => &mut firsts.image,
            FirstTime::Repository => &mut firsts.repository,
            FirstTime::Registry => &mut firsts.registry,
        };
        *first = known.unwrap_or(index);
    }
    Ok(firsts)
}

/// Fills the table `first_seen` from the intervals, in a file that was written before there was one.
pub(super) fn fill_first_seen(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT interval.org_id, interval.environment_id, interval.from_index, interval.name,
                artifact.fingerprint
         FROM interval
         JOIN artifact ON artifact.org_id = interval.org_id AND artifact.id = interval.artifact_id
         ORDER BY interval.org_id, interval.environment_id, interval.from_index",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, fingerprint) = (row.get_ref(3)?.as_str()?, row.get_ref(4)?.as_str()?);
        note_first_seen(connection, (row.get(0)?, row.get(1)?), row.get(2)?, name, fingerprint)?;
    }
    Ok(())
}

/// Fills what the intervals say of first snapshots from the table `first_seen`, in a file that was written
/// before they did.
pub(super) fn fill_firsts_of_intervals(connection: &Connection) -> rusqlite::Result<()> {
    let mut update = connection.prepare(
        "UPDATE interval SET first_image = $1, first_repository = $2, first_registry = $3
         WHERE org_id = $4 AND environment_id = $5 AND node = $6 AND from_index = $7
           AND artifact_id = $8",
    )?;
    let mut statement = connection.prepare(
        "SELECT interval.org_id, interval.environment_id, node, from_index, artifact_id,
                interval.name, artifact.fingerprint
         FROM interval
         JOIN artifact ON artifact.org_id = interval.org_id AND artifact.id = interval.artifact_id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let environment = (row.get(0)?, row.get(1)?);
        let (node, from, artifact): (u32, u32, i64) = (row.get(2)?, row.get(3)?, row.get(4)?);
        let (name, fingerprint) = (row.get_ref(5)?.as_str()?, row.get_ref(6)?.as_str()?);
        let Firsts { image, repository, registry } =
            note_first_seen(connection, environment, from, name, fingerprint)?;
        let (org_id, environment_id) = environment;
        update.execute(params![
            image,
            repository,
            registry,
            org_id,
            environment_id,
            node,
            from,
            artifact
        ])?;
    }
    Ok(())
}

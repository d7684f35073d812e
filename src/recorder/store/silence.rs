//! Times in which no report said whether a snapshot was still the same.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rusqlite::{Connection, params};

use super::reports::Latest;
use crate::api::wire::Silence;

/// Shorter ones are not kept: no reporter that is asked to confirm reports more often than every
/// minute.
const SHORTEST: f64 = 120.0;

/// Of each snapshot, so many are kept, the longest: one may be confirmed every hour for years.
const MOST: u32 = 20;

/// Keeps `silence`, if it is long enough.
pub(super) fn note(
    silence: Silence,
    connection: &Connection,
    environment_id: i64,
    index: i64,
) -> rusqlite::Result<()> {
    if silence.lasted() < SHORTEST {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO silence (environment_id, snapshot_index, silent_from, silent_until)
             VALUES (?, ?, ?, ?)
             ON CONFLICT (environment_id, snapshot_index, silent_from)
             DO UPDATE SET silent_until = excluded.silent_until",
        )?
        .execute(params![environment_id, index, silence.from, silence.until])?;
    connection
        .prepare_cached(
            "DELETE FROM silence WHERE environment_id = ?1 AND snapshot_index = ?2
                 AND silent_from NOT IN (
                     SELECT silent_from FROM silence
                     WHERE environment_id = ?1 AND snapshot_index = ?2
                     ORDER BY silent_until - silent_from DESC, silent_from LIMIT ?3)",
        )?
        .execute(params![environment_id, index, MOST])?;
    Ok(())
}

/// When the report before the one at `now` was, that found `latest` unchanged.
///
/// Times after `now` were those of a clock that was ahead: what they ended had not ended then.
pub(super) fn end_of_reports(
    connection: &Connection,
    environment_id: i64,
    latest: &Latest,
    now: f64,
) -> rusqlite::Result<f64> {
    if latest.confirmed_until <= now {
        return Ok(latest.confirmed_until);
    }
    let mut statement = connection.prepare_cached(
        "DELETE FROM silence WHERE environment_id = ? AND snapshot_index = ? AND silent_until > ?
         RETURNING silent_from",
    )?;
    let mut rows = statement.query(params![environment_id, latest.index, now])?;
    let mut end = now;
    while let Some(row) = rows.next()? {
        end = end.min(row.get(0)?);
    }
    Ok(end)
}

/// Those of each of these snapshots that has any, by index, the earliest first.
pub(super) fn silences(
    connection: &Connection,
    environment_id: i64,
    indexes: &RangeInclusive<u32>,
) -> rusqlite::Result<BTreeMap<u32, Vec<Silence>>> {
    let mut statement = connection.prepare_cached(
        "SELECT snapshot_index, silent_from, silent_until FROM silence
         WHERE environment_id = ? AND snapshot_index BETWEEN ? AND ?
         ORDER BY snapshot_index, silent_from",
    )?;
    let mut rows = statement.query(params![environment_id, indexes.start(), indexes.end()])?;
    let mut silences: BTreeMap<_, Vec<_>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let silence = Silence { from: row.get(1)?, until: row.get(2)? };
        silences.entry(row.get(0)?).or_default().push(silence);
    }
    Ok(silences)
}

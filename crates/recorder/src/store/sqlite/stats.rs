//! How much is in the file, and whether it can be read and written.

use rusqlite::Connection;

use super::rows;
use crate::domain::{EnvironmentStats, Micros, StoreStats};

/// How much [`check_writable_pages`] writes, in bytes: about as much as a report of 200 artifacts.
const PROBE_BYTES: u32 = 64 << 10;

/// How many snapshots, environments and bytes the file has, and each environment's latest report.
pub(super) fn stats(connection: &Connection) -> rusqlite::Result<StoreStats> {
    let (snapshots, environments, bytes) = connection
        .prepare_cached(
            // Indexes are without gaps, so that their sum is the number of snapshots.
            "SELECT (SELECT coalesce(sum(latest_index), 0) FROM environment),
                    (SELECT count(*) FROM environment WHERE archived_at IS NULL),
                    page_count * page_size
             FROM pragma_page_count, pragma_page_size",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let by_environment = connection
        .prepare_cached(
            "SELECT last_reported_at, heartbeat, org.name, environment.name, latest_index,
                    recorded_at, coalesce(events, 0)
             FROM environment
             JOIN org ON org.id = environment.org_id
             LEFT JOIN reporting ON reporting.org_id = environment.org_id
                 AND reporting.environment_id = environment.id
             LEFT JOIN snapshot ON snapshot.org_id = environment.org_id
                 AND snapshot.environment_id = environment.id
                 AND snapshot.snapshot_index = environment.latest_index
             WHERE archived_at IS NULL
             ORDER BY org.name, environment.name",
        )?
        .query_map([], |row| {
            Ok(EnvironmentStats {
                last_reported_at: rows::lenient_column(row, 0).map(Micros),
                heartbeat: rows::lenient_column(row, 1),
                org: row.get(2)?,
                name: row.get(3)?,
                snapshots: row.get(4)?,
                last_snapshot_at: row.get::<_, Option<i64>>(5)?.map(Micros),
                changes: row.get(6)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(StoreStats { snapshots, environments, bytes, by_environment })
}

/// Fails if the file cannot be read.
pub(super) fn check_readable(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("SELECT count(*) FROM probe")?.query_row([], |_| Ok(()))
}

/// Fails if there is no room for a report: writes as much as one does to the table `probe`, and deletes it.
pub(super) fn check_writable_pages(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO probe (room) VALUES (zeroblob($1))")?
        .execute([PROBE_BYTES])?;
    connection.prepare_cached("DELETE FROM probe")?.execute([])?;
    Ok(())
}

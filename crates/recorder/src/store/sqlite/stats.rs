//! How much is in the file, and whether it can be read and written.

use rusqlite::Connection;

use crate::domain::{Micros, StoreStats};

/// About as much as a report of two hundred artifacts takes.
const PROBE_BYTES: u32 = 64 << 10;

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
    let last_reports = connection
        .prepare_cached(
            "SELECT org.name, environment.name, last_reported_at FROM environment
             JOIN org ON org.id = environment.org_id
             JOIN reporting ON reporting.org_id = environment.org_id
                 AND reporting.environment_id = environment.id
             WHERE archived_at IS NULL",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, Micros(row.get(2)?))))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(StoreStats { snapshots, environments, bytes, last_reports })
}

pub(super) fn check_readable(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("SELECT count(*) FROM probe")?.query_row([], |_| Ok(()))
}

/// Writes as much as a report does, and leaves nothing of it.
pub(super) fn check_writable_pages(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO probe (room) VALUES (zeroblob($1))")?
        .execute([PROBE_BYTES])?;
    connection.prepare_cached("DELETE FROM probe")?.execute([])?;
    Ok(())
}

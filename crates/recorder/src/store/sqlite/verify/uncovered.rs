//! Checks the tables that the ledger does not cover: each row has to be one that a recorder could
//! have written.
//!
//! Plausible changes are not detected: another time, another path, another heartbeat.

use rusqlite::types::{FromSql, Value};
use rusqlite::{Connection, Row, params_from_iter};

use super::super::json::Json;
use super::super::position::{Position, Session};
use crate::domain::{EcsLocation, Micros, Task, is_plausible_time};

/// A row that the recorder cannot have written.
#[derive(Debug)]
pub(super) struct Malformed {
    pub(super) table: &'static str,
    /// Its key.
    pub(super) row: String,
    pub(super) column: &'static str,
}

/// Which column of a row is malformed, if one is.
type Check = fn(&Row<'_>) -> Option<&'static str>;

/// Each table, the columns of its key, what is read of it, and how a row is checked.
const CHECKED_TABLES: [(&str, usize, &str, Check); 7] = [
    (
        "reporting",
        2,
        "SELECT org_id, environment_id, last_reported_at, heartbeat, tasks_hash,
                EXISTS (SELECT 1 FROM environment
                        WHERE environment.org_id = reporting.org_id AND id = environment_id)
         FROM reporting",
        |row| {
            first_invalid_column(&[
                ("environment_id", row.get(5) == Ok(true)),
                (
                    "last_reported_at",
                    row.get(2).is_ok_and(|time| is_plausible_time(Micros(time).seconds())),
                ),
                ("heartbeat", has_type::<Option<u32>>(row, 3)),
                ("tasks_hash", has_type::<[u8; 32]>(row, 4)),
            ])
        },
    ),
    (
        "current_task",
        3,
        // Of what runs now.
        "SELECT org_id, environment_id, artifact_id, started_at, task, places,
                EXISTS (SELECT 1 FROM interval
                        WHERE interval.org_id = current_task.org_id
                          AND interval.environment_id = current_task.environment_id
                          AND interval.artifact_id = current_task.artifact_id AND node = 0)
         FROM current_task",
        |row| {
            first_invalid_column(&[
                ("artifact_id", row.get(6) == Ok(true)),
                ("started_at", has_type::<Json<Vec<i64>>>(row, 3)),
                ("task", has_type::<Json<Option<Task>>>(row, 4)),
                ("places", has_type::<Json<Vec<EcsLocation>>>(row, 5)),
            ])
        },
    ),
    ("webhook", 1, "SELECT id FROM webhook", |row| {
        first_invalid_column(&[("id", row.get(0).is_ok_and(|id: String| is_webhook_id(&id)))])
    }),
    (
        "webhook_position",
        2,
        "SELECT org_id, webhook, seq,
                seq <= (SELECT max(seq) FROM ledger
                        WHERE ledger.org_id = webhook_position.org_id)
         FROM webhook_position",
        |row| {
            first_invalid_column(&[
                ("webhook", row.get(1).is_ok_and(|id: String| is_webhook_id(&id))),
                ("seq", row.get(2).is_ok_and(|seq: i64| seq >= 0) && row.get(3) == Ok(true)),
            ])
        },
    ),
    (
        "recent_report",
        2,
        // Of an entry, from whose time it has its own.
        "SELECT org_id, digest, seq,
                EXISTS (SELECT 1 FROM ledger
                        WHERE ledger.org_id = recent_report.org_id AND ledger.seq = recent_report.seq
                          AND ledger.recorded_at = recent_report.recorded_at)
         FROM recent_report",
        |row| {
            first_invalid_column(&[("digest", has_type::<[u8; 32]>(row, 1)), ("seq", row.get(3) == Ok(true))])
        },
    ),
    (
        "session",
        1,
        // Each is by another random number, and the last one made the last commit.
        "SELECT first_commit, id, path,
                id <> zeroblob(16) AND (SELECT count(*) FROM session AS other
                                        WHERE other.id = session.id) = 1,
                first_commit > 0 AND first_commit <= (SELECT max(first_commit) FROM session)
         FROM session",
        |row| {
            first_invalid_column(&[
                ("first_commit", row.get(4) == Ok(true)),
                ("id", has_type::<Session>(row, 1) && row.get(3) == Ok(true)),
                ("path", has_type::<String>(row, 2)),
            ])
        },
    ),
    (
        "position",
        1,
        "SELECT position.id, state, session.first_commit, session.id
         FROM position LEFT JOIN session
             ON first_commit = (SELECT max(first_commit) FROM session)",
        |row| {
            let position = row.get::<_, Position>(1);
            let is_of_last = position.is_ok_and(|position| match row.get(2) {
                Ok(Some(first)) => {
                    position.commit >= first && row.get(3) == Ok(Some(position.session))
                }
                // No recorder has used the file yet.
                Ok(None::<u64>) => position.session == Session::default(),
                Err(_) => false,
            });
            first_invalid_column(&[("id", row.get(0) == Ok(1)), ("state", is_of_last)])
        },
    ),
];

/// Those of [`CHECKED_TABLES`] about reports and webhooks, without `session` and `position`, which say by
/// which recorder the file was used.
pub(in super::super) const REPORTING_TABLES: [&str; 5] =
    ["reporting", "current_task", "webhook", "webhook_position", "recent_report"];

/// The first row that no recorder can have written; also if table `position` has not exactly one row.
pub(super) fn first_malformed(connection: &Connection) -> rusqlite::Result<Option<Malformed>> {
    for (table, key, sql, check) in CHECKED_TABLES {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            if let Some(column) = check(row) {
                return Ok(Some(Malformed {
                    table,
                    row: super::tables::format_key(row, key)?,
                    column,
                }));
            }
        }
        if table == "position" && count != 1 {
            return Ok(Some(Malformed { table, row: "1".to_owned(), column: "id" }));
        }
    }
    Ok(None)
}

/// Deletes the malformed rows of [`REPORTING_TABLES`]. Those of the other tables are corrected by the next
/// start of a recorder.
pub(in super::super) fn remove_malformed(connection: &Connection) -> rusqlite::Result<()> {
    for (table, key, sql, check) in CHECKED_TABLES {
        if !REPORTING_TABLES.contains(&table) {
            continue;
        }
        let mut statement = connection.prepare(sql)?;
        let columns = statement.column_names().take(key);
        let condition: Vec<_> = columns.map(|column| format!("{column} IS ?")).collect();
        let remove = format!("DELETE FROM {table} WHERE {}", condition.join(" AND "));
        let (mut rows, mut malformed) = (statement.query([])?, Vec::new());
        while let Some(row) = rows.next()? {
            if check(row).is_some() {
                let key = (0..key).map(|column| row.get::<_, Value>(column));
                malformed.push(key.collect::<rusqlite::Result<Vec<_>>>()?);
            }
        }
        for key in malformed {
            connection.execute(&remove, params_from_iter(key))?;
        }
    }
    Ok(())
}

/// Whether it is 32 hexadecimal digits.
fn is_webhook_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether the value in the column can be read as a `T`.
fn has_type<T: FromSql>(row: &Row<'_>, column: usize) -> bool {
    row.get::<_, T>(column).is_ok()
}

/// The first column with `false`; each is given with whether its value is valid.
fn first_invalid_column(columns: &[(&'static str, bool)]) -> Option<&'static str> {
    columns.iter().find(|(_, is_valid)| !is_valid).map(|(column, _)| *column)
}

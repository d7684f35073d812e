//! The tables of the file, and which version of them it has.

use std::collections::BTreeSet;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior};

use super::provenance::rename::rename_environments_of_all_deployments;
use super::{StoreError, first_seen, position};

/// The migrations, in order; a file's version is how many of them it has. A released one never changes.
const MIGRATIONS: &[Migration] = &[
    Migration { sql: include_str!("migrations/0001_ledger.sql"), fill: None },
    Migration { sql: include_str!("migrations/0002_provenance.sql"), fill: None },
    Migration { sql: include_str!("migrations/0003_webhooks.sql"), fill: None },
    Migration {
        sql: include_str!("migrations/0004_first_seen.sql"),
        fill: Some(first_seen::fill_first_seen),
    },
    Migration {
        sql: include_str!("migrations/0005_runs.sql"),
        fill: Some(first_seen::fill_firsts_of_intervals),
    },
    Migration {
        sql: include_str!("migrations/0006_renamed_deployments.sql"),
        fill: Some(rename_environments_of_all_deployments),
    },
];

/// The change of the tables from one version of the file to the next.
struct Migration {
    sql: &'static str,
    /// Makes the rows of a new table from what the file has.
    fill: Option<fn(&Connection) -> rusqlite::Result<()>>,
}

impl Migration {
    fn run(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute_batch(self.sql)?;
        self.fill.map_or(Ok(()), |fill| fill(connection))
    }
}

/// Marks the file as a recorder's, as SQLite's `application_id`: "esnl".
pub(super) const APPLICATION_ID: i64 = 0x6573_6e6c;
/// The `application_id` of files from before the ledger, which are refused: "esnp".
const PRE_LEDGER_APPLICATION_ID: i64 = 0x6573_6e70;

/// Whether there are no tables yet.
pub(super) fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

/// Brings the file to the version that this program knows.
pub(super) fn migrate(connection: &mut Connection, file: &str) -> Result<(), StoreError> {
    let failed = |source| StoreError::from_open(file.to_owned(), source);
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let is_new = is_empty(&transaction).map_err(failed)?;
    let missing = if is_new { MIGRATIONS } else { missing_migrations(&transaction, file)?.1 };
    if missing.is_empty() {
        return Ok(());
    }
    for migration in missing {
        migration.run(&transaction).map_err(failed)?;
    }
    let counted = if is_new {
        position::create(&transaction)
    } else {
        position::advance_stored(&transaction)
    };
    counted.map_err(failed)?;
    mark_version(&transaction).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// Makes the tables of a recorder's file of this version, without any row, in an empty database.
pub(super) fn create_versioned(connection: &Connection) -> rusqlite::Result<()> {
    create(connection)?;
    mark_version(connection)
}

/// Sets SQLite's `application_id` and `user_version`, the number of migrations.
fn mark_version(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}",
        MIGRATIONS.len()
    ))
}

/// Makes the tables of this version in an empty database.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    MIGRATIONS.iter().try_for_each(|migration| migration.run(connection))
}

/// Makes the table of this name, without any row, if there is none.
pub(super) fn create_if_missing(connection: &Connection, table: &str) -> rusqlite::Result<()> {
    let sql_of = |connection: &Connection| {
        connection
            .prepare("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?")?
            .query_row([table], |row| row.get::<_, String>(0))
            .optional()
    };
    if sql_of(connection)?.is_some() {
        return Ok(());
    }
    let new = Connection::open_in_memory()?;
    create(&new)?;
    sql_of(&new)?.map_or(Ok(()), |sql| connection.execute_batch(&sql))
}

/// Whether a statement names a table or a column that is not there.
pub(super) fn is_missing(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqlInputError { .. })
        || error.sqlite_error_code() == Some(ErrorCode::Unknown)
}

/// The first table, index or trigger that a file of this version has and a new one has not, or the
/// other way round.
pub(super) fn first_object_unlike_new_file(
    connection: &Connection,
) -> rusqlite::Result<Option<String>> {
    let new = Connection::open_in_memory()?;
    create(&new)?;
    let (found, wanted) = (schema_objects(connection)?, schema_objects(&new)?);
    let different = found.symmetric_difference(&wanted).next();
    Ok(different.map(|(kind, name, _)| format!("{kind} {name:?}")))
}

/// The kind, the name and the SQL of each table, index and trigger, but for those that SQLite makes itself.
fn schema_objects(connection: &Connection) -> rusqlite::Result<BTreeSet<(String, String, String)>> {
    // Statistics, after ANALYZE. A trigger of such a name is somebody's own.
    let mut statement = connection.prepare(
        "SELECT type, name, sql FROM sqlite_schema
         WHERE sql IS NOT NULL AND NOT (type = 'table' AND name LIKE 'sqlite#_stat%' ESCAPE '#')",
    )?;
    let objects = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    objects.collect()
}

/// Refuses a file that is not a recorder's, or of another version, since a reader cannot migrate.
pub(super) fn check_version(connection: &Connection, file: &str) -> Result<(), StoreError> {
    match missing_migrations(connection, file)? {
        (_, []) => Ok(()),
        (found, _) => {
            Err(StoreError::Older { file: file.to_owned(), found, known: MIGRATIONS.len() })
        }
    }
}

/// Refuses a file that is not a recorder's, or of a newer version.
pub(super) fn check_to_migrate(connection: &Connection, file: &str) -> Result<(), StoreError> {
    missing_migrations(connection, file).map(drop)
}

/// The version of a recorder's file, and the migrations that it lacks. Refuses any other file, and one of a
/// newer version.
fn missing_migrations(
    connection: &Connection,
    file: &str,
) -> Result<(i64, &'static [Migration]), StoreError> {
    let pragma = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(|source| StoreError::from_open(file.to_owned(), source))
    };
    match pragma("application_id")? {
        APPLICATION_ID => {}
        PRE_LEDGER_APPLICATION_ID => {
            return Err(StoreError::BeforeTheLedger { file: file.to_owned() });
        }
        _ => return Err(StoreError::Foreign { file: file.to_owned() }),
    }
    let found = pragma("user_version")?;
    usize::try_from(found)
        .ok()
        .and_then(|seen| MIGRATIONS.get(seen..))
        .map(|missing| (found, missing))
        .ok_or(StoreError::Newer { file: file.to_owned(), found, known: MIGRATIONS.len() })
}

#[cfg(test)]
mod tests {
    use super::super::SqliteStore;
    use super::*;

    #[test]
    fn file_of_a_newer_version_is_refused_and_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.db");
        drop(SqliteStore::open(&path).unwrap());
        {
            let connection = Connection::open(&path).unwrap();
            connection.pragma_update(None, "user_version", MIGRATIONS.len() + 1).unwrap();
        }
        let before = std::fs::read(&path).unwrap();

        let error = SqliteStore::open(&path).unwrap_err();

        assert!(matches!(error, StoreError::Newer { found: 7, known: 6, .. }), "{error}");
        assert!(error.to_string().contains("snapshots.db has version 7"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn file_with_pre_ledger_application_id_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "application_id", PRE_LEDGER_APPLICATION_ID).unwrap();
        connection.execute_batch("CREATE TABLE snapshot (id INTEGER)").unwrap();
        let error = SqliteStore::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::BeforeTheLedger { .. }), "{error}");
    }

    #[test]
    fn a_failed_migration_is_rolled_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        {
            let connection = Connection::open(&path).unwrap();
            connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
            connection.execute_batch("CREATE TABLE snapshot (taken INTEGER)").unwrap();
            create_if_missing(&connection, "position").unwrap();
            position::create(&connection).unwrap();
        }
        let error = SqliteStore::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        let connection = Connection::open(&path).unwrap();
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 2);
    }
}

//! The tables, and how a file of an older version gets them.

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// What leads from each version to the next; a file's version is how many of these it has seen.
/// One that was released never changes.
const MIGRATIONS: [&str; 1] = [
    // An environment is known by its id, so that it can be renamed. A snapshot never changes, and
    // its id says in which order the file's snapshots were recorded.
    "
    CREATE TABLE environment (
        id                    INTEGER PRIMARY KEY,
        org                   TEXT NOT NULL,
        name                  TEXT NOT NULL,
        type                  TEXT NOT NULL,
        description           TEXT NOT NULL,
        include_scaling       INTEGER NOT NULL,
        included_environments TEXT, -- JSON, an array of names
        policies              TEXT, -- JSON, an array of names
        last_modified_at      REAL NOT NULL,
        last_reported_at      REAL,
        UNIQUE (org, name)
    ) STRICT;

    CREATE TABLE snapshot (
        id             INTEGER PRIMARY KEY,
        environment_id INTEGER NOT NULL REFERENCES environment (id),
        snapshot_index INTEGER NOT NULL, -- from 1, without gaps
        created_at     REAL NOT NULL,
        artifacts      TEXT NOT NULL, -- JSON, in the order of their identities
        UNIQUE (environment_id, snapshot_index)
    ) STRICT;
    ",
];

/// Marks the file as a recorder's, as SQLite's `application_id`: "esnp".
const APPLICATION_ID: i64 = 0x6573_6e70;

/// Brings the file to the version that this program knows.
pub(super) fn migrate(connection: &mut Connection, file: &str) -> Result<(), StoreError> {
    let failed = |source| StoreError::Open { file: file.to_owned(), source };
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let pragma = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables: i64 = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    if tables > 0 && pragma("application_id").map_err(failed)? != APPLICATION_ID {
        return Err(StoreError::Foreign { file: file.to_owned() });
    }
    let known = MIGRATIONS.len();
    let found = pragma("user_version").map_err(failed)?;
    let missing = usize::try_from(found)
        .ok()
        .and_then(|found| MIGRATIONS.get(found..))
        .ok_or(StoreError::Newer { file: file.to_owned(), found, known })?;
    for migration in missing {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    transaction
        .execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {known}"
        ))
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    #[test]
    fn a_newer_file_is_refused_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.db");
        drop(Store::open(&path).unwrap());
        {
            let connection = Connection::open(&path).unwrap();
            connection.pragma_update(None, "user_version", 2).unwrap();
        }
        let before = std::fs::read(&path).unwrap();

        let error = Store::open(&path).unwrap_err();

        assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains("snapshots.db is of version 2"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        {
            let connection = Connection::open(&path).unwrap();
            connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
            connection.execute_batch("CREATE TABLE snapshot (taken INTEGER)").unwrap();
        }
        assert!(matches!(Store::open(&path), Err(StoreError::Open { .. })));
        let connection = Connection::open(&path).unwrap();
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 1);
    }
}

//! The tables, and how a file of an older version gets them.

use std::collections::BTreeSet;

use rusqlite::{Connection, TransactionBehavior};

use super::{StoreError, position};

/// What leads from each version to the next; a file's version is how many of these it has seen.
/// One that was released never changes.
const MIGRATIONS: &[&str] = &[
    // An environment is known by its id, so that it can be renamed; its organization and its type
    // stay what they were, since the links of its snapshots witness them. A snapshot never changes,
    // and its id says in which order the file's snapshots were recorded.
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
        archived_at           REAL, -- NULL while it is in use
        UNIQUE (org, name)
    ) STRICT;

    CREATE TABLE snapshot (
        id               INTEGER PRIMARY KEY,
        environment_id   INTEGER NOT NULL REFERENCES environment (id),
        environment_name TEXT NOT NULL, -- when it was recorded
        snapshot_index   INTEGER NOT NULL, -- from 1, without gaps
        created_at       REAL NOT NULL,
        confirmed_until  REAL NOT NULL, -- the last report that found it unchanged
        content_hash     TEXT NOT NULL, -- of what runs in it
        link             BLOB NOT NULL, -- of the chain: 32 bytes
        -- JSON, in the order of their identities. It is long, and so the last: what stands before
        -- it is read without it.
        artifacts        TEXT NOT NULL,
        UNIQUE (environment_id, snapshot_index)
    ) STRICT;

    -- Between two reports that found a snapshot the same.
    CREATE TABLE silence (
        environment_id INTEGER NOT NULL REFERENCES environment (id),
        snapshot_index INTEGER NOT NULL,
        silent_from    REAL NOT NULL,
        silent_until   REAL NOT NULL,
        PRIMARY KEY (environment_id, snapshot_index, silent_from)
    ) STRICT, WITHOUT ROWID;

    -- How far the file has come, in one row: what is stored is that of position.rs.
    CREATE TABLE position (
        id    INTEGER PRIMARY KEY CHECK (id = 1),
        state BLOB NOT NULL
    ) STRICT;

    -- From each start of a recorder on this file to the next.
    CREATE TABLE session (
        first_commit INTEGER PRIMARY KEY,
        id           BLOB NOT NULL,
        path         TEXT NOT NULL -- of the file then
    ) STRICT;

    -- Always empty: what is written here, and removed again, shows that there is room to write.
    CREATE TABLE probe (room BLOB NOT NULL) STRICT;

    CREATE INDEX snapshot_by_time ON snapshot (environment_id, created_at, snapshot_index);

    -- Starts, exits and changes of replicas, so that a page of them is found without reading the
    -- snapshots before it.
    CREATE TABLE event_count (
        environment_id INTEGER NOT NULL REFERENCES environment (id),
        snapshot_index INTEGER NOT NULL,
        events         INTEGER NOT NULL, -- in this snapshot and all before it
        PRIMARY KEY (environment_id, snapshot_index)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX event_count_by_events ON event_count (environment_id, events);

    CREATE TRIGGER snapshot_never_changes
    BEFORE UPDATE OF id, environment_id, environment_name, snapshot_index, created_at,
        content_hash, link, artifacts ON snapshot
    BEGIN SELECT raise(ABORT, 'a snapshot never changes'); END;

    CREATE TRIGGER snapshot_stays BEFORE DELETE ON snapshot
    BEGIN SELECT raise(ABORT, 'a snapshot is never deleted'); END;

    CREATE TRIGGER environment_keeps_its_place BEFORE UPDATE OF id, org, type ON environment
    BEGIN SELECT raise(ABORT, 'an environment keeps its organization and its type'); END;

    CREATE TRIGGER environment_stays BEFORE DELETE ON environment
    BEGIN SELECT raise(ABORT, 'an environment is archived, never deleted'); END;
    ",
];

/// Marks the file as a recorder's, as SQLite's `application_id`: "esnp".
const APPLICATION_ID: i64 = 0x6573_6e70;

/// Brings the file to the version that this program knows.
pub(super) fn migrate(connection: &mut Connection, file: &str) -> Result<(), StoreError> {
    let failed = |source| StoreError::Open { file: file.to_owned(), source };
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let tables: i64 = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    let missing = if tables == 0 { MIGRATIONS } else { missing(&transaction, file)?.1 };
    if missing.is_empty() {
        return Ok(());
    }
    for migration in missing {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    let counted = match tables {
        0 => position::create(&transaction),
        _ => position::advance(&transaction).map(drop),
    };
    counted.map_err(failed)?;
    transaction
        .execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}",
            MIGRATIONS.len()
        ))
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// The first table, index or trigger that a file of this version has and a new one has not, or the
/// other way round.
pub(super) fn first_difference(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let new = Connection::open_in_memory()?;
    for migration in MIGRATIONS {
        new.execute_batch(migration)?;
    }
    let (found, wanted) = (objects(connection)?, objects(&new)?);
    let different = found.symmetric_difference(&wanted).next();
    Ok(different.map(|(kind, name, ..)| format!("{kind} {name:?}")))
}

/// The kind, the name, the table and the SQL of an object.
type Object = (String, String, String, Option<String>);

/// All but the statistics that SQLite makes for itself (with `ANALYZE`), as it makes them. A name like
/// theirs excuses nothing: it can be given to a trigger.
fn objects(connection: &Connection) -> rusqlite::Result<BTreeSet<Object>> {
    let mut statement = connection.prepare(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema
         WHERE NOT (type = 'table' AND name = tbl_name AND coalesce(sql, '') IN (
             'CREATE TABLE sqlite_stat1(tbl,idx,stat)',
             'CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)'))",
    )?;
    let objects =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    objects.collect()
}

/// Refuses a file that is not a recorder's, or of another version, since a reader cannot migrate.
pub(super) fn check(connection: &Connection, file: &str) -> Result<(), StoreError> {
    match missing(connection, file)? {
        (_, []) => Ok(()),
        (found, _) => {
            Err(StoreError::Older { file: file.to_owned(), found, known: MIGRATIONS.len() })
        }
    }
}

/// Refuses a file that is not a recorder's, or of a newer version.
pub(super) fn check_to_migrate(connection: &Connection, file: &str) -> Result<(), StoreError> {
    missing(connection, file).map(drop)
}

/// The version of a recorder's file, and what it has not seen of the migrations.
fn missing(
    connection: &Connection,
    file: &str,
) -> Result<(i64, &'static [&'static str]), StoreError> {
    let pragma = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(|source| StoreError::Open { file: file.to_owned(), source })
    };
    if pragma("application_id")? != APPLICATION_ID {
        return Err(StoreError::Foreign { file: file.to_owned() });
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
    use super::super::Store;
    use super::*;

    #[test]
    fn what_was_recorded_can_be_confirmed_and_renamed_but_not_changed() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, "in memory").unwrap();
        connection
            .execute_batch(
                "INSERT INTO environment VALUES (1, 'acme', 'env', 'ECS', '', 1, '', '', 1, 1, NULL);
                 INSERT INTO snapshot VALUES (1, 1, 'env', 1, 1, 1, 'ab', x'00', '[]');",
            )
            .unwrap();
        for allowed in [
            "UPDATE snapshot SET confirmed_until = 2",
            "UPDATE environment SET name = 'other', archived_at = 2",
        ] {
            assert_eq!(connection.execute(allowed, []), Ok(1), "{allowed}");
        }
        for (refused, said) in [
            ("UPDATE snapshot SET id = 2", "a snapshot never changes"),
            ("UPDATE snapshot SET environment_id = 1", "a snapshot never changes"),
            ("UPDATE snapshot SET environment_name = 'x'", "a snapshot never changes"),
            ("UPDATE snapshot SET snapshot_index = 2", "a snapshot never changes"),
            ("UPDATE snapshot SET created_at = 2", "a snapshot never changes"),
            ("UPDATE snapshot SET content_hash = 'ac'", "a snapshot never changes"),
            ("UPDATE snapshot SET link = x'01'", "a snapshot never changes"),
            ("UPDATE snapshot SET artifacts = '{}'", "a snapshot never changes"),
            ("DELETE FROM snapshot", "a snapshot is never deleted"),
            ("UPDATE environment SET id = 2", "keeps its organization and its type"),
            ("UPDATE environment SET org = 'other'", "keeps its organization and its type"),
            ("UPDATE environment SET type = 'K8S'", "keeps its organization and its type"),
            ("DELETE FROM environment", "an environment is archived, never deleted"),
        ] {
            let error = connection.execute(refused, []).unwrap_err().to_string();
            assert!(error.contains(said), "{refused}: {error}");
        }
    }

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

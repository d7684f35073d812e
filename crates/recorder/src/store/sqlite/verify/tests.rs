//! Whether `verify` finds what was changed behind the recorder's back.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use envsnap_model::expression::Interval;
use rusqlite::types::Value;

use super::super::tests::{Fixture, IN_OTHER_REGISTRY};
use super::super::{SqliteStore, Store as _};
use super::*;
use crate::domain::{OrgFilter, Page};
use crate::store::EnvironmentFilter;

/// Tables whose rows do not follow from the ledger, so that plausible changes to them are not found.
const NOT_COVERED: [&str; 6] =
    ["reporting", "current_task", "recent_report", "webhook", "webhook_position", "probe"];

/// The ledger, and the tables that can be derived from it or are checked by its hashes.
const COVERED: [&str; 19] = [
    "org",
    "ledger",
    "environment",
    "snapshot",
    "artifact",
    "artifact_label",
    "interval",
    "coverage",
    "first_seen",
    "flow",
    "flow_name",
    "trail",
    "trail_change",
    "artifact_report",
    "attestation",
    "deployment",
    "allowance",
    "attachment",
    "attachment_chunk",
];

/// Takes back the migration to version 6 of the schema: deployments kept the name of their environment.
const TO_VERSION_5: &str = "
    UPDATE deployment SET environment = 'beta' WHERE environment = 'test';
    PRAGMA user_version = 5;";

/// Takes back the migration to version 5 of the schema.
const TO_VERSION_4: &str = "
    DROP INDEX interval_by_artifact;
    ALTER TABLE interval DROP COLUMN run_until_at;
    ALTER TABLE interval DROP COLUMN run_from_at;
    ALTER TABLE interval DROP COLUMN run_from;
    ALTER TABLE interval DROP COLUMN first_image;
    ALTER TABLE interval DROP COLUMN first_repository;
    ALTER TABLE interval DROP COLUMN first_registry;
    CREATE UNIQUE INDEX interval_by_artifact
        ON interval (org_id, artifact_id, environment_id, from_index);
    CREATE INDEX interval_by_run ON interval (org_id, environment_id, artifact_id, from_index)
        WHERE was = 0;
    DELETE FROM sqlite_stat1 WHERE idx = 'interval_by_artifact';
    PRAGMA user_version = 4;";

/// Takes back the migration to version 4 of the schema.
const TO_VERSION_3: &str = "
    DROP TABLE first_seen;
    DROP INDEX interval_by_run;
    DELETE FROM sqlite_stat1 WHERE idx = 'first_seen';
    PRAGMA user_version = 3;";

#[tokio::test]
async fn opening_a_file_of_an_older_schema_version_fills_the_new_table_and_columns() {
    let reverts = [TO_VERSION_5, TO_VERSION_4, TO_VERSION_3];
    for reverts in [&reverts[..1], &reverts[..2], &reverts[..]] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.db");
        record_two_organizations(&path).await;
        let fixture = Fixture::with(SqliteStore::open(&path).unwrap());
        fixture.report("prod", &[(IN_OTHER_REGISTRY, 1)]).await;
        fixture.report("prod", &[(IN_OTHER_REGISTRY, 2)]).await;
        fixture.report("prod", &[(1, 1)]).await;
        drop(fixture);
        let connection = Connection::open(&path).unwrap();
        for revert in reverts {
            connection.execute_batch(revert).unwrap();
        }
        drop(connection);
        drop(SqliteStore::open(&path).unwrap());
        // Compares every row with those that the ledger makes.
        verify(&path, None, AttachmentCheck::Sizes).unwrap();
        let connection = Connection::open(&path).unwrap();
        let count = "SELECT count(*) FROM first_seen";
        let count: i64 = connection.query_row(count, [], |row| row.get(0)).unwrap();
        assert!(count > 10, "{count}");
    }
}

/// A xorshift random number generator with a fixed seed, so that a failure can be repeated.
struct Rng(u64);

impl Rng {
    fn random_below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).unwrap()
    }

    fn choose<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.random_below(choices.len())]
    }
}

/// A file with two organizations, whose environments were renamed, archived and not reported for a
/// time.
async fn record_two_organizations(path: &Path) -> Head {
    let fixture = Fixture::with(SqliteStore::open(path).unwrap());
    for name in ["beta", "prod"] {
        fixture.create(name).await;
        for round in 0..12_u8 {
            fixture.report(name, &[(1, 2), (round % 5, 1), (200 + round % 3, 1)]).await;
            fixture.advance(if round == 6 { 50_000 } else { 60 });
        }
    }
    // The same by other tasks.
    fixture.report("prod", &[(1, 2), (1, 1), (202, 1)]).await;
    fixture.report_provenance().await;
    for name in ["beta", "later"] {
        fixture.announce(1, name).await;
    }
    fixture.store.rename_environment("acme", "beta", "test", "admin").await.unwrap();
    fixture.store.archive_environment("acme", "test", "admin").await.unwrap();
    let other = fixture.store.record_report("other", "none", Fixture::empty(), "x").await;
    assert!(other.is_err());
    fixture.create_in("other", "live").await;
    fixture.announce(1, "beta").await;
    let webhook = "ab".repeat(16);
    fixture.store.register_webhook(&webhook).await.unwrap();
    fixture.store.head("acme").await.unwrap()
}

/// Every row of every table that is covered.
fn covered_rows(path: &Path) -> Option<BTreeMap<&'static str, Vec<Vec<Value>>>> {
    let connection = Connection::open(path).ok()?;
    let mut all = BTreeMap::new();
    for table in COVERED {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).ok()?;
        let columns = statement.column_count();
        let rows = statement
            .query_map([], |row| (0..columns).map(|column| row.get(column)).collect())
            .ok()?;
        let mut rows: Vec<Vec<Value>> = rows.collect::<rusqlite::Result<_>>().ok()?;
        rows.sort_by_key(|row| format!("{row:?}"));
        all.insert(table, rows);
    }
    Some(all)
}

/// Changes a bit, a value, a row or the schema of the file at random. Returns the kind of the change and
/// the bit or the SQL statement, or `None` if nothing was changed.
fn make_random_change(path: &Path, rng: &mut Rng) -> Option<(&'static str, String)> {
    if rng.random_below(4) == 0 {
        let mut bytes = fs::read(path).unwrap();
        let (at, bit) = (rng.random_below(bytes.len()), rng.random_below(8));
        bytes[at] ^= 1 << bit;
        fs::write(path, bytes).unwrap();
        return Some(("a bit", format!("bit {bit} of byte {at}")));
    }
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    let tables = [&COVERED[..], &NOT_COVERED[..2]].concat();
    let table = *rng.choose(&tables);
    let columns: Vec<String> = connection
        .prepare(&format!("SELECT * FROM {table}"))
        .unwrap()
        .column_names()
        .map(str::to_owned)
        .collect();
    let column = rng.choose(&columns).clone();
    let count: usize = connection
        .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
        .unwrap();
    let offset = rng.random_below(count.max(1));
    // Tables without row ids have no other name for a row.
    let key = columns[..2].join(", ");
    let row = format!("({key}) = (SELECT {key} FROM {table} LIMIT 1 OFFSET {offset})");
    // Of a row that is added, what may be one more is, and a text is longer.
    let other: Vec<_> = columns
        .iter()
        .map(|it| format!("CASE typeof({it}) WHEN 'integer' THEN {it} + 7919 ELSE {it} || 'x' END"))
        .collect();
    let (kind, sql) = match rng.random_below(10) {
        0 => ("a row removed", format!("DELETE FROM {table} WHERE {row}")),
        1 => ("a value", format!("UPDATE {table} SET {column} = {column} + 1 WHERE {row}")),
        2 => ("a value", format!("UPDATE {table} SET {column} = {column} || ' ' WHERE {row}")),
        3 => ("a value", format!("UPDATE {table} SET {column} = NULL WHERE {row}")),
        4 => ("a value", format!("UPDATE {table} SET {column} = zeroblob(32) WHERE {row}")),
        5 => (
            "a trigger",
            format!(
                "CREATE TRIGGER sqlite_{offset} BEFORE INSERT ON {table}
                 BEGIN SELECT raise(IGNORE); END"
            ),
        ),
        6 => ("an index", format!("CREATE INDEX more ON {table} ({column})")),
        7 => {
            let other = other.join(", ");
            ("a row added", format!("INSERT INTO {table} SELECT {other} FROM {table} WHERE {row}"))
        }
        _ => {
            let dates: Vec<_> = columns.iter().filter(|it| it.ends_with("_at")).collect();
            if dates.is_empty() {
                return None;
            }
            let date = rng.choose(&dates);
            ("a date", format!("UPDATE {table} SET {date} = {date} - 86400000000 WHERE {row}"))
        }
    };
    // SQLite refuses the names that it keeps for itself, except to who changes the schema by hand.
    let sql = sql.replace("TRIGGER sqlite_", "TRIGGER hides_");
    let before = connection.total_changes();
    connection.execute_batch(&sql).ok()?;
    let is_schema = matches!(kind, "a trigger" | "an index");
    (is_schema || connection.total_changes() > before).then_some((kind, sql))
}

#[tokio::test]
#[ignore = "takes long"]
async fn verify_finds_every_random_change_to_tables_that_the_ledger_covers() {
    let is_long = std::env::var_os("ENVSNAP_LONG").is_some();
    let wanted = if is_long { 10_000 } else { 500 };
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("snapshots.db");
    let head = record_two_organizations(&original).await;
    assert_eq!(verify(&original, Some(&head), AttachmentCheck::Sizes).unwrap().ledgers.len(), 2);
    let before = covered_rows(&original).unwrap();
    let mut rng = Rng(0x9e37_79b9_7f4a_7c15);
    let (mut made, mut found) = (BTreeMap::<_, u32>::new(), BTreeMap::<_, u32>::new());
    while made.values().sum::<u32>() < wanted {
        let copy = folder.path().join("changed.db");
        fs::copy(&original, &copy).unwrap();
        let Some((kind, done)) = make_random_change(&copy, &mut rng) else { continue };
        *made.entry(kind).or_default() += 1;
        match verify(&copy, Some(&head), AttachmentCheck::Content) {
            Err(_) => *found.entry(kind).or_default() += 1,
            // It changed nothing that is covered.
            Ok(_) => assert_eq!(covered_rows(&copy), Some(before.clone()), "{done}"),
        }
        for ending in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(format!("{}{ending}", copy.display()));
        }
    }
    // Most of each kind: the rest is of what is not covered. Of the bits of a small file, most are of no
    // row.
    for (kind, made) in &made {
        let found = found.get(kind).copied().unwrap_or_default();
        // Most pages of so small a file are hardly filled.
        let part = if *kind == "a bit" { 8 } else { 2 };
        assert!(found * part > *made, "{kind}: {found} of {made} were found");
    }
    assert_eq!(made.len(), 7, "{made:?}");
}

/// Values of another kind, length or sign than a column has.
const INVALID_VALUES: [&str; 11] = [
    "NULL",
    "0",
    "-5",
    "-9223372036854775808",
    "9223372036854775807",
    "''",
    "'x'",
    "CAST(x'ff' AS TEXT)",
    "x''",
    "zeroblob(31)",
    "zeroblob(57)",
];

/// Those invalid values that `verify` accepts, as a recorder may have written them: table, column, values.
const ACCEPTED_VALUES: [(&str, &str, &[&str]); 3] = [
    ("webhook_position", "seq", &["0"]),
    ("reporting", "heartbeat", &["NULL", "0"]),
    // SQLite makes text of a number.
    ("session", "path", &["0", "-5", "-9223372036854775808", "9223372036854775807", "''", "'x'"]),
];

/// Every environment can be read, and all of them listed.
async fn assert_environments_are_readable(path: &Path, what: &str) {
    let store = SqliteStore::open_to_read(path).unwrap();
    let page = Page { number: 1, size: 100 };
    for org in ["acme", "other"] {
        let listed = store.environments(org, EnvironmentFilter::default(), None).await;
        for environment in listed.unwrap_or_else(|error| panic!("{what}: {error}")).0 {
            let (name, interval) = (&environment.name, Interval::default());
            let latest = format!("{name}@{{now}}").parse().unwrap();
            let read = (
                store.environment(org, name).await.map(drop),
                store.snapshot_spans(org, name, interval, page, true).await.map(drop),
                if environment.latest_index == 0 {
                    Ok(())
                } else {
                    store.snapshots(org, [latest], |_| ()).await
                },
            );
            assert!(matches!(read, (Ok(()), Ok(()), Ok(()))), "{what}: {read:?}");
        }
    }
    store
        .overview(OrgFilter::All, None, page)
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    store.stats().await.unwrap_or_else(|error| panic!("{what}: {error}"));
}

#[tokio::test]
#[ignore = "takes long"]
async fn verify_rejects_invalid_values_in_any_column_and_uncovered_ones_break_no_read() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("snapshots.db");
    let head = record_two_organizations(&original).await;
    let columns: Vec<(String, String)> = {
        let connection = Connection::open(&original).unwrap();
        let mut statement = connection
            .prepare(
                "SELECT tables.name, columns.name
                 FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
                 WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite%'",
            )
            .unwrap();
        let columns = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        columns.map(Result::unwrap).collect()
    };
    let mut found: BTreeMap<&(String, String), u32> = BTreeMap::new();
    for (key @ (table, column), value) in
        columns.iter().flat_map(|column| INVALID_VALUES.map(|value| (column, value)))
    {
        let copy = folder.path().join("changed.db");
        fs::copy(&original, &copy).unwrap();
        let connection = Connection::open(&copy).unwrap();
        connection
            .execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF")
            .unwrap();
        let sql = format!(
            "UPDATE {table} SET {column} = {value} WHERE {column} IS NOT {value}
                 AND {column} IS (SELECT max({column}) FROM {table})"
        );
        // The table may refuse it, or not have another value.
        let changed = connection.execute(&sql, []);
        drop(connection);
        if !changed.is_ok_and(|changed| changed > 0) {
            continue;
        }
        let is_plausible = ACCEPTED_VALUES
            .iter()
            .any(|(of, name, values)| of == table && name == column && values.contains(&value));
        let what = format!("{table}.{column} = {value}");
        let verified = verify(&copy, Some(&head), AttachmentCheck::Content);
        assert_eq!(verified.is_ok(), is_plausible, "{what}: {verified:?}");
        *found.entry(key).or_default() += 1;
        if NOT_COVERED.contains(&table.as_str()) || is_plausible {
            assert_environments_are_readable(&copy, &what).await;
        }
    }
    let untested: Vec<_> = columns.iter().filter(|column| !found.contains_key(column)).collect();
    assert_eq!(untested, [&("probe".to_owned(), "room".to_owned())]);
}

#[test]
fn organizations_query_searches_the_index_instead_of_scanning_the_ledger() {
    let connection = Connection::open_in_memory().unwrap();
    schema::create(&connection).unwrap();
    let sql = format!("EXPLAIN QUERY PLAN {}", replay::ORGANIZATIONS_QUERY);
    let mut statement = connection.prepare(&sql).unwrap();
    let steps: Vec<String> =
        statement.query_map([], |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap();
    let of_ledger: Vec<_> = steps.iter().filter(|step| step.contains("ledger")).collect();
    assert_eq!(of_ledger.len(), 2, "{steps:?}");
    assert!(of_ledger.iter().all(|step| step.starts_with("SEARCH ledger")), "{steps:?}");
}

#[tokio::test]
async fn verify_with_a_kept_head_finds_a_truncated_or_replaced_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshots.db");
    let head = record_two_organizations(&path).await;
    let anew = folder.path().join("anew.db");
    {
        let fixture = Fixture::with(SqliteStore::open(&anew).unwrap());
        fixture.create("prod").await;
    }
    let error = verify(&anew, Some(&head), AttachmentCheck::Sizes).unwrap_err();
    assert!(matches!(error, VerifyError::UnknownHead { .. }), "{error}");
    assert!(verify(&anew, None, AttachmentCheck::Sizes).is_ok(), "it is consistent with itself");
    let earlier = Head { seq: head.seq - 1, ..head.clone() };
    let error = verify(&path, Some(&earlier), AttachmentCheck::Sizes).unwrap_err();
    assert!(matches!(error, VerifyError::UnknownHead { .. }), "{error}");
    let gone = Head { org: "gone".to_owned(), ..head };
    let error = verify(&path, Some(&gone), AttachmentCheck::Sizes).unwrap_err();
    assert!(matches!(error, VerifyError::UnknownHead { actual: None, .. }), "{error}");
}

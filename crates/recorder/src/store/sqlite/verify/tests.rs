//! Whether `verify` finds what was changed behind the recorder's back.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rusqlite::types::Value;

use super::super::tests::Fixture;
use super::super::{SqliteStore, Store as _};
use super::*;

/// What the ledger does not cover: see this module.
const NOT_COVERED: [&str; 3] = ["reporting", "current_task", "probe"];

const COVERED: [&str; 8] = [
    "org",
    "ledger",
    "environment",
    "snapshot",
    "artifact",
    "artifact_label",
    "interval",
    "coverage",
];

/// A small generator, so that a failure can be repeated.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).unwrap()
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// A file with two organizations, whose environments were renamed, archived and not reported for a
/// time.
async fn recorded(path: &Path) -> Head {
    let fixture = Fixture::with(SqliteStore::open(path).unwrap());
    for name in ["beta", "prod"] {
        fixture.create(name).await;
        for round in 0..12_u8 {
            fixture.report(name, &[(1, 2), (round % 5, 1), (200 + round % 3, 1)]).await;
            fixture.advance(if round == 6 { 50_000 } else { 60 });
        }
    }
    fixture.store.rename_environment("acme", "beta", "test", "admin").await.unwrap();
    fixture.store.archive_environment("acme", "test", "admin").await.unwrap();
    let other = fixture.store.record_report("other", "none", Fixture::empty(), "x").await;
    assert!(other.is_err());
    fixture.create_in("other", "live").await;
    fixture.store.head("acme").await.unwrap()
}

/// Every row of every table that is covered.
fn rows(path: &Path) -> Option<BTreeMap<&'static str, Vec<Vec<Value>>>> {
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

/// Changes the file; what kind of change that was, and what was done, or `None` if nothing could be.
fn change(path: &Path, chance: &mut Chance) -> Option<(&'static str, String)> {
    if chance.below(4) == 0 {
        let mut bytes = fs::read(path).unwrap();
        let (at, bit) = (chance.below(bytes.len()), chance.below(8));
        bytes[at] ^= 1 << bit;
        fs::write(path, bytes).unwrap();
        return Some(("a bit", format!("bit {bit} of byte {at}")));
    }
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    let tables = [&COVERED[..], &NOT_COVERED[..2]].concat();
    let table = *chance.of(&tables);
    let columns: Vec<String> = connection
        .prepare(&format!("SELECT * FROM {table}"))
        .unwrap()
        .column_names()
        .map(str::to_owned)
        .collect();
    let column = chance.of(&columns).clone();
    let count: usize = connection
        .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
        .unwrap();
    let offset = chance.below(count.max(1));
    // Tables without row ids have no other name for a row.
    let key = columns[..2].join(", ");
    let row = format!("({key}) = (SELECT {key} FROM {table} LIMIT 1 OFFSET {offset})");
    // Of a row that is added, what may be one more is, and a text is longer.
    let other: Vec<_> = columns
        .iter()
        .map(|it| format!("CASE typeof({it}) WHEN 'integer' THEN {it} + 7919 ELSE {it} || 'x' END"))
        .collect();
    let (kind, sql) = match chance.below(10) {
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
            let date = chance.of(&dates);
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
async fn every_change_is_found_or_is_of_what_is_named_as_not_covered() {
    let is_long = std::env::var_os("ENVSNAP_LONG").is_some();
    let wanted = if is_long { 10_000 } else { 500 };
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("snapshots.db");
    let head = recorded(&original).await;
    assert_eq!(verify(&original, Some(&head)).unwrap().ledgers.len(), 2);
    let before = rows(&original).unwrap();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut made, mut found) = (BTreeMap::<_, u32>::new(), BTreeMap::<_, u32>::new());
    while made.values().sum::<u32>() < wanted {
        let copy = folder.path().join("changed.db");
        fs::copy(&original, &copy).unwrap();
        let Some((kind, done)) = change(&copy, &mut chance) else { continue };
        *made.entry(kind).or_default() += 1;
        match verify(&copy, Some(&head)) {
            Err(_) => *found.entry(kind).or_default() += 1,
            // It changed nothing that is covered.
            Ok(_) => assert_eq!(rows(&copy), Some(before.clone()), "{done}"),
        }
        for ending in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(format!("{}{ending}", copy.display()));
        }
    }
    // Most of each kind: the rest is of what is not covered. Of the bits of a small file, most are of no
    // row.
    for (kind, made) in &made {
        let found = found.get(kind).copied().unwrap_or_default();
        let part = if *kind == "a bit" { 5 } else { 2 };
        assert!(found * part > *made, "{kind}: {found} of {made} were found");
    }
    assert_eq!(made.len(), 7, "{made:?}");
}

#[tokio::test]
async fn a_ledger_that_was_cut_or_written_anew_is_found_by_a_head_that_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshots.db");
    let head = recorded(&path).await;
    let anew = folder.path().join("anew.db");
    {
        let fixture = Fixture::with(SqliteStore::open(&anew).unwrap());
        fixture.create("prod").await;
    }
    let error = verify(&anew, Some(&head)).unwrap_err();
    assert!(matches!(error, NotVerified::UnknownHead { .. }), "{error}");
    assert!(verify(&anew, None).is_ok(), "it is consistent with itself");
    let earlier = Head { seq: head.seq - 1, ..head.clone() };
    let error = verify(&path, Some(&earlier)).unwrap_err();
    assert!(matches!(error, NotVerified::UnknownHead { .. }), "{error}");
    let gone = Head { org: "gone".to_owned(), ..head };
    let error = verify(&path, Some(&gone)).unwrap_err();
    assert!(matches!(error, NotVerified::UnknownHead { actual: None, .. }), "{error}");
}

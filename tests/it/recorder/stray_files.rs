//! A log or a rollback journal beside the recorder's file that is not the file's: SQLite would apply it.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::crash::Process;
use super::file::on;
use super::lost_log::beside;
use super::lost_reports::{has_all, refused, report, start_with_reports};
use super::second_program;
use crate::command_line::{envsnap, text};

/// A database of another program that was interrupted in a transaction, with the rollback journal that
/// SQLite would apply.
fn interrupted_database(folder: &Path) -> PathBuf {
    let (live, killed) = (folder.join("contacts-live.db"), folder.join("contacts.db"));
    let connection = Connection::open(&live).unwrap();
    connection.execute_batch("CREATE TABLE contacts (name TEXT); PRAGMA cache_size = 1").unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
                INSERT INTO contacts SELECT hex(randomblob(400)) FROM n";
    connection.execute_batch(fill).unwrap();
    connection.execute_batch("BEGIN; UPDATE contacts SET name = 'x' || name").unwrap();
    for ending in ["", "-journal"] {
        fs::copy(beside(&live, ending), beside(&killed, ending)).unwrap();
    }
    killed
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_journal_of_another_database_is_rejected_and_not_applied() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let other = interrupted_database(folder.path());
    let mut recorder = start_with_reports(&file, 20).await;
    let copy = folder.path().join("backup.db");
    assert!(on("backup", &file, &[copy.to_str().unwrap()]).status.success());
    let target = folder.path().join("target.db");
    for end in ["-TERM", "-KILL"] {
        recorder.end(end).await;
        for file in [&file, &copy] {
            let journal = beside(file, "-journal");
            fs::copy(beside(&other, "-journal"), &journal).unwrap();
            let named = format!("a recorder does not leave {}", journal.display());
            for more in [&[][..], &["--accept-loss"]] {
                let said = refused(file, more);
                assert!(said.contains(&named), "{said}");
            }
            let asked =
                envsnap(&["env", "ls", "--org", "acme", "--db", file.to_str().unwrap()], &[]);
            for ended in
                [on("verify", file, &[]), on("backup", file, &[target.to_str().unwrap()]), asked]
            {
                assert!(!ended.status.success(), "{ended:?}");
                assert!(text(&ended.stderr).contains(&named), "{ended:?}");
            }
            assert!(journal.exists() && !target.exists());
            // As the message says.
            fs::remove_file(&journal).unwrap();
            let verified = on("verify", file, &[]);
            assert!(verified.status.success(), "{verified:?}");
        }
        recorder = Process::start(&file).await;
        assert_eq!(recorder.index("env").await, 20);
    }
    has_all(&Process::start(&copy).await, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_journal_without_a_database_file_is_rejected_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let other = interrupted_database(folder.path());
    let file = folder.path().join("snapshots.db");
    fs::copy(beside(&other, "-journal"), beside(&file, "-journal")).unwrap();
    let said = refused(&file, &[]);
    assert!(said.contains("a recorder does not leave"), "{said}");
    assert!(beside(&file, "-journal").exists() && !file.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_journal_put_beside_a_running_recorder_is_named_in_log_and_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let other = interrupted_database(folder.path());
    let recorder = start_with_reports(&file, 20).await;
    let journal = beside(&file, "-journal");
    fs::copy(beside(&other, "-journal"), &journal).unwrap();
    let named = format!("a recorder does not leave {}", journal.display());
    // Each of several reads at a time needs a connection of its own, which is a new one.
    let is_refused = async || {
        let reads = (0..16).map(|_| recorder.get("/snapshots/acme/env/-1"));
        futures_util::future::join_all(reads).await.iter().any(|(status, _)| *status == 500)
    };
    let mut rounds = 0;
    while !is_refused().await {
        rounds += 1;
        assert!(rounds < 100, "one connection is enough");
    }
    recorder.logged(&named).await;
    let asked = envsnap(&["env", "ls", "--org", "acme", "--db", file.to_str().unwrap()], &[]);
    assert!(text(&asked.stderr).contains(&named), "{asked:?}");
    fs::remove_file(&journal).unwrap();
    has_all(&recorder, 20).await;
}

/// The rollback journal that is left if SQLite is interrupted while it writes the version numbers of WAL
/// mode to the first page of `database`.
fn journal_of_switch_to_wal(database: &[u8]) -> Vec<u8> {
    let page = &database[..4_096];
    let mut journal = vec![0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    // Records, what checksums begin with, pages, bytes of a sector, bytes of a page.
    for number in [[0, 0, 0, 1], [0; 4], database[28..32].try_into().unwrap(), [0, 0, 2, 0]] {
        journal.extend(number);
    }
    journal.extend([0, 0, 16, 0]);
    journal.resize(512, 0);
    journal.extend([0, 0, 0, 1]);
    journal.extend(page);
    let sum: u32 = (1..=20).map(|step| u32::from(page[4_096 - 200 * step])).sum();
    journal.extend(sum.to_be_bytes());
    journal
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_whose_switch_to_wal_mode_was_interrupted_can_be_served() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = start_with_reports(&file, 5).await;
    for is_written in [false, true] {
        let copy = folder.path().join(format!("backup-{is_written}.db"));
        assert!(on("backup", &file, &[copy.to_str().unwrap()]).status.success());
        let mut database = fs::read(&copy).unwrap();
        fs::write(beside(&copy, "-journal"), journal_of_switch_to_wal(&database)).unwrap();
        if is_written {
            (database[18], database[19]) = (2, 2);
            database[24..28].copy_from_slice(&9_999_u32.to_be_bytes());
            database[92..96].copy_from_slice(&9_999_u32.to_be_bytes());
            fs::write(&copy, &database).unwrap();
        }
        has_all(&Process::start(&copy).await, 5).await;
    }
    drop(recorder);
}

#[tokio::test(flavor = "multi_thread")]
async fn database_whose_creation_was_interrupted_can_be_served() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made.db");
    Process::start(&made).await.end("-TERM").await;
    // As they are while the tables are made: by any program with a journal.
    let (file, live) = (folder.path().join("snapshots.db"), folder.path().join("live.db"));
    let schema: Vec<String> = {
        let connection = Connection::open(&made).unwrap();
        let mut statement = connection
            .prepare(
                "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%'",
            )
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let connection = Connection::open(&live).unwrap();
    connection.execute_batch("PRAGMA cache_size = 1; BEGIN").unwrap();
    connection.execute_batch(&schema.join(";")).unwrap();
    for ending in ["", "-journal"] {
        fs::copy(beside(&live, ending), beside(&file, ending)).unwrap();
    }
    assert!(fs::metadata(beside(&file, "-journal")).unwrap().len() > 0);
    let recorder = Process::start(&file).await;
    recorder.create("env").await;
    report(&recorder, 1..=1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn following_the_error_on_a_wal_that_does_not_match_the_file_loses_no_report() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let (log, away) = (beside(&file, "-wal"), beside(&file, ".away"));
    let old = beside(&file, ".old");
    let mut recorder = start_with_reports(&file, 5).await;
    fs::copy(&file, &old).unwrap();
    fs::copy(&log, beside(&old, "-wal")).unwrap();
    second_program::execute(&file, "PRAGMA wal_checkpoint(TRUNCATE)");
    report(&recorder, 6..=10).await;
    recorder.end("-KILL").await;

    // An old file: the log is right.
    fs::rename(&file, &away).unwrap();
    fs::copy(&old, &file).unwrap();
    let said = refused(&file, &[]);
    assert!(said.contains("the log has the last acknowledged commit: keep it"), "{said}");
    let (first, _) = said.split_once("If that is gone").unwrap();
    assert!(!said.contains("rename") && !first.contains("away"), "{said}");
    fs::rename(&away, &file).unwrap();

    // An old log: the file is right, once it has all.
    let mut recorder = Process::start(&file).await;
    report(&recorder, 11..=15).await;
    second_program::execute(&file, "PRAGMA wal_checkpoint(TRUNCATE)");
    recorder.end("-KILL").await;
    fs::copy(beside(&old, "-wal"), &log).unwrap();
    let said = refused(&file, &[]);
    assert!(said.contains(&format!("rename {}, start again", log.display())), "{said}");
    fs::rename(&log, &away).unwrap();
    has_all(&Process::start(&file).await, 15).await;

    // Without a note, nothing says which.
    fs::remove_file(beside(&file, ".lock")).unwrap();
    fs::rename(&away, &log).unwrap();
    let said = refused(&file, &[]);
    assert!(said.contains("keep both"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn following_the_error_on_a_wal_of_another_program_keeps_all_reports() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    start_with_reports(&file, 5).await.end("-TERM").await;
    let (killed, other) = (folder.path().join("killed.db"), folder.path().join("other.db"));
    {
        let connection = Connection::open(&file).unwrap();
        connection.execute_batch("PRAGMA wal_autocheckpoint = 0; REINDEX").unwrap();
        for ending in ["", "-wal", ".lock"] {
            fs::copy(beside(&file, ending), beside(&killed, ending)).unwrap();
        }
    }
    let command = format!("sqlite3 '{}' 'PRAGMA wal_checkpoint(TRUNCATE)'", killed.display());
    let said = refused(&killed, &[]);
    let at = |part: &str| said.find(part).unwrap_or(usize::MAX);
    assert!(at("Keep a copy ") < at(&command) && at(&command) < at("put the copy"), "{said}");
    second_program::execute(&killed, "PRAGMA wal_checkpoint(TRUNCATE)");
    assert!(on("verify", &killed, &[]).status.success());
    has_all(&Process::start(&killed).await, 5).await;

    // And if it was another file's, the copy has everything.
    {
        let connection = Connection::open(&other).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.execute_batch("CREATE TABLE contacts (name TEXT)").unwrap();
        fs::copy(beside(&other, "-wal"), beside(&file, "-wal")).unwrap();
    }
    let copy = folder.path().join("copy.db");
    fs::copy(&file, &copy).unwrap();
    assert!(refused(&file, &[]).contains("no recorder wrote what is in"));
    second_program::execute(&file, "PRAGMA wal_checkpoint(TRUNCATE)");
    assert!(!on("verify", &file, &[]).status.success());
    let _none = fs::remove_file(beside(&file, "-wal"));
    fs::rename(&copy, &file).unwrap();
    has_all(&Process::start(&file).await, 5).await;
}

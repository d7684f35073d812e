//! A recorder that was killed, whose log was removed after another program had begun to apply it.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::crash::Process;
use super::file::on;
use super::lost_log::beside;
use super::lost_reports::{has_all, refused, report, start_with_reports};
use super::second_program;
use crate::command_line::text;

/// In bytes.
const PAGE_SIZE: usize = 4_096;

/// The single value that the query returns.
fn query_value<T: rusqlite::types::FromSql>(file: &Path, sql: &str) -> T {
    Connection::open(file).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Kills a recorder, which leaves a WAL; the bytes of the file before and after the WAL is applied.
async fn kill_with_wal(file: &Path) -> (Vec<u8>, Vec<u8>) {
    start_with_reports(file, 5).await.end("-TERM").await;
    // It applies no log before it is killed: there is too little in it, and no other program.
    let mut recorder = Process::start(file).await;
    report(&recorder, 6..=40).await;
    recorder.end("-KILL").await;
    let applied = beside(file, ".applied");
    fs::copy(file, &applied).unwrap();
    fs::copy(beside(file, "-wal"), beside(&applied, "-wal")).unwrap();
    second_program::execute(&applied, "PRAGMA wal_checkpoint(TRUNCATE)");
    let pages = (fs::read(file).unwrap(), fs::read(&applied).unwrap());
    fs::remove_file(applied).unwrap();
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn file_to_which_its_wal_was_partly_applied_is_refused_without_that_wal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let (before, after) = kill_with_wal(&file).await;
    let made = folder.path().join("made.db");
    fs::write(&made, &after).unwrap();
    let position: usize =
        query_value(&made, "SELECT rootpage FROM sqlite_schema WHERE name = 'position'");
    let (log, away) = (beside(&file, "-wal"), beside(&file, ".away"));
    fs::rename(&log, &away).unwrap();
    // SQLite writes the pages in order, the size of the file in the first, and is killed at any.
    for written in [position, position + 1, after.len() / PAGE_SIZE - 1] {
        let mut pages = before.clone();
        pages.resize(after.len(), 0);
        pages[..written * PAGE_SIZE].copy_from_slice(&after[..written * PAGE_SIZE]);
        fs::write(&file, &pages).unwrap();
        let said = refused(&file, &[]);
        let named = format!("the log {} is missing, which {} needs", log.display(), file.display());
        assert!(said.contains(&named) && said.contains("Put the log back"), "{written}: {said}");
        assert!(!on("verify", &file, &[]).status.success());

        // And before the file has its new length.
        fs::write(&file, &pages[..before.len()]).unwrap();
        let said = refused(&file, &[]);
        let named = format!("the log {} is missing, which may have the rest", log.display());
        assert!(said.contains(&named) && said.contains("is truncated"), "{written}: {said}");

        // As both messages say.
        for pages in [&pages[..], &pages[..before.len()]] {
            let copy = folder.path().join("copy.db");
            fs::write(&copy, pages).unwrap();
            fs::copy(&away, beside(&copy, "-wal")).unwrap();
            has_all(&Process::start(&copy).await, 40).await;
            fs::remove_file(beside(&copy, ".lock")).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn file_with_the_last_position_row_but_older_pages_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = start_with_reports(&file, 5).await;
    second_program::execute(&file, "PRAGMA wal_checkpoint(TRUNCATE)");
    let before = fs::read(&file).unwrap();
    report(&recorder, 6..=7).await;
    recorder.end("-KILL").await;
    // All that is there is consistent, and older than the note.
    second_program::execute(&file, "PRAGMA wal_checkpoint(TRUNCATE)");
    let position: usize =
        query_value(&file, "SELECT rootpage FROM sqlite_schema WHERE name = 'position'");
    let page = (position - 1) * PAGE_SIZE..position * PAGE_SIZE;
    let changed = fs::read(&file).unwrap()[page.clone()].to_vec();
    let mut pages = before;
    pages[page].copy_from_slice(&changed);
    fs::write(&file, &pages).unwrap();
    let _none = fs::remove_file(beside(&file, "-wal"));
    for verb in ["serve", "verify"] {
        let said = text(&on(verb, &file, &[]).stderr);
        assert!(said.contains("is missing, which"), "{verb}: {said}");
        assert!(said.contains("8 were acknowledged"), "{verb}: {said}");
    }
    let recorder = Process::start_with(&file, |command| {
        command.arg("--accept-loss");
    })
    .await;
    has_all(&recorder, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn file_is_marked_as_closed_only_once_its_whole_wal_is_applied() {
    const SELECT_IN_USE_FLAG: &str = "SELECT hex(substr(state, 57, 1)) FROM position";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = start_with_reports(&file, 5).await;
    let reader = Connection::open(&file).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM snapshot").unwrap();
    report(&recorder, 6..=10).await;
    recorder.end("-TERM").await;
    assert_eq!(query_value::<String>(&file, SELECT_IN_USE_FLAG), "01");
    drop(reader);
    // Its end applied the log and removed it.
    assert!(!beside(&file, "-wal").exists());
    let mut recorder = Process::start(&file).await;
    has_all(&recorder, 10).await;
    recorder.end("-TERM").await;
    assert_eq!(query_value::<String>(&file, SELECT_IN_USE_FLAG), "00");
}

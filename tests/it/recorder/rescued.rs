//! The copy that a recorder saves of a file that was taken away from it.

use std::fs;
use std::path::Path;

use super::file::on;
use super::lost_log::{
    REPORTS, assert_has_all_reports, assert_refuses_requests, beside, put_in_place,
    start_with_reports,
};
use super::lost_reports;
#[cfg(target_os = "linux")]
use super::room::limit_file_size;
use super::second_program;
use crate::command_line::text;

/// Removes the file, its `-wal` and its `-shm`, but not its note (`.lock`).
fn remove_database(file: &Path) {
    for ending in ["", "-wal", "-shm"] {
        fs::remove_file(beside(file, ending)).unwrap();
    }
}

fn truncate_wal(file: &Path) {
    let log = fs::OpenOptions::new().write(true).open(beside(file, "-wal")).unwrap();
    log.set_len(0).unwrap();
}

/// What `envsnap serve` says, which must refuse to start.
fn refused_start(file: &Path) -> String {
    lost_reports::refused(file, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_views_and_invalid_rows_of_another_program_do_not_prevent_a_complete_copy() {
    for sql in [
        "CREATE INDEX by_hand ON environment (description)",
        "CREATE VIEW by_hand AS SELECT name FROM environment",
        "UPDATE reporting SET heartbeat = -5",
        "INSERT INTO reporting VALUES (1, 999, 1700000000000000, NULL, zeroblob(32))",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        let mut recorder = start_with_reports(&file).await;
        second_program::execute(&file, sql);
        remove_database(&file);
        let said = assert_refuses_requests(&recorder).await;
        let copy = beside(&file, ".rescued");
        let saved = format!("All acknowledged reports are in {}", copy.display());
        assert!(said.contains(&saved), "{sql}: {said}");
        recorder.end("-TERM").await;
        let said = refused_start(&file);
        assert!(said.contains("is a complete copy that a recorder saved"), "{sql}: {said}");
        put_in_place(&file);
        let recorder = super::crash::Process::start(&file).await;
        lost_reports::has_all(&recorder, u64::from(REPORTS)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_of_a_damaged_file_is_saved_as_rescued_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = start_with_reports(&file).await;
    second_program::execute(&file, "DELETE FROM snapshot WHERE snapshot_index = 7");
    remove_database(&file);
    let said = assert_refuses_requests(&recorder).await;
    let copy = beside(&file, ".rescued.damaged");
    let named = format!("Those that could are in {}", copy.display());
    assert!(said.contains(&named) && said.contains("table snapshot"), "{said}");
    recorder.end("-TERM").await;
    let said = refused_start(&file);
    assert!(said.contains("keep it") && said.contains("table snapshot"), "{said}");

    // All acknowledged reports but the damage.
    let kept = folder.path().join("kept.db");
    fs::rename(&copy, &kept).unwrap();
    assert!(refused_start(&file).contains("reports were acknowledged from it"));
    let recorder = super::crash::Process::start(&kept).await;
    lost_reports::has_all(&recorder, u64::from(REPORTS)).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn copy_for_which_there_is_no_space_is_saved_once_there_is() {
    type Fault = fn(&Path);
    let faults: [(&str, Fault); 2] =
        [("the log is cut", truncate_wal), ("removed", remove_database)];
    for (what, fault) in faults {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        let mut recorder = start_with_reports(&file).await;
        let size = |file: &Path| fs::metadata(file).unwrap().len();
        let most = (size(&file) + size(&beside(&file, "-wal"))) >> 20;
        // As a disk that is full.
        let process = recorder.child.id().unwrap();
        limit_file_size(process, "20000");
        fault(&file);
        let said = recorder.logged("it accepts nothing more").await;
        let dir = format!(" MB in {}", folder.path().display());
        let (before, _) = said.split_once(&dir).unwrap_or_else(|| panic!("{what}: {said}"));
        let megabytes: u64 = before.rsplit(' ').next().unwrap().parse().unwrap();
        assert!((2..=most + 2).contains(&megabytes), "{what}: {said}");
        assert!(said.contains("do not stop it") && !said.contains("Stop the"), "{what}: {said}");
        // However many attempts fail.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        assert!(!beside(&file, ".rescued").exists(), "{what}");
        assert_eq!(recorder.log().matches("it accepts nothing more").count(), 1, "{what}");

        limit_file_size(process, "unlimited");
        let said = recorder.logged("are over. All acknowledged reports are in").await;
        assert!(said.contains("All acknowledged reports are in"), "{what}: {said}");
        assert_refuses_requests(&recorder).await;
        recorder.end("-KILL").await;
        put_in_place(&file);
        assert_has_all_reports(&file).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn recorder_that_ends_without_space_for_its_copy_logs_it_and_proc_has_the_files_until_then() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = start_with_reports(&file).await;
    let process = recorder.child.id().unwrap();
    limit_file_size(process, "20000");
    remove_database(&file);
    recorder.logged("it accepts nothing more").await;
    // What is removed is in the process still, and can be copied from there.
    let copy = folder.path().join("by-hand.db");
    for ending in ["", "-wal"] {
        let name = format!("{}{ending} (deleted)", file.display());
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        let open = descriptors
            .map(|found| found.unwrap().path())
            .find(|found| fs::read_link(found).is_ok_and(|target| target == Path::new(&name)));
        fs::copy(open.unwrap(), beside(&copy, ending)).unwrap();
    }
    recorder.end("-TERM").await;
    recorder.logged("the recorder ends without having saved all acknowledged reports").await;
    assert_has_all_reports(&copy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn incomplete_rescued_files_are_kept_and_reported_and_do_not_prevent_a_new_copy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = start_with_reports(&file).await;
    fs::create_dir(beside(&file, ".rescued")).unwrap();
    truncate_wal(&file);
    let said = assert_refuses_requests(&recorder).await;
    let copy = beside(&file, ".rescued.2");
    let saved = format!("All acknowledged reports are in {}", copy.display());
    assert!(said.contains(&saved), "{said}");
    recorder.end("-KILL").await;
    fs::remove_dir(beside(&file, ".rescued")).unwrap();

    // Left empty, or as of an old file: only what is proven is said.
    let old = folder.path().join("old.db");
    start_with_reports(&old).await.end("-TERM").await;
    fs::rename(&copy, beside(&file, ".complete")).unwrap();
    for content in [Vec::new(), b"SQLite format 3".to_vec(), fs::read(&old).unwrap()] {
        fs::write(beside(&file, ".rescued"), content).unwrap();
        let said = refused_start(&file);
        assert!(said.contains("is damaged or not complete. Do not replace"), "{said}");
    }
    // A complete one is named, whichever it is, and one that cannot be read may be complete.
    fs::rename(beside(&file, ".complete"), beside(&file, ".rescued.2")).unwrap();
    let said = refused_start(&file);
    assert!(said.contains(".rescued.2 is a complete copy that a recorder saved"), "{said}");
    fs::rename(beside(&file, ".rescued.2"), beside(&file, ".rescued")).unwrap();
    {
        let connection = rusqlite::Connection::open(beside(&file, ".rescued")).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
    }
    let said = refused_start(&file);
    assert!(said.contains("may be the only file with the latest reports"), "{said}");
    assert!(said.contains("has version 99") && !said.contains("Do not replace"), "{said}");
}

/// A file with schema version 1, without any report.
fn file_of_version_1(file: &Path) {
    let connection = rusqlite::Connection::open(file).unwrap();
    let sql = include_str!("../../../crates/recorder/src/store/sqlite/migrations/0001_ledger.sql");
    connection.execute_batch(sql).unwrap();
    let state = [&b"envsnap position"[..], &[0; 41]].concat();
    connection.execute("INSERT INTO position (id, state) VALUES (1, ?)", [state]).unwrap();
    connection.pragma_update(None, "application_id", 0x6573_6e6c).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rescued_copy_with_schema_version_1_is_complete_and_upgraded_by_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    file_of_version_1(&beside(&file, ".rescued"));
    let said = refused_start(&file);
    assert!(said.contains("is a complete copy that a recorder saved"), "{said}");
    put_in_place(&file);
    let verified = on("verify", &file, &[]);
    let upgrade = format!("Upgrade it with: envsnap serve --db '{}'", file.display());
    assert!(text(&verified.stderr).contains(&upgrade), "{verified:?}");
    // A backup before the upgrade.
    let backup = folder.path().join("backup.db");
    let made = on("backup", &file, &[backup.to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
    super::crash::Process::start(&file).await.end("-TERM").await;
    assert!(on("verify", &file, &[]).status.success());
    super::crash::Process::start(&backup).await.end("-TERM").await;
    assert!(on("verify", &backup, &[]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_acknowledged_before_a_commit_of_another_program_are_saved() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = start_with_reports(&file).await;
    second_program::execute(&file, "ANALYZE");
    // The recorder applies the log, since that is no longer in memory.
    let reader = rusqlite::Connection::open(&file).unwrap();
    // It begins anew then, with the position alone.
    let is_applied = || {
        reader.query_row("SELECT count(*) FROM org", [], |_| Ok(())).unwrap();
        let frames = reader.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1));
        frames.is_ok_and(|frames: u64| frames < u64::from(REPORTS))
    };
    for _ in 0..600 {
        if is_applied() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(is_applied());
    truncate_wal(&file);
    let said = assert_refuses_requests(&recorder).await;
    let saved = format!("All acknowledged reports are in {}", beside(&file, ".rescued").display());
    assert!(said.contains(&saved), "{said}");
    drop(reader);
    recorder.end("-KILL").await;
    put_in_place(&file);
    assert_has_all_reports(&file).await;
}

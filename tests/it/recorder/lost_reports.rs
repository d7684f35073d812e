//! A recorder that is started on a file, or with a log, that lacks reports acknowledged before.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::crash::Process;
use super::file::on;
use super::lost_log::beside;
use super::server::{digest, task};
use crate::command_line::text;

/// Reports one new snapshot for each of `bytes`, and panics unless all are acknowledged.
pub(super) async fn report(recorder: &Process, bytes: std::ops::RangeInclusive<u8>) {
    for byte in bytes {
        assert_eq!(recorder.report("env", &[task(1, "web", &digest(byte), 1)]).await, 201);
    }
}

/// A recorder that has acknowledged so many reports.
pub(super) async fn start_with_reports(file: &Path, reports: u8) -> Process {
    let recorder = Process::start(file).await;
    recorder.create("env").await;
    report(&recorder, 1..=reports).await;
    recorder
}

/// Runs `envsnap serve`, which must refuse to start and leave the file and its WAL unchanged; what
/// it says.
pub(super) fn refused(file: &Path, more: &[&str]) -> String {
    let log = beside(file, "-wal");
    // SQLite makes an empty log.
    let read = || (fs::read(file).unwrap_or_default(), fs::read(&log).unwrap_or_default());
    let before = read();
    let ended = on("serve", file, &[&["--listen", "127.0.0.1:0"], more].concat());
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(before == read(), "it was changed: {said}");
    said
}

async fn start_accepting_loss(file: &Path) -> Process {
    let recorder = Process::start_with(file, |command| {
        command.arg("--accept-loss");
    })
    .await;
    assert!(recorder.log().contains("WARN"), "{}", recorder.log());
    recorder
}

/// Panics unless the latest snapshot is `index` and another report makes the next one.
pub(super) async fn has_all(recorder: &Process, index: u64) {
    assert_eq!(recorder.index("env").await, index);
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(250), 1)]).await, 201);
    assert_eq!(recorder.index("env").await, index + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_wal_moved_over_the_live_one_is_not_applied() {
    for end in ["-KILL", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        let mut recorder = start_with_reports(&file, 10).await;
        let (log, old) = (beside(&file, "-wal"), beside(&file, ".old-wal"));
        fs::copy(&log, &old).unwrap();
        report(&recorder, 11..=50).await;
        fs::rename(&old, &log).unwrap();
        assert_eq!(recorder.report("env", &[task(1, "web", &digest(99), 1)]).await, 500);
        recorder.logged("it accepts nothing more").await;
        recorder.end(end).await;

        let said = refused(&file, &[]);
        assert!(said.contains("-wal is not the log of"), "{said}");
        // As the message says.
        fs::remove_file(&log).unwrap();
        has_all(&Process::start(&file).await, 50).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_of_the_file_with_a_wal_that_does_not_continue_it_is_refused_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = start_with_reports(&file, 5).await;
    let mut copies: Vec<PathBuf> = Vec::new();
    let mut copy = |from: &Path| {
        let copy = folder.path().join(format!("copy-{}.db", copies.len()));
        fs::copy(from, &copy).unwrap();
        copies.push(copy.clone());
        copy
    };
    let early = copy(&file);
    // The log begins anew.
    super::second_program::execute(&file, "PRAGMA wal_checkpoint(TRUNCATE)");
    report(&recorder, 6..=10).await;
    recorder.end("-KILL").await;
    let late = copy(&file);
    let other = folder.path().join("other.db");
    start_with_reports(&other, 3).await.end("-KILL").await;

    for (database, log) in [(&early, &file), (&early, &other), (&late, &other)] {
        fs::copy(beside(log, "-wal"), beside(database, "-wal")).unwrap();
        let said = refused(database, &[]);
        assert!(said.contains("-wal is not the log of"), "{said}");
        let said = refused(database, &["--accept-loss"]);
        assert!(said.contains("-wal is not the log of"), "{said}");
        let verified = on("verify", database, &[]);
        assert_eq!(verified.status.code(), Some(2), "{verified:?}");
        assert!(text(&verified.stderr).contains("-wal is not the log of"), "{verified:?}");
    }
    // A log of another program, and its own.
    let foreign = folder.path().join("foreign.db");
    let connection = rusqlite::Connection::open(&foreign).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.execute_batch("CREATE TABLE contacts (name TEXT)").unwrap();
    fs::copy(beside(&foreign, "-wal"), beside(&late, "-wal")).unwrap();
    let said = refused(&late, &[]);
    assert!(said.contains("no recorder wrote what is in"), "{said}");
    fs::copy(beside(&file, "-wal"), beside(&late, "-wal")).unwrap();
    has_all(&Process::start(&late).await, 10).await;
    has_all(&Process::start(&file).await, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn file_without_the_wal_that_it_needs_is_refused_under_every_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let link = folder.path().join("link.db");
    let mut recorder = start_with_reports(&file, 5).await;
    fs::hard_link(&file, &link).unwrap();
    for killed in [false, true] {
        if killed {
            recorder.end("-KILL").await;
        }
        let copy = folder.path().join("copy.db");
        fs::copy(&file, &copy).unwrap();
        for other in [&link, &copy] {
            let target = folder.path().join("backup.db");
            for (verb, more) in [("verify", &[][..]), ("backup", &[target.to_str().unwrap()])] {
                let ended = on(verb, other, more);
                let said = text(&ended.stderr);
                assert_eq!(ended.status.code(), Some(2), "{verb} {said}");
                let named = format!("Its recorder called it {}", file.display());
                assert!(said.contains(&named), "{verb} {said}");
                assert!(!target.exists());
            }
            if killed || *other == copy {
                assert!(refused(other, &[]).contains("its log is not beside it"));
            }
        }
    }
    let without = start_accepting_loss(&folder.path().join("copy.db")).await;
    assert!(without.log().contains("its log is not beside it"), "{}", without.log());
    has_all(&Process::start(&file).await, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_names_the_path_that_has_the_wal_even_if_this_path_was_used_before() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("snapshots.db"), folder.path().join("link.db"));
    start_with_reports(&file, 5).await.end("-TERM").await;
    fs::hard_link(&file, &link).unwrap();
    let mut recorder = Process::start(&link).await;
    report(&recorder, 6..=10).await;
    let named = format!("Its recorder called it {}", link.display());
    let verified = on("verify", &file, &[]);
    assert_eq!(verified.status.code(), Some(2), "{verified:?}");
    assert!(text(&verified.stderr).contains(&named), "{verified:?}");
    recorder.end("-KILL").await;
    let said = refused(&file, &[]);
    assert!(said.contains(&named), "{said}");

    let mut recorder = Process::start(&link).await;
    has_all(&recorder, 10).await;
    recorder.end("-TERM").await;
    assert_eq!(Process::start(&file).await.index("env").await, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_wal_or_file_while_no_recorder_runs_is_detected_at_the_next_start() {
    type Fault = fn(&Path);
    let faults: [(&str, Fault); 6] = [
        ("the log is removed", |file| fs::remove_file(beside(file, "-wal")).unwrap()),
        ("the log is overwritten", |file| {
            let log = beside(file, "-wal");
            let size = fs::metadata(&log).unwrap().len();
            fs::write(&log, vec![0; usize::try_from(size).unwrap()]).unwrap();
        }),
        ("the log is cut and has its size again", |file| {
            let log = fs::OpenOptions::new().write(true).open(beside(file, "-wal")).unwrap();
            let size = log.metadata().unwrap().len();
            log.set_len(40_000).unwrap();
            log.set_len(size).unwrap();
        }),
        ("a bit of the log flips", |file| {
            let log = beside(file, "-wal");
            let mut bytes = fs::read(&log).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&log, bytes).unwrap();
        }),
        ("a backup is in its place", |file| {
            fs::remove_file(beside(file, "-wal")).unwrap();
            fs::remove_file(beside(file, "-shm")).unwrap();
            fs::copy(beside(file, ".backup"), file).unwrap();
        }),
        ("the file is removed", |file| {
            fs::remove_file(beside(file, "-wal")).unwrap();
            fs::remove_file(file).unwrap();
        }),
    ];
    for (what, fault) in faults {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        let mut recorder = start_with_reports(&file, 5).await;
        let backup = beside(&file, ".backup");
        assert!(on("backup", &file, &[backup.to_str().unwrap()]).status.success());
        report(&recorder, 6..=50).await;
        recorder.end("-KILL").await;
        fault(&file);

        let said = refused(&file, &[]);
        let lock = beside(&file, ".lock").display().to_string();
        assert!(said.contains("--accept-loss") && said.contains(&lock), "{what}: {said}");
        if what != "the file is removed" {
            let verified = on("verify", &file, &[]);
            assert_eq!(verified.status.code(), Some(2), "{what}: {verified:?}");
        }
        // Once it is decided, nothing is to be decided again.
        let mut recorder = start_accepting_loss(&file).await;
        recorder.create("env").await;
        report(&recorder, 100..=100).await;
        let index = recorder.index("env").await;
        assert!(index < 50, "{what}: {index}");
        recorder.end("-KILL").await;
        has_all(&Process::start(&file).await, index).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn complete_file_starts_at_any_path_with_or_without_its_wal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = start_with_reports(&file, 5).await;
    // Another program applied the log, and removed it with its own end.
    recorder.end("-KILL").await;
    super::second_program::execute(&file, "SELECT * FROM snapshot");
    assert!(!beside(&file, "-wal").exists());
    // Moved with its log, after a kill; without, after an end; and back.
    let mut recorder = Process::start(&file).await;
    report(&recorder, 6..=10).await;
    recorder.end("-KILL").await;
    let elsewhere = folder.path().join("elsewhere.db");
    fs::rename(&file, &elsewhere).unwrap();
    fs::rename(beside(&file, "-wal"), beside(&elsewhere, "-wal")).unwrap();
    let mut recorder = Process::start(&elsewhere).await;
    report(&recorder, 11..=15).await;
    recorder.end("-TERM").await;
    assert!(!beside(&elsewhere, "-wal").exists());
    for _ in 0..3 {
        Process::start(&elsewhere).await.end("-TERM").await;
    }
    fs::rename(&elsewhere, &file).unwrap();
    has_all(&Process::start(&file).await, 15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn file_vacuumed_by_another_program_while_in_use_starts_after_a_kill() {
    for sql in [&["VACUUM"][..], &["PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM"]] {
        for later in [0, 5] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("snapshots.db");
            let mut recorder = start_with_reports(&file, 60).await;
            for sql in sql {
                super::second_program::execute(&file, sql);
            }
            report(&recorder, 61..=60 + later).await;
            let verified = on("verify", &file, &[]);
            assert_eq!(verified.status.code(), Some(0), "{sql:?} {later}: {verified:?}");
            recorder.end("-KILL").await;
            has_all(&Process::start(&file).await, u64::from(60 + later)).await;
        }
    }
}

/// Applies the WAL to the file, but for the pages with a position, as a checkpoint that was killed
/// may have done.
fn apply_wal_without_position(file: &Path) {
    const POSITION_MARKER: &[u8] = b"envsnap position";
    let has_marker =
        |page: &[u8]| page.windows(POSITION_MARKER.len()).any(|part| part == POSITION_MARKER);
    let log = fs::read(beside(file, "-wal")).unwrap();
    let page_size = usize::try_from(u32::from_be_bytes(log[8..12].try_into().unwrap())).unwrap();
    let database = OpenOptions::new().write(true).open(file).unwrap();
    for frame in log[32..].chunks_exact(24 + page_size).filter(|frame| !has_marker(frame)) {
        let number = u32::from_be_bytes(frame[..4].try_into().unwrap());
        let offset = (u64::from(number) - 1) * page_size as u64;
        database.write_all_at(&frame[24..], offset).unwrap();
    }
    let content = fs::read(file).unwrap();
    assert!(!has_marker(&content), "the position before is overwritten");
}

#[tokio::test(flavor = "multi_thread")]
async fn recorder_starts_after_a_kill_while_the_wal_of_a_vacuum_is_applied() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = start_with_reports(&file, 60).await;
    // A program that reads for long keeps the log from being applied.
    let reader = rusqlite::Connection::open(&file).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM snapshot").unwrap();
    super::second_program::execute(&file, "VACUUM");
    report(&recorder, 61..=65).await;
    recorder.end("-KILL").await;
    let copy = folder.path().join("copy.db");
    for ending in ["", "-wal", ".lock"] {
        fs::copy(beside(&file, ending), beside(&copy, ending)).unwrap();
    }
    drop(reader);
    apply_wal_without_position(&copy);
    has_all(&Process::start(&copy).await, 65).await;
}

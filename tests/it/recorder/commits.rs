//! What another program does to the file or its log while the recorder is about to commit.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;

use super::crash::Process;
use super::file::on;
use super::lost_log::{REPORTS, beside, put_in_place, start_with_reports};
use super::lost_reports::{self, has_all, refused};
use super::second_program;
use super::server::{digest, task};

/// Number of the system call `clock_nanosleep`, in which SQLite waits for a lock.
const CLOCK_NANOSLEEP: &str = if cfg!(target_arch = "aarch64") { "115" } else { "230" };

/// Bytes of the file `-shm` on which SQLite locks the WAL: to write, to apply it, to repair it, and
/// to read at five positions.
const WAL_LOCKS: std::ops::Range<u64> = 120..128;

/// Waits until the recorder waits for the write lock of its file, as it does when all checks before a
/// commit are done.
async fn wait_until_recorder_waits_for_lock(recorder: &Process) {
    let threads = format!("/proc/{}/task", recorder.child.id().unwrap());
    // A thread may end before its files are read.
    let is_waiting = |thread: &Path| {
        fs::read_to_string(thread.join("comm")).is_ok_and(|name| name == "writer\n")
            && fs::read_to_string(thread.join("syscall"))
                .is_ok_and(|call| call.split(' ').next() == Some(CLOCK_NANOSLEEP))
    };
    let waiting = async {
        while !fs::read_dir(&threads).unwrap().any(|thread| is_waiting(&thread.unwrap().path())) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap();
}

fn send_signal(recorder: &Process, signal: &str) {
    let id = recorder.child.id().unwrap().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

/// Stops all threads of the recorder, at a moment at which it holds no lock of its WAL, which
/// another program would wait for.
async fn stop(recorder: &Process, file: &Path) {
    let id = recorder.child.id().unwrap();
    let is_stopped = |thread: &Path| {
        fs::read_to_string(thread.join("stat"))
            .is_ok_and(|status| status.rsplit_once(')').unwrap().1.starts_with(" T"))
    };
    let stopping = async {
        loop {
            send_signal(recorder, "-STOP");
            while !fs::read_dir(format!("/proc/{id}/task"))
                .unwrap()
                .all(|thread| is_stopped(&thread.unwrap().path()))
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // An entry may be missing in one reading, if other processes unlock files meanwhile.
            let read = |_| second_program::locked_bytes(id, &beside(file, "-shm"));
            let locked: Vec<_> = (0..3).flat_map(read).collect();
            assert!(!locked.is_empty(), "SQLite locks a byte while it has the file open");
            if !locked.iter().any(|first| WAL_LOCKS.contains(first)) {
                break;
            }
            send_signal(recorder, "-CONT");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), stopping).await.unwrap();
}

/// The status of a report if, between its checks and its commit, another program that holds the
/// write lock does `meanwhile` and gives up the lock.
async fn report_during(
    recorder: &Process,
    file: &Path,
    tasks: &[Value],
    meanwhile: impl AsyncFnOnce(&Connection),
) -> u16 {
    let other = Connection::open(file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let change = async {
        wait_until_recorder_waits_for_lock(recorder).await;
        meanwhile(&other).await;
        drop(other);
    };
    tokio::join!(recorder.report("env", tasks), change).0
}

#[tokio::test(flavor = "multi_thread")]
async fn wal_truncated_just_before_a_commit_fails_the_report_and_saves_a_copy() {
    type Length = fn(u64) -> u64;
    let lengths: [(&str, Length); 4] = [
        ("to nothing", |_| 0),
        ("to a half", |bytes| bytes / 2),
        ("in its last page", |bytes| bytes - 100),
        ("by its last page", |bytes| bytes - 4_120),
    ];
    for (what, length) in lengths {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        let mut recorder = start_with_reports(&file).await;
        let log = fs::OpenOptions::new().write(true).open(beside(&file, "-wal")).unwrap();
        let truncate = async |other: &Connection| {
            log.set_len(length(log.metadata().unwrap().len())).unwrap();
            other.execute_batch("ROLLBACK").unwrap();
        };
        let tasks = [task(1, "web", &digest(99), 1)];
        assert_eq!(report_during(&recorder, &file, &tasks, truncate).await, 500, "{what}");
        let said = recorder.logged("it accepts nothing more").await;
        assert!(said.contains("All acknowledged reports are in"), "{what}: {said}");
        assert_eq!(recorder.report("env", &tasks).await, 500, "{what}");
        recorder.end("-KILL").await;

        put_in_place(&file);
        let recorder = Process::start(&file).await;
        // The report that was not acknowledged may be there.
        let index = recorder.index("env").await;
        assert!([REPORTS, REPORTS + 1].map(u64::from).contains(&index), "{what}: {index}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn report_is_recorded_if_another_program_vacuums_the_file_just_before_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = start_with_reports(&file).await;
    // Free pages, which are in the file.
    for sql in [
        "CREATE TABLE other AS
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
         SELECT randomblob(4000) FROM n",
        "DROP TABLE other",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ] {
        second_program::execute(&file, sql);
    }
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(98), 1)]).await, 201);
    let bytes = || fs::metadata(&file).unwrap().len();
    let before = bytes();
    let shrink = async |other: &Connection| {
        stop(&recorder, &file).await;
        other.execute_batch("ROLLBACK; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        assert!(bytes() < before - 400 * 4_096);
        send_signal(&recorder, "-CONT");
    };
    let tasks: Vec<_> =
        (0..200).map(|id| task(id, &format!("web-{id}"), &format!("{id:064x}"), 1)).collect();
    assert_eq!(report_during(&recorder, &file, &tasks, shrink).await, 201, "{}", recorder.log());
    assert_eq!(recorder.report("env", &tasks[1..]).await, 201, "{}", recorder.log());
    assert_eq!(recorder.index("env").await, u64::from(REPORTS) + 3);
    assert!(!recorder.log().contains("ERROR"), "{}", recorder.log());
}

/// Whether `envsnap backup` to a file of this name succeeds.
fn back_up(file: &Path, name: &str) -> bool {
    let target = file.with_file_name(name);
    on("backup", file, &[target.to_str().unwrap()]).status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn commit_of_another_program_prevents_neither_backup_nor_verify_nor_restart() {
    for sql in ["ANALYZE", "VACUUM", "CREATE TABLE other (a); DROP TABLE other", "REINDEX"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        lost_reports::start_with_reports(&file, 5).await.end("-TERM").await;
        let mut recorder = Process::start(&file).await;
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        assert!(back_up(&file, "backup.db"), "{sql}");
        let verified = on("verify", &file, &[]);
        assert!(verified.status.success(), "{sql}: {verified:?}");
        recorder.end("-KILL").await;
        has_all(&Process::start(&file).await, 5).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn position_row_is_rewritten_soon_after_another_program_restarts_the_wal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = lost_reports::start_with_reports(&file, 5).await;
    let other = Connection::open(&file).unwrap();
    other.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); ANALYZE").unwrap();
    let has_position = async {
        for number in 1.. {
            if back_up(&file, &format!("backup-{number}.db")) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), has_position).await.unwrap();
    recorder.end("-KILL").await;
    drop(other);
    has_all(&Process::start(&file).await, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn position_row_removed_by_another_program_is_rewritten_with_the_next_report() {
    for sql in ["DELETE FROM position", "UPDATE position SET state = x'00'"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        let mut recorder = lost_reports::start_with_reports(&file, 5).await;
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        lost_reports::report(&recorder, 6..=6).await;
        recorder.end("-KILL").await;
        let recorder = Process::start(&file).await;
        has_all(&recorder, 6).await;
        let verified = on("verify", &file, &[]);
        assert!(verified.status.success(), "{sql}: {verified:?}");
    }
}

/// A file with five reports that another program changed while the recorder was stopped with
/// SIGSTOP, and then killed; that program's open connection.
async fn change_while_recorder_is_stopped(file: &Path, sql: &str) -> Connection {
    let mut recorder = lost_reports::start_with_reports(file, 5).await;
    stop(&recorder, file).await;
    let other = Connection::open(file).unwrap();
    other.execute_batch(sql).unwrap();
    recorder.end("-KILL").await;
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn wal_begun_by_another_program_is_refused_until_applied_as_the_message_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let other =
        change_while_recorder_is_stopped(&file, "PRAGMA wal_checkpoint(TRUNCATE); ANALYZE").await;
    for more in [&[][..], &["--accept-loss"]] {
        let said = refused(&file, more);
        assert!(said.contains("no recorder wrote what is in"), "{said}");
        assert!(!said.contains("once with --accept-loss"), "{said}");
    }
    drop(other);
    second_program::execute(&file, "PRAGMA wal_checkpoint(TRUNCATE)");
    let verified = on("verify", &file, &[]);
    assert!(verified.status.success(), "{verified:?}");
    has_all(&Process::start(&file).await, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn file_without_position_row_but_with_complete_wal_starts_with_accept_loss_without_loss() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let sql = "DELETE FROM position; PRAGMA wal_checkpoint(PASSIVE)";
    let other = change_while_recorder_is_stopped(&file, sql).await;
    let said = refused(&file, &[]);
    assert!(said.contains("does not have the one row that a recorder writes"), "{said}");
    assert!(said.contains("start once with --accept-loss"), "{said}");
    drop(other);
    let recorder = Process::start_with(&file, |command| {
        command.arg("--accept-loss");
    })
    .await;
    has_all(&recorder, 5).await;
}

/// Restores a backup into the file in place, as `.restore` of the `sqlite3` command does.
fn restore_in_place(file: &Path, older: &Path) {
    let source = Connection::open(older).unwrap();
    let mut target = Connection::open(file).unwrap();
    let copying = rusqlite::backup::Backup::new(&source, &mut target).unwrap();
    copying.run_to_completion(1_000, Duration::ZERO, None).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_restored_by_another_program_into_a_file_in_use_stops_the_recorder() {
    for reports_at_once in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        let mut recorder = Process::start(&file).await;
        recorder.create("env").await;
        for byte in 1..=5 {
            assert_eq!(recorder.report("env", &[task(1, "web", &digest(byte), 1)]).await, 201);
        }
        assert!(back_up(&file, "older.db"));
        for byte in 6..=9 {
            assert_eq!(recorder.report("env", &[task(1, "web", &digest(byte), 1)]).await, 201);
        }
        restore_in_place(&file, &folder.path().join("older.db"));
        if !reports_at_once {
            recorder.logged("has put an older state into").await;
        }
        assert_eq!(recorder.report("env", &[task(1, "web", &digest(10), 1)]).await, 500);
        recorder.logged("of 10 entries of the ledgers it has 6").await;
        recorder.end("-KILL").await;
        let started = on("serve", &file, &["--listen", "127.0.0.1:0"]);
        assert!(!started.status.success(), "{started:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_position_row_written_by_another_program_prevents_neither_backup_nor_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = start_with_reports(&file).await;
    assert!(back_up(&file, "older.db"));
    for byte in 60..65 {
        assert_eq!(recorder.report("env", &[task(1, "web", &digest(byte), 1)]).await, 201);
    }
    let older = folder.path().join("older.db").display().to_string();
    let other = Connection::open(&file).unwrap();
    other
        .execute_batch(&format!(
            "ATTACH '{older}' AS older;
             UPDATE position SET state = (SELECT state FROM older.position);"
        ))
        .unwrap();
    drop(other);
    let again = async {
        while !back_up(&file, "newer.db") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), again).await.unwrap();
    recorder.end("-KILL").await;
    let recorder = Process::start(&file).await;
    assert_eq!(recorder.index("env").await, u64::from(REPORTS) + 5);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long"]
async fn constant_reads_do_not_prevent_the_wal_from_restarting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = Process::start(&file).await;
    recorder.create("env").await;
    let (done, is_done) = tokio::sync::watch::channel(false);
    let read = async || {
        while !*is_done.borrow() {
            let events = "/environments/acme/env/events?per_page=100";
            assert_eq!(recorder.get(events).await.0, 200);
        }
    };
    let write = async {
        let mut largest = 0;
        for report in 0..250 {
            let version = |id: u32| format!("{:064x}", u64::from(id) << 32 | report);
            let tasks: Vec<_> =
                (0..40).map(|id| task(id, &format!("web-{id}"), &version(id), 1)).collect();
            assert_eq!(recorder.report("env", &tasks).await, 201);
            largest = largest.max(fs::metadata(beside(&file, "-wal")).unwrap().len());
        }
        done.send(true).unwrap();
        largest
    };
    let (largest, ..) = tokio::join!(write, read(), read(), read(), read());
    assert!(largest < 40 << 20, "{largest}");
}

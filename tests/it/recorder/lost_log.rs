//! A recorder whose file, its log (`-wal`), or the index of that (`-shm`), is taken away or cut while it
//! runs.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use rustix::process::Signal;

use super::crash::Process;
use super::file::on;
use super::second_program;
use super::server::{digest, task};
use crate::command_line::text;

/// Number of reports: their pages are more than those of one report, and fewer than lead to a
/// checkpoint.
pub(super) const REPORTS: u8 = 50;

/// The path of the file with `ending` appended, such as `-wal`.
pub(crate) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A recorder that has acknowledged [`REPORTS`] reports.
pub(super) async fn start_with_reports(file: &Path) -> Process {
    let recorder = Process::start(file).await;
    recorder.create("env").await;
    for byte in 1..=REPORTS {
        assert_eq!(recorder.report("env", &[task(1, "web", &digest(byte), 1)]).await, 201);
    }
    assert_eq!(recorder.index("env").await, u64::from(REPORTS));
    recorder
}

/// Panics unless reports and reads get 500 and the log says once why; the line that says it.
pub(super) async fn assert_refuses_requests(recorder: &Process) -> String {
    for byte in 100..103 {
        let status = recorder.report("env", &[task(1, "web", &digest(byte), 1)]).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(recorder.get("/snapshots/acme/env/-1").await.0, 500);
    }
    let line = recorder.logged("it accepts nothing more").await;
    assert!(line.contains("ERROR"), "{line}");
    // Once. What is refused later has a shorter line each.
    assert_eq!(recorder.log().matches("Stop the recorder").count(), 1, "{}", recorder.log());
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_or_replacing_wal_or_shm_stops_the_recorder_and_loses_no_acknowledged_report() {
    type Fault = fn(&Path);
    let faults: [(&str, Fault); 4] = [
        ("removed", |file| fs::remove_file(beside(file, "-wal")).unwrap()),
        ("moved", |file| fs::rename(beside(file, "-wal"), beside(file, ".away")).unwrap()),
        ("replaced", |file| {
            let (log, copy) = (beside(file, "-wal"), beside(file, ".copy"));
            fs::copy(&log, &copy).unwrap();
            fs::rename(&copy, &log).unwrap();
        }),
        ("without its index", |file| fs::remove_file(beside(file, "-shm")).unwrap()),
    ];
    for (what, fault) in faults {
        for end in ["-KILL", "-TERM"] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("snapshots.db");
            let mut recorder = start_with_reports(&file).await;
            fault(&file);
            let said = assert_refuses_requests(&recorder).await;
            let saved = format!("All acknowledged reports are in {}", file.display());
            assert!(said.contains(&saved), "{what}: {said}");
            recorder.end(end).await;

            // As the message says.
            let _taken = fs::remove_file(beside(&file, "-wal"));
            let _taken = fs::remove_file(beside(&file, "-shm"));
            let recorder = Process::start(&file).await;
            assert_eq!(recorder.index("env").await, u64::from(REPORTS), "{what} {end}");
            assert_eq!(recorder.report("env", &[task(1, "web", &digest(99), 1)]).await, 201);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn truncating_the_wal_stops_the_recorder_which_saves_a_complete_copy() {
    for bytes in [0, 100, 40_000] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        let mut recorder = start_with_reports(&file).await;
        let log = fs::OpenOptions::new().write(true).open(beside(&file, "-wal")).unwrap();
        log.set_len(bytes).unwrap();
        let said = assert_refuses_requests(&recorder).await;
        let copy = beside(&file, ".rescued");
        let saved = format!("All acknowledged reports are in {}", copy.display());
        assert!(said.contains(&saved), "{said}");
        recorder.end("-KILL").await;

        // A supervisor that starts it again starts nothing that has forgotten reports.
        let refused = on("serve", &file, &["--listen", "127.0.0.1:0"]);
        assert!(text(&refused.stderr).contains("may lack the latest reports"), "{refused:?}");

        // As the message says.
        for ending in ["", "-wal", "-shm"] {
            fs::remove_file(beside(&file, ending)).unwrap();
        }
        fs::rename(&copy, &file).unwrap();
        let verified = on("verify", &file, &[]);
        assert!(verified.status.success(), "{verified:?}");
        let recorder = Process::start(&file).await;
        assert_eq!(recorder.index("env").await, u64::from(REPORTS), "{bytes}");
        assert_eq!(recorder.report("env", &[task(1, "web", &digest(99), 1)]).await, 201);
    }
}

/// Replaces the file by the `.rescued` copy that the recorder saved, as its message says.
pub(super) fn put_in_place(file: &Path) {
    for ending in ["", "-wal", "-shm"] {
        let _gone = fs::remove_file(beside(file, ending));
    }
    fs::rename(beside(file, ".rescued"), file).unwrap();
}

/// Panics unless the file verifies, has [`REPORTS`] snapshots, and takes another report.
pub(super) async fn assert_has_all_reports(file: &Path) {
    let verified = on("verify", file, &[]);
    assert!(verified.status.success(), "{verified:?}");
    let recorder = Process::start(file).await;
    assert_eq!(recorder.index("env").await, u64::from(REPORTS));
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(99), 1)]).await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_or_moved_file_is_saved_with_or_without_its_wal() {
    type Fault = fn(&Path);
    let faults: [(&str, Fault); 4] = [
        ("the file", |file| fs::remove_file(file).unwrap()),
        ("the file and its log", |file| {
            fs::remove_file(beside(file, "-wal")).unwrap();
            fs::remove_file(file).unwrap();
        }),
        ("everything", |file| {
            for ending in ["", "-wal", "-shm", ".lock"] {
                fs::remove_file(beside(file, ending)).unwrap();
            }
        }),
        ("the log, and the file is moved", |file| {
            fs::rename(file, beside(file, ".away")).unwrap();
            fs::remove_file(beside(file, "-wal")).unwrap();
        }),
    ];
    for (what, fault) in faults {
        for end in ["-KILL", "-TERM"] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("snapshots.db");
            let mut recorder = start_with_reports(&file).await;
            fault(&file);
            if end == "-KILL" {
                let said = assert_refuses_requests(&recorder).await;
                let copy = beside(&file, ".rescued");
                let saved = format!("All acknowledged reports are in {}", copy.display());
                assert!(said.contains(&saved), "{what}: {said}");
            }
            // Without a report in between, its end saves it as well.
            recorder.end(end).await;
            let refused = on("serve", &file, &["--listen", "127.0.0.1:0"]);
            assert!(
                text(&refused.stderr).contains("is a complete copy that a recorder saved"),
                "{what}"
            );
            put_in_place(&file);
            assert_has_all_reports(&file).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn overwritten_or_truncated_and_extended_wal_is_detected() {
    type Fault = fn(&fs::File, u64);
    let faults: [(&str, Fault); 4] = [
        ("a bit in the middle", |log, size| {
            use std::os::unix::fs::FileExt as _;
            log.write_all_at(b"x", size / 2).unwrap();
        }),
        ("overwritten with zeros", |log, size| {
            log.set_len(0).unwrap();
            log.set_len(size).unwrap();
        }),
        ("cut in the middle, and grown", |log, size| {
            log.set_len(40_000).unwrap();
            log.set_len(size).unwrap();
        }),
        ("a bit of the last frame", |log, size| {
            use std::os::unix::fs::FileExt as _;
            log.write_all_at(b"x", size - 10).unwrap();
        }),
    ];
    for (what, fault) in faults {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        let mut recorder = start_with_reports(&file).await;
        let path = beside(&file, "-wal");
        let log = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        fault(&log, log.metadata().unwrap().len());
        // Within a second also if nothing is reported.
        recorder.logged("it accepts nothing more").await;
        let said = assert_refuses_requests(&recorder).await;
        let copy = beside(&file, ".rescued");
        let saved = format!("All acknowledged reports are in {}", copy.display());
        assert!(
            said.contains("was overwritten or truncated") && said.contains(&saved),
            "{what}: {said}"
        );
        recorder.end("-KILL").await;
        put_in_place(&file);
        assert_has_all_reports(&file).await;
    }
}

/// Writes zeros into the middle of the WAL, of which each report checks only the end.
fn overwrite_middle_of_wal(file: &Path) {
    use std::os::unix::fs::FileExt as _;
    let log = fs::OpenOptions::new().write(true).open(beside(file, "-wal")).unwrap();
    let size = log.metadata().unwrap().len();
    let zeros = vec![0; usize::try_from(size / 2).unwrap()];
    log.write_all_at(&zeros, size * 3 / 10).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn overwritten_wal_is_detected_under_constant_load() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = start_with_reports(&file).await;
    overwrite_middle_of_wal(&file);
    let mut accepted = 0;
    loop {
        let status = recorder.report("env", &[task(1, "web", &digest(100 + accepted), 1)]).await;
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            break;
        }
        assert_eq!(status, 201);
        accepted += 1;
        assert!(accepted < 100, "nothing is noticed");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_refuses_requests(&recorder).await;
    recorder.end("-KILL").await;
    put_in_place(&file);
    let recorder = Process::start(&file).await;
    let acknowledged = u64::from(REPORTS + accepted);
    // The first report that is refused may be committed: the log is read before it is acknowledged.
    let index = recorder.index("env").await;
    assert!((acknowledged..=acknowledged + 1).contains(&index), "{index} of {acknowledged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wal_overwritten_just_before_the_shutdown_is_not_applied() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = start_with_reports(&file).await;
    overwrite_middle_of_wal(&file);
    recorder.end("-TERM").await;
    recorder.logged("it accepts nothing more").await;
    let said = text(&on("serve", &file, &["--listen", "127.0.0.1:0"]).stderr);
    assert!(said.contains(".rescued"), "{said}");
    put_in_place(&file);
    assert_has_all_reports(&file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_file_is_detected_at_once_and_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = start_with_reports(&file).await;
    second_program::execute(&file, "PRAGMA wal_checkpoint(TRUNCATE)");
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(8_192).unwrap();
    let said = assert_refuses_requests(&recorder).await;
    assert!(said.contains("was truncated to 8192 bytes"), "{said}");
    recorder.end("-KILL").await;
    if said.contains("All acknowledged reports are in") {
        put_in_place(&file);
        assert_has_all_reports(&file).await;
    } else {
        assert!(said.contains("restore a backup"), "{said}");
        let started = on("serve", &file, &["--listen", "127.0.0.1:0"]);
        let copy = beside(&file, ".rescued.damaged");
        assert!(text(&started.stderr).contains(copy.to_str().unwrap()), "{started:?}");
        fs::rename(&copy, folder.path().join("kept.db")).unwrap();
        for verb in ["serve", "verify"] {
            let refused = on(verb, &file, &[]);
            assert!(
                text(&refused.stderr).contains("is truncated: it has 8192 bytes"),
                "{refused:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn truncating_the_shm_stops_the_recorder_and_loses_no_report() {
    for bytes in [0, 100, 4_096] {
        let mut attempts = 1;
        while !is_stopped_by_truncating_the_shm(bytes).await {
            assert!(attempts < 10, "it dies by SIGBUS whenever it is truncated to {bytes} bytes");
            attempts += 1;
        }
    }
}

/// Truncates the index while the recorder is idle but for its checks of the files each second, and checks
/// that no report is lost. `false` if such a check read the index at that moment, which ends the process: SQLite
/// has it mapped into memory.
async fn is_stopped_by_truncating_the_shm(bytes: u64) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = start_with_reports(&file).await;
    let index = fs::OpenOptions::new().write(true).open(beside(&file, "-shm")).unwrap();
    index.set_len(bytes).unwrap();
    let status = recorder.try_report("env", &[task(1, "web", &digest(100), 1)]).await;
    if let Some(status) = status {
        assert_eq!(status, 500);
        let said = assert_refuses_requests(&recorder).await;
        assert!(said.contains("-shm was truncated to"), "{said}");
        recorder.end("-KILL").await;
    } else {
        let ended = recorder.child.wait().await.unwrap();
        assert_eq!(ended.signal(), Some(Signal::BUS.as_raw()), "{ended}");
    }
    assert_has_all_reports(&file).await;
    status.is_some()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long"]
async fn truncated_long_wal_is_saved_from_memory_even_if_the_file_is_longer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = Process::start(&file).await;
    recorder.create("env").await;
    let report = async |byte: u32| {
        let tasks: Vec<_> = (0..300)
            .map(|id| task(id, &format!("{}-{id}", "web".repeat(300)), &format!("{byte:064x}"), 1))
            .collect();
        assert_eq!(recorder.report("env", &tasks).await, 201);
    };
    // In MiB; the whole promise with ENVSNAP_LONG=1.
    let (size, log_size) =
        if std::env::var_os("ENVSNAP_LONG").is_some() { (20, 15) } else { (4, 3) };
    let mut count = 0;
    while fs::metadata(&file).unwrap().len() < size << 20 {
        report(count).await;
        count += 1;
    }
    second_program::execute(&file, "PRAGMA wal_checkpoint(TRUNCATE)");
    // A program that reads for long keeps the log from beginning anew.
    let reader = rusqlite::Connection::open(&file).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM snapshot").unwrap();
    while fs::metadata(beside(&file, "-wal")).unwrap().len() < log_size << 20 {
        report(count).await;
        count += 1;
    }
    let log = fs::OpenOptions::new().write(true).open(beside(&file, "-wal")).unwrap();
    log.set_len(0).unwrap();
    let said = assert_refuses_requests(&recorder).await;
    assert!(said.contains(".rescued. Stop the recorder"), "{said}");
    recorder.end("-KILL").await;
    drop(reader);
    put_in_place(&file);
    assert!(on("verify", &file, &[]).status.success());
    let recorder = Process::start(&file).await;
    assert_eq!(recorder.index("env").await, u64::from(count));
}

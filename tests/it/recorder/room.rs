//! The recorder on a disk that is full, and with a limit of file sizes.

use std::process::Command;

use envsnap::recorder::{Access, SqliteStore};
use reqwest::StatusCode;
use serde_json::json;

#[cfg(target_os = "linux")]
use super::crash::Process;
#[cfg(target_os = "linux")]
use super::lost_log::beside;
use super::server::{Recorder, digest, task};
#[cfg(target_os = "linux")]
use crate::command_line::text;

#[tokio::test]
async fn a_full_disk_refuses_writes_loses_nothing_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let store = SqliteStore::open(&file).unwrap().with_max_pages(90).unwrap();
    let recorder = Recorder::with(store.clone(), Access::open()).await;
    recorder.create("env", None).await;
    let report = |byte| -> Vec<_> {
        (0..100)
            .map(|id| task(id, &format!("web-{id}:{byte}"), "", 1))
            .chain([task(0, "web", &digest(u8::try_from(byte).unwrap()), 1)])
            .collect()
    };
    let send = async |byte| {
        let body = json!({"artifacts": report(byte)}).to_string();
        recorder.put("/environments/acme/env/report/ECS", body).await
    };
    let mut kept = 0;
    let refused = loop {
        let answer = send(kept + 1).await;
        if answer.status != StatusCode::CREATED {
            break answer;
        }
        kept += 1;
        assert!(kept < 60, "each takes a page at least");
    };
    assert!(kept > 0);
    assert_eq!(refused.status, StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(refused.message(), "The recorder's disk is full: nothing was saved");
    assert_eq!(recorder.latest("env").await.index, u64::try_from(kept).unwrap());
    assert_eq!(send(kept).await.status, StatusCode::OK, "what is there takes no room");

    let _roomier = store.with_max_pages(1_000).unwrap();
    assert_eq!(send(kept + 1).await.status, StatusCode::CREATED);
    assert_eq!(send(kept + 2).await.status, StatusCode::CREATED);
    assert_eq!(recorder.latest("env").await.index, u64::try_from(kept + 2).unwrap());
}

/// Limits the size of the files that a process writes to this many bytes, or to `unlimited`. It is
/// only the soft limit, which may be raised again without privileges.
pub(crate) fn limit_file_size(process: u32, bytes: &str) {
    let limit = format!("--fsize={bytes}:");
    let limited = Command::new("prlimit").args([&limit, "--pid", &process.to_string()]).status();
    assert!(limited.unwrap().success());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_size_limit_refuses_writes_until_it_is_raised() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = Process::start(&file).await;
    recorder.create("env").await;
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(1), 1)]).await, 201);
    let log = std::fs::metadata(folder.path().join("snapshots.db-wal")).unwrap().len();
    let process = recorder.child.id().unwrap();
    limit_file_size(process, &log.to_string());
    for _ in 0..3 {
        let status = recorder.try_report("env", &[task(1, "web", &digest(2), 1)]).await;
        assert_eq!(status, Some(500));
        assert_eq!(recorder.index("env").await, 1);
    }
    let line = recorder.logged("cannot record a report").await;
    assert!(line.contains("ERROR"), "{line}");
    limit_file_size(process, "unlimited");
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(3), 1)]).await, 201);
    recorder.end("-KILL").await;
    assert_eq!(Process::start(&file).await.index("env").await, 2);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn start_on_a_full_disk_fails_with_the_space_to_free_and_loses_nothing() {
    for end in ["-KILL", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        let mut recorder = Process::start(&file).await;
        recorder.create("env").await;
        for byte in 1..=3 {
            assert_eq!(recorder.report("env", &[task(1, "web", &digest(byte), 1)]).await, 201);
        }
        recorder.end(end).await;
        let start = ["serve", "--listen", "127.0.0.1:0", "--db", file.to_str().unwrap()];
        let refused = Command::new("prlimit")
            .args(["--fsize=20000", env!("CARGO_BIN_EXE_envsnap")])
            .args(start)
            .output()
            .unwrap();
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{end}: {said}");
        assert!(said.contains("its disk is full") && said.contains("free 2 MB"), "{end}: {said}");
        assert_eq!(Process::start(&file).await.index("env").await, 3, "{end}");
    }
}

/// Runs `envsnap` with a limit of file sizes in bytes, which SQLite reports as it does a full disk.
#[cfg(target_os = "linux")]
pub(super) fn run_with_file_size_limit(bytes: u64, arguments: &[&str]) -> std::process::Output {
    let limit = format!("--fsize={bytes}");
    let envsnap = env!("CARGO_BIN_EXE_envsnap");
    Command::new("prlimit").arg(limit).arg(envsnap).args(arguments).output().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long"]
async fn refused_start_with_a_long_wal_names_the_disk_space_that_the_file_needs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = Process::start(&file).await;
    recorder.create("env").await;
    // A program that reads for long keeps the log from being applied.
    let reader = rusqlite::Connection::open(&file).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM snapshot").unwrap();
    let log = beside(&file, "-wal");
    let size = |file: &std::path::Path| std::fs::metadata(file).unwrap().len();
    for byte in 0_u32.. {
        let name = |id| format!("{}-{id}-{byte}", "web".repeat(300));
        let tasks: Vec<_> =
            (0..300).map(|id| task(id, &name(id), &format!("{byte:064x}"), 1)).collect();
        assert_eq!(recorder.report("env", &tasks).await, 201);
        if size(&log) > 24 << 20 {
            break;
        }
    }
    recorder.end("-KILL").await;
    let copy = folder.path().join("copy.db");
    for ending in ["", "-wal", ".lock"] {
        std::fs::copy(beside(&file, ending), beside(&copy, ending)).unwrap();
    }
    drop(reader);
    let before = size(&copy);
    let db = copy.to_str().unwrap();
    let refused =
        run_with_file_size_limit(20_000, &["serve", "--listen", "127.0.0.1:0", "--db", db]);
    let said = text(&refused.stderr);
    let (said, _) = said.split_once(" MB at least").unwrap_or_else(|| panic!("{said}"));
    let megabytes: u64 = said.rsplit(' ').next().unwrap().parse().unwrap();
    Process::start(&copy).await.end("-TERM").await;
    let needed = size(&copy) - before;
    assert!(needed > 2 << 20, "{needed}");
    assert!((needed..needed + (3 << 20)).contains(&(megabytes << 20)), "{megabytes} {needed}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn commands_that_exceed_the_file_size_limit_fail_with_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let mut recorder = Process::start(&file).await;
    recorder.create("env").await;
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(1), 1)]).await, 201);
    recorder.end("-KILL").await;
    let (db, target) = (file.to_str().unwrap(), folder.path().join("copy.db"));
    for arguments in [
        &["verify", "--db", db][..],
        &["backup", "--db", db, target.to_str().unwrap()],
        &["env", "ls", "--org", "acme", "--db", db],
    ] {
        let ended = run_with_file_size_limit(20_000, arguments);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?} {ended:?}");
        assert!(text(&ended.stderr).starts_with("envsnap: "), "{ended:?}");
    }
    assert!(!target.exists());
    assert_eq!(Process::start(&file).await.index("env").await, 1);
}

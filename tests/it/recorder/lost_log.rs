//! A recorder whose log (`-wal`), or the index of it (`-shm`), is taken away or cut while it runs.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::StatusCode;

use super::crash::Process;
use super::file::on;
use super::server::{digest, task};
use crate::command_line::text;

/// More than fits into the pages of one report, and less than leads to a checkpoint.
const ANSWERED: u8 = 50;

pub(crate) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A recorder that has answered reports, and what happens then.
async fn answered(file: &Path) -> Process {
    let recorder = Process::start(file).await;
    recorder.create("env").await;
    for byte in 1..=ANSWERED {
        assert_eq!(recorder.report("env", &[task(1, "web", &digest(byte), 1)]).await, 201);
    }
    assert_eq!(recorder.index("env").await, u64::from(ANSWERED));
    recorder
}

/// Nothing is accepted or read any more, and the log says why; gives what it says.
async fn refused(recorder: &Process) -> String {
    for byte in 100..103 {
        let status = recorder.report("env", &[task(1, "web", &digest(byte), 1)]).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(recorder.get("/snapshots/acme/env/-1").await.0, 500);
    }
    let line = recorder.logged("nothing more is accepted").await;
    assert!(line.contains("ERROR"), "{line}");
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_taken_away_stops_the_recorder_which_saves_everything_that_it_answered() {
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
            let mut recorder = answered(&file).await;
            fault(&file);
            let said = refused(&recorder).await;
            let saved = format!("Everything that was answered is in {}", file.display());
            assert!(said.contains(&saved), "{what}: {said}");
            recorder.end(end).await;

            // As the message says.
            let _taken = fs::remove_file(beside(&file, "-wal"));
            let _taken = fs::remove_file(beside(&file, "-shm"));
            let recorder = Process::start(&file).await;
            assert_eq!(recorder.index("env").await, u64::from(ANSWERED), "{what} {end}");
            assert_eq!(recorder.report("env", &[task(1, "web", &digest(99), 1)]).await, 201);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_cut_stops_the_recorder_which_saves_everything_beside_the_file() {
    for bytes in [0, 100, 40_000] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snapshots.db");
        let mut recorder = answered(&file).await;
        let log = fs::OpenOptions::new().write(true).open(beside(&file, "-wal")).unwrap();
        log.set_len(bytes).unwrap();
        let said = refused(&recorder).await;
        let copy = beside(&file, ".rescued");
        let saved = format!("Everything that was answered is in {}", copy.display());
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
        assert_eq!(recorder.index("env").await, u64::from(ANSWERED), "{bytes}");
        assert_eq!(recorder.report("env", &[task(1, "web", &digest(99), 1)]).await, 201);
    }
}

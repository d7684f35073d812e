//! The recorder as a program of its own.
#![cfg(feature = "command")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

const RECORDER_BINARY: &str = env!("CARGO_BIN_EXE_envsnap-recorder");

/// It is killed when it is dropped.
struct RunningRecorder(Child);

impl Drop for RunningRecorder {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn run_recorder(arguments: &[&str]) -> Output {
    Command::new(RECORDER_BINARY).args(arguments).env_clear().output().unwrap()
}

#[test]
fn healthcheck_succeeds_only_while_recorder_serves_and_its_database_verifies_and_backs_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let copy = folder.path().join("copy.db");
    let (file, copy) = (file.to_str().unwrap(), copy.to_str().unwrap());
    let serve = ["serve", "--listen", "127.0.0.1:0", "--db", file];
    let mut serving = RunningRecorder(
        Command::new(RECORDER_BINARY).args(serve).stderr(Stdio::piped()).spawn().unwrap(),
    );
    let mut log = BufReader::new(serving.0.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    let address = line.trim().rsplit_once("http://").unwrap().1;

    let healthy = run_recorder(&["healthcheck", "--listen", address]);
    assert!(healthy.status.success(), "{healthy:?}");
    for arguments in [&["verify", "--db", file][..], &["backup", "--db", file, copy]] {
        let done = run_recorder(arguments);
        assert!(done.status.success(), "{arguments:?}: {done:?}");
    }

    drop(serving);
    let ended = run_recorder(&["healthcheck", "--listen", address]);
    assert_eq!(ended.status.code(), Some(2));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains(&format!("cannot ask the recorder on {address}")), "{said}");
}

//! The recorder as a program of its own.
#![cfg(feature = "command")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_envsnap-recorder");

/// Ends with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).env_clear().output().unwrap()
}

#[test]
fn it_serves_is_healthy_while_it_does_and_its_file_verifies_and_is_backed_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let copy = folder.path().join("copy.db");
    let (file, copy) = (file.to_str().unwrap(), copy.to_str().unwrap());
    let serve = ["serve", "--listen", "127.0.0.1:0", "--db", file];
    let mut serving =
        Serving(Command::new(PROGRAM).args(serve).stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(serving.0.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    let address = line.trim().rsplit_once("http://").unwrap().1;

    let healthy = run(&["healthcheck", "--listen", address]);
    assert!(healthy.status.success(), "{healthy:?}");
    for arguments in [&["verify", "--db", file][..], &["backup", "--db", file, copy]] {
        let done = run(arguments);
        assert!(done.status.success(), "{arguments:?}: {done:?}");
    }

    drop(serving);
    let ended = run(&["healthcheck", "--listen", address]);
    assert_eq!(ended.status.code(), Some(2));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains(&format!("cannot ask the recorder on {address}")), "{said}");
}

//! The recorder's file: who may write to it, and what it survives.

use std::path::Path;
use std::process::Output;

use envsnap::recorder::Store;

use super::server::{Recorder, digest, task};
use crate::command_line::{envsnap, text};

/// `envsnap` with a verb and a file, and whatever comes after it.
fn on(verb: &str, file: &Path, more: &[&str]) -> Output {
    let file = file.to_str().unwrap();
    envsnap(&[&[verb, "--db", file], more].concat(), &[])
}

#[tokio::test]
async fn a_second_recorder_on_the_same_file_is_refused_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = Recorder::on(&file).await;
    recorder.create("env", None).await;

    let second = on("serve", &file, &["--listen", "127.0.0.1:0"]);

    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(2), "{said}");
    let holder = format!("another recorder (process {}) writes to", std::process::id());
    assert!(said.contains(&holder) && said.contains("snapshots.db"), "{said}");
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(1), 1)]).await, 201);
    recorder.stop().await;
    assert!(Store::open(&file).is_ok());
}

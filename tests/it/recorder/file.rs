//! The recorder's file: who may write to it, and what it survives.

use std::path::Path;
use std::process::Output;

use envsnap::recorder::{Access, Store};
use reqwest::StatusCode;
use serde_json::json;

use super::server::{Recorder, digest, task};
use crate::command_line::{envsnap, text};

/// `envsnap` with a verb and a file, and whatever comes after it.
pub(crate) fn on(verb: &str, file: &Path, more: &[&str]) -> Output {
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

#[tokio::test]
async fn a_full_disk_refuses_what_is_new_loses_nothing_and_is_forgotten_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let store = Store::open(&file).unwrap().with_room_for(60).unwrap();
    let recorder = Recorder::with(store.clone(), Access::open()).await;
    recorder.create("env", None).await;
    let report = |byte| -> Vec<_> {
        (0..100)
            .map(|id| task(id, &format!("web-{id}"), "", byte))
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

    let _roomier = store.with_room_for(1_000).unwrap();
    assert_eq!(send(kept + 1).await.status, StatusCode::CREATED);
    assert_eq!(send(kept + 2).await.status, StatusCode::CREATED);
    assert_eq!(recorder.latest("env").await.index, u64::try_from(kept + 2).unwrap());
}

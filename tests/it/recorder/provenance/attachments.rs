//! Files with attestations, and what becomes of them when they are damaged.

use std::path::Path;

use reqwest::{Method, StatusCode};
use rusqlite::Connection;
use serde_json::json;

use super::requests::document;
use crate::recorder::file::on;
use crate::recorder::server::Recorder;

const ATTESTATIONS_PATH: &str = "/attestations/acme/runner/trail/t/generic";

/// Reports a generic attestation of this name with a file.
async fn attach(recorder: &Recorder, name: &str, content: &[u8]) {
    let body = json!({"attestation_name": name, "is_compliant": true});
    let body = document(&body, Some(("attachment_file", content)));
    let answer = recorder.send_parts(Method::POST, ATTESTATIONS_PATH, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// Status and body of the download of the file of an attestation.
async fn download(recorder: &Recorder, name: &str) -> (StatusCode, Vec<u8>) {
    let path = format!("/attestations/acme/runner/trail/t/{name}");
    let found = recorder.get(&path).await.body;
    let url = format!("{}{}", recorder.url, found[0]["_links"]["evidence"].as_str().unwrap());
    let response = reqwest::get(url).await.unwrap();
    (response.status(), response.bytes().await.unwrap().to_vec())
}

/// Whether `envsnap verify --attachments` finds something wrong.
fn verify_fails(file: &Path) -> bool {
    on("verify", file, &["--attachments"]).status.code() != Some(0)
}

#[tokio::test]
async fn damaged_attachment_is_500_until_the_same_file_is_reported_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let content: Vec<u8> =
        (0..700_000_u32).map(|it| u8::try_from(it.wrapping_mul(it) % 251).unwrap()).collect();
    for damage in [
        "UPDATE attachment_chunk SET bytes = zeroblob(length(bytes)) WHERE number = 1",
        "DELETE FROM attachment_chunk",
        "DELETE FROM attachment_chunk WHERE number = 2",
        "UPDATE attachment_chunk SET bytes = CAST(bytes || x'00' AS BLOB) WHERE number = 2",
        "UPDATE attachment_chunk SET number = 7 WHERE number = 0",
    ] {
        let recorder = Recorder::on(&file).await;
        attach(&recorder, "scan", &content).await;
        recorder.stop().await;
        Connection::open(&file).unwrap().execute_batch(damage).unwrap();
        assert!(verify_fails(&file), "{damage}");

        let recorder = Recorder::on(&file).await;
        let (status, body) = download(&recorder, "scan").await;
        assert_eq!(status, 500, "{damage}");
        let said = String::from_utf8(body).unwrap();
        assert!(said.contains("is damaged") && said.contains("Report the same file again"));

        attach(&recorder, "scan", &content).await;
        let (status, body) = download(&recorder, "scan").await;
        assert!(status == 200 && body == content, "{damage}: {status}, {} bytes", body.len());
        recorder.stop().await;
        assert!(!verify_fails(&file), "{damage}");
    }
}

#[tokio::test]
async fn equal_attachments_are_stored_once_and_an_empty_one_can_be_downloaded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = Recorder::on(&file).await;
    for name in ["one", "two"] {
        attach(&recorder, name, b"the same").await;
    }
    attach(&recorder, "empty", b"").await;
    assert_eq!(download(&recorder, "two").await, (StatusCode::OK, b"the same".to_vec()));
    assert_eq!(download(&recorder, "empty").await, (StatusCode::OK, Vec::new()));
    recorder.stop().await;
    let stored = Connection::open(&file).unwrap().query_row(
        "SELECT count(*) FROM attachment_chunk",
        [],
        |row| row.get::<_, u32>(0),
    );
    assert_eq!(stored, Ok(1));
}

//! Slow and large uploads, which must not keep others from reporting.

use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::form::multipart_type;
use super::requests::document;
use crate::recorder::server::Recorder;

const ANNOUNCED_BYTES: usize = 10 << 20;

/// Opens a connection, announces an attachment of [`ANNOUNCED_BYTES`], and sends the first `sent` bytes.
async fn begin_upload(recorder: &Recorder, org: &str, sent: usize) -> TcpStream {
    let address = recorder.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/v2/attestations/{org}/runner/trail/t/generic HTTP/1.1\r\nhost: localhost\r\n\
         content-type: {}\r\ncontent-length: {ANNOUNCED_BYTES}\r\n\r\n",
        multipart_type()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&vec![b'x'; sent]).await.unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_uploads_do_not_keep_other_clients_from_reporting() {
    let recorder = Recorder::start().await;
    let mut slow = Vec::new();
    for sent in [1, 300 << 10, 5 << 20, 1, 300 << 10] {
        slow.push(begin_upload(&recorder, "slow", sent).await);
    }
    let dribble = tokio::spawn(async move {
        loop {
            for connection in &mut slow {
                // It may be refused by now.
                let _closed = connection.write_all(b"x").await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let body = json!({"attestation_name": "scan", "is_compliant": true});
    for number in 0..3_u8 {
        let file = vec![number; 5 << 20];
        let body = document(&body, Some(("attachment_file", &file)));
        let path = "/attestations/acme/runner/trail/t/generic";
        let answer = recorder.send_parts(Method::POST, path, body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    assert!(!dribble.is_finished());
    dribble.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_of_ten_bytes_a_second_is_ended_with_408() {
    let recorder = Recorder::start().await;
    let mut slow = begin_upload(&recorder, "slow", 1 << 20).await;
    let answer = tokio::spawn(async move {
        let mut answer = Vec::new();
        let (mut reader, mut writer) = slow.split();
        let dribble = async {
            while writer.write_all(b"x").await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        let read = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut answer);
        tokio::select! {
            _end = read => {}
            () = dribble => {}
        }
        String::from_utf8_lossy(&answer).into_owned()
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_parallel_uploads_of_9_mb_get_201_or_503_and_at_least_two_succeed() {
    let recorder = std::sync::Arc::new(Recorder::start().await);
    let mut uploads = tokio::task::JoinSet::new();
    for number in 0..12_u8 {
        let recorder = std::sync::Arc::clone(&recorder);
        uploads.spawn(async move {
            let body = json!({"attestation_name": format!("scan-{number}"), "is_compliant": true});
            let body = document(&body, Some(("attachment_file", &vec![number; 9 << 20])));
            let path = "/attestations/acme/runner/trail/t/generic";
            recorder.send_parts(Method::POST, path, body).await.status.as_u16()
        });
    }
    let statuses = uploads.join_all().await;
    // The others are asked to try again, which depends on how fast this machine is.
    assert!(statuses.iter().all(|status| [201, 503].contains(status)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 201).count() >= 2, "{statuses:?}");
}

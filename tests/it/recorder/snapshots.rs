use reqwest::StatusCode;
use serde_json::json;

use super::server::{Recorder, digest, task};

#[tokio::test]
async fn a_snapshot_is_found_by_every_expression_that_counts() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", None).await;
    for byte in 1..=3 {
        recorder.report("aws-prod", &[task(1, "web", &digest(byte), 10)]).await;
        recorder.advance(60.0);
    }
    let cases = [
        ("-1", 3),
        ("3", 3),
        ("%233", 3),
        ("~", 3),
        ("~0", 3),
        ("2", 2),
        ("-2", 2),
        ("%23-2", 2),
        ("~1", 2),
        ("%7E1", 2),
        ("1", 1),
        ("~2", 1),
    ];
    for (expression, index) in cases {
        let answer = recorder.get(&format!("/snapshots/acme/aws-prod/{expression}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{expression}");
        assert_eq!(answer.body["index"], json!(index), "{expression}");
        let made_at = |index: u32| 1_661_161_102.5 + f64::from(index) * 60.0;
        assert_eq!(answer.body["timestamp"], json!(made_at(index)));
        let next = (index < 3).then(|| made_at(index + 1));
        assert_eq!(answer.body["next_snapshot_timestamp"], json!(next), "{expression}");
        assert_eq!(answer.body["is_latest"], json!(index == 3), "{expression}");
    }
}

#[tokio::test]
async fn an_index_that_is_not_there_is_explained_in_the_servers_words() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    let refused = async |expression: &str| {
        let answer = recorder.get(&format!("/snapshots/acme/env/{expression}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{expression}");
        answer.message().to_owned()
    };
    assert_eq!(
        refused("-1").await,
        "Org: 'acme'. Snapshot 'env#-1' resolves to 'env#0'. len(snapshots) == 0. Indexes are \
         1-based"
    );
    recorder.report("env", &[task(1, "web", &digest(1), 10)]).await;
    let cases = [
        ("2", "'env#2' resolves to 'env#2'"),
        ("%230", "'env#0' resolves to 'env#0'"),
        ("-2", "'env#-2' resolves to 'env#0'"),
        ("~3", "'env~3' resolves to 'env#-2'"),
        ("9223372036854775807", "resolves to 'env#9223372036854775807'"),
        ("4294967297", "resolves to 'env#4294967297'"),
    ];
    for (expression, resolved) in cases {
        let message = refused(expression).await;
        assert!(message.contains(resolved), "{message}");
        assert!(message.ends_with("len(snapshots) == 1. Indexes are 1-based"), "{message}");
    }
}

#[tokio::test]
async fn an_expression_that_counts_nothing_is_refused() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    for (expression, said) in [
        ("@%7Bnow%7D", "does not support snapshots by time yet"),
        ("@%7B2.hours.ago%7D", "does not support snapshots by time yet"),
        ("latest", "'latest' is not a snapshot expression"),
        ("1.5", "N or #N"),
    ] {
        let answer = recorder.get(&format!("/snapshots/acme/env/{expression}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{expression}");
        assert!(answer.message().contains(said), "{answer:?}");
    }
    let missing = recorder.get("/snapshots/acme/other/-1").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(
        missing.message(),
        "Environment named 'other' does not exist for organization 'acme'"
    );
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_reorder_snapshots() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    recorder.report("env", &[task(1, "web", &digest(1), 10)]).await;
    recorder.advance(-3600.0);
    recorder.report("env", &[task(1, "web", &digest(2), 10)]).await;
    let first = recorder.get("/snapshots/acme/env/1").await.body;
    assert_eq!(first["next_snapshot_timestamp"], first["timestamp"]);
}

//! What a person asks, through the client.

use envsnap::api::{ApiError, Client, EnvironmentApi as _, HistoryQuery, ServerApi as _};
use envsnap::token::{TokenSource, validate};
use serde_json::{Value, json};

use super::server::{Recorder, digest, task};

fn client(recorder: &Recorder) -> Client {
    let tokens = TokenSource::Given(validate("t0k3n".to_owned()).unwrap());
    Client::new(recorder.url.parse().unwrap(), "acme".to_owned(), tokens).unwrap()
}

/// `env` with this many snapshots, each of which replaces the artifact of the one before.
async fn recorded(snapshots: u8) -> Recorder {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    for byte in 1..=snapshots {
        recorder.report("env", &[task(1, &format!("web:{byte}"), &digest(byte), 10)]).await;
        recorder.advance(60.0);
    }
    recorder
}

#[tokio::test]
async fn client_returns_the_parsed_document_and_the_text_of_each_response() {
    let recorder = recorded(3).await;
    let client = client(&recorder);
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();

    let environments = client.environments(None).await.unwrap();
    assert_eq!(environments.document[0].name, "env");
    assert_eq!(parsed(&environments.text), recorder.get("/environments/acme").await.body);

    let diff = client.diff("env#1", "env@{now}", None).await.unwrap();
    assert_eq!(diff.document.snappish2.snapshot_id.as_deref(), Some("env#3"));
    assert_eq!(diff.document.snappish2.artifacts[0].name, "web:3");
    assert_eq!(parsed(&diff.text)["snappish1"]["snapshot_id"], "env#1");

    let environment = client.environment("env", None);
    assert_eq!(environment.describe().await.unwrap().document.environment_type, "ECS");
    let shown = environment.snapshot_response("~1").await.unwrap();
    assert_eq!((shown.document.index, &parsed(&shown.text)["index"]), (2, &json!(2)));

    let part = HistoryQuery { interval: "~1..NOW", reverse: true, ..HistoryQuery::default() };
    let list = environment.snapshots(part).await.unwrap().document;
    assert_eq!(list.iter().map(|it| it.index).collect::<Vec<_>>(), [2, 3]);
    let part = HistoryQuery { per_page: 2, page: 2, ..HistoryQuery::default() };
    let page = environment.events(part).await.unwrap();
    assert_eq!(page.total, Some(5));
    assert_eq!(page.events.document[0].artifact_name, "web:2");
    assert_eq!(parsed(&page.events.text).as_array().unwrap().len(), 2);
    assert_eq!(environment.calls(), 4);
}

#[tokio::test]
async fn latest_events_are_paged_back_to_the_requested_time_or_number() {
    // 201 events: two full pages and one more.
    let recorder = recorded(101).await;
    let client = client(&recorder);
    let of = async |since, most| {
        let environment = client.environment("env", None);
        let listed = environment.latest_events("", since, most).await.unwrap();
        assert_eq!(listed.documents.len(), listed.texts.len());
        let earliest = listed.documents.last().map(|event| event.snapshot_index);
        (listed.documents.len(), earliest, listed.is_truncated, environment.calls())
    };
    assert_eq!(of(f64::NEG_INFINITY, 500).await, (201, Some(1), false, 3));
    assert_eq!(of(f64::NEG_INFINITY, 201).await, (201, Some(1), false, 3));
    assert_eq!(of(f64::NEG_INFINITY, 150).await, (150, Some(27), true, 2));
    let since = recorder.get("/snapshots/acme/env/99").await.body["timestamp"].as_f64().unwrap();
    // There may be a later time among a hundred earlier snapshots.
    assert_eq!(of(since, 500).await, (6, Some(99), true, 3));
    assert_eq!(of(f64::INFINITY, 500).await, (0, None, true, 3));
}

#[tokio::test]
async fn client_distinguishes_missing_environment_missing_snapshot_and_invalid_interval() {
    let recorder = recorded(1).await;
    recorder.create("empty", None).await;
    let client = client(&recorder);
    let nowhere = client.environment("nowhere", None).events(HistoryQuery::default()).await;
    assert!(matches!(nowhere, Err(ApiError::EnvironmentNotFound { .. })), "{nowhere:?}");
    let empty = client.diff("env", "empty", None).await;
    assert!(matches!(empty, Err(ApiError::NoSnapshotYet { .. })), "{empty:?}");
    let part = HistoryQuery { interval: "x", ..HistoryQuery::default() };
    let malformed = client.environment("env", None).snapshots(part).await.unwrap_err().to_string();
    assert!(malformed.contains("refused to list the snapshots of \"env\""), "{malformed}");
    assert!(malformed.contains("interval: 'x' is not an interval"), "{malformed}");
    let too_far =
        client.environment("env", None).snapshot_response("#9").await.unwrap_err().to_string();
    assert!(too_far.contains("resolves to 'env#9'"), "{too_far}");
}

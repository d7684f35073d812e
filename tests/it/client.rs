//! The server's client, against servers that behave as real ones do on bad days.

use std::time::Duration;

use envsnap::api::wire::EcsReport;
use envsnap::api::{ApiError, Client, Latest};
use envsnap::token::TokenSource;
use serde_json::json;

use crate::harness::{aws, config};
use crate::scripted::Scripted;

async fn client(host: &str) -> Client {
    let config = config(host, &[]);
    let tokens = TokenSource::new(&config.token, &aws("http://127.0.0.1:9").await);
    Client::new(config.host, config.org, tokens).unwrap()
}

fn nothing() -> EcsReport {
    EcsReport { artifacts: Vec::new() }
}

#[tokio::test]
async fn requests_are_exactly_those_that_the_server_documents() {
    let server = Scripted::start().await;
    server.then(201, "\"OK\"").then_json(
        404,
        &json!({"message": "Org: 'acme'. Snapshot 'aws-prod#-1' resolves to 'aws-prod#0'. \
                            len(snapshots) == 0. Indexes are 1-based"}),
    );
    let client = client(&format!("{}/base/", server.url)).await;
    let environment = client.environment("aws-prod");

    assert!(environment.report(&nothing()).await.unwrap().created);
    assert_eq!(environment.latest_snapshot().await.unwrap(), Latest::NoSnapshotYet);

    let [put, get] = &server.received()[..] else { panic!("{:?}", server.received()) };
    assert_eq!(
        (put.method.as_str(), put.path.as_str()),
        ("PUT", "/base/api/v2/environments/acme/aws-prod/report/ECS")
    );
    assert_eq!(put.authorization.as_deref(), Some("Bearer t0k3n"));
    assert_eq!(put.body, br#"{"artifacts":[]}"#);
    assert_eq!(
        (get.method.as_str(), get.path.as_str()),
        ("GET", "/base/api/v2/snapshots/acme/aws-prod/-1")
    );
}

#[tokio::test]
async fn no_snapshot_yet_is_known_by_its_words_under_any_refusal() {
    let server = Scripted::start().await;
    let client = client(&server.url).await;
    for status in [400, 404, 422] {
        server.then_json(status, &json!({"message": "'e#0'. len(snapshots) == 0. Indexes"}));
        let latest = client.environment("e").latest_snapshot().await.unwrap();
        assert_eq!(latest, Latest::NoSnapshotYet, "{status}");
    }
}

#[tokio::test]
async fn a_passing_fault_is_tried_again() {
    for status in [409, 429, 500, 503] {
        let server = Scripted::start().await;
        server.then_with(status, &[("retry-after", "0")], "busy").then(200, "\"OK\"");
        let client = client(&server.url).await;
        let environment = client.environment("e");
        let reported = environment.report(&nothing()).await.unwrap();
        assert!(!reported.created && reported.repeated, "{status}");
        assert_eq!(environment.calls(), 2);
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words_and_not_repeated() {
    let cases = [
        (
            400,
            json!({"message": "Input payload validation failed",
                   "errors": {"artifacts[0].digests": "not a digest"}}),
            "validation failed (artifacts[0].digests: not a digest)",
        ),
        (401, json!({"message": "You don't have permission"}), "Check the API token"),
        (403, json!({"message": "You don't have permission"}), "You don't have permission"),
        (422, json!({"detail": "odd"}), "{\"detail\":\"odd\"}"),
        (501, json!({"message": "no"}), "501"),
    ];
    for (status, body, expected) in cases {
        let server = Scripted::start().await;
        server.then_json(status, &body);
        let client = client(&server.url).await;
        let error = client.environment("e").report(&nothing()).await.unwrap_err();
        assert!(matches!(error, ApiError::Rejected { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(server.received().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_document_of_the_api_is_an_error() {
    let cases = [
        "<html>\r\nSign in\u{1b}[2J</html>".to_owned(),
        String::new(),
        "{\"index\": 65, \"type\": \"ECS\", \"artifacts\": [".to_owned(),
        json!({"index": -1, "type": "ECS", "artifacts": []}).to_string(),
        json!({"index": 1, "type": "ECS", "artifacts": [{"name": 7}]}).to_string(),
        json!({"index": 1, "type": "ECS"}).to_string(),
        "[".repeat(100_000),
    ];
    for body in cases {
        let server = Scripted::start().await;
        server.then(200, body.clone());
        let client = client(&server.url).await;
        let error = client.environment("e").latest_snapshot().await.unwrap_err().to_string();
        assert!(error.contains("is not a document of its API"), "{error}");
        assert!(error.len() < 600 && !error.contains(['\r', '\n', '\u{1b}']), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let server = Scripted::start().await;
    server.then(200, vec![b' '; 33 << 20]);
    let client = client(&server.url).await;
    let error = client.environment("e").latest_snapshot().await.unwrap_err().to_string();
    assert!(error.contains("larger than"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let server = Scripted::start().await;
    server.then_with(301, &[("location", "https://elsewhere.example/")], "");
    let client = client(&server.url).await;
    let error = client.environment("e").report(&nothing()).await.unwrap_err().to_string();
    assert!(error.contains("it redirects to https://elsewhere.example/"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let client = client("http://127.0.0.1:9").await;
    let environment = client.environment("e");
    let report = nothing();
    let patience = Duration::from_millis(300);
    let waiting = tokio::time::timeout(patience, environment.report(&report)).await;
    assert!(waiting.is_err(), "it is asked again after a second");
    assert_eq!(environment.calls(), 1);
}

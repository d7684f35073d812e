//! The server's client, against servers that behave as real ones do on bad days.

use std::time::Duration;

use envsnap::api::wire::EcsReport;
use envsnap::api::{
    ApiError, Client, EnvironmentApi as _, LatestSnapshot, ReportOptions, ServerApi as _,
};
use envsnap::report::ErrorKind;
use envsnap::token::TokenSource;
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use crate::harness::{aws, config};
use crate::scripted::Scripted;

/// Long enough that messages redact it.
const TOKEN: &str = "t0k3n-of-acme";

fn client(host: &str) -> Client {
    let config = config(host, &[("KOSLI_API_TOKEN", TOKEN)]);
    let tokens = TokenSource::new(&config.token, &aws("http://127.0.0.1:9"));
    Client::new(config.host, config.org, tokens).unwrap()
}

fn empty_report() -> EcsReport {
    EcsReport { artifacts: Vec::new() }
}

#[tokio::test]
async fn report_and_latest_snapshot_requests_have_documented_method_path_token_and_body() {
    let server = Scripted::start().await;
    server.then(201, "\"OK\"").then_json(
        404,
        &json!({"message": "Org: 'acme'. Snapshot 'aws-prod#-1' resolves to 'aws-prod#0'. \
                            len(snapshots) == 0. Indexes are 1-based"}),
    );
    let client = client(&format!("{}/base/", server.url));
    let environment = client.environment("aws-prod", None);

    assert!(environment.report(&empty_report(), ReportOptions::default()).await.unwrap().created);
    assert_eq!(environment.latest_snapshot().await.unwrap(), LatestSnapshot::NoSnapshotYet);

    let [put, get] = &server.received()[..] else { panic!("{:?}", server.received()) };
    assert_eq!(
        (put.method.as_str(), put.path.as_str()),
        ("PUT", "/base/api/v2/environments/acme/aws-prod/report/ECS")
    );
    assert_eq!(put.authorization.as_deref(), Some("Bearer t0k3n-of-acme"));
    assert_eq!(put.body, br#"{"artifacts":[]}"#);
    assert_eq!(
        (get.method.as_str(), get.path.as_str()),
        ("GET", "/base/api/v2/snapshots/acme/aws-prod/-1")
    );
}

#[tokio::test]
async fn no_snapshot_yet_is_recognized_by_message_under_status_400_404_and_422() {
    let server = Scripted::start().await;
    let client = client(&server.url);
    for status in [400, 404, 422] {
        server.then_json(status, &json!({"message": "'e#0'. len(snapshots) == 0. Indexes"}));
        let latest = client.environment("e", None).latest_snapshot().await.unwrap();
        assert_eq!(latest, LatestSnapshot::NoSnapshotYet, "{status}");
    }
}

#[tokio::test]
async fn conflict_throttling_and_server_errors_are_retried() {
    join_all([409, 429, 500, 503].map(async |status| {
        let server = Scripted::start().await;
        server.then_with(status, &[("retry-after", "0")], "busy").then(200, "\"OK\"");
        let client = client(&server.url);
        let environment = client.environment("e", None);
        let reported = environment.report(&empty_report(), ReportOptions::default()).await.unwrap();
        assert!(!reported.created && reported.repeated, "{status}");
        assert_eq!(environment.calls(), 2);
    }))
    .await;
}

#[tokio::test]
async fn ledger_head_header_of_a_report_response_is_returned_only_if_well_formed() {
    let head = format!("org=cyber-dojo; seq=4711; hash={}", "ab".repeat(32));
    let cases = [
        (Some(head.clone()), Some(head.clone())),
        (None, None),
        (Some("ab".repeat(32)), None),
        (Some(head.replace("ab", "AB")), None),
        (Some(format!("{head}0")), None),
        (Some(head.replace("cyber-dojo", &format!("Bearer {TOKEN}"))), None),
        (Some(format!("Bearer {TOKEN}")), None),
    ];
    for (sent, taken) in cases {
        let server = Scripted::start().await;
        let headers: Vec<_> = sent.iter().map(|head| ("x-envsnap-head", &**head)).collect();
        server.then_with(201, &headers, "\"OK\"");
        let client = client(&server.url);
        let reported = client
            .environment("e", None)
            .report(&empty_report(), ReportOptions::default())
            .await
            .unwrap();
        assert_eq!(reported.head.map(|head| head.to_string()), taken, "{sent:?}");
    }
}

#[tokio::test]
async fn a_rejected_request_returns_the_servers_message_and_is_not_retried() {
    let cases = [
        (
            400,
            json!({"message": "Input payload validation failed",
                   "errors": {"artifacts[0].digests": "not a digest"}}),
            "validation failed (artifacts[0].digests: not a digest)",
        ),
        (401, json!({"message": "You don't have permission"}), "/api/v2/environments/"),
        (403, json!({"message": "You don't have permission"}), "You don't have permission"),
        (422, json!({"detail": "odd"}), "{\"detail\":\"odd\"}"),
        (501, json!({"message": "no"}), "501"),
    ];
    for (status, body, expected) in cases {
        let server = Scripted::start().await;
        server.then_json(status, &body);
        let client = client(&server.url);
        let error = client
            .environment("e", None)
            .report(&empty_report(), ReportOptions::default())
            .await
            .unwrap_err();
        assert!(matches!(error, ApiError::Rejected { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(server.received().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn invalid_snapshot_document_is_an_error_without_token_and_control_characters() {
    let cases = [
        "\r\nSign in\u{1b}[2J</html>".to_owned(),
        String::new(),
        "{\"index\": 65, \"type\": \"ECS\", \"artifacts\": [".to_owned(),
        json!({"index": -1, "type": "ECS", "artifacts": []}).to_string(),
        json!({"index": 1, "type": "ECS", "artifacts": [{"name": 7}]}).to_string(),
        json!({"index": 1, "type": "ECS"}).to_string(),
        json!({"index": 1, "type": "ECS", "artifacts": [{"name": "a", "annotation": {}}]})
            .to_string(),
        json!({"index": format!("{TOKEN}\n{}", "x".repeat(100_000))}).to_string(),
        "[".repeat(100_000),
    ];
    for body in cases {
        let server = Scripted::start().await;
        server.then(200, body.clone());
        let client = client(&server.url);
        let error = client.environment("e", None).latest_snapshot().await.unwrap_err().to_string();
        assert!(error.contains("is not a document of its API"), "{error}");
        assert!(error.len() < 1_300 && !error.contains(['\r', '\n', '\u{1b}']), "{error:?}");
        assert!(!error.contains("t0k3n"), "{error}");
    }
}

#[tokio::test]
async fn response_body_larger_than_the_limit_is_an_error() {
    let server = Scripted::start().await;
    server.then(200, vec![b' '; 33 << 20]);
    let client = client(&server.url);
    let error = client.environment("e", None).latest_snapshot().await.unwrap_err().to_string();
    assert!(error.contains("larger than"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    let server = Scripted::start().await;
    server.then_with(301, &[("location", "https://elsewhere.example/")], "");
    let client = client(&server.url);
    let error = client
        .environment("e", None)
        .report(&empty_report(), ReportOptions::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("it redirects to https://elsewhere.example/"), "{error}");
}

#[tokio::test]
async fn refused_connection_is_retried_only_after_a_wait() {
    let client = client("http://127.0.0.1:9");
    let environment = client.environment("e", None);
    let report = empty_report();
    let patience = Duration::from_millis(300);
    let waiting =
        tokio::time::timeout(patience, environment.report(&report, ReportOptions::default())).await;
    assert!(waiting.is_err(), "it is tried again after a second");
    assert_eq!(environment.calls(), 1);
}

#[tokio::test]
async fn error_messages_with_a_long_environment_name_are_still_recognized() {
    let name = "e".repeat(300);
    let server = Scripted::start().await;
    let client = client(&server.url);
    let environment = client.environment(&name, None);
    let no_snapshot = format!(
        "Org: 'acme'. Snapshot '{name}#-1' resolves to '{name}#0'. len(snapshots) == 0. Indexes \
         are 1-based"
    );
    server.then_json(404, &json!({"message": no_snapshot}));
    assert_eq!(environment.latest_snapshot().await.unwrap(), LatestSnapshot::NoSnapshotYet);
    let missing = format!("Environment named '{name}' does not exist for organization 'acme'");
    server.then_json(404, &json!({"message": missing}));
    let error = environment.latest_snapshot().await.unwrap_err();
    assert!(matches!(error, ApiError::EnvironmentNotFound { .. }), "{error}");
}

#[tokio::test]
async fn snapshot_fields_that_the_reporter_does_not_use_may_have_any_json_type() {
    let server = Scripted::start().await;
    server
        .then_json(
            200,
            &json!({"index": 3, "type": "ECS", "compliant": null, "timestamp": "x", "artifacts": [
                {"name": "web:1", "fingerprint": null, "flows": null, "compliant": "no",
                 "creationTimestamp": [1.5], "annotation": {"type": null, "now": 2}}]}),
        )
        .then_json(200, &json!({"index": 3, "type": "K8S", "artifacts": "of another form"}));
    let client = client(&server.url);
    let environment = client.environment("e", None);
    let LatestSnapshot::Snapshot { index, snapshot } = environment.latest_snapshot().await.unwrap()
    else {
        panic!("there is a snapshot")
    };
    assert_eq!((index, snapshot.artifacts().next().unwrap().replicas), (3, 2));
    let other = environment.latest_snapshot().await.unwrap();
    assert_eq!(other, LatestSnapshot::OtherType("K8S".to_owned()));
    let strange = format!("{TOKEN}\n{}", "x".repeat(100_000));
    server.then_json(200, &json!({"index": 3, "type": strange}));
    let other = environment.latest_snapshot().await.unwrap();
    assert_eq!(other, LatestSnapshot::OtherType(format!("[token] {}…", "x".repeat(492))));
}

#[tokio::test]
async fn a_recorded_snapshot_is_read_unchanged_even_if_it_contains_the_token() {
    let server = Scripted::start().await;
    let token = "t0k3n-of-acme-0123456789";
    let name = format!("registry.example/{token}:1");
    let body = json!({"index": 3, "type": "ECS", "artifacts": [
        {"name": name, "fingerprint": null, "annotation": {"type": "unchanged", "was": 1, "now": 1}}]});
    let config = config(&server.url, &[("KOSLI_API_TOKEN", token)]);
    let tokens = TokenSource::new(&config.token, &aws(&server.url));
    let client = Client::new(config.host, config.org, tokens).unwrap();
    let environment = client.environment("e", None);
    server.then_json(200, &body).then_json(200, &body);
    let LatestSnapshot::Snapshot { snapshot, .. } = environment.latest_snapshot().await.unwrap()
    else {
        panic!("there is a snapshot")
    };
    assert_eq!(snapshot.artifacts().next().unwrap().name, name);
    assert_eq!(environment.snapshot_response("-1").await.unwrap().text, body.to_string());
}

#[tokio::test]
async fn requests_and_waits_before_a_retry_end_at_the_deadline() {
    let server = Scripted::start().await;
    let client = client(&server.url);
    let soon = || Some(Instant::now() + Duration::from_millis(400));

    server.then_never();
    let hung = client.environment("e", soon()).latest_snapshot().await.unwrap_err().to_string();
    assert!(hung.contains("timed out"), "{hung}");

    server.then_with(429, &[("retry-after", "30")], "slow down");
    let environment = client.environment("e", soon());
    let busy = environment.latest_snapshot().await.unwrap_err().to_string();
    assert!(busy.contains("429 Too Many Requests: slow down"), "{busy}");

    server.then_with(429, &[("retry-after", "3600")], "slow down");
    let busy = client.environment("e", None).latest_snapshot().await.unwrap_err().to_string();
    assert!(busy.contains("429"), "the client does not wait for an hour: {busy}");
    assert_eq!(server.received().len(), 3);
}

#[tokio::test]
async fn html_response_is_reported_as_not_a_snapshot_server_without_quoting_it() {
    let page = "<!DOCTYPE html>\n<html><title>Sign in</title></html>";
    for (status, content_type, body) in [
        (200, "text/html; charset=utf-8", page),
        (200, "application/json", page),
        (404, "text/html", "Not found"),
        (403, "text/plain", "  <HTML><body>Blocked"),
        (501, "text/html", ""),
    ] {
        let server = Scripted::start().await;
        server.then_with(status, &[("content-type", content_type)], body);
        let client = client(&server.url);
        let error = client.environment("e", None).latest_snapshot().await.unwrap_err();
        assert_eq!(ErrorKind::from(&error).error_type(), "ServerUnavailable", "{error}");
        let error = error.to_string();
        let expected = format!("KOSLI_HOST={} is not a snapshot server", server.url);
        assert!(error.starts_with(&expected), "{error}");
        assert!(!error.contains('<') && !error.contains("Sign in"), "{error}");
        assert_eq!(server.received().len(), 1, "it is not tried again");
    }
    // A gateway's own page, while the server behind it is away.
    let server = Scripted::start().await;
    server.then_with(502, &[("content-type", "text/html"), ("retry-after", "90")], page);
    let client = client(&server.url);
    let error = client.environment("e", None).latest_snapshot().await.unwrap_err().to_string();
    assert!(error.ends_with("502 Bad Gateway: a web page"), "{error}");
}

#[tokio::test]
async fn every_server_error_names_the_request_url() {
    for status in [200, 301, 400, 401, 404, 500] {
        let server = Scripted::start().await;
        let body = json!({"message": "'e' does not exist"});
        server.then_with(status, &[("retry-after", "90")], body.to_string());
        let client = client(&server.url);
        let error = client.environment("e", None).latest_snapshot().await.unwrap_err().to_string();
        let expected = format!("({}/api/v2/snapshots/acme/e/-1)", server.url);
        assert!(error.contains(&expected), "{error}");
    }
}

#[tokio::test]
async fn token_echoed_by_the_server_is_redacted_in_errors() {
    for status in [200, 401, 400, 429] {
        let server = Scripted::start().await;
        server.then_with(status, &[("retry-after", "90")], format!("you sent Bearer {TOKEN}"));
        let client = client(&server.url);
        let error = client.environment("e", None).latest_snapshot().await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains("you sent Bearer [token]") && !text.contains("t0k3n"), "{text}");
    }
}

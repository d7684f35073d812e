//! What the client makes of connections that break off, and of invalid answers.

use std::time::Duration;

use envsnap::api::wire::{EcsReport, EnvironmentRequest};
use envsnap::api::{
    ApiError, Client, EnvironmentApi as _, LatestSnapshot, ReportOptions, ReportResponse,
    ServerApi as _,
};
use envsnap::token::TokenSource;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::harness::{aws, config};
use crate::scripted::Scripted;
use crate::stopped_clock::StoppedClock;

const SNAPSHOT_RESPONSE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 44\r\n\r\n\
                    {\"index\": 3, \"type\": \"ECS\", \"artifacts\": []}";

fn client(host: &str) -> Client {
    let config = config(host, &[]);
    let tokens = TokenSource::new(&config.token, &aws("http://127.0.0.1:9"));
    Client::new(config.host, config.org, tokens).unwrap()
}

/// The URL of a server that writes one of `texts` to each connection, and closes it.
async fn serve_raw(texts: [&'static str; 2]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for text in texts {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            assert!(connection.read(&mut request).await.unwrap() > 0);
            connection.write_all(text.as_bytes()).await.unwrap();
        }
    });
    url
}

#[tokio::test]
async fn a_truncated_response_is_retried_at_once() {
    for broken in [
        "",
        "HTTP/1.1 20",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"index\": 3",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"ind\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 100\r\n\r\nbusy",
        "220 mail.example ESMTP\r\n",
    ] {
        let client = client(&serve_raw([broken, SNAPSHOT_RESPONSE]).await);
        let clock = StoppedClock::start();
        let give_up_at = Instant::now() + Duration::from_millis(500);
        let environment = client.environment("e", Some(give_up_at));
        let latest = environment.latest_snapshot().await;
        drop(clock);
        assert!(
            matches!(latest, Ok(LatestSnapshot::Snapshot { index: 3, .. })),
            "{broken:?} {latest:?}"
        );
        assert_eq!(environment.calls(), 2, "{broken:?}");
    }
}

#[tokio::test]
async fn connection_that_breaks_twice_fails_at_the_deadline_with_its_cause() {
    let client = client(&serve_raw(["", ""]).await);
    let _clock = StoppedClock::start();
    let give_up_at = Instant::now() + Duration::from_millis(500);
    let environment = client.environment("e", Some(give_up_at));
    let error = environment.latest_snapshot().await.unwrap_err().to_string();
    assert_eq!(environment.calls(), 2);
    assert!(error.contains("http://127.0.0.1") && error.contains("connection"), "{error}");
}

#[tokio::test]
async fn https_to_a_server_without_tls_is_a_transient_error_with_its_cause() {
    let server = Scripted::start().await;
    let client = client(&server.url.replace("http:", "https:"));
    let give_up_at = Instant::now() + Duration::from_secs(1);
    let environment = client.environment("e", Some(give_up_at));
    let error = environment.latest_snapshot().await.unwrap_err();
    assert!(matches!(error, ApiError::Unavailable { transient: true, .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("corrupt message"), "{error}");
    assert!(
        error.ends_with("it does not use TLS, so that its address begins with http://"),
        "{error}"
    );
}

#[tokio::test]
async fn invalid_snapshot_document_is_an_error_and_unusual_values_are_accepted() {
    let entry = |fields: &str| {
        format!("{{\"index\": 1, \"type\": \"ECS\", \"artifacts\": [{{\"name\": {fields}}}]}}")
    };
    let index =
        |index: &str| format!("{{\"index\": {index}, \"type\": \"ECS\", \"artifacts\": []}}");
    let deep = "[".repeat(1 << 20);
    let wrong = [
        index("-1"),
        index("1.5"),
        index("1e3"),
        index("null"),
        index("\"1\""),
        index("18446744073709551616"),
        index("1, \"index\": 2"),
        index("1, \"artifacts\": [7]"),
        format!("{{\"index\": 1, \"type\": \"ECS\", \"artifacts\": {deep}"),
        format!("{{\"index\": 1, \"type\": \"ECS\", \"unknown\": {deep}"),
        entry("\"a\", \"fingerprint\": 7, \"annotation\": {\"now\": 1}"),
        entry("\"a\", \"annotation\": {\"now\": -1}"),
        entry("\"a\", \"annotation\": {\"now\": 1.5}"),
        entry("\"a\", \"annotation\": {\"now\": null}"),
        entry("null, \"annotation\": {\"now\": 1}"),
        entry("\"a\", \"name\": \"b\", \"annotation\": {\"now\": 1}"),
        entry("\"\u{fffd}\u{d7ff}\\ud800\", \"annotation\": {\"now\": 1}"),
    ];
    for body in wrong {
        let server = Scripted::start().await;
        server.then(200, body.clone());
        let client = client(&server.url);
        let error = client.environment("e", None).latest_snapshot().await.unwrap_err().to_string();
        let shown: String = body.chars().take(100).collect();
        assert!(error.contains("is not a document of its API"), "{shown}: {error}");
        assert!(error.len() < 1_000, "{shown}: {error}");
    }
    let harmless = [
        entry("\"a\", \"fingerprint\": \"no digest\", \"annotation\": {\"now\": 1}"),
        entry(&format!("\"{}\", \"annotation\": {{\"now\": 1}}", "x".repeat(1 << 20))),
        entry("\"\\u0000\\u001b[2J\", \"annotation\": {\"now\": 18446744073709551615}"),
    ];
    for body in harmless {
        let server = Scripted::start().await;
        server.then(200, body);
        let latest = client(&server.url).environment("e", None).latest_snapshot().await;
        assert!(matches!(latest, Ok(LatestSnapshot::Snapshot { index: 1, .. })), "{latest:?}");
    }
}

/// An empty report, for servers that do not look at it.
async fn report(client: &Client, latest_index: u64) -> Result<ReportResponse, ApiError> {
    let options = ReportOptions { latest_index: Some(latest_index), heartbeat: None };
    client.environment("e", None).report(&EcsReport::from_containers(&[]), options).await
}

#[tokio::test]
async fn write_is_confirmed_only_by_status_200_or_201_with_a_json_body() {
    for (status, body, confirmed) in [
        (200, "\"OK\"", true),
        (201, "{}", true),
        (200, "<html>The requested URL was rejected</html>", false),
        (200, "", false),
        (200, "OK", false),
        (202, "{\"error\": \"blocked\"}", false),
        (204, "", false),
    ] {
        let server = Scripted::start().await;
        server.then(status, body).then(status, body);
        let client = client(&server.url);
        let reported = report(&client, 3).await;
        assert_eq!(reported.is_ok(), confirmed, "{status} {body}: {reported:?}");
        let request = EnvironmentRequest {
            name: "e".to_owned(),
            environment_type: "ECS".to_owned(),
            description: String::new(),
            include_scaling: None,
        };
        let created = client.environment("e", None).create(&request).await;
        assert_eq!(created.is_ok(), confirmed, "{status} {body}: {created:?}");
        assert_eq!(server.received().len(), 2, "{status} {body}: it is not sent again");
    }
}

/// A server that takes no preconditions, and fails the first attempt.
#[tokio::test]
async fn report_is_sent_again_only_if_no_snapshot_was_recorded_meanwhile() {
    for (latest, requests) in [(3, ["PUT", "GET", "PUT"].as_slice()), (4, &["PUT", "GET"])] {
        let server = Scripted::start().await;
        let document = json!({"index": latest, "type": "ECS", "artifacts": []});
        server.then_json(409, &json!({"message": "lock"})).then_json(200, &document);
        server.then_json(201, &json!("OK"));
        let reported = report(&client(&server.url), 3).await;
        let methods: Vec<_> = server.received().into_iter().map(|it| it.method).collect();
        assert_eq!(methods, requests, "{reported:?}");
        match latest {
            3 => assert!(reported.unwrap().repeated),
            _ => assert!(reported.unwrap_err().is_precondition_failed()),
        }
    }
}

#[tokio::test]
async fn change_whose_answer_was_lost_succeeds_if_a_second_attempt_finds_it_made() {
    let missing =
        json!({"message": "Environment named 'e' does not exist for organization 'acme'"});
    let archived = json!({
        "message": "Environment named 'e' does not exist for organization 'acme': it is archived"
    });
    let withdrawn = json!({"message": "Allowance 'a1' does not exist for organization 'acme'"});
    let (renamed, other) = (json!({"name": "new"}), json!({"message": "'new' does not exist"}));
    let (none, allowed) = (json!([]), json!([{"id": "a1"}]));
    // The first attempt was lost, or the server only put it off.
    for (change, first, answers, is_made) in [
        ("archive", "lost", &[(404, &archived)][..], true),
        ("archive", "lost", &[(404, &missing)], false),
        ("archive", "busy", &[(404, &archived)], false),
        ("archive", "", &[(404, &archived)], false),
        ("rename", "lost", &[(404, &missing), (200, &renamed)], true),
        ("rename", "lost", &[(404, &missing), (404, &other)], false),
        ("rename", "lost", &[(404, &archived)], false),
        ("rename", "busy", &[(404, &missing)], false),
        ("rename", "", &[(404, &missing)], false),
        ("withdraw", "lost", &[(404, &withdrawn), (200, &none)], true),
        ("withdraw", "lost", &[(404, &withdrawn), (200, &allowed)], false),
        ("withdraw", "busy", &[(404, &withdrawn)], false),
        ("withdraw", "", &[(404, &withdrawn)], false),
    ] {
        let server = Scripted::start().await;
        match first {
            "lost" => drop(server.then_lost()),
            "busy" => drop(server.then_with(429, &[("retry-after", "0")], "busy")),
            _ => {}
        }
        for (status, body) in answers {
            server.then_json(*status, body);
        }
        let client = client(&server.url);
        let made = match change {
            "archive" => client.environment("e", None).archive().await,
            "rename" => client.environment("e", None).rename("new").await,
            _ => client.withdraw_allowance("a1").await,
        };
        assert_eq!(made.is_ok(), is_made, "{change} {first} {answers:?}: {made:?}");
        if let Err(error) = made {
            assert!(matches!(error, ApiError::EnvironmentNotFound { .. }), "{change}: {error}");
        }
        let requests = usize::from(!first.is_empty()) + answers.len();
        assert_eq!(server.received().len(), requests, "{change} {first} {answers:?}");
    }
}

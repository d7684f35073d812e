use reqwest::StatusCode;
use serde_json::{Value, json};

use super::server::{Recorder, digest, task};

const REPORT: &str = "/environments/acme/env/report/ECS";

#[tokio::test]
async fn a_body_that_breaks_the_schema_is_refused_with_every_field_that_does() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    let body = json!({"artifacts": [{"taskArn": 1, "digests": {"web": "AB"}, "x": 1}]});
    let answer = recorder.put(REPORT, body.to_string()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer.body,
        json!({"message": "Input payload validation failed", "errors": {
            "artifacts[0].creationTimestamp": "is required",
            "artifacts[0].digests":
                "the digest of 'web' must be 64 lowercase hexadecimal digits, or \"\" where it is \
                 unknown",
            "artifacts[0].taskArn": "must be a string, not a number",
            "artifacts[0].x": "is not a field of this request",
        }})
    );
    let answer = recorder.put("/environments/acme", json!({"name": "-"}).to_string()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let fields: Vec<_> = answer.body["errors"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["description", "name", "type"]);
}

#[tokio::test]
async fn no_body_is_too_strange_to_answer() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    let entry = |started: &str| {
        format!(
            r#"{{"artifacts": [{{"taskArn": "a", "digests": {{}}, "creationTimestamp": {started}}}]}}"#
        )
    };
    let bodies = [
        ("nothing", String::new()),
        ("half a report", r#"{"artifacts": ["#.to_owned()),
        ("two reports", r#"{"artifacts": []} {"artifacts": []}"#.to_owned()),
        ("null", "null".to_owned()),
        ("a string", r#""artifacts""#.to_owned()),
        ("NaN", entry("NaN")),
        ("infinity", entry("1e999")),
        ("a huge number", entry(&"9".repeat(400))),
        ("a fraction", entry("1.5")),
        ("a lone surrogate", r#"{"artifacts": [], "\ud800": 1}"#.to_owned()),
        ("1 MB of arrays", format!("{{\"artifacts\": {}", "[".repeat(1_000_000))),
        ("1 MB of objects", r#"{"artifacts":"#.repeat(80_000)),
        ("1 MB of wrong entries", format!(r#"{{"artifacts": [{}1]}}"#, "1,".repeat(500_000))),
        ("1 MB of a field", format!(r#"{{"artifacts": [], "{}": 1}}"#, "x".repeat(1_000_000))),
    ];
    for (what, body) in bodies {
        let answer = recorder.put(REPORT, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}");
        assert!(!answer.message().is_empty(), "{what}");
        assert!(answer.body.to_string().len() < 20_000, "{what}");
    }
    let not_utf8 = recorder.put(REPORT, vec![b'"', 0xff, b'"']).await;
    assert_eq!(not_utf8.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn of_a_key_that_stands_twice_the_last_counts() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    let body = format!(r#"{{"artifacts": 1, "artifacts": [{}]}}"#, task(1, "web", &digest(1), 1));
    assert_eq!(recorder.put(REPORT, body).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_body_of_more_than_10_mb_is_refused() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    let megabytes = |count: usize| {
        let mut body = json!({"artifacts": []}).to_string();
        body.push_str(&" ".repeat(count * 1024 * 1024 - body.len()));
        body
    };
    assert_eq!(recorder.put(REPORT, megabytes(10)).await.status, StatusCode::OK);
    let refused = recorder.put(REPORT, megabytes(11)).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(refused.message(), "The request body is larger than 10 MB");
}

#[tokio::test]
async fn names_come_back_as_they_were_given() {
    let recorder = Recorder::start().await;
    recorder.create("env", Some(true)).await;
    let names = [
        "",
        "é\u{0}\n",
        "<script>alert('x')</script>",
        "'; DROP TABLE snapshot; --",
        &"x".repeat(300),
    ];
    let report: Vec<Value> = names.iter().map(|name| task(1, name, "", 1)).collect();
    assert_eq!(recorder.report("env", &report).await, 201);
    let mut given: Vec<_> = names.iter().map(ToString::to_string).collect();
    let mut shown: Vec<_> =
        recorder.latest("env").await.artifacts.into_iter().map(|it| it.name).collect();
    given.sort();
    shown.sort();
    assert_eq!(shown, given);
}

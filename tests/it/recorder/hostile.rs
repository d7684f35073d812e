use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::server::{Recorder, digest, task};

/// Path to which reports are sent.
const REPORT_PATH: &str = "/environments/acme/env/report/ECS";

#[tokio::test]
async fn a_body_that_violates_the_schema_is_refused_with_the_field() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    let good = task(1, "web", &digest(1), 1);
    let mut bad = good.clone();
    bad["digests"]["web"] = json!("AB");
    for (path, body, field, problem) in [
        (
            REPORT_PATH,
            json!({"artifacts": [good, bad]}),
            "artifacts[1].digests",
            "the digest of 'web' must be 64 lowercase hexadecimal digits, or \"\" if it is not \
             known",
        ),
        (
            REPORT_PATH,
            json!({"artifacts": [{"x": 1}]}),
            "artifacts[0].x",
            "is not a field of this request",
        ),
        (REPORT_PATH, json!({"artifacts": [{}]}), "artifacts[0].taskArn", "is required"),
        ("/environments/acme", json!({"name": 1}), "name", "must be a string, not a number"),
        (
            "/environments/acme/env/rename",
            json!({"new_name": "n".repeat(256)}),
            "new_name",
            "must not be longer than 255 bytes",
        ),
    ] {
        let answer = recorder.put(path, body.to_string()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let message = "Input payload validation failed";
        assert_eq!(answer.body, json!({"message": message, "errors": {field: problem}}));
    }
}

#[tokio::test]
async fn malformed_report_bodies_get_400_with_a_short_message() {
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
        let answer = recorder.put(REPORT_PATH, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}");
        assert!(!answer.message().is_empty(), "{what}");
        assert!(answer.body.to_string().len() < 20_000, "{what}");
    }
    let not_utf8 = recorder.put(REPORT_PATH, vec![b'"', 0xff, b'"']).await;
    assert_eq!(not_utf8.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn report_with_a_duplicate_json_key_is_refused() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    let body = format!(r#"{{"artifacts": [], "artifacts": [{}]}}"#, task(1, "web", &digest(1), 1));
    let refused = recorder.put(REPORT_PATH, body).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.body["errors"], json!({"artifacts": "is given twice"}));
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
    assert_eq!(recorder.put(REPORT_PATH, megabytes(10)).await.status, StatusCode::OK);
    let refused = recorder.put(REPORT_PATH, megabytes(11)).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(refused.message(), "The request body is larger than 10 MB");
}

#[tokio::test]
async fn artifact_names_with_any_characters_are_returned_unchanged() {
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

#[tokio::test]
async fn long_or_extreme_urls_get_the_expected_status_and_a_short_body() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    recorder.report("env", &[task(1, "web", &digest(1), 1)]).await;
    let long = |text: &str| text.repeat(12_000 / text.len());
    for (path, status) in [
        (format!("/snapshots/acme/env/{}1", long("0")), 200),
        (format!("/snapshots/acme/env/{}", long("9")), 400),
        (format!("/snapshots/acme/env/{}", long("~")), 400),
        (format!("/snapshots/acme/env/@%7B{}.hours.ago%7D", long("9")), 400),
        ("/snapshots/acme/env/@%7B4294967295.months.ago%7D".to_owned(), 400),
        ("/snapshots/acme/env/@%7B4294967295.weeks.ago%7D".to_owned(), 400),
        ("/snapshots/acme/env/@%7B-9999-01-01T00:00:00%7D".to_owned(), 400),
        ("/snapshots/acme/env/@%7B9999-12-31T23:59:59%7D".to_owned(), 400),
        (format!("/snapshots/acme/{}", long("x")), 404),
        ("/snapshots/acme/%00".to_owned(), 404),
        ("/snapshots/acme/..%2f..%2fenv".to_owned(), 404),
        ("/environments/acme/%3Cscript%3E".to_owned(), 404),
        (long("/a"), 404),
        (long("/%2f"), 404),
        (format!("/environments/acme?{}", long("type=ECS&")), 200),
        (format!("/environments/acme?{}", long("type=x&")), 400),
        (format!("/environments/acme?name={}", long("%25")), 200),
        (format!("/environments/acme?page={}", long("1")), 400),
        (format!("/environments/acme?{}page=1", long("a&")), 200),
        (format!("/environments/acme?page=1&x={}", long("%22%3E")), 200),
        ("/environments/acme?name=%ff%00&page=1".to_owned(), 200),
        ("/environments/acme?&&=&==&page".to_owned(), 400),
        (format!("/snapshots/acme/env?interval={}", long("..")), 400),
        (format!("/snapshots/acme/env?interval=1..{}", long("9")), 400),
        ("/snapshots/acme/env?page=4294967295&per_page=10000&reverse=true".to_owned(), 200),
        ("/snapshots/acme/env?interval=-9223372036854775808..9223372036854775807".to_owned(), 200),
        ("/environments/acme/env/events?page=4294967295&per_page=100".to_owned(), 200),
        ("/environments/acme/env/events?start_ts=-1e308&end_ts=1e308".to_owned(), 200),
        ("/environments/acme/env/events?start=1000000weeks".to_owned(), 200),
        ("/environments/acme/env/events?start=4294967295weeks".to_owned(), 400),
        (format!("/environments/acme/env/events?start={}", long("9")), 400),
        (format!("/environments/acme/env/events?{}per_page=1", long("x=y&")), 200),
        (format!("/env-diff/acme?snappish1=env&snappish2={}", long("x")), 404),
        (format!("/env-diff/acme?snappish1=env&snappish2={}", long("%23")), 400),
    ] {
        let answer = recorder.get(&path).await;
        let shown = &path[..path.len().min(80)];
        assert_eq!(answer.status.as_u16(), status, "{shown} {:.200}", answer.message());
        // Names come back whole, in the server's words, and so do parameters in the links of pages.
        let most = if status == 400 { 1_000 } else { 4 * path.len() + 1_000 };
        assert!(answer.body.to_string().len() < most, "{shown}");
    }
}

#[tokio::test]
async fn a_url_of_a_megabyte_is_refused_without_delaying_others() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    let address = recorder.url.trim_start_matches("http://");
    for target in [
        format!("/api/v2/environments/acme?name={}", "x".repeat(1_000_000)),
        format!("/api/v2{}", "/a".repeat(500_000)),
    ] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        // What it does not want, it may not read to the end.
        let _refused = connection.write_all(request.as_bytes()).await;
        let mut answer = [0; 10];
        if connection.read_exact(&mut answer).await.is_ok() {
            assert_eq!(&answer, b"HTTP/1.1 4");
        }
        assert_eq!(recorder.get("/environments/acme/env").await.status, StatusCode::OK);
    }
}

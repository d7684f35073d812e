//! Servers that say too much, or what makes no sense.

use serde_json::{Value, json};

use super::ask_at;
use crate::scripted::Scripted;

/// An event of the API, in snapshot `index`.
fn event(index: u64) -> Value {
    json!({
        "environment_name": "aws-prod", "snapshot_index": index, "artifact_name": format!("job:{index}"),
        "sha256": format!("{index:064x}"), "reported_at": index, "type": "started-unknown",
        "description": "1 instance started running (from 0 to 1)",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn response_that_does_not_match_the_api_fails_without_control_characters() {
    for (question, answer) in [
        ("env ls", "\u{1b}[2J"),
        ("env ls", "{}"),
        ("env get aws-prod", "[]"),
        ("env diff aws-prod#1 aws-prod", "\"OK\""),
        ("env log aws-prod", "[{\"index\": \"one\"}]"),
        ("env inspect aws-prod", "null"),
        ("env watch aws-prod", "{\"index\": 1}"),
        ("artifact where runner", "7"),
    ] {
        let server = Scripted::start().await;
        server.then(200, answer);
        let error = ask_at(&server.url, &question.split(' ').collect::<Vec<_>>()).await.failed();
        assert!(error.contains("not a document of its API"), "{question}: {error}");
        assert!(!error.contains('\x1b'), "{question}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn control_characters_in_names_and_messages_are_escaped_in_output() {
    let name = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\r";
    let server = Scripted::start().await;
    let snapshot = json!({
        "index": 1, "type": "ECS", "timestamp": 1e300, "artifacts": [{
            "name": name.repeat(100), "fingerprint": name, "creationTimestamp": [i64::MAX],
            "git_commit": name, "flow_name": name, "annotation": {"type": name, "was": 0, "now": 1},
        }],
    });
    server.then_json(200, &snapshot).then_json(200, &snapshot);
    let hidden = |c: &char| c.is_control() && *c != '\n' || *c == '\u{202e}';
    let table = ask_at(&server.url, &["env", "get", "aws-prod", "-o", "wide"]).await.success();
    assert_eq!(table.chars().find(hidden), None, "{table:?}");
    // The document says the same, in a form that commands nothing.
    let document = ask_at(&server.url, &["env", "get", "aws-prod", "-o", "json"]).await.success();
    assert_eq!(document.chars().find(hidden), None, "{document:?}");
    assert_eq!(serde_json::from_str::<Value>(&document).unwrap(), snapshot);
    server.then_json(400, &json!({"message": name}));
    let error = ask_at(&server.url, &["env", "get", "aws-prod"]).await.failed();
    assert_eq!(error.chars().find(hidden), None, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn artifact_where_stops_at_its_limit_if_event_pages_never_end() {
    let server = Scripted::start().await;
    let snapshot = json!({"index": 9_999, "type": "ECS", "timestamp": 9_999, "artifacts": []});
    server.then_json(200, &json!([{"name": "aws-prod", "type": "ECS"}])).then_json(200, &snapshot);
    for page in 0..4 {
        let events: Vec<_> = (0..100).map(|at| event(9_999 - page * 100 - at)).collect();
        server.then_with(200, &[("x-total-count", "1000000")], json!(events).to_string());
    }
    let answer = ask_at(&server.url, &["artifact", "where", "job:9999", "--limit", "250"]).await;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(answer.out.contains("aws-prod#9999"), "{answer:?}");
    let cut =
        "aws-prod: not searched before #9750, Thu, 01 Jan 1970 02:42:30 UTC (--limit, --since).";
    assert!(answer.error.contains(cut), "{answer:?}");
    let paths: Vec<_> = server.received().into_iter().map(|received| received.path).collect();
    assert_eq!(paths.len(), 5, "{paths:?}");
    assert!(paths[2..].iter().all(|path| path.contains("interval=1..9999")), "{paths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn env_log_lists_a_page_once_if_the_server_repeats_it() {
    let server = Scripted::start().await;
    let page = json!([{"index": 5, "from": 2.0, "to": 0.0}, {"index": 4, "from": 1.0, "to": 2.0}]);
    server.then_json(200, &page).then_json(200, &page);
    let shown = ask_at(&server.url, &["env", "log", "aws-prod", "-o", "json"]).await.success();
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), page);
}

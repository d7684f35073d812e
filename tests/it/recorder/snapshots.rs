use reqwest::StatusCode;
use serde_json::json;

use super::server::{Recorder, digest, task};

#[tokio::test]
async fn snapshot_is_found_by_index_offset_and_time_expressions() {
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
        ("@%7Bnow%7D", 3),
        ("@{now}", 3),
        // Made at 09:39:22.5, 09:40:22.5 and 09:41:22.5, asked for a minute later.
        ("@%7B2022-08-22T09:39:23%7D", 1),
        // Without a fraction it is the end of its second.
        ("@{2022-08-22T09:40:22}", 2),
        ("@{2022-08-22T09:40:22.4}", 1),
        ("@{2022-08-22T09:40:21}", 1),
        ("@{2022-08-22T09:40:23}", 2),
        ("@{2030-01-01T00:00:00}", 3),
    ];
    for (expression, index) in cases {
        let answer = recorder.get(&format!("/snapshots/acme/aws-prod/{expression}")).await;
        let snapshot = answer.documented("Snapshot");
        assert_eq!(snapshot["index"], json!(index), "{expression}");
        let made_at = |index: u32| 1_661_161_102.5 + f64::from(index) * 60.0;
        assert_eq!(snapshot["timestamp"], json!(made_at(index)));
        let next = (index < 3).then(|| made_at(index + 1));
        assert_eq!(snapshot["next_snapshot_timestamp"], json!(next), "{expression}");
        assert_eq!(snapshot["is_latest"], json!(index == 3), "{expression}");
    }
}

#[tokio::test]
async fn snapshot_expression_with_an_age_finds_the_latest_snapshot_at_that_time() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    // Made 100 days, 10 days, 26 hours, 90 minutes and 30 minutes before the question.
    let hours: [f64; 5] = [2400.0, 240.0, 26.0, 1.5, 0.5];
    for (made, hour) in (1..).zip(hours) {
        let next = hours.get(usize::from(made)).copied().unwrap_or(0.0);
        recorder.report("env", &[task(1, "web", &digest(made), 10)]).await;
        recorder.advance((hour - next) * 3600.0);
    }
    for (expression, index) in [
        ("@{1.hour.ago}", 4),
        ("@{2.hours.ago}", 3),
        ("@{1.day.ago}", 3),
        ("@{2.days.ago}", 2),
        ("@{1.week.ago}", 2),
        ("@{2.weeks.ago}", 1),
        ("@{1.month.ago}", 1),
        ("@{3.months.ago}", 1),
    ] {
        let found = recorder.get(&format!("/snapshots/acme/env/{expression}")).await;
        assert_eq!(found.body["index"], json!(index), "{expression}");
    }
    let too_early = recorder.get("/snapshots/acme/env/@{4.months.ago}").await;
    assert_eq!(too_early.status, StatusCode::NOT_FOUND);
    assert_eq!(
        too_early.message(),
        "Org: 'acme'. Snapshot 'env@{4.months.ago}' resolves to 'env#0'. len(snapshots) == 5. \
         Indexes are 1-based"
    );
}

#[tokio::test]
async fn confirmed_until_of_a_snapshot_is_the_time_of_the_last_report_of_it() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    let confirmed = async |index: u32| {
        let shown = recorder.get(&format!("/snapshots/acme/env/{index}")).await;
        shown.body["confirmed_until"].as_f64().unwrap() - 1_661_161_162.5
    };
    recorder.report("env", &[task(1, "web", &digest(1), 10)]).await;
    assert!(confirmed(1).await.abs() < 1e-6);
    recorder.advance(60.0);
    recorder.report("env", &[task(1, "web", &digest(1), 10)]).await;
    recorder.advance(600.0);
    recorder.report("env", &[task(1, "web", &digest(2), 10)]).await;
    assert!((confirmed(1).await - 60.0).abs() < 1e-6);
    assert!((confirmed(2).await - 660.0).abs() < 1e-6);
}

#[tokio::test]
async fn snapshot_index_that_does_not_exist_is_404_with_the_hosted_servers_message() {
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
async fn invalid_snapshot_expression_is_400_and_unknown_environment_is_404() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    for (expression, said) in [
        ("@%7Btomorrow%7D", "'@{tomorrow}' is not a snapshot expression"),
        ("@%7B2023-10-02T12:00:00+2%7D", "is not a snapshot expression"),
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

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::server::{Recorder, digest, task};

/// Nine snapshots in `env`, a minute apart; the last one was recorded a minute ago.
async fn recorder_with_nine_snapshots() -> Recorder {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    for byte in 1..=9 {
        recorder.report("env", &[task(1, "web", &digest(byte), 10)]).await;
        recorder.advance(60.0);
    }
    recorder
}

/// The indexes of the listed snapshots, one digit each.
async fn listed_indexes(recorder: &Recorder, query: &str) -> String {
    let list = recorder.get(&format!("/snapshots/acme/env{query}")).await;
    assert_eq!(list.status, StatusCode::OK, "{query} {list:?}");
    list.body.as_array().unwrap().iter().map(|it| it["index"].to_string()).collect()
}

#[tokio::test]
async fn listed_snapshot_ends_when_the_next_one_begins_and_the_latest_has_end_0() {
    let recorder = recorder_with_nine_snapshots().await;
    recorder.report("env", &[task(1, "web", &digest(9), 10)]).await;
    let list = recorder.get("/snapshots/acme/env?interval=~1..NOW").await.body;
    for entry in list.as_array().unwrap() {
        super::schema::check("SnapshotListEntry", entry);
    }
    assert_eq!(
        list,
        json!([
            {"index": 9, "from": 1_661_161_642.5, "to": 0.0, "compliant": false, "duration": 60.0,
             "confirmed_until": 1_661_161_702.5},
            {"index": 8, "from": 1_661_161_582.5, "to": 1_661_161_642.5, "compliant": false,
             "duration": 60.0, "confirmed_until": 1_661_161_582.5},
        ])
    );
}

#[tokio::test]
async fn gap_begins_10_minutes_after_the_announced_heartbeat_or_without_one_after_2_hours() {
    let start = 1_661_161_162.5;
    for (heartbeat, covered) in [(None, 7_200.0), (Some("3600"), 4_200.0), (Some("0"), 600.0)] {
        let recorder = Recorder::start().await;
        recorder.create("env", None).await;
        let report = async || {
            let body = json!({"artifacts": [task(1, "web", &digest(1), 10)]}).to_string();
            let path = "/environments/acme/env/report/ECS";
            let answer = recorder.put_with(path, body, "x-envsnap-heartbeat", heartbeat).await;
            assert!(answer.status.is_success(), "{answer:?}");
        };
        for after in [60.0, covered, covered + 1.0, 60.0] {
            report().await;
            recorder.advance(after);
        }
        report().await;
        let gaps = async || recorder.get("/snapshots/acme/env").await.body[0]["gaps"].clone();
        let closed = json!({
            "from": start + 60.0 + covered,
            "until": start + 61.0 + 2.0 * covered,
        });
        assert_eq!(gaps().await, json!([closed]), "{heartbeat:?}");
        recorder.advance(covered);
        assert_eq!(gaps().await, json!([closed]), "{heartbeat:?}");
        recorder.advance(1.0);
        let open = json!({"from": start + 121.0 + 2.0 * covered});
        assert_eq!(gaps().await, json!([closed, open]), "{heartbeat:?}");
    }
}

#[tokio::test]
async fn heartbeat_header_other_than_whole_seconds_is_refused() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    for wrong in ["", "1h", "-1", "1.5", "4294967296"] {
        let path = "/environments/acme/env/report/ECS";
        let body = r#"{"artifacts": []}"#;
        let answer = recorder.put_with(path, body, "x-envsnap-heartbeat", Some(wrong)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn snapshots_are_listed_by_interval_and_page_from_either_end() {
    let recorder = recorder_with_nine_snapshots().await;
    let cases = [
        ("", "987654321"),
        ("?interval=&page=1&per_page=15&reverse=false", "987654321"),
        ("?reverse=true", "123456789"),
        ("?reverse=True&per_page=4", "1234"),
        ("?per_page=4", "9876"),
        ("?per_page=4&page=2", "5432"),
        ("?per_page=4&page=3", "1"),
        ("?per_page=4&page=4", ""),
        ("?per_page=10000&page=4294967295", ""),
        ("?interval=2..4", "432"),
        ("?interval=4..2&reverse=true", "234"),
        ("?interval=2..4&reverse=true&per_page=2&page=2", "4"),
        ("?interval=2..4&per_page=2&page=2", "2"),
        ("?interval=~2..NOW", "987"),
        ("?interval=7..", "987"),
        ("?interval=..7", "987"),
        ("?interval=NOW", "9"),
        ("?interval=5", "5"),
        ("?interval=8..99", "98"),
        ("?interval=10..99", ""),
        ("?interval=10..", ""),
        ("?interval=10..NOW", ""),
    ];
    for (query, expected) in cases {
        assert_eq!(listed_indexes(&recorder, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn the_list_of_an_environment_without_snapshots_is_empty() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    for query in ["", "?interval=1..NOW", "?interval=NOW", "?interval=3", "?page=2&reverse=true"] {
        assert_eq!(listed_indexes(&recorder, query).await, "", "{query}");
    }
    let missing = recorder.get("/snapshots/acme/nowhere").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(
        missing.message(),
        "Environment named 'nowhere' does not exist for organization 'acme'"
    );
}

#[tokio::test]
async fn invalid_paging_and_interval_parameters_are_refused_by_name() {
    let recorder = recorder_with_nine_snapshots().await;
    for path in ["/snapshots/acme/env", "/environments/acme/env/events"] {
        for (query, field) in [
            ("page=0", "page"),
            ("page=-1", "page"),
            ("page=1.0", "page"),
            ("page=99999999999999999999", "page"),
            ("per_page=0", "per_page"),
            ("per_page=10001", "per_page"),
            ("reverse=maybe", "reverse"),
            ("interval=x", "interval"),
            ("interval=1..2..3", "interval"),
            ("interval=%ff..%00", "interval"),
        ] {
            let refused = recorder.get(&format!("{path}?{query}")).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path} {query}");
            assert_eq!(refused.message(), "Input payload validation failed");
            let fields: Vec<_> = refused.body["errors"].as_object().unwrap().keys().collect();
            assert_eq!(fields, [field], "{path} {query}");
        }
    }
}

#[tokio::test]
async fn duration_of_the_latest_snapshot_is_0_if_the_clock_is_set_back() {
    let recorder = recorder_with_nine_snapshots().await;
    recorder.advance(-3600.0);
    let list = recorder.get("/snapshots/acme/env?interval=NOW").await.body;
    assert_eq!(list[0]["duration"], json!(0.0));
    assert_eq!(list[0]["to"], json!(0.0));
    assert_ne!(list[0]["confirmed_until"], Value::Null);
}

#[tokio::test]
async fn artifact_runs_cover_all_history_of_one_or_all_environments() {
    let recorder = Recorder::start().await;
    let start = 1_661_161_162.5;
    for name in ["aws-beta", "aws-prod", "gone"] {
        recorder.create(name, Some(true)).await;
    }
    let web = |count: u32| -> Vec<_> {
        (0..count).map(|id| task(id, "ecr/web:1", &digest(0xab), 10)).collect()
    };
    let job = task(9, "ecr/job:1", &digest(2), 10);
    recorder.report("aws-beta", &web(1)).await;
    recorder.report("gone", &web(1)).await;
    recorder.put("/environments/acme/gone/archive", "").await;
    for report in [web(1), web(2), vec![job.clone()], [web(3), vec![job]].concat()] {
        recorder.advance(60.0);
        assert_eq!(recorder.report("aws-prod", &report).await, 201);
    }
    let run =
        |environment: &str, replicas: u64, indexes: (u64, u64), from: f64, to: Option<f64>| {
            json!({
                "environment": environment, "name": "ecr/web:1", "fingerprint": digest(0xab),
                "replicas": replicas, "first_index": indexes.0, "last_index": indexes.1,
                "from": start + from, "to": to.map(|to| start + to),
                "confirmed_until": start + from, "started": 10,
                "first_seen": start + if indexes.0 == 2 { 60.0 } else { from },
                "first_snapshot": if indexes.0 == 2 { 1 } else { indexes.0 },
                "first_seen_at_the_latest": indexes.0 < 3,
            })
        };
    let beta = run("aws-beta", 1, (1, 1), 0.0, None);
    let prod = [
        run("aws-prod", 1, (1, 1), 60.0, Some(120.0)),
        run("aws-prod", 2, (2, 2), 120.0, Some(180.0)),
        run("aws-prod", 3, (4, 4), 240.0, None),
    ];
    let all = json!([beta, prod[0], prod[1], prod[2]]);
    for (query, expected) in [
        ("artifact=ababa", all.clone()),
        ("artifact=web", all),
        ("artifact=web&environment=aws-prod", json!(prod)),
        ("artifact=web&environment=aws-beta", json!([beta])),
        ("artifact=nginx", json!([])),
    ] {
        let answer = recorder.get(&format!("/artifact-runs/acme?{query}")).await;
        assert_eq!((answer.status, answer.body), (StatusCode::OK, expected), "{query}");
    }
    assert_eq!(recorder.get("/artifact-runs/other?artifact=web").await.body, json!([]));
    for (query, status) in [
        ("", StatusCode::BAD_REQUEST),
        ("?artifact=", StatusCode::BAD_REQUEST),
        ("?artifact=web&environment=gone", StatusCode::NOT_FOUND),
    ] {
        let refused = recorder.get(&format!("/artifact-runs/acme{query}")).await;
        assert_eq!(refused.status, status, "{query}");
    }
}

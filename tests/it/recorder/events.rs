use proptest::prelude::*;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::server::{Answer, Recorder, digest, task};

/// Four snapshots: `web` starts; `api` starts and `web` is scaled; `web` exits and `api` is scaled;
/// all exit.
async fn recorder_with_four_snapshots() -> Recorder {
    let recorder = Recorder::start().await;
    recorder.create("env", Some(true)).await;
    let (web, api) = (digest(1), digest(2));
    let reports = [
        vec![task(1, "web:1", &web, 10)],
        vec![task(1, "web:1", &web, 10), task(2, "web:1", &web, 20), task(3, "api:1", &api, 30)],
        vec![task(3, "api:1", &api, 30), task(4, "api:1", &api, 30), task(5, "envoy", "", 40)],
        vec![],
    ];
    for report in reports {
        assert_eq!(recorder.report("env", &report).await, 201);
        recorder.advance(60.0);
    }
    recorder
}

async fn get_events(recorder: &Recorder, query: &str) -> Answer {
    let answer = recorder.get(&format!("/environments/acme/env/events{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query} {answer:?}");
    for event in answer.body.as_array().unwrap() {
        super::schema::check("EnvironmentEvent", event);
    }
    answer
}

/// Snapshot, artifact and description of each event, as one text each.
fn descriptions(events: &Value) -> Vec<String> {
    let field = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let events = events.as_array().unwrap().iter();
    events
        .map(|event| {
            let (artifact, description) =
                (field(event, "artifact_name"), field(event, "description"));
            format!("{} {artifact} {description}", event["snapshot_index"])
        })
        .collect()
}

/// All events of the four snapshots, the newest first.
const ALL_EVENTS: [&str; 8] = [
    "4 api:1 2 instances stopped running (from 2 to 0)",
    "4 envoy 1 instance stopped running (from 1 to 0)",
    "3 envoy 1 instance started running (from 0 to 1)",
    "3 api:1 1 instance started running (from 1 to 2)",
    "3 web:1 2 instances stopped running (from 2 to 0)",
    "2 api:1 1 instance started running (from 0 to 1)",
    "2 web:1 1 instance started running (from 1 to 2)",
    "1 web:1 1 instance started running (from 0 to 1)",
];

#[tokio::test]
async fn event_has_exactly_the_documented_fields() {
    let recorder = recorder_with_four_snapshots().await;
    let event = get_events(&recorder, "?interval=1").await.body;
    assert_eq!(
        event,
        json!([{
            "environment_name": "env", "snapshot_index": 1, "artifact_name": "web:1",
            "sha256": digest(1), "description": "1 instance started running (from 0 to 1)",
            "reported_at": 1_661_161_162.5, "pipeline": "", "deployments": [], "flows": [],
            "artifact_compliance": null, "snapshot_compliance": null, "type": "started-unknown",
            "code_diff": null,
            "_links": {"snapshot": {
                "self": "/api/v2/snapshots/acme/env/1",
                "html": "/acme/environments/env/snapshots/1",
            }},
        }])
    );
    let types: Vec<_> = get_events(&recorder, "?interval=3")
        .await
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(types, ["started-unknown", "changed", "exited"]);
}

#[tokio::test]
async fn events_are_listed_by_interval_and_page_from_either_end() {
    let recorder = recorder_with_four_snapshots().await;
    let all = |range: std::ops::Range<usize>| ALL_EVENTS[range].to_vec();
    let reversed = |range: std::ops::Range<usize>| {
        let mut events = ALL_EVENTS[range].to_vec();
        events.reverse();
        events
    };
    let cases = [
        ("", all(0..8), 8),
        ("?interval=&page=1&per_page=15&reverse=false", all(0..8), 8),
        ("?reverse=true", reversed(0..8), 8),
        ("?per_page=3", all(0..3), 8),
        ("?per_page=3&page=2", all(3..6), 8),
        ("?per_page=3&page=3", all(6..8), 8),
        ("?per_page=3&page=4", vec![], 8),
        ("?per_page=100&page=4294967295", vec![], 8),
        ("?per_page=3&page=2&reverse=true", reversed(2..5), 8),
        ("?interval=2..3", all(2..7), 5),
        ("?interval=3..2&per_page=2&page=2", all(4..6), 5),
        ("?interval=~1..NOW&per_page=1&page=5", all(4..5), 5),
        ("?interval=NOW", all(0..2), 2),
        ("?interval=9..", vec![], 0),
        ("?start=2&end=3", all(2..7), 5),
        ("?start=-1", all(0..2), 2),
        ("?start=3min", all(0..7), 7),
        ("?start=1661161282.5&end=NOW", all(0..5), 5),
        ("?start_ts=1661161283&end_ts=1661161342.5", all(0..2), 2),
        ("?end=3m", all(5..8), 3),
        ("?repo_name=acme/web", vec![], 0),
    ];
    for (query, expected, total) in cases {
        let answer = get_events(&recorder, query).await;
        assert_eq!(descriptions(&answer.body), expected, "{query}");
        assert_eq!(answer.headers["x-total-count"], total.to_string(), "{query}");
    }
}

#[tokio::test]
async fn events_are_listed_by_the_repository_that_a_flow_reported_for_their_artifact() {
    let recorder = recorder_with_four_snapshots().await;
    for (byte, name, repo) in [(1, "web:1", "acme/web"), (2, "api:1", "acme/api")] {
        let artifact = json!({
            "fingerprint": digest(byte), "filename": name, "build_url": "https://b/1",
            "commit_url": "https://c/1",
            "git_commit": "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4", "trail_name": "t",
            "template_reference_name": "image", "repo_info": {"id": "1", "name": repo, "url": "https://r/1"},
        });
        let answer = recorder.post("/artifacts/acme/build", &artifact).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    }
    let all = |positions: &[usize]| positions.iter().map(|at| ALL_EVENTS[*at]).collect::<Vec<_>>();
    for (query, expected, total) in [
        ("?repo_name=acme/web", all(&[4, 6, 7]), 3),
        ("?repo_name=acme%2Fapi&reverse=true", all(&[5, 3, 0]), 3),
        ("?repo_name=acme/api&repo_name=acme/web&per_page=2&page=2", all(&[4, 5]), 6),
        ("?repo_name=web", vec![], 0),
        ("?repo_name=acme/web&interval=2", all(&[6]), 1),
    ] {
        let answer = get_events(&recorder, query).await;
        assert_eq!(descriptions(&answer.body), expected, "{query}");
        assert_eq!(answer.headers["x-total-count"], total.to_string(), "{query}");
    }
}

#[tokio::test]
async fn event_page_headers_have_counts_and_links_to_the_other_pages() {
    let recorder = recorder_with_four_snapshots().await;
    let middle =
        get_events(&recorder, "?interval=1..NOW&page=2&per_page=3&reverse=false").await.headers;
    for (name, value) in [
        ("x-total-count", "8"),
        ("x-per-page", "3"),
        ("x-current-page", "2"),
        ("x-total-pages", "3"),
    ] {
        assert_eq!(middle[name], value, "{name}");
    }
    let page = |number: u32, relation: &str| {
        format!(
            "</api/v2/environments/acme/env/events?interval=1..NOW&reverse=false&page={number}\
             &per_page=3>; rel=\"{relation}\""
        )
    };
    let links = [page(1, "first"), page(1, "prev"), page(3, "next"), page(3, "last")];
    assert_eq!(middle["link"], links.join(", "));
    let last = get_events(&recorder, "?page=3&per_page=3").await.headers;
    assert!(!last["link"].to_str().unwrap().contains("next"), "{last:?}");
    assert!(!get_events(&recorder, "").await.headers.contains_key("link"), "there is one page");
    assert_eq!(get_events(&recorder, "?interval=NOW&page=9").await.headers["x-total-pages"], "1");
}

#[tokio::test]
async fn an_environment_without_snapshots_has_no_events() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    let none = get_events(&recorder, "").await;
    assert_eq!(none.body, json!([]));
    assert_eq!(
        (&none.headers["x-total-count"], &none.headers["x-total-pages"]),
        (&"0".parse().unwrap(), &"0".parse().unwrap())
    );
    let missing = recorder.get("/environments/acme/nowhere/events").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn invalid_event_parameters_are_refused_by_name() {
    let recorder = recorder_with_four_snapshots().await;
    for (query, field) in [
        ("per_page=101", "per_page"),
        ("start=yesterday", "start"),
        ("end=", "end"),
        ("start_ts=NaN", "start_ts"),
        ("end=1&end_ts=1", "end_ts"),
        ("interval=1..2&start=1", "interval"),
    ] {
        let refused = recorder.get(&format!("/environments/acme/env/events?{query}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(refused.body["errors"][field].is_string(), "{query} {refused:?}");
    }
}

/// Whatever else the file holds is made unreadable, so that reading it would fail.
#[tokio::test]
async fn queries_read_only_the_rows_of_the_snapshots_that_they_need() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let recorder = Recorder::on(&file).await;
    recorder.create("env", None).await;
    for byte in 1..=20 {
        recorder.report("env", &[task(1, "web", &digest(byte), 10)]).await;
    }
    recorder.stop().await;
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection
        .execute_batch(
            "UPDATE interval SET started_at = 'unreadable'
             WHERE NOT (from_index BETWEEN 8 AND 10 OR from_index = 20 OR from_index = 19);",
        )
        .unwrap();
    drop(connection);
    let recorder = Recorder::on(&file).await;
    for path in [
        "/snapshots/acme/env/-1",
        "/snapshots/acme/env/9",
        "/snapshots/acme/env",
        "/snapshots/acme/env?interval=1..NOW&page=2",
        "/env-diff/acme?snappish1=env%239&snappish2=env~10",
        "/environments/acme/env",
        "/environments/acme/env/events?per_page=2",
        "/environments/acme/env/events?per_page=1&reverse=true&page=19",
        "/environments/acme/env/events?interval=9..10",
        // Each snapshot but the first has two events: those of 10 and 9 are the 21st to the 24th
        // from the end.
        "/environments/acme/env/events?per_page=2&page=11",
        "/environments/acme/env/events?per_page=4&page=6",
    ] {
        let answer = recorder.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path} {answer:?}");
    }
    let unreadable = recorder.get("/environments/acme/env/events?per_page=4").await;
    assert_eq!(unreadable.status, StatusCode::INTERNAL_SERVER_ERROR, "the test itself would fail");
}

/// One byte for each task, of which the digest of its image consists.
fn any_report() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(1..4_u8, 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn event_pages_partition_the_changes_of_all_snapshots(
        reports in proptest::collection::vec(any_report(), 1..8),
        from in 1..8_u32,
        size in 1..6_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let recorder = Recorder::start().await;
            recorder.create("env", Some(true)).await;
            for report in reports {
                let tasks: Vec<_> = (0..).zip(report)
                    .map(|(id, byte)| task(id, "web", &digest(byte), i64::from(id)))
                    .collect();
                recorder.report("env", &tasks).await;
            }
            let environment = recorder.get("/snapshots/acme/env").await.body;
            let count = environment.as_array().unwrap().len();
            let mut expected = Vec::new();
            for index in (from as usize..=count).rev() {
                let snapshot = recorder.get(&format!("/snapshots/acme/env/{index}")).await.body;
                for artifact in snapshot["artifacts"].as_array().unwrap() {
                    let (was, now) = (&artifact["annotation"]["was"], &artifact["annotation"]["now"]);
                    if was != now {
                        expected.push(json!([index, artifact["fingerprint"], was, now]));
                    }
                }
            }
            for reverse in [false, true] {
                let mut seen = Vec::new();
                for page in 1.. {
                    let query = format!(
                        "?interval={from}..NOW&reverse={reverse}&per_page={size}&page={page}");
                    let answer = get_events(&recorder, &query).await;
                    prop_assert_eq!(&answer.headers["x-total-count"], &expected.len().to_string());
                    let events = answer.body.as_array().unwrap();
                    if events.is_empty() {
                        break;
                    }
                    prop_assert!(events.len() <= size);
                    for event in events {
                        let description = event["description"].as_str().unwrap();
                        let numbers: Vec<u64> = description
                            .trim_end_matches(')')
                            .split(' ')
                            .filter_map(|word| word.parse().ok())
                            .collect();
                        seen.push(json!([
                            event["snapshot_index"], event["sha256"], numbers[1], numbers[2]
                        ]));
                    }
                }
                prop_assert_eq!(&seen, &expected);
                expected.reverse();
            }
            Ok(())
        })?;
    }
}

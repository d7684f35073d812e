use reqwest::StatusCode;
use serde_json::{Value, json};

use super::server::{Answer, Recorder, digest, task};

/// `one` runs web, api and a sidecar without digest, then more of web and not api; `two` runs web
/// and job.
async fn two_environments() -> Recorder {
    let recorder = Recorder::start().await;
    for name in ["one", "two", "empty"] {
        recorder.create(name, Some(true)).await;
    }
    let (web, api, job) = (digest(2), digest(1), digest(3));
    for (environment, report) in [
        (
            "one",
            vec![task(1, "web:1", &web, 10), task(2, "api:1", &api, 20), task(3, "envoy", "", 30)],
        ),
        (
            "one",
            vec![task(1, "web:1", &web, 10), task(4, "web:1", &web, 40), task(3, "envoy", "", 30)],
        ),
        (
            "two",
            vec![task(1, "web:2", &web, 50), task(2, "job:1", &job, 60), task(3, "agent", "", 70)],
        ),
    ] {
        assert_eq!(recorder.report(environment, &report).await, 201);
    }
    recorder
}

async fn compare(recorder: &Recorder, one: &str, other: &str) -> Answer {
    recorder.get(&format!("/env-diff/acme?snappish1={one}&snappish2={other}")).await
}

/// An artifact as a diff lists it.
fn diff_artifact(name: &str, fingerprint: &str, started: i64, instances: u64) -> Value {
    json!({
        "name": name, "fingerprint": fingerprint, "most_recent_timestamp": started, "flow": null,
        "commit_url": null, "instance_count": instances,
    })
}

#[tokio::test]
async fn diff_of_two_snapshots_has_exited_scaled_and_unchanged_artifacts() {
    let recorder = two_environments().await;
    let diff = compare(&recorder, "one%231", "one").await.documented("EnvironmentDiff");
    // Each since the first snapshot; the oldest replica is not the one that started last.
    let since = |mut artifact: Value, started: i64| {
        artifact["started"] = json!(started);
        artifact["first_seen"] = json!(1_661_161_162.5);
        artifact["first_snapshot"] = json!(1);
        artifact["first_seen_at_the_latest"] = json!(true);
        artifact["confirmed_until"] = json!(1_661_161_162.5);
        artifact
    };
    let mut scaled = since(diff_artifact("web:1", &digest(2), 40, 2), 10);
    scaled["s1_instance_count"] = json!(1);
    scaled["s2_instance_count"] = json!(2);
    assert_eq!(
        diff,
        json!({
            "snappish1":
                {"snapshot_id": "one#1", "artifacts": [since(diff_artifact("api:1", &digest(1), 20, 1), 20)]},
            "snappish2": {"snapshot_id": "one#2", "artifacts": []},
            "changed": {"artifacts": [scaled]},
            "not-changed": {"artifacts": [since(diff_artifact("envoy", "", 30, 1), 30)]},
        })
    );
    let back = compare(&recorder, "one~0", "one~1").await.body;
    assert_eq!(back["snappish2"]["artifacts"], diff["snappish1"]["artifacts"]);
    assert_eq!(back["changed"]["artifacts"][0]["s1_instance_count"], 2);
}

#[tokio::test]
async fn diff_of_two_environments_compares_by_fingerprint_or_else_by_name() {
    let recorder = two_environments().await;
    let diff = compare(&recorder, "one@%7Bnow%7D", "two").await;
    let diff = diff.documented("EnvironmentDiff");
    let names = |part: &str| -> Vec<&str> {
        let artifacts = diff[part]["artifacts"].as_array().unwrap();
        artifacts.iter().map(|artifact| artifact["name"].as_str().unwrap()).collect()
    };
    assert_eq!(diff["snappish1"]["snapshot_id"], "one#2");
    assert_eq!(diff["snappish2"]["snapshot_id"], "two#1");
    // By fingerprint; without one, by name.
    assert_eq!(names("snappish1"), ["envoy"]);
    assert_eq!(names("snappish2"), ["agent", "job:1"]);
    assert_eq!(names("changed"), ["web:2"]);
    assert_eq!(names("not-changed"), [""; 0]);
    assert_eq!(diff["changed"]["artifacts"][0]["s2_instance_count"], 1);
}

#[tokio::test]
async fn a_snapshot_compared_with_itself_omits_exited_artifacts() {
    let recorder = two_environments().await;
    let diff = compare(&recorder, "one", "one").await.body;
    for part in ["snappish1", "snappish2", "changed"] {
        assert_eq!(diff[part]["artifacts"], json!([]), "{part}");
    }
    assert_eq!(diff["not-changed"]["artifacts"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn invalid_diff_requests_get_the_messages_of_the_hosted_server() {
    let recorder = two_environments().await;
    for (one, other, status, said) in [
        (
            "nowhere",
            "one",
            404,
            "Environment named 'nowhere' does not exist for organization 'acme'",
        ),
        (
            "one",
            "nowhere%231",
            404,
            "Environment named 'nowhere' does not exist for organization 'acme'",
        ),
        (
            "empty",
            "one",
            404,
            "Org: 'acme'. Snapshot 'empty' resolves to 'empty#0'. len(snapshots) == 0. Indexes are \
             1-based",
        ),
        (
            "one",
            "one%239",
            404,
            "Org: 'acme'. Snapshot 'one#9' resolves to 'one#9'. len(snapshots) == 2. Indexes are \
             1-based",
        ),
        ("one", "one%23x", 400, "Input payload validation failed"),
        ("one", "", 400, "Input payload validation failed"),
        ("%231", "one", 400, "Input payload validation failed"),
    ] {
        let refused = compare(&recorder, one, other).await;
        assert_eq!((refused.status.as_u16(), refused.message()), (status, said), "{one} {other}");
    }
    let refused = recorder.get("/env-diff/acme?snappish2=x%23x").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.body["errors"]["snappish1"], "is required");
    let problem = refused.body["errors"]["snappish2"].as_str().unwrap();
    assert!(problem.contains("is not a snapshot expression. Use N or #N"), "{problem}");
}

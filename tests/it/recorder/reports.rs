use reqwest::StatusCode;
use serde_json::{Value, json};

use super::server::{Recorder, digest, task};
use crate::harness::http_client;

#[tokio::test]
async fn a_report_returns_201_for_a_new_snapshot_and_200_otherwise() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", Some(true)).await;
    let one = [task(1, "web:1", &digest(1), 10)];
    let replaced = [task(2, "web:latest", &digest(1), 20)];
    let two = [task(2, "web:1", &digest(1), 20), task(3, "web:1", &digest(1), 30)];

    assert_eq!(recorder.report("aws-prod", &[]).await, 200);
    assert_eq!(recorder.report("aws-prod", &one).await, 201);
    assert_eq!(recorder.report("aws-prod", &one).await, 200);
    assert_eq!(recorder.report("aws-prod", &replaced).await, 200);
    assert_eq!(recorder.report("aws-prod", &two).await, 201);
    assert_eq!(recorder.report("aws-prod", &[]).await, 201);
    assert_eq!(recorder.report("aws-prod", &[]).await, 200);
    assert_eq!(recorder.latest("aws-prod").await.index, 3);
}

#[tokio::test]
async fn without_scaling_a_change_of_replicas_makes_no_snapshot_and_keeps_the_recorded_one() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", Some(false)).await;
    let one = [task(1, "web:1", &digest(1), 10)];
    let two = [task(1, "web:1", &digest(1), 10), task(2, "web:1", &digest(1), 20)];
    let other = [two[0].clone(), two[1].clone(), task(3, "job:1", &digest(2), 30)];

    assert_eq!(recorder.report("aws-prod", &one).await, 201);
    assert_eq!(recorder.report("aws-prod", &two).await, 200);
    let latest = recorder.latest("aws-prod").await;
    assert_eq!((latest.index, latest.artifacts[0].annotation.now), (1, 1));

    assert_eq!(recorder.report("aws-prod", &other).await, 201);
    let latest = recorder.latest("aws-prod").await;
    let web = latest.artifacts.iter().find(|artifact| artifact.name == "web:1").unwrap();
    assert_eq!((web.annotation.was, web.annotation.now), (1, 2));
    assert_eq!(web.annotation.change, "changed");

    recorder.create("aws-prod", Some(true)).await;
    assert_eq!(recorder.report("aws-prod", &other).await, 200);
    assert_eq!(recorder.report("aws-prod", &other[1..]).await, 201);
}

#[tokio::test]
async fn artifacts_without_a_digest_are_distinguished_by_name() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", None).await;
    let both = [task(1, "envoy", "", 10), task(2, "agent", "", 10)];

    assert_eq!(recorder.report("aws-prod", &both).await, 201);
    assert_eq!(recorder.report("aws-prod", &both).await, 200);
    assert_eq!(recorder.report("aws-prod", &both[..1]).await, 201);
    assert_eq!(recorder.report("aws-prod", &[task(1, "sidecar", "", 10)]).await, 201);

    let latest = recorder.latest("aws-prod").await;
    let shown: Vec<_> = latest
        .artifacts
        .iter()
        .map(|it| (it.name.as_str(), it.fingerprint.as_deref(), it.annotation.change.as_str()))
        .collect();
    assert_eq!(shown, [("sidecar", Some(""), "started-unknown"), ("envoy", Some(""), "exited")]);
}

#[tokio::test]
async fn report_entry_counts_as_one_replica_of_each_distinct_digest() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", Some(true)).await;
    let entry = json!({
        "taskArn": "arn", "creationTimestamp": 10,
        "digests": {"web:1": digest(1), "web:2": digest(1), "log:1": digest(2), "envoy": ""},
    });
    assert_eq!(recorder.report("aws-prod", &[entry.clone(), entry]).await, 201);
    let latest = recorder.latest("aws-prod").await;
    let counts: Vec<_> =
        latest.artifacts.iter().map(|it| (it.name.as_str(), it.annotation.now)).collect();
    assert_eq!(counts, [("web:1", 2), ("log:1", 2), ("envoy", 2)]);
}

#[tokio::test]
async fn every_report_moves_last_reported_at_and_a_new_snapshot_last_changed_at() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", Some(true)).await;
    let times = async || {
        let environment = recorder.get("/environments/acme/aws-prod").await.body;
        ["last_modified_at", "last_reported_at", "last_changed_at", "state"]
            .map(|field| environment[field].clone())
    };
    assert_eq!(times().await, [json!(1_661_161_162.5), Value::Null, Value::Null, Value::Null]);

    recorder.advance(60.0);
    recorder.report("aws-prod", &[]).await;
    let reported = json!(1_661_161_222.5);
    assert_eq!(times().await, [reported.clone(), reported, Value::Null, Value::Null]);

    recorder.advance(60.0);
    recorder.report("aws-prod", &[task(1, "web:1", &digest(1), 10)]).await;
    let changed = json!(1_661_161_282.5);
    assert_eq!(times().await, [changed.clone(), changed.clone(), changed.clone(), Value::Null]);

    recorder.advance(60.25);
    recorder.report("aws-prod", &[task(1, "web:1", &digest(1), 10)]).await;
    let reported = json!(1_661_161_342.75);
    assert_eq!(times().await, [reported.clone(), reported, changed, Value::Null]);
}

#[tokio::test]
async fn a_report_to_a_missing_or_other_type_of_environment_is_refused() {
    let recorder = Recorder::start().await;
    let report = json!({"artifacts": []}).to_string();
    let missing = recorder.put("/environments/acme/aws-prod/report/ECS", report.clone()).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(
        missing.message(),
        "Environment named 'aws-prod' does not exist for organization 'acme'"
    );

    let body = json!({"name": "k8s", "type": "logical", "description": ""}).to_string();
    recorder.put("/environments/acme", body).await;
    let refused = recorder.put("/environments/acme/k8s/report/ECS", report).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.message().contains("is of type 'logical'"), "{refused:?}");
    let environment = recorder.get("/environments/acme/k8s").await;
    assert_eq!(environment.body["last_reported_at"], Value::Null);
}

#[tokio::test]
async fn the_same_report_many_times_at_once_makes_one_snapshot() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", Some(true)).await;
    let report = [task(1, "web:1", &digest(1), 10)];
    let reports = (0..16).map(|_| recorder.report("aws-prod", &report));
    let mut statuses = futures_util::future::join_all(reports).await;
    statuses.sort_unstable();
    assert_eq!(statuses[14..], [200, 201]);
    assert_eq!(recorder.latest("aws-prod").await.index, 1);
}

#[tokio::test]
async fn different_reports_at_once_are_recorded_one_after_the_other() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", Some(true)).await;
    let reports: Vec<_> =
        (1..=8).map(|byte| [task(1, "web", &digest(byte), i64::from(byte))]).collect();
    let statuses = futures_util::future::join_all(
        reports.iter().map(|report| recorder.report("aws-prod", report)),
    )
    .await;
    assert_eq!(statuses, [201; 8]);
    for index in 2..=8 {
        let snapshot = recorder.get(&format!("/snapshots/acme/aws-prod/{index}")).await.body;
        let before = recorder.get(&format!("/snapshots/acme/aws-prod/{}", index - 1)).await.body;
        assert_eq!(snapshot["artifacts"][1]["annotation"]["type"], "exited");
        assert_eq!(snapshot["artifacts"][1]["fingerprint"], before["artifacts"][0]["fingerprint"]);
    }
}

#[tokio::test]
async fn restarted_recorder_returns_the_same_environments_and_snapshots() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    let report = [task(1, "web:1", &digest(1), 10), task(2, "envoy", "", 20)];
    let paths = ["/environments/acme", "/snapshots/acme/aws-prod/1", "/snapshots/acme/aws-prod/-1"];

    let recorder = Recorder::on(&file).await;
    recorder.create("aws-prod", Some(true)).await;
    recorder.report("aws-prod", &report[..1]).await;
    recorder.report("aws-prod", &report).await;
    let mut before = Vec::new();
    for path in paths {
        before.push(recorder.get(path).await.body);
    }
    recorder.stop().await;

    let recorder = Recorder::on(&file).await;
    for (path, before) in paths.into_iter().zip(before) {
        assert_eq!(recorder.get(path).await.body, before, "{path}");
    }
    assert_eq!(recorder.report("aws-prod", &report).await, 200);
}

#[tokio::test]
async fn report_with_if_match_gets_412_unless_it_has_the_index_of_the_latest_snapshot() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", None).await;
    let put = async |tag: &str, byte: u8| {
        let body = json!({"artifacts": [task(1, "web", &digest(byte), 10)]}).to_string();
        let path = format!("{}/api/v2/environments/acme/aws-prod/report/ECS", recorder.url);
        let client = http_client();
        let request = client.put(path).bearer_auth("any").header("If-Match", tag).body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["x-envsnap-accepts"], "if-match", "{tag}");
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(put("\"1\"", 1).await.0, 412, "there is none");
    assert_eq!(put("\"0\"", 1).await.0, 201);
    let (status, body) = put("\"0\"", 2).await;
    assert_eq!(status, 412);
    assert_eq!(
        body["message"],
        "The latest snapshot is #1, not #0 as in If-Match: nothing was recorded"
    );
    assert_eq!(put("\"1\"", 1).await.0, 200, "nothing new is nothing that moves the index");
    assert_eq!(put("\"1\"", 2).await.0, 201);
    for malformed in
        ["1", "\"\"", "\"x\"", "*", "W/\"2\"", "\"2\", \"3\"", "\"99999999999999999999\""]
    {
        assert_eq!(put(malformed, 3).await.0, 400, "{malformed}");
    }
    assert_eq!(recorder.latest("aws-prod").await.index, 2);
    let answer = recorder.get("/environments/acme/no-such").await;
    assert_eq!(answer.headers["x-envsnap-accepts"], "if-match");
}

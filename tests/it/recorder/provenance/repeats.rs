//! Requests that a client repeats because their answers were lost.

use reqwest::Method;
use serde_json::{Value, json};

use crate::recorder::server::{Recorder, digest};

/// Reports a generic attestation of the artifact, with `reason` as its user data.
async fn attest(recorder: &Recorder, name: &str, is_compliant: bool, reason: &str) {
    let body = json!({"attestation_name": name, "is_compliant": is_compliant,
                      "artifact_fingerprint": digest(1), "user_data": {"reason": reason}});
    let answer = recorder.generic("acme/runner/trail/t", &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

async fn list_length(recorder: &Recorder, path: &str) -> usize {
    recorder.get(path).await.body.as_array().unwrap().len()
}

/// The compliance state of the artifact.
async fn artifact_state(recorder: &Recorder) -> Value {
    recorder.get("/artifacts/acme/runner/fingerprint/01010").await.body["state"].clone()
}

#[tokio::test]
async fn equal_report_within_ten_minutes_is_recorded_once_despite_others_between() {
    let recorder = Recorder::start().await;
    let events = async || {
        let trail = recorder.get("/trails/acme/runner/t").await.body;
        trail["events"].as_array().unwrap().len()
    };
    recorder.artifact("acme", "runner", "t", &digest(1)).await;
    for reason in ["a", "b", "a", "b", "c", "a"] {
        recorder.advance(60.0);
        attest(&recorder, "scan", true, reason).await;
    }
    assert_eq!(list_length(&recorder, "/attestations/acme/runner/trail/t/scan").await, 3);
    // The trail, the artifact, and three attestations.
    assert_eq!(events().await, 5);
    let other = json!({
        "fingerprint": digest(1), "filename": "other", "git_commit": super::requests::COMMIT,
        "build_url": "https://b/1", "commit_url": "https://c/1", "trail_name": "t",
        "template_reference_name": "runner",
    });
    recorder.post("/artifacts/acme/runner", &other).await;
    recorder.artifact("acme", "runner", "t", &digest(1)).await;
    recorder.post("/artifacts/acme/runner", &other).await;
    assert_eq!(events().await, 6);
    recorder.advance(601.0);
    recorder.artifact("acme", "runner", "t", &digest(1)).await;
    attest(&recorder, "scan", true, "a").await;
    assert_eq!(events().await, 8, "ten minutes later it is another report");
}

#[tokio::test]
async fn attestation_whose_result_changes_back_within_a_minute_is_recorded_again() {
    let recorder = Recorder::start().await;
    recorder.artifact("acme", "runner", "t", &digest(1)).await;
    for (is_compliant, expected) in [
        (true, "COMPLIANT"),
        (false, "NON-COMPLIANT"),
        (true, "COMPLIANT"),
        (false, "NON-COMPLIANT"),
        (false, "NON-COMPLIANT"),
    ] {
        recorder.advance(10.0);
        attest(&recorder, "scan", is_compliant, "r").await;
        assert_eq!(artifact_state(&recorder).await, expected);
    }
    assert_eq!(list_length(&recorder, "/attestations/acme/runner/trail/t/scan").await, 4);
}

#[tokio::test]
async fn repeated_deployment_report_returns_the_first_number_and_a_rollback_a_new_one() {
    let recorder = Recorder::start().await;
    for byte in [1, 2] {
        recorder.artifact("acme", "runner", "t", &digest(byte)).await;
    }
    for (byte, environment, number) in [
        (1, "beta", 1),
        (1, "prod", 2),
        (1, "beta", 1),
        (2, "prod", 3),
        (1, "prod", 4),
        (1, "prod", 4),
        (1, "beta", 1),
    ] {
        let body = json!({"artifact_fingerprint": digest(byte), "environment": environment});
        let answer = recorder.post("/deployments/acme/runner", &body).await;
        assert_eq!(
            answer.body,
            json!({"deployment_id": number, "environment_exists": false}),
            "{byte} {environment}"
        );
    }
}

#[tokio::test]
async fn removed_allowlist_entry_can_be_added_again_at_once() {
    let recorder = Recorder::start().await;
    let allow = async |reason: &str| {
        let body = json!({"name_pattern": "nginx", "description": reason}).to_string();
        let answer = recorder.put("/allowlists/acme", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    };
    for reason in ["a", "b", "a"] {
        allow(reason).await;
    }
    let list = recorder.get("/allowlists/acme").await.body;
    assert_eq!(list.as_array().unwrap().len(), 2, "{list}");
    for entry in list.as_array().unwrap() {
        let path = format!("/api/v2/allowlists/acme/entries/{}", entry["id"].as_str().unwrap());
        assert_eq!(recorder.send(Method::DELETE, &path, Some("any"), "").await.status, 200);
    }
    allow("a").await;
    assert_eq!(list_length(&recorder, "/allowlists/acme").await, 1);
}

#[tokio::test]
async fn equal_report_after_a_restart_is_recorded_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshots.db");
    for _ in 0..2 {
        let recorder = Recorder::on(&file).await;
        recorder.artifact("acme", "runner", "t", &digest(1)).await;
        attest(&recorder, "scan", true, "a").await;
        attest(&recorder, "scan", true, "b").await;
        recorder.stop().await;
    }
    let recorder = Recorder::on(&file).await;
    assert_eq!(list_length(&recorder, "/attestations/acme/runner/trail/t/scan").await, 2);
}

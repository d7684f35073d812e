//! The states of artifacts that several trails of a flow reported, and what changes them.

use reqwest::Method;
use serde_json::{Value, json};

use super::requests::{COMMIT, document};
use crate::recorder::server::{Answer, Recorder, digest, task};

impl Recorder {
    /// Saves a flow or a trail, depending on the path, with a template.
    async fn save_template(&self, path: &str, document_fields: &Value, template: &str) -> Answer {
        let body = document(document_fields, Some(("template_file", template.as_bytes())));
        self.send_parts(Method::PUT, path, body).await
    }

    async fn runner_artifact(&self) -> Value {
        self.get("/artifacts/acme/runner/fingerprint/01010").await.body
    }
}

fn scan_attestation(is_compliant: bool) -> Value {
    json!({"attestation_name": "scan", "is_compliant": is_compliant,
           "target_artifacts": ["runner"], "git_commit_info": {"sha1": COMMIT}})
}

#[tokio::test]
async fn failed_evidence_keeps_an_artifact_non_compliant_when_it_is_reported_again() {
    let recorder = Recorder::start().await;
    recorder.create("web", None).await;
    recorder.report("web", &[task(1, "web:1", &digest(1), 1_661_161_100)]).await;
    recorder.artifact("acme", "runner", "a", &digest(1)).await;
    let answer = recorder.generic("acme/runner/trail/a", &scan_attestation(false)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let states = async || {
        let artifact = recorder.runner_artifact().await;
        let found = recorder.get("/search/acme/sha/01010").await.body;
        let snapshot = recorder.get("/snapshots/acme/web/-1").await.body;
        let listed = recorder.get("/artifacts/acme?flow_name=runner").await.body;
        [
            artifact["state"].clone(),
            found["artifacts"][0]["compliance_state"].clone(),
            snapshot["artifacts"][0]["flows"][0]["state"].clone(),
            listed[0]["state"].clone(),
        ]
    };
    let bad = || [(); 4].map(|()| json!("NON-COMPLIANT"));
    assert_eq!(states().await, bad());
    // In another trail, whose own template expects nothing, …
    let trail = json!({"name": "b"});
    let saved = recorder.save_template("/trails/acme/runner", &trail, "version: 1").await;
    assert_eq!(saved.status, 201, "{saved:?}");
    recorder.artifact("acme", "runner", "b", &digest(1)).await;
    assert_eq!(states().await, bad());
    // … in the same one under another name, of another commit, and in no trail at all.
    for (trail, name, commit) in [
        (Some("a"), Some("other"), COMMIT.to_owned()),
        (Some("a"), Some("runner"), "ab".repeat(20)),
        (Some("a"), None, COMMIT.to_owned()),
        (None, None, COMMIT.to_owned()),
    ] {
        let body = json!({
            "fingerprint": digest(1), "filename": "runner:2", "git_commit": commit,
            "build_url": "https://b", "commit_url": "https://c", "trail_name": trail,
            "template_reference_name": name,
        });
        let answer = recorder.post("/artifacts/acme/runner", &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(states().await, bad(), "{body}");
    }
    let artifact = recorder.runner_artifact().await;
    assert_eq!(artifact["state_info"], "missing or non-compliant in trail 'a': scan");
    assert_eq!(artifact["evidence"]["scan"]["is_compliant"], false, "{artifact}");
    let snapshot = recorder.get("/snapshots/acme/web/-1").await.body;
    let reasons = &snapshot["artifacts"][0]["flows"][0]["flow_reasons_for_non_compliance"];
    assert_eq!(*reasons, json!([{"attestation_name": "scan", "trail_name": "a"}]));
    // Each trail still has its own.
    let of_trail = recorder.get("/artifacts/acme/runner/fingerprint/01010?trail=b").await.body;
    assert_eq!(of_trail["state"], "COMPLIANT", "{of_trail}");
    // What helps is evidence where it is missing.
    let answer = recorder.generic("acme/runner/trail/a", &scan_attestation(true)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(states().await, [(); 4].map(|()| json!("COMPLIANT")));
}

#[tokio::test]
async fn evidence_missing_in_one_trail_keeps_an_artifact_incomplete_despite_another_trail() {
    let recorder = Recorder::start().await;
    let flow = json!({"name": "runner", "description": ""});
    let template = "version: 1\ntrail:\n  artifacts:\n  - name: runner\n    attestations:\n    - {name: scan, type: generic}\n";
    recorder.save_template("/flows/acme/template_file", &flow, template).await;
    recorder.artifact("acme", "runner", "a", &digest(1)).await;
    recorder.save_template("/trails/acme/runner", &json!({"name": "b"}), "version: 1").await;
    recorder.artifact("acme", "runner", "b", &digest(1)).await;
    let artifact = recorder.runner_artifact().await;
    assert_eq!(artifact["state"], "INCOMPLETE", "{artifact}");
    assert_eq!(artifact["state_info"], "missing or non-compliant in trail 'a': scan");
}

#[tokio::test]
async fn override_must_name_the_type_of_the_attestation_that_it_replaces() {
    let recorder = Recorder::start().await;
    recorder.artifact("acme", "runner", "t", &digest(1)).await;
    let junit = json!({
        "attestation_name": "ut", "artifact_fingerprint": digest(1),
        "junit_results": [{"name": "s", "failures": 1, "errors": 0, "skipped": 0, "total": 4}],
    });
    let path = "/attestations/acme/runner/trail/t/junit";
    recorder.send_parts(Method::POST, path, document(&junit, None)).await;
    let override_as = async |kind: Option<&str>, is_compliant: bool| {
        let body = json!({"attestation_name": "ut", "artifact_fingerprint": digest(1),
                          "reason": "r", "new_compliance_status": is_compliant,
                          "original_attestation_type": kind});
        recorder.post("/attestations/acme/runner/trail/t/override", &body).await
    };
    let refused = override_as(Some("generic"), true).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let said = refused.body["errors"]["original_attestation_type"].as_str().unwrap().to_owned();
    assert!(said.contains("'generic'") && said.contains("'junit'"), "{said}");
    assert_eq!(recorder.runner_artifact().await["state"], "NON-COMPLIANT");
    assert_eq!(override_as(Some("junit"), true).await.status, 201);
    assert_eq!(recorder.runner_artifact().await["state"], "COMPLIANT");
    for kind in [None, Some("")] {
        let refused = override_as(kind, false).await;
        assert_eq!(refused.status, 400, "{kind:?}: {refused:?}");
    }
    assert_eq!(recorder.runner_artifact().await["state"], "COMPLIANT");
    assert_eq!(override_as(Some("junit"), false).await.status, 201);
    assert_eq!(recorder.runner_artifact().await["state"], "NON-COMPLIANT");
    let missing = json!({"attestation_name": "no", "reason": "r", "new_compliance_status": true,
                         "original_attestation_type": "junit"});
    let answer = recorder.post("/attestations/acme/runner/trail/t/override", &missing).await;
    assert_eq!(answer.status, 404, "{answer:?}");

    let custom = json!({"attestation_name": "age", "type_name": "person",
                        "artifact_fingerprint": digest(1), "attestation_data": {"age": 1}});
    let path = "/attestations/acme/runner/trail/t/custom";
    recorder.send_parts(Method::POST, path, document(&custom, None)).await;
    for (kind, status) in [("custom:dog", 400), ("junit", 400), ("custom:person", 201)] {
        let body = json!({"attestation_name": "age", "artifact_fingerprint": digest(1),
                          "reason": kind, "new_compliance_status": true,
                          "original_attestation_type": kind});
        let answer = recorder.post("/attestations/acme/runner/trail/t/override", &body).await;
        assert_eq!(answer.status, status, "{kind}: {answer:?}");
    }
}

#[tokio::test]
async fn template_version_1_is_accepted_in_any_yaml_notation_and_others_are_400() {
    let recorder = Recorder::start().await;
    let save = async |version: &str| {
        let flow = json!({"name": "runner", "description": ""});
        let template = format!("version: {version}\ntrail:\n  attestations: []\n");
        recorder.save_template("/flows/acme/template_file", &flow, &template).await
    };
    for version in ["1", "1.0", "'1'", "\"1.0\"", "0x1"] {
        let saved = save(version).await;
        assert!([200, 201].contains(&saved.status.as_u16()), "{version}: {saved:?}");
    }
    for version in ["2", "1.5", "-1", "one", "[1]", "'1.'", "1e0x", "99999999999", "", "~"] {
        let refused = save(version).await;
        assert_eq!(refused.status, 400, "{version}");
        let said = refused.message();
        assert!(said.starts_with("1 validation errors for Template: "), "{version}: {said}");
    }
}

#[tokio::test]
async fn response_to_2500_template_errors_is_shorter_than_4_kib() {
    let recorder = Recorder::start().await;
    let flow = json!({"name": "runner", "description": ""});
    let wrong = "  - {name: a, type: x}\n".repeat(2_500);
    let template = format!("version: 1\ntrail:\n  attestations:\n{wrong}");
    let refused = recorder.save_template("/flows/acme/template_file", &flow, &template).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let said = refused.message();
    assert!(said.contains(" validation errors for Template: "), "{said}");
    assert!(said.len() < 4_096, "{} bytes", said.len());
}

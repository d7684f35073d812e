//! The requests that the server's own client sent, one after the other.

use reqwest::Method;
use serde_json::{Value, json};

use super::form::multipart;
use super::recorded::recorded_requests;
use super::requests::document;
use crate::recorder::server::Recorder;

const ORG: &str = "cyber-dojo";
const RUNNER_FINGERPRINT: &str = "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";

/// The artifact to which the recorded attestations belong.
const ATTESTED_FINGERPRINT: &str =
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// The line of a request that is refused, the status, and why.
const REFUSED_REQUESTS: [(u32, u16, &str); 2] = [
    (44, 400, "`a.b` cannot be the name of an artifact in a template"),
    (62, 400, "`xxx` is neither a commit nor a fingerprint"),
];

/// Creates what the recording has before the request of this line: environment, artifacts and trails.
async fn create_prerequisites(recorder: &Recorder, line: u32) {
    match line {
        1 => {
            let body = json!({"name": "aws-prod", "type": "ECS", "description": ""});
            let made = recorder.put(&format!("/environments/{ORG}"), body.to_string()).await;
            assert_eq!(made.status, 201, "{made:?}");
        }
        // After 23 the flow is archived, and another one has its name.
        9 | 30 => {
            for trail in ["16d9990", "t", "t1"] {
                recorder.artifact(ORG, "runner", trail, ATTESTED_FINGERPRINT).await;
                recorder.artifact(ORG, "runner", trail, RUNNER_FINGERPRINT).await;
            }
            for flow in ["bad", "nulls"] {
                recorder.artifact(ORG, flow, "t", RUNNER_FINGERPRINT).await;
            }
            let trail = document(&json!({"name": "x"}), None);
            recorder.send_parts(Method::PUT, &format!("/trails/{ORG}/creator-ci"), trail).await;
            let coverage = json!({
                "attestation_name": "cov", "artifact_fingerprint": ATTESTED_FINGERPRINT, "user_data": {},
                "is_compliant": false,
            });
            let made = recorder.generic(&format!("{ORG}/runner/trail/t"), &coverage).await;
            assert_eq!(made.status, 201, "{made:?}");
        }
        // An artifact of the commit that is asked for.
        45 => {
            let body = json!({
                "fingerprint": RUNNER_FINGERPRINT, "filename": "cyberdojo/runner:16d9990",
                "git_commit": "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4", "build_url": "https://b",
                "commit_url": "https://c", "trail_name": "t1",
            });
            recorder.post(&format!("/artifacts/{ORG}/runner"), &body).await;
        }
        _ => {}
    }
}

#[tokio::test]
async fn recorded_client_requests_are_answered_200_or_201_and_501_if_not_kept() {
    let recorder = Recorder::start().await;
    let requests = recorded_requests();
    assert_eq!(requests.len(), 90);
    for request in &requests {
        create_prerequisites(&recorder, request.line).await;
        let (content_type, body) = request.body();
        let (method, path) = (request.method.parse().unwrap(), format!("/api/v2{}", request.path));
        let answer = recorder.send_typed(method, &path, &content_type, body).await;
        let (line, status) = (request.line, answer.status.as_u16());
        let refused = REFUSED_REQUESTS.iter().find(|(refused, ..)| *refused == line);
        match refused {
            Some((_, expected, why)) => assert_eq!(status, *expected, "{line}: {why}: {answer:?}"),
            None if request.not_kept => {
                // The client does not repeat a request that is answered so.
                assert_eq!(status, 501, "{line}: {answer:?}");
                assert!(answer.message().starts_with("This recorder does not keep "), "{answer:?}");
            }
            None => assert!([200, 201].contains(&status), "{line}: {answer:?}"),
        }
    }
    let ledger = recorder.get(&format!("/flows/{ORG}")).await;
    let names: Vec<_> =
        ledger.body.as_array().unwrap().iter().map(|flow| flow["name"].clone()).collect();
    assert_eq!(names, ["bad", "creator-ci", "nulls", "runner"]);
}

#[tokio::test]
async fn invalid_attestation_is_400_with_the_name_of_the_field() {
    let recorder = Recorder::start().await;
    recorder.artifact("acme", "runner", "t", RUNNER_FINGERPRINT).await;
    let cases = [
        ("generic", json!({}), "attestation_name"),
        ("generic", json!({"attestation_name": "a b", "is_compliant": true}), "attestation_name"),
        ("generic", json!({"attestation_name": "a"}), "is_compliant"),
        ("generic", json!({"attestation_name": "a", "is_compliant": "true"}), "is_compliant"),
        ("junit", json!({"attestation_name": "a", "junit_results": {}}), "junit_results"),
        (
            "junit",
            json!({"attestation_name": "a", "junit_results": [{"name": "s"}]}),
            "junit_results",
        ),
        (
            "snyk",
            json!({"attestation_name": "a", "snyk_results": {"results": [1]}}),
            "snyk_results",
        ),
        ("jira", json!({"attestation_name": "a", "jira_results": [{}]}), "jira_results"),
        ("custom", json!({"attestation_name": "a", "attestation_data": 1}), "type_name"),
        ("system", json!({"attestation_name": "a", "type_name": "x"}), "type_name"),
        (
            "generic",
            json!({"attestation_name": "a", "is_compliant": true, "artifact_fingerprint": "ab"}),
            "artifact_fingerprint",
        ),
        (
            "generic",
            json!({"attestation_name": "a", "is_compliant": true, "git_commit_info": {}}),
            "git_commit_info.sha1",
        ),
        (
            "generic",
            json!({"attestation_name": "a", "is_compliant": true, "annotations": {"a b": "c"}}),
            "annotations",
        ),
        (
            "generic",
            json!({"attestation_name": "a", "is_compliant": true,
                   "external_urls": {"x": {"url": "u"}}}),
            "external_urls.x.href",
        ),
    ];
    for (kind, body, field) in cases {
        let path = format!("/attestations/acme/runner/trail/t/{kind}");
        let answer = recorder.send_parts(Method::POST, &path, document(&body, None)).await;
        assert_eq!(answer.status, 400, "{body} {answer:?}");
        let errors = answer.body["errors"].as_object().unwrap_or_else(|| panic!("{answer:?}"));
        let named: Vec<_> = errors.keys().filter(|name| name.starts_with(field)).collect();
        assert_eq!(named.len(), 1, "{body} {answer:?}");
    }
    let sent =
        json!({"attestation_name": "a", "target_artifacts": ["runner"], "is_compliant": true});
    let answer = recorder.generic("acme/runner/trail/t", &sent).await;
    assert_eq!(answer.status, 400);
    let wanted = "requires at least one of: artifact_fingerprint or git_commit_info.";
    assert!(answer.message().contains(wanted), "{answer:?}");
}

#[tokio::test]
async fn attestation_body_that_is_no_form_is_400_too_large_is_413_and_nothing_is_stored() {
    let recorder = Recorder::start().await;
    let path = "/attestations/acme/runner/trail/t/generic";
    let good = json!({"attestation_name": "a", "is_compliant": true});
    let file = |size: usize| document(&good, Some(("attachment_file", &vec![b'x'; size])));
    let too_long = json!({"attestation_name": "a", "is_compliant": true,
                          "user_data": "x".repeat(1 << 20)});
    for (body, status) in [
        (b"{}".to_vec(), 400),
        (Vec::new(), 400),
        (multipart(&[]), 400),
        (multipart(&[("form-data; name=\"x\"", None, b"{}")]), 400),
        (multipart(&[("form-data; name=\"data_json\"", None, b"[]")]), 400),
        (multipart(&[("form-data; name=\"data_json\"", None, b"\xff")]), 400),
        (multipart(&[("form-data; name=\"data_json\"", None, &b"{}"[..]); 2]), 400),
        (document(&too_long, None), 413),
        (file((10 << 20) + 1), 413),
        (file(40 << 20), 413),
        (file(10 << 20), 201),
    ] {
        let size = body.len();
        let answer = recorder.send_parts(Method::POST, path, body).await;
        assert_eq!(answer.status, status, "{size} bytes: {answer:?}");
    }
    let not_a_form =
        recorder.send(Method::POST, &format!("/api/v2{path}"), Some("any"), "{}").await;
    assert_eq!(not_a_form.status, 400, "{not_a_form:?}");
    let flows = recorder.get("/flows/acme").await;
    assert_eq!(flows.body.as_array().unwrap().len(), 1, "the one of the report that was taken");
}

#[tokio::test]
async fn flow_template_decides_the_compliance_state_and_an_invalid_one_is_400() {
    let recorder = Recorder::start().await;
    let save = async |template: &str| {
        let body = document(
            &json!({"name": "runner", "description": "d"}),
            Some(("template_file", template.as_bytes())),
        );
        recorder.send_parts(Method::PUT, "/flows/acme/template_file", body).await
    };
    let bad = save("version: 1\ntrail:\n  attestations:\n  - {name: a, type: xunit}\n").await;
    assert_eq!(bad.status, 400);
    assert!(bad.message().starts_with("1 validation errors for Template: "), "{bad:?}");
    let good = "version: 1\ntrail:\n  artifacts:\n  - name: runner\n    attestations:\n    - {name: unit-test, type: junit}\n";
    assert_eq!(save(good).await.status, 201);
    assert_eq!(save(good).await.status, 200);
    recorder.artifact("acme", "runner", "t", RUNNER_FINGERPRINT).await;
    let state = async || {
        let artifact = recorder.get("/artifacts/acme/runner/fingerprint/9af401c").await;
        let trail = recorder.get("/trails/acme/runner/t").await;
        let status = &trail.body["compliance_status"];
        let of_artifact = &status["artifacts_statuses"]["runner"]["status"];
        let found = [&artifact.body["state"], &trail.body["compliance_state"], of_artifact];
        found.map(|state: &Value| state.as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(state().await, ["INCOMPLETE"; 3]);
    let report = async |failures: u64| {
        let body = json!({
            "attestation_name": "unit-test", "artifact_fingerprint": RUNNER_FINGERPRINT, "user_data": {},
            "junit_results": [{"name": "s", "failures": failures, "errors": 0, "skipped": 0, "total": 4}],
        });
        let path = "/attestations/acme/runner/trail/t/junit";
        let answer = recorder.send_parts(Method::POST, path, document(&body, None)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    };
    report(1).await;
    assert_eq!(state().await, ["NON-COMPLIANT"; 3]);
    report(0).await;
    assert_eq!(state().await, ["COMPLIANT"; 3]);
}

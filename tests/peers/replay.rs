//! What the `kosli` client once sent is read back by the client, field by field.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::programs::{ProgramOutput, command, envsnap};
use crate::recorder::{ENVIRONMENT, ORG, Recorder, WRITE_TOKEN};
use recorded::{RecordedRequest, recorded_requests};

#[path = "../it/recorder/provenance/form.rs"]
mod form;
#[path = "../it/recorder/provenance/recorded.rs"]
mod recorded;

/// The artifact to which the recorded attestations belong.
const ATTESTED_FINGERPRINT: &str =
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// The line of the request with the name `a.b` for an artifact in a template, which is refused.
const REFUSED_LINE: u32 = 44;

/// Fields that no command of the client prints.
const UNREAD_FIELDS: [&str; 2] = ["remove_tags", "commits_list"];

/// Sends a request, which the recorder must accept.
async fn send(recorder: &Recorder, method: Method, path: &str, content_type: &str, body: Vec<u8>) {
    let url = format!("{}/api/v2{path}", recorder.url);
    let request = reqwest::Client::new().request(method, url).bearer_auth(WRITE_TOKEN);
    let response = request.header("content-type", content_type).body(body).send().await.unwrap();
    let status = response.status();
    let answer = response.text().await.unwrap();
    assert!([StatusCode::OK, StatusCode::CREATED].contains(&status), "{path}: {status} {answer}");
}

async fn send_json(recorder: &Recorder, method: Method, path: &str, body: &Value) {
    send(recorder, method, path, "application/json", body.to_string().into_bytes()).await;
}

/// Creates what the recording has before the request of this line.
async fn create_prerequisites(recorder: &Recorder, line: u32) {
    match line {
        1 => {
            let environment = json!({"name": ENVIRONMENT, "type": "ECS", "description": ""});
            send_json(recorder, Method::PUT, &format!("/environments/{ORG}"), &environment).await;
        }
        // After 23 the flow is archived, and another one has its name.
        9 | 30 => {
            for trail in ["16d9990", "t"] {
                let artifact = json!({
                    "fingerprint": ATTESTED_FINGERPRINT, "filename": "runner", "trail_name": trail,
                    "git_commit": "4d9c2bcb8922c2e98149143c1e7dc907197dbd3b", "build_url": "https://b",
                    "commit_url": "https://c",
                });
                let path = format!("/artifacts/{ORG}/runner");
                send_json(recorder, Method::POST, &path, &artifact).await;
            }
            // The one that line 12 overrides.
            let coverage = json!({
                "attestation_name": "cov", "artifact_fingerprint": ATTESTED_FINGERPRINT,
                "user_data": {}, "is_compliant": false,
            });
            let parts =
                [("form-data; name=\"data_json\"", None, &*coverage.to_string().into_bytes())];
            let path = format!("/attestations/{ORG}/runner/trail/t/generic");
            let body = form::multipart(&parts);
            send(recorder, Method::POST, &path, &form::multipart_type(), body).await;
        }
        _ => {}
    }
}

/// The JSON that a request sends.
fn document(request: &RecordedRequest) -> Value {
    let first = request.parts.first().map(|part| &part.data);
    serde_json::from_str(first.or(request.body.as_ref()).unwrap()).unwrap()
}

async fn kosli(recorder: &Recorder, arguments: &[&str]) -> ProgramOutput {
    let mut kosli = command("kosli");
    kosli.args(arguments).args(["-o", "json"]).envs(recorder.variables());
    ProgramOutput::run(&mut kosli).await
}

/// What the client, or `envsnap` where the client has no command for it, prints of what a request
/// to this path wrote. Of several attestations of a name, the latest.
async fn read_back(recorder: &Recorder, path: &str, sent: &Value) -> Value {
    let text = |field: &str| sent[field].as_str().unwrap_or_default();
    let parts: Vec<_> = path.split('/').skip(1).collect();
    let artifact;
    let arguments = match parts[..] {
        ["flows", _, _, "rename"] => vec!["get", "flow", text("new_name")],
        ["flows", ..] => vec!["get", "flow", text("name")],
        ["trails", _, flow] => vec!["get", "trail", text("name"), "--flow", flow],
        ["artifacts", _, flow] => {
            artifact = format!("{flow}@{}", text("fingerprint"));
            vec!["get", "artifact", &artifact]
        }
        ["attestations", _, flow, "trail", trail, _] => {
            let name = text("attestation_name");
            vec!["get", "attestation", name, "--flow", flow, "--trail", trail]
        }
        ["tags", _, "flow", flow] => vec!["get", "flow", flow],
        ["allowlists", _, environment] => {
            let mut envsnap = envsnap();
            envsnap.args(["allow", "--list", environment, "-o", "json"]);
            let printed = ProgramOutput::run(envsnap.envs(recorder.variables())).await.success();
            let mut entry = serde_json::from_str::<Value>(&printed).unwrap()[0].take();
            // The only field with another name in the list.
            entry["artifact_fingerprint"] = entry["fingerprint"].take();
            return entry;
        }
        _ => panic!("no command reads {path}"),
    };
    let printed = kosli(recorder, &arguments).await.success();
    let printed: Value = serde_json::from_str(&printed).unwrap();
    match printed {
        Value::Array(mut found) => found.swap_remove(0),
        one => one,
    }
}

/// The field and the value in which answers have what was sent in this field.
fn answered(field: &str, value: &Value) -> (String, Value) {
    let (field, value) = match (field, value.as_str()) {
        ("new_name", _) => ("name", value.clone()),
        ("set_tags", _) => ("tags", value.clone()),
        ("type_name", Some("person")) => ("attestation_type", json!("custom:person")),
        ("type_name" | "original_attestation_type", _) => ("attestation_type", value.clone()),
        ("new_compliance_status", _) => ("is_compliant", value.clone()),
        // The names of evidence that the first version of the API took.
        ("template", _) => {
            let names = value.as_array().unwrap().split_last().unwrap().1;
            let wanted: Vec<_> =
                names.iter().map(|name| json!({"name": name, "type": "*"})).collect();
            let artifact = json!({"name": "artifact", "attestations": wanted});
            ("template", json!({"version": 1, "trail": {"artifacts": [artifact]}}))
        }
        _ => (field, value.clone()),
    };
    (field.to_owned(), value)
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn each_field_that_the_client_sent_is_read_back_by_the_client() {
    let recorder = Recorder::start().await;
    let mut lines = Vec::new();
    for request in recorded_requests() {
        let line = request.line;
        create_prerequisites(&recorder, line).await;
        if request.method == "GET" || request.not_kept || line == REFUSED_LINE {
            continue;
        }
        let (content_type, body) = request.body();
        let method = request.method.parse().unwrap();
        send(&recorder, method, &request.path, &content_type, body).await;
        lines.push(line);
        if request.path.ends_with("/archive") {
            let archived = kosli(&recorder, &["get", "flow", "runner"]).await;
            assert!(archived.stderr.contains("'runner' does not exist"), "{line}: {archived:?}");
            continue;
        }
        let sent = document(&request);
        let answer = read_back(&recorder, &request.path, &sent).await;
        for (field, value) in sent.as_object().unwrap() {
            let (name, wanted) = answered(field, value);
            let mut found = answer[&name].clone();
            if field == "template" {
                found = serde_json::from_str(found.as_str().unwrap()).unwrap();
            }
            let is_read = !UNREAD_FIELDS.contains(&&**field);
            assert!(!is_read || found == wanted, "{line}: {field}: {wanted}: {answer}");
        }
    }
    assert_eq!(
        lines,
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 17, 18, 22, 23, 30, 31, 33, 36, 40, 41, 43]
    );
}

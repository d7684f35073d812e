//! The names of flows and of what they report, from the first one to the archive.

use reqwest::Method;
use serde_json::{Value, json};

use super::requests::document;
use crate::recorder::server::{Answer, Recorder, digest, task};

impl Recorder {
    async fn save_flow(&self, name: &str, description: &str) -> Answer {
        let body = document(&json!({"name": name, "description": description}), None);
        self.send_parts(Method::PUT, "/flows/acme/template_file", body).await
    }

    async fn flow_names(&self) -> Vec<String> {
        let flows = self.get("/flows/acme").await.body;
        let names = flows.as_array().unwrap().iter().map(|flow| flow["name"].as_str().unwrap());
        names.map(str::to_owned).collect()
    }

    async fn rename_flow(&self, flow: &str, new_name: &str) -> Answer {
        let body = json!({"new_name": new_name}).to_string();
        self.put(&format!("/flows/acme/{flow}/rename"), body).await
    }
}

#[tokio::test]
async fn flows_trails_and_attestations_may_be_named_like_path_segments_of_the_api() {
    let recorder = Recorder::start().await;
    let (flow, trail) = ("template_file", "override");
    assert_eq!(recorder.save_flow(flow, "d").await.status, 201);
    recorder.artifact("acme", flow, trail, &digest(1)).await;
    for name in ["override", "attestation", "generic", "evidence", "trail"] {
        let body = json!({"attestation_name": name, "is_compliant": true,
                          "artifact_fingerprint": digest(1)});
        let path = format!("/attestations/acme/{flow}/trail/{trail}/generic");
        let body = document(&body, Some(("attachment_file", name.as_bytes())));
        assert_eq!(recorder.send_parts(Method::POST, &path, body).await.status, 201);
        let path = format!("/attestations/acme/{flow}/trail/{trail}/{name}");
        let found = recorder.get(&path).await;
        assert_eq!(found.status, 200, "{found:?}");
        assert_eq!(found.body[0]["attestation_name"], name, "{found:?}");
        let file =
            format!("{}{}", recorder.url, found.body[0]["_links"]["evidence"].as_str().unwrap());
        assert_eq!(reqwest::get(file).await.unwrap().text().await.unwrap(), name);
        let path = format!("/attestations/acme/{flow}/artifact/01010/{name}");
        assert_eq!(recorder.get(&path).await.body[0]["attestation_name"], name);
    }
    let shown = recorder.get(&format!("/flows/acme/{flow}")).await;
    assert_eq!((shown.status.as_u16(), &shown.body["name"]), (200, &json!(flow)), "{shown:?}");
    for path in [
        format!("/trails/acme/{flow}"),
        format!("/trails/acme/{flow}/{trail}"),
        format!("/artifacts/acme/{flow}/fingerprint/01010"),
        format!("/attestations/acme/{flow}"),
        format!("/deployments/acme/{flow}"),
    ] {
        assert_eq!(recorder.get(&path).await.status, 200, "{path}");
    }
    let tags = json!({"set_tags": {"a": "b"}}).to_string();
    let path = format!("/api/v2/tags/acme/flow/{flow}");
    assert_eq!(recorder.send(Method::PATCH, &path, Some("any"), tags).await.status, 200);
    assert_eq!(recorder.rename_flow(flow, "rename").await.status, 200);
    assert_eq!(recorder.rename_flow("rename", flow).await.status, 200);
    assert_eq!(recorder.put(&format!("/flows/acme/{flow}/archive"), "null").await.status, 200);
}

#[tokio::test]
async fn template_reference_name_that_looks_like_a_fingerprint_is_rejected() {
    let recorder = Recorder::start().await;
    let body = json!({
        "fingerprint": digest(1), "filename": "a", "git_commit": "16d9990", "build_url": "https://b",
        "commit_url": "https://c", "trail_name": "t", "template_reference_name": digest(2),
    });
    let refused = recorder.post("/artifacts/acme/runner", &body).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let said = &refused.body["errors"]["template_reference_name"];
    assert_eq!(said, "must not have the form of a fingerprint", "{refused:?}");
}

#[tokio::test]
async fn old_name_of_a_renamed_flow_works_until_another_flow_takes_it() {
    let recorder = Recorder::start().await;
    recorder.save_flow("old", "the first").await;
    assert_eq!(recorder.rename_flow("old", "new").await.status, 200);
    recorder.artifact("acme", "old", "t", &digest(1)).await;
    let by_old_name = recorder.get("/artifacts/acme/old/fingerprint/01010").await.body;
    assert_eq!(by_old_name["flow_name"], "new", "{by_old_name}");
    assert_eq!(recorder.get("/flows/acme/old").await.body["name"], "new");

    // Creating one takes the name, and leaves the other as it is.
    assert_eq!(recorder.save_flow("old", "the second").await.status, 201);
    assert_eq!(recorder.save_flow("old", "the second").await.status, 200);
    assert_eq!(recorder.flow_names().await, ["new", "old"]);
    let first = recorder.get("/flows/acme/new").await.body;
    assert_eq!(first["description"], "the first", "{first}");
    assert_eq!(recorder.get("/flows/acme/old").await.body["description"], "the second");
    let gone = recorder.get("/artifacts/acme/old/fingerprint/01010").await;
    assert_eq!(gone.status, 404, "{gone:?}");
    assert_eq!(recorder.get("/artifacts/acme/new/fingerprint/01010").await.status, 200);
}

fn flow_name_of_first_artifact(snapshot: &Value) -> &Value {
    &snapshot["artifacts"][0]["flows"][0]["flow_name"]
}

#[tokio::test]
async fn archived_flow_is_hidden_from_lists_readable_by_its_new_name_and_not_writable() {
    let recorder = Recorder::start().await;
    recorder.create("web", None).await;
    let mut archived = Vec::new();
    // Twice in the same second.
    for byte in [1, 2] {
        recorder.artifact("acme", "runner", "t", &digest(byte)).await;
        let body = json!({"artifact_fingerprint": digest(byte), "environment": "web"});
        assert_eq!(recorder.post("/deployments/acme/runner", &body).await.status, 201);
        recorder.report("web", &[task(1, "web:1", &digest(byte), 1_661_161_162)]).await;
        assert_eq!(recorder.put("/flows/acme/runner/archive", "null").await.status, 200);
        let snapshot = recorder.get("/snapshots/acme/web/-1").await.body;
        let name = flow_name_of_first_artifact(&snapshot).as_str().unwrap().to_owned();
        assert!(name.starts_with("runner-archived-at-16611611"), "{name}");
        assert_eq!(snapshot["artifacts"][0]["origin"]["status"], "known", "{snapshot}");
        archived.push(name);
    }
    assert_ne!(archived[0], archived[1]);
    assert_eq!(recorder.flow_names().await, Vec::<String>::new());
    assert_eq!(recorder.get("/artifacts/acme").await.body, json!([]));
    assert_eq!(recorder.get("/trails/acme").await.body["data"], json!([]));
    for path in ["/flows/acme/runner", "/trails/acme/runner/t", "/trails/acme?flow=runner"] {
        assert_eq!(recorder.get(path).await.status, 404, "{path}");
    }
    // By its last name everything is there, …
    for (name, byte) in archived.iter().zip([1_u8, 2]) {
        assert_eq!(recorder.get(&format!("/flows/acme/{name}")).await.body["name"], **name);
        let artifacts = recorder.get(&format!("/artifacts/acme?flow_name={name}")).await.body;
        assert_eq!(artifacts[0]["fingerprint"], digest(byte), "{artifacts}");
        let trails = recorder.get(&format!("/trails/acme?flow={name}")).await.body;
        assert_eq!(trails["data"][0]["name"], "t", "{trails}");
        let trail = recorder.get(&format!("/trails/acme/{name}/t")).await;
        assert_eq!(trail.status, 200, "{trail:?}");
        let deployments = recorder.get(&format!("/deployments/acme/{name}")).await.body;
        assert_eq!(deployments[0]["artifact_fingerprint"], digest(byte), "{deployments}");
        let found = recorder.get(&format!("/search/acme/sha/{}", digest(byte))).await.body;
        assert_eq!(found["artifacts"][0]["flow"], **name, "{found}");
    }
    // … and nothing can be changed.
    let name = &archived[0];
    let artifact = json!({
        "fingerprint": digest(3), "filename": "a", "git_commit": "16d9990", "build_url": "https://b",
        "commit_url": "https://c", "trail_name": "t",
    });
    let attestation = document(&json!({"attestation_name": "a", "is_compliant": true}), None);
    let evidence = format!("/attestations/acme/{name}/trail/t/generic");
    let trail = document(&json!({"name": "t2"}), None);
    let deployment = json!({"artifact_fingerprint": digest(1), "environment": "web"});
    for refused in [
        recorder.post(&format!("/artifacts/acme/{name}"), &artifact).await,
        recorder.send_parts(Method::POST, &evidence, attestation).await,
        recorder.send_parts(Method::PUT, &format!("/trails/acme/{name}"), trail).await,
        recorder.post(&format!("/deployments/acme/{name}"), &deployment).await,
        recorder.save_flow(name, "d").await,
        recorder.rename_flow(name, "x").await,
        recorder.put(&format!("/flows/acme/{name}/archive"), "null").await,
    ] {
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(refused.message().contains("is archived"), "{refused:?}");
    }
    // Its first name is free.
    assert_eq!(recorder.save_flow("runner", "d").await.status, 201);
    assert_eq!(recorder.get("/trails/acme?flow=runner").await.body["data"], json!([]));
}

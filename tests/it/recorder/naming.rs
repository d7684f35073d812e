use reqwest::StatusCode;
use serde_json::{Value, json};

use super::server::{Answer, Recorder, digest, task};

async fn rename(recorder: &Recorder, name: &str, new_name: &str) -> Answer {
    let body = json!({"new_name": new_name}).to_string();
    recorder.put(&format!("/environments/acme/{name}/rename"), body).await
}

/// Paths of everything that can be read of an environment.
fn read_paths(name: &str) -> [String; 6] {
    [
        format!("/environments/acme/{name}"),
        format!("/environments/acme/{name}/events"),
        format!("/snapshots/acme/{name}"),
        format!("/snapshots/acme/{name}/-1"),
        format!("/env-diff/acme?snappish1={name}&snappish2={name}"),
        format!("/env-diff/acme?snappish1=other&snappish2={name}"),
    ]
}

/// `reason` is the end of the message.
async fn assert_gone(recorder: &Recorder, name: &str, reason: &str) {
    let gone = format!("Environment named '{name}' does not exist for organization 'acme'{reason}");
    for path in read_paths(name) {
        let answer = recorder.get(&path).await;
        assert_eq!((answer.status, answer.message()), (StatusCode::NOT_FOUND, &*gone), "{path}");
    }
    let report = json!({"artifacts": []}).to_string();
    for (path, body) in
        [("report/ECS", &*report), ("archive", "null"), ("rename", r#"{"new_name":"x"}"#)]
    {
        let answer =
            recorder.put(&format!("/environments/acme/{name}/{path}"), body.to_owned()).await;
        assert_eq!((answer.status, answer.message()), (StatusCode::NOT_FOUND, &*gone), "{path}");
    }
}

/// A recorder with two snapshots in `env`, and one in `other`.
async fn recorded() -> Recorder {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    recorder.create("other", None).await;
    for byte in 1..=2 {
        recorder.report("env", &[task(1, "web", &digest(byte), 10)]).await;
        recorder.advance(60.0);
    }
    recorder.report("other", &[task(1, "web", &digest(1), 10)]).await;
    recorder
}

#[tokio::test]
async fn renamed_environment_keeps_its_history_and_frees_its_old_name() {
    let recorder = recorded().await;
    let history = recorder.get("/snapshots/acme/env").await.body;
    let done = rename(&recorder, "env", "renamed").await;
    assert_eq!((done.status, done.body), (StatusCode::OK, json!("OK")));

    assert_gone(&recorder, "env", "").await;
    assert_eq!(recorder.get("/snapshots/acme/renamed").await.body, history);
    assert_eq!(recorder.get("/environments/acme/renamed").await.body["name"], "renamed");
    let events = recorder.get("/environments/acme/renamed/events").await.body;
    assert_eq!(events[0]["environment_name"], "renamed");
    assert_eq!(recorder.report("renamed", &[task(1, "web", &digest(3), 10)]).await, 201);
    assert_eq!(recorder.latest("renamed").await.index, 3);

    // The old name is free.
    recorder.create("env", None).await;
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(3), 10)]).await, 201);
    assert_eq!(recorder.latest("env").await.index, 1);
}

#[tokio::test]
async fn rename_to_a_taken_or_invalid_name_is_refused() {
    let recorder = recorded().await;
    let taken = rename(&recorder, "env", "other").await;
    assert_eq!(taken.status, StatusCode::BAD_REQUEST);
    let exists = "Environment named 'other' already exists for organization 'acme'";
    assert_eq!(taken.message(), exists);
    recorder.put("/environments/acme/other/archive", "null").await;
    let archived = rename(&recorder, "env", "other").await;
    assert_eq!(archived.message(), format!("{exists}, and is archived"));

    for name in ["", "-a", "a b", "a/b", "a~b", "a#1", "é"] {
        let refused = rename(&recorder, "env", name).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{name}");
        assert_eq!(
            refused.message(),
            format!(
                "'{name}' is an invalid name for environments. Valid names should start with an \
                 alphanumeric and only contain alphanumeric characters, '.', '-' and '_'."
            )
        );
    }
    for body in [json!(null), json!({}), json!({"new_name": 1}), json!({"new_name": "a", "x": 1})] {
        let refused = recorder.put("/environments/acme/env/rename", body.to_string()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(refused.message(), "Input payload validation failed");
    }
    assert_eq!(rename(&recorder, "env", "env").await.status, StatusCode::OK);
    assert_eq!(recorder.latest("env").await.index, 2);
    assert_eq!(rename(&recorder, "nowhere", "env").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn rename_is_followed_by_logical_environments_that_include_the_environment() {
    let recorder = recorded().await;
    for (name, included) in [("all", vec!["env", "other"]), ("some", vec!["other"])] {
        let body = json!({
            "name": name, "type": "logical", "description": "", "included_environments": included,
        });
        recorder.put("/environments/acme", body.to_string()).await;
    }
    rename(&recorder, "env", "renamed").await;
    let included = async |name: &str| -> Value {
        recorder.get(&format!("/environments/acme/{name}")).await.body["included_environments"]
            .clone()
    };
    assert_eq!(included("all").await, json!(["renamed", "other"]));
    assert_eq!(included("some").await, json!(["other"]));
    assert_eq!(included("other").await, Value::Null);
}

#[tokio::test]
async fn an_archived_environment_is_hidden_until_it_is_created_again() {
    let recorder = recorded().await;
    let history = recorder.get("/snapshots/acme/env").await.body;
    // The server's own client sends `null`; others send nothing.
    for (name, body) in [("env", "null"), ("other", "")] {
        let path = format!("/environments/acme/{name}/archive");
        let done = recorder.put(&path, body).await;
        assert_eq!((done.status, done.body), (StatusCode::OK, json!("OK")), "{name}");
        if name == "env" {
            assert_gone(&recorder, name, ": it is archived").await;
        }
    }
    assert_eq!(recorder.get("/environments/acme").await.body, json!([]));
    assert_eq!(recorder.get("/environments/acme?page=1").await.body["total_count"], 0);

    let body = json!({"name": "env", "type": "logical", "description": ""}).to_string();
    let refused = recorder.put("/environments/acme", body).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "its snapshots are of ECS");
    recorder.create("env", None).await;
    assert_eq!(recorder.get("/snapshots/acme/env").await.body, history, "nothing is lost");
    assert_eq!(recorder.report("env", &[task(1, "web", &digest(2), 10)]).await, 200);
    assert_eq!(recorder.get("/environments/acme").await.body[0]["name"], "env");
}

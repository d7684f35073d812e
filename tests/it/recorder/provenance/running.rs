//! What runs, and where it comes from.

use reqwest::Method;
use serde_json::{Value, json};

use super::requests::{COMMIT, document};
use crate::recorder::server::{Recorder, digest, task};

/// The `origin` of the artifact with this name in a snapshot.
fn origin(snapshot: &Value, name: &str) -> Value {
    let artifacts = snapshot["artifacts"].as_array().unwrap();
    let found = artifacts.iter().find(|artifact| artifact["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {snapshot}"))["origin"].clone()
}

#[tokio::test]
async fn snapshots_diffs_and_events_carry_the_flow_and_the_commit() {
    let recorder = Recorder::start().await;
    recorder.create("web", None).await;
    recorder.artifact("acme", "promotion", "t", &digest(1)).await;
    recorder.advance(1.0);
    recorder.artifact("acme", "runner", "t", &digest(1)).await;
    recorder.advance(60.0);
    let known = task(1, "web:1", &digest(1), 1_661_161_222);
    recorder.report("web", &[known.clone(), task(2, "web:2", &digest(2), 1_661_161_222)]).await;

    let snapshot = recorder.get("/snapshots/acme/web/-1").await.body;
    let artifact = &snapshot["artifacts"][0];
    let flows = artifact["flows"].as_array().unwrap();
    let names: Vec<_> = flows.iter().map(|flow| &flow["flow_name"]).collect();
    assert_eq!(names, ["promotion", "runner"], "{artifact}");
    assert_eq!(artifact["flow_name"], "promotion");
    assert_eq!(artifact["commit_url"], "https://c/1");
    assert_eq!(flows[1]["state"], "COMPLIANT");
    assert_eq!(flows[1]["reported_at"], 1_661_161_163.5);
    assert_eq!(origin(&snapshot, "web:1")["status"], "known");
    assert_eq!(origin(&snapshot, "web:2")["status"], "rogue");

    let events = recorder.get("/environments/acme/web/events").await.body;
    let pipelines: Vec<_> =
        events.as_array().unwrap().iter().map(|event| &event["pipeline"]).collect();
    assert_eq!(pipelines.len(), 2);
    assert!(pipelines.contains(&&json!("promotion")) && pipelines.contains(&&json!("")));

    recorder.advance(60.0);
    recorder.report("web", std::slice::from_ref(&known)).await;
    let diff = recorder.get("/env-diff/acme?snappish1=web%231&snappish2=web%232").await.body;
    assert_eq!(diff["not-changed"]["artifacts"][0]["flow"], "promotion", "{diff}");
    assert_eq!(diff["not-changed"]["artifacts"][0]["commit_url"], "https://c/1");
    assert_eq!(diff["snappish1"]["artifacts"][0]["flow"], Value::Null);
}

#[tokio::test]
async fn snapshot_filtered_by_origin_has_only_those_artifacts_and_counts_all() {
    let recorder = Recorder::start().await;
    recorder.create("web", None).await;
    // Number 5 replaces 1, which exits, and not 2, which runs on.
    recorder.artifact("acme", "runner", "t", &digest(1)).await;
    recorder.advance(60.0);
    let run =
        |number: u8| task(number.into(), &format!("web:{number}"), &digest(number), 1_661_161_222);
    let sidecar = task(7, "aws-guardduty-agent-1", &digest(7), 1_661_161_222);
    let without_digest = task(8, "web:8", "", 1_661_161_222);
    let always = [run(2), run(3), sidecar, without_digest];
    for number in [1, 5] {
        let running: Vec<_> = always.iter().cloned().chain([run(number)]).collect();
        recorder.report("web", &running).await;
        recorder.advance(60.0);
    }
    for number in [2, 5] {
        recorder.artifact("acme", "runner", "t", &digest(number)).await;
    }
    let unfiltered = recorder.get("/snapshots/acme/web/-1").await.body;
    assert!(unfiltered.to_string().contains("previous_git_commit"), "{unfiltered}");
    let with_names = |names: &[&str]| {
        let mut snapshot = unfiltered.clone();
        let artifacts = snapshot["artifacts"].as_array_mut().unwrap();
        artifacts.retain(|artifact| names.iter().any(|name| artifact["name"] == *name));
        assert_eq!(artifacts.len(), names.len(), "{unfiltered}");
        for artifact in artifacts {
            // What it replaced may be left out.
            artifact["deployment_diff"] = Value::Null;
            for flow in artifact["flows"].as_array_mut().unwrap() {
                flow["deployment_diff"] = Value::Null;
            }
        }
        snapshot
    };
    for (query, names) in [
        ("origin=known", &["web:1"][..]),
        ("origin=late&origin=rogue", &["web:2", "web:3", "web:5"]),
        ("origin=rogue&unrelated=1&origin=rogue", &["web:3"]),
        ("origin=allowed", &["aws-guardduty-agent-1"]),
        ("origin=unknown", &["web:8"]),
    ] {
        let found = recorder.get(&format!("/snapshots/acme/web/-1?{query}")).await.body;
        assert_eq!(found, with_names(names), "{query}");
    }
    for query in ["origin=rogue&origin=new", "origin=", "origin=rogue,late"] {
        let refused = recorder.get(&format!("/snapshots/acme/web/-1?{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
        let text = refused.body.to_string();
        assert!(text.contains("must be one of known, allowed, late, unknown, rogue"), "{text}");
    }
}

#[tokio::test]
async fn started_artifact_has_a_deployment_diff_to_the_build_that_it_replaced() {
    let recorder = Recorder::start().await;
    recorder.create("web", None).await;
    for (number, name) in [(1, "runner"), (2, "runner"), (3, "saver")] {
        let commit = number.to_string().repeat(40);
        let body = json!({
            "fingerprint": digest(number), "filename": format!("runner:{number}"),
            "git_commit": commit, "build_url": "https://b",
            "commit_url": format!("https://github.com/a/b/commit/{commit}"),
            "trail_name": format!("t{number}"), "template_reference_name": name,
        });
        assert_eq!(recorder.post("/artifacts/acme/runner", &body).await.status, 201);
    }
    let running = |numbers: &[u8]| -> Vec<Value> {
        let run =
            |number: &u8| task((*number).into(), &format!("web:{number}"), &digest(*number), 1);
        numbers.iter().map(run).collect()
    };
    // Another artifact of the flow; a rollover; a stop; a roll-back; and a start from nothing.
    let history: [&[u8]; 7] = [&[1], &[1, 3], &[1, 2, 3], &[2, 3], &[1, 3], &[], &[2]];
    let mut found = Vec::new();
    for (index, numbers) in (1..).zip(history) {
        recorder.advance(60.0);
        recorder.report("web", &running(numbers)).await;
        let snapshot = recorder.get(&format!("/snapshots/acme/web/{index}")).await.body;
        for artifact in snapshot["artifacts"].as_array().unwrap() {
            assert_eq!(artifact["flows"][0]["deployment_diff"], artifact["deployment_diff"]);
            if !artifact["deployment_diff"].is_null() {
                found.push((index, artifact["name"].clone(), artifact["deployment_diff"].clone()));
            }
        }
    }
    let diff = |old: u8, new: u8, is_running: bool| {
        let [old_commit, new_commit] = [old, new].map(|number| number.to_string().repeat(40));
        json!({
            "diff_url": format!("https://github.com/a/b/compare/{old_commit}...{new_commit}"),
            "previous_git_commit": old_commit,
            "previous_git_commit_url": format!("https://github.com/a/b/commit/{old_commit}"),
            "previous_fingerprint": digest(old), "previous_artifact_name": format!("web:{old}"),
            "previous_artifact_compliance_state": "COMPLIANT", "previous_running": is_running,
            "previous_trail_name": format!("t{old}"), "previous_template_reference_name": "runner",
        })
    };
    // The roll-back replaced the build that ran, not an older one.
    let expected = [(3, json!("web:2"), diff(1, 2, true)), (5, json!("web:1"), diff(2, 1, false))];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn artifact_reported_after_its_start_is_late_with_the_delay_until_it_is_allowed() {
    let recorder = Recorder::start().await;
    recorder.create("web", None).await;
    let started = 1_661_161_162;
    recorder.report("web", &[task(1, "miner:1", &digest(7), started)]).await;
    recorder.advance(600.0);
    recorder.artifact("acme", "runner", "t", &digest(7)).await;
    let latest = async || recorder.get("/snapshots/acme/web/-1").await.body;
    let late = origin(&latest().await, "miner:1");
    assert_eq!(late["status"], "late");
    assert_eq!(late["first_started_at"], started);
    assert_eq!(late["delay"], 600.5, "{late}");

    let allow =
        json!({"artifact_fingerprint": digest(7), "artifact_name": "m", "description": "ok"});
    let answer = recorder.put("/allowlists/acme/web", allow.to_string()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let allowed = origin(&latest().await, "miner:1");
    assert_eq!((&allowed["status"], &allowed["allowed"]), (&json!("allowed"), &json!("ok")));
    let list = recorder.get("/allowlists/acme").await.body;
    assert_eq!(list[0]["environment_name"], "web", "{list}");
    let path = format!("/api/v2/allowlists/acme/entries/{}", list[0]["id"].as_str().unwrap());
    assert_eq!(recorder.send(Method::DELETE, &path, Some("any"), "").await.status, 200);
    assert_eq!(origin(&latest().await, "miner:1")["status"], "late");
    assert_eq!(recorder.send(Method::DELETE, &path, Some("any"), "").await.status, 404);
    for wrong in [
        json!({}),
        json!({"artifact_fingerprint": "ab"}),
        json!({"name_pattern": "*", "description": "all"}),
        json!({"name_pattern": "**", "description": "all"}),
        json!({"name_pattern": "*/*", "description": "all with a path"}),
        json!({"name_pattern": "*:*", "description": "all with a tag"}),
        json!({"name_pattern": "*@*", "description": "all with a digest"}),
        json!({"name_pattern": "*.*", "description": "all with a dot"}),
        json!({"name_pattern": "*io*", "description": "all with io"}),
        json!({"name_pattern": "nginx"}),
        json!({"name_pattern": "n", "artifact_fingerprint": digest(7), "description": "d"}),
    ] {
        let answer = recorder.put("/allowlists/acme/web", wrong.to_string()).await;
        assert_eq!(answer.status, 400, "{wrong} {answer:?}");
    }
}

#[tokio::test]
async fn artifact_with_a_start_time_in_the_future_and_a_later_report_is_late() {
    let recorder = Recorder::start().await;
    recorder.create("web", None).await;
    let tomorrow = 1_661_161_162 + 86_400;
    recorder.report("web", &[task(1, "miner:1", &digest(7), tomorrow)]).await;
    recorder.advance(600.0);
    recorder.artifact("acme", "runner", "t", &digest(7)).await;
    let snapshot = recorder.get("/snapshots/acme/web/-1").await.body;
    let late = origin(&snapshot, "miner:1");
    assert_eq!(
        (&late["status"], &late["first_started_at"]),
        (&json!("late"), &json!(1_661_161_162))
    );
}

#[tokio::test]
async fn artifact_in_101_trails_is_found_with_its_latest_report() {
    let recorder = Recorder::start().await;
    for number in 0..=100 {
        let body = json!({
            "fingerprint": digest(1), "filename": format!("runner:{number}"), "git_commit": COMMIT,
            "build_url": "https://b", "commit_url": "https://c", "trail_name": format!("t{number}"),
            "template_reference_name": "runner",
        });
        assert_eq!(recorder.post("/artifacts/acme/runner", &body).await.status, 201);
    }
    let by_fingerprint = recorder.get("/artifacts/acme/runner/fingerprint/01010").await;
    assert_eq!(by_fingerprint.status, 200, "{by_fingerprint:?}");
    assert_eq!(by_fingerprint.body["filename"], "runner:100", "{by_fingerprint:?}");
    let by_commit = recorder.get(&format!("/artifacts/acme/runner/commit_sha/{COMMIT}")).await;
    assert_eq!(by_commit.body[0]["filename"], "runner:100", "{by_commit:?}");
    for selector in ["fingerprint/01010", &format!("commit_sha/{COMMIT}")] {
        let of_trail = recorder.get(&format!("/artifacts/acme/runner/{selector}?trail=t50")).await;
        let of_trail = of_trail.body.get(0).cloned().unwrap_or(of_trail.body);
        assert_eq!(of_trail["filename"], "runner:50", "{of_trail}");
        assert_eq!(of_trail["trail_name"], "t50", "{of_trail}");
    }
    for text in [&digest(1), COMMIT] {
        let found = recorder.get(&format!("/search/acme/sha/{text}")).await.body;
        assert_eq!(found["artifacts"].as_array().unwrap().len(), 1, "{found}");
        assert_eq!(found["artifacts"][0]["name"], "runner:100", "{found}");
        assert_eq!(found["artifacts"][0]["trail"], "t100", "{found}");
    }
    let trails = recorder.get("/trails/acme?flow=runner&page=1&per_page=5").await.body;
    assert_eq!(trails["data"].as_array().unwrap().len(), 5, "{trails}");
    assert_eq!(trails["data"][0]["name"], "t100", "{trails}");
}

#[tokio::test]
async fn attached_html_file_is_served_as_an_octet_stream_download() {
    let recorder = Recorder::start().await;
    let body = json!({"attestation_name": "scan", "is_compliant": true, "user_data": {"a": 0.85}});
    let file = Some(("attachment_file", &b"<script>alert(1)</script>"[..]));
    let path = "/attestations/acme/runner/trail/t/generic";
    let made = recorder.send_parts(Method::POST, path, document(&body, file)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let found = recorder.get("/attestations/acme/runner/trail/t/scan").await.body;
    assert_eq!(found[0]["user_data"], json!({"a": 0.85}));
    let by_id = format!(
        "/attestations/acme?attestation_id={}",
        found[0]["attestation_id"].as_str().unwrap()
    );
    assert_eq!(recorder.get(&by_id).await.body["data"][0], found[0]);
    let url = format!("{}{}", recorder.url, found[0]["_links"]["evidence"].as_str().unwrap());
    let response = reqwest::get(url).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    assert_eq!(
        response.headers()["content-disposition"],
        "attachment; filename=\"attachment_file.dat\""
    );
    assert_eq!(response.bytes().await.unwrap(), b"<script>alert(1)</script>"[..]);
}

#[tokio::test]
async fn deployments_are_numbered_per_flow_and_listed_in_the_artifact_history() {
    let recorder = Recorder::start().await;
    recorder.create("web", None).await;
    recorder.artifact("acme", "runner", "t", &digest(1)).await;
    let deploy = async |environment: &str| {
        let body = json!({"artifact_fingerprint": digest(1), "environment": environment});
        recorder.post("/deployments/acme/runner", &body).await
    };
    for (number, environment) in [(1, "beta"), (2, "web")] {
        recorder.advance(1.0);
        let answer = deploy(environment).await;
        let exists = environment == "web";
        let expected = json!({"deployment_id": number, "environment_exists": exists});
        assert_eq!(answer.body, expected);
    }
    recorder.advance(60.0);
    recorder.report("web", &[task(1, "web:1", &digest(1), 1_661_161_200)]).await;
    recorder.advance(60.0);
    let two = [1, 2].map(|id| task(id, "web:1", &digest(1), 1_661_161_200));
    recorder.report("web", &two).await;
    recorder.advance(60.0);
    recorder.report("web", &[]).await;
    let artifact = recorder.get("/artifacts/acme/runner/fingerprint/01010").await.body;
    let history: Vec<_> = artifact["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        history,
        [
            "Artifact created",
            "Deployment #1 to beta environment",
            "Deployment #2 to web environment",
            "Started running in web#1 environment",
            "Scaled up from 1 to 2 in web#2 environment",
            "No longer running in web#3 environment",
        ]
    );
    assert_eq!(artifact["exited"], json!([{"environment_name": "web", "snapshot_index": 3}]));
    assert_eq!(artifact["deployments"], json!([1, 2]));
    let announced = recorder.get("/deployments/acme?env_name=web").await.body;
    assert_eq!(announced[0]["deployment_id"], 2, "{announced}");
    let unknown = json!({"artifact_fingerprint": digest(9), "environment": "web"});
    assert_eq!(recorder.post("/deployments/acme/runner", &unknown).await.status, 404);
    assert_eq!(recorder.post("/deployments/acme/none", &unknown).await.status, 404);
}

#[tokio::test]
async fn artifact_start_without_a_reported_deployment_is_listed_as_a_derived_deployment() {
    let recorder = Recorder::start().await;
    recorder.create("web", None).await;
    recorder.artifact("acme", "runner", "t", &digest(1)).await;
    recorder.artifact("acme", "runner", "t", &digest(2)).await;
    let body = json!({"artifact_fingerprint": digest(2), "environment": "web"});
    assert_eq!(recorder.post("/deployments/acme/runner", &body).await.status, 201);
    let at = |byte: u8| task(byte.into(), "web:1", &digest(byte), 1_661_161_200);
    // One is scaled, restarted and joined by others; another one was announced, and one is not known.
    for tasks in [
        vec![at(1)],
        vec![at(1), task(9, "web:1", &digest(1), 1_661_161_200)],
        vec![at(2), at(3)],
        vec![at(1), at(2), at(3), task(8, "no-digest", "", 1_661_161_200)],
    ] {
        recorder.advance(60.0);
        assert_eq!(recorder.report("web", &tasks).await, 201);
    }
    let shown = async |more: &str| {
        let deployments = recorder.get(&format!("/deployments/acme?env_name=web{more}")).await;
        assert_eq!(deployments.status, 200, "{deployments:?}");
        let short = |it: &Value| {
            let byte = it["artifact_fingerprint"].as_str().unwrap()[..2].to_owned();
            let number = it.get("deployment_id").and_then(Value::as_u64);
            (
                byte,
                it["flow_name"].as_str().unwrap().to_owned(),
                number,
                it["snapshot_index"].as_u64(),
            )
        };
        deployments.body.as_array().unwrap().iter().map(short).collect::<Vec<_>>()
    };
    let derived = |byte: &str, flow: &str, index| {
        (byte.to_owned(), flow.to_owned(), None::<u64>, Some(index))
    };
    let announced = ("02".to_owned(), "runner".to_owned(), Some(1), None);
    let (first, unknown, again) =
        (derived("01", "runner", 1), derived("03", "", 3), derived("01", "runner", 4));
    let all = [announced.clone(), first.clone(), unknown.clone(), again.clone()];
    assert_eq!(shown("").await, all);
    assert_eq!(shown("&derived=false").await, [announced]);
    assert_eq!(
        shown("&start_ts=1661161300&end_ts=1661161350").await,
        std::slice::from_ref(&unknown)
    );
    assert_eq!(shown("&start_ts=1661161300").await, [unknown.clone(), again.clone()]);
    let list = recorder.get("/deployments/acme?env_name=web").await.body;
    assert_eq!(list[1]["derived"], true, "{list}");
    assert_eq!(list[1]["created_at"], 1_661_161_222.5, "{list}");
    assert_eq!(list[1]["artifact_name"], "web:1", "{list}");
    assert_eq!(list[0].get("derived"), None, "{list}");
    assert_eq!(recorder.get("/deployments/acme?env_name=none").await.body, json!([]));
    let wrong = recorder.get("/deployments/acme?env_name=web&start_ts=x").await;
    assert_eq!(wrong.status, 400, "{wrong:?}");

    // In the history the start is marked.
    let marks = async |byte: u8| {
        let path = format!("/artifacts/acme/runner/fingerprint/{}", digest(byte));
        let artifact = recorder.get(&path).await.body;
        let history = artifact["history"].as_array().unwrap().clone();
        let derived = history.iter().filter(|event| event.get("derived_deployment").is_some());
        derived
            .map(|event| (event["event"].clone(), event["derived_deployment"].clone()))
            .collect::<Vec<_>>()
    };
    let start = |index: u32| {
        (
            json!(format!("Started running in web#{index} environment")),
            json!({"environment_name": "web", "snapshot_index": index}),
        )
    };
    assert_eq!(marks(1).await, [start(1), start(4)]);
    assert_eq!(marks(2).await, []);
    let artifact = recorder.get("/artifacts/acme/runner/fingerprint/01010").await.body;
    assert_eq!(artifact["deployments"], json!([]), "it has no number");
    // What is announced afterwards is no longer derived.
    let late = json!({"artifact_fingerprint": digest(1), "environment": "web"});
    assert_eq!(recorder.post("/deployments/acme/runner", &late).await.status, 201);
    assert_eq!(shown("&start_ts=1661161163&end_ts=1661161400").await, [unknown]);
    assert_eq!(marks(1).await, []);
}

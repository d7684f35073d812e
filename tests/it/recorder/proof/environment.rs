//! What a bundle says of an environment and of the origin of what ran, and questions to the bundle itself.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Bundle, START, recorder_with_one_day};
use crate::questions::{Answer, ask};
use crate::recorder::provenance::requests::document;
use crate::recorder::server::{Recorder, digest, task};

/// Runs a question of the command line on the bundle, and returns its output; checks the note that the
/// answer rests on a bundle.
async fn ask_bundle(bundle: &Bundle, arguments: &[&str]) -> String {
    let db = ["--db", bundle.path.to_str().unwrap()];
    let Answer { code, out, error } = ask(&[arguments, &db].concat(), &[]).await;
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(error.contains("proof.tar is a proof bundle, and consistent with itself"), "{error}");
    out
}

#[tokio::test]
async fn bundle_of_an_archived_environment_says_since_when_and_by_whom() {
    let recorder = recorder_with_one_day().await;
    recorder.advance(60.0);
    let done = recorder.put("/environments/acme/prod/archive", "null").await;
    assert_eq!(done.status, 200, "{done:?}");
    let bundle = Bundle::create(&recorder, &[]).await;
    bundle.head().await;
    let members = bundle.members();
    let archived = "<strong>The environment is archived</strong>, since 2022-08-22 22:41:22 UTC, by anonymous.";
    assert!(members["report.html"].contains(archived), "{}", members["report.html"]);
    assert!(members["README.txt"].contains("archived since 2022-08-22T22:41:22.5Z"));
    assert_eq!(members["runs.csv"].lines().count(), 4);
    let out = ask_bundle(&bundle, &["env", "get", "prod#3"]).await;
    assert!(out.contains("evil/miner"), "{out}");

    // Once it is in use again, it is not said.
    recorder.create("prod", Some(true)).await;
    let bundle = Bundle::create(&recorder, &[]).await;
    assert!(!bundle.members()["report.html"].contains("archived"));
}

#[tokio::test]
async fn bundle_of_a_renamed_environment_needs_its_present_name_and_lists_old_names() {
    let recorder = recorder_with_one_day().await;
    let rename = async |name: &str, new_name: &str| {
        let body = json!({"new_name": new_name}).to_string();
        let done = recorder.put(&format!("/environments/acme/{name}/rename"), body).await;
        assert_eq!(done.status, 200, "{done:?}");
    };
    rename("prod", "live").await;
    let refused = Bundle::not_created().run_proof(&recorder, &[]).await.failed();
    let expected = "environment 'prod' was renamed to 'live' at 2022-08-22T22:40:22.5Z. Name it so";
    assert!(refused.contains(expected), "{refused}");
    recorder.advance(60.0);
    rename("live", "prod-old").await;
    // Another environment takes the name.
    recorder.create("prod", None).await;
    recorder.report("prod", &[task(1, "web:1", &digest(1), START)]).await;
    let bundle = Bundle::create(&recorder, &[]).await;
    assert!(!bundle.members()["report.html"].contains("It was called"));
    assert_eq!(bundle.members()["runs.csv"].lines().count(), 2);

    let bundle = Bundle::not_created();
    let file = bundle.path.to_str().unwrap();
    let arguments = ["proof", "prod-old", "-o", file];
    crate::questions::ask_at(&recorder.url, &arguments).await.success();
    bundle.head().await;
    let report = &bundle.members()["report.html"];
    for line in [
        "It was called &#39;prod&#39; until 2022-08-22 22:40:22 UTC.",
        "It was called &#39;live&#39; until 2022-08-22 22:41:22 UTC.",
    ] {
        let line = line.replace("&#39;", "'");
        assert!(report.replace("&#39;", "'").contains(&line), "{line}: {report}");
    }
    assert_eq!(bundle.members()["runs.csv"].lines().count(), 4);
}

/// `web` lacks evidence, `db` was reported late, `nginx` is allowed by name, `envoy` has no fingerprint,
/// and the miner is rogue.
async fn recorder_with_every_origin() -> Recorder {
    let recorder = Recorder::start().await;
    recorder.create("prod", None).await;
    let template = "version: 1\ntrail:\n  artifacts:\n  - name: runner\n    attestations:\n    \
                    - {name: scan, type: generic}\n    - {name: unit-test, type: generic}\n";
    let flow = json!({"name": "web", "description": "", "visibility": "private"});
    let body = document(&flow, Some(("template_file", template.as_bytes())));
    let saved = recorder.send_parts(Method::PUT, "/flows/acme/template_file", body).await;
    assert_eq!(saved.status, 201, "{saved:?}");
    recorder.artifact("acme", "web", "trail-1", &digest(1)).await;
    let evidence = json!({
        "attestation_name": "scan", "artifact_fingerprint": digest(1), "is_compliant": true,
    });
    let answer = recorder.generic("acme/web/trail/trail-1", &evidence).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let body = json!({"name_pattern": "nginx", "description": "the <b>proxy</b>"}).to_string();
    let answer = recorder.put("/allowlists/acme", body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    recorder.advance(60.0);
    let artifacts = [
        task(1, "web:1", &digest(1), START + 30),
        task(2, "db:1", &digest(2), START + 30),
        task(3, "nginx:1", &digest(3), START + 30),
        task(4, "envoy", "", START + 30),
        task(5, "evil/miner:6", &digest(6), START + 30),
    ];
    assert_eq!(recorder.report("prod", &artifacts).await, 201);
    recorder.advance(60.0);
    recorder.artifact("acme", "db", "trail-1", &digest(2)).await;
    recorder
}

#[tokio::test]
async fn bundle_lists_the_origin_of_each_artifact_and_missing_evidence() {
    let recorder = recorder_with_every_origin().await;
    let bundle = Bundle::create(&recorder, &[]).await;
    recorder.stop().await;
    let members = bundle.members();
    let report = members["report.html"].replace("<bdi>", "").replace("</bdi>", "");
    for expected in [
        "2 artifacts ran that no pipeline had reported when it started:",
        "evil/miner:6 <code>",
        "never reported",
        "first reported at 2022-08-22 09:41:22 UTC by pipeline db",
        "Evidence that a pipeline expects is missing or not compliant for 1 artifact:",
        "pipeline web: <span class=\"bad\">INCOMPLETE</span><span class=\"beneath\">missing: unit-test</span>",
        "1 artifact allowed to run without provenance:",
        "the &lt;b&gt;proxy&lt;/b&gt;, allowed by anonymous on 2022-08-22 09:39:22 UTC",
        "1 artifact without a fingerprint, and so of unknown origin:",
    ] {
        assert!(report.contains(expected), "{expected}: {report}");
    }
    let rows: Vec<_> = members["runs.csv"].lines().collect();
    let columns: Vec<_> = rows[0].split(',').collect();
    let value = |name: &str, column: &str| {
        let row = rows.iter().find(|row| row.starts_with(name)).unwrap();
        let at = columns.iter().position(|it| *it == column).unwrap();
        row.split(',').nth(at).unwrap()
    };
    for (name, column, expected) in [
        ("web:1", "state", "INCOMPLETE"),
        ("web:1", "problems", "unit-test"),
        ("nginx:1", "origin", "allowed"),
        ("nginx:1", "allowed_reason", "the <b>proxy</b>"),
        ("nginx:1", "allowed_by", "anonymous"),
        ("envoy", "origin", "unknown"),
        ("db:1", "origin", "late"),
        ("evil/miner:6", "origin", "rogue"),
    ] {
        assert_eq!(value(name, column), expected, "{name} {column}");
    }
    // The same from the bundle itself.
    let rogue: Value =
        serde_json::from_str(&ask_bundle(&bundle, &["env", "get", "prod", "-o", "json"]).await)
            .unwrap();
    let artifacts = rogue["artifacts"].as_array().unwrap();
    let nginx = artifacts.iter().find(|it| it["name"] == "nginx:1").unwrap();
    assert!(nginx.to_string().contains("the <b>proxy</b>"), "{nginx}");
    let out = ask_bundle(&bundle, &["artifact", "where", "miner"]).await;
    assert!(out.contains("evil/miner:6"), "{out}");
}

#[tokio::test]
async fn bundle_rejects_writes_and_a_modified_bundle_rejects_questions() {
    let recorder = recorder_with_one_day().await;
    let bundle = Bundle::create(&recorder, &[]).await;
    recorder.stop().await;
    let db = ["--db", bundle.path.to_str().unwrap()];
    let listed = ask_bundle(&bundle, &["env", "ls"]).await;
    assert!(listed.contains("prod") && listed.contains("beta"), "{listed}");
    let refused = ask(&[&["env", "create", "new"], &db[..]].concat(), &[]).await.failed();
    assert!(refused.contains("nothing in it can be changed"), "{refused}");
    let other = ask(&[&["env", "ls", "--org", "other"], &db[..]].concat(), &[]).await;
    assert!(other.error.contains("no environment of organization \"other\""), "{other:?}");
    let good = bundle.bytes();
    let mut changed = good.clone();
    let at = good.windows(4).rposition(|part| part == b"beta").unwrap();
    changed[at] = b'B';
    std::fs::write(&bundle.path, changed).unwrap();
    let refused = ask(&[&["env", "ls"], &db[..]].concat(), &[]).await.failed();
    assert!(refused.contains("the ledger breaks at entry"), "{refused}");
}

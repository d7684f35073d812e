use serde_json::json;

use super::provenance::{post, send_form};
use super::*;

/// Names that are HTML, script or a script URL if they are not escaped.
const HOSTILE_NAMES: [&str; 5] = [
    "<script>alert(1)</script>\"'&",
    "a</title></svg><script>x</script>:1",
    "\"><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "--><!--]]>&amp;",
];

#[tokio::test]
async fn names_are_escaped_on_every_page() {
    let recorder = Recorder::start().await;
    let body = json!({
        "name": "env", "type": "ECS", "description": HOSTILE_NAMES[0], "include_scaling": true,
    });
    recorder.put("/environments/acme", body.to_string()).await;
    for (byte, name) in (1..).zip(HOSTILE_NAMES) {
        // Each starts as the one before exits.
        let mut artifact = task(1, name, &digest(byte), 1);
        artifact["cluster_name"] = json!(name);
        artifact["service_name"] = json!(name);
        assert_eq!(recorder.report("env", &[artifact]).await, 201);
        recorder.advance(60.0);
    }
    let mut pages = vec!["/".to_owned(), "/acme/environments/env".to_owned()];
    for index in 1..=5 {
        pages.push(format!("/acme/environments/env/snapshots/{index}"));
        pages.push(format!("/acme/compare?from=env%23{index}&to=env~0"));
    }
    for path in pages {
        let page = get(&recorder, &path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert_eq!((page.count("script"), page.count("img")), (1, 0), "{path}");
        for name in ["onerror", "style", "onclick"] {
            assert_eq!(page.attributes(name), [""; 0], "{path}");
        }
    }
    for (index, name) in (1..).zip(HOSTILE_NAMES) {
        let page = get(&recorder, &format!("/acme/environments/env/snapshots/{index}")).await;
        let whole = name.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(page.words().contains(&whole), "{}", page.words());
        assert!(page.attributes("title").contains(&name.to_owned()), "{name}");
    }
    let history = get(&recorder, "/acme/environments/env").await;
    for name in HOSTILE_NAMES {
        assert!(history.attributes("title").contains(&name.to_owned()), "{name}");
        // In the picture's own title of its lane.
        let whole = name.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(history.words().contains(&format!("{whole} (")), "{name}: {}", history.words());
    }
}

#[tokio::test]
async fn reported_provenance_is_escaped_on_every_page() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    let hostile = HOSTILE_NAMES[0];
    for (byte, name) in (1..).zip(HOSTILE_NAMES) {
        let document = json!({
            "fingerprint": digest(byte), "filename": name, "git_commit": digest(byte), "trail_name": "t",
            "commit_url": name, "build_url": "javascript:alert(1)//https://", "repo_url": name,
            "template_reference_name": format!("a{byte}"),
            "git_commit_info": {"sha1": name, "message": name, "author": name, "branch": name,
                "url": name, "timestamp": 1},
        });
        post(&recorder, "/artifacts/acme/flow", &document).await;
        let document = json!({
            "attestation_name": "scan", "artifact_fingerprint": digest(byte), "is_compliant": false,
            "type_name": name, "attestation_data": {}, "description": name, "user_data": name,
        });
        let file = Some(("attachment_file", "<img>'&.txt", "<script>alert(1)</script>"));
        let path = "/attestations/acme/flow/trail/t/custom";
        send_form(&recorder, Method::POST, path, &document, file).await;
    }
    let settings = json!({"name": "flow", "description": hostile});
    let template = format!("version: 1 # {}\ntrail:\n", HOSTILE_NAMES[1]);
    let file = Some(("template_file", "t", &*template));
    send_form(&recorder, Method::PUT, "/flows/acme/template_file", &settings, file).await;
    let trail = json!({
        "name": "t", "description": hostile, "origin_url": "data:text/html,<script>",
        "external_urls": {hostile: {"href": "javascript:alert(1)"}},
        "git_commit_info": {"sha1": hostile, "message": hostile, "url": HOSTILE_NAMES[3]},
    });
    send_form(&recorder, Method::PUT, "/trails/acme/flow", &trail, None).await;
    let tags = json!({"set_tags": {hostile: hostile}}).to_string();
    let answer = recorder.send(Method::PATCH, "/api/v2/tags/acme/flow/flow", None, tags).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let allowed = json!({
        "artifact_fingerprint": digest(9), "artifact_name": hostile, "description": hostile,
    });
    recorder.put("/allowlists/acme/env", allowed.to_string()).await;
    let mut running: Vec<_> = (1..)
        .zip(HOSTILE_NAMES)
        .map(|(byte, name)| task(u32::from(byte), name, &digest(byte), 1))
        .collect();
    running.push(task(9, hostile, &digest(9), 1));
    assert_eq!(recorder.report("env", &running).await, 201);
    let encoded = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22'%26";
    let mut pages = vec![
        "/".to_owned(),
        "/acme/environments/env".to_owned(),
        "/acme/environments/env/snapshots/1".to_owned(),
        "/acme/compare?from=env&to=env".to_owned(),
        "/acme/flows".to_owned(),
        "/acme/flows/flow".to_owned(),
        "/acme/flows/flow/trails/t".to_owned(),
        "/acme/matrix".to_owned(),
        "/acme/search?q=a".to_owned(),
        format!("/acme/search?q={encoded}"),
        format!("/acme/flows/{encoded}"),
        format!("/acme/flows/flow/trails/{encoded}"),
        format!("/acme/artifacts/{encoded}"),
    ];
    pages.extend((1..=5).map(|byte| format!("/acme/artifacts/{}", digest(byte))));
    for path in pages {
        let page = get(&recorder, &path).await;
        assert!(page.status.as_u16() < 500, "{path}: {}", page.status);
        assert_eq!((page.count("script"), page.count("img")), (1, 0), "{path}");
        for name in ["onerror", "style", "onclick"] {
            assert_eq!(page.attributes(name), [""; 0], "{path}");
        }
        for address in page.attributes("href") {
            let is_ours = address.starts_with(['/', '?', '#']) && !address.starts_with("//");
            assert!(is_ours || address.starts_with(AWS_CONSOLE), "{path}: {address}");
        }
    }
}

#[tokio::test]
async fn a_path_is_escaped_on_error_pages() {
    let recorder = Recorder::start().await;
    let hostile = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22'%26";
    for path in [
        format!("/{hostile}"),
        format!("/{hostile}/environments"),
        format!("/{hostile}/environments/{hostile}"),
        format!("/acme/environments/env/snapshots/{hostile}"),
        format!("/{hostile}/compare?from={hostile}&to={hostile}%23x"),
        format!("/?page={hostile}"),
    ] {
        let page = get(&recorder, &path).await;
        assert_eq!(page.count("script"), 1, "{path}");
    }
}

#[tokio::test]
async fn invisible_and_reordering_characters_are_escaped() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    let name = "web\u{202e}gpj.1\u{0}\u{200b}\u{fe0f}";
    assert_eq!(recorder.report("env", &[task(1, name, &digest(1), 1)]).await, 201);
    for path in ["/", "/acme/environments/env", "/acme/environments/env/snapshots/1"] {
        let page = get(&recorder, path).await;
        let shown = r"web\u{202e}gpj.1\u{0}\u{200b}\u{fe0f}";
        assert!(page.words().contains(shown), "{path}: {}", page.words());
        assert!(!page.text.contains(['\u{202e}', '\u{0}', '\u{200b}', '\u{fe0f}']), "{path}");
    }
}

#[tokio::test]
async fn pages_are_rendered_for_start_times_at_the_limits_of_i64() {
    let recorder = Recorder::start().await;
    recorder.create("env", None).await;
    let artifacts: Vec<_> = (1..)
        .zip([i64::MIN, -1, 0, i64::MAX])
        .map(|(byte, started)| task(1, &format!("web:{byte}"), &digest(byte), started))
        .collect();
    assert_eq!(recorder.report("env", &artifacts).await, 201);
    for path in [
        "/",
        "/acme/environments/env",
        "/acme/environments/env/snapshots/1",
        "/acme/compare?from=env&to=env",
    ] {
        let page = get(&recorder, path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.words().contains("web :4"), "{path}: {}", page.words());
    }
}

//! Where software comes from, on every page.

use serde_json::json;

use super::*;

/// The git commit of reported artifacts.
pub(super) const COMMIT: &str = "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4";
const REPOSITORY_URL: &str = "https://github.com/cyber-dojo/runner";
/// Expects a `branch-coverage` attestation of each `runner` artifact.
const FLOW_TEMPLATE: &str = "version: 1\ntrail:\n  artifacts:\n  - name: runner\n    attestations:\n    - \
                        {name: branch-coverage, type: generic}\n";

/// Sends `multipart/form-data` as clients do: the document, and a file (its field, name and content).
pub(super) async fn send_form(
    recorder: &Recorder,
    method: Method,
    path: &str,
    document: &Value,
    file: Option<(&str, &str, &str)>,
) {
    let part = "--b\r\nContent-Disposition: form-data; name=";
    let file = file.map_or_else(String::new, |(field, name, content)| {
        format!(
            "{part}\"{field}\"; filename=\"{name}\"\r\nContent-Type: \
             application/octet-stream\r\n\r\n{content}\r\n"
        )
    });
    let body = format!("{part}\"data_json\"\r\n\r\n{document}\r\n{file}--b--\r\n");
    let (path, form) = (format!("/api/v2{path}"), "multipart/form-data; boundary=b");
    let answer = recorder.send_typed(method, &path, form, body).await;
    assert!(answer.status.is_success(), "{answer:?}");
}

/// Posts JSON to a path below `/api/v2`, which answers 201.
pub(super) async fn post(recorder: &Recorder, path: &str, body: &Value) {
    let path = format!("/api/v2{path}");
    let answer = recorder.send(Method::POST, &path, None, body.to_string()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
}

/// The JSON that reports an artifact, whose fingerprint is made of `byte`, as built from [`COMMIT`].
pub(super) fn artifact_report(byte: u8, name: &str, trail: &str) -> Value {
    json!({
        "fingerprint": digest(byte), "filename": name, "git_commit": COMMIT, "trail_name": trail,
        "template_reference_name": "runner", "commit_url": format!("{REPOSITORY_URL}/commit/{COMMIT}"),
        "build_url": format!("{REPOSITORY_URL}/actions/runs/2902808452"), "repo_url": REPOSITORY_URL,
        "git_commit_info": {"sha1": COMMIT, "message": "Faster start\n\nmore", "author": "A <a@x>",
            "timestamp": 1_661_160_000, "branch": "main", "url": format!("{REPOSITORY_URL}/commit/{COMMIT}")},
    })
}

/// Attests the branch coverage of an artifact, with a file.
pub(super) async fn report_evidence(
    recorder: &Recorder,
    trail: &str,
    byte: u8,
    is_compliant: bool,
) {
    let document = json!({
        "attestation_name": "branch-coverage", "artifact_fingerprint": digest(byte),
        "is_compliant": is_compliant, "description": "95 % of branches",
    });
    let path = format!("/attestations/acme/runner/trail/{trail}/generic");
    let file = Some(("attachment_file", "coverage.txt", "95.1"));
    send_form(recorder, Method::POST, &path, &document, file).await;
}

/// Two environments in which run: `runner` (compliant), `saver` (incomplete), a miner (rogue), an
/// artifact that was reported an hour late, one that is allowed and one without a fingerprint. A
/// deployment of `runner` was declared to `aws-prod`, and one to `gone`, in which it never started.
pub(super) async fn recorder_with_provenance() -> Recorder {
    let recorder = Recorder::start().await;
    recorder.create("aws-beta", Some(true)).await;
    recorder.create("aws-prod", Some(true)).await;
    let settings = json!({"name": "runner", "description": "Test runner"});
    let template = Some(("template_file", "t.yml", FLOW_TEMPLATE));
    let path = "/flows/acme/template_file";
    send_form(&recorder, Method::PUT, path, &settings, template).await;
    post(
        &recorder,
        "/artifacts/acme/runner",
        &artifact_report(1, "cyberdojo/runner:16d9990", "16d9990"),
    )
    .await;
    recorder.advance(62.0);
    report_evidence(&recorder, "16d9990", 1, true).await;
    post(&recorder, "/artifacts/acme/runner", &artifact_report(2, "cyberdojo/saver:1", "saver"))
        .await;
    for environment in ["aws-prod", "gone"] {
        let deployment = json!({"artifact_fingerprint": digest(1), "environment": environment});
        post(&recorder, "/deployments/acme/runner", &deployment).await;
    }
    let allowed = json!({
        "artifact_fingerprint": digest(5), "artifact_name": "proxy", "description": "by security",
    });
    recorder.put("/allowlists/acme/aws-prod", allowed.to_string()).await;
    recorder.advance(60.0);
    let now = 1_661_161_162 + 122;
    let run = |byte, name: &str| task(byte, name, &digest(u8::try_from(byte).unwrap()), now);
    let runner = || run(1, "reg.example.com/runner:16d9990");
    assert_eq!(recorder.report("aws-beta", &[runner()]).await, 201);
    let all = [
        runner(),
        run(2, "reg.example.com/saver:1"),
        run(3, "evil/miner:latest"),
        run(4, "reg.example.com/hotfix:2"),
        run(5, "proxy:1"),
        task(6, "sidecar", "", now),
    ];
    assert_eq!(recorder.report("aws-prod", &all).await, 201);
    recorder.advance(3_600.0);
    post(
        &recorder,
        "/artifacts/acme/hotfix",
        &json!({
            "fingerprint": digest(4), "filename": "hotfix:2", "git_commit": "", "commit_url": "",
            "build_url": "",
        }),
    )
    .await;
    assert_eq!(recorder.report("aws-prod", &all[1..]).await, 201);
    recorder.advance(60.0);
    recorder
}

#[tokio::test]
async fn tables_show_commit_pipeline_and_state_of_each_artifact() {
    let recorder = recorder_with_provenance().await;
    let runs = [
        format!(
            "runner :16d9990 reg.example.com/runner:16d9990 {} 16d9990 runner COMPLIANT",
            digest(1)
        ),
        format!(
            "saver :1 reg.example.com/saver:1 {} 16d9990 runner INCOMPLETE missing: branch-coverage",
            digest(2)
        ),
        format!(
            "evil/miner :latest evil/miner:latest {} – rogue no pipeline has reported it",
            digest(3)
        ),
        format!(
            "hotfix :2 reg.example.com/hotfix:2 {} no commit hotfix COMPLIANT late reported 1 hour after it had started",
            digest(4)
        ),
        format!("proxy :1 proxy:1 {} – allowed by security", digest(5)),
        "sidecar sidecar fingerprint unknown – unknown without a fingerprint".to_owned(),
    ];
    for (path, expected) in [
        ("/acme/environments/aws-prod/snapshots/1", &runs[..]),
        ("/acme/environments/aws-prod", &runs[1..]),
        ("/acme/compare?from=aws-prod%231&to=aws-prod", &runs[..]),
    ] {
        let page = get(&recorder, path).await;
        let words = page.words();
        for expected in expected {
            assert!(words.contains(expected), "{path}: {expected}: {words}");
        }
        let links = page.attributes("href");
        for link in [
            &*format!("/acme/artifacts/{}", digest(3)),
            "/acme/flows/runner",
            &format!("{REPOSITORY_URL}/commit/{COMMIT}"),
        ] {
            assert!(links.iter().any(|it| it == link), "{path}: {link}");
        }
        assert!(!words.contains("No provenance was reported"), "{path}");
    }
}

#[tokio::test]
async fn every_page_marks_rogue_late_incomplete_and_non_compliant_artifacts() {
    let recorder = recorder_with_provenance().await;
    for (path, expected) in [
        ("/", &["rogue", "late", "incomplete"][..]),
        ("/acme/environments", &["rogue", "late", "incomplete"]),
        ("/acme/environments/aws-prod", &["rogue", "late", "incomplete"]),
        ("/acme/environments/aws-prod/snapshots/-1", &["rogue", "late", "incomplete"]),
        ("/acme/compare?from=aws-beta&to=aws-prod", &["rogue", "late", "incomplete"]),
        ("/acme/matrix", &["rogue", "late", "incomplete"]),
        ("/acme/search?q=e", &["rogue", "late", "incomplete"]),
        ("/acme/flows/hotfix", &["late"]),
        ("/acme/environments/aws-beta", &[]),
        ("/acme/environments/aws-beta/snapshots/1", &[]),
        (&format!("/acme/artifacts/{}", digest(3)), &["rogue"]),
        (&format!("/acme/artifacts/{}", digest(4)), &["late"]),
        (&format!("/acme/artifacts/{}", digest(2)), &["incomplete"]),
        ("/acme/flows/runner/trails/saver", &["incomplete"]),
    ] {
        let page = get(&recorder, path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.words());
        let classes = page.attributes("class");
        for mark in ["rogue", "late", "incomplete", "non-compliant"] {
            let is_marked = classes.contains(&format!("mark {mark}"));
            assert_eq!(is_marked, expected.contains(&mark), "{path}: {mark}");
        }
    }
    // In the picture's list of names and in the table of snapshots, too.
    let words = get(&recorder, "/acme/environments/aws-prod").await.words();
    for expected in ["evil/miner :latest rogue 0303030 ×1", "started evil/miner :latest rogue"] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    let words = get(&recorder, "/").await.words();
    assert!(words.contains("5 artifacts, 5 replicas, 1 rogue , 1 late , 1 incomplete"), "{words}");
    let expected = "Needs attention acme/aws-prod : 1 rogue , 1 late , 1 incomplete";
    assert!(words.contains(expected), "{words}");
    report_evidence(&recorder, "saver", 2, false).await;
    let words = get(&recorder, "/").await.words();
    assert!(words.contains(&expected.replace("incomplete", "non-compliant")), "{words}");
    let words = get(&recorder, "/acme/environments/aws-prod/snapshots/-1").await.words();
    assert!(words.contains("NON-COMPLIANT missing or non-compliant: branch-coverage"), "{words}");
}

#[tokio::test]
async fn no_page_shows_rogue_artifacts_in_an_organization_without_flows() {
    let recorder = recorder_with_rollover().await;
    for (path, expected) in [
        ("/", 0),
        ("/acme/environments/env", 1),
        ("/acme/environments/env/snapshots/1", 1),
        ("/acme/compare?from=env%231&to=env", 1),
        ("/acme/matrix", 1),
        ("/acme/flows", 1),
        (&format!("/acme/artifacts/{}", digest(1)), 1),
    ] {
        let words = get(&recorder, path).await.words();
        assert!(!words.contains("rogue") && !words.contains("Commit Pipeline"), "{path}: {words}");
        let count = words.matches("No provenance was reported").count();
        assert_eq!(count, expected, "{path}: {words}");
    }
}

#[tokio::test]
async fn artifact_page_shows_commit_runs_deployments_evidence_and_events() {
    let recorder = recorder_with_provenance().await;
    let page = get(&recorder, &format!("/acme/artifacts/{}", digest(1))).await;
    let words = page.words();
    for expected in [
        &*format!("Search cyberdojo/runner:16d9990 {} Where it comes from", digest(1)),
        "Where it runs or ran",
        "runner trail 16d9990 COMPLIANT 16d9990 Faster start https://github.com/cyber-dojo/runner/commit/16d9990",
        "https://github.com/cyber-dojo/runner/actions/runs/2902808452 1 hour ago 2022-08-22 09:39:22 UTC",
        "aws-beta runs ×1 from aws-beta#1 1 hour ago started ",
        "aws-prod exited from aws-prod#1 to aws-prod#2 exited by ",
        "at the latest, in #1 confirmed until ",
        "reported before it started",
        "runner #1 aws-prod 1 hour ago 2022-08-22 09:40:24 UTC started",
        "runner #2 gone 1 hour ago 2022-08-22 09:40:24 UTC announced, never started",
        "branch-coverage generic compliant 95 % of branches runner trail 16d9990",
        "coverage.txt 4 bytes",
        "7 events, the earliest first.",
        "2022-08-22 09:39:22 UTC Artifact created by pipeline runner 2022-08-22 09:40:24 UTC branch-coverage evidence received: compliant",
        "Deployment #1 of runner to aws-prod 2022-08-22 09:40:24 UTC Deployment #2 of runner to gone: announced, never started",
        "Started running in aws-beta#1",
        "No longer running in aws-prod#2",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    for link in page.attributes("href").iter().filter(|link| link.starts_with("http")) {
        assert!(link.starts_with(REPOSITORY_URL), "{link}");
    }
    let file =
        page.attributes("href").into_iter().find(|link| link.ends_with("/evidence")).unwrap();
    let file = get(&recorder, &file).await;
    assert_eq!((file.status, &*file.text), (StatusCode::OK, "95.1"));
    assert!(file.header("content-disposition").starts_with("attachment;"));

    let miner = get(&recorder, &format!("/acme/artifacts/{}", digest(3))).await.words();
    assert!(miner.contains("rogue No pipeline has reported this artifact."), "{miner}");
    // What is allowed is not rogue.
    let proxy = get(&recorder, &format!("/acme/artifacts/{}", digest(5))).await.words();
    for expected in [
        "allowed No pipeline has reported this artifact. It is allowed in aws-prod: by security , allowed by \
         anonymous on 2022-08-22 09:40:24 UTC .",
        "allowed by security , allowed by anonymous on 2022-08-22 09:40:24 UTC",
    ] {
        assert!(proxy.contains(expected), "{expected}: {proxy}");
    }
    assert!(!proxy.contains("rogue"), "{proxy}");
    let none = get(&recorder, &format!("/acme/artifacts/{}", digest(9))).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn pipeline_and_trail_pages_show_states_and_link_to_trails_and_artifacts() {
    let recorder = recorder_with_provenance().await;
    let flows = get(&recorder, "/acme/flows").await.words();
    for expected in
        ["2 pipelines", "runner Test runner INCOMPLETE of the latest trail", REPOSITORY_URL]
    {
        assert!(flows.contains(expected), "{expected}: {flows}");
    }
    let flow = get(&recorder, "/acme/flows/runner").await;
    let words = flow.words();
    for expected in [
        "2 trails, the latest first. Trail State Begun saver INCOMPLETE",
        "16d9990 COMPLIANT",
        "2 artifacts, the latest first.",
        "cyberdojo/saver :1 0202020 16d9990 runner INCOMPLETE missing: branch-coverage",
        "{name: branch-coverage, type: generic}",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    assert!(flow.attributes("href").contains(&"/acme/flows/runner/trails/16d9990".to_owned()));
    let trail = get(&recorder, "/acme/flows/runner/trails/saver").await.words();
    for expected in [
        "saver INCOMPLETE Begun",
        "runner INCOMPLETE Evidence Type Result branch-coverage generic missing",
        "Trail begun",
        "Artifact created: cyberdojo/saver :1 0202020",
        "0202020 runs ×1 in aws-prod#1",
    ] {
        assert!(trail.contains(expected), "{expected}: {trail}");
    }
    // What the API calls their pages is where they are.
    for (path, at) in [
        ("/trails/acme/runner/saver", "/html_url"),
        ("/search/acme/sha/16d9990", "/artifacts/0/html_url"),
        ("/attestations/acme/runner/trail/16d9990/branch-coverage", "/0/html_url"),
        ("/snapshots/acme/aws-prod/1", "/artifacts/0/flows/0/flow_html_url"),
    ] {
        let body = recorder.get(path).await.body;
        let address = body.pointer(at).and_then(Value::as_str).unwrap_or_default();
        let page = get(&recorder, address).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {address}");
    }
    for (path, expected) in [
        ("/acme/flows/none", "Flow named 'none' does not exist"),
        ("/acme/flows/runner/trails/none", "Trail with name 'none' does not exist"),
    ] {
        let page = get(&recorder, path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.words().contains(expected), "{path}: {}", page.words());
    }
}

#[tokio::test]
async fn the_matrix_has_the_version_of_each_repository_in_each_environment() {
    let recorder = recorder_with_provenance().await;
    let now = 1_661_161_162 + 3_900;
    let old = task(1, "reg.example.com/runner:16d9990", &digest(1), now - 600);
    let new = task(7, "reg.example.com/runner:2", &digest(7), now);
    assert_eq!(recorder.report("aws-beta", &[old, new]).await, 201);
    let page = get(&recorder, "/acme/matrix").await;
    let words = page.words();
    for expected in [
        "Repository aws-beta aws-prod evil/miner – latest rogue",
        "hotfix – 2 late",
        "proxy – 1 runner 2 rogue 16d9990 – saver – 16d9990 incomplete sidecar – unknown",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    assert!(page.attributes("href").contains(&format!("/acme/artifacts/{}", digest(1))));

    let recorder = Recorder::start().await;
    recorder.create("aws-beta", None).await;
    assert_eq!(recorder.report("aws-beta", &[]).await, 200);
    assert!(get(&recorder, "/acme/matrix").await.words().contains("Nothing runs."));
    recorder.create("aws-prod", None).await;
    let words = get(&recorder, "/acme/matrix").await.words();
    assert!(words.contains("Repository aws-beta aws-prod no report yet"), "{words}");
    assert!(!words.contains("Nothing runs."), "{words}");
    let words = get(&recorder, "/acme/matrix?name=none").await.words();
    assert!(words.contains("such a name. Some environments have no report yet."), "{words}");

    let logical = json!({"name": "all", "type": "logical", "description": "",
                         "included_environments": ["aws-prod"]});
    assert_eq!(recorder.put("/environments/acme", logical.to_string()).await.status, 201);
    let words = get(&recorder, "/acme/matrix").await.words();
    assert!(words.contains("Repository aws-beta aws-prod no report yet"), "{words}");
    for (environment, reason) in [
        ("all", "gets no reports, and so has no snapshots. It is made of aws-prod"),
        ("aws-beta", "Nothing has run here since the first report."),
        ("aws-prod", "Nothing was reported yet."),
    ] {
        let words = get(&recorder, &format!("/acme/environments/{environment}")).await.words();
        assert!(words.contains(reason), "{environment}: {words}");
    }
}

#[tokio::test]
async fn a_search_redirects_to_one_result_or_lists_several() {
    let recorder = recorder_with_provenance().await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    for (query, byte) in [
        (&digest(3)[..7], 3),
        (&format!("sha256:{}", digest(3)), 3),
        ("miner", 3),
        ("EVIL%2FMiner", 3),
        ("+hotfix%3A2+", 4),
    ] {
        let url = format!("{}/acme/search?q={query}", recorder.url);
        let answer = client.get(url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{query}");
        let to = answer.headers()["location"].to_str().unwrap();
        assert_eq!(to, format!("/acme/artifacts/{}", digest(byte)), "{query}");
    }
    for (query, expected) in [
        (COMMIT, "2 results for"),
        ("16d9990", "2 results for 16d9990 ."),
        ("1", "3 results for 1 ."),
        (
            "sidecar",
            "1 result for sidecar . Artifact Commit Pipeline and state Created Runs in sidecar fingerprint unknown",
        ),
        ("nothing-like-it", "Nothing was found for nothing-like-it ."),
        ("<script>", "Nothing was found for <script> ."),
        ("", "Search for a commit or a fingerprint"),
        ("deadbeef", "Nothing was found for deadbeef ."),
    ] {
        let page = get(&recorder, &format!("/acme/search?q={query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        let words = page.words();
        assert!(words.contains(expected), "{query}: {expected}: {words}");
        assert!(page.attributes("value").contains(&query.to_owned()), "{query}");
    }
    let short =
        client.get(format!("{}/acme/artifacts/0303030", recorder.url)).send().await.unwrap();
    assert_eq!(short.headers()["location"], "/acme/search?q=0303030");
    let long = get(&recorder, &format!("/acme/search?q={}", "x".repeat(300))).await;
    assert_eq!(long.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_page_of_an_organization_has_a_search_form_one_h1_and_valid_labels() {
    let recorder = recorder_with_provenance().await;
    for path in [
        "/",
        "/acme/environments",
        "/acme/environments/aws-prod",
        "/acme/environments/aws-prod/snapshots/1",
        "/acme/compare?from=aws-prod&to=aws-beta",
        "/acme/flows",
        "/acme/flows/runner",
        "/acme/flows/runner/trails/saver",
        "/acme/matrix",
        "/acme/search",
        &format!("/acme/artifacts/{}", digest(1)),
    ] {
        let page = get(&recorder, path).await;
        assert!(page.attributes("action").contains(&"/acme/search".to_owned()), "{path}");
        assert!(page.attributes("name").contains(&"q".to_owned()), "{path}");
        assert_eq!(page.count("h1"), 1, "{path}");
        let xml = page.xml();
        let document = Document::parse(&xml).unwrap();
        let current = document.descendants().find(|node| node.has_attribute("aria-current"));
        let is_listed = ["/acme/environments", "/acme/flows", "/acme/matrix"].contains(&path);
        assert_eq!(
            current.and_then(|link| link.attribute("href")),
            is_listed.then_some(path),
            "{path}"
        );
        let forms = document.descendants().filter(|node| node.attribute("role") == Some("search"));
        let names: Vec<_> = forms.map(|form| form.attribute("aria-label").unwrap()).collect();
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{path}: {names:?}");
        for cell in document.descendants().filter(|node| node.has_tag_name("th")) {
            assert!(cell.attribute("scope").is_some(), "{path}: a header without a scope");
        }
        let ids = page.attributes("id");
        assert_eq!(
            ids.iter().collect::<std::collections::BTreeSet<_>>().len(),
            ids.len(),
            "{path}"
        );
        for label in page.attributes("aria-labelledby") {
            for id in label.split(' ') {
                assert!(ids.contains(&id.to_owned()), "{path}: {id}");
            }
        }
    }
}

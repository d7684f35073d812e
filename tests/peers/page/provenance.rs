//! Where software comes from, looked at in a browser.

use serde_json::{Value, json};

use super::browser::Browser;
use super::story::{Environment, HOUR, MINUTE, Recorder, digest};
use super::{ENTER, widths};

const COMMIT: &str = "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4";
const GIT: &str = "https://github.com/cyber-dojo";

fn artifact(service: &str, image: &str) -> Value {
    json!({
        "fingerprint": digest(image), "filename": format!("cyberdojo/{image}"), "git_commit": COMMIT,
        "trail_name": COMMIT, "template_reference_name": service,
        "commit_url": format!("{GIT}/{service}/commit/{COMMIT}"),
        "build_url": format!("{GIT}/{service}/actions/runs/2902808452"),
        "repo_url": format!("{GIT}/{service}"),
        "git_commit_info": {"sha1": COMMIT, "message": "Start faster", "author": "A <a@example.com>",
            "timestamp": 1_659_340_000, "branch": "main"},
    })
}

/// What happens: twelve pipelines report, of which one lacks evidence; a miner starts that no pipeline
/// reported, and a hotfix that one reports too late; one deployment is declared and never starts.
pub(super) async fn record_provenance(recorder: &Recorder) {
    let mut prod = Environment::create(recorder, "aws-prod", "Serves cyber-dojo.org").await;
    let mut beta = Environment::create(recorder, "aws-beta", "What is next").await;
    for service in ["creator", "dashboard", "differ", "nginx", "runner", "saver", "web"] {
        let template = format!(
            "version: 1\ntrail:\n  artifacts:\n  - name: {service}\n    attestations:\n    - \
             {{name: branch-coverage, type: generic}}\n"
        );
        let settings = json!({"name": service, "description": format!("Builds {service}")});
        let file = ("template_file", "template.yml", &*template);
        recorder.form("PUT", "/flows/cyber-dojo/template_file", &settings, file).await;
        let image = format!("{service}:16d9990");
        recorder
            .post(&format!("/artifacts/cyber-dojo/{service}"), &artifact(service, &image))
            .await;
        if service != "saver" {
            let evidence = json!({
                "attestation_name": "branch-coverage", "artifact_fingerprint": digest(&image),
                "is_compliant": service != "nginx", "description": "95 % of branches",
            });
            let path = format!("/attestations/cyber-dojo/{service}/trail/{COMMIT}/generic");
            let file = ("attachment_file", "coverage.txt", "95.1");
            recorder.form("POST", &path, &evidence, file).await;
        }
        recorder.wait(MINUTE);
        for environment in ["aws-beta", "aws-prod"] {
            let deployment =
                json!({"artifact_fingerprint": digest(&image), "environment": environment});
            recorder.post(&format!("/deployments/cyber-dojo/{service}"), &deployment).await;
        }
        prod.run(&image, if service == "runner" { 3 } else { 1 });
        if service != "differ" {
            beta.run(&image, 1);
        }
    }
    recorder.wait(MINUTE);
    beta.report().await;
    prod.report().await;
    prod.heartbeats(HOUR, 3).await;
    prod.run("evil/miner:latest", 1);
    prod.run("hotfix:2", 1);
    prod.report().await;
    recorder.wait(2.0 * HOUR);
    recorder.post("/artifacts/cyber-dojo/hotfix", &artifact("hotfix", "hotfix:2")).await;
    let deployment =
        json!({"artifact_fingerprint": digest("runner:16d9990"), "environment": "gone"});
    recorder.post("/deployments/cyber-dojo/runner", &deployment).await;
    beta.run("runner:77d1e90", 1);
    beta.report().await;
    recorder.wait(MINUTE);
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn an_artifact_is_followed_from_its_commit_to_where_it_runs() {
    let recorder = Recorder::start().await;
    record_provenance(&recorder).await;
    let org = format!("{}/cyber-dojo", recorder.url);
    let card = format!("{org}/artifacts/{}", digest("runner:16d9990"));
    for with_script in [true, false] {
        let browser = Browser::start().await;
        browser.look(1_280, "light").await;
        let disabled = json!({"value": !with_script});
        browser.command("Emulation.setScriptExecutionDisabled", &disabled).await;

        // From a commit to its artifacts, with the keyboard alone.
        browser.open(&format!("{org}/environments/aws-prod")).await;
        browser.fill("input[name=q]", "runner:16d9990").await;
        browser.follow_key(ENTER).await;
        assert_eq!(browser.address().await, card);
        assert!(browser.text("h1").await.starts_with("cyberdojo/runner:16d9990"));
        let words = browser.text("main").await;
        for text in [
            "COMPLIANT",
            "aws-prod#1",
            "aws-beta#1",
            "declared, never started",
            "branch-coverage evidence received",
            "Deployment #1 of runner to aws-beta",
        ] {
            assert!(words.contains(text), "{text}: {words}");
        }
        let commits = "return [...document.querySelectorAll('a[href^=http][rel=noreferrer]')].map(a \
                       => a.getAttribute('href'))";
        let commits = browser.evaluate(commits).await;
        assert_eq!(commits[0], json!(format!("{GIT}/runner/commit/{COMMIT}")));
        browser.follow("#evidence ~ .wide tbody a[href*='/trails/']").await;
        assert_eq!(browser.address().await, format!("{org}/flows/runner/trails/{COMMIT}"));

        // A miner is marked wherever it is shown, and its card says why.
        browser.open(&format!("{org}/environments")).await;
        assert!(browser.text(".mark.rogue").await.contains("rogue"));
        browser.open(&format!("{org}/environments/aws-prod")).await;
        browser.follow("th.artifact a[href*='/artifacts/']").await;
        assert!(browser.text("h1").await.contains("evil/miner:latest"));
        assert!(browser.text("h1 .mark").await.contains("rogue"));
        assert!(browser.text("main").await.contains("No pipeline has reported this artifact."));
        assert_eq!(browser.console().await, [""; 0]);
        if with_script {
            for (name, url) in [
                ("provenance-home", recorder.url.clone()),
                ("provenance-environment", format!("{org}/environments/aws-prod")),
                ("provenance-snapshot", format!("{org}/environments/aws-prod/snapshots/-1")),
                ("provenance-comparison", format!("{org}/compare?from=aws-beta&to=aws-prod")),
                ("provenance-card", card.clone()),
                ("provenance-rogue", format!("{org}/artifacts/{}", digest("evil/miner:latest"))),
                ("provenance-late", format!("{org}/artifacts/{}", digest("hotfix:2"))),
                ("provenance-pipelines", format!("{org}/flows")),
                ("provenance-pipeline", format!("{org}/flows/saver")),
                ("provenance-trail", format!("{org}/flows/saver/trails/{COMMIT}")),
                ("provenance-matrix", format!("{org}/matrix")),
                ("provenance-search", format!("{org}/search?q={COMMIT}")),
                ("provenance-nothing-found", format!("{org}/search?q=nothing")),
            ] {
                widths::check(&browser, &url, name).await;
            }
        }
        browser.quit().await;
    }
}

//! The pages about provenance in a browser: artifacts, pipelines, trails and marks.

use serde_json::{Value, json};

use super::browser::Browser;
use super::fixture::{EnvironmentFixture, HOUR, InMemoryRecorder, MINUTE, fake_digest};
use super::{ENTER, widths};

/// The commit of every reported artifact.
const COMMIT: &str = "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4";
const GITHUB_URL: &str = "https://github.com/cyber-dojo";

/// The body with which the pipeline `service` reports the artifact `image`, built from [`COMMIT`].
fn artifact_report(service: &str, image: &str) -> Value {
    json!({
        "fingerprint": fake_digest(image), "filename": format!("cyberdojo/{image}"), "git_commit": COMMIT,
        "trail_name": COMMIT, "template_reference_name": service,
        "commit_url": format!("{GITHUB_URL}/{service}/commit/{COMMIT}"),
        "build_url": format!("{GITHUB_URL}/{service}/actions/runs/2902808452"),
        "repo_url": format!("{GITHUB_URL}/{service}"),
        "git_commit_info": {"sha1": COMMIT, "message": "Start faster", "author": "A <a@example.com>",
            "timestamp": 1_659_340_000, "branch": "main"},
    })
}

/// Records two environments and the pipelines of what runs in them. `saver` has no evidence, and that of
/// `nginx` is not compliant. No pipeline reports `evil/miner`, and `hotfix` is reported only after it
/// started. Deployments of `differ` to `aws-beta` and of `runner` to `gone` are declared, and never start.
pub(super) async fn record_provenance(recorder: &InMemoryRecorder) {
    let mut prod = EnvironmentFixture::create(recorder, "aws-prod", "Serves cyber-dojo.org").await;
    let mut beta = EnvironmentFixture::create(recorder, "aws-beta", "What is next").await;
    for service in ["creator", "dashboard", "differ", "nginx", "runner", "saver", "web"] {
        let template = format!(
            "version: 1\ntrail:\n  artifacts:\n  - name: {service}\n    attestations:\n    - \
             {{name: branch-coverage, type: generic}}\n"
        );
        let settings = json!({"name": service, "description": format!("Builds {service}")});
        let file = ("template_file", "template.yml", &*template);
        recorder.send_form("PUT", "/flows/cyber-dojo/template_file", &settings, file).await;
        let image = format!("{service}:16d9990");
        recorder
            .post(&format!("/artifacts/cyber-dojo/{service}"), &artifact_report(service, &image))
            .await;
        if service != "saver" {
            let evidence = json!({
                "attestation_name": "branch-coverage", "artifact_fingerprint": fake_digest(&image),
                "is_compliant": service != "nginx", "description": "95 % of branches",
            });
            let path = format!("/attestations/cyber-dojo/{service}/trail/{COMMIT}/generic");
            let file = ("attachment_file", "coverage.txt", "95.1");
            recorder.send_form("POST", &path, &evidence, file).await;
        }
        recorder.advance_clock(MINUTE);
        for environment in ["aws-beta", "aws-prod"] {
            let deployment =
                json!({"artifact_fingerprint": fake_digest(&image), "environment": environment});
            recorder.post(&format!("/deployments/cyber-dojo/{service}"), &deployment).await;
        }
        prod.set_replicas(&image, if service == "runner" { 3 } else { 1 });
        if service != "differ" {
            beta.set_replicas(&image, 1);
        }
    }
    recorder.advance_clock(MINUTE);
    beta.report().await;
    prod.report().await;
    prod.report_repeatedly(HOUR, 3).await;
    prod.set_replicas("evil/miner:latest", 1);
    prod.set_replicas("hotfix:2", 1);
    prod.report().await;
    recorder.advance_clock(2.0 * HOUR);
    recorder.post("/artifacts/cyber-dojo/hotfix", &artifact_report("hotfix", "hotfix:2")).await;
    let deployment =
        json!({"artifact_fingerprint": fake_digest("runner:16d9990"), "environment": "gone"});
    recorder.post("/deployments/cyber-dojo/runner", &deployment).await;
    beta.set_replicas("runner:77d1e90", 1);
    beta.report().await;
    recorder.advance_clock(MINUTE);
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn artifact_is_found_by_search_with_its_provenance_and_an_unreported_one_is_marked_rogue() {
    let recorder = InMemoryRecorder::start().await;
    record_provenance(&recorder).await;
    let org = format!("{}/cyber-dojo", recorder.url);
    let artifact_url = format!("{org}/artifacts/{}", fake_digest("runner:16d9990"));
    for with_script in [true, false] {
        let browser = Browser::start().await;
        browser.emulate_display(1_280, "light").await;
        let disabled = json!({"value": !with_script});
        browser.devtools_command("Emulation.setScriptExecutionDisabled", &disabled).await;

        // From a commit to its artifacts, with the keyboard alone.
        browser.open(&format!("{org}/environments/aws-prod")).await;
        browser.fill_field("input[name=q]", "runner:16d9990").await;
        browser.press_key_and_wait_for_page(ENTER).await;
        assert_eq!(browser.current_url().await, artifact_url);
        assert!(browser.element_text("h1").await.starts_with("cyberdojo/runner:16d9990"));
        let page_text = browser.element_text("main").await;
        for expected in [
            "COMPLIANT",
            "aws-prod#1",
            "aws-beta#1",
            "announced, never started",
            "branch-coverage evidence received",
            "Deployment #1 of runner to aws-beta",
        ] {
            assert!(page_text.contains(expected), "{expected}: {page_text}");
        }
        let commit_links_script = "return [...document.querySelectorAll('a[href^=http][rel=noreferrer]')].map(a \
                       => a.getAttribute('href'))";
        let commit_links = browser.run_script(commit_links_script).await;
        assert_eq!(commit_links[0], json!(format!("{GITHUB_URL}/runner/commit/{COMMIT}")));
        browser.click_and_wait_for_page("#evidence ~ .wide tbody a[href*='/trails/']").await;
        assert_eq!(browser.current_url().await, format!("{org}/flows/runner/trails/{COMMIT}"));

        // The unreported artifact is marked on each page, and its own page says why.
        browser.open(&format!("{org}/environments")).await;
        assert!(browser.element_text(".mark.rogue").await.contains("rogue"));
        browser.open(&format!("{org}/environments/aws-prod")).await;
        browser.click_and_wait_for_page("th.artifact a[href*='/artifacts/']").await;
        assert!(browser.element_text("h1").await.contains("evil/miner:latest"));
        assert!(browser.element_text("h1 .mark").await.contains("rogue"));
        assert!(
            browser.element_text("main").await.contains("No pipeline has reported this artifact.")
        );
        assert_eq!(browser.take_console_lines().await, [""; 0]);
        if with_script {
            for (name, url) in [
                ("provenance-home", recorder.url.clone()),
                ("provenance-environment", format!("{org}/environments/aws-prod")),
                ("provenance-snapshot", format!("{org}/environments/aws-prod/snapshots/-1")),
                ("provenance-comparison", format!("{org}/compare?from=aws-beta&to=aws-prod")),
                ("provenance-card", artifact_url.clone()),
                (
                    "provenance-rogue",
                    format!("{org}/artifacts/{}", fake_digest("evil/miner:latest")),
                ),
                ("provenance-late", format!("{org}/artifacts/{}", fake_digest("hotfix:2"))),
                ("provenance-pipelines", format!("{org}/flows")),
                ("provenance-pipeline", format!("{org}/flows/saver")),
                ("provenance-trail", format!("{org}/flows/saver/trails/{COMMIT}")),
                ("provenance-matrix", format!("{org}/matrix")),
                ("provenance-search", format!("{org}/search?q={COMMIT}")),
                ("provenance-nothing-found", format!("{org}/search?q=nothing")),
            ] {
                widths::assert_layout_and_save_screenshots(&browser, &url, name).await;
            }
        }
        browser.quit().await;
    }
}

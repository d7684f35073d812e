//! A task with an image that no pipeline reported is started in the AWS emulator; a scheduled run of the
//! function later, the recorder lists the image as rogue.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::emulator::{Emulator, digest_of};
use crate::page::browser::Browser;
use crate::programs::{ProgramOutput, ROOT, envsnap, eventually};
use crate::recorder::{ENVIRONMENT, ORG, READ_TOKEN, Recorder};
use crate::runtime_emulator::RuntimeEmulator;

/// The commit of each reported artifact.
const COMMIT: &str = "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4";
/// The image that runs before a pipeline reports it.
const UNREPORTED_IMAGE: &str = "public.ecr.aws/x/miner:latest";

/// Runs `envsnap` with these arguments and this recorder as its server.
async fn run_envsnap(recorder: &Recorder, arguments: &[&str]) -> ProgramOutput {
    ProgramOutput::run(envsnap().args(arguments).envs(recorder.variables())).await
}

/// Reports `image` as an artifact of `pipeline`, as the CI job that built it does.
async fn report_artifact(recorder: &Recorder, pipeline: &str, image: &str) {
    let report =
        ["artifact", "report", pipeline, "--name", image, "--commit", COMMIT, "--git", "/"];
    let urls = ["--commit-url", "https://c/1", "--build-url", "https://b/1"];
    let digest = digest_of(image);
    run_envsnap(recorder, &[&report[..], &urls, &["--fingerprint", &digest]].concat())
        .await
        .success();
}

/// Invokes the function with a scheduled event. Returns whether a snapshot was created.
async fn invoke_on_schedule(function: &RuntimeEmulator) -> bool {
    let event = std::fs::read_to_string(format!("{ROOT}/events/scheduled.json")).unwrap();
    let response = function.invoke(&event).await;
    let outcome = response.json();
    assert_eq!(outcome["trigger"], "schedule", "{response:?} {}", function.log());
    outcome["environments"][0]["created"].as_bool().unwrap_or_else(|| panic!("{outcome}"))
}

/// The text of the artifact's mark, `rogue` or `late`, on the environment's page and on the artifact's page.
async fn mark_texts(browser: &Browser, recorder: &Recorder, mark: &str) -> [String; 2] {
    let host = recorder.url.strip_prefix("http://").unwrap();
    let org = format!("http://reader:{READ_TOKEN}@{host}/{ORG}");
    browser.open(&format!("{org}/environments/{ENVIRONMENT}")).await;
    let on_page = browser.element_text(&format!(".mark.{mark}")).await;
    browser.open(&format!("{org}/artifacts/{}", digest_of(UNREPORTED_IMAGE))).await;
    [on_page, browser.element_text("h1 .mark").await]
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn unreported_image_is_rogue_after_one_scheduled_run_and_late_once_it_is_reported() {
    let recorder = Recorder::start().await;
    let aws = Emulator::start().await;
    aws.create_cluster("app").await;
    report_artifact(&recorder, "web", "web:1").await;
    aws.create_service("app", "web", 2, &["web:1"]).await;
    let variables = [
        ("KOSLI_ENVIRONMENT", ENVIRONMENT),
        ("ECS_CLUSTERS", "app"),
        ("AUTO_CREATE_ENVIRONMENT", "true"),
    ];
    let variables = variables.into_iter().chain(aws.variables()).chain(recorder.variables());
    let bootstrap = Path::new(env!("CARGO_BIN_EXE_reporter"));
    let function = RuntimeEmulator::start(bootstrap, 60, variables).await;
    assert!(invoke_on_schedule(&function).await);
    let without_rogue = run_envsnap(&recorder, &["rogue", ENVIRONMENT]).await;
    assert_eq!(without_rogue.code, Some(0), "{without_rogue:?}");

    let before = jiff::Timestamp::now().as_second();
    aws.run_task("app", "cleanup", &[UNREPORTED_IMAGE]).await;
    // The task may still be pending at first.
    eventually(Duration::from_secs(30), "a run makes a snapshot", async || {
        invoke_on_schedule(&function).await.then_some(()).ok_or_else(|| function.log())
    })
    .await;
    let rogue = run_envsnap(&recorder, &["rogue", ENVIRONMENT]).await;
    assert_eq!(rogue.code, Some(1), "{rogue:?}");
    assert!(rogue.stdout.contains(&format!("\nrogue   Name: {UNREPORTED_IMAGE} ")), "{rogue:?}");
    assert!(rogue.stdout.contains("  app/N/A "), "{rogue:?}");
    assert!(rogue.stdout.contains("; no pipeline has reported it\n"), "{rogue:?}");
    assert!(rogue.stdout.contains("\n1 rogue among 2 artifacts of aws-prod#2.\n"), "{rogue:?}");
    let rogue = run_envsnap(&recorder, &["rogue", ENVIRONMENT, "-o", "json"]).await;
    let rogue: Value = serde_json::from_str(&rogue.stdout).unwrap();
    let found = &rogue["artifacts"][0];
    assert_eq!(found["fingerprint"], digest_of(UNREPORTED_IMAGE), "{rogue}");
    assert_eq!(found["places"], json!([{"cluster": "app", "service": null, "replicas": 1}]));
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let before = before as f64;
    assert!(found["first_started"].as_f64().is_some_and(|at| at >= before), "{rogue}");

    let browser = Browser::start().await;
    browser.emulate_display(1_280, "light").await;
    for text in mark_texts(&browser, &recorder, "rogue").await {
        assert!(text.contains("rogue"), "{text}");
    }

    // A pipeline reports the image after it was started.
    report_artifact(&recorder, "tools", UNREPORTED_IMAGE).await;
    let late = run_envsnap(&recorder, &["rogue", ENVIRONMENT]).await;
    assert_eq!(late.code, Some(1), "{late:?}");
    assert!(late.stdout.contains(&format!("\nlate    Name: {UNREPORTED_IMAGE} ")), "{late:?}");
    let words: Vec<_> = late.stdout.split_whitespace().collect();
    let words = words.join(" ");
    assert!(words.contains("; reported by pipeline tools "), "{late:?}");
    assert!(words.contains(" after that"), "{late:?}");
    let late = run_envsnap(&recorder, &["rogue", ENVIRONMENT, "-o", "json"]).await;
    let late: Value = serde_json::from_str(&late.stdout).unwrap();
    assert!(late["artifacts"][0]["delay"].as_f64().is_some_and(|delay| delay > 0.0), "{late}");
    for text in mark_texts(&browser, &recorder, "late").await {
        assert!(text.contains("late"), "{text}");
    }
    browser.quit().await;
}

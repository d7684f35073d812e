//! An unknown image starts by hand in the AWS emulator, and is named a scheduled run later.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::emulator::{Emulator, digest_of};
use crate::page::browser::Browser;
use crate::programs::{ProgramOutput, ROOT, envsnap, eventually};
use crate::recorder::{ENVIRONMENT, ORG, READS, Recorder};
use crate::runtime_emulator::RuntimeEmulator;

const COMMIT: &str = "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4";
const MINER: &str = "public.ecr.aws/x/miner:latest";

async fn ask(recorder: &Recorder, arguments: &[&str]) -> ProgramOutput {
    ProgramOutput::wait(envsnap().args(arguments).envs(recorder.variables())).await
}

/// What a CI job reports of an image that it built.
async fn report_artifact(recorder: &Recorder, pipeline: &str, image: &str) {
    let report =
        ["artifact", "report", pipeline, "--name", image, "--commit", COMMIT, "--git", "/"];
    let urls = ["--commit-url", "https://c/1", "--build-url", "https://b/1"];
    let digest = digest_of(image);
    ask(recorder, &[&report[..], &urls, &["--fingerprint", &digest]].concat()).await.success();
}

/// A scheduled run of the function; whether it made a snapshot.
async fn scheduled_run(function: &RuntimeEmulator) -> bool {
    let event = std::fs::read_to_string(format!("{ROOT}/events/scheduled.json")).unwrap();
    let invoked = function.invoke(&event).await;
    let outcome = invoked.json();
    assert_eq!(outcome["trigger"], "schedule", "{invoked:?} {}", function.log());
    outcome["environments"][0]["created"].as_bool().unwrap_or_else(|| panic!("{outcome}"))
}

/// The text of the mark beside the artifact on the environment's page, and that of its card.
async fn marks(browser: &Browser, recorder: &Recorder, mark: &str) -> [String; 2] {
    let host = recorder.url.strip_prefix("http://").unwrap();
    let org = format!("http://reader:{READS}@{host}/{ORG}");
    browser.open(&format!("{org}/environments/{ENVIRONMENT}")).await;
    let on_page = browser.text(&format!(".mark.{mark}")).await;
    browser.open(&format!("{org}/artifacts/{}", digest_of(MINER))).await;
    [on_page, browser.text("h1 .mark").await]
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn an_unknown_image_is_named_after_one_scheduled_run_and_stays_late_once_it_is_reported() {
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
    assert!(scheduled_run(&function).await);
    let clean = ask(&recorder, &["rogue", ENVIRONMENT]).await;
    assert_eq!(clean.code, Some(0), "{clean:?}");

    let before = jiff::Timestamp::now().as_second();
    aws.run_task("app", "cleanup", &[MINER]).await;
    // The task may still be pending at first.
    eventually(Duration::from_secs(30), "a run makes a snapshot", async || {
        scheduled_run(&function).await.then_some(()).ok_or_else(|| function.log())
    })
    .await;
    let rogue = ask(&recorder, &["rogue", ENVIRONMENT]).await;
    assert_eq!(rogue.code, Some(1), "{rogue:?}");
    assert!(rogue.stdout.contains(&format!("\nrogue   Name: {MINER} ")), "{rogue:?}");
    assert!(rogue.stdout.contains("  app/N/A "), "{rogue:?}");
    assert!(rogue.stdout.contains("; no pipeline has reported it\n"), "{rogue:?}");
    assert!(rogue.stdout.contains("\n1 rogue among 2 artifacts of aws-prod#2.\n"), "{rogue:?}");
    let rogue = ask(&recorder, &["rogue", ENVIRONMENT, "-o", "json"]).await;
    let rogue: Value = serde_json::from_str(&rogue.stdout).unwrap();
    let found = &rogue["artifacts"][0];
    assert_eq!(found["fingerprint"], digest_of(MINER), "{rogue}");
    assert_eq!(found["places"], json!([{"cluster": "app", "service": null, "replicas": 1}]));
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let before = before as f64;
    assert!(found["first_started"].as_f64().is_some_and(|at| at >= before), "{rogue}");

    let browser = Browser::start().await;
    browser.look(1_280, "light").await;
    for mark in marks(&browser, &recorder, "rogue").await {
        assert!(mark.contains("rogue"), "{mark}");
    }

    // Someone covers it up.
    report_artifact(&recorder, "tools", MINER).await;
    let late = ask(&recorder, &["rogue", ENVIRONMENT]).await;
    assert_eq!(late.code, Some(1), "{late:?}");
    assert!(late.stdout.contains(&format!("\nlate    Name: {MINER} ")), "{late:?}");
    let words: Vec<_> = late.stdout.split_whitespace().collect();
    let words = words.join(" ");
    assert!(words.contains("; reported by pipeline tools "), "{late:?}");
    assert!(words.contains(" after that"), "{late:?}");
    let late = ask(&recorder, &["rogue", ENVIRONMENT, "-o", "json"]).await;
    let late: Value = serde_json::from_str(&late.stdout).unwrap();
    assert!(late["artifacts"][0]["delay"].as_f64().is_some_and(|delay| delay > 0.0), "{late}");
    for mark in marks(&browser, &recorder, "late").await {
        assert!(mark.contains("late"), "{mark}");
    }
    browser.quit().await;
}

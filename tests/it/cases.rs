//! Answers of ECS that were reported in public, played to the function's own binary over HTTP.
//!
//! Each folder of `cases/` is a case, which needs no code: `case.json`, or `steps.json` with one for
//! each invocation of one process, says what ECS and the snapshot server answer, and `expected.json`
//! what has to come of it. `cases/README.md` has the fields.

mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use envsnap::report::Trigger;
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use serde_json::Value;

use crate::runtime_api::{Function, InvocationResult};
use world::{Case, Server};

/// More than there are cores: each case waits most of the time.
const CASES_AT_ONCE: usize = 8;

const SCHEDULED_EVENT: &str = include_str!("../../events/scheduled.json");

/// The expected result of an invocation: an entry of `expected.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// `posted`, `unchanged`, or the type of an error.
    outcome: String,
    /// Replicas by name of artifact.
    #[serde(default)]
    running: BTreeMap<String, u64>,
    /// What an error says.
    #[serde(default)]
    says: Vec<String>,
    /// What an error does not say.
    #[serde(default)]
    says_nothing_of: Vec<String>,
}

fn cases_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cases")
}

/// `None` if there is no such file.
fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    let text = fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

#[tokio::test]
async fn every_case_folder_ends_with_its_expected_outcome_and_report() {
    let cases: Vec<_> = fs::read_dir(cases_folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("expected.json").exists())
        .collect();
    assert!(cases.len() > 20, "{}", cases_folder().display());
    let wrong: Vec<_> = stream::iter(cases)
        .map(|path| async move { run_case(&path).await })
        .buffer_unordered(CASES_AT_ONCE)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .flatten()
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The differences from the expected results.
async fn run_case(path: &Path) -> Vec<String> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let steps: Vec<Case> = read_json(&path.join("steps.json"))
        .unwrap_or_else(|| vec![read_json(&path.join("case.json")).unwrap()]);
    let expected: Vec<Expected> = read_json(&path.join("expected.json")).unwrap();
    assert_eq!(steps.len(), expected.len(), "{name}: an expectation for each invocation");

    let server = Server::start().await;
    let mut variables = BTreeMap::from([
        ("AWS_ENDPOINT_URL", server.url.as_str()),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("KOSLI_HOST", server.url.as_str()),
        ("KOSLI_ORG", "acme"),
        ("KOSLI_ENVIRONMENT", "aws-prod"),
        ("KOSLI_API_TOKEN", "t0k3n"),
        ("QUOTA_SHARE", "1"),
        // What the server answers is the same however much was posted.
        ("RECHECK", "15m"),
    ]);
    variables.extend(steps[0].env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let variables: Vec<_> = variables.into_iter().collect();
    server.set_case(steps[0].clone());
    let mut function = Function::start_with(&variables, Stdio::null()).await;
    let mut wrong = Vec::new();
    for (step, expected) in steps.iter().zip(&expected) {
        server.set_case(step.clone());
        let answer = function.invoke(SCHEDULED_EVENT).await;
        let posted = server.take_reports();
        if let Err(difference) = compare(expected, &answer, &posted) {
            wrong.push(format!("{name}: {difference}"));
        }
    }
    wrong
}

fn compare(
    expected: &Expected,
    answer: &InvocationResult,
    posted: &[BTreeMap<String, u64>],
) -> Result<(), String> {
    let Expected { outcome, running, says, says_nothing_of } = expected;
    let environment = &answer.body["environments"][0];
    let came_to = if answer.failed { &answer.body["errorType"] } else { &environment["outcome"] };
    if came_to != outcome.as_str() {
        return Err(format!("{outcome} was expected: {:#}", answer.body));
    }
    let message = answer.body["errorMessage"].as_str().unwrap_or_default();
    if let Some(missing) = says.iter().find(|text| !message.contains(*text)) {
        return Err(format!("it does not say {missing:?}: {message}"));
    }
    if let Some(present) = says_nothing_of.iter().find(|text| message.contains(*text)) {
        return Err(format!("it says {present:?}: {message}"));
    }
    if posted.len() != usize::from(outcome == "posted") {
        return Err(format!("it posted {posted:?}"));
    }
    if answer.failed {
        return Ok(());
    }
    let artifacts = environment["artifacts"].as_array().into_iter().flatten();
    let reported: BTreeMap<_, _> = artifacts
        .map(|artifact| {
            let name = artifact["name"].as_str().unwrap_or_default().to_owned();
            (name, artifact["replicas"].as_u64().unwrap_or_default())
        })
        .collect();
    let all_right = reported == *running && posted.iter().all(|posted| posted == running);
    if all_right { Ok(()) } else { Err(format!("{running:?} run: {reported:?}, {posted:?}")) }
}

#[test]
fn every_event_of_the_cases_folder_is_parsed_as_a_trigger() {
    let mut events = 0;
    for entry in fs::read_dir(cases_folder().join("events")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let trigger = Trigger::parse(&text);
        assert!(trigger.is_ok(), "{}: {trigger:?}", path.display());
        let _: Value = serde_json::from_str(&text).unwrap();
        events += 1;
    }
    assert!(events >= 6, "{events}");
}

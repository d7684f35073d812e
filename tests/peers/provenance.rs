//! From a commit to what runs, with the server's own client: what a CI job reports is read back, and
//! everything a second time on the same recorder with the same result.

use std::path::Path;

use envsnap::standin::{Cluster, StandIn, Task, World};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::emulator::aws_variables;
use crate::programs::{ACCOUNT, ProgramOutput, REGION, command, envsnap};
use crate::recorder::{ENVIRONMENT, Recorder};

const RUNNER: &str = "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";
const MINER: &str = "d8440b94f7f9174c180324ceafd4148360d9d7c916be2b910f132c58b8a943ae";

const TEMPLATE: &str = "version: 1
trail:
  artifacts:
  - name: runner
    attestations:
    - name: branch-coverage
      type: generic
    - name: unit-test
      type: junit
";

const JUNIT: &str = r#"<testsuites><testsuite name="s1" tests="1" failures="0" errors="0" skipped="0" time="1.5" timestamp="2022-08-22T11:35:00"><testcase name="t1" classname="c" time="0.5"/></testsuite></testsuites>"#;

/// A recorder, and a repository with one commit in which the client runs.
struct Project {
    recorder: Recorder,
    folder: TempDir,
    commit: String,
}

impl Project {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("template.yml"), TEMPLATE).unwrap();
        std::fs::create_dir(folder.path().join("results")).unwrap();
        std::fs::write(folder.path().join("results/junit.xml"), JUNIT).unwrap();
        git(folder.path(), &["init", "-q", "."]).await;
        let author = ["-c", "user.name=J", "-c", "user.email=j@example.com"];
        let commit = ["commit", "-q", "--allow-empty", "-m", "first"];
        git(folder.path(), &[&author[..], &commit[..]].concat()).await;
        let commit = git(folder.path(), &["rev-parse", "HEAD"]).await.trim().to_owned();
        Self { recorder: Recorder::start().await, folder, commit }
    }

    async fn kosli(&self, arguments: &[&str]) -> String {
        self.ended(arguments).await.success()
    }

    async fn ended(&self, arguments: &[&str]) -> ProgramOutput {
        let mut kosli = command("kosli");
        kosli.args(arguments).envs(self.recorder.variables()).current_dir(self.folder.path());
        ProgramOutput::wait(&mut kosli).await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.kosli(&[arguments, &["-o", "json"]].concat()).await;
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    /// What a CI job of the runner reports.
    async fn build(&self) -> Vec<String> {
        let trail = ["--flow", "runner", "--trail", &self.commit];
        let at_commit = ["--commit", "HEAD"];
        let urls = ["--build-url", "https://b/1", "--commit-url", "https://c/1"];
        let template = ["--template-file", "template.yml"];
        let mut output = Vec::new();
        for command in [
            [&["create", "flow", "runner", "--description", "Test runner"], &template[..]].concat(),
            [&["begin", "trail", &self.commit, "--flow", "runner"], &at_commit[..]].concat(),
            [
                &["attest", "artifact", "cyberdojo/runner:16d9990", "--fingerprint", RUNNER],
                &["--name", "runner"][..],
                &trail,
                &urls,
                &at_commit,
            ]
            .concat(),
            [
                &["attest", "generic", "--name", "runner.branch-coverage", "--compliant=true"],
                &trail[..],
                &at_commit,
            ]
            .concat(),
            [
                &["attest", "junit", "--name", "unit-test", "--results-dir", "results"],
                &["--fingerprint", RUNNER][..],
                &trail,
            ]
            .concat(),
        ] {
            output.push(self.kosli(&command).await);
        }
        output
    }

    /// The answers to every query of the client, without the times of the queries.
    async fn answers(&self) -> Vec<Value> {
        let by_commit = format!("runner:{}", self.commit);
        let by_fingerprint = format!("runner@{RUNNER}");
        let trail = ["get", "trail", &self.commit, "--flow", "runner"];
        let attestation =
            ["get", "attestation", "unit-test", "--flow", "runner", "--trail", &self.commit];
        let mut answers = Vec::new();
        for question in [
            &["list", "flows"][..],
            &["get", "flow", "runner"],
            &["list", "trails", "--flow", "runner"],
            &trail,
            &["list", "artifacts", "--flow", "runner"],
            &["get", "artifact", &by_commit],
            &["get", "artifact", &by_fingerprint],
            &attestation,
            &["search", &self.commit[..7]],
            &["search", &RUNNER[..7]],
        ] {
            self.kosli(question).await;
            let mut answer = self.json(question).await;
            // When the state was evaluated.
            remove(&mut answer, "evaluated_at");
            answers.push(answer);
        }
        answers
    }
}

fn remove(value: &mut Value, field: &str) {
    match value {
        Value::Object(fields) => {
            fields.remove(field);
            fields.values_mut().for_each(|value| remove(value, field));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| remove(value, field)),
        _ => {}
    }
}

/// The lines of a card, each with one space between words.
fn words(card: &str) -> Vec<String> {
    card.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

async fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut git = tokio::process::Command::new("git");
    git.current_dir(folder).args(arguments);
    ProgramOutput::wait(&mut git).await.success()
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn a_job_s_reports_are_read_back_and_repeating_them_changes_nothing() {
    let project = Project::new().await;
    let output = project.build().await;
    assert_eq!(output[0], "flow 'runner' was created\n");
    assert!(output[1].ends_with("was begun\n"), "{output:?}");
    let card = project.kosli(&["get", "artifact", &format!("runner@{RUNNER}")]).await;
    let lines = words(&card);
    for wanted in [
        "Name: cyberdojo/runner:16d9990",
        "Flow: runner",
        "Name in template: runner",
        &format!("Fingerprint: {RUNNER}"),
        &format!("Git commit: {}", project.commit),
        "Commit URL: https://c/1",
        "Build URL: https://b/1",
        "State: COMPLIANT",
    ] {
        assert!(lines.iter().any(|line| line == wanted), "{wanted} is not in {card}");
    }
    for wanted in
        ["Artifact created", "branch-coverage evidence received", "unit-test evidence received"]
    {
        assert!(lines.iter().any(|line| line.starts_with(wanted)), "{wanted} is not in {card}");
    }
    let first = project.answers().await;
    let again = project.build().await;
    assert_eq!(again[0], "flow 'runner' was updated\n");
    assert_eq!(project.answers().await, first);
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_client_sees_what_runs_with_its_provenance_and_what_runs_without() {
    let project = Project::new().await;
    project.build().await;
    let image = |image: &str| format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{image}");
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(60);
    let task = |name: &str, fingerprint: &str| {
        let digest = format!("sha256:{fingerprint}");
        Task::in_service(name).running_since(now).container(name, &image(name), &digest)
    };
    let app = Cluster::new("app").task(task("runner", RUNNER)).task(task("miner", MINER));
    let ecs = StandIn::start(World::new(REGION, ACCOUNT).cluster(app)).await.unwrap();
    project.kosli(&["create", "environment", ENVIRONMENT, "--type", "ECS"]).await;
    let mut report = envsnap();
    report.args(["report"]).envs(project.recorder.variables());
    report.envs(aws_variables(&ecs.endpoint())).env("KOSLI_ENVIRONMENT", ENVIRONMENT);
    ProgramOutput::wait(&mut report).await.success();

    let snapshot = project.json(&["get", "snapshot", ENVIRONMENT]).await;
    let origins: Vec<_> = snapshot["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| json!([it["fingerprint"], it["flow_name"], it["origin"]["status"]]))
        .collect();
    assert!(origins.contains(&json!([RUNNER, "runner", "known"])), "{origins:?}");
    assert!(origins.contains(&json!([MINER, null, "rogue"])), "{origins:?}");
    let table = project.kosli(&["get", "snapshot", ENVIRONMENT]).await;
    assert!(table.contains(&project.commit[..7]) && table.contains("runner"), "{table}");
    let found = project.kosli(&["search", &MINER[..7]]).await;
    assert!(words(&found).contains(&"Has provenance: false".to_owned()), "{found}");
    let card = project.kosli(&["get", "artifact", &format!("runner@{RUNNER}")]).await;
    let running = format!("Running in environments: {ENVIRONMENT}#1");
    assert!(words(&card).contains(&running), "{card}");

    let allow = ["allow", "artifact", "miner", "--fingerprint", MINER];
    let why = ["--environment", ENVIRONMENT, "--reason", "a load test"];
    project.kosli(&[&allow[..], &why].concat()).await;
    let snapshot = project.json(&["get", "snapshot", ENVIRONMENT]).await;
    let allowed = snapshot["artifacts"].as_array().unwrap().iter();
    let allowed: Vec<_> = allowed.filter(|it| it["origin"]["status"] == "allowed").collect();
    assert_eq!(allowed.len(), 1, "{snapshot}");
    assert_eq!(allowed[0]["origin"]["allowed"], "a load test");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn records_that_are_not_kept_or_missing_are_explained() {
    let project = Project::new().await;
    for (arguments, wanted) in [
        (&["list", "policies"][..], "This recorder does not keep policies"),
        (&["list", "controls"], "This recorder does not keep controls"),
        (&["get", "flow", "x"], "Flow named 'x' does not exist for organization 'cyber-dojo'"),
        (
            &["get", "trail", "t", "--flow", "x"],
            "Trail with name 't' does not exist for Organization 'cyber-dojo' and Flow 'x'",
        ),
        (&["search", "00000"], "No matches for '00000'."),
        (&["get", "artifact", &format!("x@{RUNNER}")], "Flow named 'x' does not exist"),
    ] {
        let ended = project.ended(arguments).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(wanted), "{arguments:?}: {ended:?}");
    }
}

//! Provenance with the `kosli` client against a recorder: what a CI job reports is read back by queries, and
//! reporting it a second time changes no answer.

use std::path::Path;

use envsnap::standin::{Cluster, StandIn, Task, World};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::emulator::aws_variables;
use crate::programs::{ACCOUNT, ProgramOutput, REGION, command, envsnap};
use crate::recorder::{ENVIRONMENT, Recorder};

/// The SHA-256 fingerprint of the image that the pipeline `runner` builds and reports.
const RUNNER_FINGERPRINT: &str = "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";
/// The SHA-256 fingerprint of an image that no pipeline reports.
const MINER_FINGERPRINT: &str = "d8440b94f7f9174c180324ceafd4148360d9d7c916be2b910f132c58b8a943ae";

/// The attestations that the flow `runner` expects of each artifact.
const FLOW_TEMPLATE: &str = "version: 1
trail:
  artifacts:
  - name: runner
    attestations:
    - name: branch-coverage
      type: generic
    - name: unit-test
      type: junit
";

/// A test report with one test, which passed.
const JUNIT_XML: &str = r#"<testsuites><testsuite name="s1" tests="1" failures="0" errors="0" skipped="0" time="1.5" timestamp="2022-08-22T11:35:00"><testcase name="t1" classname="c" time="0.5"/></testsuite></testsuites>"#;

/// A recorder, and the git repository in which the `kosli` client runs.
struct Project {
    recorder: Recorder,
    repository: TempDir,
    /// The full hash of the only commit.
    commit: String,
}

impl Project {
    /// Makes the repository with one commit, and starts the recorder.
    async fn new() -> Self {
        let repository = TempDir::new().unwrap();
        std::fs::write(repository.path().join("template.yml"), FLOW_TEMPLATE).unwrap();
        std::fs::create_dir(repository.path().join("results")).unwrap();
        std::fs::write(repository.path().join("results/junit.xml"), JUNIT_XML).unwrap();
        run_git(repository.path(), &["init", "-q", "."]).await;
        let author = ["-c", "user.name=J", "-c", "user.email=j@example.com"];
        let commit = ["commit", "-q", "--allow-empty", "-m", "first"];
        run_git(repository.path(), &[&author[..], &commit[..]].concat()).await;
        let commit = run_git(repository.path(), &["rev-parse", "HEAD"]).await.trim().to_owned();
        Self { recorder: Recorder::start().await, repository, commit }
    }

    /// Runs the client, which must succeed, and returns its standard output.
    async fn kosli(&self, arguments: &[&str]) -> String {
        self.kosli_output(arguments).await.success()
    }

    /// Runs the client, which may fail.
    async fn kosli_output(&self, arguments: &[&str]) -> ProgramOutput {
        let mut kosli = command("kosli");
        kosli.args(arguments).envs(self.recorder.variables()).current_dir(self.repository.path());
        ProgramOutput::run(&mut kosli).await
    }

    /// Runs the client with `-o json`, and parses what it prints.
    async fn kosli_json(&self, arguments: &[&str]) -> Value {
        let printed = self.kosli(&[arguments, &["-o", "json"]].concat()).await;
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    /// Reports what the CI job of pipeline `runner` reports: flow, trail, artifact and its attestations.
    /// Returns the output of each command.
    async fn report_ci_job(&self) -> Vec<String> {
        let trail = ["--flow", "runner", "--trail", &self.commit];
        let at_commit = ["--commit", "HEAD"];
        let urls = ["--build-url", "https://b/1", "--commit-url", "https://c/1"];
        let template = ["--template-file", "template.yml"];
        let mut output = Vec::new();
        for command in [
            [&["create", "flow", "runner", "--description", "Test runner"], &template[..]].concat(),
            [&["begin", "trail", &self.commit, "--flow", "runner"], &at_commit[..]].concat(),
            [
                &[
                    "attest",
                    "artifact",
                    "cyberdojo/runner:16d9990",
                    "--fingerprint",
                    RUNNER_FINGERPRINT,
                ],
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
                &["--fingerprint", RUNNER_FINGERPRINT][..],
                &trail,
            ]
            .concat(),
        ] {
            output.push(self.kosli(&command).await);
        }
        output
    }

    /// The JSON answer to each query command of the client, without the times of the queries.
    async fn query_answers(&self) -> Vec<Value> {
        let by_commit = format!("runner:{}", self.commit);
        let by_fingerprint = format!("runner@{RUNNER_FINGERPRINT}");
        let trail = ["get", "trail", &self.commit, "--flow", "runner"];
        let attestation =
            ["get", "attestation", "unit-test", "--flow", "runner", "--trail", &self.commit];
        let mut answers = Vec::new();
        for query in [
            &["list", "flows"][..],
            &["get", "flow", "runner"],
            &["list", "trails", "--flow", "runner"],
            &trail,
            &["list", "artifacts", "--flow", "runner"],
            &["get", "artifact", &by_commit],
            &["get", "artifact", &by_fingerprint],
            &attestation,
            &["search", &self.commit[..7]],
            &["search", &RUNNER_FINGERPRINT[..7]],
        ] {
            self.kosli(query).await;
            let mut answer = self.kosli_json(query).await;
            // The time of the query.
            remove_field(&mut answer, "evaluated_at");
            answers.push(answer);
        }
        answers
    }
}

/// Removes `field` from every object in `value`, at any depth.
fn remove_field(value: &mut Value, field: &str) {
    match value {
        Value::Object(fields) => {
            fields.remove(field);
            fields.values_mut().for_each(|value| remove_field(value, field));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| remove_field(value, field)),
        _ => {}
    }
}

/// The lines of `text`, with each run of white space as one space.
fn normalized_lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// Runs git in `repository`, where it must succeed, and returns its standard output.
async fn run_git(repository: &Path, arguments: &[&str]) -> String {
    let mut git = tokio::process::Command::new("git");
    git.current_dir(repository).args(arguments);
    ProgramOutput::run(&mut git).await.success()
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn reports_of_a_ci_job_are_read_back_and_repeating_them_changes_nothing() {
    let project = Project::new().await;
    let output = project.report_ci_job().await;
    assert_eq!(output[0], "flow 'runner' was created\n");
    assert!(output[1].ends_with("was begun\n"), "{output:?}");
    let card = project.kosli(&["get", "artifact", &format!("runner@{RUNNER_FINGERPRINT}")]).await;
    let lines = normalized_lines(&card);
    for expected in [
        "Name: cyberdojo/runner:16d9990",
        "Flow: runner",
        "Name in template: runner",
        &format!("Fingerprint: {RUNNER_FINGERPRINT}"),
        &format!("Git commit: {}", project.commit),
        "Commit URL: https://c/1",
        "Build URL: https://b/1",
        "State: COMPLIANT",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected} is not in {card}");
    }
    for expected in
        ["Artifact created", "branch-coverage evidence received", "unit-test evidence received"]
    {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected} is not in {card}");
    }
    let first = project.query_answers().await;
    let repeated = project.report_ci_job().await;
    assert_eq!(repeated[0], "flow 'runner' was updated\n");
    assert_eq!(project.query_answers().await, first);
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn snapshot_shows_known_origin_of_reported_artifact_and_rogue_one_until_it_is_allowed() {
    let project = Project::new().await;
    project.report_ci_job().await;
    let image = |image: &str| format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{image}");
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(60);
    let task = |name: &str, fingerprint: &str| {
        let digest = format!("sha256:{fingerprint}");
        Task::in_service(name).running_since(now).container(name, &image(name), &digest)
    };
    let app = Cluster::new("app")
        .task(task("runner", RUNNER_FINGERPRINT))
        .task(task("miner", MINER_FINGERPRINT));
    let ecs = StandIn::start(World::new(REGION, ACCOUNT).cluster(app)).await.unwrap();
    project.kosli(&["create", "environment", ENVIRONMENT, "--type", "ECS"]).await;
    let mut report = envsnap();
    report.args(["report"]).envs(project.recorder.variables());
    report.envs(aws_variables(&ecs.endpoint())).env("KOSLI_ENVIRONMENT", ENVIRONMENT);
    ProgramOutput::run(&mut report).await.success();

    let snapshot = project.kosli_json(&["get", "snapshot", ENVIRONMENT]).await;
    let origins: Vec<_> = snapshot["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| json!([it["fingerprint"], it["flow_name"], it["origin"]["status"]]))
        .collect();
    assert!(origins.contains(&json!([RUNNER_FINGERPRINT, "runner", "known"])), "{origins:?}");
    assert!(origins.contains(&json!([MINER_FINGERPRINT, null, "rogue"])), "{origins:?}");
    let table = project.kosli(&["get", "snapshot", ENVIRONMENT]).await;
    assert!(table.contains(&project.commit[..7]) && table.contains("runner"), "{table}");
    let search = project.kosli(&["search", &MINER_FINGERPRINT[..7]]).await;
    assert!(normalized_lines(&search).contains(&"Has provenance: false".to_owned()), "{search}");
    let card = project.kosli(&["get", "artifact", &format!("runner@{RUNNER_FINGERPRINT}")]).await;
    let running = format!("Running in environments: {ENVIRONMENT}#1");
    assert!(normalized_lines(&card).contains(&running), "{card}");

    let allow = ["allow", "artifact", "miner", "--fingerprint", MINER_FINGERPRINT];
    let reason = ["--environment", ENVIRONMENT, "--reason", "a load test"];
    project.kosli(&[&allow[..], &reason].concat()).await;
    let snapshot = project.kosli_json(&["get", "snapshot", ENVIRONMENT]).await;
    let allowed = snapshot["artifacts"].as_array().unwrap().iter();
    let allowed: Vec<_> = allowed.filter(|it| it["origin"]["status"] == "allowed").collect();
    assert_eq!(allowed.len(), 1, "{snapshot}");
    assert_eq!(allowed[0]["origin"]["allowed"], "a load test");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn queries_for_unsupported_or_missing_records_fail_with_an_explanation() {
    let project = Project::new().await;
    for (arguments, expected) in [
        (&["list", "policies"][..], "This recorder does not keep policies"),
        (&["list", "controls"], "This recorder does not keep controls"),
        (&["get", "flow", "x"], "Flow named 'x' does not exist for organization 'cyber-dojo'"),
        (
            &["get", "trail", "t", "--flow", "x"],
            "Trail with name 't' does not exist for Organization 'cyber-dojo' and Flow 'x'",
        ),
        (&["search", "00000"], "No matches for '00000'."),
        (&["get", "artifact", &format!("x@{RUNNER_FINGERPRINT}")], "Flow named 'x' does not exist"),
    ] {
        let output = project.kosli_output(arguments).await;
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(expected), "{arguments:?}: {output:?}");
    }
}

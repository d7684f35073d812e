//! The commands of the tutorial, twice against one recorder: with `envsnap`, which has the commands that the
//! tutorial uses, and with today's `kosli` client. The queries print the same the second time.

use envsnap::standin::{Cluster, StandIn, Task, World};
use serde_json::Value;
use tempfile::TempDir;

use crate::emulator::aws_variables;
use crate::programs::{ACCOUNT, ProgramOutput, REGION, command, envsnap};
use crate::recorder::{ENVIRONMENT, ORG, Recorder, WRITE_TOKEN};

/// The commit from which the pipeline `runner` builds [`RUNNER_FINGERPRINT`].
const COMMIT: &str = "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4";
/// The SHA-256 fingerprint of the image that runs at the end.
const RUNNER_FINGERPRINT: &str = "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";
/// The commit before, from which the pipeline built [`OLD_RUNNER_FINGERPRINT`].
const OLD_COMMIT: &str = "85d83c6ab8e0ce800baeef3dfa4fa9f6eee338a4";
/// The SHA-256 fingerprint of the image that stops after the first snapshot.
const OLD_RUNNER_FINGERPRINT: &str =
    "eeb0cfc9ee7f69fbd9531d5b8c1e8d22a8de119e2a422344a714a868e9a8bfec";

/// What `envsnap pipeline ls` prints, and the pipelines that are created.
const PIPELINE_TABLE: &str = "\
NAME                    DESCRIPTION                         VISIBILITY
creator                 UX for Group/Kata creation          public
custom-start-points     Custom exercises choices            public
dashboard               UX for a group practice dashboard   public
differ                  Diff files from two traffic-lights  public
exercises-start-points  Exercises choices                   public
languages-start-points  Language+TestFramework choices      public
nginx                   Reverse proxy                       public
repler                  REPL for Python images              public
runner                  Test runner                         public
saver                   Group/Kata model+persistence        public
shas                    UX for git+image shas               public
web                     UX for practicing TDD               public
";

/// The fields of a JSON answer that depend on the time of the query.
const TIME_DEPENDENT_FIELDS: [&str; 6] = [
    "duration",
    "evaluated_at",
    "last_modified_at",
    "last_reported_at",
    "latest_activity_at",
    "to",
];

/// A recorder, a stand-in for ECS that runs two versions of `runner`, and the folder in which commands run.
struct TutorialFixture {
    recorder: Recorder,
    ecs: StandIn,
    folder: TempDir,
}

impl TutorialFixture {
    /// Starts the recorder and the stand-in, where three tasks of the new version and one of the old one run.
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let template = "version: 1\ntrail:\n  artifacts:\n  - name: runner\n    attestations:\n    \
                        - {name: branch-coverage, type: generic}\n";
        std::fs::write(folder.path().join("template.yml"), template).unwrap();
        let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(60);
        let task = |tag: &str, digest: &str| {
            let image = format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/runner:{tag}");
            let digest = format!("sha256:{digest}");
            Task::in_service("runner").running_since(now).container("runner", &image, &digest)
        };
        let cluster = Cluster::new("prod")
            .tasks(3, &task("16d9990", RUNNER_FINGERPRINT))
            .task(task("85d83c6", OLD_RUNNER_FINGERPRINT));
        let ecs = StandIn::start(World::new(REGION, ACCOUNT).cluster(cluster)).await.unwrap();
        Self { recorder: Recorder::start().await, ecs, folder }
    }

    /// Runs `envsnap` with the tutorial's variables: the organization is in `KOSLI_OWNER`. Returns what it
    /// prints.
    async fn run_envsnap(&self, arguments: &[&str]) -> String {
        let mut program = envsnap();
        program.args(arguments).current_dir(self.folder.path());
        program.envs([
            ("KOSLI_HOST", &*self.recorder.url),
            ("KOSLI_OWNER", ORG),
            ("KOSLI_API_TOKEN", WRITE_TOKEN),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "cyber-dojo/runner"),
            ("GITHUB_RUN_ID", "2902808452"),
        ]);
        ProgramOutput::run(&mut program).await.success()
    }

    /// Runs the `kosli` client, and returns what it prints.
    async fn run_kosli(&self, arguments: &[&str]) -> String {
        let mut kosli = command("kosli");
        kosli.args(arguments).envs(self.recorder.variables()).current_dir(self.folder.path());
        ProgramOutput::run(&mut kosli).await.success()
    }

    /// Reports a snapshot of the stand-in to the recorder with `envsnap report`.
    async fn report_snapshot(&self) {
        let mut report = envsnap();
        report.arg("report").envs(self.recorder.variables());
        report.envs(aws_variables(&self.ecs.endpoint())).env("KOSLI_ENVIRONMENT", ENVIRONMENT);
        ProgramOutput::run(&mut report).await.success();
    }

    /// Reports what a CI job of pipeline `runner` does: a build, its coverage, and deployments to both
    /// environments.
    async fn report_runner_job(&self, commit: &str, digest: &str) {
        let name = format!("cyberdojo/runner:{}", &commit[..7]);
        let about = ["--fingerprint", digest, "--commit", commit, "--git", "/"];
        let report = ["artifact", "report", "runner", "--name", &name];
        let template = ["--template-name", "runner"];
        self.run_envsnap(&[&report[..], &about, &template].concat()).await;
        let evidence = ["artifact", "evidence", "runner", "--name", "branch-coverage"];
        let generic = ["--generic", "--compliant", "true"];
        self.run_envsnap(&[&evidence[..], &about, &generic].concat()).await;
        for environment in ["aws-beta", ENVIRONMENT] {
            let deployment = ["artifact", "deployment", "runner", "--environment", environment];
            self.run_envsnap(&[&deployment[..], &about].concat()).await;
        }
    }

    /// Creates the pipelines, and reports a CI job of `runner` with `envsnap` and one of `differ` with
    /// `kosli`.
    async fn report_ci_jobs(&self) {
        for line in PIPELINE_TABLE.lines().skip(1) {
            let (name, rest) = line.split_once("  ").unwrap();
            let description = rest.strip_suffix("public").unwrap().trim();
            let mut create = vec!["pipeline", "create", name, "--description", description];
            create.extend(["--visibility", "public"]);
            if name == "runner" {
                create.extend(["--template-file", "template.yml"]);
            }
            self.run_envsnap(&create).await;
        }
        self.report_runner_job(COMMIT, RUNNER_FINGERPRINT).await;
        let trail = ["--flow", "differ", "--trail", "1a2b170"];
        let urls = ["--build-url", "https://b/1", "--commit-url", "https://c/1"];
        let commit = ["--commit", "HEAD", "--name", "differ", "--fingerprint"];
        let digest = "d8440b94f7f9174c180324ceafd4148360d9d7c916be2b910f132c58b8a943ae";
        let artifact = ["attest", "artifact", "cyberdojo/differ:1a2b170"];
        self.run_kosli(&[&["begin", "trail", "1a2b170"], &trail[..2]].concat()).await;
        self.run_kosli(&[&artifact[..], &commit, &[digest], &trail, &urls].concat()).await;
        let generic = ["attest", "generic", "--name", "lint", "--compliant=true"];
        self.run_kosli(&[&generic[..], &["--fingerprint", digest], &trail].concat()).await;
    }

    /// Each query with its answer as the lines of a table and as JSON, both without what depends on the time.
    async fn query_answers(&self) -> Vec<(String, Vec<String>, Value)> {
        let mut answers = Vec::new();
        let by_commit = format!("runner:{COMMIT}");
        for query in [
            &["pipeline", "ls"][..],
            &["artifact", "ls", "runner"],
            &["artifact", "get", &by_commit],
            &["artifact", "get", "runner@9af401c"],
            &["env", "ls"],
            &["env", "get", "aws-prod#1"],
            &["env", "get", "aws-prod#2"],
            &["env", "diff", "aws-prod#1", "aws-prod#2"],
            &["env", "log", "aws-prod"],
            &["artifact", "where", "runner"],
            &["trace", "16d9990"],
            &["missing", "aws-prod"],
            &["rogue", "aws-prod"],
        ] {
            let table = self.run_envsnap(query).await;
            let json = self.run_envsnap(&[query, &["-o", "json"]].concat()).await;
            answers.push((query.join(" "), normalized_lines(&table), parse_without_times(&json)));
        }
        for query in [
            &["list", "flows"][..],
            &["get", "artifact", &by_commit],
            &["list", "artifacts", "--flow", "runner"],
            &["get", "trail", COMMIT, "--flow", "runner"],
            &["get", "trail", "1a2b170", "--flow", "differ"],
            &["search", "16d9990"],
            &["get", "snapshot", "aws-prod#1"],
            &["diff", "snapshots", "aws-prod#1", "aws-prod#2"],
            &["log", "environment", "aws-prod"],
        ] {
            let table = self.run_kosli(query).await;
            let json = self.run_kosli(&[query, &["-o", "json"]].concat()).await;
            answers.push((
                format!("kosli {}", query.join(" ")),
                normalized_lines(&table),
                parse_without_times(&json),
            ));
        }
        answers
    }
}

/// The lines of `text`, with each run of white space as one space, and each age or duration such as
/// `3 days ago` or `2 min 5 s` as `AGE`.
fn normalized_lines(text: &str) -> Vec<String> {
    let ages = concat!(
        r"just now|(\d+|about an?) (second|minute|hour|day)s?( ago)?|less than a second( ago)?|",
        r"under 1 s\b|\b\d+ (d|h|min|s)\b( \d+ (h|min|s)\b)?",
    );
    let ages = regex_lite::Regex::new(ages).unwrap();
    ages.replace_all(text, "AGE")
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// Parses JSON, and removes [`TIME_DEPENDENT_FIELDS`] at any depth.
fn parse_without_times(text: &str) -> Value {
    fn remove_times(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !TIME_DEPENDENT_FIELDS.contains(&&**name));
                fields.values_mut().for_each(remove_times);
            }
            Value::Array(items) => items.iter_mut().for_each(remove_times),
            _ => {}
        }
    }
    let mut value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    remove_times(&mut value);
    value
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn tutorial_commands_run_twice_and_queries_answer_the_same() {
    let fixture = TutorialFixture::new().await;
    for arguments in [&["init", "-q", "."][..], &["commit", "-q", "--allow-empty", "-m", "first"]] {
        let author = ["-c", "user.name=J", "-c", "user.email=j@example.com"];
        let mut git = tokio::process::Command::new("git");
        git.current_dir(fixture.folder.path()).args(author).args(arguments);
        ProgramOutput::run(&mut git).await.success();
    }
    for environment in ["aws-beta", ENVIRONMENT] {
        fixture.run_envsnap(&["env", "create", environment]).await;
    }
    // Reported only once: a second report would be a roll-back to the old version.
    fixture.report_runner_job(OLD_COMMIT, OLD_RUNNER_FINGERPRINT).await;
    fixture.report_ci_jobs().await;
    fixture.report_snapshot().await;
    fixture.ecs.update(|world| {
        let is_old_version = |task: &&mut Task| {
            let image = task.containers[0].image.as_deref();
            image.is_some_and(|image| image.ends_with(":85d83c6"))
        };
        world.cluster_mut("prod").tasks.values_mut().filter(is_old_version).for_each(Task::stop);
    });
    fixture.report_snapshot().await;

    assert_eq!(fixture.run_envsnap(&["pipeline", "ls"]).await, PIPELINE_TABLE);
    let card = fixture.run_envsnap(&["artifact", "get", &format!("runner:{COMMIT}")]).await;
    let has_no_time = |line: &&str| !line.starts_with("Created on: ");
    let card: Vec<_> = card
        .lines()
        .filter(has_no_time)
        .map(|line| line.split("  ").find(|part| !part.is_empty()).unwrap().trim())
        .collect();
    let field_names =
        ["Name:", "SHA256:", "Git commit:", "Commit URL:", "Build URL:", "State:", "History:"];
    assert_eq!(card[..7], field_names);
    assert_eq!(
        card[7..],
        [
            "Artifact created",
            "branch-coverage evidence received",
            "Deployment #3 to aws-beta environment",
            "Deployment #4 to aws-prod environment",
            "Reported running in aws-prod#1 environment",
        ]
    );
    let first = fixture.query_answers().await;
    for (query, texts) in [
        ("env get aws-prod#1", &[RUNNER_FINGERPRINT, OLD_RUNNER_FINGERPRINT, "16d9990"][..]),
        ("env get aws-prod#2", &[RUNNER_FINGERPRINT, "16d9990"]),
        ("env diff aws-prod#1 aws-prod#2", &[OLD_RUNNER_FINGERPRINT, "85d83c6"]),
        ("artifact where runner", &[RUNNER_FINGERPRINT, OLD_RUNNER_FINGERPRINT]),
        ("trace 16d9990", &[RUNNER_FINGERPRINT, "16d9990", "aws-prod"]),
        ("kosli get snapshot aws-prod#1", &[RUNNER_FINGERPRINT, OLD_RUNNER_FINGERPRINT]),
        ("kosli diff snapshots aws-prod#1 aws-prod#2", &[OLD_RUNNER_FINGERPRINT]),
        ("kosli log environment aws-prod", &[RUNNER_FINGERPRINT, OLD_RUNNER_FINGERPRINT]),
        ("kosli list artifacts --flow runner", &[RUNNER_FINGERPRINT, OLD_RUNNER_FINGERPRINT]),
        ("kosli search 16d9990", &[RUNNER_FINGERPRINT]),
    ] {
        let (_, table, json) = first.iter().find(|(asked, ..)| asked == query).unwrap();
        for text in texts {
            assert!(json.to_string().contains(text), "{query}: {text}: {json}");
            // Tables may cut it.
            assert!(table.join("\n").contains(&text[..7]), "{query}: {text}: {table:#?}");
        }
    }
    fixture.report_ci_jobs().await;
    fixture.report_snapshot().await;
    for (first, second) in first.iter().zip(&fixture.query_answers().await) {
        assert_eq!(first, second);
    }
}

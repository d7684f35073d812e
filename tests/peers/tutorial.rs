//! The tutorial, twice against one recorder, with the same answers: in its own words with `envsnap`, and in
//! today's with the server's own client; as tables and as JSON.

use envsnap::standin::{Cluster, StandIn, Task, World};
use serde_json::Value;
use tempfile::TempDir;

use crate::emulator::aws_variables;
use crate::programs::{ACCOUNT, ProgramOutput, REGION, command, envsnap};
use crate::recorder::{ENVIRONMENT, ORG, Recorder, WRITES};

const COMMIT: &str = "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4";
const RUNNER: &str = "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";
const OLD_COMMIT: &str = "85d83c6ab8e0ce800baeef3dfa4fa9f6eee338a4";
const OLD_RUNNER: &str = "eeb0cfc9ee7f69fbd9531d5b8c1e8d22a8de119e2a422344a714a868e9a8bfec";

const PIPELINES: &str = "\
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

/// The fields that differ between two answers because of the time of the query.
const TIMES: [&str; 6] = [
    "duration",
    "evaluated_at",
    "last_modified_at",
    "last_reported_at",
    "latest_activity_at",
    "to",
];

struct Reader {
    recorder: Recorder,
    ecs: StandIn,
    folder: TempDir,
}

impl Reader {
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
        let prod = Cluster::new("prod")
            .tasks(3, &task("16d9990", RUNNER))
            .task(task("85d83c6", OLD_RUNNER));
        let ecs = StandIn::start(World::new(REGION, ACCOUNT).cluster(prod)).await.unwrap();
        Self { recorder: Recorder::start().await, ecs, folder }
    }

    /// In the tutorial's words: the organization is in `KOSLI_OWNER`.
    async fn envsnap(&self, arguments: &[&str]) -> String {
        let mut program = envsnap();
        program.args(arguments).current_dir(self.folder.path());
        program.envs([
            ("KOSLI_HOST", &*self.recorder.url),
            ("KOSLI_OWNER", ORG),
            ("KOSLI_API_TOKEN", WRITES),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "cyber-dojo/runner"),
            ("GITHUB_RUN_ID", "2902808452"),
        ]);
        ProgramOutput::wait(&mut program).await.success()
    }

    async fn kosli(&self, arguments: &[&str]) -> String {
        let mut kosli = command("kosli");
        kosli.args(arguments).envs(self.recorder.variables()).current_dir(self.folder.path());
        ProgramOutput::wait(&mut kosli).await.success()
    }

    /// What the function does once.
    async fn report(&self) {
        let mut report = envsnap();
        report.arg("report").envs(self.recorder.variables());
        report.envs(aws_variables(&self.ecs.endpoint())).env("KOSLI_ENVIRONMENT", ENVIRONMENT);
        ProgramOutput::wait(&mut report).await.success();
    }

    /// A job of runner's: it builds, measures the coverage and deploys.
    async fn job(&self, commit: &str, digest: &str) {
        let name = format!("cyberdojo/runner:{}", &commit[..7]);
        let about = ["--fingerprint", digest, "--commit", commit, "--git", "/"];
        let report = ["artifact", "report", "runner", "--name", &name];
        let template = ["--template-name", "runner"];
        self.envsnap(&[&report[..], &about, &template].concat()).await;
        let evidence = ["artifact", "evidence", "runner", "--name", "branch-coverage"];
        let generic = ["--generic", "--compliant", "true"];
        self.envsnap(&[&evidence[..], &about, &generic].concat()).await;
        for environment in ["aws-beta", ENVIRONMENT] {
            let deployment = ["artifact", "deployment", "runner", "--environment", environment];
            self.envsnap(&[&deployment[..], &about].concat()).await;
        }
    }

    /// What CI jobs report, with `envsnap` and with the server's own client.
    async fn jobs(&self) {
        for line in PIPELINES.lines().skip(1) {
            let (name, rest) = line.split_once("  ").unwrap();
            let description = rest.strip_suffix("public").unwrap().trim();
            let mut create = vec!["pipeline", "create", name, "--description", description];
            create.extend(["--visibility", "public"]);
            if name == "runner" {
                create.extend(["--template-file", "template.yml"]);
            }
            self.envsnap(&create).await;
        }
        self.job(COMMIT, RUNNER).await;
        let trail = ["--flow", "differ", "--trail", "1a2b170"];
        let urls = ["--build-url", "https://b/1", "--commit-url", "https://c/1"];
        let commit = ["--commit", "HEAD", "--name", "differ", "--fingerprint"];
        let digest = "d8440b94f7f9174c180324ceafd4148360d9d7c916be2b910f132c58b8a943ae";
        let artifact = ["attest", "artifact", "cyberdojo/differ:1a2b170"];
        self.kosli(&[&["begin", "trail", "1a2b170"], &trail[..2]].concat()).await;
        self.kosli(&[&artifact[..], &commit, &[digest], &trail, &urls].concat()).await;
        let generic = ["attest", "generic", "--name", "lint", "--compliant=true"];
        self.kosli(&[&generic[..], &["--fingerprint", digest], &trail].concat()).await;
    }

    /// The answers to all questions, each as words and as JSON, without ages.
    async fn answers(&self) -> Vec<(String, Vec<String>, Value)> {
        let mut answers = Vec::new();
        let by_commit = format!("runner:{COMMIT}");
        for question in [
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
            let table = self.envsnap(question).await;
            let json = self.envsnap(&[question, &["-o", "json"]].concat()).await;
            answers.push((question.join(" "), words(&table), parse_without_times(&json)));
        }
        for question in [
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
            let table = self.kosli(question).await;
            let json = self.kosli(&[question, &["-o", "json"]].concat()).await;
            answers.push((
                format!("kosli {}", question.join(" ")),
                words(&table),
                parse_without_times(&json),
            ));
        }
        answers
    }
}

/// The lines of a text, each with one space between words, and without ages.
fn words(text: &str) -> Vec<String> {
    let ages =
        r"just now|(\d+|about an?) (second|minute|hour|day)s?( ago)?|less than a second( ago)?";
    let ages = regex_lite::Regex::new(ages).unwrap();
    ages.replace_all(text, "AGE")
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

fn parse_without_times(text: &str) -> Value {
    fn remove(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !TIMES.contains(&&**name));
                fields.values_mut().for_each(remove);
            }
            Value::Array(items) => items.iter_mut().for_each(remove),
            _ => {}
        }
    }
    let mut value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    remove(&mut value);
    value
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_tutorial_gives_the_same_answers_twice() {
    let reader = Reader::new().await;
    for arguments in [&["init", "-q", "."][..], &["commit", "-q", "--allow-empty", "-m", "first"]] {
        let author = ["-c", "user.name=J", "-c", "user.email=j@example.com"];
        let mut git = tokio::process::Command::new("git");
        git.current_dir(reader.folder.path()).args(author).args(arguments);
        ProgramOutput::wait(&mut git).await.success();
    }
    for environment in ["aws-beta", ENVIRONMENT] {
        reader.envsnap(&["env", "create", environment]).await;
    }
    // Once: a second announcement would be a roll-back.
    reader.job(OLD_COMMIT, OLD_RUNNER).await;
    reader.jobs().await;
    reader.report().await;
    reader.ecs.update(|world| {
        let old = |task: &&mut Task| {
            let image = task.containers[0].image.as_deref();
            image.is_some_and(|image| image.ends_with(":85d83c6"))
        };
        world.cluster_mut("prod").tasks.values_mut().filter(old).for_each(Task::stop);
    });
    reader.report().await;

    assert_eq!(reader.envsnap(&["pipeline", "ls"]).await, PIPELINES);
    let card = reader.envsnap(&["artifact", "get", &format!("runner:{COMMIT}")]).await;
    let is_wanted = |line: &&str| !line.starts_with("Created on: ");
    let card: Vec<_> = card
        .lines()
        .filter(is_wanted)
        .map(|line| line.split("  ").find(|part| !part.is_empty()).unwrap().trim())
        .collect();
    let facts =
        ["Name:", "SHA256:", "Git commit:", "Commit URL:", "Build URL:", "State:", "History:"];
    assert_eq!(card[..7], facts);
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
    let first = reader.answers().await;
    reader.jobs().await;
    reader.report().await;
    for (first, second) in first.iter().zip(&reader.answers().await) {
        assert_eq!(first, second);
    }
}

//! What a new user does with the README and a terminal, from the demo to the deployed function.
//!
//! The commands are those of the documentation, so that neither can drift from the other.

#[path = "../it/docs/markdown.rs"]
#[expect(dead_code, reason = "the tests of the documentation use the rest")]
mod markdown;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use self::markdown::Page;
use crate::archive::{self, ARCHITECTURE};
use crate::emulator::{Emulator, digest_of};
use crate::programs::{REGION, ROOT, eventually, free_port, search_path};

/// What the shell prints after a step.
const END: &str = "-- end of the step --";

/// How long a step may take.
const STEP_TIMEOUT: Duration = Duration::from_mins(4);

/// A terminal, in which `envsnap` is installed.
struct Terminal {
    shell: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// The commands that were typed.
    commands: usize,
}

impl Terminal {
    /// In `directory`, with these variables and nothing of the user's own.
    fn open(directory: &Path, variables: &[(&str, &str)]) -> Self {
        let bin = directory.join("bin");
        if !bin.exists() {
            std::fs::create_dir(&bin).unwrap();
            let envsnap = env!("CARGO_BIN_EXE_envsnap");
            std::os::unix::fs::symlink(envsnap, bin.join("envsnap")).unwrap();
        }
        let mut shell = Command::new("bash");
        shell
            .env_clear()
            .envs([("TZ", "UTC"), ("SAM_CLI_TELEMETRY", "0"), ("SAM_CLI_POLL_DELAY", "0.2")])
            .env("PATH", format!("{}:{}", bin.display(), search_path()))
            .env("HOME", directory)
            .envs(variables.iter().copied())
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0);
        let mut shell = shell.spawn().unwrap();
        let input = shell.stdin.take().unwrap();
        let output = BufReader::new(shell.stdout.take().unwrap()).lines();
        Self { shell, input, output, commands: 0 }
    }

    /// What the commands print. Each has to succeed.
    async fn run(&mut self, commands: &str) -> String {
        self.commands += count(commands);
        let end = "trap 'kill $(jobs -p) 2>&- || true' EXIT";
        let step = format!(
            "exec 2>&1; set -euo pipefail; {end}\n{{\n{commands}\n}} </dev/null\necho; echo '{END}'\n"
        );
        self.input.write_all(step.as_bytes()).await.unwrap();
        let mut printed = String::new();
        let ended = tokio::time::timeout(STEP_TIMEOUT, async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                if line == END {
                    return true;
                }
                printed += &line;
                printed.push('\n');
            }
            false
        });
        assert_eq!(ended.await, Ok(true), "{commands}\n{printed}");
        printed
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // With all that it started.
        if let Some(id) = self.shell.id() {
            let group = format!("-{id}");
            let mut kill = std::process::Command::new("kill");
            let _gone = kill.args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        }
    }
}

/// How many commands a person types: lines, but for comments and those that continue one.
fn count(commands: &str) -> usize {
    let joined = commands.replace("\\\n", " ");
    joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).count()
}

/// The shell blocks of a section of a page, in order.
fn blocks(path: &str, section: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let page = Page::parse(PathBuf::from(path), text);
    let blocks: Vec<_> = page
        .blocks
        .into_iter()
        .filter(|block| block.language == "sh" && block.section == section)
        .map(|block| block.code)
        .collect();
    assert!(!blocks.is_empty(), "{path} has no commands in #{section}");
    blocks
}

/// What is printed after this.
fn after<'p>(printed: &'p str, words: &str) -> &'p str {
    printed.split_once(words).unwrap_or_else(|| panic!("no {words:?}: {printed}")).1.trim()
}

#[track_caller]
fn contains(printed: &str, expected: &[&str]) {
    for expected in expected {
        assert!(printed.contains(expected), "no {expected:?}: {printed}");
    }
}

/// The demo, its data, the tutorial's questions and the page. Gives the number of commands.
async fn follow_the_demo() -> usize {
    let home = TempDir::new().unwrap();
    let mut terminal = Terminal::open(home.path(), &[]);
    let try_it = blocks("README.md", "try-it").remove(0);
    let demo = try_it.lines().find(|line| line.starts_with("cargo run -- demo")).unwrap();
    // Built already, as this repository's command.
    let printed = terminal.run(&demo.replace("cargo run --", "envsnap")).await;
    contains(&printed, &["artifact get runner:16d9990", "demo --keep"]);
    terminal
        .run(
            "envsnap demo --keep > demo.txt &\n\
             until grep -q 'report --dry-run' demo.txt; do sleep 0.1; done\n\
             source <(grep '^ *export ' demo.txt)",
        )
        .await;
    let running = terminal.run(&blocks("docs/deployment.md", "run-it-locally")[0]).await;
    contains(&running, &["runner:", "REPLICAS"]);
    let answers = terminal.run(&blocks("README.md", "ask")[0]).await;
    contains(&answers, &["aws-beta", "aws-prod", "runner:16d9990"]);
    let answers = terminal.run(&blocks("docs/questions.md", "commands")[0]).await;
    contains(&answers, &["From aws-prod#65 to aws-prod#66", "Pipeline: runner"]);
    let questions = blocks("docs/provenance.md", "the-command-line").pop().unwrap();
    let answers = terminal.run(&questions).await;
    contains(&answers, &["UX for practicing TDD", "branch-coverage evidence received"]);
    let page = terminal
        .run("curl --fail --silent --show-error $KOSLI_HOST/$KOSLI_ORG/environments/aws-prod")
        .await;
    contains(&page, &["<!DOCTYPE html>", "aws-prod"]);
    terminal.commands
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_documentation_leads_from_nothing_to_the_deployed_function() {
    let of_the_demo = follow_the_demo().await;

    let aws = Emulator::start().await;
    aws.create_cluster("prod").await;
    aws.create_service("prod", "web", 2, &["web:1"]).await;
    let home = TempDir::new().unwrap();
    let variables = [&aws.variables()[..], &[("AWS_DEFAULT_REGION", REGION)]].concat();
    let mut terminal = Terminal::open(home.path(), &variables);
    let running = terminal.run(&blocks("docs/deployment.md", "run-it-locally")[0]).await;
    contains(&running, &["web:1", &digest_of("web:1")[..12]]);

    // A recorder with tokens, and a report to it.
    let port = format!("127.0.0.1:{}", free_port());
    let mut printed = String::new();
    for block in blocks("docs/recorder.md", "from-nothing").iter().take(3) {
        printed += &terminal.run(&block.replace("127.0.0.1:8080", &port)).await;
    }
    let head = after(&printed, "Head of the organization's ledger: ").lines().next().unwrap();
    let page = terminal.run("curl --fail --silent --show-error --location --user \"me:$(cat my-token)\" $KOSLI_HOST/").await;
    contains(&page, &["<!DOCTYPE html>", "aws-prod"]);
    let anonymous = "curl --silent --output /dev/null --write-out '%{http_code}' $KOSLI_HOST/";
    contains(&terminal.run(anonymous).await, &["401"]);

    // A bundle, verified by someone who has only it, the head and the program.
    let bundle = blocks("docs/proof.md", "proof-bundles").remove(0);
    let (make, verify) = bundle.split_once('\n').unwrap();
    terminal.run(make).await;
    let elsewhere = TempDir::new().unwrap();
    std::fs::copy(home.path().join("aws-prod.tar"), elsewhere.path().join("aws-prod.tar")).unwrap();
    let mut auditor = Terminal::open(elsewhere.path(), &[]);
    let verified = auditor.run(&format!("{} --head '{head}'", verify.trim())).await;
    contains(&verified, &["The bundle holds.", head]);
    assert!(!verified.contains("Without --head"), "{verified}");

    // The function, from the archive of a release.
    archive::package_function(home.path()).await;
    terminal.run("umask 022").await;
    let deploy = blocks("docs/deployment.md", "deploy").remove(0);
    let unpack = deploy.lines().next().unwrap().replace("x86_64", ARCHITECTURE);
    terminal.run(&unpack).await;
    let checked = terminal
        .run(&format!(
            "export KOSLI_API_TOKEN=$(cat ../reporter-token) KOSLI_ENVIRONMENT=aws-prod\n{}",
            blocks("docs/deployment.md", "check-before-you-deploy")[0]
        ))
        .await;
    let commands = after(&checked, "in the unpacked archive of a release:");
    for (documented, printed) in deploy.lines().skip(1).zip(["aws ssm put-parameter", "sam deploy"])
    {
        assert!(documented.starts_with(printed) && commands.contains(printed), "{commands}");
    }
    terminal.run(commands).await;
    let function = aws.output("envsnap", "FunctionName").await;
    let check = blocks("docs/deployment.md", "check-the-result").remove(0);
    // Version 1 of the AWS CLI, which is here, has neither `logs tail` nor this option.
    let (check, _) = check.split_once("aws logs tail").unwrap();
    let check = check.replace("FUNCTION", &function);
    let check = check.replace("--cli-binary-format raw-in-base64-out", "");
    contains(&terminal.run(&check).await, &["\"outcome\"", "web:1"]);

    // It reports by itself what changes.
    aws.update_service("prod", "web", 2, &["web:2"]).await;
    terminal.run("export KOSLI_API_TOKEN=$(cat ../my-token)").await;
    let of_the_user = terminal.commands + auditor.commands;
    eventually(STEP_TIMEOUT, "the change is reported", async || {
        let current = terminal.run("envsnap env get aws-prod").await;
        if current.contains("web:2") { Ok(()) } else { Err(current) }
    })
    .await;
    println!(
        "{} commands: {of_the_demo} with the demo, {} with an account",
        of_the_demo + of_the_user + 1,
        of_the_user + 1
    );
}

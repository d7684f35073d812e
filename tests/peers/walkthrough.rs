//! Runs the commands of the documentation as a new user does, from the demo to the deployed function.
//!
//! They are read from its Markdown pages, so that a command that no longer works fails here.

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

/// The line that the shell prints after each step.
const END_MARKER: &str = "-- end of the step --";

/// How long a step, the commands of one [`Terminal::run`], may take.
const STEP_TIMEOUT: Duration = Duration::from_mins(4);

/// A shell with `envsnap` in its path. It is killed when this is dropped, with all that it started.
struct Terminal {
    shell: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// How many commands it has run.
    command_count: usize,
}

impl Terminal {
    /// Starts a shell in `directory`, which is also its home, with only these environment variables.
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
        Self { shell, input, output, command_count: 0 }
    }

    /// Runs these lines of shell, each of which must succeed, and returns what they print.
    async fn run(&mut self, commands: &str) -> String {
        self.command_count += count_commands(commands);
        let kill_jobs_on_exit = "trap 'kill $(jobs -p) 2>&- || true' EXIT";
        let step = format!(
            "exec 2>&1; set -euo pipefail; {kill_jobs_on_exit}\n{{\n{commands}\n}} </dev/null\necho; echo '{END_MARKER}'\n"
        );
        self.input.write_all(step.as_bytes()).await.unwrap();
        let mut printed = String::new();
        let ended = tokio::time::timeout(STEP_TIMEOUT, async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                if line == END_MARKER {
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
        // The whole process group.
        if let Some(id) = self.shell.id() {
            let group = format!("-{id}");
            let mut kill = std::process::Command::new("kill");
            let _gone = kill.args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        }
    }
}

/// The number of commands in lines of shell: comments and empty lines do not count, and a continued line
/// counts once.
fn count_commands(commands: &str) -> usize {
    let joined = commands.replace("\\\n", " ");
    joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).count()
}

/// The code of the shell blocks in a section of a Markdown page, in order. `path` is relative to the
/// repository.
fn shell_blocks(path: &str, section: &str) -> Vec<String> {
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

/// What follows `marker` in `printed`, which must contain it.
fn text_after<'p>(printed: &'p str, marker: &str) -> &'p str {
    printed.split_once(marker).unwrap_or_else(|| panic!("no {marker:?}: {printed}")).1.trim()
}

/// Asserts that each of the expected texts is in `printed`.
#[track_caller]
fn assert_contains_all(printed: &str, expected: &[&str]) {
    for expected in expected {
        assert!(printed.contains(expected), "no {expected:?}: {printed}");
    }
}

/// Runs the documented commands of the demo: its queries and its web page. Returns the number of commands.
async fn run_demo_commands() -> usize {
    let home = TempDir::new().unwrap();
    let mut terminal = Terminal::open(home.path(), &[]);
    let try_it = shell_blocks("README.md", "try-it").remove(0);
    let demo = try_it.lines().find(|line| line.starts_with("cargo run -- demo")).unwrap();
    // `envsnap` is built already.
    let printed = terminal.run(&demo.replace("cargo run --", "envsnap")).await;
    assert_contains_all(&printed, &["artifact get runner:16d9990", "demo --keep"]);
    terminal
        .run(
            "envsnap demo --keep > demo.txt &\n\
             until grep -q 'report --dry-run' demo.txt; do sleep 0.1; done\n\
             source <(grep '^ *export ' demo.txt)",
        )
        .await;
    let running = terminal.run(&shell_blocks("docs/deployment.md", "run-it-locally")[0]).await;
    assert_contains_all(&running, &["runner:", "REPLICAS"]);
    let answers = terminal.run(&shell_blocks("README.md", "ask")[0]).await;
    assert_contains_all(&answers, &["aws-beta", "aws-prod", "runner:16d9990"]);
    let answers = terminal.run(&shell_blocks("docs/questions.md", "commands")[0]).await;
    assert_contains_all(&answers, &["From aws-prod#65 to aws-prod#66", "Pipeline: runner"]);
    let questions = shell_blocks("docs/provenance.md", "the-command-line").pop().unwrap();
    let answers = terminal.run(&questions).await;
    assert_contains_all(&answers, &["UX for practicing TDD", "branch-coverage evidence received"]);
    let page = terminal
        .run("curl --fail --silent --show-error $KOSLI_HOST/$KOSLI_ORG/environments/aws-prod")
        .await;
    assert_contains_all(&page, &["<!DOCTYPE html>", "aws-prod"]);
    terminal.command_count
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn documented_commands_run_the_demo_and_deploy_a_working_function() {
    let demo_commands = run_demo_commands().await;

    let aws = Emulator::start().await;
    aws.create_cluster("prod").await;
    aws.create_service("prod", "web", 2, &["web:1"]).await;
    let home = TempDir::new().unwrap();
    let variables = [&aws.variables()[..], &[("AWS_DEFAULT_REGION", REGION)]].concat();
    let mut terminal = Terminal::open(home.path(), &variables);
    let running = terminal.run(&shell_blocks("docs/deployment.md", "run-it-locally")[0]).await;
    assert_contains_all(&running, &["web:1", &digest_of("web:1")[..12]]);

    // A recorder with tokens, and a report to it.
    let address = format!("127.0.0.1:{}", free_port());
    let mut printed = String::new();
    for block in shell_blocks("docs/recorder.md", "from-nothing").iter().take(3) {
        printed += &terminal.run(&block.replace("127.0.0.1:8080", &address)).await;
    }
    let head = text_after(&printed, "Head of the organization's ledger: ").lines().next().unwrap();
    let page = terminal.run("curl --fail --silent --show-error --location --user \"me:$(cat my-token)\" $KOSLI_HOST/").await;
    assert_contains_all(&page, &["<!DOCTYPE html>", "aws-prod"]);
    let request_without_token =
        "curl --silent --output /dev/null --write-out '%{http_code}' $KOSLI_HOST/";
    assert_contains_all(&terminal.run(request_without_token).await, &["401"]);

    // A proof bundle, verified by an auditor who has only the bundle, the head and the program.
    let bundle = shell_blocks("docs/proof.md", "proof-bundles").remove(0);
    let (make, verify) = bundle.split_once('\n').unwrap();
    terminal.run(make).await;
    let auditor_home = TempDir::new().unwrap();
    std::fs::copy(home.path().join("aws-prod.tar"), auditor_home.path().join("aws-prod.tar"))
        .unwrap();
    let mut auditor = Terminal::open(auditor_home.path(), &[]);
    let verified = auditor.run(&format!("{} --head '{head}'", verify.trim())).await;
    assert_contains_all(&verified, &["The bundle holds.", head]);
    assert!(!verified.contains("Without --head"), "{verified}");

    // The function, from the archive of a release.
    archive::package_function(home.path()).await;
    terminal.run("umask 022").await;
    let deploy = shell_blocks("docs/deployment.md", "deploy").remove(0);
    let unpack = deploy.lines().next().unwrap().replace("x86_64", ARCHITECTURE);
    terminal.run(&unpack).await;
    let check_output = terminal
        .run(&format!(
            "export KOSLI_API_TOKEN=$(cat ../reporter-token) KOSLI_ENVIRONMENT=aws-prod\n{}",
            shell_blocks("docs/deployment.md", "check-before-you-deploy")[0]
        ))
        .await;
    let commands = text_after(&check_output, "in the unpacked archive of a release:");
    for (documented, command) in deploy.lines().skip(1).zip(["aws ssm put-parameter", "sam deploy"])
    {
        assert!(documented.starts_with(command) && commands.contains(command), "{commands}");
    }
    terminal.run(commands).await;
    let function = aws.stack_output("envsnap", "FunctionName").await;
    let check = shell_blocks("docs/deployment.md", "check-the-result").remove(0);
    // Version 1 of the AWS CLI, which is here, has neither `logs tail` nor this option.
    let (check, _) = check.split_once("aws logs tail").unwrap();
    let check = check.replace("FUNCTION", &function);
    let check = check.replace("--cli-binary-format raw-in-base64-out", "");
    assert_contains_all(&terminal.run(&check).await, &["\"outcome\"", "web:1"]);

    // Without further commands, the function reports a change.
    aws.update_service("prod", "web", 2, &["web:2"]).await;
    terminal.run("export KOSLI_API_TOKEN=$(cat ../my-token)").await;
    let user_commands = terminal.command_count + auditor.command_count;
    eventually(STEP_TIMEOUT, "the change is reported", async || {
        let current = terminal.run("envsnap env get aws-prod").await;
        if current.contains("web:2") { Ok(()) } else { Err(current) }
    })
    .await;
    println!(
        "{} commands: {demo_commands} with the demo, {} with an account",
        demo_commands + user_commands + 1,
        user_commands + 1
    );
}

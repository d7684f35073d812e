//! Every shell block of the documentation is run, or says why not.
//!
//! The blocks of a section are one script, so that later ones use the variables and files of the
//! earlier ones. It runs in a directory of its own, with the environment that `envsnap demo --keep`
//! tells its users to set.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::markdown::Block;
use super::pages;

/// Path of the built program.
const ENVSNAP_PROGRAM: &str = env!("CARGO_BIN_EXE_envsnap");
/// Time for one script of a page.
const SCRIPT_TIMEOUT: Duration = Duration::from_mins(2);

/// Whether and how the test runs a shell block.
enum Execution<'a> {
    /// It says why it cannot be run.
    NotRun,
    /// It succeeds.
    Run,
    /// It runs until it is stopped, and prints this before.
    UntilStopped(&'a str),
}

/// How the comment before a shell block says that it is run.
fn execution(block: &Block) -> Execution<'_> {
    let Some(comment) = &block.comment else { return Execution::Run };
    match comment.split_once(": ") {
        Some(("not run", reason)) if !reason.trim().is_empty() => Execution::NotRun,
        Some(("runs until stopped", printed)) => Execution::UntilStopped(printed),
        _ => Execution::Run,
    }
}

#[test]
fn code_blocks_name_a_known_language_and_no_envsnap_command_is_marked_as_not_run() {
    const CODE_BLOCK_LANGUAGES: [&str; 6] = ["sh", "json", "yaml", "text", "ini", "hcl"];
    for page in &pages() {
        for block in &page.blocks {
            let place = page.place(block);
            assert!(
                CODE_BLOCK_LANGUAGES.contains(&&*block.language),
                "{place}: {:?}",
                block.language
            );
            if block.language == "sh" && matches!(execution(block), Execution::NotRun) {
                let ours = block.code.lines().find(|line| line.trim().starts_with("envsnap "));
                assert_eq!(ours, None, "{place}: this can be run");
            }
        }
    }
}

#[test]
fn documented_shell_blocks_succeed_and_print_the_documented_output() {
    let demo = Demo::start();
    let mut run = 0;
    // First, because other blocks report to the demo's recorder.
    for page in &pages() {
        for block in &page.blocks {
            if let Some(shown) = block.block_with_this_output(page) {
                let bed = TestBed::new(&demo);
                bed.run_to_success(&page.place(block), &shown.code);
                assert_eq!(
                    with_times_replaced(&bed.output()),
                    with_times_replaced(&block.code),
                    "{}: the output",
                    page.place(block)
                );
                run += 1;
            }
        }
    }
    for page in &pages() {
        let shell: Vec<_> = page.blocks.iter().filter(|block| block.language == "sh").collect();
        for blocks in shell.chunk_by(|a, b| a.section == b.section) {
            let script: String = blocks
                .iter()
                .filter(|block| matches!(execution(block), Execution::Run))
                .map(|block| &*block.code)
                .collect();
            if !script.is_empty() {
                TestBed::new(&demo).run_to_success(&page.place(blocks[0]), &script);
                run += 1;
            }
            for block in blocks {
                if let Execution::UntilStopped(printed) = execution(block) {
                    TestBed::new(&demo).run_until_printed(&page.place(block), &block.code, printed);
                    run += 1;
                }
            }
        }
    }
    assert!(run >= 6, "only {run}");
}

/// The text with `TIME` in place of each date and each age such as `3 hours ago`.
fn with_times_replaced(text: &str) -> String {
    let dates = r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d UTC|\d+ (second|minute|hour|day)s? ago";
    regex_lite::Regex::new(dates).unwrap().replace_all(text, "TIME").into_owned()
}

/// `envsnap demo --keep`, and the variables that it tells its users to set.
struct Demo {
    process: Child,
    variables: Vec<(String, String)>,
}

impl Demo {
    /// Starts it, and waits until it has printed all variables.
    fn start() -> Self {
        let mut process = Command::new(ENVSNAP_PROGRAM)
            .args(["demo", "--keep"])
            .env_clear()
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut variables = Vec::new();
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            if let Some(exports) = line.unwrap().trim().strip_prefix("export ") {
                for export in exports.split(' ') {
                    let (name, value) = export.split_once('=').unwrap();
                    variables.push((name.to_owned(), value.to_owned()));
                }
                // Printed last of all.
                if exports.contains("AWS_SECRET_ACCESS_KEY") {
                    break;
                }
            }
        }
        assert!(!variables.is_empty());
        Self { process, variables }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

/// A directory in which a page's scripts run, with a recorder's file and a backup of it in the
/// places that the documentation names.
struct TestBed<'a> {
    demo: &'a Demo,
    directory: tempfile::TempDir,
    port: u16,
    head: String,
}

impl<'a> TestBed<'a> {
    fn new(demo: &'a Demo) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        for name in ["var", "backup", "bin"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink(ENVSNAP_PROGRAM, directory.path().join("bin/envsnap")).unwrap();
        let mut bed = Self { demo, directory, port, head: String::new() };
        bed.create_file_and_backup();
        bed
    }

    /// Records a snapshot in the recorder's file, and makes the backup.
    fn create_file_and_backup(&mut self) {
        let script = "
            envsnap serve --db /var/lib/envsnap/snapshots.db --listen 127.0.0.1:8080 2> served &
            until grep -q http: served; do sleep 0.05; done
            export KOSLI_HOST=http://127.0.0.1:8080 AUTO_CREATE_ENVIRONMENT=true
            envsnap report > report
            envsnap backup --db /var/lib/envsnap/snapshots.db /backup/2026-11-02.db
        ";
        self.run_to_success("recording", script);
        let printed = self.output();
        let head = printed.lines().find_map(|line| line.strip_prefix("Head: "));
        head.unwrap_or_else(|| panic!("{printed}")).clone_into(&mut self.head);
    }

    /// The process of a page's script, not yet started, in which this directory takes the place of
    /// `/var/lib/envsnap` and `/backup`, and a free port that of the recorder's.
    fn script_command(&self, script: &str) -> Command {
        let root = self.directory.path().to_str().unwrap();
        let script = script
            .replace("/var/lib/envsnap/", &format!("{root}/var/"))
            .replace("/backup/", &format!("{root}/backup/"))
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{}", self.port));
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("bash");
        command
            .arg("-c")
            .arg(format!("set -euo pipefail\ntrap 'kill $(jobs -p) 2>&- || true' EXIT\n{script}"))
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", format!("{root}/bin:{path}"))
            .env("HOME", root)
            .env("TZ", "UTC")
            .env("HEAD", &self.head)
            .envs(self.demo.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(self.directory.path().join("printed")).unwrap())
            .stderr(std::fs::File::create(self.directory.path().join("errors")).unwrap())
            .process_group(0);
        command
    }

    /// Standard output of the last script, and then its standard error.
    fn output(&self) -> String {
        let read = |name: &str| {
            std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
        };
        read("printed") + &read("errors")
    }

    /// Runs a script, which must succeed within [`SCRIPT_TIMEOUT`].
    fn run_to_success(&self, place: &str, script: &str) {
        let mut process = ProcessGroup(self.script_command(script).spawn().unwrap());
        let until = Instant::now() + SCRIPT_TIMEOUT;
        let status = loop {
            if let Some(status) = process.0.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "{place} does not end:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "{place}: {status}\n{script}\n{}", self.output());
    }

    /// Runs a script until it prints `expected`, and stops it then.
    fn run_until_printed(&self, place: &str, script: &str, expected: &str) {
        let mut process = ProcessGroup(self.script_command(script).spawn().unwrap());
        let until = Instant::now() + SCRIPT_TIMEOUT;
        while !self.output().contains(expected) {
            let ended = process.0.try_wait().unwrap();
            assert!(ended.is_none(), "{place} ended: {ended:?}\n{}", self.output());
            assert!(Instant::now() < until, "{place} prints no {expected:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A process and all that it starts, killed when this is dropped.
struct ProcessGroup(Child);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _gone =
            Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ended = self.0.wait();
    }
}

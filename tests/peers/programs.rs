//! The programs that `tests/peers/setup` installs, and how they are run.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tokio::process::Command;

/// The root of the repository.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The AWS account of the tests. It is also their access key: the emulator takes an access key of
/// twelve digits for the account's number.
pub(crate) const ACCOUNT: &str = "274425519734";

/// The AWS region of the tests.
pub(crate) const REGION: &str = "eu-central-1";

/// The directory of the installed programs.
fn bin_directory() -> PathBuf {
    let installed = std::env::var_os("ENVSNAP_PEERS_DIR");
    let installed = installed.map_or_else(|| Path::new(ROOT).join("target/peers"), PathBuf::from);
    std::path::absolute(installed).unwrap().join("bin")
}

/// The path of the installed program `name`.
pub(crate) fn program_path(name: &str) -> PathBuf {
    let path = bin_directory().join(name);
    assert!(path.exists(), "There is no {}: run tests/peers/setup first.", path.display());
    path
}

/// The value of `PATH`, with the directory of the installed programs in front.
pub(crate) fn search_path() -> String {
    format!("{}:{}", bin_directory().display(), std::env::var("PATH").unwrap_or_default())
}

/// A command that runs the installed program `name` without settings and credentials of the user.
pub(crate) fn command(name: &str) -> Command {
    isolated_command(&program_path(name))
}

/// A command that runs the `envsnap` of this build without settings and credentials of the user.
pub(crate) fn envsnap() -> Command {
    isolated_command(Path::new(env!("CARGO_BIN_EXE_envsnap")))
}

/// A command that runs `program` in `target/tmp`, with that as its home directory and with `PATH`, but no
/// other variables, so that it finds neither settings nor credentials of the user.
fn isolated_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", search_path())
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .kill_on_drop(true);
    command
}

/// The exit code (`None` if a signal ended it) and the output of a program.
#[derive(Debug)]
pub(crate) struct ProgramOutput {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl ProgramOutput {
    /// Runs `command` to its end, with nothing on standard input.
    pub(crate) async fn run(command: &mut Command) -> Self {
        Self::from(&command.stdin(Stdio::null()).output().await.unwrap())
    }

    fn from(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        Self { code: output.status.code(), stdout, stderr }
    }

    /// Runs `command` to its end, with the content of `file` on standard input.
    pub(crate) async fn run_with_stdin(command: &mut Command, file: &Path) -> Self {
        let file = std::fs::File::open(file).unwrap();
        let output = command.stdin(file).output().await.unwrap();
        Self::from(&output)
    }

    /// What the program wrote to standard output. Panics unless it exited with code 0.
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// A TCP port of 127.0.0.1 that nothing listens on. It is below the ports that the system gives to
/// outgoing connections, one of which could otherwise take it before the program does.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 500).unwrap() * 20;
    (0..1_000)
        .map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .unwrap()
}

/// Waits for `child` to end, and kills it after 10 seconds.
pub(crate) fn wait_or_kill(child: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            let _result = child.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Calls `attempt` every 100 ms until it returns `Ok`, and returns that value. After `timeout`, panics
/// with `condition`, which names what is waited for, and the last error.
pub(crate) async fn eventually<T>(
    timeout: Duration,
    condition: &str,
    mut attempt: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + timeout;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => {
                let before_deadline = Instant::now() < deadline;
                assert!(before_deadline, "{condition}: not so within {timeout:?}: {error}");
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

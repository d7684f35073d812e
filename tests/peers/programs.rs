//! The programs that `tests/peers/setup` installs, and how they are run.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tokio::process::Command;

/// The root of the repository.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The credentials of every AWS client: the emulator takes a key of twelve digits for the account.
pub(crate) const ACCOUNT: &str = "274425519734";
pub(crate) const REGION: &str = "eu-central-1";

/// The directory that the programs are in.
fn directory() -> PathBuf {
    let peers = std::env::var_os("ENVSNAP_PEERS_DIR");
    let peers = peers.map_or_else(|| Path::new(ROOT).join("target/peers"), PathBuf::from);
    std::path::absolute(peers).unwrap().join("bin")
}

/// Where program `name` is.
pub(crate) fn path_of(name: &str) -> PathBuf {
    let path = directory().join(name);
    assert!(path.exists(), "There is no {}: run tests/peers/setup first.", path.display());
    path
}

/// `PATH` with the programs in front.
pub(crate) fn search_path() -> String {
    format!("{}:{}", directory().display(), std::env::var("PATH").unwrap_or_default())
}

/// Program `name`, which inherits nothing but where to find further programs.
pub(crate) fn command(name: &str) -> Command {
    isolated(&path_of(name))
}

/// The command line that this repository builds, which inherits as little.
pub(crate) fn envsnap() -> Command {
    isolated(Path::new(env!("CARGO_BIN_EXE_envsnap")))
}

/// In `target/tmp` and with nothing of the user's own: neither settings nor credentials.
fn isolated(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", search_path())
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .kill_on_drop(true);
    command
}

/// The exit code and the output of a program.
#[derive(Debug)]
pub(crate) struct ProgramOutput {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl ProgramOutput {
    /// Runs `command` to its end.
    pub(crate) async fn wait(command: &mut Command) -> Self {
        Self::from(&command.stdin(Stdio::null()).output().await.unwrap())
    }

    fn from(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        Self { code: output.status.code(), stdout, stderr }
    }

    /// As [`Self::wait`], with `file` on standard input.
    pub(crate) async fn wait_with_stdin(command: &mut Command, file: &Path) -> Self {
        let file = std::fs::File::open(file).unwrap();
        let output = command.stdin(file).output().await.unwrap();
        Self::from(&output)
    }

    /// What it wrote to standard output. It must have succeeded.
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// A port of loopback that nothing listens on. It is below those that the system gives to outgoing
/// connections, one of which could otherwise take it before the program does.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 500).unwrap() * 20;
    (0..1_000)
        .map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .unwrap()
}

/// Waits for `child`, which is to end, and kills it if it does not.
pub(crate) fn reap(child: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            let _ended = child.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Asks until `answer` gives something, or panics with what `seen` shows.
pub(crate) async fn eventually<T>(
    within: Duration,
    what: &str,
    mut answer: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        match answer().await {
            Ok(answer) => return answer,
            Err(seen) => {
                let before_deadline = Instant::now() < deadline;
                assert!(before_deadline, "{what}: not so within {within:?}: {seen}");
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

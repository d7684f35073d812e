//! A recorder as a process of its own, from its start to its end.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use envsnap::recorder::{Access, Clock, SqliteStore, serve};
use reqwest::Client;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use super::operation::{Request, Token};
use crate::harness::http_client;
use crate::recorder::crash::Process;
use crate::recorder::server::write_secret;

/// Environment variables of the child process: the paths of its database, its token file, and the file
/// with the offset of its clock.
const FILE_VARIABLE: &str = "ENVSNAP_TEST_FILE";
const TOKENS_VARIABLE: &str = "ENVSNAP_TEST_TOKENS";
const CLOCK_VARIABLE: &str = "ENVSNAP_TEST_CLOCK";

/// The database and token file of a recorder, and the offset of its clock.
pub(super) struct RecorderFiles {
    folder: tempfile::TempDir,
    /// It can be set: the recorder is then the library in a process of this program, which reads the
    /// time from a file. Otherwise it is the program.
    pub(super) has_own_clock: bool,
    /// What the clock is ahead of this machine's.
    /// In seconds.
    pub(super) ahead: i32,
}

impl RecorderFiles {
    pub(super) fn new(has_own_clock: bool) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), has_own_clock, ahead: 0 };
        let lines = [(Token::Admin, "write"), (Token::Reporter, "report")].map(|(token, right)| {
            format!("{} label={} org=* {right}\n", token.text(), token.label())
        });
        write_secret(&place.tokens(), &lines.concat());
        place.set_clock();
        place
    }

    /// The database.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("snapshots.db")
    }

    /// The token file.
    fn tokens(&self) -> PathBuf {
        self.folder.path().join("tokens")
    }

    /// The file with the seconds that the recorder's clock is ahead of this machine's.
    fn clock(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    /// Writes `ahead` to the file from which a recorder with its own clock reads it each time.
    pub(super) fn set_clock(&self) {
        // Never half a line.
        let new = self.folder.path().join("clock.new");
        std::fs::write(&new, format!("{:+}", self.ahead)).unwrap();
        std::fs::rename(new, self.clock()).unwrap();
    }
}

/// A running recorder, a client of it, and how many writes were answered and refused.
pub(super) struct RecorderProcess {
    pub(super) process: Process,
    client: Client,
    /// When it started.
    ahead: i32,
    /// A permit for each write that was answered.
    pub(super) answered: Semaphore,
    /// And for each that was refused because of a fault.
    pub(super) refused: Semaphore,
}

/// What a request was answered with.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: Option<String>,
    pub(super) body: Value,
}

/// This machine's time, in seconds since the Unix epoch.
pub(super) fn unix_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

impl RecorderProcess {
    pub(super) async fn start(place: &RecorderFiles) -> Self {
        let process = Process::start_with(&place.file(), |command| {
            // A file that may not grow is then a write that fails, and not the end of the process.
            let mut limited = Command::new("sh");
            limited.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
            limited.env_clear().stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
            if place.has_own_clock {
                limited
                    .arg(std::env::current_exe().unwrap())
                    .args(["--ignored", "--exact", "--nocapture"])
                    .arg("recorder::histories::life::child_process_with_clock_offset_from_file")
                    .env(FILE_VARIABLE, place.file())
                    .env(TOKENS_VARIABLE, place.tokens())
                    .env(CLOCK_VARIABLE, place.clock());
            } else {
                limited
                    .args([env!("CARGO_BIN_EXE_envsnap"), "serve", "--listen", "127.0.0.1:0"])
                    .args([Path::new("--token-file"), &place.tokens()])
                    .args([Path::new("--db"), &place.file()]);
            }
            *command = limited;
        })
        .await;
        Self {
            process,
            client: http_client(),
            ahead: place.ahead,
            answered: Semaphore::new(0),
            refused: Semaphore::new(0),
        }
    }

    /// The recorder's time in seconds since the Unix epoch, without changes of its clock since it started.
    pub(super) fn now(&self) -> f64 {
        unix_time() + f64::from(self.ahead)
    }

    /// Seconds that the recorder's clock was ahead of this machine's when it started.
    pub(super) fn ahead(&self) -> f64 {
        f64::from(self.ahead)
    }

    /// Sends a write; `None` if the connection breaks before the whole answer has arrived.
    pub(super) async fn send(&self, request: Request) -> Option<Answer> {
        let Request { method, path, token, headers, body } = request;
        let url = format!("{}{path}", self.process.url);
        let mut request = self.client.request(method, url).bearer_auth(token.text()).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let head = answer.headers().get("x-envsnap-head");
        let head = head.map(|head| head.to_str().unwrap().to_owned());
        Some(Answer { status, head, body: answer.json().await.ok()? })
    }

    /// Status and JSON body of a `GET` with the admin token; panics without an answer.
    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        let request = self.client.get(format!("{}{path}", self.process.url));
        let answer = request.bearer_auth(Token::Admin.text()).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "other tests run it as a process of its own"]
async fn child_process_with_clock_offset_from_file() {
    // Whoever runs all ignored tests means other ones.
    let Some(file) = std::env::var_os(FILE_VARIABLE) else { return };
    let (tokens, clock) =
        [TOKENS_VARIABLE, CLOCK_VARIABLE].map(|name| std::env::var_os(name).unwrap()).into();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let began = std::time::Instant::now();
    let ahead = move || std::fs::read_to_string(&clock).unwrap().trim().parse::<f64>().unwrap();
    let clock = Clock::with_monotonic(
        move || unix_time() + ahead(),
        move || Some(began.elapsed().as_secs_f64()),
    );
    let store = SqliteStore::open(Path::new(&file)).unwrap().with_clock(clock);
    let access = Access::from_token_file(Path::new(&tokens)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    eprintln!("Recording on http://{}", listener.local_addr().unwrap());
    let stopped = async move {
        terminated.recv().await;
    };
    serve(listener, store, access, None, stopped).await.unwrap();
}

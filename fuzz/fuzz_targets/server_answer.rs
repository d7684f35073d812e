//! Responses of a snapshot server, as the client parses them: a line that names the request, and the
//! response as it goes over the wire.
#![cfg_attr(not(test), no_main)]

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::time::Duration;

use envsnap::api::wire::{ECS, EcsReport, EnvironmentRequest};
use envsnap::api::{
    ApiError, Client, EnvironmentApi as _, LatestSnapshot, ReportOptions, ReportResponse,
    ServerApi as _,
};
use envsnap::snapshot::{Artifact, Snapshot};
use envsnap::token::TokenSource;
use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

const TOKEN: &str = "t0k3n-of-the-server";

/// Too short for a second attempt, which would begin a second later.
const DEADLINE: Duration = Duration::from_millis(900);

/// One server on loopback, and one client of it.
struct Harness {
    runtime: Runtime,
    listener: TcpListener,
    client: Client,
}

thread_local! {
    static HARNESS: RefCell<Harness> = RefCell::new(Harness::start());
}

/// Checks one input of the fuzzer: how the client takes the response.
pub(crate) fn check(data: &[u8]) {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (request, answer) = (&data[..end], &data[end + 1..]);
    // The connection of any other would break before the client sees an answer.
    if !(answer.is_empty() || is_http_response(answer)) {
        return;
    }
    HARNESS.with_borrow(|harness| {
        harness.runtime.block_on(async {
            let connected = Cell::new(false);
            let exchange = async {
                harness.send_request(request, answer).await;
                while connected.get() {
                    yield_now().await;
                }
            };
            tokio::select! {
                () = exchange => {}
                never = harness.serve(answer, &connected) => match never {},
            }
        });
    });
}

impl Harness {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let host = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let tokens = TokenSource::Given(SecretString::from(TOKEN));
        let client = Client::new(host, "acme".to_owned(), tokens).unwrap();
        Self { runtime, listener, client }
    }

    /// Sends the request that the first line of an input names, and checks what the client makes of `answer`.
    async fn send_request(&self, request: &[u8], answer: &[u8]) {
        let environment = self.client.environment("aws-prod", Some(Instant::now() + DEADLINE));
        let error = match request {
            b"report" => {
                let reported = environment
                    .report(&EcsReport { artifacts: Vec::new() }, ReportOptions::default())
                    .await;
                reported.map(|reported| check_report(&reported, answer)).err()
            }
            b"create" => {
                let request = EnvironmentRequest {
                    name: "aws-prod".to_owned(),
                    environment_type: ECS.to_owned(),
                    description: String::new(),
                    include_scaling: None,
                };
                environment.create(&request).await.err()
            }
            b"environment" => environment.get().await.err(),
            b"snapshot" => environment.snapshot("#1").await.err(),
            _ => {
                let latest = environment.latest_snapshot().await;
                latest.map(|latest| check_latest_snapshot(&latest, answer)).err()
            }
        };
        if let Some(error) = error {
            check_error(&error);
        }
        // One more, at once, if the connection broke.
        assert!(environment.calls() <= 2, "{} calls", environment.calls());
    }

    /// Gives every request this answer, and waits until its client has hung up.
    async fn serve(&self, answer: &[u8], connected: &Cell<bool>) -> Infallible {
        loop {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            connected.set(true);
            let serve = async {
                read_request(&mut stream).await?;
                stream.write_all(answer).await?;
                stream.shutdown().await?;
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
            };
            // A client that hangs up in the middle of a strange answer is right to.
            drop(timeout(DEADLINE, serve).await);
            connected.set(false);
        }
    }
}

/// Reads one HTTP request with its body.
async fn read_request(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    loop {
        if let Some(at) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..at]).to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|l| l.lines().next());
            let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            if request.len() >= at + 4 + length {
                return Ok(());
            }
        }
        if stream.read_buf(&mut request).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Only status 201 says that a snapshot was created.
fn check_report(reported: &ReportResponse, answer: &[u8]) {
    if let Some((status, _)) = unframed_status_and_body(answer) {
        assert_eq!(reported.created, status == "201", "{status}");
    }
}

/// A snapshot has exactly the artifacts of the document.
fn check_latest_snapshot(latest: &LatestSnapshot, answer: &[u8]) {
    if let LatestSnapshot::OtherType(other) = latest {
        check_text(other);
    }
    let Some((_, body)) = unframed_status_and_body(answer) else { return };
    // Text that is not needed is not even decoded, and may be malformed.
    let Ok(document) = serde_json::from_slice::<Value>(body) else { return };
    // The client redacts the token in all that a server says.
    if String::from_utf8_lossy(body).contains(TOKEN) {
        return;
    }
    match latest {
        LatestSnapshot::NoSnapshotYet => {}
        LatestSnapshot::OtherType(_) => assert_ne!(document["type"], ECS),
        LatestSnapshot::Snapshot { index, snapshot } => {
            assert_eq!(document["type"], ECS);
            assert_eq!(document["index"], *index);
            let artifacts = document["artifacts"].as_array().unwrap();
            let expected: Snapshot = artifacts.iter().map(expected_artifact).collect();
            assert_eq!(*snapshot, expected);
        }
    }
}

/// The artifact in a document of a snapshot.
fn expected_artifact(document: &Value) -> Artifact {
    Artifact {
        name: document["name"].as_str().unwrap().to_owned(),
        fingerprint: document["fingerprint"].as_str().and_then(|text| text.parse().ok()),
        replicas: document["annotation"]["now"].as_u64().unwrap(),
    }
}

/// An error is readable, and never shows the token.
fn check_error(error: &ApiError) {
    check_text(&error.to_string());
    assert!(!format!("{error:?}").contains(TOKEN), "{error:?}");
}

/// Text for people is short, on one line, and without the token.
fn check_text(text: &str) {
    assert!(text.len() < 1_500, "{} bytes: {text}", text.len());
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(!text.contains(TOKEN), "{text}");
}

/// Whether this begins with a well-formed head of an HTTP/1.1 response.
fn is_http_response(answer: &[u8]) -> bool {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").map(|end| &answer[..end]);
    let Some(head) = head.and_then(|head| str::from_utf8(head).ok()) else { return false };
    let mut lines = head.split("\r\n");
    let status =
        lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    matches!(status, Some(100..=999_u16))
        && !head.contains(|c: char| c.is_control() && c != '\r' && c != '\n')
        && lines.all(|line| line.split_once(':').is_some_and(|(name, _)| is_name(name)))
}

/// Status and body of a response whose body ends with the connection: no header gives a length or encoding.
fn unframed_status_and_body(answer: &[u8]) -> Option<(String, &[u8])> {
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = str::from_utf8(&answer[..at]).ok()?.to_lowercase();
    let status = head.strip_prefix("http/1.1 ")?.get(..3)?;
    let framed = head.contains("transfer-encoding") || head.contains("content-length");
    let is_final = !framed && !status.starts_with('1');
    is_final.then(|| (status.to_owned(), &answer[at + 4..]))
}

#[cfg(not(test))]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

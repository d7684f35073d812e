//! The size of the built function, what is linked into it, and how it starts and panics.

use std::collections::BTreeMap;
use std::process::Stdio;

use tokio::process::Command;

use crate::programs::ProgramOutput;
use crate::release;
use crate::tls::TlsServer;

/// The largest size of the function that SAM uploads, in bytes.
const MAX_FUNCTION_BYTES: u64 = 7_600_000;

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn function_is_small_and_contains_nothing_of_the_command_line() {
    let bootstrap = release::bootstrap().await;
    let size = std::fs::metadata(&bootstrap).unwrap().len();
    assert!(
        size <= MAX_FUNCTION_BYTES,
        "{} has {size} bytes, of {MAX_FUNCTION_BYTES}",
        bootstrap.display()
    );

    let function = std::fs::read(&bootstrap).unwrap();
    let command_line = std::fs::read(env!("CARGO_BIN_EXE_envsnap")).unwrap();
    for (part, text) in [
        ("SQLite", "SQLite format 3"),
        ("the web server", "Paths must start with a `/`"),
        ("the argument parser", "For more information, try '"),
        ("the recorder", "The recorder is receiving too many large requests"),
        ("the ECS stand-in", "The request has no X-Amz-Target header."),
        ("the tables", "CONFIRMED_UNTIL"),
    ] {
        assert!(contains(&command_line, text), "{text:?} is no longer a sign of {part}");
        assert!(!contains(&function, text), "the function holds {part}: {text:?}");
    }
    let text_of_the_function = "An event is one of: an EventBridge scheduled event";
    assert!(
        contains(&function, text_of_the_function),
        "the search finds what the function does hold"
    );
}

fn contains(binary: &[u8], text: &str) -> bool {
    binary.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The runtime's library promises to panic where Lambda's variables are missing. A build that aborts
/// ends by a signal then; one that unwinds comes back to `main` and ends with code 101.
#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn function_that_panics_unwinds_and_does_not_abort() {
    let mut function = Command::new(release::bootstrap().await);
    function.env_clear().env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9").stdin(Stdio::null());
    let ended = ProgramOutput::run(&mut function).await;
    assert!(ended.stdout.contains("envsnap panicked"), "{ended:?}");
    assert_eq!(ended.code, Some(101), "{ended:?}");
}

/// Some systems have a file for each root certificate: reading them is the largest part of a start.
#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn function_reads_each_root_certificate_once_when_it_starts() {
    // Neither client accepts its certificate, for which each needs the roots.
    let server = TlsServer::start().await;
    let url = format!("https://127.0.0.1:{}", server.port);
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut function = Command::new("strace");
    function
        .args(["-f", "-e", "trace=openat", "-o"])
        .arg(trace.path())
        .arg(release::bootstrap().await)
        .env_clear()
        .envs([
            ("PATH", "/usr/bin:/bin"),
            // The process ends when it asks for work.
            ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9"),
            ("AWS_LAMBDA_FUNCTION_NAME", "envsnap"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_ENDPOINT_URL", url.as_str()),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("KOSLI_HOST", url.as_str()),
            ("KOSLI_ORG", "acme"),
            ("KOSLI_ENVIRONMENT", "aws-prod"),
            ("KOSLI_API_TOKEN", "t0k3n"),
        ])
        .stdin(Stdio::null());
    ProgramOutput::run(&mut function).await;
    let trace = std::fs::read_to_string(trace.path()).unwrap();
    let mut opened = BTreeMap::<&str, u32>::new();
    for line in trace.lines().filter(|line| !line.contains(" = -1 ")) {
        let Some(path) = line.split('"').nth(1) else { continue };
        if path.contains("/ssl/") || path.contains("/pki/") {
            *opened.entry(path).or_default() += 1;
        }
    }
    assert!(!opened.is_empty(), "{trace}");
    opened.retain(|_, times| *times > 1);
    assert!(opened.is_empty(), "{opened:?}");
}

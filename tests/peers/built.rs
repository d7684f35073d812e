//! What the built function is made of.

use std::process::Stdio;

use tokio::process::Command;

use crate::programs::Ended;
use crate::release;

/// Of the function that SAM uploads, in bytes.
const LARGEST: u64 = 8_000_000;

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn the_function_is_small_and_holds_nothing_of_the_command_line() {
    let bootstrap = release::bootstrap().await;
    let size = std::fs::metadata(&bootstrap).unwrap().len();
    assert!(size <= LARGEST, "{} has {size} bytes, of {LARGEST}", bootstrap.display());

    let function = std::fs::read(&bootstrap).unwrap();
    let command_line = std::fs::read(env!("CARGO_BIN_EXE_envsnap")).unwrap();
    for (part, words) in [
        ("SQLite", "SQLite format 3"),
        ("the web server", "Paths must start with a `/`"),
        ("the argument parser", "For more information, try '"),
        ("the recorder", "a snapshot is never deleted"),
        ("the ECS stand-in", "The request has no X-Amz-Target header."),
        ("the tables", "RUNNING_SINCE"),
    ] {
        assert!(holds(&command_line, words), "{words:?} is no longer a sign of {part}");
        assert!(!holds(&function, words), "the function holds {part}: {words:?}");
    }
    let common = "An event is one of: an EventBridge scheduled event";
    assert!(holds(&function, common), "the search finds what the function does hold");
}

fn holds(binary: &[u8], words: &str) -> bool {
    binary.windows(words.len()).any(|window| window == words.as_bytes())
}

/// The runtime's library promises to panic where Lambda's variables are missing. A build that aborts
/// ends by a signal then; one that unwinds comes back to `main` and ends with code 101.
#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn a_panic_unwinds() {
    let mut function = Command::new(release::bootstrap().await);
    function.env_clear().env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9").stdin(Stdio::null());
    let ended = Ended::of(&mut function).await;
    assert!(ended.stderr.contains("panicked at"), "{ended:?}");
    assert_eq!(ended.code, Some(101), "{ended:?}");
}

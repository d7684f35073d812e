//! Answers as they are on a terminal.

use std::io::Read as _;

use pty_process::Size;
use pty_process::blocking::{Command, open};

use super::recorder_with_rollover;
use crate::recorder::server::{Recorder, digest, task};

/// ANSI escape sequence for red text.
const RED: &str = "\x1b[31m";

/// What `envsnap` prints on a terminal of so many columns.
async fn output_on_terminal(columns: u16, url: &str, arguments: &[&str], no_color: &str) -> String {
    let command = Command::new(env!("CARGO_BIN_EXE_envsnap")).args(arguments).env_clear().envs([
        ("KOSLI_HOST", url),
        ("KOSLI_ORG", "acme"),
        ("TZ", "UTC"),
        ("NO_COLOR", no_color),
    ]);
    tokio::task::spawn_blocking(move || {
        let (mut terminal, of_process) = open().unwrap();
        terminal.resize(Size::new(40, columns)).unwrap();
        let mut process = command.spawn(of_process).unwrap();
        let mut shown = Vec::new();
        // A terminal that its last process has left gives an error, and no end.
        let _left = terminal.read_to_end(&mut shown);
        assert!(process.wait().unwrap().success());
        String::from_utf8(shown).unwrap()
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn terminal_output_is_coloured_unless_no_color_color_never_or_json_is_set() {
    let recorder = recorder_with_rollover().await;
    let diff = |more: &'static [&str], no_color: &'static str| {
        let arguments = [&["env", "diff", "aws-prod#1", "aws-prod#3"], more].concat();
        let url = recorder.url.clone();
        async move { output_on_terminal(100, &url, &arguments, no_color).await }
    };
    assert!(diff(&[], "").await.contains(&format!("{RED}-")));
    assert!(diff(&["--color", "always"], "1").await.contains(RED));
    for plain in [
        diff(&[], "1").await,
        diff(&["--color", "never"], "").await,
        diff(&["-o", "json"], "").await,
    ] {
        assert!(!plain.contains('\x1b'), "{plain:?}");
    }
}

#[tokio::test]
async fn tables_fit_the_terminal_width_with_complete_digests_and_names() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", Some(true)).await;
    let name = "274425519734.dkr.ecr.eu-central-1.amazonaws.com/cyber-dojo/start-points:16d9990";
    recorder.report("aws-prod", &[task(1, name, &digest(1), 1_661_027_563)]).await;
    for columns in [100, 140, 200] {
        for question in [&["env", "get", "aws-prod"][..], &["env", "log", "aws-prod"]] {
            let shown = output_on_terminal(columns, &recorder.url, question, "1").await;
            let widest = shown.lines().map(|line| line.trim_end().chars().count()).max();
            assert!(widest <= Some(usize::from(columns)), "{shown}");
        }
        let shown =
            output_on_terminal(columns, &recorder.url, &["env", "get", "aws-prod"], "1").await;
        let digits: String = shown.split_whitespace().collect();
        assert!(digits.contains(&digest(1)), "{shown}");
        for part in name.split('/') {
            assert!(shown.contains(part), "{shown}");
        }
    }
}

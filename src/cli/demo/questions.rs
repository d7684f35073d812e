//! The questions of the tutorial, each as a command with its answer.

use std::process::Stdio;

use anyhow::{Context as _, bail};

use super::cyber_dojo::{ORG, PROD, ROLLOVER};
use crate::cli::print;
use crate::cli::terminal::{Colour, ColourChoice, Terminal};

/// Of the user's own environment: what the output depends on, and no setting of a server or a proxy.
const KEPT_VARIABLES: [&str; 8] =
    ["HOME", "LANG", "LC_ALL", "NO_COLOR", "PATH", "TERM", "TZ", "TZDIR"];

/// The exit code of `rogue` if something is.
const FOUND: i32 = 1;

struct Question {
    text: String,
    arguments: Vec<String>,
}

fn questions() -> Vec<Question> {
    let [before, after] = ROLLOVER;
    [
        ("Which pipelines report what they build?".to_owned(), "pipeline ls".to_owned()),
        (
            "What became of commit 16d9990 of runner?".to_owned(),
            "artifact get runner:16d9990".to_owned(),
        ),
        (
            format!("What ran in snapshot {before}? Two versions: a deployment, halfway."),
            format!("env get {PROD}#{before} --name runner"),
        ),
        (
            "What changed with the next snapshot?".to_owned(),
            format!("env diff {PROD}#{before} {PROD}#{after}"),
        ),
        (
            "What happened around it?".to_owned(),
            format!("env log {PROD} {}..{}", before - 1, after + 1),
        ),
        (
            "What runs now with nothing behind it, or too little?".to_owned(),
            format!("rogue {PROD} --evidence"),
        ),
    ]
    .map(|(text, command)| Question {
        text,
        arguments: command.split(' ').map(str::to_owned).collect(),
    })
    .into()
}

/// Asks each question as a user would: with this program, of the recorder at `host`. `envsnap` is how
/// the user starts the program.
pub(super) async fn ask_all(host: &str, envsnap: &str) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find this program, to run it again")?;
    let terminal = Terminal::detect(ColourChoice::Auto);
    for (number, Question { text, arguments }) in (1..).zip(questions()) {
        let command = format!("$ {envsnap} {}", arguments.join(" "));
        print(&format!("\n{number}. {text}\n{}\n", terminal.paint(Colour::Bold, &command)))?;
        let variables =
            KEPT_VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let status = tokio::process::Command::new(&program)
            .args(&arguments)
            .env_clear()
            .envs(variables)
            .envs([("KOSLI_HOST", host), ("KOSLI_OWNER", ORG)])
            .stdin(Stdio::null())
            .status()
            .await
            .with_context(|| format!("cannot run {}", program.display()))?;
        if !status.success() && status.code() != Some(FOUND) {
            bail!("{envsnap} {} failed: {status}", arguments.join(" "));
        }
    }
    Ok(())
}

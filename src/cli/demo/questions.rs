//! The questions of the tutorial, each as a command with its answer.

use std::process::Stdio;

use anyhow::{Context as _, bail};

use super::cyber_dojo::{ORG, PROD, ROLLOVER};
use crate::cli::print;
use crate::cli::terminal::{Colour, ColourChoice, Terminal};

/// The user's environment variables that a command inherits, because its output depends on them.
/// Settings of a server or a proxy are not among them.
const INHERITED_VARIABLES: [&str; 8] =
    ["HOME", "LANG", "LC_ALL", "NO_COLOR", "PATH", "TERM", "TZ", "TZDIR"];

/// The exit code of `envsnap rogue` if something is rogue or late. It is not a failure of the demo.
const ROGUE_FOUND_EXIT_CODE: i32 = 1;

/// A question of the tutorial, and the arguments of the `envsnap` command that answers it.
struct Question {
    text: String,
    arguments: Vec<String>,
}

fn tutorial_questions() -> Vec<Question> {
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

/// Prints each question, and runs the command that answers it: this program, with the recorder at
/// `host`. `envsnap` is how the user starts the program, as it is printed before the arguments.
pub(super) async fn run_all(host: &str, envsnap: &str) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find this program, to run it again")?;
    let terminal = Terminal::detect(ColourChoice::Auto);
    for (number, Question { text, arguments }) in (1..).zip(tutorial_questions()) {
        let command = format!("$ {envsnap} {}", arguments.join(" "));
        print(&format!("\n{number}. {text}\n{}\n", terminal.paint(Colour::Bold, &command)))?;
        let variables = INHERITED_VARIABLES
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        let status = tokio::process::Command::new(&program)
            .args(&arguments)
            .env_clear()
            .envs(variables)
            .envs([("KOSLI_HOST", host), ("KOSLI_OWNER", ORG)])
            .stdin(Stdio::null())
            .status()
            .await
            .with_context(|| format!("cannot run {}", program.display()))?;
        if !status.success() && status.code() != Some(ROGUE_FOUND_EXIT_CODE) {
            bail!("{envsnap} {} failed: {status}", arguments.join(" "));
        }
    }
    Ok(())
}

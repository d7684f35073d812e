//! The reference of the command line, as the page `docs/commands.md`.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _};

use super::Arguments;

/// Of the help texts, in columns.
const HELP_WIDTH: usize = 100;

/// The page `docs/commands.md`, with the help of each command as `--help` prints it.
pub fn reference() -> String {
    let mut root = Arguments::command().term_width(HELP_WIDTH);
    root.build();
    let mut contents = Vec::new();
    let mut sections = String::new();
    for command in documented_subcommands(&mut root) {
        let name = format!("envsnap {}", command.get_name());
        contents.push(format!("[{name}](#{})", name.replace(' ', "-")));
        append_section(&mut sections, command, "##", &name);
        for inner in documented_subcommands(command) {
            let name = format!("{name} {}", inner.get_name());
            append_section(&mut sections, inner, "###", &name);
        }
    }
    format!(
        "# Commands\n\nFor everyone who types `envsnap`: each command with its options, as `--help` prints \
         it.\n\nContents: {}\n{sections}",
        contents.join(" ·\n")
    )
}

fn documented_subcommands(command: &mut Command) -> impl Iterator<Item = &mut Command> {
    command.get_subcommands_mut().filter(|it| !it.is_hide_set() && it.get_name() != "help")
}

/// Adds a section to `text`: a heading of Markdown, and the command's help.
fn append_section(text: &mut String, command: &mut Command, level: &str, name: &str) {
    let help = command.render_long_help().to_string();
    let help: Vec<_> = help.lines().map(str::trim_end).collect();
    let help = help.join("\n");
    let _infallible = write!(text, "\n{level} {name}\n\n```text\n{}\n```\n", help.trim());
}

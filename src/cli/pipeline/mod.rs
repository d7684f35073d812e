//! `envsnap pipeline`: the pipelines that report what they build.

mod create;
mod inspect;
mod ls;

use clap::Subcommand;

use super::server_args::ServerArgs;

/// List, describe and create pipelines, which report what they build (flows)
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    args: ServerArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(ls::Arguments),
    Inspect(inspect::Arguments),
    Create(create::Arguments),
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { args, command } = arguments;
    if !matches!(command, Command::Ls(_)) {
        args.refuse_csv()?;
    }
    match command {
        Command::Ls(ls::Arguments {}) => ls::run(&args).await,
        Command::Inspect(arguments) => inspect::run(&args, &arguments).await,
        Command::Create(arguments) => create::run(&args, arguments).await,
    }
}

/// Checks the name of a pipeline or of a trail, which becomes part of a URL's path: ASCII letters, digits and `._~-`, and
/// first a letter or digit.
pub(super) fn pipeline_name(text: &str) -> Result<String, String> {
    let is_valid = text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._~-".contains(c));
    if is_valid {
        return Ok(text.to_owned());
    }
    Err("the name of a pipeline or trail has letters, digits and . _ ~ -, and begins with a letter or digit"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipeline_name_of_other_characters_than_a_url_path_segment_may_have_is_rejected() {
        for (name, is_valid) in [
            ("runner", true),
            ("a~1._-", true),
            ("", false),
            ("..", false),
            ("a/b", false),
            ("é", false),
        ] {
            assert_eq!(pipeline_name(name).is_ok(), is_valid, "{name}");
        }
    }
}

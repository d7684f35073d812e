//! `envsnap completions`: what a shell needs to complete this command line.

use clap::CommandFactory as _;
use clap_complete::Shell;

/// Write the script with which a shell completes envsnap's arguments
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  envsnap completions bash > ~/.local/share/bash-completion/completions/envsnap
  envsnap completions zsh > ~/.zfunc/_envsnap       # a folder in fpath
  envsnap completions fish > ~/.config/fish/completions/envsnap.fish")]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut super::Arguments::command(),
        "envsnap",
        &mut script,
    );
    super::print(&String::from_utf8_lossy(&script))?;
    Ok(())
}

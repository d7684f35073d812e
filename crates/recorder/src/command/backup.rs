//! `backup`: a copy of the recorder's file.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::store::sqlite::{self, BackupSummary};
use crate::text::{pluralize, replace_invisible_lines};

/// Copy the recorder's file while the recorder runs
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The copy is one consistent file, complete on disk and verified before it is \
     named TARGET; 'envsnap serve --db TARGET' continues from it. If the file is damaged, the \
     copy is kept as TARGET.damaged, and the command fails."
)]
pub struct Arguments {
    /// The recorder's file
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// Where the copy is to be; nothing is overwritten
    target: PathBuf,
}

/// Copies the recorder's file, verifies the copy, and returns a summary for the terminal.
///
/// # Errors
/// The file cannot be copied, or the copy does not verify.
pub fn run(arguments: &Arguments) -> anyhow::Result<String> {
    let Arguments { db, target } = arguments;
    let BackupSummary { snapshots, heads } = sqlite::backup(db, target)?;
    let mut summary = format!(
        "Copied {} to {}: {}.\n",
        db.display(),
        target.display(),
        pluralize(snapshots, "snapshot")
    );
    for head in heads {
        writeln!(summary, "Head: {head}")?;
    }
    // Names come from the file, which may be untrusted.
    Ok(replace_invisible_lines(&summary) + "\n")
}

//! `rebuild`: a new file whose tables are made from the ledgers of a damaged one.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::store::sqlite::{self, BackupSummary, RebuildSummary};
use crate::text::{pluralize, replace_invisible_lines};

/// Make the tables of the recorder's file anew from its ledgers, in another file
#[derive(Debug, clap::Args)]
#[command(
    after_help = "For a file of which 'envsnap verify' says that its ledgers hold, but not its tables, \
     indexes or triggers. Stop the recorder first. FILE stays as it is. TARGET has its ledgers, the tables that follow from them, \
     the files with attestations, and what the ledgers do not cover: the last report to each environment, the tasks that \
     run now, and how far webhooks have come. It is complete on disk and verified before it is named TARGET. A \
     file whose ledgers do not hold is refused: restore a backup."
)]
pub struct Arguments {
    /// The recorder's file
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// Where the new file is to be; nothing is overwritten
    target: PathBuf,
}

/// Makes the tables anew from the ledgers, in a new file, and returns a summary for the terminal.
///
/// # Errors
/// The ledgers do not hold, or the new file cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<String> {
    let Arguments { db, target } = arguments;
    let RebuildSummary { copied, damaged_attachment } = sqlite::rebuild(db, target)?;
    let BackupSummary { snapshots, heads } = copied;
    let (file, new) = (db.display(), target.display());
    let mut summary =
        format!("Made the tables of {file} anew in {new}: {}.\n", pluralize(snapshots, "snapshot"));
    for head in heads {
        writeln!(summary, "Head: {head}")?;
    }
    if let Some(damage) = damaged_attachment {
        writeln!(summary, "One thing is still damaged: {damage}.")?;
    }
    writeln!(
        summary,
        "Move {file} away together with its -wal and -shm, keep it, move {new} to {file}, and start the recorder."
    )?;
    // Names come from the file, which may be untrusted.
    Ok(replace_invisible_lines(&summary) + "\n")
}

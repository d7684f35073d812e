//! `envsnap backup`: a copy of the recorder's file.

use std::path::PathBuf;

use crate::recorder::{self, BackedUp};

/// Copy the recorder's file while the recorder runs
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The copy is of one moment, a file of its own, and complete on disk before it \
    gets its name. 'envsnap verify --db TARGET' reads all of it; 'envsnap serve --db TARGET' goes \
    on from there."
)]
pub(super) struct Arguments {
    /// The recorder's file
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// Where the copy is to be; nothing is overwritten
    target: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { db, target } = arguments;
    let BackedUp { snapshots, head } = recorder::backup(db, target)?;
    super::print(&format!(
        "Copied {} to {}: {}.\nHead: {head}\n",
        db.display(),
        target.display(),
        crate::wording::counted(snapshots, "snapshot")
    ))?;
    Ok(())
}

//! `envsnap verify`: whether the recorder's file was rewritten.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::visible::visible_lines;
use crate::recorder::{self, Link, Verified};
use crate::wording::counted;

/// Check that the recorder's file still says what was recorded
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each snapshot's link is a hash of the whole snapshot and of the link before \
    it, in the order in which the file's snapshots were recorded. The last link is the head: the \
    recorder answers every report with it (x-envsnap-head), and the reporter writes it to its log. \
    A head from that log, given as --head, proves that nothing recorded up to then was changed or \
    removed since. Without it, only this is proved: the file is not damaged, no link was changed \
    alone, and what the recorder derives from the snapshots agrees with them. Whoever can write to \
    the file can compute a whole chain anew, or remove snapshots from the end, and leave no trace. \
    Not covered in either case: when snapshots were confirmed, names and descriptions of \
    environments, and which are archived."
)]
pub(super) struct Arguments {
    /// The recorder's file, which a recorder may write to meanwhile
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// A head that the recorder told once, from the log of who reported
    #[arg(long, value_name = "HASH")]
    head: Option<Link>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { db, head } = arguments;
    let verified = recorder::verify(db, *head)?;
    // Names come from the file, and it may be anybody's.
    super::print(&format!("{}\n", visible_lines(&shown(&verified, *head)?)))?;
    Ok(())
}

fn shown(verified: &Verified, witness: Option<Link>) -> Result<String, std::fmt::Error> {
    let Verified { snapshots, environments, head, after_witness, renamed, archived } = verified;
    let mut shown = if *snapshots == 0 {
        "The file holds no snapshot, so that nothing is proved. Of a file in use, copy nothing but what \
         envsnap backup makes: the latest snapshots are beside it, in a file that ends in -wal.\n"
            .to_owned()
    } else {
        format!(
            "Every link holds: {} in {}.\n",
            counted(*snapshots, "snapshot"),
            counted(*environments, "environment")
        )
    };
    for it in renamed {
        writeln!(
            shown,
            "'{}' of organization '{}' was renamed to '{}' after its snapshot #{}.",
            it.from, it.org, it.to, it.index
        )?;
    }
    for (org, name) in archived {
        writeln!(
            shown,
            "'{name}' of organization '{org}' is archived: it is not listed, and no question finds \
             it."
        )?;
    }
    if let (Some(witness), Some(after)) = (witness, after_witness) {
        match after {
            _ if witness == Link::GENESIS => {
                writeln!(shown, "{witness} is what every file begins with: it proves nothing.")?;
            }
            0 => writeln!(shown, "{witness} is the head.")?,
            after => writeln!(
                shown,
                "{witness} is a link of the chain; {} came after it.",
                counted(*after, "snapshot")
            )?,
        }
    }
    if *snapshots > 0 {
        if witness.is_none_or(|witness| witness == Link::GENESIS) {
            shown.push_str(
                "Without --head, this proves only that the file is consistent with itself: a chain \
                 that was computed anew, or lost its end, is so too.\n",
            );
        }
        shown.push_str(
            "The chain does not cover when snapshots were confirmed, or how environments are described.\n",
        );
    }
    writeln!(shown, "Head: {head}")?;
    Ok(shown)
}

//! `verify`: checks that the recorder's file was not rewritten.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::domain::{Head, SignedHead};
use crate::signing::PublicKey;
use crate::store::sqlite::{self, AttachmentCheck, Verified};
use crate::text::{pluralize, replace_invisible_lines};

/// Check that the recorder's file still says what was recorded
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Everything that is recorded of an organization is an entry of its ledger: \
     environments that are created, changed, renamed and archived, snapshots, confirmations, and \
     corrections of the clock, each with the label of the token. The hash of an entry is over all \
     of it and the hash before it. The last one is the head: the recorder answers every write \
     with it (x-envsnap-head), and the reporter writes it to its log. A head from that log, given \
     as --head, proves that nothing recorded up to then was changed or removed since. Without it, \
     only this is proved: the file is not damaged, no entry was changed alone, and every table \
     says what the ledgers say. Anyone who can write to the file can recompute whole ledgers, or \
     remove entries from the end, without a trace. Not covered in either case: when an \
     environment was last reported, and which tasks run now."
)]
pub struct Arguments {
    /// The recorder's file, which a recorder may write to meanwhile
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// A head that the recorder answered with, from the log of a reporter: 'org=…; seq=…; hash=…'
    #[arg(long, value_name = "HEAD")]
    head: Option<SignedHead>,
    /// The public key that the head has to be signed with: a PEM file, as 'openssl pkey -pubout'
    /// writes it
    #[arg(long, value_name = "FILE", requires = "head")]
    public_key: Option<PathBuf>,
    /// Hash every file that was reported with an attestation again; otherwise only its size is checked
    #[arg(long)]
    attachments: bool,
}

/// Verifies the file and returns a text that says what this proves.
///
/// # Errors
/// The file cannot be read, or does not verify.
pub fn run(arguments: &Arguments) -> anyhow::Result<String> {
    let Arguments { db, head, public_key, attachments } = arguments;
    if let (Some(path), Some(head)) = (public_key, head) {
        PublicKey::from_file(path)?.verify(head)?;
    }
    let head = head.as_ref().map(|signed| &signed.head);
    let check = if *attachments { AttachmentCheck::Content } else { AttachmentCheck::Sizes };
    let verified = sqlite::verify(db, head, check)?;
    // Names come from the file, which may be untrusted.
    Ok(replace_invisible_lines(&describe(&verified, head)?) + "\n")
}

fn describe(verified: &Verified, expected: Option<&Head>) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    if verified.ledgers.is_empty() {
        return Ok("The file has no ledger, so that nothing is proved. Copy a file in use only \
         with envsnap backup: the latest entries are beside it, in a file that ends in -wal."
            .to_owned());
    }
    for ledger in &verified.ledgers {
        writeln!(
            text,
            "The ledger of organization '{}' holds: {}, with {} in {}.",
            ledger.head.org,
            count_entries(ledger.head.seq),
            pluralize(ledger.snapshots, "snapshot"),
            pluralize(ledger.environments, "environment")
        )?;
        match (expected, ledger.after_expected) {
            (Some(_), Some(0)) => writeln!(text, "The given head is its head.")?,
            (Some(Head { seq, .. }), Some(after)) => writeln!(
                text,
                "The given head is its entry {seq}; {} came after it.",
                count_entries(after)
            )?,
            _ => {}
        }
    }
    if expected.is_some_and(|expected| expected.seq == 0) {
        text.push_str("Every ledger begins with the given head: it proves nothing.\n");
    }
    if expected.is_none_or(|expected| expected.seq == 0) {
        text.push_str(
            "Without --head, this proves only that the file is consistent with itself: so is a \
             ledger that was rewritten or lost its end.\n",
        );
    }
    text.push_str(
        "The ledgers do not cover when an environment was last reported, and which tasks run now.\n",
    );
    for ledger in &verified.ledgers {
        writeln!(text, "Head: {}", ledger.head)?;
    }
    Ok(text)
}

fn count_entries(count: i64) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}

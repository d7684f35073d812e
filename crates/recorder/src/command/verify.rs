//! `verify`: checks that the recorder's file was not rewritten, or that a proof bundle was not changed.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::bail;
use clap::ArgGroup;

use crate::domain::{Head, SignedHead};
use crate::proof::{Summary, verify_bundle};
use crate::signing::PublicKey;
use crate::store::sqlite::{self, AttachmentCheck, Verified};
use crate::text::{pluralize, replace_invisible_lines};

/// Check that the recorder's file, or a proof bundle, still says what was recorded
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
     environment was last reported, and which tasks run now.\n\n\
     A bundle that 'envsnap proof' has made is verified without the recorder: its ledger, and that \
     all else in it follows from the ledger and the attachments. What has to be trusted is the \
     public key, or the head of its last entry: an earlier head proves the entries up to that one."
)]
#[command(group(ArgGroup::new("what").required(true).args(["bundle", "db"])))]
pub struct Arguments {
    /// A bundle that 'envsnap proof' has made
    #[arg(value_name = "BUNDLE", conflicts_with_all = ["db", "attachments"])]
    bundle: Option<PathBuf>,
    /// The recorder's file, which a recorder may write to meanwhile
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// A head that the recorder returned, from the log of a reporter: 'org=…; seq=…; hash=…'
    #[arg(long, value_name = "HEAD")]
    head: Option<SignedHead>,
    /// The public key that the head, or that of the bundle, has to be signed with: a PEM file, as
    /// 'openssl pkey -pubout' writes it
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Hash every file that was reported with an attestation again; otherwise only its size is checked
    #[arg(long)]
    attachments: bool,
}

/// Verifies the recorder's file, or a proof bundle, and returns a text that says what this proves.
///
/// # Errors
/// The file cannot be read, or does not verify.
pub async fn run(arguments: &Arguments) -> anyhow::Result<String> {
    let Arguments { bundle, db, head, public_key, attachments } = arguments;
    let key = public_key.as_deref().map(PublicKey::from_file).transpose()?;
    let expected = head.as_ref().map(|signed| &signed.head);
    let text = if let Some(bundle) = bundle {
        let summary = verify_bundle(bundle, expected, key.as_ref()).await?;
        describe_bundle(&summary, expected, key.is_some())?
    } else if let Some(db) = db {
        match (key, head) {
            (Some(key), Some(head)) => key.verify(head)?,
            (Some(_), None) => {
                bail!("--public-key checks the signature of a head, and none is given. Add --head")
            }
            (None, _) => {}
        }
        let check = if *attachments { AttachmentCheck::Content } else { AttachmentCheck::Sizes };
        describe_ledgers(&sqlite::verify(db, expected, check)?, expected)?
    } else {
        bail!("name a bundle, or the recorder's file with --db");
    };
    // Names come from the file, which may be untrusted.
    Ok(replace_invisible_lines(&text) + "\n")
}

/// What a verified bundle proves; `expected` is the head that was given for it, and `is_signed` whether its
/// own head was verified with a public key.
fn describe_bundle(
    summary: &Summary,
    expected: Option<&Head>,
    is_signed: bool,
) -> Result<String, std::fmt::Error> {
    let mut text = format!("The bundle holds. {}", summary.describe());
    match expected {
        _ if is_signed => {}
        Some(expected) => {
            let after = summary.head.head.seq - expected.seq;
            describe_given_head(&mut text, expected, after)?;
            if after > 0 {
                text.push_str(
                    "What the bundle says is made of all entries. To prove all of it, take the head above \
                     from the log of a reporter, and give that one.\n",
                );
            }
        }
        None => text.push_str(
            "Without --head or --public-key, this proves only that the bundle is consistent with \
             itself: so is one that was made of another ledger.\n",
        ),
    }
    Ok(text)
}

/// Appends what the given head proves of a ledger in which so many entries came after it.
fn describe_given_head(text: &mut String, expected: &Head, after: i64) -> std::fmt::Result {
    if after == 0 {
        return writeln!(text, "The given head is its head.");
    }
    let entries = pluralize_entries(after);
    writeln!(
        text,
        "The given head is its entry {}; {entries} came after it.\n\
         The {entries} after it {} not proven by this head: anyone with a copy of the ledger can append \
         entries, so that the snapshots, provenance, allowances and times in {} may be later inventions.",
        expected.seq,
        if after == 1 { "is" } else { "are" },
        if after == 1 { "it" } else { "them" },
    )
}

/// What the verified ledgers of a file prove; `expected` is the head that was given for one of them.
fn describe_ledgers(
    verified: &Verified,
    expected: Option<&Head>,
) -> Result<String, std::fmt::Error> {
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
            pluralize_entries(ledger.head.seq),
            pluralize(ledger.snapshots, "snapshot"),
            pluralize(ledger.environments, "environment")
        )?;
        match (expected, ledger.after_expected) {
            (Some(expected), Some(after)) if expected.seq > 0 => {
                describe_given_head(&mut text, expected, after)?;
            }
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

fn pluralize_entries(count: i64) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::tests::TestLedger;

    /// What `verify` prints for the bundle with this head.
    async fn verify_with(bundle: &std::path::Path, head: &Head) -> anyhow::Result<String> {
        let arguments = Arguments {
            bundle: Some(bundle.to_owned()),
            db: None,
            head: Some(SignedHead { head: head.clone(), signature: None }),
            public_key: None,
            attachments: false,
        };
        run(&arguments).await
    }

    #[tokio::test]
    async fn earlier_head_does_not_prove_the_entries_of_a_bundle_that_came_after_it() {
        let ledger = TestLedger::new().await;
        ledger.report(&[(1, "app:1")]).await;
        let before = ledger.head().await;
        ledger.allow("evil/*").await;
        let middle = ledger.head().await;
        ledger.report(&[(1, "app:1"), (2, "evil/miner:1")]).await;
        let bundle = ledger.bundle().await;
        let last = ledger.head().await;
        let of_all = verify_with(bundle.path(), &last).await.unwrap();
        assert!(of_all.contains("The given head is its head.\n"), "{of_all}");
        assert!(!of_all.contains("not proven"), "{of_all}");
        for (head, expected) in [
            (&middle, "The 1 entry after it is not proven by this head"),
            (&before, "The 2 entries after it are not proven by this head"),
        ] {
            let text = verify_with(bundle.path(), head).await.unwrap();
            for expected in [expected, "provenance, allowances and times", "take the head above"] {
                assert!(text.contains(expected), "{expected}: {text}");
            }
        }
    }

    #[tokio::test]
    async fn signature_of_the_head_of_a_bundle_proves_also_what_came_after_a_given_head() {
        let ledger = TestLedger::new().await;
        ledger.report(&[(1, "app:1")]).await;
        let before = ledger.head().await;
        ledger.report(&[(2, "app:2")]).await;
        let summary =
            verify_bundle(ledger.bundle().await.path(), Some(&before), None).await.unwrap();
        let text = describe_bundle(&summary, Some(&before), true).unwrap();
        assert!(!text.contains("not proven"), "{text}");
    }
}

//! Bundles that prove what ran in an environment: for those who trust neither the recorder's host nor
//! the one who made the bundle.
//!
//! A bundle holds the organization's ledger up to a head, and documents that are made of it and of the
//! attachments alone. To verify it, the ledger is verified, and everything else is made again from it
//! and compared byte by byte. So the head, or the key that signed it, is all that has to be trusted.

mod archive;
mod bundle;
mod content;
mod environment;
mod ledger;
mod report;
mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod verify;

use std::io;

use serde::{Deserialize, Serialize};

use crate::domain::{Error, Head, Micros, SignedHead};
use crate::signing::SignatureError;
use crate::store::sqlite::VerifyError;
use crate::text::pluralize;
pub use bundle::Bundle;
pub use content::AttachmentRef;
pub use ledger::{Ledger, LedgerError};
pub use verify::{is_bundle, open_bundle, verify_bundle};

/// The version of the format, in [`Scope`]. A bundle is verified by making its files again, so that it
/// changes with every change of what a file says.
const FORMAT: u32 = 4;

/// The most bytes that the scope and the head in a bundle may each have.
const MAX_SMALL_BYTES: u64 = 64 << 10;

/// The most snapshots that a bundle has whole, in rows of artifacts. Of more, it has the first and the
/// last one; what changed between them is in its events in either case.
const MAX_SNAPSHOT_ROWS: u64 = 50_000;

/// The file of a bundle with its [`Scope`].
const SCOPE: &str = "bundle.json";
/// The file of a bundle with the head of its ledger.
const HEAD: &str = "head.txt";
/// The file of a bundle with the entries of its ledger.
const LEDGER: &str = "ledger.jsonl";

/// The environment and the period that a bundle is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The version of the format.
    pub format: u32,
    pub org: String,
    pub environment: String,
    /// The start of the time that it is about, in microseconds since the Unix epoch; the first snapshot
    /// if it is `None`.
    pub since: Option<i64>,
    /// The end of that time; the last report in the ledger if it is `None`.
    pub until: Option<i64>,
}

impl Scope {
    pub fn new(org: &str, environment: &str, since: Option<Micros>, until: Option<Micros>) -> Self {
        Self {
            format: FORMAT,
            org: org.to_owned(),
            environment: environment.to_owned(),
            since: since.map(|time| time.0),
            until: until.map(|time| time.0),
        }
    }
}

/// A bundle cannot be made, or does not verify.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The entries are not a ledger that ends with the head.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger does not verify.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The ledger holds nothing of that time, or not that environment.
    #[error(transparent)]
    Store(#[from] Error),
    #[error(
        "the ledger has no snapshot of environment '{environment}' in that time, or no report to it"
    )]
    NoSnapshot { environment: String },
    /// The head is not signed by the expected key.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The expected head is not in the ledger.
    #[error(
        "the ledger in the bundle holds, and \"{expected}\" is not in it: the bundle was made of another \
         ledger, or of this one before that entry"
    )]
    UnknownHead { expected: Box<Head> },
    /// An attachment is missing, or has other content.
    #[error("the file with SHA-256 {sha256}, which was reported as evidence, {problem}")]
    Attachment { sha256: String, problem: String },
    /// The file is not a bundle.
    #[error("{file} is not a proof bundle, or was damaged or truncated: {reason}")]
    NotABundle { file: String, reason: String },
    /// The file is a SQLite database.
    #[error(
        "{file} is a SQLite file, not a proof bundle. If it is a recorder's file, verify it with: envsnap verify \
         --db '{file}'"
    )]
    Database { file: String },
    /// Another version of this program made it.
    #[error(
        "the bundle has format {found}, and this version of envsnap verifies format {FORMAT}. Use the version \
         that made the bundle, or make it again"
    )]
    Format { found: u32 },
    /// It is not what its ledger says.
    #[error("the bundle was changed: {member} does not follow from its ledger and its attachments")]
    Changed { member: String },
    /// Its files are what its ledger says, and the bytes around them are not.
    #[error(
        "the files in {file} are intact, and follow from its ledger and its attachments, but the archive \
         around them is not the one that envsnap made: it was packed again, or bytes outside of the files \
         were changed. Verify the original file"
    )]
    Repacked { file: String },
    /// The environment has another name now.
    #[error(
        "environment '{name}' was renamed to '{new_name}' at {}. Name it so: the bundle has the time before \
         that, too", at.rfc3339()
    )]
    Renamed { name: String, new_name: String, at: Micros },
    #[error("cannot {operation}")]
    Io {
        /// Such as `read november.tar`.
        operation: String,
        #[source]
        source: io::Error,
    },
    /// A document cannot be written as JSON or CSV.
    #[error("cannot write {member}")]
    Document {
        member: String,
        #[source]
        source: io::Error,
    },
}

/// What a bundle shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub scope: Scope,
    /// The head that its ledger ends with.
    pub head: SignedHead,
    /// When that entry was recorded.
    pub head_recorded_at: Micros,
    /// The time of which it says what ran.
    pub from: Micros,
    pub to: Micros,
    pub snapshots: u64,
    pub artifacts: u64,
    pub attachments: u64,
    /// Periods in that time that no report covers.
    pub gaps: u64,
}

impl Summary {
    /// What the bundle proves, in lines for the terminal.
    pub fn describe(&self) -> String {
        let Self { scope, head, head_recorded_at, from, to, .. } = self;
        let gaps = match self.gaps {
            0 => "reports cover the whole time".to_owned(),
            gaps => format!("{} not covered by reports", pluralize(gaps, "time")),
        };
        format!(
            "It says what ran in environment '{}' of organization '{}'\n\
             from {} to {}: {}, {}, {}, {gaps}.\n\
             Its ledger ends with entry {}, which was recorded at {}.\n\
             Head: {head}\n",
            scope.environment,
            scope.org,
            from.rfc3339(),
            to.rfc3339(),
            pluralize(self.snapshots, "snapshot"),
            pluralize(self.artifacts, "artifact"),
            pluralize(self.attachments, "attachment"),
            head.head.seq,
            head_recorded_at.rfc3339(),
        )
    }
}

fn document_error(member: &str, source: io::Error) -> ProofError {
    ProofError::Document { member: member.to_owned(), source }
}

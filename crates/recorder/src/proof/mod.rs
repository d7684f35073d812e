//! Bundles that prove what ran in an environment: for those who trust neither the recorder's host nor
//! the one who made the bundle.
//!
//! A bundle holds the organization's ledger up to a head, and documents that are made of it and of the
//! attachments alone. To verify it, the ledger is verified, and everything else is made again from it
//! and compared byte by byte. So the head, or the key that signed it, is all that has to be trusted.

mod archive;
mod content;
mod ledger;
mod report;
mod tables;

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::{Error, Head, Micros, SignedHead};
use crate::signing::{PublicKey, SignatureError};
use crate::store::sqlite::VerifyError;
use crate::text::pluralize;
use archive::{ArchiveReader, ArchiveWriter, Comparison};
pub use content::AttachmentRef;
use content::Content;
pub use ledger::{Ledger, LedgerError};

/// The version of the format, in [`Scope`].
const FORMAT: u32 = 1;

/// The most bytes of the scope and of the head in a bundle.
const MAX_SMALL_BYTES: u64 = 64 << 10;

/// The most snapshots that a bundle has whole, in rows of artifacts. Of more, it has the first and the
/// last one; what changed between them is in its events in either case.
const MAX_SNAPSHOT_ROWS: u64 = 50_000;

const SCOPE: &str = "bundle.json";
const HEAD: &str = "head.txt";
const LEDGER: &str = "ledger.jsonl";

/// What a bundle is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The version of the format: 1.
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
    #[error("{file} is not a proof bundle: {reason}")]
    NotABundle { file: String, reason: String },
    /// A newer version of this program made it.
    #[error(
        "the bundle has format {found}, and this version reads format {FORMAT}. Use a newer envsnap"
    )]
    Format { found: u32 },
    /// It is not what its ledger says.
    #[error("the bundle was changed: {member} does not follow from its ledger and its attachments")]
    Changed { member: String },
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
    /// What it proves, in lines for the terminal.
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

/// A bundle that can be made of a ledger once its attachments are there.
pub struct Bundle {
    scope: Scope,
    ledger: Ledger,
    content: Content,
}

impl Bundle {
    /// Verifies the ledger, and finds in it what the bundle is about.
    ///
    /// # Errors
    /// The ledger does not hold, or nothing is recorded of the environment in that time.
    pub async fn new(scope: Scope, ledger: Ledger) -> Result<Self, ProofError> {
        let content = Content::new(&scope, &ledger).await?;
        Ok(Self { scope, ledger, content })
    }

    /// The attachments that it contains, by SHA-256.
    pub fn attachments(&self) -> &[AttachmentRef] {
        self.content.attachments()
    }

    /// Writes it. `attachment` gives the content of each attachment, in this order.
    ///
    /// # Errors
    /// An attachment is not what was reported, or `target` cannot be written.
    pub fn write(
        &self,
        target: impl Write,
        mut attachment: impl FnMut(&AttachmentRef) -> io::Result<Vec<u8>>,
    ) -> Result<Summary, ProofError> {
        let Self { scope, ledger, content } = self;
        let (from, to) = content.period();
        let summary = Summary {
            scope: scope.clone(),
            head: ledger.head().clone(),
            head_recorded_at: ledger.recorded_at(),
            from,
            to,
            snapshots: content.spans().len() as u64,
            artifacts: content.artifacts().len() as u64,
            attachments: content.attachments().len() as u64,
            gaps: content.gaps().count() as u64,
        };
        let mut archive = ArchiveWriter::new(target, ledger.recorded_at());
        archive.add("README.txt", report::readme(&summary).as_bytes())?;
        archive.add("report.html", report::html(&summary, content).as_bytes())?;
        archive.add_json(SCOPE, scope)?;
        archive.add(HEAD, format!("{}\n", ledger.head()).as_bytes())?;
        for (name, table) in [
            ("runs.csv", tables::runs(content)),
            ("events.csv", tables::events(content)),
            ("not-covered.csv", tables::gaps(content)),
            ("evidence.csv", tables::evidence(content)),
        ] {
            archive.add(name, &table.map_err(|source| document_error(name, source))?)?;
        }
        for (index, document) in content.snapshots() {
            archive.add_json(&format!("snapshots/{index}.json"), document)?;
        }
        for (fingerprint, document) in content.documents() {
            archive.add_json(&format!("artifacts/{fingerprint}.json"), document)?;
        }
        for file in content.attachments() {
            let problem =
                |problem: String| ProofError::Attachment { sha256: file.sha256.clone(), problem };
            let bytes =
                attachment(file).map_err(|error| problem(format!("cannot be read: {error}")))?;
            if hex::encode(Sha256::digest(&bytes)) != file.sha256 {
                return Err(problem(
                    "has another content: the recorder's file is damaged".to_owned(),
                ));
            }
            archive.add(&format!("attachments/{}", file.sha256), &bytes)?;
        }
        let lines = ledger.to_lines().map_err(|error| document_error(LEDGER, error.into()))?;
        archive.add(LEDGER, &lines)?;
        archive.finish()?;
        Ok(summary)
    }
}

/// Verifies the bundle at `path`: that its ledger holds and ends with its head, that everything else in
/// it follows from the ledger and the attachments, that `expected` is in the ledger, and that its head is
/// signed by `key`.
///
/// # Errors
/// It cannot be read, or does not verify.
pub async fn verify_bundle(
    path: &Path,
    expected: Option<&Head>,
    key: Option<&PublicKey>,
) -> Result<Summary, ProofError> {
    let name = path.display().to_string();
    let reading = |source| ProofError::Io { operation: format!("read {name}"), source };
    let not_a_bundle = |reason: String| ProofError::NotABundle { file: name.clone(), reason };
    // Opening a FIFO blocks until it has a writer.
    if !std::fs::metadata(path).map_err(reading)?.is_file() {
        return Err(not_a_bundle("it is not a regular file".to_owned()));
    }
    let mut archive = ArchiveReader::new(File::open(path).map_err(reading)?, &name)?;
    let scope: Scope = serde_json::from_slice(&archive.read(SCOPE, MAX_SMALL_BYTES)?)
        .map_err(|error| not_a_bundle(format!("{SCOPE}: {error}")))?;
    if scope.format != FORMAT {
        return Err(ProofError::Format { found: scope.format });
    }
    let head = String::from_utf8(archive.read(HEAD, MAX_SMALL_BYTES)?)
        .map_err(|_| not_a_bundle(format!("{HEAD} is not text")))?;
    let head: SignedHead =
        head.trim_end().parse().map_err(|error| not_a_bundle(format!("{HEAD}: {error}")))?;
    if let Some(key) = key {
        key.verify(&head)?;
    }
    let ledger = Ledger::from_lines(head, BufReader::new(archive.open(LEDGER)?))?;
    if let Some(expected) = expected
        && !ledger.contains(expected)
    {
        return Err(ProofError::UnknownHead { expected: Box::new(expected.clone()) });
    }
    let bundle = Bundle::new(scope, ledger).await?;
    let file = BufReader::new(File::open(path).map_err(reading)?);
    let mut comparison = Comparison::new(file);
    let written = bundle.write(&mut comparison, |file| {
        archive.read(&format!("attachments/{}", file.sha256), file.size).map_err(io::Error::other)
    });
    match written {
        Ok(summary) if comparison.is_complete().map_err(reading)? => Ok(summary),
        Ok(_) => Err(ProofError::Changed { member: "what follows its last file".to_owned() }),
        Err(error) => Err(error),
    }
}

fn document_error(member: &str, source: io::Error) -> ProofError {
    ProofError::Document { member: member.to_owned(), source }
}

//! Verifying a bundle.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use super::archive::{ArchiveReader, Comparison};
use super::{
    AttachmentRef, Bundle, FORMAT, HEAD, LEDGER, Ledger, MAX_SMALL_BYTES, ProofError, SCOPE, Scope,
    Summary,
};
use crate::domain::{Head, SignedHead};
use crate::signing::PublicKey;
use crate::store::sqlite::{SqliteStore, read_start};

/// Where the header of a tar file has [`TAR_MAGIC`], in bytes.
const TAR_MAGIC_OFFSET: usize = 257;
const TAR_MAGIC: &[u8] = b"ustar";

/// How a SQLite file begins.
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";

/// Whether the file at `path` looks like a bundle, and not like a recorder's file.
pub fn is_bundle(path: &Path) -> bool {
    let mut start = [0; TAR_MAGIC_OFFSET + TAR_MAGIC.len()];
    read_start(path, &mut start).is_ok()
        && start.ends_with(TAR_MAGIC)
        && !start.starts_with(SQLITE_MAGIC)
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
    let (summary, _bundle) = verify(path, expected, key).await?;
    Ok(summary)
}

/// Verifies the bundle at `path`, and gives its ledger as a store in memory, to which the questions can be
/// put that a recorder answers.
///
/// # Errors
/// It cannot be read, or is not consistent with itself.
pub async fn open_bundle(path: &Path) -> Result<(Summary, SqliteStore), ProofError> {
    let (summary, bundle) = verify(path, None, None).await?;
    Ok((summary, bundle.into_store()))
}

/// As [`verify_bundle`]; gives the bundle as well.
async fn verify(
    path: &Path,
    expected: Option<&Head>,
    key: Option<&PublicKey>,
) -> Result<(Summary, Bundle), ProofError> {
    let name = path.display().to_string();
    let reading = |source| ProofError::Io { operation: format!("read {name}"), source };
    let not_a_bundle = |reason: String| ProofError::NotABundle { file: name.clone(), reason };
    // Opening a FIFO blocks until it has a writer.
    if !std::fs::metadata(path).map_err(reading)?.is_file() {
        return Err(not_a_bundle("it is not a regular file".to_owned()));
    }
    let mut start = [0; SQLITE_MAGIC.len()];
    if read_start(path, &mut start).is_ok() && start == SQLITE_MAGIC {
        return Err(ProofError::Database { file: name });
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
    let attachment = |file: &AttachmentRef| {
        archive.read(&format!("attachments/{}", file.sha256), file.size).map_err(io::Error::other)
    };
    match bundle.write(&mut comparison, attachment) {
        Ok(summary) if comparison.is_complete().map_err(reading)? => Ok((summary, bundle)),
        Ok(_) | Err(ProofError::Changed { .. }) => {
            compare_files(&bundle, || {
                ArchiveReader::new(File::open(path).map_err(reading)?, &name)
            })?;
            Err(ProofError::Repacked { file: name })
        }
        Err(error) => Err(error),
    }
}

/// Makes the files of the bundle again and compares each with the one in the archive, but not the archive
/// around them.
fn compare_files(
    bundle: &Bundle,
    open: impl Fn() -> Result<ArchiveReader, ProofError>,
) -> Result<(), ProofError> {
    let (mut archive, mut attachments) = (open()?, open()?);
    let mut unknown: BTreeSet<_> = archive.names().map(str::to_owned).collect();
    let compare = |name: &str, content: &[u8]| {
        unknown.remove(name);
        let changed = || ProofError::Changed { member: name.to_owned() };
        if archive.has_content(name, content)? { Ok(()) } else { Err(changed()) }
    };
    bundle.files(compare, |file| {
        let name = format!("attachments/{}", file.sha256);
        attachments.read(&name, file.size).map_err(io::Error::other)
    })?;
    match unknown.pop_first() {
        Some(member) => Err(ProofError::Changed { member }),
        None => Ok(()),
    }
}

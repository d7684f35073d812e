//! Backups of a file that is in use.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{self, NO_PROGRESS};

use super::files::{beside, free_name, is_of_database};
use super::readers::open_any_version_to_read;
use super::verify::{AttachmentCheck, Verified, VerifyError, verify_connection};
use super::{StoreError, literal_path, position};
use crate::domain::Head;

/// All pages in one step of SQLite's online backup: a copy in several steps restarts with every write between
/// two of them. The recorder is not blocked, since WAL readers do not block the writer.
const PAGES_PER_STEP: i32 = i32::MAX;
/// The pause before the next step of SQLite's online backup, if one step was not enough or found a lock.
const STEP_PAUSE: Duration = Duration::from_millis(100);

/// The number of snapshots and the ledger heads of a verified copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSummary {
    /// How many snapshots there are, in all environments.
    pub snapshots: u64,
    /// The last entry of each organization's ledger.
    pub heads: Vec<Head>,
}

impl From<Verified> for BackupSummary {
    fn from(Verified { ledgers }: Verified) -> Self {
        Self {
            snapshots: ledgers.iter().map(|ledger| ledger.snapshots).sum(),
            heads: ledgers.into_iter().map(|ledger| ledger.head).collect(),
        }
    }
}

/// The suffix of the name of a copy that is damaged, as its source is.
const DAMAGED_SUFFIX: &str = ".damaged";

/// Why a backup or a rebuilt copy of a file was not made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source cannot be read.
    #[error(transparent)]
    Unreadable(#[from] StoreError),
    /// The target exists.
    #[error("{target} exists, and nothing is overwritten: name another file")]
    Exists { target: String },
    /// The recorder uses the name of the target itself.
    #[error("the recorder uses {target} with {file}: name another file")]
    InUse { target: String, file: String },
    /// SQLite could not write it.
    #[error("cannot write {target}, and nothing is left of it")]
    Write {
        target: String,
        #[source]
        source: rusqlite::Error,
    },
    /// The source is damaged, so that the copy is not a backup.
    #[error(
        "{file} was copied to {copy}, and the copy is damaged: it is no backup, but keep it, with earlier \
         backups, until the damage is understood"
    )]
    Damaged {
        file: String,
        copy: String,
        #[source]
        source: Box<VerifyError>,
    },
    /// The ledgers of the source do not hold, so that no tables can be made from them.
    #[error("nothing was rebuilt: that needs ledgers that hold. Restore a backup of {file}")]
    Ledgers {
        file: String,
        #[source]
        source: Box<VerifyError>,
    },
    /// It is not known by which recorder the source was used.
    #[error(
        "nothing was rebuilt: first, start a recorder on {file}, which corrects tables position and \
         session, and stop it"
    )]
    Uncorrected {
        file: String,
        #[source]
        source: Box<VerifyError>,
    },
    /// The copy could not be renamed to the target.
    #[error("cannot write {target}, and nothing is left of it")]
    Rename {
        target: String,
        #[source]
        source: io::Error,
    },
}

/// Copies the recorder's file at `path`, which a recorder may write to meanwhile, to `target`, as
/// it is at one moment, and verifies the copy. `target` then exists, synced, complete and verified,
/// or not at all.
///
/// # Errors
/// `path` cannot be read, or `target` exists or cannot be written; or `path` is damaged, and its copy is kept
/// as `target` with suffix `.damaged`.
pub fn backup(path: &Path, target: &Path) -> Result<BackupSummary, CopyError> {
    let partial = PartialCopy::new(path, target)?;
    let source = open_any_version_to_read(path)?;
    create_like(path, &partial.path);
    copy_database(&source, &partial.path)
        .map_err(|source| CopyError::Write { target: display(target), source })?;
    match verify_copy(&partial.path, &display(path), AttachmentCheck::Content) {
        Ok(verified) => partial.rename_to(target).map(|()| verified.into()),
        Err(source) => {
            let damaged = free_name(target, DAMAGED_SUFFIX);
            partial.rename_to(&damaged)?;
            let (file, copy) = (display(path), display(&damaged));
            Err(CopyError::Damaged { file, copy, source: Box::new(source) })
        }
    }
}

fn display(target: &Path) -> String {
    target.display().to_string()
}

/// A copy under a temporary name, which is removed on drop unless it was renamed.
pub(super) struct PartialCopy {
    pub(super) path: PathBuf,
}

impl PartialCopy {
    /// A temporary name for a copy of `path` that will be renamed to `target`. Creates no file.
    ///
    /// # Errors
    /// `target` exists, or is the name of a file that a recorder has beside `path`.
    pub(super) fn new(path: &Path, target: &Path) -> Result<Self, CopyError> {
        if target.try_exists().unwrap_or(true) {
            return Err(CopyError::Exists { target: display(target) });
        }
        if is_of_database(target, path) {
            return Err(CopyError::InUse { target: display(target), file: display(path) });
        }
        let mut partial = target.as_os_str().to_owned();
        partial.push(format!(".{}.partial", std::process::id()));
        Ok(Self { path: partial.into() })
    }

    /// Syncs the copy to disk and renames it to `target`.
    ///
    /// # Errors
    /// `target` exists, or cannot be written.
    pub(super) fn rename_to(self, target: &Path) -> Result<(), CopyError> {
        sync_and_rename(&self.path, target).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => CopyError::Exists { target: display(target) },
            _ => CopyError::Rename { target: display(target), source },
        })
    }
}

impl Drop for PartialCopy {
    /// Removes the copy and its journal, if they are still under the temporary name.
    fn drop(&mut self) {
        // It may not exist, or be renamed already.
        let _gone = fs::remove_file(&self.path);
        let _gone = fs::remove_file(beside(&self.path, "-journal"));
    }
}

/// Creates an empty file at `copy` for a copy of `source`, with its permissions, and writable: for this user only,
/// if `source` is gone. SQLite would create it for everyone that the umask allows.
pub(super) fn create_like(source: &Path, copy: &Path) {
    let mode =
        fs::metadata(source).map_or(0o600, |found| found.permissions().mode() & 0o666 | 0o600);
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(copy);
    // SQLite reports it if the file cannot be created.
    let _reported_later =
        created.and_then(|file| file.set_permissions(Permissions::from_mode(mode)));
}

/// Copies all pages of the open database to the file `partial`.
fn copy_database(source: &Connection, partial: &Path) -> rusqlite::Result<()> {
    let mut copy = Connection::open(literal_path(partial))?;
    backup::Backup::new(source, &mut copy)?.run_to_completion(
        PAGES_PER_STEP,
        STEP_PAUSE,
        NO_PROGRESS,
    )?;
    copy.close().map_err(|(_, error)| error)
}

/// Makes the copy a single file without WAL, which can be read from a read-only medium, and verifies it.
/// Errors name it as `name`.
pub(super) fn verify_copy(
    partial: &Path,
    name: &str,
    attachments: AttachmentCheck,
) -> Result<Verified, VerifyError> {
    let failed = |source: rusqlite::Error| super::verify::failed(name, source);
    let mut copy = Connection::open(literal_path(partial)).map_err(failed)?;
    position::mark_copy_closed(&copy).map_err(failed)?;
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(failed)?;
    let verified = verify_connection(&mut copy, name, None, attachments)?;
    copy.close().map_err(|(_, error)| failed(error))?;
    Ok(verified)
}

/// Syncs a complete copy to disk and renames it to `target`, which must not exist.
pub(super) fn sync_and_rename(partial: &Path, target: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    OpenOptions::new().write(true).create_new(true).open(target)?;
    fs::rename(partial, target)?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

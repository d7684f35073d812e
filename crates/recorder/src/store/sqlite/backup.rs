//! Backups of a file that is in use.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{self, NO_PROGRESS};

use super::files::{beside, free_name};
use super::readers::open_any_version_to_read;
use super::verify::{AttachmentCheck, Verified, VerifyError, verify_connection};
use super::{StoreError, literal_path, position};
use crate::domain::Head;

/// All pages in one step: a copy in several steps restarts with every write between two of them.
/// The recorder is not blocked, since WAL readers do not block the writer.
const PAGES_PER_STEP: i32 = i32::MAX;
const STEP_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSummary {
    /// How many snapshots there are, in all environments.
    pub snapshots: u64,
    /// The last entry of each organization's ledger.
    pub heads: Vec<Head>,
}

/// The suffix of a copy of a damaged file.
const DAMAGED_SUFFIX: &str = ".damaged";

/// The backup failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The source cannot be read.
    #[error(transparent)]
    Unreadable(#[from] StoreError),
    /// The target exists.
    #[error("{target} exists, and a backup overwrites nothing: name another file")]
    Exists { target: String },
    /// SQLite could not copy it.
    #[error("cannot back up to {target}")]
    Copy {
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
    /// The copy could not be renamed to the target.
    #[error("cannot back up to {target}")]
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
/// `path` cannot be read, or is damaged, `target` exists, or it cannot be written.
pub fn backup(path: &Path, target: &Path) -> Result<BackupSummary, BackupError> {
    check_free(target)?;
    let source = open_any_version_to_read(path)?;
    let mut partial = target.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = PathBuf::from(partial);
    let put = |target: &Path| {
        place(&partial, target).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists { target: display(target) },
            _ => BackupError::Rename { target: display(target), source },
        })
    };
    let made = copy(&source, &partial)
        .map_err(|source| BackupError::Copy { target: display(target), source })
        .and_then(|()| match verify_copy(&partial) {
            Ok(Verified { ledgers }) => put(target).map(|()| BackupSummary {
                snapshots: ledgers.iter().map(|ledger| ledger.snapshots).sum(),
                heads: ledgers.into_iter().map(|ledger| ledger.head).collect(),
            }),
            Err(source) => {
                let damaged = free_name(target, DAMAGED_SUFFIX);
                put(&damaged)?;
                let (file, copy) = (display(path), display(&damaged));
                Err(BackupError::Damaged { file, copy, source: Box::new(source) })
            }
        });
    if made.is_err() {
        // It may not exist, or be renamed already.
        let _gone = fs::remove_file(&partial);
        let _gone = fs::remove_file(beside(&partial, "-journal"));
    }
    made
}

fn display(target: &Path) -> String {
    target.display().to_string()
}

fn check_free(target: &Path) -> Result<(), BackupError> {
    if target.try_exists().unwrap_or(true) {
        return Err(BackupError::Exists { target: display(target) });
    }
    Ok(())
}

fn copy(source: &Connection, partial: &Path) -> rusqlite::Result<()> {
    let mut copy = Connection::open(literal_path(partial))?;
    backup::Backup::new(source, &mut copy)?.run_to_completion(
        PAGES_PER_STEP,
        STEP_PAUSE,
        NO_PROGRESS,
    )?;
    copy.close().map_err(|(_, error)| error)
}

/// Turns a copy into a single file that can be read from a read-only medium, and verifies it.
fn verify_copy(partial: &Path) -> Result<Verified, VerifyError> {
    let file = partial.display().to_string();
    let failed = |source: rusqlite::Error| super::verify::failed(&file, source);
    let mut copy = Connection::open(literal_path(partial)).map_err(failed)?;
    position::close_copy(&copy).map_err(failed)?;
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(failed)?;
    let verified = verify_connection(&mut copy, &file, None, AttachmentCheck::Content)?;
    copy.close().map_err(|(_, error)| failed(error))?;
    Ok(verified)
}

/// Renames a complete copy to `target`, which must not exist.
pub(super) fn place(partial: &Path, target: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    OpenOptions::new().write(true).create_new(true).open(target)?;
    fs::rename(partial, target)?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

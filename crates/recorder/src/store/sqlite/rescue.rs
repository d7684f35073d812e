//! Saves a copy of the database from memory if the file or its log is damaged or gone.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, NO_PROGRESS};
use rusqlite::ffi::{SQLITE_CORRUPT, SQLITE_IOERR_SHORT_READ, SQLITE_NOTADB};
use rusqlite::{Connection, ErrorCode};

use super::backup::{create_like, sync_and_rename};
use super::files::{beside, free_name};
use super::mark::Mark;
use super::position::{self, Position};
use super::readers::connect_any_version;
use super::verify::{VerifyError, verify_records};
use super::{StoreError, literal_path, preflight};

/// The file name suffix of a copy that has every acknowledged commit.
const COMPLETE_SUFFIX: &str = ".rescued";
/// The file name suffix of a copy that is damaged or lacks acknowledged commits.
const DAMAGED_SUFFIX: &str = ".rescued.damaged";
/// The file name suffix of a copy that is being written.
const PARTIAL_SUFFIX: &str = ".rescued.partial";

/// SQLite's `mmap_size` while the database is copied, in bytes: the greatest that SQLite accepts.
const MMAP_SIZE_BYTES: i64 = 0x7fff_0000;

/// A copy of the database that was written to disk after its file or log was damaged or lost.
#[derive(Debug)]
pub(super) enum Rescued {
    /// It has every acknowledged commit.
    Complete { copy: PathBuf },
    /// It is kept all the same.
    Damaged { copy: PathBuf, damage: CopyDamage },
}

/// Why a rescued copy is not known to be complete and intact.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyDamage {
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("it ends with commit {found}, and commit {acknowledged} was acknowledged")]
    LacksCommits { found: u64, acknowledged: u64 },
    #[error(transparent)]
    Unusable(StoreError),
    #[error("it cannot be read")]
    Unreadable(#[source] rusqlite::Error),
}

/// Why no copy of the database could be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RescueError {
    /// What is open cannot be copied, now or later.
    #[error("what the recorder has open cannot be read")]
    Unreadable(#[source] rusqlite::Error),
    /// It may be possible later.
    #[error("cannot copy it to {copy}")]
    Copy {
        copy: String,
        #[source]
        source: rusqlite::Error,
    },
    #[error("cannot rename the copy to {copy}")]
    Rename {
        copy: String,
        #[source]
        source: io::Error,
    },
}

impl RescueError {
    /// Whether the copy could not be written for lack of disk space.
    pub(super) fn is_out_of_disk_space(&self) -> bool {
        match self {
            Self::Unreadable(_) => false,
            // SQLite reports the limit of a file's size as the second.
            Self::Copy { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure)
            ),
            Self::Rename { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
        }
    }
}

/// Copies the database at `path` to a new file beside it, from what `connection` has open and in memory,
/// even if the file was moved or deleted. The copy is complete if it verifies and has every commit up to
/// `acknowledged`; otherwise it is kept as a damaged one.
///
/// # Errors
/// The copy could not be written, for lack of room, for example.
pub(super) fn rescue(
    connection: &Connection,
    path: &Path,
    acknowledged: &Position,
) -> Result<Rescued, RescueError> {
    let partial = beside(path, PARTIAL_SUFFIX);
    discard_unless_complete(&partial, path)?;
    create_like(path, &partial);
    let damage = copy_to(connection, &partial, acknowledged).map_err(|source| {
        // It has no commit yet, and takes the room for the next attempt. It may not exist.
        let _gone = fs::remove_file(&partial);
        let _gone = fs::remove_file(beside(&partial, "-journal"));
        let code = source.sqlite_error().map(|error| error.extended_code);
        if matches!(code, Some(SQLITE_IOERR_SHORT_READ | SQLITE_CORRUPT | SQLITE_NOTADB)) {
            return RescueError::Unreadable(source);
        }
        RescueError::Copy { copy: beside(path, COMPLETE_SUFFIX).display().to_string(), source }
    })?;
    if let Some(damage) = damage {
        return Ok(Rescued::Damaged {
            copy: rename_to_free_name(&partial, path, DAMAGED_SUFFIX)?,
            damage,
        });
    }
    // Before it is verified, so that it has its name if the process ends meanwhile.
    let copy = rename_to_free_name(&partial, path, COMPLETE_SUFFIX)?;
    match verify_copy(&copy, &free_name(path, DAMAGED_SUFFIX)) {
        Ok(()) => Ok(Rescued::Complete { copy }),
        Err(error) => {
            // If it cannot be renamed, the next start finds what is wrong with it.
            let copy = rename_to_free_name(&copy, path, DAMAGED_SUFFIX).unwrap_or(copy);
            Ok(Rescued::Damaged { copy, damage: error.into() })
        }
    }
}

/// Deletes a copy that was being written when an earlier attempt was killed, or, if it was written to its
/// end, renames it to a complete one.
fn discard_unless_complete(partial: &Path, path: &Path) -> Result<(), RescueError> {
    if is_fully_written(partial) {
        return rename_to_free_name(partial, path, COMPLETE_SUFFIX).map(drop);
    }
    // They may not exist.
    let _gone = fs::remove_file(partial);
    let _gone = fs::remove_file(beside(partial, "-journal"));
    Ok(())
}

/// Whether this is a copy that was written to its end, which is when SQLite removes its journal.
fn is_fully_written(partial: &Path) -> bool {
    let has_content = fs::metadata(partial).is_ok_and(|found| found.len() > 0);
    has_content && !beside(partial, "-journal").exists()
}

/// Renames a copy to the first free name with this suffix.
fn rename_to_free_name(copy: &Path, path: &Path, suffix: &str) -> Result<PathBuf, RescueError> {
    let target = free_name(path, suffix);
    let failed = |source| RescueError::Rename { copy: target.display().to_string(), source };
    sync_and_rename(copy, &target).map_err(failed)?;
    Ok(target)
}

/// Copies the database to `partial`. Returns what the copy lacks, if anything, as its position shows.
fn copy_to(
    connection: &Connection,
    partial: &Path,
    acknowledged: &Position,
) -> rusqlite::Result<Option<CopyDamage>> {
    let mut target = Connection::open(literal_path(partial))?;
    // Pages that the log is not needed for are read past the cache, or they would replace those in it
    // that exist only there.
    let set_mapped =
        |bytes: i64| connection.pragma_update_and_check(None, "mmap_size", bytes, |_| Ok(()));
    set_mapped(MMAP_SIZE_BYTES)?;
    let copied = Backup::new(connection, &mut target)
        .and_then(|copy| copy.run_to_completion(i32::MAX, Duration::ZERO, NO_PROGRESS));
    set_mapped(0)?;
    copied?;
    let found = position::mark_copy_closed(&target)
        .and_then(|()| target.pragma_update(None, "journal_mode", "DELETE"))
        .and_then(|()| position::read(&target));
    target.close().map_err(|(_, error)| error)?;
    match found {
        Ok(found)
            if found.session == acknowledged.session && found.commit >= acknowledged.commit =>
        {
            Ok(None)
        }
        Ok(Position { commit: found, .. }) => {
            Ok(Some(CopyDamage::LacksCommits { found, acknowledged: acknowledged.commit }))
        }
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => Err(error),
            _ => Ok(Some(CopyDamage::Unreadable(error))),
        },
    }
}

/// Verifies the copy at `copy`. Errors refer to it as `name`, which it gets if it is damaged.
fn verify_copy(copy: &Path, name: &Path) -> Result<(), VerifyError> {
    let mut connection = connect_any_version(copy)?;
    verify_records(&mut connection, &name.display().to_string())
}

/// Refuses to open a file beside which a recorder has saved a copy.
pub(super) fn check_no_rescued_copy(path: &Path) -> Result<(), StoreError> {
    let mut refused = Ok(());
    for copy in rescued_copies(path) {
        let (file, named) = (path.display().to_string(), copy.display().to_string());
        let error = match check_copy(&copy, path) {
            // A complete one is the one to use, whatever else there is.
            Ok(()) => return Err(StoreError::Rescued { file, copy: named }),
            Err(CopyCheckError::Damaged(damage)) => {
                StoreError::RescuedDamaged { file, copy: named, source: Box::new(damage) }
            }
            Err(CopyCheckError::Unreadable(source)) => {
                StoreError::RescuedUnreadable { file, copy: named, source }
            }
        };
        // One that may be complete is the more important one to know of.
        if refused.is_ok() || matches!(error, StoreError::RescuedUnreadable { .. }) {
            refused = Err(error);
        }
    }
    refused
}

/// The copies beside `path` that a recorder has saved, complete or damaged.
fn rescued_copies(path: &Path) -> Vec<PathBuf> {
    let mut copies = Vec::new();
    for suffix in [COMPLETE_SUFFIX, DAMAGED_SUFFIX] {
        let free = free_name(path, suffix);
        let numbered = (1..).map(|number| super::files::numbered_name(path, suffix, number));
        copies.extend(numbered.take_while(|name| *name != free));
    }
    copies.extend(Some(beside(path, PARTIAL_SUFFIX)).filter(|partial| is_fully_written(partial)));
    copies
}

/// Why [`check_copy`] did not find a copy complete.
enum CopyCheckError {
    /// It is known not to be.
    Damaged(CopyDamage),
    Unreadable(Box<dyn std::error::Error + Send + Sync>),
}

/// Succeeds if the copy of the file at `path` has every acknowledged commit and verifies.
fn check_copy(copy: &Path, path: &Path) -> Result<(), CopyCheckError> {
    let unreadable = |error: StoreError| CopyCheckError::Unreadable(Box::new(error));
    File::open(copy).map_err(|error| CopyCheckError::Unreadable(Box::new(error)))?;
    preflight::check_log_and_journal(copy).map_err(unreadable)?;
    let mut connection = connect_any_version(copy).map_err(|error| match &error {
        StoreError::Open { source, .. }
            if source.sqlite_error_code() != Some(ErrorCode::NotADatabase) =>
        {
            unreadable(error)
        }
        StoreError::Newer { .. } | StoreError::Missing { .. } => unreadable(error),
        _ => CopyCheckError::Damaged(CopyDamage::Unusable(error)),
    })?;
    let cannot_read = |error: rusqlite::Error| match error.sqlite_error_code() {
        None | Some(ErrorCode::DatabaseCorrupt) => {
            CopyCheckError::Damaged(CopyDamage::Unreadable(error))
        }
        Some(_) => CopyCheckError::Unreadable(Box::new(error)),
    };
    // It must have every acknowledged commit.
    if let Some(mark) = Mark::beside(path).map_err(unreadable)?
        && !mark.is_in_file(&connection).map_err(cannot_read)?
    {
        let found = position::read(&connection).map_err(cannot_read)?.commit;
        let damage = CopyDamage::LacksCommits { found, acknowledged: mark.commit() };
        return Err(CopyCheckError::Damaged(damage));
    }
    verify_records(&mut connection, &copy.display().to_string()).map_err(|error| match error {
        VerifyError::Unreadable(error) => unreadable(error),
        damage => CopyCheckError::Damaged(damage.into()),
    })
}

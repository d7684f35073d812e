//! Saves a copy of the database from memory if the file or its log is damaged or gone.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, NO_PROGRESS};
use rusqlite::ffi::{SQLITE_CORRUPT, SQLITE_IOERR_SHORT_READ, SQLITE_NOTADB};
use rusqlite::{Connection, ErrorCode};

use super::backup::sync_and_rename;
use super::files::{beside, free_name};
use super::mark::Mark;
use super::position::{self, Position};
use super::readers::connect_any_version;
use super::verify::{VerifyError, verify_records};
use super::{StoreError, literal_path, preflight};

/// The suffixes of a copy that has every acknowledged commit, of one that has not or is damaged, and
/// of one that is being written.
const COMPLETE: &str = ".rescued";
const DAMAGED: &str = ".rescued.damaged";
const PARTIAL: &str = ".rescued.partial";

/// How much of the database is mapped into memory, in bytes: all that SQLite maps.
const MAPPED_BYTES: i64 = 0x7fff_0000;

/// A copy that was written, and is on disk.
#[derive(Debug)]
pub(super) enum Rescued {
    /// It has every acknowledged commit.
    Complete { copy: PathBuf },
    /// It is kept all the same.
    Damaged { copy: PathBuf, damage: CopyDamage },
}

/// What a copy lacks.
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

/// No copy was written.
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
    /// Whether there was no room for it.
    pub(super) fn is_for_lack_of_room(&self) -> bool {
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

/// Copies the database at `path` from what `connection` has open and in memory, wherever that is,
/// to a file beside `path`. It is complete if it has what was `acknowledged`, and verifies; what is in it
/// otherwise is kept as well.
///
/// # Errors
/// The copy could not be written, for lack of room, for example.
pub(super) fn rescue(
    connection: &Connection,
    path: &Path,
    acknowledged: &Position,
) -> Result<Rescued, RescueError> {
    let partial = beside(path, PARTIAL);
    discard_unless_complete(&partial, path)?;
    let damage = copy_to(connection, &partial, acknowledged).map_err(|source| {
        // It has no commit yet, and takes the room for the next attempt. It may not exist.
        let _gone = fs::remove_file(&partial);
        let _gone = fs::remove_file(beside(&partial, "-journal"));
        let code = source.sqlite_error().map(|error| error.extended_code);
        if matches!(code, Some(SQLITE_IOERR_SHORT_READ | SQLITE_CORRUPT | SQLITE_NOTADB)) {
            return RescueError::Unreadable(source);
        }
        RescueError::Copy { copy: beside(path, COMPLETE).display().to_string(), source }
    })?;
    if let Some(damage) = damage {
        return Ok(Rescued::Damaged { copy: put(&partial, path, DAMAGED)?, damage });
    }
    // Before it is verified, so that it has its name if the process ends meanwhile.
    let copy = put(&partial, path, COMPLETE)?;
    match verify_copy(&copy, &free_name(path, DAMAGED)) {
        Ok(()) => Ok(Rescued::Complete { copy }),
        Err(error) => {
            // If it cannot be renamed, the next start finds what is wrong with it.
            let copy = put(&copy, path, DAMAGED).unwrap_or(copy);
            Ok(Rescued::Damaged { copy, damage: error.into() })
        }
    }
}

/// A copy that an attempt left which was killed: without a journal it was complete.
fn discard_unless_complete(partial: &Path, path: &Path) -> Result<(), RescueError> {
    if is_written(partial) {
        return put(partial, path, COMPLETE).map(drop);
    }
    // They may not exist.
    let _gone = fs::remove_file(partial);
    let _gone = fs::remove_file(beside(partial, "-journal"));
    Ok(())
}

/// Whether this is a copy that was written to its end, which is when SQLite removes its journal.
fn is_written(partial: &Path) -> bool {
    let has_content = fs::metadata(partial).is_ok_and(|found| found.len() > 0);
    has_content && !beside(partial, "-journal").exists()
}

/// Renames a copy to the first free name with this suffix.
fn put(copy: &Path, path: &Path, suffix: &str) -> Result<PathBuf, RescueError> {
    let target = free_name(path, suffix);
    let failed = |source| RescueError::Rename { copy: target.display().to_string(), source };
    sync_and_rename(copy, &target).map_err(failed)?;
    Ok(target)
}

/// What the copy lacks, if anything, as far as its position says.
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
    set_mapped(MAPPED_BYTES)?;
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

/// Verifies a copy. Errors call it `name`, which it gets then.
fn verify_copy(copy: &Path, name: &Path) -> Result<(), VerifyError> {
    let mut connection = connect_any_version(copy)?;
    verify_records(&mut connection, &name.display().to_string())
}

/// Refuses to go on with a file beside which a recorder saved a copy.
pub(super) fn check_rescued(path: &Path) -> Result<(), StoreError> {
    let mut refused = Ok(());
    for copy in copies(path) {
        let (file, named) = (path.display().to_string(), copy.display().to_string());
        let error = match check_copy(&copy, path) {
            // A complete one is the one to use, whatever else there is.
            Ok(()) => return Err(StoreError::Rescued { file, copy: named }),
            Err(Unproven::Damaged(damage)) => {
                StoreError::RescuedDamaged { file, copy: named, source: Box::new(damage) }
            }
            Err(Unproven::Unreadable(source)) => {
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

/// Every copy beside `path`.
fn copies(path: &Path) -> Vec<PathBuf> {
    let mut copies = Vec::new();
    for suffix in [COMPLETE, DAMAGED] {
        let free = free_name(path, suffix);
        let numbered = (1..).map(|number| super::files::numbered_name(path, suffix, number));
        copies.extend(numbered.take_while(|name| *name != free));
    }
    copies.extend(Some(beside(path, PARTIAL)).filter(|partial| is_written(partial)));
    copies
}

/// Why a copy is not known to be complete.
enum Unproven {
    /// It is known not to be.
    Damaged(CopyDamage),
    Unreadable(Box<dyn std::error::Error + Send + Sync>),
}

fn check_copy(copy: &Path, path: &Path) -> Result<(), Unproven> {
    let unreadable = |error: StoreError| Unproven::Unreadable(Box::new(error));
    File::open(copy).map_err(|error| Unproven::Unreadable(Box::new(error)))?;
    preflight::check_log_and_journal(copy).map_err(unreadable)?;
    let mut connection = connect_any_version(copy).map_err(|error| match &error {
        StoreError::Open { source, .. }
            if source.sqlite_error_code() != Some(ErrorCode::NotADatabase) =>
        {
            unreadable(error)
        }
        StoreError::Newer { .. } | StoreError::Missing { .. } => unreadable(error),
        _ => Unproven::Damaged(CopyDamage::Unusable(error)),
    })?;
    let cannot_read = |error: rusqlite::Error| match error.sqlite_error_code() {
        None | Some(ErrorCode::DatabaseCorrupt) => Unproven::Damaged(CopyDamage::Unreadable(error)),
        Some(_) => Unproven::Unreadable(Box::new(error)),
    };
    // It must have every acknowledged commit.
    if let Some(mark) = Mark::beside(path).map_err(unreadable)?
        && !mark.is_in_file(&connection).map_err(cannot_read)?
    {
        let found = position::read(&connection).map_err(cannot_read)?.commit;
        let damage = CopyDamage::LacksCommits { found, acknowledged: mark.commit() };
        return Err(Unproven::Damaged(damage));
    }
    verify_records(&mut connection, &copy.display().to_string()).map_err(|error| match error {
        VerifyError::Unreadable(error) => unreadable(error),
        damage => Unproven::Damaged(damage.into()),
    })
}

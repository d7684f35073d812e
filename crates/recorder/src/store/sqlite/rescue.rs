//! Saves a copy of the database from memory if the file or its log is damaged or gone.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, NO_PROGRESS};

use super::backup::place;
use super::files::beside;
use super::mark::{self, Mark};
use super::position::{self, Position};
use super::readers::open_to_read;
use super::verify::{AttachmentCheck, VerifyError, verify_connection};
use super::{StoreError, literal_path};

/// The suffix of the copy.
const SUFFIX: &str = ".rescued";

/// How much of the database is mapped into memory, in bytes: all that SQLite maps.
const MAPPED_BYTES: i64 = 0x7fff_0000;

/// The copy failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RescueError {
    #[error("cannot copy it to {copy}")]
    Copy {
        copy: String,
        #[source]
        source: rusqlite::Error,
    },
    #[error("the copy is not complete")]
    Damaged(#[from] VerifyError),
    #[error("the copy ends with commit {found}, and commit {answered} was answered")]
    Incomplete { found: u64, answered: u64 },
    #[error("cannot put the copy at {copy}")]
    Place {
        copy: String,
        #[source]
        source: io::Error,
    },
}

/// Copies the database at `path` from what `connection` has open and in memory, wherever that is,
/// up to what was `answered` at least. The copy is beside `path`, verified and on disk, or not at
/// all. Returns its path.
///
/// # Errors
/// An acknowledged commit is lost, or the copy does not fit on the disk.
pub(super) fn rescue(
    connection: &Connection,
    path: &Path,
    answered: &Position,
) -> Result<String, RescueError> {
    let (copy, partial) = (beside(path, SUFFIX), beside(path, ".rescued.partial"));
    let named = || copy.display().to_string();
    // Left by an attempt that was killed.
    let _gone = fs::remove_file(&partial);
    let copied = |source| RescueError::Copy { copy: named(), source };
    let rescued = copy_to(connection, &partial, copied, answered).and_then(|()| {
        place(&partial, &copy).map_err(|source| RescueError::Place { copy: named(), source })
    });
    if rescued.is_err() {
        let _gone = fs::remove_file(&partial);
        let _gone = fs::remove_file(beside(&partial, "-journal"));
    }
    rescued.map(|()| named())
}

fn copy_to(
    connection: &Connection,
    partial: &Path,
    failed: impl Fn(rusqlite::Error) -> RescueError,
    answered: &Position,
) -> Result<(), RescueError> {
    let mut target = Connection::open(literal_path(partial)).map_err(&failed)?;
    // Pages that the log is not needed for are read past the cache, or they would replace those in it
    // that are nowhere else.
    let set_mapped = |bytes: i64| {
        connection.pragma_update_and_check(None, "mmap_size", bytes, |_| Ok(())).map_err(&failed)
    };
    set_mapped(MAPPED_BYTES)?;
    let copied = Backup::new(connection, &mut target)
        .and_then(|copy| copy.run_to_completion(i32::MAX, Duration::ZERO, NO_PROGRESS));
    set_mapped(0)?;
    copied.map_err(&failed)?;
    position::close_copy(&target).map_err(&failed)?;
    target.pragma_update(None, "journal_mode", "DELETE").map_err(&failed)?;
    let found = position::read(&target).map_err(&failed)?;
    if found.session != answered.session || found.commit < answered.commit {
        return Err(RescueError::Incomplete { found: found.commit, answered: answered.commit });
    }
    verify_connection(&mut target, &partial.display().to_string(), None, AttachmentCheck::Sizes)?;
    target.close().map_err(|(_, source)| failed(source))
}

/// Refuses to go on with a file beside which a recorder saved a copy.
pub(super) fn check_rescued(path: &Path) -> Result<(), StoreError> {
    let copy = beside(path, SUFFIX);
    if !copy.try_exists().unwrap_or(true) {
        return Ok(());
    }
    let (file, named) = (path.display().to_string(), copy.display().to_string());
    let checked = || -> Result<(), VerifyError> {
        let mut connection = open_to_read(&copy)?;
        verify_connection(&mut connection, &named, None, AttachmentCheck::Sizes)?;
        // The copy must have every acknowledged commit.
        mark::check(&connection, path, Mark::beside(path)?, false)?;
        Ok(())
    };
    Err(match checked() {
        Ok(()) => StoreError::Rescued { file, copy: named },
        Err(error) => StoreError::RescuedDamaged { file, copy: named, source: Box::new(error) },
    })
}

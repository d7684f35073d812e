//! The connection that writes, and the files that it writes to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, NO_PROGRESS};
use rusqlite::config::DbConfig;

use super::files::{Files, LogFault, LogFiles, beside};
use super::lock::Lock;
use super::position::{self, Position};
use super::{StoreError, plain};
use crate::error_chain::error_chain;

/// The ending of the copy that is made if the log was cut.
const RESCUED: &str = ".rescued";

/// How much of the file is kept in memory, in KiB: more than is written between two checkpoints, so
/// that it can be saved if the log is cut.
const CACHE: i64 = 16 << 10;

/// A connection whose files are checked around each commit.
pub(super) struct Watched {
    connection: Connection,
    /// `None` in memory, and for a connection that only reads.
    files: Option<Arc<Files>>,
    /// Of a page of the database, in bytes.
    page_size: u64,
    /// `None` for a connection that has no files.
    notes: Option<Notes>,
}

/// What is noted outside of the database.
struct Notes {
    lock: Arc<Lock>,
    /// The position that was noted last.
    noted: Position,
}

impl Watched {
    /// A connection that has no file to lose.
    pub(super) fn unwatched(connection: Connection) -> Self {
        Self { connection, files: None, page_size: 0, notes: None }
    }

    /// The connection that writes to the file at `path`, which is this one.
    ///
    /// # Errors
    /// Another file was put there meanwhile, or what is beside it cannot be opened.
    pub(super) fn new(
        mut connection: Connection,
        path: &Path,
        lock: &Arc<Lock>,
    ) -> Result<Self, StoreError> {
        let file = || path.display().to_string();
        let failed = |source| StoreError::Open { file: file(), source };
        connection.pragma_update(None, "cache_size", -CACHE).map_err(failed)?;
        let page_size: u32 =
            connection.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(failed)?;
        let note = |position: &Position| {
            lock.note(position).map_err(|source| StoreError::WriteMark { file: file(), source })
        };
        // In this order: what is noted is in the file whenever the process ends.
        note(&position::read(&connection).map_err(failed)?)?;
        // With this, SQLite makes the log and its index.
        let position = position::begin(&mut connection, path).map_err(failed)?;
        note(&position)?;
        let log =
            LogFiles::open(path).map_err(|source| StoreError::OpenLog { file: file(), source })?;
        let files = Files::new(path, lock.identity(), Some(log));
        files.check_database()?;
        let notes = Some(Notes { lock: Arc::clone(lock), noted: position });
        Ok(Self { connection, files: Some(Arc::new(files)), page_size: page_size.into(), notes })
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    pub(super) fn files(&self) -> Option<Arc<Files>> {
        self.files.clone()
    }

    /// Whether the files are still those that were opened, and the log has all that was written to it.
    ///
    /// If the log has not, everything that is known is saved, once, and nothing is accepted from then
    /// on. A database that was moved may be put back.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let Some(files) = &self.files else { return Ok(()) };
        let Some(log) = &files.log else { return files.check_database() };
        files.check_stopped()?;
        let fault = match log.check_places() {
            Ok(()) => self.size_fault(log)?,
            Err(gone) => Some(gone),
        };
        if let Some(fault) = fault {
            let saved = self.save(files, log);
            let reason = format!(
                "{fault} while the recorder used it, and nothing more is accepted. {saved}"
            );
            tracing::error!("{reason}");
            return Err(files.stopped(files.stopped.get_or_init(|| reason).clone()));
        }
        let moved = files.check_database();
        if moved.is_err() {
            // So that it is complete wherever it is now. If it cannot be, its log has the rest.
            let _rest_is_in_the_log = checkpoint(&self.connection);
        }
        moved
    }

    /// Notes what was committed since the last call, before it is answered.
    ///
    /// # Errors
    /// It cannot be noted, and is not to be answered.
    pub(super) fn note_commits(&mut self) -> Result<(), StoreError> {
        let (Some(notes), Some(files)) = (&mut self.notes, &self.files) else { return Ok(()) };
        let position = position::read(&self.connection).map_err(|source| StoreError::Failed {
            operation: "read the position of the snapshot file".to_owned(),
            source,
        })?;
        if position == notes.noted {
            return Ok(());
        }
        notes.lock.note(&position).map_err(|source| {
            let file = files.path().display().to_string();
            StoreError::WriteMark { file, source }
        })?;
        notes.noted = position;
        Ok(())
    }

    /// Closes the file. Unless it is the one that was opened, with its log, nothing is removed from
    /// beside its path.
    pub(super) fn close(mut self) {
        if self.notes.is_some()
            && self.check().is_ok()
            && let Err(error) = position::end(&mut self.connection)
        {
            tracing::warn!(
                "cannot note in the snapshot file that it is closed: {error}. Its log stays needed"
            );
        }
        if let Err(error) = self.note_commits() {
            tracing::warn!("{}", error_chain(&error));
        }
        let kept = self.check().is_err().then(|| {
            self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        });
        let closed = self.connection.close().map_err(|(_, error)| error);
        if let Err(error) = kept.transpose().and(closed) {
            tracing::error!("cannot close the snapshot file: {error}");
        }
    }

    /// What the log lacks, if anything.
    ///
    /// A program that checkpoints by SQLite's rules may cut the log between the two looks at it: then
    /// it has fewer frames when it is looked at again.
    fn size_fault(&self, log: &LogFiles) -> Result<Option<LogFault>, StoreError> {
        let check = || -> rusqlite::Result<_> {
            let frames: i64 = self
                .connection
                .prepare_cached("PRAGMA wal_checkpoint(NOOP)")?
                .query_row([], |row| row.get(1))?;
            // Negative if there is no log.
            Ok(log.check_size(u64::try_from(frames).unwrap_or(0), self.page_size).err())
        };
        let checked = match check() {
            Ok(Some(_)) => check(),
            checked => checked,
        };
        checked.map_err(|source| StoreError::Failed {
            operation: "read how long the log of the snapshot file is".to_owned(),
            source,
        })
    }

    /// Saves what only this process still has, and says where it is and what to do.
    fn save(&self, files: &Files, log: &LogFiles) -> String {
        let file = files.path().display();
        // A log that is whole, wherever it is, is applied to the database. One that was cut would
        // damage it.
        let is_whole = matches!(self.size_fault(log), Ok(None));
        let copy = beside(files.path(), RESCUED);
        let saved =
            if is_whole { checkpoint(&self.connection) } else { rescue(&self.connection, &copy) };
        match saved {
            Ok(()) if is_whole => format!(
                "Everything that was answered is in {file}. Stop the recorder, move what is at \
                 {file}-wal and {file}-shm now away, if anything is, and start it again"
            ),
            Ok(()) => format!(
                "Everything that was answered is in {copy}. Stop the recorder, move {file} away \
                 together with its -wal and -shm, rename {copy} to {file}, and start it again",
                copy = copy.display()
            ),
            Err(error) => format!(
                "What was answered since the last checkpoint could not be saved ({error}). Stop \
                 the recorder, keep {file} and what is beside it as they are, and restore a backup"
            ),
        }
    }
}

/// Applies the whole log to the database.
fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get(0))?;
    if busy {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            Some("a program is reading the file".to_owned()),
        ));
    }
    Ok(())
}

/// Copies the database from memory, as far as the log is needed for it.
fn rescue(connection: &Connection, copy: &Path) -> rusqlite::Result<()> {
    let mut target = Connection::open(plain(copy))?;
    Backup::new(connection, &mut target)?.run_to_completion(
        i32::MAX,
        Duration::ZERO,
        NO_PROGRESS,
    )?;
    position::close_copy(&target)?;
    target.pragma_update(None, "journal_mode", "DELETE")?;
    target.close().map_err(|(_, error)| error)
}

/// Refuses to go on with a file beside which a recorder saved a more complete one.
pub(super) fn check_rescued(path: &Path) -> Result<(), StoreError> {
    let copy = beside(path, RESCUED);
    if !copy.try_exists().unwrap_or(true) {
        return Ok(());
    }
    Err(StoreError::Rescued { file: path.display().to_string(), copy: copy.display().to_string() })
}

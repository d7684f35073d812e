//! The connection that writes, and the files that it writes to.

mod apply;
mod faults;
mod notes;
mod save;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use envsnap_model::error_chain;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::StoreError;
use super::files::{Fault, Files, LogFiles, LogLength};
use super::lock::Lock;
use super::mark::Acknowledged;
use super::position::{self, Position};
use apply::{Applied, full_checkpoint, passive_checkpoint};
use notes::Notes;
use save::SaveOutcome;

/// How much of the file is kept in memory, in KiB, so that it can be saved if the log is truncated: twice what
/// the log usually has at most. (A page takes more memory than it has bytes, and pages that were only
/// read are kept as well.)
const CACHE_KIB: i64 = 32 << 10;

/// SQLite's `journal_size_limit`: a log that begins anew is truncated to so many bytes.
const MAX_UNUSED_LOG_BYTES: i64 = 16 << 20;

/// What errors call a failed read of [`data_version`].
const READ_VERSION_OPERATION: &str = "read whether another program wrote to the snapshot file";

/// The connection that writes. Its database and log are checked before and after each commit, so that lost
/// or replaced files are detected.
pub(super) struct WatchedConnection {
    connection: Connection,
    /// `None` in memory, and for a connection that only reads.
    files: Option<Arc<Files>>,
    /// Of a page of the database, in bytes.
    page_size: u64,
    /// `None` for a connection that has no files.
    notes: Option<Notes>,
    /// When the next attempt is due to save what only this process has, if it could not be saved yet.
    unsaved_until: Option<Instant>,
}

impl WatchedConnection {
    /// A connection whose files are not checked: it is in memory, or only reads.
    pub(super) fn unwatched(connection: Connection) -> Self {
        Self { connection, files: None, page_size: 0, notes: None, unsaved_until: None }
    }

    /// Watches `connection`, which writes to the file at `path`, and begins a session with it.
    ///
    /// # Errors
    /// Another file was put there meanwhile, or what is beside it cannot be opened.
    pub(super) fn new(
        mut connection: Connection,
        path: &Path,
        lock: &Arc<Lock>,
    ) -> Result<Self, StoreError> {
        let file = || path.display().to_string();
        let failed = |source| StoreError::from_open(file(), source);
        connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(failed)?;
        // SQLite would do it in a commit, and write what is in a damaged log into the file.
        connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
        connection
            .pragma_update(None, "journal_size_limit", MAX_UNUSED_LOG_BYTES)
            .map_err(failed)?;
        let page_size: u32 =
            connection.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(failed)?;
        let note = |acknowledged: &Acknowledged| {
            lock.note(acknowledged).map_err(|source| {
                let otherwise = |file, source| StoreError::WriteMark { file, source };
                StoreError::from_write(file(), source, otherwise)
            })
        };
        // A long log that fills the disk makes room for what is written next. What it is applied from was
        // checked when the file was opened.
        let _applied_later = passive_checkpoint(&connection);
        // In this order: what is noted is in the file whenever the process ends.
        note(&Acknowledged::read(&connection).map_err(failed)?)?;
        // With this, SQLite makes the log and its index.
        let position = position::begin_session(&mut connection, path).map_err(failed)?;
        let begun = Acknowledged::read(&connection).map_err(failed)?;
        note(&begun)?;
        let data_version = data_version(&connection).map_err(failed)?;
        let log =
            LogFiles::open(path).map_err(|source| StoreError::OpenLog { file: file(), source })?;
        let files = Files::new(path, lock.identity(), Some(log));
        files.check_database()?;
        let lock = Arc::clone(lock);
        let notes = Some(Notes {
            lock,
            noted: begun,
            position,
            waited: 0,
            data_version,
            content_version: None,
            largest: 0,
        });
        let mut watched = Self {
            connection,
            files: Some(Arc::new(files)),
            page_size: page_size.into(),
            notes,
            unsaved_until: None,
        };
        // So that the note is in the file even without its log.
        watched.apply_log().map_err(|error| match error {
            StoreError::Failed { source, .. } => failed(source),
            error => error,
        })?;
        Ok(watched)
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    pub(super) fn files(&self) -> Option<Arc<Files>> {
        self.files.clone()
    }

    /// Checks that the files are still those that were opened, and have all that was written to them.
    ///
    /// If they have not, everything that is known is saved, and nothing is accepted from then on. A
    /// database that was moved may be put back.
    pub(super) fn check(&mut self) -> Result<(), StoreError> {
        self.check_log(|log, length| log.check_end(length.frames))
    }

    /// As [`Self::check`], and the whole log is read, but for what was read before.
    ///
    /// After a commit of another program nothing of earlier commits is in memory any more, and the log
    /// may have begun anew without a position, so that it is applied then.
    pub(super) fn check_thoroughly(&mut self) -> Result<(), StoreError> {
        self.check_log(|log, length| log.check_incrementally(length.frames))?;
        self.check_content()?;
        let Some(notes) = &mut self.notes else { return Ok(()) };
        let version = data_version(&self.connection).map_err(failed_to(READ_VERSION_OPERATION))?;
        if version == notes.data_version {
            return self.apply_long_log();
        }
        // The position twice: what another program wrote to its row is not to be in the file, nor is the
        // log to begin without it.
        let applied = match self.write_position() {
            Ok(Applied::Done) => self.apply_log(),
            locked_or_failed => locked_or_failed,
        };
        // Once, unless it could not be done yet.
        if let Some(notes) = &mut self.notes
            && !matches!(applied, Ok(Applied::Locked))
        {
            notes.data_version = version;
        }
        applied.map(drop)
    }

    /// Stores the next position, as the last step of the open transaction before it is committed. It has
    /// to be passed to [`Self::note_written`] then. `None` for a connection that has no files.
    pub(super) fn advance_position(&self) -> rusqlite::Result<Option<Position>> {
        let advance = |notes: &Notes| position::advance(&self.connection, notes.position);
        self.notes.as_ref().map(advance).transpose()
    }

    /// Takes note that this connection wrote, or tried to, and, if `position` is set, that it committed that
    /// position. Has to be called before the next check.
    pub(super) fn note_written(&mut self, position: Option<Position>) {
        if let (Some(notes), Some(position)) = (&mut self.notes, position) {
            notes.position = position;
        }
        if let Some(log) = self.files.as_ref().and_then(|files| files.log.as_ref()) {
            log.note_written();
        }
    }

    /// As [`Self::check`], with `check_log` as the check of the log.
    fn check_log(
        &mut self,
        check_log: impl Fn(&LogFiles, LogLength) -> Result<(), Fault>,
    ) -> Result<(), StoreError> {
        let Some(files) = self.files.clone() else { return Ok(()) };
        let Some(log) = &files.log else { return files.check_database() };
        files.check_stopped()?;
        if let Some(fault) = self.first_fault(&files, log, check_log)? {
            let (SaveOutcome::Done(saved) | SaveOutcome::NotYet(saved)) = self.save(&files, log);
            tracing::error!(
                "{fault} while the recorder used it, so that it accepts nothing more. {saved}"
            );
            let reason =
                format!("{fault}. See the earlier log line for what was saved and what to do");
            return Err(files.stopped_error(files.stopped.get_or_init(|| reason).clone()));
        }
        let moved = files.check_database();
        if moved.is_err() {
            // So that it is complete wherever it is now. If it cannot be, its log has the rest.
            let _rest_is_in_the_log = full_checkpoint(&self.connection);
        }
        moved
    }

    /// Applies the log, marks the file as closed, and closes it. If the files are not those that were opened,
    /// nothing beside the path is removed.
    pub(super) fn close(mut self) {
        if self.unsaved_until.is_some() {
            self.save_again();
            if self.unsaved_until.is_some() {
                tracing::error!(
                    "the recorder ends without having saved all acknowledged reports. Keep what is there of the \
                     snapshot file and of the files beside it"
                );
            }
        }
        // The whole log, which is applied now. Only a file that has all of it is marked as closed: if
        // this process or another is killed while it applies a log, the file is not complete without
        // it.
        if self.notes.is_some()
            && self.check_log(|log, length| log.check_all(length.frames)).is_ok()
        {
            if let Err(error) = self.mark_closed() {
                tracing::warn!("cannot note in the snapshot file that it is closed: {error}");
            }
            if let Err(error) = self.note_commits() {
                tracing::warn!("{}", error_chain(&error));
            }
        }
        let kept = self.check().is_err().then(|| {
            self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        });
        let closed = self.connection.close().map_err(|(_, error)| error);
        if let Err(error) = kept.transpose().and(closed) {
            tracing::error!("cannot close the snapshot file: {error}");
        }
    }
}

/// SQLite's `data_version`, which changes when another connection commits.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// The error of an operation that SQLite could not do.
fn failed_to(operation: &str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |source| StoreError::Failed { operation: operation.to_owned(), source }
}

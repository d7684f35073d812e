//! Applying the log to the file.

use std::time::Duration;

use envsnap_model::error_chain;
use rusqlite::{Connection, ErrorCode};

use super::super::files::{LogFiles, LogLength};
use super::super::{BUSY_TIMEOUT, StoreError, position};
use super::{WatchedConnection, failed_to};

/// The length of the write-ahead log, in frames, from which each commit applies it to the file, as by
/// default in SQLite.
const MIN_FRAMES_TO_APPLY: u64 = 1_000;

/// The length of the write-ahead log, in frames, from which a commit waits for readers to end, so that the
/// log can begin anew: otherwise it grows for as long as any two readers overlap.
const MIN_FRAMES_TO_WAIT: u64 = 4_000;
/// How long a commit waits for readers of the write-ahead log.
const READERS_TIMEOUT: Duration = Duration::from_millis(100);
/// Readers are waited for again when the log has grown by a quarter since the last time.
const REWAIT_GROWTH_DIVISOR: u64 = 4;

/// What was being done, for the message of an error.
const READ_LOG_LENGTH_OPERATION: &str = "read how long the log of the snapshot file is";

/// Whether the position was written after the log was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applied {
    Done,
    /// Not now: another program is writing.
    Locked,
}

impl WatchedConnection {
    /// Applies the log to the file if it is long, as each commit does by default in SQLite.
    ///
    /// # Errors
    /// The log is not as it was written, or was moved: nothing of it was applied. What SQLite cannot do
    /// now is logged, and tried again after the next commit.
    pub(in super::super) fn apply_long_log(&mut self) -> Result<(), StoreError> {
        if self.notes.is_none() {
            return Ok(());
        }
        if self.log_length()?.frames < MIN_FRAMES_TO_APPLY {
            if let Some(notes) = &mut self.notes {
                notes.waited = 0;
            }
            return Ok(());
        }
        match self.apply_log() {
            Err(error @ StoreError::Failed { .. }) => tracing::warn!("{}", error_chain(&error)),
            applied => drop(applied?),
        }
        Ok(())
    }

    /// Applies what was not applied yet of the log to the file, as far as no other program needs it, if
    /// that part is intact.
    ///
    /// If the log can begin anew then, the position is written again, as its first commit: a log that
    /// begins with a commit of another program does not say which file it continues.
    pub(super) fn apply_log(&mut self) -> Result<Applied, StoreError> {
        let failed = failed_to("apply the log to the snapshot file");
        self.check_log(LogFiles::check_to_apply)?;
        let LogLength { frames, applied } =
            passive_checkpoint(&self.connection).map_err(&failed)?;
        if applied < frames {
            return Ok(Applied::Done);
        }
        if let Some(notes) = &mut self.notes
            && frames >= MIN_FRAMES_TO_WAIT.max(notes.waited + notes.waited / REWAIT_GROWTH_DIVISOR)
        {
            notes.waited = frames;
            self.connection.busy_timeout(READERS_TIMEOUT).map_err(&failed)?;
            // Whether they have ended or not.
            let waited =
                self.connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
            self.connection.busy_timeout(BUSY_TIMEOUT).map_err(&failed)?;
            waited.map_err(&failed)?;
        }
        self.write_position()
    }

    /// Writes the position of the file, its session and commit number, in a commit of its own, unless another
    /// program is writing.
    pub(super) fn write_position(&mut self) -> Result<Applied, StoreError> {
        let failed = failed_to("write the position of the snapshot file");
        let position = self.without_waiting(|watched| {
            watched.connection.execute_batch("BEGIN IMMEDIATE")?;
            let position = watched.advance_position()?;
            watched.connection.execute_batch("COMMIT")?;
            Ok(position)
        });
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK").map_err(&failed)?;
        }
        self.note_written(position.as_ref().copied().unwrap_or_default());
        match position {
            Ok(_) => Ok(Applied::Done),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                Ok(Applied::Locked)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Does `work`, which fails at once if another program has locked the file.
    pub(super) fn without_waiting<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.connection.busy_timeout(Duration::ZERO)?;
        let done = work(self);
        self.connection.busy_timeout(BUSY_TIMEOUT)?;
        done
    }

    /// Marks the file as closed, unless a program that reads keeps a part of the log from being applied.
    pub(super) fn mark_closed(&mut self) -> rusqlite::Result<()> {
        let Some(last) = self.notes.as_ref().map(|notes| notes.position) else { return Ok(()) };
        // The whole log is applied to the file, and emptied.
        let is_busy: bool = self.without_waiting(|watched| {
            let empty = "PRAGMA wal_checkpoint(TRUNCATE)";
            watched.connection.query_row(empty, [], |row| row.get(0))
        })?;
        if !is_busy {
            let position = position::end_session(&mut self.connection, last)?;
            self.note_written(Some(position));
        }
        Ok(())
    }

    /// The length of the write-ahead log, and how much of it is applied, in frames.
    pub(super) fn log_length(&self) -> Result<LogLength, StoreError> {
        log_length(&self.connection).map_err(failed_to(READ_LOG_LENGTH_OPERATION))
    }
}

/// The length of the write-ahead log, and how much of it is applied, in frames, as SQLite knows them;
/// zeros if there is none.
pub(super) fn log_length(connection: &Connection) -> rusqlite::Result<LogLength> {
    connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?.query_row([], |row| {
        // Negative if there is no log.
        let number = |column| row.get(column).map(|it: i64| u64::try_from(it).unwrap_or(0));
        Ok(LogLength { frames: number(1)?, applied: number(2)? })
    })
}

/// Applies as much of the write-ahead log as no other connection needs, without waiting. Returns how much
/// is applied.
pub(super) fn passive_checkpoint(connection: &Connection) -> rusqlite::Result<LogLength> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    log_length(connection)
}

/// Applies the whole write-ahead log to the database.
///
/// # Errors
/// Another connection is reading, so that a part of the log was not applied.
pub(super) fn full_checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get(0))?;
    if busy {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            Some("a program is reading the file".to_owned()),
        ));
    }
    Ok(())
}

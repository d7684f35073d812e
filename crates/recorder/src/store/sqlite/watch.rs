//! The connection that writes, and the files that it writes to.

mod save;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use envsnap_model::error_chain;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::files::{Fault, Files, LastChange, LogFiles, LogLength, last_change};
use super::lock::Lock;
use super::mark::Acknowledged;
use super::position::{self, Position};
use super::{BUSY_TIMEOUT, StoreError, ledger};
use save::SaveOutcome;

/// How much of the file is kept in memory, in KiB, so that it can be saved if the log is truncated: twice what
/// the log usually has at most. (A page takes more memory than it has bytes, and pages that were only
/// read are kept as well.)
const CACHE_KIB: i64 = 32 << 10;

/// How many frames the log gets before each commit applies it, as by default in SQLite.
const FRAMES_TO_APPLY: u64 = 1_000;

/// How many frames the log gets before readers are waited for, so that it can begin anew: otherwise it
/// grows for as long as any two of them overlap. And for how long, each time it has grown by a quarter
/// of what it had.
const FRAMES_TO_WAIT: u64 = 4_000;
const READERS_TIMEOUT: Duration = Duration::from_millis(100);
const GROWTH_TO_WAIT: u64 = 4;

/// What is left of a log that has begun anew, in bytes.
const MAX_UNUSED_LOG_BYTES: i64 = 16 << 20;

const COUNT_ENTRIES: &str = "count the entries of the snapshot file";

const READ_VERSION: &str = "read whether another program wrote to the snapshot file";

const READ_LOG_LENGTH: &str = "read how long the log of the snapshot file is";

/// How often a log that does not seem to be whole is looked at.
const MAX_ATTEMPTS: usize = 5;
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(2);

/// The same, with those in which another program changed it.
const MAX_DISTURBED_ATTEMPTS: usize = 500;

/// A connection whose files are checked around each commit.
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

/// Whether the position was written after the log was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Applied {
    Done,
    /// Not now: another program is writing.
    Locked,
}

/// What is noted outside of the database.
struct Notes {
    lock: Arc<Lock>,
    /// What was noted last.
    noted: Acknowledged,
    /// After the last commit of this process.
    position: Position,
    /// How many frames the log had when readers were last waited for; 0 if it has begun anew since.
    waited: u64,
    /// SQLite's number for the state of the file, which changes with each commit of another connection.
    data_version: i64,
    /// The same, when what is in the file was last compared with what was noted.
    content_version: Option<i64>,
    /// The size of the database, in bytes, which does not become less by itself.
    largest: u64,
}

impl WatchedConnection {
    /// A connection that has no file to lose.
    pub(super) fn unwatched(connection: Connection) -> Self {
        Self { connection, files: None, page_size: 0, notes: None, unsaved_until: None }
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
        let position = position::begin(&mut connection, path).map_err(failed)?;
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

    /// Whether the files are still those that were opened, and have all that was written to them.
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
        self.check_log(|log, length| log.check_new(length.frames))?;
        self.check_content()?;
        let Some(notes) = &mut self.notes else { return Ok(()) };
        let version = data_version(&self.connection).map_err(failed_to(READ_VERSION))?;
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

    /// Counts the transaction that is open, as its last step before it is committed. The position has to
    /// be given to [`Self::note_written`] then. `None` for a connection that has no files.
    pub(super) fn advance(&self) -> rusqlite::Result<Option<Position>> {
        let advance = |notes: &Notes| position::advance(&self.connection, notes.position);
        self.notes.as_ref().map(advance).transpose()
    }

    /// This connection has written, or tried to, and has committed `position`. Has to be called before
    /// the next check.
    pub(super) fn note_written(&mut self, position: Option<Position>) {
        if let (Some(notes), Some(position)) = (&mut self.notes, position) {
            notes.position = position;
        }
        if let Some(log) = self.files.as_ref().and_then(|files| files.log.as_ref()) {
            log.note_written();
        }
    }

    /// Whether the file still has every entry that was noted. Another program can put an older state into
    /// it while it is open, with SQLite's own backup.
    ///
    /// # Errors
    /// It has not, and nothing is accepted from then on; or it cannot be read.
    pub(super) fn check_content(&mut self) -> Result<(), StoreError> {
        let (Some(notes), Some(files)) = (&mut self.notes, &self.files) else { return Ok(()) };
        let version = data_version(&self.connection).map_err(failed_to(READ_VERSION))?;
        if notes.content_version == Some(version) {
            return Ok(());
        }
        let entries = ledger::count_entries(&self.connection).map_err(failed_to(COUNT_ENTRIES))?;
        let acknowledged = notes.noted.entries;
        if entries >= acknowledged {
            notes.content_version = Some(version);
            return Ok(());
        }
        let file = files.path().display();
        let fault = format!(
            "another program has put an older state into {file}: of {acknowledged} entries of the \
             ledgers it has {entries}"
        );
        let remedy = format!(
            "Stop the recorder, keep {file} and what is beside it as they are, and restore the newest backup. \
             If there is none that has more, 'envsnap serve --accept-loss' goes on from the older state"
        );
        let reason = format!("{fault}. {remedy}");
        Err(files.stopped(
            files
                .stopped
                .get_or_init(|| {
                    tracing::error!("{fault}, so that the recorder accepts nothing more. {remedy}");
                    reason
                })
                .clone(),
        ))
    }

    /// Applies the log to the file if it is long, as each commit does by default in SQLite.
    ///
    /// # Errors
    /// The log is not as it was written, or was moved: nothing of it was applied. What SQLite cannot do
    /// now is logged, and tried again after the next commit.
    pub(super) fn apply_long_log(&mut self) -> Result<(), StoreError> {
        if self.notes.is_none() {
            return Ok(());
        }
        if self.log_length()?.frames < FRAMES_TO_APPLY {
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
    fn apply_log(&mut self) -> Result<Applied, StoreError> {
        let failed = failed_to("apply the log to the snapshot file");
        self.check_log(LogFiles::check_to_apply)?;
        let LogLength { frames, applied } =
            passive_checkpoint(&self.connection).map_err(&failed)?;
        if applied < frames {
            return Ok(Applied::Done);
        }
        if let Some(notes) = &mut self.notes
            && frames >= FRAMES_TO_WAIT.max(notes.waited + notes.waited / GROWTH_TO_WAIT)
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

    /// Commits the position by itself, unless another program is writing.
    fn write_position(&mut self) -> Result<Applied, StoreError> {
        let failed = failed_to("write the position of the snapshot file");
        let position = self.without_waiting(|watched| {
            watched.connection.execute_batch("BEGIN IMMEDIATE")?;
            let position = watched.advance()?;
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
    fn without_waiting<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.connection.busy_timeout(Duration::ZERO)?;
        let done = work(self);
        self.connection.busy_timeout(BUSY_TIMEOUT)?;
        done
    }

    /// As [`Self::check`], with `check_log`.
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
            return Err(files.stopped(files.stopped.get_or_init(|| reason).clone()));
        }
        let moved = files.check_database();
        if moved.is_err() {
            // So that it is complete wherever it is now. If it cannot be, its log has the rest.
            let _rest_is_in_the_log = checkpoint(&self.connection);
        }
        moved
    }

    /// The first thing that is wrong, other than that the database was moved.
    fn first_fault(
        &mut self,
        files: &Files,
        log: &LogFiles,
        check_log: impl Fn(&LogFiles, LogLength) -> Result<(), Fault>,
    ) -> Result<Option<Fault>, StoreError> {
        // Before SQLite looks at any of them.
        if let Err(fault) = log.check_places() {
            return Ok(Some(fault));
        }
        // A program that writes by SQLite's rules may begin the log anew, or apply it, between any two of
        // the reads: what is found then does not count.
        let mut found = 0;
        for _ in 0..MAX_DISTURBED_ATTEMPTS {
            let before = self.last_changes(files, log)?;
            let Some(fault) = self.fault_now(files, log, &check_log)? else { return Ok(None) };
            if before == self.last_changes(files, log)? {
                found += 1;
            }
            if found == MAX_ATTEMPTS {
                return Ok(Some(fault));
            }
            thread::sleep(ATTEMPT_INTERVAL);
        }
        Err(StoreError::Interrupted {
            operation: "check the snapshot file".to_owned(),
            reason: "another program writes to it without a pause".to_owned(),
        })
    }

    /// When the database and its log were changed last, and their lengths.
    fn last_changes(
        &self,
        files: &Files,
        log: &LogFiles,
    ) -> Result<[Option<LastChange>; 2], StoreError> {
        let database = self.notes.as_ref().map(|notes| notes.lock.metadata()).transpose();
        let database = database.map_err(|source| StoreError::Stat {
            file: files.path().display().to_string(),
            source,
        })?;
        Ok([database.as_ref().map(last_change), log.last_change().ok()])
    }

    /// What seems to be wrong, unless another program writes just now.
    fn fault_now(
        &mut self,
        files: &Files,
        log: &LogFiles,
        check_log: &impl Fn(&LogFiles, LogLength) -> Result<(), Fault>,
    ) -> Result<Option<Fault>, StoreError> {
        if let Some(fault) = self.database_fault(files)? {
            return Ok(Some(fault));
        }
        Ok(check_log(log, self.log_length()?).err())
    }

    /// What is wrong with the database, wherever it is.
    fn database_fault(&mut self, files: &Files) -> Result<Option<Fault>, StoreError> {
        let Some(notes) = &mut self.notes else { return Ok(None) };
        let file = || files.path().display().to_string();
        let metadata =
            notes.lock.metadata().map_err(|source| StoreError::Stat { file: file(), source })?;
        let bytes = metadata.len();
        // VACUUM in another program makes it smaller.
        if bytes < notes.largest
            && !has_all_pages(&self.connection, files, bytes, self.page_size).unwrap_or(false)
        {
            return Ok(Some(Fault::Cut { file: file(), bytes }));
        }
        notes.largest = bytes;
        // It has no name any more, under which it could be put back.
        Ok((metadata.nlink() == 0).then(|| Fault::Gone(file())))
    }

    /// Notes what was committed since the last call, before it is acknowledged.
    ///
    /// # Errors
    /// It cannot be noted, and is not to be acknowledged.
    pub(super) fn note_commits(&mut self) -> Result<(), StoreError> {
        let (Some(notes), Some(files)) = (&mut self.notes, &self.files) else { return Ok(()) };
        let entries = ledger::count_entries(&self.connection).map_err(failed_to(COUNT_ENTRIES))?;
        let acknowledged = Acknowledged { position: notes.position, entries };
        if acknowledged == notes.noted {
            return Ok(());
        }
        notes.lock.note(&acknowledged).map_err(|source| {
            let file = files.path().display().to_string();
            StoreError::WriteMark { file, source }
        })?;
        notes.noted = acknowledged;
        Ok(())
    }

    /// Closes the file. Unless it is the one that was opened, with its log, nothing is removed from
    /// beside its path.
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

    /// Marks the file as closed, unless a program that reads keeps a part of the log from being applied.
    fn mark_closed(&mut self) -> rusqlite::Result<()> {
        let Some(last) = self.notes.as_ref().map(|notes| notes.position) else { return Ok(()) };
        // The whole log is applied to the file, and emptied.
        let is_busy: bool = self.without_waiting(|watched| {
            let empty = "PRAGMA wal_checkpoint(TRUNCATE)";
            watched.connection.query_row(empty, [], |row| row.get(0))
        })?;
        if !is_busy {
            let position = position::end(&mut self.connection, last)?;
            self.note_written(Some(position));
        }
        Ok(())
    }

    fn log_length(&self) -> Result<LogLength, StoreError> {
        log_length(&self.connection).map_err(failed_to(READ_LOG_LENGTH))
    }
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// The length of the log, as SQLite knows it; zeros if there is none.
fn log_length(connection: &Connection) -> rusqlite::Result<LogLength> {
    connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?.query_row([], |row| {
        // Negative if there is no log.
        let number = |column| row.get(column).map(|it: i64| u64::try_from(it).unwrap_or(0));
        Ok(LogLength { frames: number(1)?, applied: number(2)? })
    })
}

/// Applies what no other program needs of the log.
fn passive_checkpoint(connection: &Connection) -> rusqlite::Result<LogLength> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    log_length(connection)
}

/// How many pages the database has.
fn pages(connection: &Connection) -> rusqlite::Result<u64> {
    connection.pragma_query_value(None, "page_count", |row| row.get(0))
}

/// Whether all pages of the database are in its file, which has so many bytes, or in the part of its log
/// that was not applied yet.
fn has_all_pages(
    connection: &Connection,
    files: &Files,
    bytes: u64,
    page_size: u64,
) -> Result<bool, Box<dyn std::error::Error>> {
    /// The page that SQLite locks, and never writes, begins at this byte.
    const LOCKED_BYTE: u64 = 0x4000_0000;
    let (present, pages) = (bytes / page_size, pages(connection)?);
    if pages <= present {
        return Ok(true);
    }
    let Some(log) = &files.log else { return Ok(false) };
    let LogLength { frames, applied } = log_length(connection)?;
    let in_log = log.pages_after(applied, frames)?;
    let is_there = |page: u64| {
        u32::try_from(page).is_ok_and(|page| in_log.contains(&page))
            || page == LOCKED_BYTE / page_size + 1
    };
    Ok((present + 1..=pages).all(is_there))
}

/// The error of an operation that SQLite could not do.
fn failed_to(operation: &str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |source| StoreError::Failed { operation: operation.to_owned(), source }
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

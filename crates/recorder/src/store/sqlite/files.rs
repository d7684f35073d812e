//! Detects that the database or its log was moved, replaced or removed.
//!
//! SQLite does not notice if its database or its log is moved, replaced or removed: it goes on
//! writing to what it has open, and what is written then is lost with the process.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, canonicalize};
use std::io;
use std::mem;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rusqlite::ErrorCode;
use rustix::fs::{Access, access};

use super::StoreError;
use super::descriptors::FileIdentity;
use super::wal::{self, CheckedLog, LogEnd};

/// The paths and identities of an open database and its log, to detect that they were moved, replaced or
/// damaged.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    identity: FileIdentity,
    /// `None` for a store that only reads: the log comes and goes with the recorder that writes.
    pub(super) log: Option<LogFiles>,
    /// Why the store stopped, once a fault was found.
    pub(super) stopped: OnceLock<String>,
}

impl Files {
    /// The database at `path`, with its identity.
    pub(super) fn new(path: &Path, identity: FileIdentity, log: Option<LogFiles>) -> Self {
        Self { path: path.to_owned(), identity, log, stopped: OnceLock::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the database which was opened is still at its path.
    ///
    /// # Errors
    /// The path leads to another file or to none.
    pub(super) fn check_database(&self) -> Result<(), StoreError> {
        if FileIdentity::at(&self.path).is_ok_and(|found| found == self.identity) {
            return Ok(());
        }
        Err(StoreError::Moved { file: self.path.display().to_string() })
    }

    /// Checks that no fault has stopped the store.
    ///
    /// # Errors
    /// The store was stopped.
    pub(super) fn check_stopped(&self) -> Result<(), StoreError> {
        match self.stopped.get() {
            Some(reason) => Err(self.stopped_error(reason.clone())),
            None => Ok(()),
        }
    }

    /// Checks that the store may be read: it was not stopped, and the files that were opened are still at
    /// their paths.
    ///
    /// # Errors
    /// It was stopped, or a file is gone, replaced or truncated.
    pub(super) fn check_to_read(&self) -> Result<(), StoreError> {
        self.check_stopped()?;
        self.check_database()?;
        let places = self.log.as_ref().map_or(Ok(()), LogFiles::check_paths_and_index_size);
        places.map_err(|fault| self.stopped_error(fault.to_string()))
    }

    /// The error of a store that was stopped for this reason.
    pub(super) fn stopped_error(&self, reason: String) -> StoreError {
        StoreError::Stopped { file: self.path.display().to_string(), reason }
    }
}

/// What SQLite has beside a database while it is open: its log (`-wal`) and the index of that
/// (`-shm`).
///
/// The log is kept open here as well: SQLite takes no locks on it that closing it could drop. The
/// index is not.
#[derive(Debug)]
pub(super) struct LogFiles {
    log_path: PathBuf,
    log: File,
    log_identity: FileIdentity,
    index_path: PathBuf,
    index_identity: FileIdentity,
    /// The bytes of the index, which only grows while the database is open.
    index_size: AtomicU64,
    checked: Mutex<LogCheck>,
}

/// When a file was changed last, in seconds and nanoseconds, and its length.
pub(super) type LastChange = (i64, i64, u64);

/// When a file was changed last (ctime), and its length.
pub(super) fn last_change(found: &fs::Metadata) -> LastChange {
    (found.ctime(), found.ctime_nsec(), found.len())
}

/// How many frames a log has, and how many of them were applied to the database.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogLength {
    pub(super) frames: u64,
    pub(super) applied: u64,
}

/// What earlier checks of a log found intact.
#[derive(Debug, Default)]
struct LogCheck {
    checked: CheckedLog,
    /// Of the last check of the end.
    end: LogEnd,
    /// When the log changed last, and its length, after the last write of this process. If it is
    /// another, the log was changed by another program, and nothing of it counts as checked.
    written: Option<LastChange>,
    /// The first frame of those that are read again next.
    next: u64,
}

/// How many frames are read again in each check, whatever was checked before.
const RECHECKED_FRAMES: u64 = 256;

/// What another program did to a file of the open database, or to its log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0} was removed, moved or replaced")]
    Gone(String),
    #[error("{file} was truncated to {bytes} bytes")]
    Cut { file: String, bytes: u64 },
    #[error("{0} was overwritten or truncated")]
    Overwritten(String),
}

impl LogFiles {
    /// Opens the files beside the database at `path`, which SQLite has created.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let (log_path, index_path) = (beside(path, "-wal"), beside(path, "-shm"));
        let log = File::open(&log_path)?;
        let log_identity = FileIdentity::from(&log.metadata()?);
        let index = fs::metadata(&index_path)?;
        let (index_identity, index_size) = (FileIdentity::from(&index), index.len().into());
        let checked = Mutex::default();
        Ok(Self { log_path, log, log_identity, index_path, index_identity, index_size, checked })
    }

    /// Checks that the log and its index are still at their paths, and that the index was not truncated. SQLite
    /// maps the index into memory: access beyond the end of the file ends the process (SIGBUS).
    pub(super) fn check_paths_and_index_size(&self) -> Result<(), Fault> {
        if !FileIdentity::at(&self.log_path).is_ok_and(|found| found == self.log_identity) {
            return Err(Fault::Gone(self.log_path.display().to_string()));
        }
        let index = fs::metadata(&self.index_path).ok();
        let index = index.filter(|found| FileIdentity::from(found) == self.index_identity);
        let Some(bytes) = index.map(|found| found.len()) else {
            return Err(Fault::Gone(self.index_path.display().to_string()));
        };
        if bytes < self.index_size.fetch_max(bytes, Ordering::Relaxed) {
            return Err(Fault::Cut { file: self.index_path.display().to_string(), bytes });
        }
        Ok(())
    }

    /// Extends a truncated index to its former size. SQLite detects the zeros and rebuilds the
    /// index from the log.
    pub(super) fn restore_index_size(&self) -> io::Result<()> {
        let found = fs::metadata(&self.index_path)?;
        let size = self.index_size.load(Ordering::Relaxed);
        if FileIdentity::from(&found) != self.index_identity || found.len() >= size {
            return Ok(());
        }
        let index = OpenOptions::new().write(true).open(&self.index_path)?;
        let restored = index.set_len(size);
        // Closing it would drop SQLite's locks on it.
        mem::forget(index);
        restored
    }

    /// Checks that the log, even if it was moved, has this many frames, and that those added since the last
    /// check are intact. The others are not read.
    pub(super) fn check_end(&self, frames: u64) -> Result<(), Fault> {
        self.check(|log, check| {
            self.forget_if_changed(check)?;
            wal::has_intact_end(log, frames, &mut check.end)
        })
    }

    /// Checks that the log, even if it was moved, has this many frames, all of them as they were written. Of
    /// those that were checked before, only [`RECHECKED_FRAMES`] are read again, unless another program changed
    /// the log.
    pub(super) fn check_incrementally(&self, frames: u64) -> Result<(), Fault> {
        self.check(|log, check| {
            self.forget_if_changed(check)?;
            if !wal::has_intact_frames(log, frames, &mut check.checked)? {
                return Ok(false);
            }
            let from = if check.next < frames { check.next } else { 0 };
            let to = frames.min(from + RECHECKED_FRAMES);
            check.next = to;
            Ok(wal::has_intact_range(log, from, to)?
                && wal::has_intact_end(log, frames, &mut check.end)?)
        })
    }

    /// The numbers of the pages in the frames of the log after the first `applied`, up to `frames`.
    pub(super) fn pages_after(&self, applied: u64, frames: u64) -> io::Result<BTreeSet<u32>> {
        wal::pages_in(&self.log, applied, frames)
    }

    /// As [`Self::check_incrementally`], but reads all frames again.
    pub(super) fn check_all(&self, frames: u64) -> Result<(), Fault> {
        self.check(|log, check| {
            check.checked = CheckedLog::default();
            wal::has_intact_frames(log, frames, &mut check.checked)
        })
    }

    /// Checks that the log, even if it was moved, has all frames that are not applied yet as they were written.
    pub(super) fn check_to_apply(&self, length: LogLength) -> Result<(), Fault> {
        self.check(|log, _| wal::has_intact_range(log, length.applied, length.frames))
    }

    /// Fails unless `is_intact` holds for the log. A log that cannot be read counts as overwritten.
    fn check(
        &self,
        is_intact: impl FnOnce(&File, &mut LogCheck) -> io::Result<bool>,
    ) -> Result<(), Fault> {
        let mut check = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if is_intact(&self.log, &mut check).unwrap_or(false) {
            return Ok(());
        }
        Err(Fault::Overwritten(self.log_path.display().to_string()))
    }

    /// Records that this process wrote to the log. If it changes from now on, and this is not called again,
    /// another program changed it.
    pub(super) fn note_written(&self) {
        let mut check = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        check.written = self.last_change().ok();
    }

    /// Discards the results of earlier checks if another program changed the log.
    fn forget_if_changed(&self, check: &mut LogCheck) -> io::Result<()> {
        let changed = self.last_change()?;
        if check.written != Some(changed) {
            check.checked = CheckedLog::default();
            check.written = Some(changed);
        }
        Ok(())
    }

    /// When the log was changed last (ctime), and its length.
    pub(super) fn last_change(&self) -> io::Result<LastChange> {
        self.log.metadata().map(|found| last_change(&found))
    }
}

/// Replaces `error` if its cause is that another user owns the files beside the database at `path`, or that
/// the folder cannot be written to. SQLite creates those files for every program that opens a database, even
/// read-only.
pub(super) fn explain_denied_access(path: &Path, error: StoreError) -> StoreError {
    let code = match &error {
        StoreError::Open { source, .. } => source.sqlite_error_code(),
        _ => None,
    };
    let may_be_denied = matches!(
        code,
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
    ) || matches!(error, StoreError::ReadOnly { .. });
    let Ok(database) = fs::metadata(path) else { return error };
    let foreign: Vec<_> = ["-wal", "-shm", "-journal"]
        .into_iter()
        .filter_map(|ending| {
            let file = beside(path, ending);
            let found = fs::metadata(&file).ok()?;
            let is_usable = found.uid() == database.uid() && found.mode() & 0o600 == 0o600;
            (!is_usable).then(|| {
                let (file, owner, mode) = (file.display(), found.uid(), found.mode() & 0o777);
                format!("{file} (owner {owner}, mode {mode:o})")
            })
        })
        .collect();
    let file_itself = matches!(error, StoreError::ReadOnly { .. }) && database.mode() & 0o200 == 0;
    if !may_be_denied || file_itself {
        return error;
    }
    if foreign.is_empty() {
        return explain_denied_folder(path, error);
    }
    StoreError::LeftBeside {
        file: path.display().to_string(),
        owner: database.uid(),
        left: foreign.join(", "),
        source: Box::new(error),
    }
}

/// Replaces `error` if this process may not create files in the folder of the database, as SQLite has to.
fn explain_denied_folder(path: &Path, error: StoreError) -> StoreError {
    let file = canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let Some(folder) = file.parent() else { return error };
    let Ok(found) = fs::metadata(folder) else { return error };
    if access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok() {
        return error;
    }
    StoreError::FolderDenied {
        file: path.display().to_string(),
        folder: folder.display().to_string(),
        user: rustix::process::geteuid().as_raw(),
        owner: found.uid(),
        mode: found.mode() & 0o777,
        source: Box::new(error),
    }
}

/// The first path that does not exist of `path` with this suffix, and then with `.2`, `.3` and so on after
/// it.
pub(super) fn free_name(path: &Path, suffix: &str) -> PathBuf {
    let mut number = 1;
    loop {
        let name = numbered_name(path, suffix, number);
        if fs::symlink_metadata(&name).is_err() {
            return name;
        }
        number += 1;
    }
}

/// The path that [`free_name`] tries in this attempt: `path` with this suffix, from 2 on with the number
/// after it.
pub(super) fn numbered_name(path: &Path, suffix: &str, number: u32) -> PathBuf {
    match number {
        1 => beside(path, suffix),
        _ => beside(path, &format!("{suffix}.{number}")),
    }
}

/// The endings of the files beside a database that belong to it.
pub(super) const ENDINGS: [&str; 5] = ["-wal", "-shm", "-journal", ".lock", ".rescued"];

/// Whether `path` is the database at `database` or one of the files beside it, also by another name (a
/// symbolic or hard link), and also if it does not exist yet.
pub(crate) fn is_of_database(path: &Path, database: &Path) -> bool {
    let identity = FileIdentity::at(path).ok();
    let place = resolved(path);
    let own = ENDINGS.map(|ending| beside(database, ending));
    std::iter::once(database.to_owned()).chain(own).any(|file| {
        resolved(&file) == place
            || identity
                .is_some_and(|identity| FileIdentity::at(&file).is_ok_and(|it| it == identity))
    })
}

/// The path with symbolic links resolved; the file may not exist.
fn resolved(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    canonicalize(path).unwrap_or_else(|_| {
        let folder = canonicalize(folder.unwrap_or(Path::new("."))).unwrap_or_default();
        folder.join(path.file_name().unwrap_or_default())
    })
}

/// The path of the file at `path`, with symbolic links resolved, and this ending appended to its name.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut file = canonicalize(path).unwrap_or_else(|_| path.to_owned()).into_os_string();
    file.push(ending);
    file.into()
}

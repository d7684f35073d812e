//! Whether the files under a recorder's names are still those that are open.
//!
//! SQLite does not notice if its database or its log is moved, replaced or removed: it goes on
//! writing to what it has open, and what is written then is lost with the process.

use std::fs::{self, File, canonicalize};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rusqlite::ErrorCode;

use super::StoreError;
use super::descriptors::{Descriptor, FileIdentity};
use super::position::Position;
use super::wal::LogContent;

/// The byte of a database's header that is 2 if the database is used with a log.
const USES_A_LOG: u64 = 19;

/// The bytes of a log before its first frame, and of a frame beside its page.
const LOG_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

/// How often a log that does not seem to be the file's is looked at, and how long in between.
const LOOKS: usize = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A database that is open, with what is beside it.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    identity: FileIdentity,
    /// `None` for a store that only reads: the log comes and goes with the recorder that writes.
    pub(super) log: Option<LogFiles>,
    /// Why nothing is accepted any more, once something was wrong with the log.
    pub(super) stopped: OnceLock<String>,
}

impl Files {
    /// The database at `path`, which is this one.
    pub(super) fn new(path: &Path, identity: FileIdentity, log: Option<LogFiles>) -> Self {
        Self { path: path.to_owned(), identity, log, stopped: OnceLock::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    /// Another database is at the path, or none.
    pub(super) fn check_database(&self) -> Result<(), StoreError> {
        if FileIdentity::at(&self.path).is_ok_and(|found| found == self.identity) {
            return Ok(());
        }
        Err(StoreError::Moved { file: self.path.display().to_string() })
    }

    /// # Errors
    /// Something was wrong with the log before.
    pub(super) fn check_stopped(&self) -> Result<(), StoreError> {
        match self.stopped.get() {
            Some(reason) => Err(self.stopped(reason.clone())),
            None => Ok(()),
        }
    }

    /// Whether what is read is still in the files at their paths.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn check_to_read(&self) -> Result<(), StoreError> {
        self.check_stopped()?;
        self.check_database()?;
        let places = self.log.as_ref().map_or(Ok(()), LogFiles::check_places);
        places.map_err(|fault| self.stopped(fault.to_string()))
    }

    pub(super) fn stopped(&self, reason: String) -> StoreError {
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
}

/// What became of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LogFault {
    #[error("{0} was removed, moved or replaced")]
    Gone(String),
    #[error("{log} was cut to {bytes} bytes")]
    Cut { log: String, bytes: u64 },
}

impl LogFiles {
    /// Those beside the database at `path`, which SQLite has opened.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let (log_path, index_path) = (beside(path, "-wal"), beside(path, "-shm"));
        let log = File::open(&log_path)?;
        let log_identity = FileIdentity::from(&log.metadata()?);
        let index_identity = FileIdentity::at(&index_path)?;
        Ok(Self { log_path, log, log_identity, index_path, index_identity })
    }

    /// Whether the files are still at their paths.
    pub(super) fn check_places(&self) -> Result<(), LogFault> {
        for (path, identity) in
            [(&self.log_path, self.log_identity), (&self.index_path, self.index_identity)]
        {
            if !FileIdentity::at(path).is_ok_and(|found| found == identity) {
                return Err(LogFault::Gone(path.display().to_string()));
            }
        }
        Ok(())
    }

    /// Whether the log still has `frames` frames of pages of `page_size` bytes, wherever it is.
    pub(super) fn check_size(&self, frames: u64, page_size: u64) -> Result<(), LogFault> {
        let expected = match frames {
            0 => 0,
            frames => LOG_HEADER + frames * (FRAME_HEADER + page_size),
        };
        // What cannot be asked for its size is not relied on.
        let bytes = self.log.metadata().map_or(0, |metadata| metadata.len());
        if bytes >= expected {
            return Ok(());
        }
        Err(LogFault::Cut { log: self.log_path.display().to_string(), bytes })
    }
}

/// Whether there is a log beside `path` with something in it. Refuses one that does not belong to the
/// file as it is: SQLite would apply it all the same, or drop it if there is no file.
///
/// A file that a recorder has used says in its header that it has a log; a backup says that it has
/// none. Then, the log has to follow the position that the file is at.
pub(super) fn check_log(path: &Path) -> Result<bool, StoreError> {
    let log_path = beside(path, "-wal");
    if fs::metadata(&log_path).map_or(0, |found| found.len()) == 0 {
        return Ok(false);
    }
    let named = || (path.display().to_string(), log_path.display().to_string());
    let stray = || {
        let (file, log) = named();
        Err(StoreError::StrayLog { file, log })
    };
    if !uses_a_log(path) {
        return stray();
    }
    // A recorder that writes meanwhile may begin the log anew between the two looks.
    for _ in 0..LOOKS {
        let Some((log, position)) = read_both(path, &log_path) else { return Ok(true) };
        if log.frames == 0 {
            return Ok(false);
        }
        if log.positions.is_empty() {
            let (file, log) = named();
            return Err(StoreError::ForeignLog { file, log });
        }
        if position.is_some_and(|position| log.follows(&position)) {
            return Ok(true);
        }
        thread::sleep(BETWEEN_LOOKS);
    }
    stray()
}

/// What is in the log, and the position in the file without it. `None` for what cannot be read, which
/// is SQLite's to refuse.
fn read_both(path: &Path, log: &Path) -> Option<(LogContent, Option<Position>)> {
    let log = LogContent::read(&File::open(log).ok()?).ok()?;
    let mut page = vec![0; usize::try_from(log.page_size).ok()?];
    let offset = u64::from(log.page.saturating_sub(1)) * u64::from(log.page_size);
    let read = Descriptor::open(path).ok()?.file.read_exact_at(&mut page, offset);
    let position = read.is_ok().then(|| Position::from_page(&page)).flatten();
    Some((log, position))
}

/// What keeps the recorder from using the database at `path`, if it is in what other users' programs
/// left beside it: SQLite makes those files for whoever opens a database, also to read it.
pub(super) fn explain(path: &Path, error: StoreError) -> StoreError {
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
    if !may_be_denied || foreign.is_empty() {
        return error;
    }
    StoreError::LeftBeside {
        file: path.display().to_string(),
        owner: database.uid(),
        left: foreign.join(", "),
        source: Box::new(error),
    }
}

/// The file with this ending beside the one at `path`, whichever of its symbolic links that is.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut file = canonicalize(path).unwrap_or_else(|_| path.to_owned()).into_os_string();
    file.push(ending);
    file.into()
}

/// What cannot be read is SQLite's to refuse.
fn uses_a_log(path: &Path) -> bool {
    let mut byte = [0];
    let read = Descriptor::open(path)
        .and_then(|descriptor| descriptor.file.read_exact_at(&mut byte, USES_A_LOG));
    match read {
        Ok(()) => byte[0] == 2,
        Err(error) => {
            !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
        }
    }
}

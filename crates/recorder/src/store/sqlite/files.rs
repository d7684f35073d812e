//! Whether the files under a recorder's names are still those that are open.
//!
//! SQLite does not notice if its database or its log is moved, replaced or removed: it goes on
//! writing to what it has open, and what is written then is lost with the process.

use std::fs::{self, File, Metadata, OpenOptions, canonicalize};
use std::io;
use std::mem;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::ErrorCode;

use super::StoreError;
use super::descriptors::{Descriptor, FileIdentity};
use super::position::Position;
use super::wal::{self, LogContent};

/// The byte of a database's header that is 2 if the database is used with a log.
const USES_A_LOG: u64 = 19;

/// How often a file that does not seem to fit its log or its note is looked at, and how long in between:
/// a recorder may start, or begin its log anew, meanwhile.
pub(super) const LOOKS: usize = 10;
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

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
    /// The bytes of the index, which only grows while the database is open.
    index_size: AtomicU64,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0} was removed, moved or replaced")]
    Gone(String),
    #[error("{file} was cut to {bytes} bytes")]
    Cut { file: String, bytes: u64 },
    #[error("{0} was overwritten or cut")]
    Overwritten(String),
}

impl LogFiles {
    /// Those beside the database at `path`, which SQLite has opened.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let (log_path, index_path) = (beside(path, "-wal"), beside(path, "-shm"));
        let log = File::open(&log_path)?;
        let log_identity = FileIdentity::from(&log.metadata()?);
        let index = fs::metadata(&index_path)?;
        let (index_identity, index_size) = (FileIdentity::from(&index), index.len().into());
        Ok(Self { log_path, log, log_identity, index_path, index_identity, index_size })
    }

    /// Whether the files are still at their paths, and the index is as long as it was. SQLite has the
    /// index in memory: where that is beyond the end of the file, the process dies (SIGBUS).
    pub(super) fn check_places(&self) -> Result<(), Fault> {
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

    /// Gives an index that was cut its size again. SQLite takes the zeros for what they are, and makes
    /// the index anew from the log.
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

    /// Whether the log, wherever it is, ends with the frame of this number, from 1. The frames before
    /// it are not read.
    pub(super) fn check_end(&self, frames: u64) -> Result<(), Fault> {
        // What cannot be read is not relied on.
        if wal::ends_with_frame(&self.log, frames).unwrap_or(false) {
            return Ok(());
        }
        Err(Fault::Overwritten(self.log_path.display().to_string()))
    }

    /// Whether the log, wherever it is, has this many frames, all of them as they were written.
    pub(super) fn check_all(&self, frames: u64) -> Result<(), Fault> {
        if frames == 0 || LogContent::read(&self.log).is_ok_and(|log| log.frames >= frames) {
            return Ok(());
        }
        Err(Fault::Overwritten(self.log_path.display().to_string()))
    }
}

/// Refuses a database at `path` that is no regular file, and anything of that kind under a name that the
/// recorder uses beside it: opening a FIFO waits for its writer, and of the others SQLite says only "disk
/// I/O error". A symbolic link may lead to the database, and to nothing else.
pub(super) fn check_kinds(path: &Path) -> Result<(), StoreError> {
    let is_other = |found: io::Result<Metadata>| found.is_ok_and(|found| !found.is_file());
    let refused = |file: &Path| Err(StoreError::NotAFile { file: file.display().to_string() });
    if is_other(fs::metadata(path)) {
        return refused(path);
    }
    for ending in ["-wal", "-shm", "-journal", ".lock", ".rescued"] {
        let file = beside(path, ending);
        if is_other(fs::symlink_metadata(&file)) {
            return refused(&file);
        }
    }
    Ok(())
}

/// Whether there is a log beside `path` with something in it. Refuses one that does not belong to the
/// file as it is: SQLite would apply it all the same, or drop it if there is no file. Refuses a file
/// that was cut, as well: SQLite would make it longer again.
///
/// A file that a recorder has used says in its header that it has a log; a backup says that it has
/// none. Then, the log has to follow the position that the file is at.
pub(super) fn check_log(path: &Path) -> Result<bool, StoreError> {
    let log = beside(path, "-wal");
    let mut refused = Ok(false);
    // A recorder that writes meanwhile may begin the log anew between the looks at the two.
    for _ in 0..LOOKS {
        refused = check_log_once(path, &log);
        if refused.is_ok() {
            break;
        }
        thread::sleep(BETWEEN_LOOKS);
    }
    refused
}

fn check_log_once(path: &Path, log_path: &Path) -> Result<bool, StoreError> {
    let (file, log) = (path.display().to_string(), log_path.display().to_string());
    let has_log = fs::metadata(log_path).map_or(0, |found| found.len()) > 0;
    if has_log && !uses_a_log(path) {
        return Err(StoreError::StrayLog { file, log });
    }
    // What cannot be read is SQLite's to refuse.
    let read = || {
        if has_log { LogContent::read(&File::open(log_path)?) } else { Ok(LogContent::default()) }
    };
    let (Ok(content), Ok(database)) = (read(), Descriptor::open(path)) else { return Ok(has_log) };
    if let Some((bytes, expected)) = missing_pages(&database.file, &content) {
        return Err(StoreError::Cut { file, bytes, expected });
    }
    if content.frames == 0 {
        return Ok(false);
    }
    if content.positions.is_empty() {
        return Err(StoreError::ForeignLog { file, log });
    }
    let mut page = vec![0; content.page_size as usize];
    let mut continues_page = |number: u64| {
        let offset = number.saturating_sub(1).saturating_mul(content.page_size.into());
        let read = database.file.read_exact_at(&mut page, offset);
        let position = read.ok().and_then(|()| Position::from_page(&page));
        position.is_some_and(|position| content.follows(&position))
    };
    if content.position_pages.iter().any(|number| continues_page(u64::from(*number))) {
        return Ok(true);
    }
    // A log that begins with a VACUUM by another program does not say where the position was before.
    let bytes = database.file.metadata().map_or(0, |metadata| metadata.len());
    if (1..=bytes / u64::from(content.page_size)).any(continues_page) {
        return Ok(true);
    }
    Err(StoreError::StrayLog { file, log })
}

/// The size of a database, and what it should have at least, if pages are missing from its end that its
/// log has not got.
fn missing_pages(database: &File, log: &LogContent) -> Option<(u64, u64)> {
    let mut header = [0; 32];
    let bytes = database.metadata().ok()?.len();
    database
        .read_exact_at(&mut header, 0)
        .ok()
        .filter(|()| header.starts_with(b"SQLite format 3\0"))?;
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    let present = u32::try_from(bytes.checked_div(page_size)?).ok()?;
    let is_missing = (present.saturating_add(1)..=pages).any(|page| !log.pages.contains(&page));
    is_missing.then(|| (bytes, u64::from(pages) * page_size))
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

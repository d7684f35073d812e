//! Read-only connections.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::mark::{self, Mark};
use super::preflight::{self, CHECK_RETRY_DELAY, MAX_CHECK_ATTEMPTS};
use super::{BUSY_TIMEOUT, StoreError, journal, keep_statements, literal_path, schema};

/// The most concurrent reads; writes are not counted.
const MAX_READERS: usize = 4;

/// The most concurrent reads of large snapshots, which do not block small reads. Each may take
/// several times the memory of a report.
const MAX_LARGE_READERS: usize = 2;

/// How many artifacts a read may return; it decides which permits it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadSize {
    /// A few hundred artifacts.
    Small,
    /// As many as a snapshot may hold.
    Large,
}

/// A pool of read-only connections to one file, opened on demand.
#[derive(Debug)]
pub(super) struct Readers {
    file: PathBuf,
    turns: Arc<Semaphore>,
    large_turns: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(file: PathBuf) -> Self {
        let turns = |most| Arc::new(Semaphore::new(most));
        let (turns, large_turns) = (turns(MAX_READERS), turns(MAX_LARGE_READERS));
        Self { file, turns, large_turns, idle: Mutex::new(Vec::new()) }
    }

    /// Waits for a permit for a read of this size.
    pub(super) async fn acquire(&self, size: ReadSize) -> Option<OwnedSemaphorePermit> {
        let turns = match size {
            ReadSize::Small => &self.turns,
            ReadSize::Large => &self.large_turns,
        };
        // It is never closed.
        Arc::clone(turns).acquire_owned().await.ok()
    }

    /// An idle connection, or a new one; the caller [releases](Self::release) it after use.
    pub(super) fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| connect(&self.file), Ok)
    }

    /// Returns a connection to the pool.
    pub(super) fn release(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

/// Opens the recorder's file at `path` read-only, also while a recorder writes to it. It has everything
/// that was acknowledged.
///
/// # Errors
/// There is no such file, it has another version, or it lacks acknowledged commits.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let connection = open_any_version_to_read(path)?;
    schema::check_version(&connection, &path.display().to_string())?;
    Ok(connection)
}

/// As [`open_to_read`], also a file of an older version.
///
/// # Errors
/// There is no such file, it has a newer version, or it lacks acknowledged commits.
pub(super) fn open_any_version_to_read(path: &Path) -> Result<Connection, StoreError> {
    preflight::check_regular_files(path)?;
    // A recorder that starts may begin its session between the looks at the note, the log and the file.
    for _ in 1..MAX_CHECK_ATTEMPTS {
        match open_once(path) {
            Err(error) if error.is_loss() => thread::sleep(CHECK_RETRY_DELAY),
            opened => return opened,
        }
    }
    open_once(path)
}

/// One attempt of [`open_any_version_to_read`].
fn open_once(path: &Path) -> Result<Connection, StoreError> {
    // Before the file: a recorder that writes to it meanwhile is ahead of its mark.
    let mark = Mark::beside(path)?;
    let has_log = preflight::check_log_and_journal(path)?;
    let connection = connect_any_version(path)?;
    match mark::check(&connection, path, mark, has_log) {
        // What is recorded can be read all the same.
        Ok(()) | Err(StoreError::NoPosition { .. }) => Ok(connection),
        Err(error) => Err(error),
    }
}

/// Connects to the recorder's file at `path` read-only, without a check for acknowledged commits.
///
/// # Errors
/// The file does not exist or has another version.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect_any_version(path)?;
    schema::check_version(&connection, &path.display().to_string())?;
    Ok(connection)
}

/// As [`connect`], also to a file of an older version.
///
/// # Errors
/// The file does not exist, is not a recorder's, or has a newer version.
pub(super) fn connect_any_version(path: &Path) -> Result<Connection, StoreError> {
    let file = path.display().to_string();
    if !path.exists() {
        return Err(StoreError::Missing { file });
    }
    // SQLite reads nothing while there is a journal that it may not play back, and does not name it.
    let failed = |source| match journal::check(path) {
        Err(stray) => stray,
        Ok(()) => StoreError::Open { file: file.clone(), source },
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(literal_path(path), flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    keep_statements(&connection).map_err(failed)?;
    schema::check_to_migrate(&connection, &file).map_err(|error| match error {
        StoreError::Open { source, .. } => failed(source),
        other => other,
    })?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::super::SqliteStore as Store;
    use super::*;

    #[test]
    fn read_only_connection_reads_beside_an_open_writer_and_cannot_update() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.db");
        let _writer = Store::open(&path).unwrap();
        let reader = open_to_read(&path).unwrap();
        let count: i64 =
            reader.query_row("SELECT count(*) FROM snapshot", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 0);
        assert!(reader.execute("UPDATE environment SET name = 'x'", []).is_err());
    }

    #[test]
    fn opening_to_read_refuses_files_of_other_programs_and_versions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.db");
        let refused = || open_to_read(&path).unwrap_err().to_string();
        assert!(refused().contains("there is no"), "{}", refused());
        assert!(!path.exists());

        std::fs::write(&path, "").unwrap();
        assert!(refused().contains("another program"), "{}", refused());
        std::fs::write(&path, "buy milk, ".repeat(1000)).unwrap();
        assert!(refused().contains("is not a SQLite database"), "{}", refused());
        std::fs::remove_file(&path).unwrap();

        drop(Store::open(&path).unwrap());
        assert!(open_to_read(&path).is_ok());
        let writer = Connection::open(&path).unwrap();
        writer.pragma_update(None, "journal_mode", "DELETE").unwrap();
        writer.pragma_update(None, "user_version", 0).unwrap();
        assert!(refused().contains("has version 0"), "{}", refused());
        writer.pragma_update(None, "user_version", 99).unwrap();
        assert!(refused().contains("has version 99"), "{}", refused());
        writer.pragma_update(None, "application_id", 1).unwrap();
        assert!(refused().contains("another program"), "{}", refused());
    }
}

//! The recorder's file: environments and their snapshots, in SQLite.
//!
//! What is answered is durable: every write is one transaction, on disk before its call returns.

mod backup;
mod descriptors;
mod environments;
mod error;
mod events;
mod figures;
mod files;
mod history;
mod json;
mod listing;
mod load;
mod lock;
mod mark;
mod naming;
mod organizations;
mod overview;
mod page;
mod position;
mod readers;
mod recorded;
mod reports;
mod rescue;
mod schema;
mod silence;
mod snapshots;
mod stretch;
mod verify;
mod wal;
mod watch;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use envsnap_recorder::domain::Clock;

pub use backup::{BackedUp, NotBackedUp, backup};
use descriptors::FileIdentity;
pub(super) use environments::{Changed, LARGEST_LISTING};
pub use error::StoreError;
pub(super) use events::{Event, Events};
use figures::Probed;
pub(super) use figures::{Figures, Readiness};
use files::Files;
pub(super) use history::{History, Lasted};
pub(super) use listing::{Listing, Sort};
use lock::Lock;
pub(super) use naming::NameChange;
pub(super) use overview::{Overview, Overviewed};
pub(super) use page::Page;
use readers::{Allowance, ReadError, Readers, Size};
pub use reports::Reported;
pub(super) use snapshots::{Found, StoredSnapshot};
pub(super) use stretch::{Stretch, Taken};
pub use verify::{NotVerified, Renamed, Verified, verify};
use watch::Watched;
use writer::Writer;

/// How long a call waits for another process that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The environments and snapshots of a recorder. Clones share one file.
// Dropped in this order: the file is closed before it is unlocked, and by the writer last, which
// then removes the log.
#[derive(Clone)]
pub struct Store {
    /// `None` for a store in memory, which has no second connection.
    readers: Option<Arc<Readers>>,
    writer: Arc<Writer>,
    /// `None` for a store that writes to no file.
    lock: Option<Arc<Lock>>,
    /// `None` for a store in memory.
    files: Option<Arc<Files>>,
    clock: Clock,
    probed: Arc<Probed>,
}

impl Store {
    /// The store in the file at `path`, which is made if it does not exist. There is one for a
    /// file at a time.
    ///
    /// # Errors
    /// Another store writes to the file, or the log beside it is another file's; it lacks reports that
    /// were answered; it cannot be opened or written, or is not a recorder's, or a newer version of
    /// this program wrote it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_unless(path, Err)
    }

    /// As [`Self::open`], also if the file lacks reports that were answered, which is logged.
    ///
    /// # Errors
    /// As there otherwise.
    pub fn open_accepting_loss(path: &Path) -> Result<Self, StoreError> {
        Self::open_unless(path, |loss| {
            tracing::warn!("starting without what is missing, as --accept-loss says: {loss}");
            Ok(())
        })
    }

    /// Opens the file, after `on_loss` if it lacks reports that were answered.
    fn open_unless(
        path: &Path,
        on_loss: impl FnOnce(StoreError) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        rescue::check_rescued(path)?;
        let has_log = files::check_log(path)?;
        let lock = Arc::new(Lock::take(path)?);
        let mark = lock.mark(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = path.display().to_string();
        let connection = Connection::open_with_flags(plain(path), flags)
            .map_err(|source| StoreError::Open { file: file.clone(), source })
            .and_then(|connection| {
                // Before anything is written. A file without tables has no position.
                match mark::check(&connection, path, mark, has_log) {
                    Err(loss) if loss.is_loss() => on_loss(loss),
                    checked => checked,
                }
                .or_else(|error| leave_log(&connection, error))?;
                set_up(connection, &file)
            })
            .map_err(|error| files::explain(path, error))?;
        let watched = Watched::new(connection, path, &lock)?;
        let files = watched.files();
        Ok(Self {
            readers: Some(Arc::new(Readers::new(path.to_owned()))),
            writer: Arc::new(start(watched, path)?),
            lock: Some(lock),
            files,
            clock: Clock::system(),
            probed: Arc::default(),
        })
    }

    /// The store in the file at `path`, which cannot write to it, while another may.
    ///
    /// # Errors
    /// There is no such file, or it is not one of this version of the recorder.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let reader = readers::open_to_read(path)?;
        let identity = FileIdentity::at(path)
            .map_err(|_| StoreError::Missing { file: path.display().to_string() })?;
        Ok(Self {
            readers: Some(Arc::new(Readers::new(path.to_owned()))),
            // What it is asked to write, it refuses.
            writer: Arc::new(start(Watched::unwatched(reader), path)?),
            lock: None,
            files: Some(Arc::new(Files::new(path, identity, None))),
            clock: Clock::system(),
            probed: Arc::default(),
        })
    }

    /// A store that ends with its last clone.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn in_memory() -> Result<Self, StoreError> {
        let name = "in memory";
        let opened = Connection::open_in_memory();
        let connection = opened
            .map_err(|source| StoreError::Open { file: name.to_owned(), source })
            .and_then(|connection| set_up(connection, name))?;
        Ok(Self {
            readers: None,
            writer: Arc::new(start(Watched::unwatched(connection), Path::new(name))?),
            lock: None,
            files: None,
            clock: Clock::system(),
            probed: Arc::default(),
        })
    }

    /// The same store, with every time from now on as `clock` tells it.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The same store, whose file grows to this many pages of 4,096 bytes at most; beyond it, writes
    /// are refused as on a full disk.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn with_room_for(self, pages: u32) -> Result<Self, StoreError> {
        self.writer.write_blocking("bound the snapshot file", move |connection| {
            connection.pragma_update(None, "max_page_count", pages).map_err(|source| {
                StoreError::Failed { operation: "bound the snapshot file".to_owned(), source }
            })
        })?;
        Ok(self)
    }

    /// Does `work`, which may write, away from the threads that serve requests, one at a time, and
    /// gives it the time then, in seconds since the Unix epoch.
    async fn write<T: Send + 'static>(
        &self,
        operation: String,
        work: impl FnOnce(&mut Connection, f64) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_weighted(operation, 0, work).await
    }

    /// As [`Self::write`], for a write of so many artifacts.
    async fn write_weighted<T: Send + 'static>(
        &self,
        operation: String,
        artifacts: usize,
        work: impl FnOnce(&mut Connection, f64) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let clock = self.clock.clone();
        let failed = operation.clone();
        let work = move |connection: &mut Connection| {
            let now = clock
                .now_to_record()
                .map_err(|source| StoreError::Clock { operation: failed.clone(), source })?;
            work(connection, now).map_err(|source| StoreError::Failed { operation: failed, source })
        };
        self.writer.write(&operation, load::weight(artifacts), work).await
    }

    /// Does `work`, which only reads, beside what is written meanwhile. What has to fit together
    /// is read in one transaction.
    async fn read<T: Send + 'static>(
        &self,
        operation: String,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(readers) = &self.readers else {
            let failed = operation.clone();
            let work = move |connection: &mut Connection| {
                work(connection).map_err(|source| StoreError::Failed { operation: failed, source })
            };
            return self.writer.write(&operation, load::weight(0), work).await;
        };
        self.read_from(Arc::clone(readers), Size::Small, operation, work).await
    }

    /// As [`Self::read`], for a read of snapshots, which may be large: then it begins anew, and waits
    /// for other large reads only. Small reads never wait for large ones.
    async fn read_any_size<T: Send + 'static>(
        &self,
        operation: String,
        work: impl Fn(&mut Connection, &Allowance) -> Result<T, ReadError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let work = Arc::new(move |connection: &mut Connection, size| {
            match work(connection, &Allowance::new(size)) {
                Ok(done) => Ok(Some(done)),
                Err(ReadError::TooLarge) => Ok(None),
                Err(ReadError::Sqlite(error)) => Err(error),
            }
        });
        for size in [Size::Small, Size::Large] {
            let work = Arc::clone(&work);
            let operation = operation.clone();
            let found = match &self.readers {
                Some(readers) => {
                    let readers = Arc::clone(readers);
                    self.read_from(readers, size, operation, move |it| work(it, size)).await?
                }
                None => self.read(operation, move |it| work(it, size)).await?,
            };
            if let Some(found) = found {
                return Ok(found);
            }
        }
        // Nothing is too large for a large read.
        let reason = "it is too large".to_owned();
        Err(StoreError::Interrupted { operation, reason })
    }

    async fn read_from<T: Send + 'static>(
        &self,
        readers: Arc<Readers>,
        size: Size,
        operation: String,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = readers.turn(size).await;
        let files = self.files.clone();
        let check = move || files.as_ref().map_or(Ok(()), |files| files.check_to_read());
        blocking(operation, move || {
            let _turn = turn;
            check()?;
            let mut connection = readers.take()?;
            // It may have been opened just now.
            check()?;
            let done = work(&mut connection);
            readers.give_back(connection);
            Ok(done)
        })
        .await
    }
}

/// A connection that writes, to a file that has this version's tables.
fn set_up(mut connection: Connection, file: &str) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::Open { file: file.to_owned(), source };
    // SQLite opens what it may not write to all the same.
    if connection.is_readonly(MAIN_DB).map_err(failed)? {
        return Err(StoreError::ReadOnly { file: file.to_owned() });
    }
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    // Before anything else is written: a newer file is left as it was.
    schema::migrate(&mut connection, file)?;
    for (pragma, value) in
        [("journal_mode", "WAL"), ("synchronous", "FULL"), ("foreign_keys", "ON")]
    {
        connection.pragma_update(None, pragma, value).map_err(failed)?;
    }
    Ok(connection)
}

/// Keeps SQLite from applying the log, and removing it, when `connection` is closed for `error`.
fn leave_log(connection: &Connection, error: StoreError) -> Result<(), StoreError> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(|source| StoreError::Open { file: "the snapshot file".to_owned(), source })?;
    Err(error)
}

fn start(watched: Watched, path: &Path) -> Result<Writer, StoreError> {
    Writer::start(watched)
        .map_err(|source| StoreError::Thread { file: path.display().to_string(), source })
}

/// Does `work` on a thread that may wait for the disk.
async fn blocking<T: Send + 'static>(
    operation: String,
    work: impl FnOnce() -> Result<rusqlite::Result<T>, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done?.map_err(|source| StoreError::Failed { operation, source }),
        Err(error) => Err(StoreError::Interrupted { operation, reason: error.to_string() }),
    }
}

/// `path` without SQLite's habit of reading some names as something else, `:memory:` among them.
fn plain(path: &Path) -> PathBuf {
    Path::new(".").join(path)
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::TransactionBehavior;

    use super::*;

    fn pragma(store: &Store, name: &str) -> String {
        let name = name.to_owned();
        let value = store.writer.write_blocking("read a pragma", move |connection| {
            connection
                .pragma_query_value(None, &name, |row| row.get::<_, rusqlite::types::Value>(0))
                .map_err(|source| StoreError::Failed { operation: name, source })
        });
        format!("{:?}", value.unwrap())
    }

    #[test]
    fn what_is_committed_is_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("snapshots.db")).unwrap();
        assert_eq!(pragma(&store, "journal_mode"), "Text(\"wal\")");
        assert_eq!(pragma(&store, "synchronous"), "Integer(2)");
        assert_eq!(pragma(&store, "foreign_keys"), "Integer(1)");
        assert_eq!(pragma(&store, "busy_timeout"), "Integer(5000)");
    }

    #[test]
    fn a_file_that_is_not_the_recorders_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "buy milk, ".repeat(1000)).unwrap();
        let error = Store::open(&path).unwrap_err();
        assert!(error.to_string().contains("notes.txt"), "{error}");
        let error = Store::open(&folder.path().join("no/such/folder/snapshots.db")).unwrap_err();
        assert!(error.to_string().contains("no/such/folder"), "{error}");
    }

    #[test]
    fn a_file_that_may_only_be_read_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.db");
        drop(Store::open(&path).unwrap());
        // Permissions would not stop a superuser who runs this.
        let opened = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let error = set_up(opened.unwrap(), "snapshots.db").unwrap_err();
        assert!(error.to_string().contains("cannot write to snapshots.db"), "{error}");
    }

    #[tokio::test]
    async fn a_reader_waits_for_no_writer() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("snapshots.db")).unwrap();
        let (begun, started) = tokio::sync::oneshot::channel();
        let (release, waiting) = std::sync::mpsc::channel::<()>();
        let writer = store.clone();
        let write = tokio::spawn(async move {
            let operation = "write for long".to_owned();
            writer
                .write(operation, move |connection, _| {
                    let transaction =
                        connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                    begun.send(()).unwrap();
                    waiting.recv().unwrap();
                    transaction.commit()
                })
                .await
        });
        started.await.unwrap();
        for _ in 0..8 {
            assert_eq!(store.environment("acme", "aws-prod").await.unwrap(), None);
        }
        release.send(()).unwrap();
        write.await.unwrap().unwrap();
    }

    #[test]
    fn the_file_of_another_program_is_refused_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contacts.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE contacts (name TEXT)").unwrap();
        let error = Store::open(&path).unwrap_err();
        assert!(error.to_string().contains("is not a recorder's"), "{error}");
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 1);
    }

    #[tokio::test]
    async fn a_panic_in_one_call_leaves_the_store_in_order() {
        let store = Store::in_memory().unwrap();
        let failed = store
            .write("panic".to_owned(), |connection, _| -> rusqlite::Result<()> {
                let transaction = connection.transaction()?;
                transaction.execute("DELETE FROM environment", [])?;
                panic!("in the middle of a transaction");
            })
            .await;
        assert!(matches!(failed, Err(StoreError::Interrupted { .. })));
        assert_eq!(store.environment("acme", "aws-prod").await.unwrap(), None);
    }
}

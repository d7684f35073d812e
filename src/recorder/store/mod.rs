//! The recorder's file: environments and their snapshots, in SQLite.
//!
//! What is answered is durable: every write is one transaction, on disk before its call returns.

mod environments;
mod error;
mod json;
mod reports;
mod schema;
mod snapshots;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::clock::Clock;

pub(super) use environments::{Changed, Page};
pub use error::StoreError;
pub(super) use reports::Reported;
pub(super) use snapshots::{Found, StoredSnapshot};

/// How long a call waits for another process that writes to the same file, a backup for one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The environments and snapshots of a recorder. Clones share one connection.
#[derive(Clone)]
pub struct Store {
    connection: Arc<Mutex<Connection>>,
    clock: Clock,
}

impl Store {
    /// The store in the file at `path`, which is made if it does not exist.
    ///
    /// # Errors
    /// The file cannot be opened or is no SQLite file, or a newer version of this program wrote
    /// it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // Without SQLite's habit of reading some names as something else, `:memory:` among them.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let plain = Path::new(".").join(path);
        let opened = Connection::open_with_flags(plain, flags);
        Self::set_up(opened, &path.display().to_string())
    }

    /// A store that ends with its last clone.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::set_up(Connection::open_in_memory(), "in memory")
    }

    /// The same store, with every time from now on as `clock` tells it.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    fn set_up(opened: rusqlite::Result<Connection>, file: &str) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Open { file: file.to_owned(), source };
        let mut connection = opened.map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        // Before anything else is written: a newer file is left as it was.
        schema::migrate(&mut connection, file)?;
        for (pragma, value) in
            [("journal_mode", "WAL"), ("synchronous", "FULL"), ("foreign_keys", "ON")]
        {
            connection.pragma_update(None, pragma, value).map_err(failed)?;
        }
        Ok(Self { connection: Arc::new(Mutex::new(connection)), clock: Clock::system() })
    }

    /// Does `work` away from the threads that serve requests, one at a time. It goes on to its end
    /// when whoever asked for it stops waiting.
    async fn run<T: Send + 'static>(
        &self,
        operation: String,
        work: impl FnOnce(&mut Connection, &Clock) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Self { connection, clock } = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            // A panic in the middle of a transaction has rolled it back.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection, &clock)
        });
        match done.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(StoreError::Failed { operation, source }),
            Err(source) => Err(StoreError::Interrupted { operation, source }),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pragma(store: &Store, name: &str) -> String {
        let connection = store.connection.lock().unwrap();
        connection
            .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|value| format!("{value:?}"))
            .unwrap()
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
    fn the_file_of_another_program_is_refused_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contacts.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE contacts (name TEXT)").unwrap();
        let error = Store::open(&path).unwrap_err();
        assert!(error.to_string().contains("of another program"), "{error}");
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 1);
    }

    #[tokio::test]
    async fn a_panic_in_one_call_leaves_the_store_in_order() {
        let store = Store::in_memory().unwrap();
        let failed = store
            .run("panic".to_owned(), |connection, _| -> rusqlite::Result<()> {
                let transaction = connection.transaction()?;
                transaction.execute("DELETE FROM environment", [])?;
                panic!("in the middle of a transaction");
            })
            .await;
        assert!(matches!(failed, Err(StoreError::Interrupted { .. })));
        assert_eq!(store.environment("acme", "aws-prod").await.unwrap(), None);
    }
}

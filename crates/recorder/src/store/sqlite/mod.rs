//! The store in one SQLite file.
//!
//! One thread writes; readers never wait for it. What is acknowledged is durable: its commit is in the
//! log on disk, and the log is still the one that the next start will read.

mod backup;
mod descriptors;
mod environments;
mod error;
mod failure;
mod files;
mod first_seen;
mod gaps;
mod history;
mod import;
mod journal;
mod json;
mod latest;
mod ledger;
mod load;
mod lock;
mod mark;
mod position;
mod preflight;
mod projection;
mod provenance;
mod readers;
mod rebuild;
mod repo_events;
mod reports;
mod rescue;
mod rows;
mod runs;
mod schema;
mod snapshots;
mod stats;
mod verify;
mod wal;
mod watch;
mod webhooks;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use envsnap_model::expression::{Interval, Snappish};
use envsnap_model::provenance::Origin;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use super::{EnvironmentFilter, Store};
use crate::domain::{
    ArtifactPattern, ArtifactRun, Clock, EnvironmentRecord, EnvironmentSettings,
    EnvironmentSummary, Error, EventPage, Head, LedgerEntry, Micros, OrgFilter, Page, Report,
    ReportOutcome, SettingsChange, SnapshotRecord, SnapshotSpan, SnapshotWindow, StoreStats,
};
use crate::large_work;

pub use backup::{BackupSummary, CopyError, backup};
use descriptors::FileIdentity;
pub(crate) use descriptors::read_start;
pub use error::{LatestCommit, StoreError};
use failure::Failure;
use files::Files;
#[cfg(feature = "command")]
pub(crate) use files::is_of_database;
use latest::Cache;
use ledger::Ledger;
use lock::Lock;
use mark::Mark;
use readers::{ReadSize, Readers};
pub use rebuild::{RebuildSummary, rebuild};
use snapshots::History;
pub use verify::{AttachmentCheck, LedgerSummary, Verified, VerifyError, verify};
use watch::WatchedConnection;
use writer::Writer;

/// How long a call waits for another process that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The statements that a connection keeps prepared: more than there are. With fewer, a snapshot whose
/// artifacts have provenance is read ten times slower.
const PREPARED_STATEMENTS: usize = 256;

/// A list of environments shows what runs in one only if it has at most this many artifacts; otherwise
/// none of it.
const MAX_LISTED_ARTIFACTS: u64 = 1_000;

/// The store in one SQLite file, or in memory. Clones share it.
// Dropped in this order: the file is closed before it is unlocked, and by the writer last, which
// then removes the log.
#[derive(Clone)]
pub struct SqliteStore {
    /// `None` for a store in memory, which has no second connection.
    readers: Option<Arc<Readers>>,
    writer: Arc<Writer>,
    _lock: Option<Arc<Lock>>,
    /// `None` for a store in memory.
    files: Option<Arc<Files>>,
    /// What runs now, for the writer.
    cache: Arc<Cache>,
    clock: Clock,
}

impl SqliteStore {
    /// The store in the file at `path`, which is created if it does not exist. A file has one
    /// writer at a time.
    ///
    /// # Errors
    /// Another store writes to the file, or the log beside it is another file's; it lacks reports that
    /// were acknowledged; it cannot be opened or written, or is not a recorder's, or a newer version of
    /// this program wrote it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with_loss_policy(path, Err)
    }

    /// As [`Self::open`], but opens a file that lacks acknowledged reports, with a warning in the log.
    ///
    /// # Errors
    /// Otherwise as [`Self::open`].
    pub fn open_accepting_loss(path: &Path) -> Result<Self, StoreError> {
        Self::open_with_loss_policy(path, |loss| {
            tracing::warn!("starting without what is missing, as --accept-loss says: {loss}");
            Ok(())
        })
    }

    /// As [`Self::open`], but if the file lacks acknowledged reports, `on_loss` gets the error and decides whether
    /// it is opened all the same.
    fn open_with_loss_policy(
        path: &Path,
        on_loss: impl FnOnce(StoreError) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        preflight::check_regular_files(path)?;
        rescue::check_no_rescued_copy(path)?;
        let has_log = preflight::check_log_and_journal(path)?;
        let lock = Arc::new(Lock::take(path)?);
        let mark = lock.mark(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = path.display().to_string();
        let connection = Connection::open_with_flags(literal_path(path), flags)
            .map_err(|source| StoreError::Open { file: file.clone(), source })
            .and_then(|mut connection| {
                // Before anything is written. A file without tables has no position.
                let checked = mark::check(&connection, path, mark, has_log)
                    .and_then(|()| mark::check_without_log(&mut connection, path, mark, has_log));
                let lacks_position = matches!(checked, Err(StoreError::NoPosition { .. }));
                match checked {
                    Err(loss) if loss.is_loss() => on_loss(loss),
                    checked => checked,
                }
                .or_else(|error| leave_log(&connection, error))?;
                if lacks_position {
                    position::restore(&mut connection, mark.map(Mark::last_commit))
                        .map_err(|source| StoreError::from_open(file.clone(), source))?;
                }
                set_up(connection, &file)
            })
            .map_err(|error| files::explain_denied_access(path, error))?;
        let watched = WatchedConnection::new(connection, path, &lock)?;
        let files = watched.files();
        Ok(Self {
            readers: Some(Arc::new(Readers::new(path.to_owned()))),
            writer: Arc::new(start_writer(watched, path)?),
            _lock: Some(lock),
            files,
            cache: Arc::default(),
            clock: Clock::system(),
        })
    }

    /// A store that only reads the file at `path`, which a recorder may write to meanwhile.
    ///
    /// # Errors
    /// The file does not exist or has another version.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let reader = readers::open_to_read(path)?;
        let identity = FileIdentity::at(path)
            .map_err(|_| StoreError::Missing { file: path.display().to_string() })?;
        Ok(Self {
            readers: Some(Arc::new(Readers::new(path.to_owned()))),
            // Every write through it fails.
            writer: Arc::new(start_writer(WatchedConnection::unwatched(reader), path)?),
            _lock: None,
            files: Some(Arc::new(Files::new(path, identity, None))),
            cache: Arc::default(),
            clock: Clock::system(),
        })
    }

    /// A store in memory, which is dropped with its last clone.
    ///
    /// # Errors
    /// SQLite cannot allocate it.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::on_memory(open_in_memory()?)
    }

    /// The store in the in-memory database of `connection`.
    fn on_memory(connection: Connection) -> Result<Self, StoreError> {
        let watched = WatchedConnection::unwatched(connection);
        Ok(Self {
            readers: None,
            writer: Arc::new(start_writer(watched, Path::new(IN_MEMORY))?),
            _lock: None,
            files: None,
            cache: Arc::default(),
            clock: Clock::system(),
        })
    }

    /// The same store, which records the time of `clock`.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The same store, whose file grows to this many pages of 4,096 bytes at most; beyond it, writes
    /// are refused as on a full disk.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn with_max_pages(self, pages: u32) -> Result<Self, Error> {
        let operation = "bound the snapshot file";
        self.writer
            .write_blocking(operation, move |connection| {
                Ok(connection.pragma_update(None, "max_page_count", pages)?)
            })
            .map_err(|failure| failure.into_error(operation))?;
        Ok(self)
    }

    /// Runs `work`, which writes `artifacts` artifacts to the ledger of `org`, on the thread that writes. Errors
    /// name `operation`.
    async fn write<T: Send + 'static>(
        &self,
        operation: String,
        org: &str,
        actor: &str,
        artifacts: usize,
        work: impl FnOnce(&Ledger<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let (org, actor, clock) = (org.to_owned(), actor.to_owned(), self.clock.clone());
        let name = operation.clone();
        let done = self.writer.write(&operation, artifacts, move |connection| {
            // The time of recording, not of queueing.
            let now = clock
                .now_to_record()
                .map_err(|source| Error::ClockIsWrong { operation: name, source })?;
            work(&Ledger::new(connection, &org, &actor, Micros::from_seconds(now))?)
        });
        done.await.map_err(|failure| failure.into_error(&operation))
    }

    /// Runs `work`, which only reads, in one transaction beside concurrent writes.
    async fn read<T: Send + 'static>(
        &self,
        operation: String,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        self.read_sized(operation, ReadSize::Small, work).await
    }

    /// Applies `show` to these snapshots with their artifacts: with all, or with those of some origins.
    async fn read_snapshots<const N: usize, T: Send + 'static>(
        &self,
        org: &str,
        wanted: [Snappish; N],
        origins: Option<Vec<Origin>>,
        show: impl Fn([SnapshotRecord; N]) -> T + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let names: Vec<_> = wanted.iter().map(|it| format!("'{it}'")).collect();
        let operation = format!("read snapshot {} of organization '{org}'", names.join(" and "));
        let (org, now) = (org.to_owned(), self.now());
        let read = Arc::new(move |connection: &Connection, size| {
            let found = snapshots::find_snapshots(
                connection,
                now,
                &org,
                &wanted,
                origins.as_deref(),
                size,
            )?;
            Ok(found.map(&show))
        });
        for size in [ReadSize::Small, ReadSize::Large] {
            let read = Arc::clone(&read);
            let shown =
                self.read_sized(operation.clone(), size, move |connection| read(connection, size));
            if let Some(shown) = shown.await? {
                return Ok(shown);
            }
        }
        Err(Error::Fault)
    }

    /// Like [`Self::read`], for a read of this size.
    async fn read_sized<T: Send + 'static>(
        &self,
        operation: String,
        size: ReadSize,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let done = match &self.readers {
            None => self.writer.write(&operation, 0, work).await,
            Some(readers) => self.read_concurrently(readers, size, work).await,
        };
        done.map_err(|failure| failure.into_error(&operation))
    }

    /// Runs `work` on a connection of its own, once a read of this size may begin, and checks the files before.
    async fn read_concurrently<T: Send + 'static>(
        &self,
        readers: &Arc<Readers>,
        size: ReadSize,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = readers.acquire(size).await;
        let (readers, files) = (Arc::clone(readers), self.files.clone());
        let done = large_work::run(size == ReadSize::Large, move || {
            let check = || files.as_ref().map_or(Ok(()), |files| files.check_to_read());
            let _turn = turn;
            check()?;
            let mut connection = readers.take()?;
            // The connection may be new.
            check()?;
            let done = read_in_transaction(&mut connection, work);
            readers.release(connection);
            done
        });
        done.await.unwrap_or_else(|error| {
            let (operation, reason) = ("read the snapshot file".to_owned(), error.to_string());
            Err(StoreError::Interrupted { operation, reason }.into())
        })
    }

    /// Runs `work`, which reads the history of an environment in use. `question` begins the description of the
    /// operation for errors, such as "list the events of".
    async fn read_history<T: Send + 'static>(
        &self,
        question: &str,
        org: &str,
        environment: &str,
        work: impl FnOnce(&History<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let operation = format!("{question} environment '{environment}' of organization '{org}'");
        let (org, environment, now) = (org.to_owned(), environment.to_owned(), self.now());
        self.read(operation, move |connection| {
            work(&History::find(connection, now, &org, &environment)?)
        })
        .await
    }
}

/// Runs `work`, which only reads, in one transaction, which is rolled back.
fn read_in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    work(&*connection.transaction()?)
}

impl Store for SqliteStore {
    async fn save_environment(
        &self,
        org: &str,
        settings: EnvironmentSettings,
        may_change: bool,
        actor: &str,
    ) -> Result<Head, Error> {
        let operation = format!("save environment '{}' of organization '{org}'", settings.name);
        self.write(operation, org, actor, 0, move |ledger| {
            environments::save(ledger, settings, may_change)
        })
        .await
    }

    async fn change_environment(
        &self,
        org: &str,
        name: &str,
        change: SettingsChange,
        actor: &str,
    ) -> Result<Head, Error> {
        let operation = format!("change environment '{name}' of organization '{org}'");
        let name = name.to_owned();
        self.write(operation, org, actor, 0, move |ledger| {
            environments::change(ledger, &name, change)
        })
        .await
    }

    async fn rename_environment(
        &self,
        org: &str,
        name: &str,
        new_name: &str,
        actor: &str,
    ) -> Result<Head, Error> {
        let operation =
            format!("rename environment '{name}' of organization '{org}' to '{new_name}'");
        let (name, new_name) = (name.to_owned(), new_name.to_owned());
        self.write(operation, org, actor, 0, move |ledger| {
            environments::rename(ledger, &name, &new_name)
        })
        .await
    }

    async fn archive_environment(&self, org: &str, name: &str, actor: &str) -> Result<Head, Error> {
        let operation = format!("archive environment '{name}' of organization '{org}'");
        let name = name.to_owned();
        self.write(operation, org, actor, 0, move |ledger| environments::archive(ledger, &name))
            .await
    }

    async fn record_report(
        &self,
        org: &str,
        name: &str,
        report: Report,
        actor: &str,
    ) -> Result<ReportOutcome, Error> {
        let operation = format!("record a report to environment '{name}' of organization '{org}'");
        let name = name.to_owned();
        let artifacts = report.running.len();
        let cache = Arc::clone(&self.cache);
        let report = Arc::new(report);
        // Its thousands of strings are freed here, not by the one thread that writes.
        let _freed_here = Arc::clone(&report);
        self.write(operation, org, actor, artifacts, move |ledger| {
            reports::record_report(ledger, &cache, &name, &report)
        })
        .await
    }

    async fn environment(&self, org: &str, name: &str) -> Result<EnvironmentRecord, Error> {
        let operation = format!("read environment '{name}' of organization '{org}'");
        let (org, name) = (org.to_owned(), name.to_owned());
        self.read(operation, move |connection| environments::get(connection, &org, &name)).await
    }

    async fn environments(
        &self,
        org: &str,
        filter: EnvironmentFilter,
        page: Option<Page>,
    ) -> Result<(Vec<EnvironmentRecord>, u64), Error> {
        let operation = format!("list the environments of organization '{org}'");
        let org = org.to_owned();
        self.read(operation, move |connection| environments::list(connection, &org, &filter, page))
            .await
    }

    async fn list_environments(
        &self,
        orgs: OrgFilter,
        name: Option<String>,
        page: Page,
    ) -> Result<(Vec<EnvironmentRecord>, u64), Error> {
        self.read("list the environments".to_owned(), move |connection| {
            Ok(environments::list_all(connection, &orgs, name.as_deref(), page)?)
        })
        .await
    }

    async fn overview(
        &self,
        orgs: OrgFilter,
        name: Option<String>,
        page: Page,
    ) -> Result<(Vec<EnvironmentSummary>, u64), Error> {
        let now = self.now();
        self.read("list the environments".to_owned(), move |connection| {
            let (environments, total) =
                environments::list_all(connection, &orgs, name.as_deref(), page)?;
            let summaries = environments.into_iter().map(|environment| {
                let history = History::find(connection, now, &environment.org, &environment.name)?;
                let running = history.running_if_few(MAX_LISTED_ARTIFACTS)?;
                Ok(EnvironmentSummary { environment, running })
            });
            Ok((summaries.collect::<Result<_, Failure>>()?, total))
        })
        .await
    }

    async fn organizations(&self) -> Result<Vec<String>, Error> {
        self.read("list the organizations".to_owned(), |connection| {
            Ok(ledger::organizations(connection)?)
        })
        .await
    }

    async fn snapshots<const N: usize, T: Send + 'static>(
        &self,
        org: &str,
        wanted: [Snappish; N],
        show: impl Fn([SnapshotRecord; N]) -> T + Send + Sync + 'static,
    ) -> Result<T, Error> {
        self.read_snapshots(org, wanted, None, show).await
    }

    async fn snapshot_with_origins<T: Send + 'static>(
        &self,
        org: &str,
        wanted: Snappish,
        origins: Vec<Origin>,
        show: impl Fn(SnapshotRecord) -> T + Send + Sync + 'static,
    ) -> Result<T, Error> {
        self.read_snapshots(org, [wanted], Some(origins), move |[snapshot]| show(snapshot)).await
    }

    async fn snapshot_spans(
        &self,
        org: &str,
        environment: &str,
        interval: Interval,
        page: Page,
        ascending: bool,
    ) -> Result<Vec<SnapshotSpan>, Error> {
        self.read_history("list the snapshots of", org, environment, move |history| {
            history.span_page(&interval, page, ascending)
        })
        .await
    }

    async fn events(
        &self,
        org: &str,
        environment: &str,
        interval: Interval,
        page: Page,
        ascending: bool,
    ) -> Result<EventPage, Error> {
        self.read_history("list the events of", org, environment, move |history| {
            history.event_page(&interval, page, ascending)
        })
        .await
    }

    async fn events_of_repos(
        &self,
        org: &str,
        environment: &str,
        repos: Vec<String>,
        interval: Interval,
        page: Page,
        ascending: bool,
    ) -> Result<EventPage, Error> {
        let question = "list the events of repositories in";
        let operation = format!("{question} environment '{environment}' of organization '{org}'");
        let (org, environment, now) = (org.to_owned(), environment.to_owned(), self.now());
        self.read_sized(operation, ReadSize::Large, move |connection| {
            let history = History::find(connection, now, &org, &environment)?;
            history.event_page_of_repos(&repos, &interval, page, ascending)
        })
        .await
    }

    async fn events_of_environment_created_by(
        &self,
        org: &str,
        entry: i64,
        interval: Interval,
        page: Page,
    ) -> Result<EventPage, Error> {
        let operation = format!("list the events of an environment of organization '{org}'");
        let (org, now) = (org.to_owned(), self.now());
        self.read(operation, move |connection| {
            History::find_created_by(connection, now, &org, entry)?
                .event_page(&interval, page, true)
        })
        .await
    }

    async fn window(
        &self,
        org: &str,
        environment: &str,
        last: Option<u32>,
        size: u32,
    ) -> Result<SnapshotWindow, Error> {
        self.read_history("read the history of", org, environment, move |history| {
            history.window(last, size)
        })
        .await
    }

    async fn artifact_runs(
        &self,
        org: &str,
        environment: Option<&str>,
        pattern: ArtifactPattern,
    ) -> Result<Vec<ArtifactRun>, Error> {
        let operation = format!("read when artifacts of organization '{org}' ran");
        let (org, environment) = (org.to_owned(), environment.map(str::to_owned));
        self.read(operation, move |connection| {
            runs::artifact_runs(connection, &org, environment.as_deref(), &pattern)
        })
        .await
    }

    fn now(&self) -> Micros {
        Micros::from_seconds(self.clock.now())
    }

    async fn head(&self, org: &str) -> Result<Head, Error> {
        let operation = format!("read the head of the ledger of organization '{org}'");
        let org = org.to_owned();
        self.read(operation, move |connection| Ok(ledger::head(connection, &org)?)).await
    }

    async fn ledger_entries(&self, org: &str, after: i64) -> Result<Vec<LedgerEntry>, Error> {
        let operation = format!("read the ledger of organization '{org}'");
        let org = org.to_owned();
        self.read_sized(operation, ReadSize::Large, move |connection| {
            Ok(ledger::entries(connection, &org, after)?)
        })
        .await
    }

    async fn environment_names(&self, org: &str) -> Result<BTreeMap<i64, String>, Error> {
        let operation = format!("list the environments of organization '{org}'");
        let org = org.to_owned();
        self.read(operation, move |connection| Ok(webhooks::environment_names(connection, &org)?))
            .await
    }

    async fn register_webhook(&self, webhook: &str) -> Result<BTreeMap<String, i64>, Error> {
        let (operation, webhook) = ("register a webhook", webhook.to_owned());
        let done = self.writer.write(operation, 0, move |connection| {
            Ok(webhooks::register_webhook(connection, &webhook)?)
        });
        done.await.map_err(|failure| failure.into_error(operation))
    }

    async fn save_webhook_position(&self, webhook: &str, org: &str, seq: i64) -> Result<(), Error> {
        let operation = format!("record how far a webhook has come for organization '{org}'");
        let webhook = webhook.to_owned();
        self.write(operation, org, "", 0, move |ledger| {
            Ok(webhooks::save_position(ledger, &webhook, seq)?)
        })
        .await
    }

    async fn stats(&self) -> Result<StoreStats, Error> {
        self.read("read how much is in the file".to_owned(), |connection| {
            Ok(stats::stats(connection)?)
        })
        .await
    }

    async fn check_writable(&self) -> Result<(), Error> {
        self.read("read the snapshot file".to_owned(), |connection| {
            Ok(stats::check_readable(connection)?)
        })
        .await?;
        let operation = "record a report";
        self.clock
            .now_to_record()
            .map_err(|source| Error::ClockIsWrong { operation: operation.to_owned(), source })?;
        let done = self
            .writer
            .write(operation, 0, |connection| Ok(stats::check_writable_pages(connection)?));
        done.await.map_err(|failure| failure.into_error(operation))
    }
}

/// What messages name instead of a file, for a database in memory.
const IN_MEMORY: &str = "in memory";

/// A database in memory, with this version's tables.
fn open_in_memory() -> Result<Connection, StoreError> {
    let opened = Connection::open_in_memory();
    opened
        .map_err(|source| StoreError::Open { file: IN_MEMORY.to_owned(), source })
        .and_then(|connection| set_up(connection, IN_MEMORY))
}

/// Prepares `connection` to write: migrates the file to this version's tables, and sets the pragmas.
fn set_up(mut connection: Connection, file: &str) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::from_open(file.to_owned(), source);
    // SQLite opens what it may not write to all the same.
    if connection.is_readonly(MAIN_DB).map_err(failed)? {
        return Err(StoreError::ReadOnly { file: file.to_owned() });
    }
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    keep_statements(&connection).map_err(failed)?;
    // What undoes one of a group of writes, page by page, and what sorts the rows of a new index, otherwise in
    // a file of its own: there may be no directory for it.
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(failed)?;
    if !schema::is_empty(&connection).map_err(failed)? {
        // First, so that nothing that is recorded is ever changed by way of a rollback journal: one
        // beside the file is another's. A newer file was refused before.
        schema::check_to_migrate(&connection, file)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    }
    schema::migrate(&mut connection, file)?;
    for (pragma, value) in
        [("journal_mode", "WAL"), ("synchronous", "FULL"), ("foreign_keys", "ON")]
    {
        connection.pragma_update(None, pragma, value).map_err(failed)?;
    }
    Ok(connection)
}

/// Makes the connection prepare every statement only once. Otherwise SQLite prepares one again for each value
/// that is compared with an indexed column, in case statistics of the table suggest another plan for it.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Makes SQLite neither apply nor remove the log when `connection` is closed because of `error`, which is
/// returned.
fn leave_log(connection: &Connection, error: StoreError) -> Result<(), StoreError> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(|source| StoreError::Open { file: "the snapshot file".to_owned(), source })?;
    Err(error)
}

/// Starts the thread that writes to the file at `path`.
fn start_writer(watched: WatchedConnection, path: &Path) -> Result<Writer, StoreError> {
    Writer::start(watched)
        .map_err(|source| StoreError::Thread { file: path.display().to_string(), source })
}

/// `path` in a form that SQLite takes for a file name only: without `./` before it, some names such as
/// `:memory:` mean something else.
fn literal_path(path: &Path) -> PathBuf {
    Path::new(".").join(path)
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteStore")
    }
}

#[cfg(test)]
mod plans;
#[cfg(test)]
mod tests;

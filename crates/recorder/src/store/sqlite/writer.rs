//! The one thread that writes to the file.
//!
//! It takes together what waits in its queue: each piece of work has a savepoint, all of them one
//! commit. Nothing is acknowledged before that commit is on disk.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use envsnap_model::error_chain;
use rusqlite::Connection;
use rusqlite::ffi::{self, SQLITE_ABORT, SQLITE_BUSY, SQLITE_ERROR, SQLITE_FULL};
use tokio::sync::oneshot;

use super::StoreError;
use super::failure::Failure;
use super::load::{Load, weight};
use super::watch::WatchedConnection;

/// The time between two checks of the whole log, with or without writes.
const THOROUGH_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The most pieces of work in one commit.
const MAX_GROUP_WRITES: usize = 64;

/// The most artifacts in one commit, weighed as in [`super::load`], so that the first of a group does
/// not wait for long.
const MAX_GROUP_WEIGHT: u64 = 30_000;

/// A write that waits in the queue, and its weight, which grows with its artifacts.
struct QueuedWrite {
    weight: u64,
    write: Write,
}

/// Runs the work, unless its caller has stopped waiting. Returns SQLite's code if SQLite could not
/// do it, and what to answer once it is known whether the group was committed.
type Write = Box<dyn FnOnce(&Connection) -> Option<(Option<i32>, Answer)> + Send>;

type Answer = Box<dyn FnOnce(&Result<(), GroupFailure>) + Send>;

/// Why the writes of a group are not acknowledged.
enum GroupFailure {
    /// SQLite's extended code.
    Sql(i32),
    File(String),
}

/// The queue of the thread that writes. Dropping it waits until everything in the queue is written and the
/// file is closed.
pub(super) struct Writer {
    /// `None` while it is dropped.
    queue: Option<Sender<QueuedWrite>>,
    load: Arc<Mutex<Load>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn start(watched: WatchedConnection) -> std::io::Result<Self> {
        let (queue, waiting) = channel();
        let load = Arc::default();
        let thread = thread::Builder::new().name("writer".to_owned()).spawn({
            let load = Arc::clone(&load);
            move || run_writer(watched, &waiting, &load)
        })?;
        Ok(Self { queue: Some(queue), load, thread: Some(thread) })
    }

    /// Runs `work`, which may write, after everything that is queued before it. It is not begun if the caller
    /// stops waiting, and goes on to its end once it has begun. `artifacts` is how many it stores.
    ///
    /// # Errors
    /// It would wait too long, the file was moved, its log is lost, or `work` fails.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        operation: &str,
        artifacts: usize,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, answered) = oneshot::channel();
        let write: Write = Box::new(move |connection| {
            if answer.is_closed() {
                return None;
            }
            let result = run_in_savepoint(connection, work);
            let code = result.as_ref().err().and_then(Failure::code);
            let respond: Answer = Box::new(move |committed| {
                // If the caller has stopped waiting meanwhile, what was written stays.
                let _unheard = answer.send(answer_for(result, committed));
            });
            Some((code, respond))
        });
        self.enqueue(operation, weight(artifacts), write)?;
        answered.await.map_err(|_| writer_ended_failure(operation))?
    }

    /// As [`Self::write`], for a caller that is not asynchronous, and without a savepoint for `work`.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) fn write_blocking<T: Send + 'static>(
        &self,
        operation: &str,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, answered) = channel();
        let write: Write = Box::new(move |connection| {
            let result = work(connection);
            let respond: Answer = Box::new(move |committed| {
                let _unheard = answer.send(answer_for(result, committed));
            });
            Some((None, respond))
        });
        self.enqueue(operation, weight(0), write)?;
        answered.recv().map_err(|_| writer_ended_failure(operation))?
    }

    /// Queues a write; refuses it if it would wait too long.
    fn enqueue(&self, operation: &str, weight: u64, write: Write) -> Result<(), StoreError> {
        lock_load(&self.load).admit(weight, Instant::now()).map_err(|wait| {
            StoreError::Overloaded {
                operation: operation.to_owned(),
                seconds: wait.as_secs().saturating_add(1),
            }
        })?;
        let queue = self.queue.as_ref().ok_or_else(|| writer_ended_error(operation))?;
        queue.send(QueuedWrite { weight, write }).map_err(|_| writer_ended_error(operation))
    }
}

/// The error of an operation that the ended thread did not do or answer.
fn writer_ended_error(operation: &str) -> StoreError {
    let reason = "the recorder is ending, or the work panicked".to_owned();
    StoreError::Interrupted { operation: operation.to_owned(), reason }
}

fn writer_ended_failure(operation: &str) -> Failure {
    writer_ended_error(operation).into()
}

/// What one caller gets: the result of its work, or, if the group was not committed, why; an error that is
/// not of the store is returned in either case.
fn answer_for<T>(
    result: Result<T, Failure>,
    committed: &Result<(), GroupFailure>,
) -> Result<T, Failure> {
    match (result, committed) {
        (result @ Err(Failure::Domain(_)), _) | (result, Ok(())) => result,
        (_, Err(GroupFailure::Sql(code))) => Err(sqlite_error(*code).into()),
        (_, Err(GroupFailure::File(reason))) => {
            let operation = "write to the snapshot file".to_owned();
            Err(StoreError::Interrupted { operation, reason: reason.clone() }.into())
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        let Some(thread) = self.thread.take() else { return };
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("the thread that writes to the snapshot file panicked");
        }
    }
}

/// The loop of the thread: writes what is queued in groups, checks the whole log at an interval, and closes
/// the file when the queue is dropped.
fn run_writer(mut watched: WatchedConnection, waiting: &Receiver<QueuedWrite>, load: &Mutex<Load>) {
    let mut checked = Instant::now();
    loop {
        // Whether there is work or not.
        if checked.elapsed() >= THOROUGH_CHECK_INTERVAL {
            // Each failed request logs what is wrong with the files.
            if let Err(error @ StoreError::Failed { .. }) = watched.check_thoroughly() {
                tracing::warn!("{}", error_chain(&error));
            }
            watched.retry_save();
            checked = Instant::now();
        }
        match waiting.recv_timeout(THOROUGH_CHECK_INTERVAL.saturating_sub(checked.elapsed())) {
            Ok(first) => {
                let mut group = take_group(first, waiting);
                lock_load(load).begin(weight_of(&group), Instant::now());
                let begun = begin_transaction(&mut watched);
                let is_locked =
                    matches!(begun, Err(GroupFailure::Sql(code)) if code & 0xff == SQLITE_BUSY);
                if is_locked {
                    // Another program has held the file for as long as one may wait. What is behind is
                    // refused as well: it would wait as long once more for each group.
                    let behind: Vec<_> = waiting.try_iter().collect();
                    lock_load(load).begin(weight_of(&behind), Instant::now());
                    group.extend(behind);
                }
                let (committed, answers) = write_group(&mut watched, begun, group);
                // A wait for another program does not measure how long a write takes.
                lock_load(load).end(!is_locked && !answers.is_empty(), Instant::now());
                // Only now: a client that sends its next report at once finds the writer idle.
                for answer in answers {
                    answer(&committed);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    watched.close();
}

/// The first write, and those that are queued behind it already, as many as one commit may have.
fn take_group(first: QueuedWrite, waiting: &Receiver<QueuedWrite>) -> Vec<QueuedWrite> {
    let mut weight = first.weight;
    let mut group = vec![first];
    while group.len() < MAX_GROUP_WRITES && weight < MAX_GROUP_WEIGHT {
        let Ok(next) = waiting.try_recv() else { break };
        weight += next.weight;
        group.push(next);
    }
    group
}

fn weight_of(group: &[QueuedWrite]) -> u64 {
    group.iter().map(|waiting| waiting.weight).sum()
}

/// Begins the transaction of a group, if the files pass their check.
fn begin_transaction(watched: &mut WatchedConnection) -> Result<(), GroupFailure> {
    watched.check().map_err(|error| GroupFailure::File(error_chain(&error)))?;
    watched.connection().execute_batch("BEGIN IMMEDIATE").map_err(|error| group_failure(&error))?;
    // Nothing can change it from here on.
    watched.check_content().map_err(|error| GroupFailure::File(error_chain(&error)))
}

/// Runs the work of a group in one transaction, if that was begun. Returns whether it was
/// committed, and what to answer.
///
/// A commit is not acknowledged unless it is in the files that the next start will read. A
/// panic in one piece of work undoes that piece, and its caller gets an error.
fn write_group(
    watched: &mut WatchedConnection,
    begun: Result<(), GroupFailure>,
    group: Vec<QueuedWrite>,
) -> (Result<(), GroupFailure>, Vec<Answer>) {
    let mut committed = begun;
    let connection = watched.connection();
    let mut answers = Vec::with_capacity(group.len());
    for QueuedWrite { write, .. } in group {
        // Without a transaction the work fails by itself.
        match catch_unwind(AssertUnwindSafe(|| write(connection))) {
            Ok(None) => {}
            Ok(Some((code, answer))) => {
                answers.push(answer);
                // SQLite gave up the whole transaction, as it does if the disk is full.
                if committed.is_ok() && connection.is_autocommit() {
                    committed = Err(GroupFailure::Sql(code.unwrap_or(SQLITE_ABORT)));
                }
            }
            Err(panic) => {
                tracing::error!("a write panicked and is undone: {}", panic_message(&*panic));
                if connection.execute_batch("ROLLBACK TO work; RELEASE work").is_err() {
                    committed = Err(GroupFailure::Sql(SQLITE_ABORT));
                }
            }
        }
    }
    let mut position = None;
    if committed.is_ok() && !answers.is_empty() {
        match watched.advance_position() {
            Ok(advanced) => position = advanced,
            Err(error) => committed = Err(group_failure(&error)),
        }
    }
    let connection = watched.connection();
    if committed.is_ok() {
        committed = connection.execute_batch("COMMIT").map_err(|error| group_failure(&error));
    }
    if !connection.is_autocommit() && connection.execute_batch("ROLLBACK").is_err() {
        tracing::error!("a transaction that was not committed could not be rolled back");
    }
    watched.note_written(position.filter(|_| committed.is_ok()));
    if matches!(committed, Err(GroupFailure::Sql(code)) if code & 0xff == SQLITE_FULL)
        && let Err(error) = watched.apply_long_log()
    {
        // The next commit finds it as well, and says it to its client.
        tracing::warn!("{}", error_chain(&error));
    }
    if committed.is_ok() {
        committed = watched
            .check()
            .and_then(|()| watched.apply_long_log())
            .and_then(|()| watched.note_commits())
            .map_err(|error| GroupFailure::File(error_chain(&error)));
    }
    (committed, answers)
}

/// Runs `work` in a savepoint, which is rolled back if it fails.
fn run_in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    // Nothing may be written outside of the transaction.
    if connection.is_autocommit() {
        return Err(sqlite_error(SQLITE_ABORT).into());
    }
    connection.prepare_cached("SAVEPOINT work")?.execute([])?;
    let result = work(connection);
    if result.is_err() && !connection.is_autocommit() {
        connection.prepare_cached("ROLLBACK TO work")?.execute([])?;
    }
    if !connection.is_autocommit() {
        connection.prepare_cached("RELEASE work")?.execute([])?;
    }
    result
}

fn group_failure(error: &rusqlite::Error) -> GroupFailure {
    GroupFailure::Sql(error.sqlite_error().map_or(SQLITE_ERROR, |error| error.extended_code))
}

/// An error with this result code of SQLite.
fn sqlite_error(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}

/// The message of a panic.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

fn lock_load(load: &Mutex<Load>) -> MutexGuard<'_, Load> {
    load.lock().unwrap_or_else(PoisonError::into_inner)
}

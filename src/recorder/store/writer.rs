//! The one thread that writes to the file.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::StoreError;
use super::load::{Load, weight};
use super::watch::Watched;

/// How often the files are looked at while nothing is written.
const IDLE_CHECK: Duration = Duration::from_secs(1);

/// A write that waits, and what it counts for.
struct Waiting {
    weight: u64,
    write: Box<dyn FnOnce(&mut Watched) -> Outcome + Send>,
}

/// What became of a write in the queue.
enum Outcome {
    Done,
    /// Its caller had stopped waiting, and so it was not begun.
    Abandoned,
}

/// The queue in front of the thread. It is dropped when all that it holds is written, and the file
/// is closed.
pub(super) struct Writer {
    /// `None` while it is dropped.
    queue: Option<Sender<Waiting>>,
    load: Arc<Mutex<Load>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// # Errors
    /// The system has no thread left.
    pub(super) fn start(watched: Watched) -> std::io::Result<Self> {
        let (queue, waiting) = channel();
        let load = Arc::default();
        let thread = thread::Builder::new().name("writer".to_owned()).spawn({
            let load = Arc::clone(&load);
            move || run(watched, &waiting, &load)
        })?;
        Ok(Self { queue: Some(queue), load, thread: Some(thread) })
    }

    /// Does `work`, which may write, after all that waits already. It is not begun if the caller stops
    /// waiting, and goes on to its end once it has begun. `weight` is that of [`super::load`].
    ///
    /// # Errors
    /// It would wait too long, the file was moved, its log is lost, or `work` fails.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        operation: &str,
        weight: u64,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let name = operation.to_owned();
        let write = move |watched: &mut Watched| {
            if answer.is_closed() {
                return Outcome::Abandoned;
            }
            // If the caller has stopped waiting meanwhile, what was written stays.
            let _unheard = answer.send(perform(watched, name, work));
            Outcome::Done
        };
        self.enqueue(operation, weight, Box::new(write))?;
        answered.await.map_err(|_| is_ending(operation))?
    }

    /// As [`Self::write`], for a caller that is not asynchronous.
    ///
    /// # Errors
    /// As there.
    pub(super) fn write_blocking<T: Send + 'static>(
        &self,
        operation: &str,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = channel();
        let name = operation.to_owned();
        let write = move |watched: &mut Watched| {
            let _unheard = answer.send(perform(watched, name, work));
            Outcome::Done
        };
        self.enqueue(operation, weight(0), Box::new(write))?;
        answered.recv().map_err(|_| is_ending(operation))?
    }

    fn enqueue(
        &self,
        operation: &str,
        weight: u64,
        write: Box<dyn FnOnce(&mut Watched) -> Outcome + Send>,
    ) -> Result<(), StoreError> {
        lock(&self.load).admit(weight, Instant::now()).map_err(|wait| StoreError::Overloaded {
            operation: operation.to_owned(),
            seconds: wait.as_secs().saturating_add(1),
        })?;
        let queue = self.queue.as_ref().ok_or_else(|| is_ending(operation))?;
        queue.send(Waiting { weight, write }).map_err(|_| is_ending(operation))
    }
}

fn is_ending(operation: &str) -> StoreError {
    let reason = "the recorder is ending".to_owned();
    StoreError::Interrupted { operation: operation.to_owned(), reason }
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

fn run(mut watched: Watched, waiting: &Receiver<Waiting>, load: &Mutex<Load>) {
    loop {
        match waiting.recv_timeout(IDLE_CHECK) {
            Ok(Waiting { weight, write }) => {
                lock(load).begin(weight, Instant::now());
                let measured = matches!(write(&mut watched), Outcome::Done);
                lock(load).end(measured, Instant::now());
            }
            // Each request that fails because of it says so.
            Err(RecvTimeoutError::Timeout) => drop(watched.check_thoroughly()),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    watched.close();
}

/// What is committed is not answered unless it is in the files that the next start will read.
fn perform<T>(
    watched: &mut Watched,
    operation: String,
    work: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    watched.check()?;
    // A panic in the middle of a transaction rolls it back.
    let done = catch_unwind(AssertUnwindSafe(|| work(watched.connection())));
    let done =
        done.map_err(|panic| StoreError::Interrupted { operation, reason: text(&*panic) })?;
    watched.check()?;
    watched.note_commits()?;
    done
}

/// What a panic says.
fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

fn lock(load: &Mutex<Load>) -> MutexGuard<'_, Load> {
    load.lock().unwrap_or_else(PoisonError::into_inner)
}

//! A log writer that never blocks the program.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

/// The most log lines in the queue; lines that do not fit are dropped.
const QUEUED_LINES: usize = 4_096;

/// How long the process waits at its end for queued lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// How many log lines were dropped. Process-wide, since there is one log.
static DROPPED_LINES: AtomicU64 = AtomicU64::new(0);

/// How many log lines of this process were dropped so far, because the log was not read fast enough
/// or could not be written.
pub fn dropped_log_lines() -> u64 {
    DROPPED_LINES.load(Ordering::Relaxed)
}

/// Queues log lines, one per call of [`Write::write`], for a thread that writes them: a full pipe
/// without a reader would block any thread that writes to it. Clones share the thread.
#[derive(Debug, Clone)]
pub struct LogWriter(SyncSender<QueueItem>);

/// A line to write, or a request to signal when the lines before it are written.
#[derive(Debug)]
enum QueueItem {
    Line(Vec<u8>),
    /// Completes when all lines before it are written.
    Flush(SyncSender<()>),
}

impl LogWriter {
    /// Starts the thread, which writes to `out`.
    ///
    /// # Errors
    /// The thread cannot be spawned.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, entries) = sync_channel(QUEUED_LINES);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_queued_lines(&entries, out))?;
        Ok(Self(sender))
    }

    /// Waits up to `FLUSH_TIMEOUT` until the lines so far are written.
    pub fn wait_until_written(&self) {
        let (done, written) = sync_channel(1);
        if self.0.try_send(QueueItem::Flush(done)).is_ok() {
            let _late = written.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(QueueItem::Line(line.to_vec())).is_err() {
            DROPPED_LINES.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the queued lines until the queue is closed. Whenever it is empty, logs how many lines were dropped.
fn write_queued_lines(entries: &Receiver<QueueItem>, mut out: impl Write) {
    let mut reported = dropped_log_lines();
    loop {
        let entry = match entries.try_recv() {
            Ok(entry) => entry,
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                let dropped = dropped_log_lines();
                if dropped > reported {
                    tracing::warn!(
                        lines = dropped - reported,
                        "log lines were dropped, because standard error was not read fast enough"
                    );
                    reported = dropped;
                }
                let Ok(entry) = entries.recv() else { return };
                entry
            }
        };
        match entry {
            QueueItem::Line(line) => {
                if out.write_all(&line).is_err() {
                    DROPPED_LINES.fetch_add(1, Ordering::Relaxed);
                    // A failure to write the log cannot be logged.
                    reported += 1;
                }
            }
            QueueItem::Flush(done) => {
                let _gone = done.try_send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Writes a line whenever it is allowed to.
    struct SlowWriter {
        allowed: Receiver<()>,
        written: Sender<Vec<u8>>,
    }

    impl Write for SlowWriter {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.allowed.recv().map_err(io::Error::other)?;
            self.written.send(line.to_vec()).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn log_lines_that_do_not_fit_into_the_queue_are_dropped_and_counted() {
        let (allow, allowed) = channel();
        let (written, lines) = channel();
        let mut log = LogWriter::start(SlowWriter { allowed, written }).unwrap();
        let before = dropped_log_lines();
        let count = QUEUED_LINES + 100;
        for n in 0..count {
            log.write_all(format!("{n}\n").as_bytes()).unwrap();
        }
        let dropped = usize::try_from(dropped_log_lines() - before).unwrap();
        // The thread may hold one line that is in the queue no more.
        assert!((99..=100).contains(&dropped), "{dropped}");
        for n in 0..count - dropped {
            allow.send(()).unwrap();
            assert_eq!(lines.recv().unwrap(), format!("{n}\n").as_bytes());
        }
    }
}

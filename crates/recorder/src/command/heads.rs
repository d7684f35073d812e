//! Publishes the heads of the ledgers: to the log every day, and to the file of `--head-log`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use anyhow::{Context as _, bail};
use envsnap_model::{EntryHash, Head, SignedHead, error_chain};
use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::domain::Error;
use crate::signing::HeadSigner;
use crate::store::Store;
use crate::store::sqlite::is_of_database;

/// How often the heads that changed are appended to the file of `--head-log`.
const HEAD_LOG_INTERVAL: Duration = Duration::from_mins(1);

/// How often all heads are written to the log.
const LOG_INTERVAL: Duration = Duration::from_hours(24);

/// How long the shutdown waits for a write to the head log, which may be on a file server.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A file to which the heads of ledgers are appended, by a thread of its own: its disk may be slow or hang.
#[derive(Debug)]
pub(super) struct HeadLog {
    path: PathBuf,
    lines: SyncSender<Vec<String>>,
    /// Answers each write.
    results: Receiver<io::Result<()>>,
    /// The heads that were written, by organization.
    written: BTreeMap<String, EntryHash>,
    /// Heads of which the write was not acknowledged yet.
    pending: Option<Vec<Head>>,
}

impl HeadLog {
    /// The head log at `path` of a recorder on the database `db`.
    ///
    /// # Errors
    /// It is one of the database's own files, or cannot be opened for appending.
    pub(super) fn open(path: PathBuf, db: &Path) -> anyhow::Result<Self> {
        // Closing any descriptor of them would drop SQLite's locks.
        if is_of_database(&path, db) {
            bail!("the head log {} is a file of the database: name another one", path.display());
        }
        // Opening a FIFO blocks until it has a reader, unless it is opened with NONBLOCK.
        let flags =
            OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o644));
        let mut file = File::from(
            file.with_context(|| format!("cannot open the head log {}", path.display()))?,
        );
        let mut is_torn = ends_within_a_line(&path);
        let (lines, to_write) = mpsc::sync_channel::<Vec<String>>(1);
        let (written, results) = mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("head-log".to_owned())
            .spawn(move || {
                while let Ok(lines) = to_write.recv() {
                    let result = append(&mut file, is_torn, &lines);
                    is_torn = result.is_err();
                    if written.send(result).is_err() {
                        break;
                    }
                }
            })
            .context("cannot start a thread for the head log")?;
        Ok(Self { path, lines, results, written: BTreeMap::new(), pending: None })
    }

    /// Appends the heads that changed, unless the previous write has not ended.
    fn publish(&mut self, heads: Vec<Head>, signer: Option<&HeadSigner>) {
        let path = self.path.display().to_string();
        self.wait_for_pending_write(Duration::ZERO);
        if self.pending.is_some() {
            return tracing::error!("the head log {path} is not being written: its disk hangs");
        }
        let changed: Vec<_> = heads
            .into_iter()
            .filter(|head| head.seq > 0 && self.written.get(&head.org) != Some(&head.hash))
            .collect();
        if changed.is_empty() {
            return;
        }
        let now = Timestamp::now();
        let lines = changed.iter().map(|head| format!("{now:.0} {}\n", signed(head, signer)));
        if self.lines.try_send(lines.collect()).is_ok() {
            self.pending = Some(changed);
        } else {
            tracing::error!("the head log {path} is not being written: its thread ended");
        }
    }

    /// Waits for the result of the pending write. Heads whose write failed are
    /// written again with the next ones.
    fn wait_for_pending_write(&mut self, timeout: Duration) {
        if self.pending.is_none() {
            return;
        }
        match self.results.recv_timeout(timeout) {
            Ok(Ok(())) => {
                for head in self.pending.take().unwrap_or_default() {
                    self.written.insert(head.org, head.hash);
                }
            }
            Ok(Err(error)) => {
                self.pending = None;
                tracing::error!("cannot write the head log {}: {error}", self.path.display());
            }
            Err(_) => {}
        }
    }
}

/// Appends lines and syncs. `is_torn` if the last line was written only in part, as on a full disk: it is
/// ended first.
fn append(file: &mut File, is_torn: bool, lines: &[String]) -> io::Result<()> {
    let end = if is_torn { "\n" } else { "" };
    file.write_all(format!("{end}{}", lines.concat()).as_bytes())?;
    file.sync_data()
}

/// Whether the file at `path` is a regular one whose last line has no end.
fn ends_within_a_line(path: &Path) -> bool {
    let is_regular = std::fs::metadata(path).is_ok_and(|found| found.is_file());
    let last = || -> io::Result<u8> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last).map(|()| last[0])
    };
    is_regular && last().is_ok_and(|last| last != b'\n')
}

fn signed(head: &Head, signer: Option<&HeadSigner>) -> SignedHead {
    SignedHead { head: head.clone(), signature: signer.map(|signer| signer.sign(head)) }
}

/// Publishes the head of each organization's ledger in one store.
pub(super) struct HeadPublisher<S> {
    pub(super) store: S,
    pub(super) signer: Option<HeadSigner>,
    pub(super) log: Option<HeadLog>,
}

impl<S: Store> HeadPublisher<S> {
    /// Until it is dropped: logs the heads once a day, and appends those that changed to the head log each
    /// minute.
    pub(super) async fn publish(&mut self) -> Infallible {
        let mut ticks = interval(HEAD_LOG_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut logged_at = None::<Instant>;
        loop {
            ticks.tick().await;
            let is_due = logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
            if self.log.is_none() && !is_due {
                continue;
            }
            let heads = match self.heads().await {
                Ok(heads) => heads,
                Err(error) => {
                    tracing::error!(
                        "cannot read the heads of the ledgers: {}",
                        error_chain(&error)
                    );
                    continue;
                }
            };
            if is_due {
                for head in heads.iter().filter(|head| head.seq > 0) {
                    tracing::info!(head = %signed(head, self.signer.as_ref()), "head of a ledger");
                }
                logged_at = Some(Instant::now());
            }
            if let Some(log) = &mut self.log {
                log.publish(heads, self.signer.as_ref());
            }
        }
    }

    /// Appends the last heads to the head log, if there is one, before the process ends.
    pub(super) async fn finish(mut self) {
        if self.log.is_none() {
            return;
        }
        let heads = self.heads().await;
        let Some(log) = &mut self.log else { return };
        match heads {
            Ok(heads) => {
                log.wait_for_pending_write(LAST_WRITE_TIMEOUT);
                log.publish(heads, self.signer.as_ref());
                log.wait_for_pending_write(LAST_WRITE_TIMEOUT);
            }
            Err(error) => {
                tracing::error!("cannot read the heads of the ledgers: {}", error_chain(&error));
            }
        }
    }

    async fn heads(&self) -> Result<Vec<Head>, Error> {
        let mut heads = Vec::new();
        for org in self.store.organizations().await? {
            heads.push(self.store.head(&org).await?);
        }
        Ok(heads)
    }
}

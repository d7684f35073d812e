//! The file as its operator sees it.

use rusqlite::{OptionalExtension as _, TransactionBehavior};

use tokio::sync::Mutex;
use tokio::time::{Duration, Instant};

use super::{Store, StoreError, position};
use crate::error_chain::error_chain;

/// How long what a probe found is answered again.
const PROBE_LASTS: Duration = Duration::from_secs(1);

/// When a probe ended, and what it found.
pub(super) type Probed = Mutex<Option<(Instant, Readiness)>>;

/// Whether a report could be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::recorder) enum Readiness {
    Ready,
    /// The clock is wrong.
    NoTime,
    /// The file cannot be read or written.
    NoFile,
}

/// How much is in the file.
#[derive(Debug)]
pub(in crate::recorder) struct Figures {
    pub(in crate::recorder) snapshots: i64,
    /// Those that are not archived.
    pub(in crate::recorder) environments: i64,
    pub(in crate::recorder) bytes: i64,
    /// Organization, name and time (seconds since the Unix epoch) of each environment that is not
    /// archived and was reported.
    pub(in crate::recorder) last_reports: Vec<(String, String, f64)>,
}

/// About as much as a report of two hundred artifacts takes.
const ROOM: u32 = 64 << 10;

impl Store {
    /// How much is in the file.
    pub(in crate::recorder) async fn figures(&self) -> Result<Figures, StoreError> {
        self.read("read the file's figures".to_owned(), |connection| {
            let transaction = connection.transaction()?;
            // Ids are without gaps: a count would read all of an index.
            let (snapshots, environments, bytes) = transaction
                .prepare_cached(
                    "SELECT (SELECT coalesce(max(id), 0) FROM snapshot),
                            (SELECT count(*) FROM environment WHERE archived_at IS NULL),
                            page_count * page_size
                     FROM pragma_page_count, pragma_page_size",
                )?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let last_reports = transaction
                .prepare_cached(
                    "SELECT org, name, last_reported_at FROM environment
                     WHERE archived_at IS NULL AND last_reported_at IS NOT NULL",
                )?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(Figures { snapshots, environments, bytes, last_reports })
        })
        .await
    }

    /// Logs a warning if the clock is behind what was recorded already, in a file that is written to.
    pub(in crate::recorder) async fn warn_if_clock_is_behind(&self) {
        if self.lock.is_none() {
            return;
        }
        let now = self.clock.now();
        let latest = self.read("read when the last report was".to_owned(), move |connection| {
            connection
                .query_row(
                    "SELECT org, name, last_reported_at FROM environment
                     WHERE archived_at IS NULL AND last_reported_at > ?
                     ORDER BY last_reported_at DESC LIMIT 1",
                    [now],
                    |row| {
                        Ok((
                            row.get::<_, String>(0)?,
                            row.get::<_, String>(1)?,
                            row.get::<_, f64>(2)?,
                        ))
                    },
                )
                .optional()
        });
        match latest.await {
            Ok(Some((org, name, at))) => tracing::warn!(
                "the clock of this host is {:.0} s behind the last report to environment '{name}' of \
                 organization '{org}'. If the clock is wrong, stop the recorder, set the clock (with \
                 timedatectl, for example), and start again; if it is right, it was ahead at that \
                 report, which keeps its time, and nothing is to be done",
                at - now
            ),
            Ok(None) => {}
            Err(error) => tracing::error!("{}", error_chain(&error)),
        }
    }

    /// Whether a report could be recorded, as it was at most a second ago: each look at it is a commit,
    /// and anyone may ask. Logs why not.
    pub(in crate::recorder) async fn readiness(&self) -> Readiness {
        // Those who ask at once wait for the same look.
        let mut probed = self.probed.lock().await;
        if let Some((at, found)) = *probed
            && at.elapsed() < PROBE_LASTS
        {
            return found;
        }
        let found = match self.probe().await {
            Ok(()) => Readiness::Ready,
            Err(error) => {
                tracing::error!("not ready: {}", error_chain(&error));
                match error {
                    StoreError::Clock { .. } => Readiness::NoTime,
                    _ => Readiness::NoFile,
                }
            }
        };
        *probed = Some((Instant::now(), found));
        found
    }

    /// Does what a report does, and leaves nothing of it: reads, and writes as much.
    async fn probe(&self) -> Result<(), StoreError> {
        self.read("read the snapshot file".to_owned(), |connection| {
            connection.prepare_cached("SELECT count(*) FROM probe")?.query_row([], |_| Ok(()))
        })
        .await?;
        self.write("record a report".to_owned(), |connection, _| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction
                .prepare_cached("INSERT INTO probe (room) VALUES (zeroblob(?))")?
                .execute([ROOM])?;
            transaction.prepare_cached("DELETE FROM probe")?.execute([])?;
            position::commit(transaction)
        })
        .await
    }
}

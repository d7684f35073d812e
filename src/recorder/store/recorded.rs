//! The snapshots of one environment, and which of them is meant.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Store, StoreError};
use crate::recorder::expression::Timeline;

/// What is recorded in an environment that is in use.
pub(super) struct Recorded<'a> {
    pub(super) connection: &'a Connection,
    pub(super) environment_id: i64,
    pub(super) environment_type: String,
    count: u32,
    now: f64,
}

impl Store {
    /// What `work` reads in an environment, as it is at one moment; `None` where the environment does
    /// not exist. `question` says what it is, as in "list the events of".
    pub(super) async fn read_recorded<T: Send + 'static>(
        &self,
        question: &str,
        org: &str,
        environment: &str,
        work: impl FnOnce(&Recorded<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let operation = format!("{question} environment '{environment}' of organization '{org}'");
        let (org, environment) = (org.to_owned(), environment.to_owned());
        let now = self.clock.now();
        self.read(operation, move |connection| {
            let transaction = connection.transaction()?;
            let recorded = Recorded::find(&transaction, now, &org, &environment)?;
            recorded.as_ref().map(work).transpose()
        })
        .await
    }
}

impl<'a> Recorded<'a> {
    /// `None` where the environment does not exist, or is archived.
    pub(super) fn find(
        connection: &'a Connection,
        now: f64,
        org: &str,
        environment: &str,
    ) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT id, type, (SELECT coalesce(max(snapshot_index), 0) FROM snapshot
                                   WHERE environment_id = environment.id)
                 FROM environment WHERE org = ? AND name = ? AND archived_at IS NULL",
            )?
            .query_row([org, environment], |row| {
                Ok(Self {
                    connection,
                    environment_id: row.get(0)?,
                    environment_type: row.get(1)?,
                    count: row.get(2)?,
                    now,
                })
            })
            .optional()
    }

    /// The index of the last snapshot, of those that `condition` holds for: as no snapshot was
    /// recorded before the one that it follows, how many they are.
    fn last(&self, condition: &str, time: f64) -> rusqlite::Result<u32> {
        let last = self
            .connection
            .prepare_cached(&format!(
                "SELECT snapshot_index FROM snapshot
                 WHERE environment_id = ? AND created_at {condition} ?
                 ORDER BY created_at DESC, snapshot_index DESC LIMIT 1"
            ))?
            .query_row(params![self.environment_id, time], |row| row.get(0))
            .optional()?;
        Ok(last.unwrap_or(0))
    }
}

impl Timeline for Recorded<'_> {
    type Error = rusqlite::Error;

    fn count(&self) -> u32 {
        self.count
    }

    fn now(&self) -> f64 {
        self.now
    }

    fn until(&self, time: f64) -> rusqlite::Result<u32> {
        self.last("<=", time)
    }

    fn before(&self, time: f64) -> rusqlite::Result<u32> {
        self.last("<", time)
    }
}

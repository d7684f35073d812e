//! The snapshots of one environment, and which of them is meant.

use std::cell::OnceCell;

use rusqlite::{Connection, OptionalExtension as _};

use super::readers::{Allowance, ReadError};
use super::{Store, StoreError};
use envsnap_model::expression::Timeline;
use envsnap_model::plausible_times;

/// What is recorded in an environment that is in use.
pub(super) struct Recorded<'a> {
    pub(super) connection: &'a Connection,
    pub(super) environment_id: i64,
    pub(super) environment_type: String,
    count: u32,
    now: f64,
    /// [`plausible_times`], once they were asked for.
    times: OnceCell<Vec<f64>>,
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
        let (operation, org, environment) = asked(question, org, environment);
        let now = self.clock.now();
        self.read(operation, move |connection| {
            let transaction = connection.transaction()?;
            let recorded = Recorded::find(&transaction, now, &org, &environment)?;
            recorded.as_ref().map(work).transpose()
        })
        .await
    }

    /// As [`Self::read_recorded`], for what reads snapshots, which may be large.
    pub(super) async fn read_recorded_any_size<T: Send + 'static>(
        &self,
        question: &str,
        org: &str,
        environment: &str,
        work: impl Fn(&Recorded<'_>, &Allowance) -> Result<T, ReadError> + Send + Sync + 'static,
    ) -> Result<Option<T>, StoreError> {
        let (operation, org, environment) = asked(question, org, environment);
        let now = self.clock.now();
        self.read_any_size(operation, move |connection, allowance| {
            let transaction = connection.transaction()?;
            let recorded = Recorded::find(&transaction, now, &org, &environment)?;
            recorded.as_ref().map(|recorded| work(recorded, allowance)).transpose()
        })
        .await
    }
}

/// What is done, for its error, and of what.
fn asked(question: &str, org: &str, environment: &str) -> (String, String, String) {
    let operation = format!("{question} environment '{environment}' of organization '{org}'");
    (operation, org.to_owned(), environment.to_owned())
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
                    times: OnceCell::new(),
                })
            })
            .optional()
    }

    /// By when each snapshot was recorded, in order.
    fn times(&self) -> rusqlite::Result<&[f64]> {
        if let Some(times) = self.times.get() {
            return Ok(times);
        }
        // Read from the index alone, which has them in the order of their times.
        let mut statement = self.connection.prepare_cached(
            "SELECT snapshot_index, created_at FROM snapshot INDEXED BY snapshot_by_time
             WHERE environment_id = ?",
        )?;
        let mut times: Vec<(u32, f64)> = statement
            .query_map([self.environment_id], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        times.sort_unstable_by_key(|(index, _)| *index);
        let times: Vec<_> = times.into_iter().map(|(_, time)| time).collect();
        Ok(self.times.get_or_init(|| plausible_times(&times, self.now)))
    }

    /// How many snapshots were recorded when `is_past` held for their time, and so for all before.
    fn count_of(&self, is_past: impl Fn(f64) -> bool) -> rusqlite::Result<u32> {
        let count = self.times()?.partition_point(|time| is_past(*time));
        Ok(u32::try_from(count).unwrap_or(self.count))
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
        self.count_of(|recorded| recorded <= time)
    }

    fn before(&self, time: f64) -> rusqlite::Result<u32> {
        self.count_of(|recorded| recorded < time)
    }
}

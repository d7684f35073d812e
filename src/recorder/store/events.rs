//! What changed with each snapshot, artifact by artifact.

use std::ops::RangeInclusive;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::json::Json;
use super::readers::{Allowance, ReadError};
use super::{Page, Store, StoreError};
use crate::recorder::record::{StoredArtifact, order};
use envsnap_model::expression::Interval;

/// A page of the events of an environment, in order.
#[derive(Debug)]
pub(in crate::recorder) struct Events {
    pub(in crate::recorder) events: Vec<Event>,
    /// How many there are on all pages.
    pub(in crate::recorder) total: u64,
}

/// An artifact that started, exited, or changed its replicas.
#[derive(Debug)]
pub(in crate::recorder) struct Event {
    pub(in crate::recorder) index: u32,
    /// When the snapshot was recorded, in seconds since the Unix epoch.
    pub(in crate::recorder) created_at: f64,
    pub(in crate::recorder) artifact: StoredArtifact,
}

impl Store {
    /// A page of what changed in `interval`, the latest first unless `ascending`; `None` where the
    /// environment does not exist. Reads no snapshot that has no event on the page.
    pub(in crate::recorder) async fn events(
        &self,
        org: &str,
        environment: &str,
        interval: Interval,
        page: Page,
        ascending: bool,
    ) -> Result<Option<Events>, StoreError> {
        let list = "list the events of";
        self.read_recorded_any_size(list, org, environment, move |recorded, allowance| {
            let Some(indexes) = interval.resolve(recorded)? else {
                return Ok(Events { events: Vec::new(), total: 0 });
            };
            let counted = Counted {
                connection: recorded.connection,
                environment_id: recorded.environment_id,
            };
            counted.page(&indexes, page, ascending, allowance)
        })
        .await
    }
}

/// Notes how many events the snapshot of these artifacts has, and all before it.
pub(super) fn count(
    connection: &Connection,
    environment_id: i64,
    index: i64,
    artifacts: &[StoredArtifact],
) -> rusqlite::Result<()> {
    let counted = Counted { connection, environment_id };
    let before = counted.up_to(index - 1)?;
    connection
        .prepare_cached(
            // A row that stands there already cannot be right.
            "INSERT INTO event_count (environment_id, snapshot_index, events) VALUES (?, ?, ?)
             ON CONFLICT (environment_id, snapshot_index) DO UPDATE SET events = excluded.events",
        )?
        .execute(params![environment_id, index, before + events_in(artifacts)])?;
    Ok(())
}

/// How many events the snapshot of these artifacts has.
pub(super) fn events_in(artifacts: &[StoredArtifact]) -> u64 {
    artifacts.iter().filter(|artifact| artifact.changed()).count() as u64
}

/// The numbers of events of one environment.
struct Counted<'a> {
    connection: &'a Connection,
    environment_id: i64,
}

impl Counted<'_> {
    /// How many events snapshot `index` has, and all before it.
    fn up_to(&self, index: i64) -> rusqlite::Result<u64> {
        let events = self
            .connection
            .prepare_cached(
                "SELECT events FROM event_count WHERE environment_id = ? AND snapshot_index <= ?
                 ORDER BY snapshot_index DESC LIMIT 1",
            )?
            .query_row(params![self.environment_id, index], |row| row.get(0))
            .optional()?;
        Ok(events.unwrap_or(0))
    }

    /// The snapshot that has the event with this number, where the environment's first has 1.
    fn holder_of(&self, number: u64) -> rusqlite::Result<Option<u32>> {
        self.connection
            .prepare_cached(
                "SELECT snapshot_index FROM event_count WHERE environment_id = ? AND events >= ?
                 ORDER BY events, snapshot_index LIMIT 1",
            )?
            .query_row(params![self.environment_id, number], |row| row.get(0))
            .optional()
    }

    fn page(
        &self,
        indexes: &RangeInclusive<u32>,
        page: Page,
        ascending: bool,
        allowance: &Allowance,
    ) -> Result<Events, ReadError> {
        let before = self.up_to(i64::from(*indexes.start()) - 1)?;
        let last = self.up_to(i64::from(*indexes.end()))?;
        let total = last.saturating_sub(before);
        let mut events = Vec::new();
        // The numbers of the events on the page, counted from the environment's first.
        let offset = page.offset();
        let size = u64::from(page.size).min(total.saturating_sub(offset));
        if size == 0 {
            return Ok(Events { events, total });
        }
        let (first, last) = if ascending {
            (before + offset + 1, before + offset + size)
        } else {
            (last - offset - size + 1, last - offset)
        };
        if let (Some(from), Some(to)) = (self.holder_of(first)?, self.holder_of(last)?) {
            let skipped = first - 1 - self.up_to(i64::from(from) - 1)?;
            events = self.of_snapshots(from, to, allowance)?;
            // Within a snapshot, the latest first: as it shows them.
            events.drain(..events.len().min(usize::try_from(skipped).unwrap_or(usize::MAX)));
            events.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        }
        if !ascending {
            events.reverse();
        }
        Ok(Events { events, total })
    }

    /// The events of these snapshots, the earliest first: the other way round than a snapshot shows
    /// its artifacts.
    fn of_snapshots(
        &self,
        from: u32,
        to: u32,
        allowance: &Allowance,
    ) -> Result<Vec<Event>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT snapshot_index, created_at, artifacts FROM snapshot
             WHERE environment_id = ? AND snapshot_index BETWEEN ? AND ? ORDER BY snapshot_index",
        )?;
        let mut rows = statement.query(params![self.environment_id, from, to])?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            let (index, created_at) = (row.get(0)?, row.get(1)?);
            allowance.take(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?.len())?;
            let Json::<Vec<StoredArtifact>>(mut artifacts) = row.get(2)?;
            artifacts.retain(StoredArtifact::changed);
            order(&mut artifacts);
            let artifacts = artifacts.into_iter().rev();
            events.extend(artifacts.map(|artifact| Event { index, created_at, artifact }));
        }
        Ok(events)
    }
}

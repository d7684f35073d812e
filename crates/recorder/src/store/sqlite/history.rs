//! Queries of an environment's history: snapshots, events and windows.

use std::collections::HashSet;

use envsnap_model::expression::Interval;
use rusqlite::{OptionalExtension as _, params};

use super::failure::Failure;
use super::snapshots::{History, sort_artifacts};
use crate::domain::{
    Event, EventPage, Micros, Page, SnapshotArtifact, SnapshotSpan, SnapshotSummary, SnapshotWindow,
};

/// The most changes of artifacts in one window of snapshots, to bound time and memory.
const MAX_WINDOW_CHANGES: u64 = 20_000;

impl History<'_> {
    /// A page of the snapshots in `interval`, the latest first unless `ascending`.
    pub(super) fn span_page(
        &self,
        interval: &Interval,
        page: Page,
        ascending: bool,
    ) -> Result<Vec<SnapshotSpan>, Failure> {
        let Some(indexes) = interval.resolve(self)?.and_then(|all| page.slice(&all, ascending))
        else {
            return Ok(Vec::new());
        };
        let mut spans = self.spans(*indexes.start(), *indexes.end())?;
        if !ascending {
            spans.reverse();
        }
        Ok(spans)
    }

    /// The number of events up to and including snapshot `index`.
    pub(super) fn events_until(&self, index: u32) -> rusqlite::Result<u64> {
        let events = self
            .connection
            .prepare_cached(
                "SELECT events FROM snapshot
                 WHERE org_id = $1 AND environment_id = $2 AND snapshot_index = $3",
            )?
            .query_row(params![self.org_id, self.environment_id, index], |row| row.get(0))
            .optional()?;
        Ok(events.unwrap_or(0))
    }

    /// The index of the snapshot that has the event with this number, counted from the environment's first.
    fn snapshot_of_event(&self, number: u64) -> rusqlite::Result<Option<u32>> {
        self.connection
            .prepare_cached(
                "SELECT snapshot_index FROM snapshot
                 WHERE org_id = $1 AND environment_id = $2 AND events >= $3
                 ORDER BY events, snapshot_index LIMIT 1",
            )?
            .query_row(params![self.org_id, self.environment_id, number], |row| row.get(0))
            .optional()
    }

    /// A page of the events in `interval`, latest first unless `ascending`. Reads no snapshot that
    /// has no event on the page.
    pub(super) fn event_page(
        &self,
        interval: &Interval,
        page: Page,
        ascending: bool,
    ) -> Result<EventPage, Failure> {
        let Some(indexes) = interval.resolve(self)? else {
            return Ok(EventPage { events: Vec::new(), total: 0 });
        };
        let before = self.events_until(indexes.start() - 1)?;
        let until = self.events_until(*indexes.end())?;
        let total = until.saturating_sub(before);
        let offset = page.offset();
        let size = u64::from(page.size).min(total.saturating_sub(offset));
        if size == 0 {
            return Ok(EventPage { events: Vec::new(), total });
        }
        // The numbers of the events on the page, counted from the environment's first.
        let (first, last) = if ascending {
            (before + offset + 1, before + offset + size)
        } else {
            (until - offset - size + 1, until - offset)
        };
        let mut events = Vec::new();
        if let (Some(from), Some(to)) =
            (self.snapshot_of_event(first)?, self.snapshot_of_event(last)?)
        {
            let skipped = first - 1 - self.events_until(from - 1)?;
            events = self.events(from, to)?;
            events.drain(..events.len().min(usize::try_from(skipped).unwrap_or(usize::MAX)));
            events.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        }
        if !ascending {
            events.reverse();
        }
        self.add_provenance(events.iter_mut().map(|event| &mut event.artifact), None, None)?;
        Ok(EventPage { events, total })
    }

    /// The events of the snapshots from index `from` to `to`, the earliest first; within a snapshot in the
    /// reverse order of its artifacts.
    pub(super) fn events(&self, from: u32, to: u32) -> rusqlite::Result<Vec<Event>> {
        let times = self.times(from, to)?;
        let changes = self.changes(from, to)?;
        let mut events = Vec::with_capacity(changes.len());
        for changes in changes.chunk_by(|(one, _), (other, _)| one == other) {
            let index = changes[0].0;
            let recorded_at = times.get((index - from) as usize).copied().unwrap_or(Micros(0));
            let mut artifacts: Vec<_> = changes.iter().map(|(_, it)| it.clone()).collect();
            // In the order of the tasks that run now, as the snapshot has it.
            if index == self.count {
                self.apply_current_tasks(&mut artifacts)?;
            }
            sort_artifacts(&mut artifacts);
            let artifacts = artifacts.into_iter().rev();
            events.extend(artifacts.map(|artifact| Event { index, recorded_at, artifact }));
        }
        Ok(events)
    }

    /// When these snapshots were recorded, by index.
    fn times(&self, from: u32, to: u32) -> rusqlite::Result<Vec<Micros>> {
        self.connection
            .prepare_cached(
                "SELECT recorded_at FROM snapshot
                 WHERE org_id = $1 AND environment_id = $2 AND snapshot_index BETWEEN $3 AND $4
                 ORDER BY snapshot_index",
            )?
            .query_map(params![self.org_id, self.environment_id, from, to], |row| {
                row.get(0).map(Micros)
            })?
            .collect()
    }

    /// The last `size` snapshots up to the one with index `last`, or up to the latest; fewer if they have too
    /// many changes.
    pub(super) fn window(&self, last: Option<u32>, size: u32) -> Result<SnapshotWindow, Failure> {
        let last = last.map_or(self.count, |last| last.min(self.count));
        let first = last.saturating_sub(size).saturating_add(1);
        let first = self.first_with_few_changes(first, last)?;
        let mut window = SnapshotWindow { snapshots: Vec::new(), end: None, count: self.count };
        if last < first || last == 0 {
            return Ok(window);
        }
        let spans = self.spans(first, last)?;
        window.end = spans.last().and_then(|span| span.to);
        let mut changes = self.changes(first, last)?.into_iter().peekable();
        let mut counts = self.counts(first, last)?.into_iter();
        for span in spans {
            let index = span.index;
            let mut artifacts: Vec<SnapshotArtifact> = Vec::new();
            while let Some((_, change)) = changes.next_if(|(at, _)| *at == index) {
                artifacts.push(change);
            }
            if index == first {
                let known: HashSet<_> = artifacts.iter().map(SnapshotArtifact::identity).collect();
                let unchanged = self.running(index)?;
                artifacts
                    .extend(unchanged.into_iter().filter(|it| !known.contains(&it.identity())));
                artifacts.sort_by_cached_key(SnapshotArtifact::identity);
            }
            let (running, replicas) = counts.next().unwrap_or_default();
            window.snapshots.push(SnapshotSummary {
                span,
                first_times: artifacts
                    .iter()
                    .filter(|artifact| artifact.runs())
                    .filter_map(|artifact| Some((artifact.identity(), artifact.first_time_here()?)))
                    .collect(),
                artifacts: running,
                replicas,
                changes: artifacts,
            });
        }
        Ok(window)
    }

    /// The earliest snapshot, not before `first`, so that it and those up to `last` have at most
    /// [`MAX_WINDOW_CHANGES`] changes; `last` if it has more alone.
    fn first_with_few_changes(&self, first: u32, last: u32) -> rusqlite::Result<u32> {
        let enough = self.events_until(last)?.saturating_sub(MAX_WINDOW_CHANGES);
        if first > last || self.events_until(first.saturating_sub(1))? >= enough {
            return Ok(first);
        }
        let before = self.snapshot_of_event(enough)?.unwrap_or(first);
        Ok((before + 1).clamp(first, last))
    }

    /// How many artifacts and replicas run in each of these snapshots, by index.
    pub(super) fn counts(&self, from: u32, to: u32) -> rusqlite::Result<Vec<(u64, u64)>> {
        self.connection
            .prepare_cached(
                "SELECT artifacts, replicas FROM snapshot
                 WHERE org_id = $1 AND environment_id = $2 AND snapshot_index BETWEEN $3 AND $4
                 ORDER BY snapshot_index",
            )?
            .query_map(params![self.org_id, self.environment_id, from, to], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect()
    }
}

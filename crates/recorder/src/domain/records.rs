//! Arguments and results of the store.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use envsnap_model::snapshot::{Fingerprint, Identity};

use super::provenance::ArtifactProvenance;
use super::{EcsLocation, FirstTime, Head, Micros, ReportGap, Seen, Task, is_covered};

/// An environment that is not archived: its settings, and when it last changed and was reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentRecord {
    pub org: String,
    pub name: String,
    pub environment_type: String,
    pub description: String,
    /// Whether a change of replicas alone makes a snapshot.
    pub include_scaling: bool,
    /// The environments in a logical one.
    pub included_environments: Option<Vec<String>>,
    pub policies: Option<Vec<String>>,
    /// When its settings or its name last changed.
    pub changed_at: Micros,
    /// The last report, whether or not it made a snapshot.
    pub last_reported_at: Option<Micros>,
    /// When its latest snapshot was made.
    pub last_snapshot_at: Option<Micros>,
    /// The index of its latest snapshot; 0 if there is none.
    pub latest_index: u32,
    /// The heartbeat in seconds that its reporter last announced.
    pub heartbeat: Option<u32>,
}

/// The settings of an environment that is created or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentSettings {
    pub name: String,
    pub environment_type: String,
    /// If empty it stays as it is.
    pub description: String,
    /// Whether a change of replicas alone makes a snapshot; if absent it stays as it is, and is on
    /// for a new environment.
    pub include_scaling: Option<bool>,
    /// The environments in a logical one; if absent they stay as they are.
    pub included_environments: Option<Vec<String>>,
    /// Names of policies; if absent they stay as they are.
    pub policies: Option<Vec<String>>,
}

/// A partial change of an environment's settings. `None` leaves a setting as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsChange {
    pub description: Option<String>,
    /// Whether a change of replicas alone makes a snapshot.
    pub include_scaling: Option<bool>,
    /// The environments in a logical one.
    pub included_environments: Option<Vec<String>>,
    pub policies: Option<Vec<String>>,
}

/// The outcome of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportOutcome {
    /// Whether it made a new snapshot.
    pub created: bool,
    /// The index of the latest snapshot, which may be the new one; 0 if there is none.
    pub index: u32,
    /// The head of the organization's ledger.
    pub head: Head,
}

/// An artifact that runs in a snapshot, or that exited with it.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotArtifact {
    pub name: String,
    /// None if it is unknown.
    pub fingerprint: Option<Fingerprint>,
    /// Replicas in the snapshot before.
    pub was: u64,
    /// Replicas in this snapshot; 0 if it exited with it.
    pub now: u64,
    /// When each replica started, in seconds since the Unix epoch, ascending; empty if it exited.
    /// Those of the latest snapshot are as of the latest report; others as of the report with which
    /// the artifact started or its replicas changed.
    pub started_at: Vec<i64>,
    /// The task of the replica that started last.
    pub task: Task,
    /// Every cluster and service of its replicas, in order; at least one.
    pub places: Vec<EcsLocation>,
    /// Since when it runs; `None` if it is not known.
    pub seen: Option<Seen>,
    /// Its provenance; `None` if that was not requested.
    pub provenance: Option<Box<ArtifactProvenance>>,
}

impl SnapshotArtifact {
    /// Whether the artifact runs in the snapshot; otherwise it exited with it.
    pub fn runs(&self) -> bool {
        self.now > 0
    }

    /// If it started with this snapshot, the widest of its image, its repository and its registry that never
    /// ran in the environment before.
    pub fn first_time_here(&self) -> Option<FirstTime> {
        let seen = self.seen.filter(|_| self.was == 0)?;
        seen.firsts.after(seen.first_index.saturating_sub(1))
    }

    /// Whether it started or exited with this snapshot, or its replicas changed.
    pub fn changed(&self) -> bool {
        self.was != self.now
    }

    /// The fingerprint, or the name if that is unknown.
    pub fn identity(&self) -> Identity {
        Identity::new(&self.name, self.fingerprint)
    }
}

/// A snapshot with its artifacts.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotRecord {
    /// Its number in the environment, from 1.
    pub index: u32,
    /// The sequence number of its entry in the ledger.
    pub seq: i64,
    /// The hash of that entry.
    pub hash: super::EntryHash,
    /// The label of the token that reported it.
    pub reported_by: String,
    /// When it was recorded.
    pub recorded_at: Micros,
    /// The last report that found it unchanged.
    pub confirmed_until: Micros,
    /// When the next one was recorded; none for the latest.
    pub next_recorded_at: Option<Micros>,
    /// Periods without coverage while it was the latest, earliest first.
    pub gaps: Vec<ReportGap>,
    /// The type of its environment.
    pub environment_type: String,
    /// How many artifacts run in it, also if it is partial.
    pub running_count: u64,
    /// Only artifacts of some origins are in `artifacts`.
    pub is_partial: bool,
    /// What runs, latest start first, then what exited with it.
    pub artifacts: Vec<SnapshotArtifact>,
}

/// The period in which a snapshot was the latest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSpan {
    /// Its number in the environment, from 1.
    pub index: u32,
    /// When it was recorded.
    pub from: Micros,
    /// When the next one was recorded; none for the latest.
    pub to: Option<Micros>,
    /// The last report that found it unchanged.
    pub confirmed_until: Micros,
    /// Periods in it without coverage, earliest first.
    pub gaps: Vec<ReportGap>,
}

/// How one artifact changed in a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The snapshot's number in the environment.
    pub index: u32,
    /// When it was recorded.
    pub recorded_at: Micros,
    /// The artifact as it is in the snapshot.
    pub artifact: SnapshotArtifact,
}

impl Event {
    /// If the artifact started, the widest of its image, its repository and its registry that never ran in the
    /// environment before.
    pub fn first_time_here(&self) -> Option<FirstTime> {
        let seen = self.artifact.seen.filter(|_| self.artifact.was == 0)?;
        seen.firsts.after(self.index.saturating_sub(1))
    }
}

/// One page of an environment's events, and the number of events on all pages.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// In order.
    pub events: Vec<Event>,
    /// The number of events on all pages.
    pub total: u64,
}

/// Consecutive snapshots, for the timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotWindow {
    /// Earliest first.
    pub snapshots: Vec<SnapshotSummary>,
    /// When the one after the last of them was recorded; none if that is the latest.
    pub end: Option<Micros>,
    /// The number of snapshots in the environment.
    pub count: u32,
}

/// A snapshot in a [`SnapshotWindow`]: when it was the latest, what changed with it, and counts of what runs.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotSummary {
    /// How long it was the latest.
    pub span: SnapshotSpan,
    /// How many artifacts run in it.
    pub artifacts: u64,
    /// How many replicas of them.
    pub replicas: u64,
    /// What changed with it; in the first of a window also what runs and did not change.
    pub changes: Vec<SnapshotArtifact>,
    /// What never ran in the environment before, of what started with it.
    pub first_times: BTreeMap<Identity, FirstTime>,
}

/// A period in which an artifact ran in one environment with the same number of replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactRun {
    pub environment: String,
    /// The artifact's label at that time.
    pub name: String,
    /// None if it is unknown.
    pub fingerprint: Option<Fingerprint>,
    /// How many replicas ran.
    pub replicas: u64,
    /// When the oldest replica started that ran last in that time, in seconds since the Unix epoch.
    pub started_at: Option<i64>,
    /// The first snapshot that contains the artifact without interruption, with any number of replicas,
    /// and when that was recorded.
    pub first_seen: (u32, Micros),
    /// The first snapshot of that time.
    pub from_index: u32,
    /// When that was recorded.
    pub from: Micros,
    /// The first snapshot after it, and when that was recorded; none while it runs so.
    pub to: Option<(u32, Micros)>,
    /// The latest snapshot of the environment.
    pub latest_index: u32,
}

impl ArtifactRun {
    /// The artifact as it ran, without its tasks.
    pub fn artifact(&self) -> SnapshotArtifact {
        SnapshotArtifact {
            name: self.name.clone(),
            fingerprint: self.fingerprint,
            was: self.replicas,
            now: self.replicas,
            started_at: Vec::new(),
            task: Task::unknown(),
            places: Vec::new(),
            seen: None,
            provenance: None,
        }
    }
}

/// An environment, and what runs in it.
#[derive(Debug, Clone, PartialEq)]
pub struct EnvironmentSummary {
    pub environment: EnvironmentRecord,
    /// What runs, latest start first; `None` if it exceeds what a list shows.
    pub running: Option<Vec<SnapshotArtifact>>,
}

/// The organizations that a caller may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrgFilter {
    All,
    Only(Vec<String>),
}

/// Figures of the whole store for the metrics: counts, its size, and those of each environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStats {
    /// Snapshots of all environments.
    pub snapshots: i64,
    /// Environments in use.
    pub environments: i64,
    /// The size of the data in bytes.
    pub bytes: i64,
    /// Each environment in use, sorted by organization and name.
    pub by_environment: Vec<EnvironmentStats>,
}

/// Figures of one environment for the metrics: its last report, and counts of snapshots and changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentStats {
    pub org: String,
    pub name: String,
    /// The last report, whether or not it made a snapshot.
    pub last_reported_at: Option<Micros>,
    /// The heartbeat in seconds that its reporter last announced.
    pub heartbeat: Option<u32>,
    /// When its latest snapshot was made.
    pub last_snapshot_at: Option<Micros>,
    /// The number of its snapshots.
    pub snapshots: u32,
    /// Starts, exits and changes of replicas in all of them.
    pub changes: u64,
}

impl EnvironmentStats {
    /// Whether `now` is covered by a report; `None` if nothing was reported yet.
    pub fn is_covered(&self, now: Micros) -> Option<bool> {
        self.last_reported_at.map(|last| is_covered(last, self.heartbeat, now))
    }
}

/// Which page of a list is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// From 1.
    pub number: u32,
    /// At least 1.
    pub size: u32,
}

impl Page {
    /// The number of items before this page.
    pub fn offset(self) -> u64 {
        u64::from(self.number.saturating_sub(1)) * u64::from(self.size)
    }

    /// The number of pages of this size for `total` items.
    pub fn count(self, total: u64) -> u64 {
        total.div_ceil(self.size.into())
    }

    /// The part of `indexes` on this page, from the last one unless `ascending`; `None` if the page
    /// is beyond them.
    pub fn slice(
        self,
        indexes: &RangeInclusive<u32>,
        ascending: bool,
    ) -> Option<RangeInclusive<u32>> {
        let offset = u32::try_from(self.offset()).ok()?;
        let (first, last) = if ascending {
            let first = indexes.start().checked_add(offset)?;
            (first, first.saturating_add(self.size - 1).min(*indexes.end()))
        } else {
            let last = indexes.end().checked_sub(offset)?;
            (last.saturating_sub(self.size - 1).max(*indexes.start()), last)
        };
        (first <= last).then_some(first..=last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pages_contain_every_index_of_the_list_once_and_in_order(
            start in 1..50_u32, length in 0..50_u32, size in 1..60_u32, ascending: bool,
        ) {
            let indexes = start..=start + length;
            let mut expected: Vec<_> = indexes.clone().collect();
            if !ascending {
                expected.reverse();
            }
            let mut seen = Vec::new();
            for number in 1.. {
                let Some(page) = Page { number, size }.slice(&indexes, ascending) else { break };
                let mut page: Vec<_> = page.collect();
                prop_assert!(page.len() <= size as usize);
                if !ascending {
                    page.reverse();
                }
                seen.extend(page);
            }
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn slice_and_count_of_any_page_never_panic(
            number: u32, size in 1..=u32::MAX, end in 1..=u32::MAX, ascending: bool,
        ) {
            let page = Page { number, size };
            page.slice(&(1..=end), ascending);
            page.count(u64::MAX);
        }
    }
}

//! View of the list of snapshots.

use envsnap_model::wire::{ReportGap, SnapshotListEntry};

use crate::domain::{self, Micros, SnapshotSpan};

/// In seconds since the Unix epoch.
pub(crate) fn report_gap(gap: &domain::ReportGap) -> ReportGap {
    ReportGap { from: gap.from.seconds(), until: gap.until.map(Micros::seconds) }
}

/// The documents of these snapshots, each with the seconds for which it was the environment's latest.
pub(crate) fn history(spans: Vec<SnapshotSpan>, now: Micros) -> Vec<SnapshotListEntry> {
    let entry = |SnapshotSpan { index, from, to, confirmed_until, gaps }| SnapshotListEntry {
        index: u64::from(index),
        from: from.seconds(),
        to: to.map_or(0.0, Micros::seconds),
        // As in the snapshot itself: compliance is unknown.
        compliant: false,
        // The clock may have been set back since.
        duration: (to.unwrap_or(now).seconds() - from.seconds()).max(0.0),
        confirmed_until: Some(confirmed_until.seconds()),
        gaps: gaps.iter().map(report_gap).collect(),
    };
    spans.into_iter().map(entry).collect()
}

//! What the picture says to who points at it, or does not see it.

use std::fmt::Write as _;

use super::lane::Lane;
use crate::domain::SnapshotSummary;
use crate::text::pluralize;
use crate::web::artifact::{short_fingerprint, short_name, shortened};
use crate::web::when::utc;

/// Changes that are named of a snapshot.
const MOST_CHANGES: usize = 3;
/// Times that an artifact ran which are told one by one.
const MOST_RUNS: usize = 5;

/// What is said of a snapshot to who points at it.
pub(crate) fn snapshot(snapshot: &SnapshotSummary, is_first: bool) -> String {
    let mut said = format!("#{} · {}", snapshot.span.index, utc(snapshot.span.from.seconds()));
    if is_first {
        let _infallible = write!(
            said,
            " · {}, {}",
            pluralize(snapshot.artifacts, "artifact"),
            pluralize(snapshot.replicas, "replica")
        );
    }
    let changed = snapshot.changes.iter().filter(|artifact| artifact.changed());
    for artifact in changed.clone().take(MOST_CHANGES) {
        let short = short_name(&artifact.name);
        let _infallible = match (artifact.was, artifact.now) {
            (0, _) => write!(said, " · + {short}"),
            (_, 0) => write!(said, " · − {short}"),
            (was, now) => write!(said, " · ~ {short} {was} → {now}"),
        };
    }
    let more = changed.count().saturating_sub(MOST_CHANGES);
    if more > 0 {
        let _infallible = write!(said, " · and {}", pluralize(more as u64, "more change"));
    }
    said
}

/// A lane in words.
pub(crate) fn lane(lane: &Lane, snapshots: &[SnapshotSummary]) -> String {
    let snapshot = |column: usize| snapshots.get(column).map_or(0, |snapshot| snapshot.span.index);
    let (fewest, most) = lane.segments().fold((u64::MAX, 0), |(fewest, most), segment| {
        (fewest.min(segment.2), most.max(segment.2))
    });
    let replicas = if fewest == most {
        pluralize(most, "replica")
    } else {
        format!("{fewest} to {most} replicas")
    };
    let runs = lane.runs();
    let mut told = format!(
        "{} ({}), {replicas}",
        shortened(&lane.name, 1_000),
        short_fingerprint(lane.fingerprint)
    );
    for (at, run) in runs.iter().enumerate().take(MOST_RUNS) {
        let from = if run.from == 0 { "already in" } else { "from" };
        let _infallible =
            write!(told, "{} {from} #{}", if at == 0 { ":" } else { "," }, snapshot(run.from));
        if let Some(to) = run.to {
            let _infallible = write!(told, " until #{}", snapshot(to));
        } else {
            told.push_str(" on");
        }
    }
    if runs.len() > MOST_RUNS {
        let _infallible = write!(told, ", and {} times more", runs.len() - MOST_RUNS);
    }
    told
}

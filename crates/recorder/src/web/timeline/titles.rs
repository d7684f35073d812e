//! Titles in the timeline, for tooltips and screen readers.

use std::fmt::Write as _;

use super::lane::Lane;
use crate::domain::SnapshotSummary;
use crate::text::pluralize;
use crate::web::artifact_name::{short_fingerprint, short_name, truncate};
use crate::web::time::utc;

/// Listed changes in the title of a snapshot.
const MAX_CHANGES: usize = 3;
/// Listed runs in the title of a lane.
const MAX_RUNS: usize = 5;

/// The tooltip of a snapshot's column: its index, its time and its changes.
pub(crate) fn snapshot(snapshot: &SnapshotSummary, is_first: bool) -> String {
    let mut title = format!("#{} · {}", snapshot.span.index, utc(snapshot.span.from.seconds()));
    if is_first {
        let _infallible = write!(
            title,
            " · {}, {}",
            pluralize(snapshot.artifacts, "artifact"),
            pluralize(snapshot.replicas, "replica")
        );
    }
    let changed = snapshot.changes.iter().filter(|artifact| artifact.changed());
    for artifact in changed.clone().take(MAX_CHANGES) {
        let short = short_name(&artifact.name);
        let _infallible = match (artifact.was, artifact.now) {
            (0, _) => match snapshot.first_times.get(&artifact.identity()) {
                Some(kind) => write!(title, " · + {short} (first time here: {})", kind.as_str()),
                None => write!(title, " · + {short}"),
            },
            (_, 0) => write!(title, " · − {short}"),
            (was, now) => write!(title, " · ~ {short} {was} → {now}"),
        };
    }
    let more = changed.count().saturating_sub(MAX_CHANGES);
    if more > 0 {
        let _infallible = write!(title, " · and {}", pluralize(more as u64, "more change"));
    }
    title
}

/// The tooltip of a lane: its artifact, its replicas and the snapshots between which it ran.
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
    let mut title = format!(
        "{} ({}), {replicas}",
        truncate(&lane.name, 1_000),
        short_fingerprint(lane.fingerprint)
    );
    for (at, run) in runs.iter().enumerate().take(MAX_RUNS) {
        let from = if run.from == 0 { "already in" } else { "from" };
        let _infallible =
            write!(title, "{} {from} #{}", if at == 0 { ":" } else { "," }, snapshot(run.from));
        if let Some((_, kind)) = lane.first_times.iter().find(|(column, _)| *column == run.from) {
            let _infallible = write!(title, " (first time here: {})", kind.as_str());
        }
        if let Some(to) = run.to {
            let _infallible = write!(title, " until #{}", snapshot(to));
        } else {
            title.push_str(" on");
        }
    }
    if runs.len() > MAX_RUNS {
        let _infallible = write!(title, ", and {} times more", runs.len() - MAX_RUNS);
    }
    title
}

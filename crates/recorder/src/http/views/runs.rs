//! View of the times in which artifacts ran.

use std::collections::BTreeMap;

use envsnap_model::wire::{self, RunningSince};

use super::history::report_gap;
use crate::domain::{ArtifactRun, SnapshotSpan};

/// The documents of the intervals in which artifacts ran. `spans` are the snapshots in these intervals, by
/// environment and index.
pub(crate) fn artifact_runs(
    runs: Vec<ArtifactRun>,
    spans: &BTreeMap<String, BTreeMap<u32, SnapshotSpan>>,
) -> Vec<wire::ArtifactRun> {
    let document = |run: ArtifactRun| {
        let last_index = run.to.map_or(run.latest_index, |(next, _)| next.saturating_sub(1));
        let spans = spans.get(&run.environment);
        // A range that ends before it begins would panic.
        let last = last_index.max(run.from_index);
        let during = spans.into_iter().flat_map(|it| it.range(run.from_index..=last));
        wire::ArtifactRun {
            gaps: during.flat_map(|(_, span)| &span.gaps).map(report_gap).collect(),
            environment: run.environment,
            name: run.name,
            fingerprint: run.fingerprint.map(|known| known.to_string()).unwrap_or_default(),
            replicas: run.replicas,
            since: RunningSince {
                started: run.started_at,
                first_seen: Some(run.first_seen.1.seconds()),
                first_snapshot: Some(run.first_seen.0.into()),
                first_seen_at_the_latest: Some(run.first_seen.0 == 1),
                confirmed_until: spans
                    .and_then(|spans| spans.get(&last_index))
                    .map(|span| span.confirmed_until.seconds()),
            },
            first_index: run.from_index.into(),
            from: run.from.seconds(),
            last_index: last_index.into(),
            to: run.to.map(|(_, at)| at.seconds()),
        }
    };
    runs.into_iter().map(document).collect()
}

//! What ran in the time of a bundle.

use std::collections::BTreeMap;

use super::Content;
use crate::domain::{Event, FirstTime, Micros, SnapshotArtifact};

/// A period in which an artifact ran with the same number of replicas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::proof) struct Run<'a> {
    /// With its provenance.
    pub(in crate::proof) artifact: &'a SnapshotArtifact,
    pub(in crate::proof) replicas: u64,
    /// The snapshot with which it began, and when that was recorded.
    pub(in crate::proof) from: (u32, Micros),
    /// It ran so already before the first snapshot of the bundle.
    pub(in crate::proof) since_before: bool,
    /// The snapshot with which it ended; `None` if it ran at the end.
    pub(in crate::proof) to: Option<(u32, Micros)>,
    /// When its oldest replica started, as ECS said with the snapshot with which it began; in seconds
    /// since the Unix epoch.
    pub(in crate::proof) started: Option<i64>,
    /// The first snapshot that contains the artifact without interruption, with any number of replicas.
    /// If that is the environment's first, it may have run before.
    pub(in crate::proof) first_seen: Option<(u32, Micros)>,
    /// The last report that still had it, within the time of the bundle.
    pub(in crate::proof) confirmed_until: Micros,
    /// What never ran in the environment before, if the artifact started with it.
    pub(in crate::proof) first_time: Option<FirstTime>,
}

impl Content {
    /// What ran, in the order of the artifacts and of time.
    pub(in crate::proof) fn runs(&self) -> Vec<Run<'_>> {
        let mut open = BTreeMap::new();
        let mut runs = Vec::new();
        let first_span = self.spans.first().map_or((0, self.from), |span| (span.index, span.from));
        for artifact in self.first.iter().filter(|artifact| artifact.runs()) {
            let run = Run {
                since_before: artifact.was == artifact.now,
                first_time: artifact.first_time_here(),
                ..self.open_run(artifact, first_span)
            };
            open.insert(artifact.identity(), run);
        }
        for event in &self.events {
            let Event { index, recorded_at, artifact } = event;
            let at = (*index, *recorded_at);
            if let Some(run) = open.remove(&artifact.identity()) {
                let confirmed_until = self.confirmed_before(*index);
                runs.push(Run { to: Some(at), confirmed_until, ..run });
            }
            if artifact.runs() {
                let run =
                    Run { first_time: event.first_time_here(), ..self.open_run(artifact, at) };
                open.insert(artifact.identity(), run);
            }
        }
        runs.extend(open.into_values());
        runs.sort_by_key(|run| (run.artifact.name.clone(), run.artifact.identity(), run.from.0));
        runs
    }

    /// A run of the artifact that begins with a snapshot and lasts to the end of the bundle.
    fn open_run(&self, artifact: &SnapshotArtifact, from: (u32, Micros)) -> Run<'_> {
        Run {
            artifact: &self.artifacts[&artifact.identity()],
            replicas: artifact.now,
            from,
            since_before: false,
            to: None,
            started: artifact.started_at.first().copied(),
            first_seen: artifact.seen.map(|seen| (seen.first_index, seen.first_at)),
            confirmed_until: self.confirmed_before(u32::MAX),
            first_time: None,
        }
    }

    /// The time of the last report before the snapshot with this index.
    fn confirmed_before(&self, index: u32) -> Micros {
        let after = self.spans.partition_point(|span| span.index < index);
        let before = after.checked_sub(1).and_then(|at| self.spans.get(at));
        before.map_or(self.from, |span| span.confirmed_until.min(self.to))
    }
}

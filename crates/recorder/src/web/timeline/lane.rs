//! Lanes of the timeline.

use std::collections::BTreeMap;

use crate::domain::{FirstTime, SnapshotSummary};
use envsnap_model::snapshot::{Fingerprint, Identity, ImageName};

/// The history of one artifact in a window of snapshots, which are its columns, from 0.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The columns in which its replicas changed, with their new number; 0 if it exited. It does not
    /// run before the first one.
    pub(crate) steps: Vec<(usize, u64)>,
    /// The columns in which it started and never ran in the environment before, with the widest of what
    /// is new.
    pub(crate) first_times: Vec<(usize, FirstTime)>,
    /// When the earliest of its first replicas started, in seconds since the Unix epoch. It orders
    /// artifacts that already ran in the first column.
    since: i64,
}

/// A period in which an artifact ran: from a column to the one in which it exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) from: usize,
    pub(crate) to: Option<usize>,
}

/// The lanes of these snapshots by repository and start, so that a version is below the one that it
/// replaces.
pub(crate) fn lanes(snapshots: &[SnapshotSummary]) -> Vec<Lane> {
    let mut lanes = BTreeMap::<Identity, Lane>::new();
    for (column, snapshot) in snapshots.iter().enumerate() {
        for artifact in &snapshot.changes {
            let identity = artifact.identity();
            if column == 0 && !artifact.runs() {
                continue;
            }
            let lane = lanes.entry(identity).or_insert_with(|| Lane {
                name: artifact.name.clone(),
                fingerprint: artifact.fingerprint,
                steps: Vec::new(),
                first_times: Vec::new(),
                since: artifact.started_at.first().copied().unwrap_or_default(),
            });
            lane.steps.push((column, artifact.now));
            if let Some(kind) = snapshot.first_times.get(&artifact.identity()) {
                lane.first_times.push((column, *kind));
            }
        }
    }
    let mut lanes: Vec<_> = lanes.into_values().collect();
    lanes.retain(|lane| lane.segments().next().is_some());
    lanes.sort_by(|one, other| {
        let order = one.repository().cmp(other.repository());
        let order = order.then(one.start().cmp(&other.start()));
        order.then_with(|| (&one.name, one.fingerprint).cmp(&(&other.name, other.fingerprint)))
    });
    lanes
}

impl Lane {
    pub(crate) fn identity(&self) -> Identity {
        Identity::new(&self.name, self.fingerprint)
    }

    /// The image's name without tag and digest.
    pub(crate) fn repository(&self) -> &str {
        ImageName::new(&self.name).repository
    }

    /// The column in which it started, and the time.
    fn start(&self) -> (usize, i64) {
        (self.steps.first().map_or(0, |(column, _)| *column), self.since)
    }

    /// Its replicas at the end of the window; 0 if it exited.
    pub(crate) fn replicas_at_the_end(&self) -> u64 {
        self.steps.last().map_or(0, |(_, replicas)| *replicas)
    }

    /// Periods with the same number of replicas: start, end if it is in the window, and replicas.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (usize, Option<usize>, u64)> {
        let ends = self.steps.iter().skip(1).map(|(column, _)| Some(*column)).chain([None]);
        self.steps
            .iter()
            .zip(ends)
            .filter(|((_, replicas), _)| *replicas > 0)
            .map(|((column, replicas), end)| (*column, end, *replicas))
    }

    /// Periods without an exit, in each of which the replicas may change.
    pub(crate) fn runs(&self) -> Vec<Run> {
        let mut runs = Vec::<Run>::new();
        for (from, to, _) in self.segments() {
            match runs.last_mut() {
                Some(run) if run.to == Some(from) => run.to = to,
                _ => runs.push(Run { from, to }),
            }
        }
        runs
    }
}

/// The replacement of one lane by another: the column in which the new one starts, and the one in
/// which the old one exits, which may be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rollover {
    pub(crate) old: usize,
    pub(crate) new: usize,
    pub(crate) started: usize,
    pub(crate) exited: usize,
}

/// The rollovers among lanes of one repository. The successor is the last one of those that started
/// while the old one ran, or when it exited, and that outlive it.
pub(crate) fn rollovers(lanes: &[Lane]) -> Vec<Rollover> {
    let runs: Vec<_> = lanes.iter().map(Lane::runs).collect();
    let mut rollovers = Vec::new();
    for (old, of_old) in runs.iter().enumerate() {
        for Run { from, to } in of_old {
            let Some(exited) = *to else { continue };
            let successor = runs
                .iter()
                .enumerate()
                .filter(|(new, _)| *new != old)
                .flat_map(|(new, runs)| runs.iter().map(move |run| (new, *run)))
                .filter(|(new, run)| {
                    let since = |lane: usize, run: usize| {
                        (run, if run == 0 { lanes[lane].since } else { 0 })
                    };
                    since(*new, run.from) > since(old, *from) && run.from <= exited
                })
                .filter(|(_, run)| run.to.is_none_or(|to| to > exited))
                .max_by_key(|(new, run)| (run.from, *new));
            if let Some((new, run)) = successor {
                rollovers.push(Rollover { old, new, started: run.from, exited });
            }
        }
    }
    rollovers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Micros, SnapshotArtifact, SnapshotSpan, Task};

    fn artifact(name: &str, was: u64, now: usize) -> SnapshotArtifact {
        let task = Task::unknown();
        SnapshotArtifact {
            name: name.to_owned(),
            fingerprint: None,
            was,
            now: now as u64,
            started_at: vec![1; now],
            task,
            places: Vec::new(),
            seen: None,
            provenance: None,
        }
    }

    /// With a later start.
    fn started_later(artifact: SnapshotArtifact) -> SnapshotArtifact {
        SnapshotArtifact { started_at: vec![2; artifact.started_at.len()], ..artifact }
    }

    fn window(snapshots: Vec<Vec<SnapshotArtifact>>) -> Vec<SnapshotSummary> {
        let from = Micros(0);
        let span =
            SnapshotSpan { index: 1, from, to: None, confirmed_until: from, gaps: Vec::new() };
        let snapshot = |changes| SnapshotSummary {
            span: span.clone(),
            artifacts: 0,
            replicas: 0,
            changes,
            first_times: BTreeMap::new(),
        };
        snapshots.into_iter().map(snapshot).collect()
    }

    fn lanes_with_rollovers() -> Vec<Lane> {
        lanes(&window(vec![
            vec![artifact("web:9", 3, 3), artifact("gone:1", 1, 0), artifact("db:1", 1, 1)],
            vec![artifact("web:1", 0, 3)],
            vec![artifact("web:9", 3, 1)],
            vec![artifact("web:9", 1, 0)],
            vec![artifact("db:1", 1, 0), artifact("db:2", 0, 1)],
            vec![artifact("web:9", 0, 2)],
        ]))
    }

    #[test]
    fn lanes_are_sorted_by_repository_then_start() {
        let steps: Vec<_> =
            lanes_with_rollovers().into_iter().map(|lane| (lane.name, lane.steps)).collect();
        let lane = |name: &str, steps: &[_]| (name.to_owned(), steps.to_vec());
        assert_eq!(
            steps,
            [
                lane("db:1", &[(0, 1), (4, 0)]),
                lane("db:2", &[(4, 1)]),
                lane("web:9", &[(0, 3), (2, 1), (3, 0), (5, 2)]),
                lane("web:1", &[(1, 3)]),
            ]
        );
    }

    #[test]
    fn lane_has_the_columns_of_its_first_run_in_the_environment() {
        let mut window =
            window(vec![vec![], vec![artifact("web:1", 0, 1)], vec![artifact("web:1", 1, 2)]]);
        let first_times = &mut window[1].first_times;
        first_times.insert(Identity::new("web:1", None), FirstTime::Repository);
        assert_eq!(lanes(&window)[0].first_times, [(1, FirstTime::Repository)]);
    }

    #[test]
    fn segments_have_start_end_and_replicas_and_adjacent_ones_are_one_run() {
        let lanes = lanes_with_rollovers();
        let segments: Vec<_> = lanes[2].segments().collect();
        assert_eq!(segments, [(0, Some(2), 3), (2, Some(3), 1), (5, None, 2)]);
        assert_eq!(lanes[2].runs(), [Run { from: 0, to: Some(3) }, Run { from: 5, to: None }]);
    }

    #[test]
    fn rollover_spans_start_of_new_version_to_exit_of_old_one() {
        let lanes = lanes_with_rollovers();
        assert_eq!(rollovers(&lanes[..2]), [Rollover { old: 0, new: 1, started: 4, exited: 4 }]);
        assert_eq!(rollovers(&lanes[2..]), [Rollover { old: 0, new: 1, started: 1, exited: 3 }]);
    }

    #[test]
    fn rollover_between_versions_of_the_first_column_is_ordered_by_their_start_times() {
        let lanes = lanes(&window(vec![
            vec![started_later(artifact("web:1", 3, 3)), artifact("web:9", 1, 1)],
            vec![artifact("web:9", 1, 0)],
            vec![artifact("web:1", 3, 0)],
        ]));
        assert_eq!(lanes[0].name, "web:9");
        let expected = [Rollover { old: 0, new: 1, started: 0, exited: 1 }];
        assert_eq!(rollovers(&lanes), expected);
    }
}

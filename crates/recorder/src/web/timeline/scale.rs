//! Horizontal positions in the timeline.

use crate::domain::{Micros, SnapshotWindow};
use envsnap_model::plausible_times;

/// The width of the timeline, in its own units.
pub(crate) const WIDTH: f64 = 10_000.0;

/// How the width of a column follows from its duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum TimeScale {
    /// Logarithmic, so that a rollover of two minutes is visible beside a week without a change.
    #[default]
    Compressed,
    /// Proportional.
    Linear,
}

/// The horizontal positions of the columns, one per snapshot.
#[derive(Debug)]
pub(crate) struct Scale {
    /// The start of each column and the end of the last one, in seconds since the Unix epoch,
    /// ascending.
    times: Vec<f64>,
    /// Their positions from 0 to [`WIDTH`], ascending.
    edges: Vec<f64>,
}

impl Scale {
    pub(crate) fn new(window: &SnapshotWindow, now: f64, time_scale: TimeScale) -> Self {
        let begins = window.snapshots.iter().map(|snapshot| snapshot.span.from.seconds());
        let times: Vec<_> = begins.chain([window.end.map_or(now, Micros::seconds)]).collect();
        let times = plausible_times(&times, now);
        let weights = times.windows(2).map(|pair| {
            let lasted = pair[1] - pair[0];
            match time_scale {
                TimeScale::Compressed => 1.0 + (lasted / 60.0).ln_1p(),
                TimeScale::Linear => lasted,
            }
        });
        let mut edges = vec![0.0];
        let mut sum = 0.0;
        for weight in weights {
            sum += weight;
            edges.push(sum);
        }
        for edge in &mut edges {
            *edge *= if sum > 0.0 { WIDTH / sum } else { 0.0 };
        }
        Self { times, edges }
    }

    /// The left edge of a column; the right edge of the timeline if it is `None`.
    pub(crate) fn edge(&self, column: Option<usize>) -> f64 {
        column.and_then(|column| self.edges.get(column)).copied().unwrap_or(WIDTH)
    }

    /// The position of `time` in this column.
    pub(crate) fn within(&self, column: usize, time: f64) -> f64 {
        let (left, right) = (self.edge(Some(column)), self.edge(Some(column + 1)));
        let (Some(begin), Some(end)) = (self.times.get(column), self.times.get(column + 1)) else {
            return right;
        };
        if end <= begin {
            return left;
        }
        left + (right - left) * ((time - begin) / (end - begin)).clamp(0.0, 1.0)
    }

    /// Start and end in seconds since the Unix epoch; `None` without columns.
    pub(crate) fn span(&self) -> Option<(f64, f64)> {
        (self.times.len() > 1).then(|| (self.times[0], self.times[self.times.len() - 1]))
    }

    /// Columns whose left edges are at least `apart` from each other, from the left, and from the
    /// right edge of the timeline.
    pub(crate) fn labelled(&self, apart: f64) -> Vec<usize> {
        let mut labelled = Vec::new();
        let mut free = 0.0;
        for (column, edge) in self.edges.iter().enumerate().take(self.edges.len() - 1) {
            if *edge >= free && (column == 0 || *edge <= WIDTH - 2.0 * apart) {
                labelled.push(column);
                free = edge + apart;
            }
        }
        labelled
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{SnapshotSpan, SnapshotSummary};

    fn window(times: &[f64]) -> SnapshotWindow {
        let summary = |time: &f64| {
            let from = Micros::from_seconds(*time);
            let span =
                SnapshotSpan { index: 1, from, to: None, confirmed_until: from, gaps: Vec::new() };
            SnapshotSummary {
                span,
                artifacts: 0,
                replicas: 0,
                changes: Vec::new(),
                first_times: BTreeMap::new(),
            }
        };
        SnapshotWindow { snapshots: times.iter().map(summary).collect(), end: None, count: 1 }
    }

    #[test]
    fn compressed_scale_widens_two_minutes_beside_a_week_and_linear_scale_does_not() {
        let week = 7.0 * 86_400.0;
        let window = window(&[0.0, week, week + 120.0]);
        let compressed = Scale::new(&window, 2.0 * week, TimeScale::Compressed);
        let [from, to] = [1, 2].map(|column| compressed.edge(Some(column)));
        assert!(to - from > WIDTH / 20.0, "{from} {to}");
        let linear = Scale::new(&window, 2.0 * week, TimeScale::Linear);
        let [from, to] = [1, 2].map(|column| linear.edge(Some(column)));
        assert!((from - WIDTH / 2.0).abs() < 1.0 && to - from < 2.0, "{from} {to}");
    }

    proptest! {
        #[test]
        fn column_positions_ascend_within_timeline_width_and_labels_keep_their_distance(
            times in proptest::collection::vec(-1e12..1e12_f64, 0..20), now in -1e12..1e12_f64,
            is_true: bool, apart in 1.0..WIDTH,
        ) {
            let time_scale = if is_true { TimeScale::Linear } else { TimeScale::Compressed };
            let scale = Scale::new(&window(&times), now, time_scale);
            let mut before = 0.0;
            for (column, time) in times.iter().enumerate() {
                let edge = scale.edge(Some(column));
                let within = scale.within(column, time + 1.0);
                prop_assert!(before <= edge && edge <= within, "{before} {edge} {within}");
                prop_assert!(within <= scale.edge(Some(column + 1)) + 1e-6);
                before = edge;
            }
            prop_assert!(before <= WIDTH + 1e-6);
            let labelled = scale.labelled(apart);
            for pair in labelled.windows(2) {
                prop_assert!(scale.edge(Some(pair[1])) - scale.edge(Some(pair[0])) >= apart);
            }
        }
    }
}

//! Where a time stands in the picture.

use crate::domain::{Micros, SnapshotWindow};
use envsnap_model::plausible_times;

/// The width of the whole picture, in its own units.
pub(crate) const WIDTH: f64 = 10_000.0;

/// How long a window of time is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Measure {
    /// The longer, the wider, but much less than in proportion: a rollover of two minutes is seen
    /// beside a week without a change.
    #[default]
    Shortened,
    /// In proportion.
    True,
}

/// Where the columns of a picture stand, one a snapshot.
#[derive(Debug)]
pub(crate) struct Scale {
    /// When each column begins, and when the last one ends, in seconds since the Unix epoch; never
    /// falling.
    times: Vec<f64>,
    /// Where, from 0 to [`WIDTH`]; never falling.
    edges: Vec<f64>,
}

impl Scale {
    pub(crate) fn of(window: &SnapshotWindow, now: f64, measure: Measure) -> Self {
        let begins = window.snapshots.iter().map(|snapshot| snapshot.span.from.seconds());
        let times: Vec<_> = begins.chain([window.end.map_or(now, Micros::seconds)]).collect();
        let times = plausible_times(&times, now);
        let weights = times.windows(2).map(|pair| {
            let lasted = pair[1] - pair[0];
            match measure {
                Measure::Shortened => 1.0 + (lasted / 60.0).ln_1p(),
                Measure::True => lasted,
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

    /// Where a column begins; the end of the picture for none.
    pub(crate) fn edge(&self, column: Option<usize>) -> f64 {
        column.and_then(|column| self.edges.get(column)).copied().unwrap_or(WIDTH)
    }

    /// Where `time` stands, in this column.
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

    /// From when to when, in seconds since the Unix epoch; `None` where there is no column.
    pub(crate) fn span(&self) -> Option<(f64, f64)> {
        (self.times.len() > 1).then(|| (self.times[0], self.times[self.times.len() - 1]))
    }

    /// The columns whose beginnings stand at least `apart` from each other, from the left, and
    /// from the end of the picture.
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
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{SnapshotSpan, SnapshotSummary};

    fn window(times: &[f64]) -> SnapshotWindow {
        let summary = |time: &f64| {
            let from = Micros::from_seconds(*time);
            let span =
                SnapshotSpan { index: 1, from, to: None, confirmed_until: from, gaps: Vec::new() };
            SnapshotSummary { span, artifacts: 0, replicas: 0, changes: Vec::new() }
        };
        SnapshotWindow { snapshots: times.iter().map(summary).collect(), end: None, count: 1 }
    }

    #[test]
    fn two_minutes_are_seen_beside_a_week() {
        let week = 7.0 * 86_400.0;
        let window = window(&[0.0, week, week + 120.0]);
        let shortened = Scale::of(&window, 2.0 * week, Measure::Shortened);
        let [from, to] = [1, 2].map(|column| shortened.edge(Some(column)));
        assert!(to - from > WIDTH / 20.0, "{from} {to}");
        let proportional = Scale::of(&window, 2.0 * week, Measure::True);
        let [from, to] = [1, 2].map(|column| proportional.edge(Some(column)));
        assert!((from - WIDTH / 2.0).abs() < 1.0 && to - from < 2.0, "{from} {to}");
    }

    proptest! {
        #[test]
        fn every_column_is_inside_the_picture_in_order(
            times in proptest::collection::vec(-1e12..1e12_f64, 0..20), now in -1e12..1e12_f64,
            is_true: bool, apart in 1.0..WIDTH,
        ) {
            let measure = if is_true { Measure::True } else { Measure::Shortened };
            let scale = Scale::of(&window(&times), now, measure);
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

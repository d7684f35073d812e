//! Times that no report covers, as the recorder defines them: how they are printed.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::terminal::Terminal;
use crate::api::wire::ReportGap;
use crate::recorder::text::two_unit_duration;

/// Gaps that are listed; `envsnap env log` has them all.
const MAX_LISTED_GAPS: usize = 5;

/// `no report from Mon, 22 Aug 2022 12:39:22 CEST to now: 4 h 5 min`.
pub(super) fn describe(gap: &ReportGap, terminal: &Terminal) -> String {
    let now = terminal.now.as_duration().as_secs_f64();
    let until = gap.until.map_or_else(|| "now".to_owned(), |until| terminal.time(until));
    let duration = two_unit_duration(gap.until.unwrap_or(now) - gap.from);
    format!("no report from {} to {until}: {duration}", terminal.time(gap.from))
}

/// The gap that contains `time`.
pub(super) fn gap_at(gaps: &[ReportGap], time: Timestamp) -> Option<&ReportGap> {
    let time = time.as_duration().as_secs_f64();
    gaps.iter().find(|gap| gap.contains(time))
}

/// What is not covered of a snapshot's time as the latest one: first the gap that contains `time`, then
/// the others; a line each.
pub(super) fn gap_lines(gaps: &[ReportGap], time: Timestamp, terminal: &Terminal) -> String {
    let mut text = String::new();
    let here = gap_at(gaps, time);
    if let Some(gap) = here {
        let _infallible = writeln!(
            text,
            "Not covered: {}. This is what was reported last before that.",
            describe(gap, terminal)
        );
    }
    let others: Vec<_> = gaps.iter().filter(|gap| Some(*gap) != here).collect();
    for gap in others.iter().take(MAX_LISTED_GAPS) {
        let _infallible = writeln!(text, "({})", describe(gap, terminal));
    }
    if let Some(more) = others.len().checked_sub(MAX_LISTED_GAPS).filter(|more| *more > 0) {
        let _infallible = writeln!(text, "(and {more} times more without a report)");
    }
    text
}

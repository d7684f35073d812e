//! Gaps in coverage: periods in which an environment was not reported as often as its heartbeat demands.

use envsnap_model::plausible_times;

use super::snapshots::History;
use crate::domain::{Micros, ReportGap, SnapshotSpan, is_covered};

/// A period in which reports came without a gap, and without the clock being set back.
#[derive(Debug, Clone, Copy)]
struct CoveredPeriod {
    /// The first report.
    from: Micros,
    /// The last report.
    until: Micros,
}

/// A gap, and the position of the covered period after which it began.
type GapAfter = (usize, ReportGap);

/// Adds to each span the gaps in the reports that began in it.
///
/// A gap belongs to the snapshot that was the latest when it began, since that is the one that was
/// not confirmed.
pub(super) fn add_report_gaps(
    history: &History<'_>,
    spans: &mut [SnapshotSpan],
) -> rusqlite::Result<()> {
    let periods = covered_periods(history)?;
    let gaps = gaps_between(history, &periods);
    if gaps.is_empty() {
        return Ok(());
    }
    let in_order = periods.is_sorted_by(|before, after| before.until <= after.from);
    let snapshots = if in_order { None } else { Some(periods_of_snapshots(history, &periods)?) };
    for (period, gap) in gaps {
        let span = match &snapshots {
            None => spans
                .iter_mut()
                .rfind(|span| span.from <= gap.from && span.to.is_none_or(|to| gap.from < to)),
            // Times do not say which snapshot was the latest.
            Some(snapshots) => {
                let index = snapshots.partition_point(|of_snapshot| *of_snapshot <= period);
                spans.iter_mut().find(|span| usize::try_from(span.index) == Ok(index))
            }
        };
        if let Some(span) = span {
            span.gaps.push(gap);
        }
    }
    Ok(())
}

/// The covered periods of the environment, in the order of the ledger.
fn covered_periods(history: &History<'_>) -> rusqlite::Result<Vec<CoveredPeriod>> {
    let mut periods: Vec<_> = history
        .connection
        .prepare_cached(
            "SELECT from_at, until_at FROM coverage
             WHERE org_id = $1 AND environment_id = $2 ORDER BY number",
        )?
        .query_map([history.org_id, history.environment_id], |row| {
            Ok(CoveredPeriod { from: Micros(row.get(0)?), until: Micros(row.get(1)?) })
        })?
        .collect::<rusqlite::Result<_>>()?;
    if let (Some(latest), Some(last_report)) = (periods.last_mut(), history.last_reported_at) {
        latest.until = last_report;
    }
    for period in &mut periods {
        // A file of an earlier version: the period began while the clock was ahead, and went on.
        period.from = period.from.min(period.until);
    }
    Ok(periods)
}

/// The gaps between these periods and after the last one, the earliest first.
///
/// When the periods of a [wrong clock](are_at_wrong_times) were is not known, but how long they lasted
/// is: if that leaves no time that is not covered between the periods around them, there is no gap.
fn gaps_between(history: &History<'_>, periods: &[CoveredPeriod]) -> Vec<GapAfter> {
    let mut gaps = Vec::new();
    let mut before: Option<(usize, Micros)> = None;
    // How long reports came since then with a wrong clock, in microseconds; `None` if none did.
    let mut lasted: Option<i64> = None;
    for (at, (period, is_wrong)) in
        periods.iter().zip(are_at_wrong_times(history, periods)).enumerate()
    {
        if is_wrong {
            let this = period.until.0.saturating_sub(period.from.0).max(0);
            lasted = Some(lasted.unwrap_or(0).saturating_add(this));
            continue;
        }
        if let Some((at_before, from)) = before {
            let is_gap = match lasted {
                None => from < period.from,
                Some(lasted) => !is_covered_but(history, from, period.from, lasted),
            };
            if is_gap {
                gaps.push((at_before, ReportGap { from, until: Some(period.from) }));
            }
        }
        (before, lasted) = (Some((at, period.until)), None);
    }
    if let Some((at_before, from)) = before
        && history.last_reported_at.is_some()
        && !is_covered_but(history, from, history.now, lasted.unwrap_or(0))
    {
        gaps.push((at_before, ReportGap { from, until: None }));
    }
    gaps
}

/// For each period, whether the clock was wrong in it: its time is not [plausible](plausible_times),
/// or the clock was set back at its end by more than a pause that leaves no gap, and by no more than
/// it had advanced since the report before it.
fn are_at_wrong_times(history: &History<'_>, periods: &[CoveredPeriod]) -> Vec<bool> {
    let times: Vec<_> = periods.iter().map(|period| period.from.seconds()).collect();
    let plausible = plausible_times(&times, history.now.seconds());
    let plausible: Vec<_> = plausible.into_iter().map(Micros::from_seconds).collect();
    let mut before: Option<Micros> = None;
    let is_wrong = |(at, period): (usize, &CoveredPeriod)| {
        let next = plausible.get(at + 1).copied().unwrap_or(history.now);
        let was_set_back = !is_covered(next, history.heartbeat, period.until)
            && before.is_some_and(|before| {
                let advanced = period.from.0.saturating_sub(before.0);
                period.until.0.saturating_sub(next.0) <= advanced
            });
        let is_wrong = plausible.get(at) != Some(&period.from) || was_set_back;
        if !is_wrong {
            before = Some(period.until);
        }
        is_wrong
    };
    periods.iter().enumerate().map(is_wrong).collect()
}

/// Whether a report at `from` covers the time until `to`, of which `lasted` microseconds are covered
/// by other reports.
fn is_covered_but(history: &History<'_>, from: Micros, to: Micros, lasted: i64) -> bool {
    is_covered(from, history.heartbeat, Micros(to.0.saturating_sub(lasted)))
}

/// For each snapshot, by index, the position of the covered period in which it was recorded. Never descending.
fn periods_of_snapshots(
    history: &History<'_>,
    periods: &[CoveredPeriod],
) -> rusqlite::Result<Vec<usize>> {
    let mut latest = 0;
    let times = history.recorded_times()?.into_iter();
    Ok(times
        .map(|time| {
            let is_in = |period: &CoveredPeriod| (period.from..=period.until).contains(&time);
            let found = periods.iter().skip(latest).position(is_in);
            latest += found.unwrap_or(0);
            latest
        })
        .collect())
}

#[cfg(test)]
mod tests;

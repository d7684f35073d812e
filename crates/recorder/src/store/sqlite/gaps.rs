//! Gaps in coverage: periods in which an environment was not reported as often as its heartbeat demands.

use rusqlite::params;

use super::snapshots::History;
use crate::domain::{Micros, ReportGap, SnapshotSpan, is_covered};

/// Adds to each span the gaps in the reports that began in it.
///
/// A gap belongs to the snapshot that was the latest when it began, since that is the one that was
/// not confirmed.
pub(super) fn add_report_gaps(
    history: &History<'_>,
    spans: &mut [SnapshotSpan],
) -> rusqlite::Result<()> {
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Ok(()) };
    let from = first.from;
    let until = last.to.unwrap_or(Micros(i64::MAX));
    let mut gaps = ended_gaps(history, from, until)?;
    gaps.extend(current_gap(history));
    for gap in gaps {
        let span = spans
            .iter_mut()
            .rfind(|span| span.from <= gap.from && span.to.is_none_or(|to| gap.from < to));
        if let Some(span) = span {
            span.gaps.push(gap);
        }
    }
    Ok(())
}

/// The gaps that began in this period and have ended, the earliest first.
fn ended_gaps(
    history: &History<'_>,
    from: Micros,
    until: Micros,
) -> rusqlite::Result<Vec<ReportGap>> {
    let mut statement = history.connection.prepare_cached(
        "SELECT coverage.until_at, next.from_at, next.until_at,
                next.number = (SELECT max(number) FROM coverage
                               WHERE org_id = $1 AND environment_id = $2)
         FROM coverage
         JOIN coverage AS next ON next.org_id = coverage.org_id
             AND next.environment_id = coverage.environment_id
             AND next.number = coverage.number + 1
         WHERE coverage.org_id = $1 AND coverage.environment_id = $2
           AND coverage.until_at >= $3 AND coverage.until_at < $4
         ORDER BY coverage.number",
    )?;
    let mut rows =
        statement.query(params![history.org_id, history.environment_id, from.0, until.0])?;
    let mut gaps = Vec::new();
    while let Some(row) = rows.next()? {
        let (from, first_report) = (Micros(row.get(0)?), Micros(row.get(1)?));
        let last_report = if row.get(3)? {
            history.last_reported_at.unwrap_or(first_report)
        } else {
            Micros(row.get(2)?)
        };
        // The clock may have been ahead when the gap ended, and then was set back: reports came
        // earlier than it showed.
        let end = first_report.min(last_report);
        let was_ahead = last_report < first_report;
        if !(was_ahead && is_covered(from, history.heartbeat, end)) {
            gaps.push(ReportGap { from, until: Some(end) });
        }
    }
    Ok(gaps)
}

/// The gap since the last report, if the next one is overdue.
fn current_gap(history: &History<'_>) -> Option<ReportGap> {
    let last = history.last_reported_at?;
    let covered = is_covered(last, history.heartbeat, history.now);
    (!covered).then_some(ReportGap { from: last, until: None })
}

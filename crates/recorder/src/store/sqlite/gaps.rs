//! Times that no report covers.

use rusqlite::params;

use super::snapshots::History;
use crate::domain::{Micros, ReportGap, SnapshotSpan, is_covered};

/// Adds to each span the gaps that began in it.
///
/// A gap begins with a report, and the snapshot that was the latest then is the one of which it is
/// not known whether it was still true.
pub(super) fn add(history: &History<'_>, spans: &mut [SnapshotSpan]) -> rusqlite::Result<()> {
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Ok(()) };
    let from = first.from;
    let until = last.to.unwrap_or(Micros(i64::MAX));
    let mut gaps = closed(history, from, until)?;
    gaps.extend(open(history));
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

/// Gaps between two reports that began in this time, the earliest first.
fn closed(history: &History<'_>, from: Micros, until: Micros) -> rusqlite::Result<Vec<ReportGap>> {
    history
        .connection
        .prepare_cached(
            "SELECT coverage.until_at, next.from_at FROM coverage
             JOIN coverage AS next ON next.org_id = coverage.org_id
                 AND next.environment_id = coverage.environment_id
                 AND next.number = coverage.number + 1
             WHERE coverage.org_id = $1 AND coverage.environment_id = $2
               AND coverage.until_at >= $3 AND coverage.until_at < $4
             ORDER BY coverage.number",
        )?
        .query_map(params![history.org_id, history.environment_id, from.0, until.0], |row| {
            Ok(ReportGap { from: Micros(row.get(0)?), until: Some(Micros(row.get(1)?)) })
        })?
        .collect()
}

/// The gap that has not ended.
fn open(history: &History<'_>) -> Option<ReportGap> {
    let last = history.last_reported_at?;
    let covered = is_covered(last, history.heartbeat, history.now);
    (!covered).then_some(ReportGap { from: last, until: None })
}

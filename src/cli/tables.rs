//! Text output of reports.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::artifact_table::{ArtifactRow, artifact_table};
use super::escape::{replace_invisible, wrap};
use super::task_origin;
use super::terminal::Terminal;
use crate::recorder::text::pluralize;
use crate::report::{Calls, Changes, EnvironmentOutcome, Explanation, OutcomeKind};

/// In columns of the terminal: with less, texts would be printed letter by letter.
const MIN_WRAPPED_WIDTH: u16 = 20;

/// A table without lines, with two spaces between its columns and no trailing white space.
pub(super) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    render_table(None, header, rows)
}

/// Like [`table`]; the last column wraps if the table is wider than `width`.
pub(super) fn table_within(
    width: usize,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    render_table(Some(width), header, rows)
}

/// A table whose last column wraps at `width`, if that is given.
fn render_table(
    width: Option<usize>,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        column.set_cell_alignment(CellAlignment::Left);
        column.set_constraint(if at + 1 < header.len() {
            ColumnConstraint::ContentWidth
        } else {
            ColumnConstraint::LowerBoundary(Width::Fixed(MIN_WRAPPED_WIDTH))
        });
    }
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The outcome of a run in one environment: a summary, the artifacts, changes and explanations.
pub(super) fn outcome(outcome: &EnvironmentOutcome, terminal: &Terminal) -> String {
    let mut text = String::new();
    for line in wrap(&summary(outcome), terminal.width) {
        let _infallible = writeln!(text, "{}", line.trim_end());
    }
    if !outcome.artifacts.is_empty() {
        let rows = outcome.artifacts.iter().map(|artifact| ArtifactRow {
            cells: vec![
                replace_invisible(&artifact.name),
                artifact.digest_source.to_string(),
                artifact.replicas.to_string(),
            ],
            fingerprint: fingerprint_or_unknown(
                artifact.fingerprint.map(|f| f.to_string()).as_deref(),
            ),
            notes: Vec::new(),
        });
        let headings = ["ARTIFACT", "DIGEST_FROM", "REPLICAS"];
        text.push('\n');
        text.push_str(&artifact_table(&headings, 0, &rows.collect::<Vec<_>>(), false, terminal));
        text.push_str(&omitted_line(outcome.omitted.artifacts, "artifacts"));
    }
    let changes = changes(&outcome.changes);
    if !changes.is_empty() {
        let heading = match outcome.outcome {
            OutcomeKind::Failed => "Not posted, compared with the server's latest snapshot",
            _ => "Compared with the server's latest snapshot",
        };
        let _infallible = write!(text, "\n{heading} (- exited, + started, ~ scaled):\n\n{changes}");
        let more = outcome.omitted.started + outcome.omitted.exited + outcome.omitted.scaled;
        text.push_str(&omitted_line(more, "changes"));
    }
    if let Some(head) = &outcome.head {
        let _infallible = writeln!(text, "\nHead of the organization's ledger: {head}");
    }
    if let Some(explanations) = &outcome.explanations {
        let _infallible =
            write!(text, "\n{}", self::explanations(explanations, Some(terminal.width)));
        text.push_str(&omitted_line(outcome.omitted.explanations, "containers"));
    }
    text
}

/// What the run did, and what it cost.
fn summary(outcome: &EnvironmentOutcome) -> String {
    let what = match (outcome.outcome, outcome.created, outcome.index) {
        (OutcomeKind::Posted, true, Some(index)) => {
            format!("posted as {}#{index}", outcome.environment)
        }
        (OutcomeKind::Posted, true, None) => "posted a new snapshot".to_owned(),
        (OutcomeKind::Posted, false, _) => outcome.posted_nothing_new().to_owned(),
        (OutcomeKind::Unchanged, ..) => "unchanged".to_owned(),
        (OutcomeKind::DryRun, ..) => "would have been posted (dry run)".to_owned(),
        (OutcomeKind::NotCompared, ..) => {
            "no server is configured: nothing was compared (dry run)".to_owned()
        }
        (OutcomeKind::Failed, ..) => "failed".to_owned(),
    };
    let Calls { ecs, server } = outcome.calls;
    let running = match outcome.containers {
        None => String::new(),
        Some(containers) => format!("{} running; ", pluralize(containers, "container")),
    };
    format!(
        "{}: {what} ({running}{} to ECS, {server} to the server; {} ms)",
        outcome.environment,
        pluralize(ecs, "call"),
        outcome.duration_ms
    )
}

/// A difference between two snapshots: `-` exited, `+` started, `~` scaled.
pub(super) fn changes(changes: &Changes) -> String {
    let exited = changes
        .exited
        .iter()
        .map(|row| ('-', &row.name, row.fingerprint, row.replicas.to_string()));
    let started = changes
        .started
        .iter()
        .map(|row| ('+', &row.name, row.fingerprint, row.replicas.to_string()));
    let scaled = changes
        .scaled
        .iter()
        .map(|row| ('~', &row.name, row.fingerprint, format!("from {} to {}", row.from, row.to)));
    exited.chain(started).chain(scaled).fold(String::new(), |mut text, change| {
        let (sign, name, fingerprint, replicas) = change;
        let _infallible = writeln!(
            text,
            "{sign} Name:     {}\n  SHA256:   {}\n  Replicas: {replicas}",
            replace_invisible(name),
            fingerprint_or_unknown(fingerprint.map(|f| f.to_string()).as_deref())
        );
        text
    })
}

/// Why each container counts or not, in lines of at most `width` columns.
pub(super) fn explanations(explanations: &[Explanation], width: Option<usize>) -> String {
    let rows = explanations.iter().map(|row| {
        let origin = task_origin::describe(&row.origin);
        let origin = origin.map_or_else(String::new, |origin| format!("; {origin}"));
        vec![
            replace_invisible(&row.cluster),
            replace_invisible(row.service.as_deref().unwrap_or("-")),
            row.task.rsplit('/').next().unwrap_or_default().chars().take(8).collect(),
            replace_invisible(&row.container),
            format!("{}{origin}", replace_invisible(&row.reason)),
        ]
    });
    render_table(width, &["CLUSTER", "SERVICE", "TASK", "CONTAINER", "WHY"], rows)
}

/// `… and 7 more changes`; empty if none is omitted.
fn omitted_line(count: usize, what: &str) -> String {
    if count == 0 { String::new() } else { format!("… and {count} more {what}\n") }
}

pub(super) fn fingerprint_or_unknown(fingerprint: Option<&str>) -> String {
    replace_invisible(
        fingerprint.filter(|fingerprint| !fingerprint.is_empty()).unwrap_or("unknown"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_omitted_rows_is_printed_unless_it_is_zero() {
        assert_eq!(omitted_line(0, "changes"), "");
        assert_eq!(omitted_line(7, "changes"), "… and 7 more changes\n");
    }

    #[test]
    fn only_the_last_column_of_a_table_wraps() {
        let rows = || [vec!["a-long-name".to_owned(), "one two three".to_owned()]];
        assert_eq!(
            table_within(
                36,
                &["NAME", "WORDS"],
                [vec!["a-long-name".to_owned(), "word ".repeat(6)]]
            ),
            "NAME         WORDS\na-long-name  word word word word\n             word word\n"
        );
        for width in [0, 1, 14, 21] {
            let output = table_within(width, &["NAME", "WORDS"], rows());
            assert_eq!(output, table(&["NAME", "WORDS"], rows()), "{width}");
        }
        assert_eq!(
            table(&["NAME", "WORDS"], rows()),
            "NAME         WORDS\na-long-name  one two three\n"
        );
    }
}

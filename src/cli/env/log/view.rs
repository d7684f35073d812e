//! Text output of `envsnap env log`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::api::wire::{EnvironmentEvent, ReportGap, SnapshotListEntry};
use crate::cli::coverage;
use crate::cli::escape::replace_invisible;
use crate::cli::since;
use crate::cli::tables::{fingerprint_or_unknown, table, table_within};
use crate::cli::terminal::{Colour, Terminal};
use crate::recorder::text::two_unit_duration;

/// The snapshots that `envsnap env log` prints, as a table or in the long form.
pub(super) struct LogView<'a> {
    /// The latest first.
    pub(super) rows: Vec<LogRow<'a>>,
}

/// A snapshot, and what changed with it.
pub(super) struct LogRow<'a> {
    /// In a log of several environments.
    pub(super) environment: Option<&'a str>,
    pub(super) snapshot: &'a SnapshotListEntry,
    /// `None` if they are too many to be fetched.
    pub(super) changes: Option<Vec<EnvironmentEvent>>,
}

impl LogRow<'_> {
    /// `#INDEX`, in a log of several environments with the environment before it.
    fn snapshot_name(&self) -> String {
        let environment = self.environment.map(replace_invisible).unwrap_or_default();
        format!("{environment}#{}", self.snapshot.index)
    }
}

impl LogView<'_> {
    /// A table with a row for each snapshot, and lines for the times that no report covers.
    /// Unless `wide`, its last column wraps at the terminal's width.
    pub(super) fn table_text(&self, wide: bool, terminal: &Terminal) -> String {
        if self.rows.is_empty() {
            return "No snapshot.\n".to_owned();
        }
        let rows = self.rows.iter().map(|row| {
            vec![
                row.snapshot_name(),
                terminal.time(row.snapshot.from),
                end_text(row.snapshot, terminal),
                two_unit_duration(duration_secs(row.snapshot, terminal)),
                change_summary(row),
            ]
        });
        let headings = ["SNAPSHOT", "FROM", "TO", "DURATION", "CHANGED"];
        let table = if wide {
            table(&headings, rows)
        } else {
            table_within(terminal.width, &headings, rows)
        };
        let mut lines = table.lines();
        let mut text = String::new();
        if let Some(header) = lines.next() {
            let _infallible = writeln!(text, "{}", terminal.paint(Colour::Bold, header));
        }
        let mut rows = self.rows.iter();
        for line in lines {
            // The further lines of a row have nothing in its first column.
            let row = if line.starts_with(' ') { None } else { rows.next() };
            // Newest first: a gap after a snapshot is printed above it.
            for gap in row.map(|row| gap_lines(row, terminal)).into_iter().flatten() {
                let _infallible = writeln!(text, "  {gap}");
            }
            let _infallible = writeln!(text, "{line}");
        }
        text + &self.confirmation_note()
    }

    /// Each snapshot with a block for each of its changes: the output of `--long`.
    pub(super) fn long_text(&self, terminal: &Terminal) -> String {
        if self.rows.is_empty() {
            return "No snapshot.\n".to_owned();
        }
        let snapshots: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                let mut text = format!(
                    "{}  {} – {} ({})\n",
                    terminal.paint(Colour::Bold, &row.snapshot_name()),
                    terminal.time(row.snapshot.from),
                    end_text(row.snapshot, terminal),
                    two_unit_duration(duration_secs(row.snapshot, terminal)),
                );
                for gap in gap_lines(row, terminal) {
                    let _infallible = writeln!(text, "  {gap}");
                }
                match &row.changes {
                    Some(changes) => {
                        text.extend(changes.iter().map(|event| event_text(event, terminal)));
                    }
                    None => {
                        text.push_str("  too many changes to list; request a shorter interval\n");
                    }
                }
                text
            })
            .collect();
        snapshots.join("\n") + &self.confirmation_note()
    }

    /// Explains the listed times without a report in environments of which no report confirmed a
    /// snapshot: that can be because the reporter has no heartbeat. Empty if there is nothing to
    /// explain.
    fn confirmation_note(&self) -> String {
        let mut environments: BTreeMap<_, Vec<&SnapshotListEntry>> = BTreeMap::new();
        for row in &self.rows {
            environments.entry(row.environment).or_default().push(row.snapshot);
        }
        environments.retain(|_, snapshots| is_never_confirmed(snapshots));
        if environments.is_empty() {
            return String::new();
        }
        let names: Vec<_> = environments.into_keys().flatten().map(replace_invisible).collect();
        let place =
            if names.is_empty() { "here".to_owned() } else { format!("of {}", names.join(", ")) };
        format!(
            "\nNo report confirmed a snapshot {place} after it was recorded.\nWithout the reporter's \
             HEARTBEAT only changes are reported: it may have looked, and found none.\n"
        )
    }
}

/// Whether there are times without a report, and no report confirmed one of these snapshots unchanged.
/// A server may not say it.
fn is_never_confirmed(snapshots: &[&SnapshotListEntry]) -> bool {
    let mut confirmed =
        snapshots.iter().filter_map(|it| Some((it.confirmed_until?, it.from))).peekable();
    snapshots.iter().any(|it| !it.gaps.is_empty())
        && confirmed.peek().is_some()
        && confirmed.all(|(until, from)| until <= from)
}

/// How many artifacts started, exited and were scaled, and what ran for the first time: `+1 -1 ~2`.
fn change_summary(row: &LogRow<'_>) -> String {
    let Some(changes) = &row.changes else { return "?".to_owned() };
    let mut counts: BTreeMap<_, u32> = BTreeMap::new();
    for sign in changes.iter().filter_map(|event| sign_and_colour(event).map(|(sign, _)| sign)) {
        *counts.entry(sign).or_default() += 1;
    }
    let signs: Vec<_> = ['+', '-', '~']
        .iter()
        .filter_map(|sign| counts.get(sign).map(|count| format!("{sign}{count}")))
        .collect();
    let mut text = signs.join(" ");
    // Of most changes the image is new, which --long says.
    let new = changes.iter().filter_map(|event| event.first_time_here.as_deref());
    let new: BTreeSet<_> =
        new.filter(|kind| *kind != "image").map(since::first_time_here).collect();
    for kind in new {
        let _infallible = write!(text, ", {kind}");
    }
    text
}

/// A line for each time of a snapshot that no report covers, latest first.
fn gap_lines(row: &LogRow<'_>, terminal: &Terminal) -> Vec<String> {
    let environment =
        row.environment.map_or_else(String::new, |it| format!("{}: ", replace_invisible(it)));
    let line = |gap: &ReportGap| {
        let described = coverage::describe(gap, terminal);
        terminal.paint(Colour::Faint, &format!("({environment}{described})"))
    };
    row.snapshot.gaps.iter().rev().map(line).collect()
}

/// Until when the snapshot was the latest, or `now`.
fn end_text(snapshot: &SnapshotListEntry, terminal: &Terminal) -> String {
    if snapshot.to > 0.0 { terminal.time(snapshot.to) } else { "now".to_owned() }
}

/// How long the snapshot was the latest, in seconds; for the latest, until now.
fn duration_secs(snapshot: &SnapshotListEntry, terminal: &Terminal) -> f64 {
    let to = if snapshot.to > 0.0 { snapshot.to } else { terminal.now.as_duration().as_secs_f64() };
    (to - snapshot.from).max(0.0)
}

fn sign_and_colour(event: &EnvironmentEvent) -> Option<(char, Colour)> {
    match event.change.as_str() {
        "exited" => Some(('-', Colour::Red)),
        "changed" => Some(('~', Colour::Yellow)),
        change if change.starts_with("started") => Some(('+', Colour::Green)),
        _ => None,
    }
}

fn event_text(event: &EnvironmentEvent, terminal: &Terminal) -> String {
    let mut name = replace_invisible(&event.artifact_name);
    if let Some(kind) = &event.first_time_here {
        let _infallible = write!(name, " ({})", since::first_time_here(kind));
    }
    let first = match sign_and_colour(event) {
        Some((sign, colour)) => terminal.paint(colour, &format!("{sign} {name}")),
        None => format!("  {name}"),
    };
    format!(
        "  {first}\n    SHA256: {}\n    {}\n",
        fingerprint_or_unknown(Some(&event.sha256)),
        replace_invisible(&event.description)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::terminal::tests::berlin;

    fn snapshot_entry(
        index: u64,
        from: f64,
        to: f64,
        confirmed_until: Option<f64>,
    ) -> SnapshotListEntry {
        SnapshotListEntry {
            index,
            from,
            to,
            compliant: false,
            duration: to - from,
            confirmed_until,
            gaps: Vec::new(),
        }
    }

    fn artifact_event(index: u64, name: &str, change: &str, description: &str) -> EnvironmentEvent {
        serde_json::from_value(json!({
            "environment_name": "aws-prod", "snapshot_index": index, "artifact_name": name,
            "sha256": "ab".repeat(32), "description": description, "reported_at": 0.0,
            "type": change,
        }))
        .unwrap()
    }

    const SNAPSHOT_START_SECS: f64 = 1_661_161_162.48;

    fn log_view(snapshots: &[SnapshotListEntry]) -> LogView<'_> {
        let changes = vec![
            artifact_event(
                66,
                "runner:85d83c6",
                "exited",
                "1 instance stopped running (from 1 to 0)",
            ),
            artifact_event(
                66,
                "differ:1a2b170",
                "changed",
                "2 instances started running (from 1 to 3)",
            ),
            artifact_event(
                66,
                "shas:7c45272",
                "changed",
                "1 instance stopped running (from 2 to 1)",
            ),
        ];
        let started = vec![artifact_event(65, "a\u{1b}[2J", "started-unknown", "from 0 to 1")];
        let mut changes = BTreeMap::from([(66, changes), (65, started)]);
        let row = |snapshot: &'_ SnapshotListEntry| changes.remove(&snapshot.index);
        let rows = snapshots
            .iter()
            .zip(snapshots.iter().map(row))
            .map(|(snapshot, changes)| LogRow { environment: None, snapshot, changes });
        LogView { rows: rows.collect() }
    }

    #[test]
    fn table_fits_100_columns_and_has_a_line_for_each_time_without_reports() {
        let later = SNAPSHOT_START_SECS + 20_000.0;
        let snapshots = [
            snapshot_entry(66, later, 0.0, Some(berlin().now.as_duration().as_secs_f64() - 60.0)),
            SnapshotListEntry {
                gaps: vec![ReportGap { from: SNAPSHOT_START_SECS + 3_600.0, until: Some(later) }],
                ..snapshot_entry(
                    65,
                    SNAPSHOT_START_SECS,
                    later,
                    Some(SNAPSHOT_START_SECS + 3_600.0),
                )
            },
            snapshot_entry(
                64,
                SNAPSHOT_START_SECS - 90.0,
                SNAPSHOT_START_SECS,
                Some(SNAPSHOT_START_SECS - 90.0),
            ),
        ];
        assert_eq!(
            log_view(&snapshots).table_text(false, &berlin()),
            "\
SNAPSHOT  FROM                            TO                              DURATION    CHANGED
#66       Mon, 22 Aug 2022 17:12:42 CEST  now                             10 d 20 h   -1 ~2
  (no report from Mon, 22 Aug 2022 12:39:22 CEST to Mon, 22 Aug 2022 17:12:42 CEST: 4 h 33 min)
#65       Mon, 22 Aug 2022 11:39:22 CEST  Mon, 22 Aug 2022 17:12:42 CEST  5 h 33 min  +1
#64       Mon, 22 Aug 2022 11:37:52 CEST  Mon, 22 Aug 2022 11:39:22 CEST  1 min 30 s  ?
"
        );
    }

    #[test]
    fn gaps_without_any_confirmation_are_explained_by_a_reporter_without_heartbeat() {
        let gap = ReportGap { from: SNAPSHOT_START_SECS, until: None };
        let snapshots = [SnapshotListEntry {
            gaps: vec![gap],
            ..snapshot_entry(66, SNAPSHOT_START_SECS, 0.0, Some(SNAPSHOT_START_SECS))
        }];
        let note = "\nNo report confirmed a snapshot here after it was recorded.\n\
                    Without the reporter's HEARTBEAT only changes are reported: ";
        let view = log_view(&snapshots);
        for output in [view.table_text(false, &berlin()), view.long_text(&berlin())] {
            assert!(output.contains("CEST to now: 11 d 2 h)"), "{output}");
            assert!(output.contains(note), "{output}");
            assert!(output.lines().all(|line| line.chars().count() <= 100), "{output}");
        }
        // Of several environments it names those that it explains.
        let confirmed =
            snapshot_entry(7, SNAPSHOT_START_SECS, 0.0, Some(SNAPSHOT_START_SECS + 1.0));
        let mut several = log_view(&snapshots);
        several.rows[0].environment = Some("prod");
        let row = LogRow { environment: Some("beta"), snapshot: &confirmed, changes: None };
        several.rows.push(row);
        let output = several.table_text(false, &berlin());
        assert!(output.contains("No report confirmed a snapshot of prod after"), "{output}");
        // Without times to explain there is no note.
        for confirmed_until in [None, Some(SNAPSHOT_START_SECS)] {
            let snapshots = [snapshot_entry(66, SNAPSHOT_START_SECS, 0.0, confirmed_until)];
            assert_eq!(log_view(&snapshots).table_text(false, &berlin()).lines().count(), 2);
        }
    }

    #[test]
    fn long_form_prints_each_change_with_sign_fingerprint_and_description() {
        let snapshots = [
            snapshot_entry(66, SNAPSHOT_START_SECS + 60.0, 0.0, None),
            snapshot_entry(65, SNAPSHOT_START_SECS, SNAPSHOT_START_SECS + 60.0, None),
        ];
        let fingerprint = "ab".repeat(32);
        assert_eq!(
            log_view(&snapshots).long_text(&berlin()),
            format!(
                "\
#66  Mon, 22 Aug 2022 11:40:22 CEST – now (11 d 2 h)
  - runner:85d83c6
    SHA256: {fingerprint}
    1 instance stopped running (from 1 to 0)
  ~ differ:1a2b170
    SHA256: {fingerprint}
    2 instances started running (from 1 to 3)
  ~ shas:7c45272
    SHA256: {fingerprint}
    1 instance stopped running (from 2 to 1)

#65  Mon, 22 Aug 2022 11:39:22 CEST – Mon, 22 Aug 2022 11:40:22 CEST (1 min)
  + a\u{fffd}[2J
    SHA256: {fingerprint}
    from 0 to 1
"
            )
        );
    }
}

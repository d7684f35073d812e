//! The table of snapshots of an environment.

use envsnap_model::wire::ReportGap;
use maud::{Markup, html};

use super::artifact_name::label;
use super::provenance::Marks;
use super::time::{duration, time};
use crate::domain::{Micros, SnapshotArtifact, SnapshotSpan, SnapshotSummary, SnapshotWindow};
use crate::http::views::report_gap;
use crate::text::pluralize;

/// Listed changes per snapshot; the snapshot's page lists all of them.
const MAX_NAMED: usize = 4;

/// Listed gaps per snapshot; the snapshot's page lists all of them.
const MAX_GAPS: usize = 2;

/// The changes of a snapshot that the table lists.
pub(crate) fn listed_changes(
    snapshot: &SnapshotSummary,
) -> impl Iterator<Item = &SnapshotArtifact> {
    snapshot.changes.iter().filter(|artifact| artifact.changed()).take(MAX_NAMED)
}

/// One row per snapshot, latest first.
pub(crate) fn table(address: &str, window: &SnapshotWindow, marks: &Marks, now: f64) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-labelledby="snapshots" {
            table.history {
                thead {
                    tr {
                        th scope="col" { "Snapshot" }
                        th scope="col" { "Changes" }
                        th scope="col" { "Recorded" }
                        th scope="col" { "Lasted" }
                        th scope="col" { "Last confirmed" }
                        th scope="col" { "Runs" }
                    }
                }
                tbody {
                    @for snapshot in window.snapshots.iter().rev() { (row(address, snapshot, marks, now)) }
                }
            }
        }
    }
}

fn row(address: &str, snapshot: &SnapshotSummary, marks: &Marks, now: f64) -> Markup {
    let SnapshotSummary { span, artifacts, replicas, changes: changed } = snapshot;
    let SnapshotSpan { index, from, to, confirmed_until, gaps } = span;
    html! {
        tr {
            th scope="row" { a href={(address) "/snapshots/" (index)} { "#" (index) } }
            td { (changes(changed, marks)) }
            td { (time(from.seconds())) }
            td {
                (duration(to.map_or(now, Micros::seconds) - from.seconds()))
                @if to.is_none() { span.beneath { "so far" } }
            }
            td {
                @if confirmed_until > from {
                    (time(confirmed_until.seconds()))
                } @else {
                    span.quiet { "by no later report" }
                }
                @for gap in gaps.iter().take(MAX_GAPS) { span.beneath.uncovered { (describe_gap(&report_gap(gap), now)) } }
                @if gaps.len() > MAX_GAPS {
                    span.beneath { "and " (gaps.len() - MAX_GAPS) " times more" }
                }
            }
            td {
                (pluralize(*artifacts, "artifact"))
                span.beneath { (pluralize(*replicas, "replica")) }
            }
        }
    }
}

/// A time that no report covers.
pub(crate) fn describe_gap(gap: &ReportGap, now: f64) -> Markup {
    html! {
        "no report from " (time(gap.from)) " to "
        @match gap.until { Some(until) => (time(until)), None => "now" }
        ": " (duration(gap.until.unwrap_or(now) - gap.from))
    }
}

fn changes(artifacts: &[SnapshotArtifact], marks: &Marks) -> Markup {
    let changed: Vec<_> = artifacts.iter().filter(|artifact| artifact.changed()).collect();
    html! {
        ul.changes {
            @for artifact in changed.iter().take(MAX_NAMED) {
                li { (change(artifact.was, artifact.now)) " " (label(&artifact.name)) (marks.badges(artifact)) }
            }
            @if changed.len() > MAX_NAMED {
                li.quiet { "and " (changed.len() - MAX_NAMED) " more" }
            }
        }
    }
}

/// How the replicas of an artifact changed.
pub(crate) fn change(was: u64, now: u64) -> Markup {
    html! {
        @match (was, now) {
            (0, _) => span.change.started { "started" },
            (_, 0) => span.change.exited { "exited" },
            _ if was == now => span.change { "unchanged" },
            _ => span.change.scaled { "scaled " (was) " → " (now) },
        }
    }
}

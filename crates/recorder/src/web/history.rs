//! The snapshots of a window, in words.

use maud::{Markup, html};

use super::artifact::label;
use super::provenance::Marks;
use super::when::{duration, time};
use crate::domain::{
    Micros, ReportGap, SnapshotArtifact, SnapshotSpan, SnapshotSummary, SnapshotWindow,
};
use crate::text::pluralize;

/// Changes that are named of a snapshot; its own page has them all.
const MOST_NAMED: usize = 4;

/// Times without reports that are named of a snapshot; its own page has them all.
const MOST_GAPS: usize = 2;

/// The changes of a snapshot that are named.
pub(crate) fn named(snapshot: &SnapshotSummary) -> impl Iterator<Item = &SnapshotArtifact> {
    snapshot.changes.iter().filter(|artifact| artifact.changed()).take(MOST_NAMED)
}

/// A row a snapshot, the latest first.
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
                    span.quiet { "as recorded" }
                }
                @for gap in gaps.iter().take(MOST_GAPS) { span.beneath { (uncovered(gap, now)) } }
                @if gaps.len() > MOST_GAPS {
                    span.beneath { "and " (gaps.len() - MOST_GAPS) " times more" }
                }
            }
            td {
                (pluralize(*artifacts, "artifact"))
                span.beneath { (pluralize(*replicas, "replica")) }
            }
        }
    }
}

fn uncovered(gap: &ReportGap, now: f64) -> Markup {
    let from = gap.from.seconds();
    html! {
        "no report for " (duration(gap.until.map_or(now, Micros::seconds) - from))
        " from " (time(from))
    }
}

fn changes(artifacts: &[SnapshotArtifact], marks: &Marks) -> Markup {
    let changed: Vec<_> = artifacts.iter().filter(|artifact| artifact.changed()).collect();
    html! {
        ul.changes {
            @for artifact in changed.iter().take(MOST_NAMED) {
                li { (change(artifact.was, artifact.now)) " " (label(&artifact.name)) (marks.of(artifact)) }
            }
            @if changed.len() > MOST_NAMED {
                li.quiet { "and " (changed.len() - MOST_NAMED) " more" }
            }
        }
    }
}

/// What became of the replicas of an artifact, in a word.
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

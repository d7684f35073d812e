//! The table of snapshots of an environment.

use std::cmp::Reverse;

use envsnap_model::expression::Interval;
use envsnap_model::wire::ReportGap;
use maud::{Markup, html};

use super::artifact_name::label;
use super::provenance::Marks;
use super::seen::first_time_here;
use super::time::{duration, time};
use crate::domain::{
    Error, FirstTime, Micros, SnapshotArtifact, SnapshotSpan, SnapshotSummary, SnapshotWindow,
};
use crate::http::views::report_gap;
use crate::text::pluralize;

/// Listed changes per snapshot; the snapshot's page lists all of them.
const MAX_LISTED_CHANGES: usize = 4;

/// The snapshots from `first` to `last`.
pub(crate) fn snapshot_interval(first: u32, last: u32) -> Result<Interval, Error> {
    format!("{first}..{last}").parse().map_err(|_| Error::Fault)
}

/// Listed gaps per snapshot; the snapshot's page lists all of them.
const MAX_LISTED_GAPS: usize = 2;

/// The changes of a snapshot that the table lists: first artifacts of a registry or repository that is new
/// in the environment.
pub(crate) fn listed_changes(
    snapshot: &SnapshotSummary,
) -> impl Iterator<Item = &SnapshotArtifact> {
    let mut changed: Vec<_> = snapshot.changes.iter().filter(|it| it.changed()).collect();
    changed.sort_by_cached_key(|artifact| {
        let first_time = snapshot.first_times.get(&artifact.identity()).copied();
        Reverse(first_time.filter(|it| *it != FirstTime::Image))
    });
    changed.into_iter().take(MAX_LISTED_CHANGES)
}

/// One row per snapshot, latest first.
pub(crate) fn snapshot_table(
    address: &str,
    window: &SnapshotWindow,
    marks: &Marks,
    now: f64,
) -> Markup {
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
                    @for snapshot in window.snapshots.iter().rev() { (snapshot_row(address, snapshot, marks, now)) }
                }
            }
        }
    }
}

fn snapshot_row(address: &str, snapshot: &SnapshotSummary, marks: &Marks, now: f64) -> Markup {
    let SnapshotSummary { span, artifacts, replicas, .. } = snapshot;
    let SnapshotSpan { index, from, to, confirmed_until, gaps } = span;
    html! {
        tr {
            th scope="row" { a href={(address) "/snapshots/" (index)} { "#" (index) } }
            td { (change_list(snapshot, marks)) }
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
                @for gap in gaps.iter().take(MAX_LISTED_GAPS) { span.beneath.uncovered { (describe_gap(&report_gap(gap), now)) } }
                @if gaps.len() > MAX_LISTED_GAPS {
                    span.beneath { "and " (gaps.len() - MAX_LISTED_GAPS) " times more" }
                }
            }
            td {
                (pluralize(*artifacts, "artifact"))
                span.beneath { (pluralize(*replicas, "replica")) }
            }
        }
    }
}

/// A sentence about a time that no report covers: its start, its end and its duration.
pub(crate) fn describe_gap(gap: &ReportGap, now: f64) -> Markup {
    html! {
        "no report from " (time(gap.from)) " to "
        @match gap.until { Some(until) => (time(until)), None => "now" }
        ": " (duration(gap.until.unwrap_or(now) - gap.from))
    }
}

fn change_list(snapshot: &SnapshotSummary, marks: &Marks) -> Markup {
    let changed = snapshot.changes.iter().filter(|artifact| artifact.changed()).count();
    html! {
        ul.changes {
            @for artifact in listed_changes(snapshot) {
                @let first_time = snapshot.first_times.get(&artifact.identity()).copied();
                li {
                    (replica_change(artifact.was, artifact.now)) " " (label(&artifact.name))
                    (marks.badges(artifact)) (first_time_here(first_time.map(FirstTime::as_str)))
                }
            }
            @if changed > MAX_LISTED_CHANGES {
                li.quiet { "and " (changed - MAX_LISTED_CHANGES) " more" }
            }
        }
    }
}

/// The word for a change in the number of replicas: started, exited, unchanged or scaled.
pub(crate) fn replica_change(was: u64, now: u64) -> Markup {
    html! {
        @match (was, now) {
            (0, _) => span.change.started { "started" },
            (_, 0) => span.change.exited { "exited" },
            _ if was == now => span.change { "unchanged" },
            _ => span.change.scaled { "scaled " (was) " → " (now) },
        }
    }
}

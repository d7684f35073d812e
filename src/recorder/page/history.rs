//! The snapshots of a stretch, in words.

use maud::{Markup, html};

use super::artifact::label;
use super::when::{duration, time};
use crate::recorder::record::StoredArtifact;
use crate::recorder::store::{Stretch, Taken};
use crate::wording::counted;

/// Changes that are named of a snapshot; its own page has them all.
const MOST_NAMED: usize = 4;

/// Times without confirmation that are told of a snapshot; its own page has them all.
const MOST_SILENCES: usize = 2;

/// A row a snapshot, the latest first.
pub(super) fn table(address: &str, stretch: &Stretch) -> Markup {
    let ends = stretch.snapshots.iter().skip(1).map(|after| Some(after.created_at));
    let rows: Vec<_> = stretch.snapshots.iter().zip(ends.chain([stretch.end])).collect();
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
                    @for (snapshot, end) in rows.into_iter().rev() {
                        (row(address, snapshot, end, stretch.now))
                    }
                }
            }
        }
    }
}

fn row(address: &str, snapshot: &Taken, end: Option<f64>, now: f64) -> Markup {
    let Taken { index, created_at, confirmed_until, silences, running, replicas, .. } = snapshot;
    let silent: Vec<_> = silences.iter().filter(|silence| silence.is_long()).collect();
    html! {
        tr {
            th scope="row" { a href={(address) "/snapshots/" (index)} { "#" (index) } }
            td { (changes(&snapshot.artifacts)) }
            td { (time(*created_at)) }
            td {
                (duration(end.unwrap_or(now) - created_at))
                @if end.is_none() { span.beneath { "so far" } }
            }
            td {
                @if confirmed_until > created_at {
                    (time(*confirmed_until))
                } @else {
                    span.quiet { "as recorded" }
                }
                @for silence in silent.iter().take(MOST_SILENCES) {
                    span.beneath {
                        "not for " (duration(silence.lasted())) " from " (time(silence.from))
                    }
                }
                @if silent.len() > MOST_SILENCES {
                    span.beneath { "and " (silent.len() - MOST_SILENCES) " times more" }
                }
            }
            td {
                (counted(*running as u64, "artifact"))
                span.beneath { (counted(*replicas, "replica")) }
            }
        }
    }
}

fn changes(artifacts: &[StoredArtifact]) -> Markup {
    let changed: Vec<_> = artifacts.iter().filter(|artifact| artifact.changed()).collect();
    html! {
        ul.changes {
            @for artifact in changed.iter().take(MOST_NAMED) {
                li { (change(artifact.was, artifact.now())) " " (label(&artifact.name)) }
            }
            @if changed.len() > MOST_NAMED {
                li.quiet { "and " (changed.len() - MOST_NAMED) " more" }
            }
        }
    }
}

/// What became of the replicas of an artifact, in a word.
pub(super) fn change(was: u64, now: u64) -> Markup {
    html! {
        @match (was, now) {
            (0, _) => span.change.started { "started" },
            (_, 0) => span.change.exited { "exited" },
            _ if was == now => span.change { "unchanged" },
            _ => span.change.scaled { "scaled " (was) " → " (now) },
        }
    }
}

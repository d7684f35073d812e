//! Since when an artifact runs, and what ran in an environment for the first time.

use envsnap_model::wire::DiffArtifact;
use maud::{Markup, html};

use super::time::time;
use crate::domain::{FirstTime, SnapshotArtifact};
use crate::text::unix_secs;

/// When an artifact started, was first seen and was last confirmed, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunTimes {
    /// When its oldest replica started.
    pub(crate) started: Option<f64>,
    /// When its newest replica started.
    pub(crate) last_started: Option<f64>,
    /// The first snapshot that contains it, and when that was recorded.
    pub(crate) first_seen: Option<(u64, f64)>,
    /// The last report that had it.
    pub(crate) confirmed_until: Option<f64>,
}

impl RunTimes {
    /// Of an artifact in a snapshot.
    pub(crate) fn from_artifact(artifact: &SnapshotArtifact) -> Self {
        let (starts, seen) = (&artifact.started_at, artifact.seen);
        Self {
            started: starts.first().copied().map(unix_secs),
            last_started: starts.last().copied().map(unix_secs),
            first_seen: seen.map(|it| (it.first_index.into(), it.first_at.seconds())),
            confirmed_until: seen.map(|it| it.confirmed_until.seconds()),
        }
    }

    /// Of an artifact in a comparison of two snapshots.
    pub(crate) fn from_difference(artifact: &DiffArtifact) -> Self {
        Self {
            started: artifact.since.started.map(unix_secs),
            last_started: artifact.since.started.map(|_| unix_secs(artifact.most_recent_timestamp)),
            first_seen: artifact.since.first_snapshot.zip(artifact.since.first_seen),
            confirmed_until: artifact.since.confirmed_until,
        }
    }

    /// An HTML list; `environment` is the URL path of the environment in which it ran.
    pub(crate) fn render(&self, environment: &str) -> Markup {
        html! {
            dl.since {
                @if let Some(started) = self.started {
                    dt { "started" }
                    dd {
                        (time(started))
                        @if let Some(last) = self.last_started.filter(|last| *last > started) {
                            span.beneath { "the latest " (time(last)) }
                        }
                    }
                }
                @if let Some((index, at)) = self.first_seen {
                    dt { "first seen" }
                    dd {
                        (time(at))
                        span.beneath {
                            @if index == 1 { "at the latest, in " } @else { "in " }
                            a href={(environment) "/snapshots/" (index)} { "#" (index) }
                        }
                    }
                }
                @if let Some(until) = self.confirmed_until {
                    dt { "confirmed until" }
                    dd { (time(until)) }
                }
            }
        }
    }
}

/// The mark of what never ran in the environment before; `kind` is `image`, `repository` or `registry`. New
/// images are in most deployments, so that only a new repository or registry stands out.
pub(crate) fn first_time_here(kind: Option<&str>) -> Markup {
    html! {
        @if let Some(kind) = kind {
            @let class = if kind == FirstTime::Image.as_str() { "state" } else { "mark" };
            " "
            span class={(class) " first-time"}
                title={"No snapshot of the environment before had this " (kind)} {
                "first time here: " (kind)
            }
        }
    }
}

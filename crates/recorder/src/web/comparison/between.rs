//! What a difference does not show: the times of the two snapshots, what is not covered between them,
//! and what started and exited meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use envsnap_model::expression::Snappish;
use envsnap_model::snapshot::{Change, InterimArtifact, interim_artifacts};
use envsnap_model::wire::ReportGap;
use maud::{Markup, html};

use crate::domain::{Error, FirstTime, Page, SnapshotArtifact, SnapshotRecord};
use crate::http::views::report_gap;
use crate::store::Store;
use crate::web::artifact_name::name_and_fingerprint;
use crate::web::environment::address;
use crate::web::history::{describe_gap, snapshot_interval};
use crate::web::seen::first_time_here;
use crate::web::time::{time, time_in_both};

/// The gaps in the reports are read for at most so many snapshots between the two.
const MAX_SNAPSHOTS: u32 = 5_000;
/// At most so many changes between the two snapshots are read.
const MAX_CHANGES: u32 = 5_000;
/// Listed gaps in the reports between the two snapshots.
const MAX_GAPS: usize = 20;
/// Listed artifacts that started and exited between the two snapshots.
const MAX_INTERIM_ARTIFACTS: usize = 250;

/// One of the two compared snapshots. Times are in seconds since the Unix epoch.
pub(super) struct ComparedSnapshot {
    pub(super) environment: String,
    pub(super) index: u32,
    recorded_at: f64,
    confirmed_until: f64,
    /// The requested time.
    requested: Option<f64>,
    is_latest: bool,
    gaps: Vec<ReportGap>,
}

/// Fingerprint (`""` if unknown) and name of artifacts.
pub(super) type Running = BTreeSet<(String, String)>;

/// What runs in at least one of the two snapshots.
pub(super) fn running_in_either(snapshots: &[SnapshotRecord; 2]) -> Running {
    let artifacts = snapshots.iter().flat_map(|snapshot| &snapshot.artifacts);
    artifacts
        .filter(|artifact| artifact.runs())
        .map(|artifact| (fingerprint(artifact), artifact.name.clone()))
        .collect()
}

/// Empty if it is unknown.
fn fingerprint(artifact: &SnapshotArtifact) -> String {
    artifact.fingerprint.map(|known| known.to_string()).unwrap_or_default()
}

fn fingerprint_or_name<'a>(fingerprint: &'a str, name: &'a str) -> &'a str {
    if fingerprint.is_empty() { name } else { fingerprint }
}

impl ComparedSnapshot {
    pub(super) fn new(snappish: &Snappish, snapshot: &SnapshotRecord, now: f64) -> Self {
        Self {
            environment: snappish.environment.clone(),
            index: snapshot.index,
            recorded_at: snapshot.recorded_at.seconds(),
            confirmed_until: snapshot.confirmed_until.seconds(),
            requested: snappish.expression.time(now),
            is_latest: snapshot.next_recorded_at.is_none(),
            gaps: snapshot.gaps.iter().map(report_gap).collect(),
        }
    }

    /// `ENVIRONMENT#INDEX`
    pub(super) fn display_name(&self) -> String {
        format!("{}#{}", self.environment, self.index)
    }

    /// The time at which the snapshot is compared: the requested one, or now for the latest.
    fn compared_at(&self, now: f64) -> Option<f64> {
        self.requested.or_else(|| self.is_latest.then_some(now))
    }

    fn gap_at_compared_time(&self, now: f64) -> Option<&ReportGap> {
        let at = self.compared_at(now)?;
        self.gaps.iter().find(|gap| gap.contains(at))
    }

    /// An entry of a list: a link to the snapshot, its times, and the gap at the compared time.
    fn facts(&self, org: &str, label: &str, now: f64) -> Markup {
        html! {
            div {
                dt { (label) }
                dd {
                    a href={(address(org, &self.environment)) "/snapshots/" (self.index)} {
                        (self.display_name())
                    }
                    @if let Some(requested) = self.requested {
                        span.beneath { "what ran at " (time_in_both(requested)) }
                    }
                    span.beneath { "recorded " (time(self.recorded_at)) }
                    @if self.confirmed_until > self.recorded_at {
                        span.beneath { "confirmed until " (time(self.confirmed_until)) }
                    }
                    @if let Some(gap) = self.gap_at_compared_time(now) {
                        span.beneath.uncovered { "not covered: " (describe_gap(gap, now)) }
                    }
                }
            }
        }
    }
}

/// The time between two compared snapshots: gaps in the reports, and what started and exited meanwhile.
pub(super) struct PeriodBetween {
    pub(super) sides: [ComparedSnapshot; 2],
    now: f64,
    /// Only of one environment, earliest first.
    gaps: Vec<ReportGap>,
    interim: Vec<InterimArtifact>,
    /// What never ran in the environment before, by fingerprint, or by name if that is unknown.
    first_times: BTreeMap<String, FirstTime>,
    /// Whether there are more snapshots or changes than were read.
    is_incomplete: bool,
}

impl PeriodBetween {
    /// Nothing is read between two environments, or if the first snapshot is later than the second.
    pub(super) async fn read<S: Store>(
        store: &S,
        org: &str,
        sides: [ComparedSnapshot; 2],
        running: &Running,
        now: f64,
    ) -> Result<Self, Error> {
        let mut between = Self {
            sides,
            now,
            gaps: Vec::new(),
            interim: Vec::new(),
            first_times: BTreeMap::new(),
            is_incomplete: false,
        };
        let [one, other] = &between.sides;
        if one.environment != other.environment || one.index > other.index {
            return Ok(between);
        }
        let environment = &one.environment;
        let page = Page { number: 1, size: MAX_SNAPSHOTS };
        let spans = store.snapshot_spans(
            org,
            environment,
            snapshot_interval(one.index, other.index)?,
            page,
            true,
        );
        let spans = spans.await?;
        let (from, until) = (
            one.requested.unwrap_or(one.recorded_at),
            other.compared_at(now).unwrap_or(other.recorded_at),
        );
        let gaps = spans.iter().flat_map(|span| &span.gaps).map(report_gap);
        between.gaps = gaps.filter(|gap| gap.overlaps(from, until)).collect();
        let mut is_incomplete = other.index - one.index >= MAX_SNAPSHOTS;
        if other.index - one.index > 1 {
            let page = Page { number: 1, size: MAX_CHANGES };
            let interval = snapshot_interval(one.index + 1, other.index)?;
            let found = store.events(org, environment, interval, page, true).await?;
            is_incomplete |= found.total > u64::from(MAX_CHANGES);
            let events: Vec<_> =
                found.events.iter().map(|event| (fingerprint(&event.artifact), event)).collect();
            let changes = events.iter().map(|(fingerprint, event)| Change {
                name: &event.artifact.name,
                fingerprint,
                index: event.index.into(),
                recorded_at: event.recorded_at.seconds(),
                is_exit: !event.artifact.runs(),
            });
            let running = running.iter().map(|(fingerprint, name)| (&**fingerprint, &**name));
            between.interim = interim_artifacts(running, changes);
            let first_times = events.iter().filter_map(|(fingerprint, event)| {
                let key = fingerprint_or_name(fingerprint, &event.artifact.name);
                Some((key.to_owned(), event.first_time_here()?))
            });
            between.first_times = first_times.collect();
        }
        between.is_incomplete = is_incomplete;
        Ok(between)
    }

    /// The times of both snapshots, and the gaps in the reports between them.
    pub(super) fn facts(&self, org: &str) -> Markup {
        let [from, to] = &self.sides;
        let gaps: Vec<_> = self
            .gaps
            .iter()
            .filter(|gap| {
                self.sides.iter().all(|side| side.gap_at_compared_time(self.now) != Some(*gap))
            })
            .collect();
        let is_reversed = from.environment == to.environment && from.index > to.index;
        html! {
            dl.facts { (from.facts(org, "From", self.now)) (to.facts(org, "To", self.now)) }
            @if !gaps.is_empty() {
                ul.gaps aria-label="Not covered between them" {
                    @for gap in gaps.iter().take(MAX_GAPS) {
                        li { "Between them " (describe_gap(gap, self.now)) }
                    }
                    @if gaps.len() > MAX_GAPS {
                        li { "and " (gaps.len() - MAX_GAPS) " more times without a report" }
                    }
                }
            }
            @if is_reversed {
                @let [from, to] = [to, from].map(|side| format!("{}%23{}", side.environment, side.index));
                p.quiet {
                    "The first is later than the second. "
                    a href={"/" (org) "/compare?from=" (from) "&to=" (to)} { "Swap them" }
                    " to see also what started and exited in between."
                }
            }
        }
    }

    /// A table of the artifacts that started and exited between the two snapshots.
    pub(super) fn interim(&self, org: &str) -> Markup {
        html! {
            @if !self.interim.is_empty() {
                section aria-labelledby="interim" {
                    h2 id="interim" { "Started and exited in between" }
                    div.wide tabindex="0" role="region" aria-labelledby="interim" {
                        table {
                            thead {
                                tr {
                                    th scope="col" { "Artifact" }
                                    th scope="col" { "Started" }
                                    th scope="col" { "Exited" }
                                }
                            }
                            tbody {
                                @for artifact in self.interim.iter().take(MAX_INTERIM_ARTIFACTS) {
                                    (self.interim_row(org, artifact))
                                }
                            }
                        }
                    }
                    @if self.interim.len() > MAX_INTERIM_ARTIFACTS {
                        p.quiet { "and " (self.interim.len() - MAX_INTERIM_ARTIFACTS) " more." }
                    }
                }
            }
            @if self.is_incomplete {
                p.quiet {
                    "There are more than " (MAX_SNAPSHOTS) " snapshots or changes between the two: \
                     only the earliest of them were searched for times without reports, and for \
                     what started and exited in between. Compare shorter periods to see all."
                }
            }
        }
    }

    fn interim_row(&self, org: &str, artifact: &InterimArtifact) -> Markup {
        let environment = address(org, &self.sides[0].environment);
        let key = fingerprint_or_name(&artifact.fingerprint, &artifact.name);
        let first_time = self.first_times.get(key).copied();
        let snapshot = |(index, at): (u64, f64)| {
            html! {
                a href={(environment) "/snapshots/" (index)} { "#" (index) }
                span.beneath { (time(at)) }
            }
        };
        html! {
            tr {
                th.artifact scope="row" {
                    (name_and_fingerprint(org, &artifact.name, &artifact.fingerprint))
                }
                td { (snapshot(artifact.started)) (first_time_here(first_time.map(FirstTime::as_str))) }
                td { @if let Some(exited) = artifact.exited { (snapshot(exited)) } }
            }
        }
    }
}

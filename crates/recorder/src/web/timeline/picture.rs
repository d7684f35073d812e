//! The timeline as SVG.
//!
//! It fills the available width: texts and links have positions in percent, and bars are in a nested
//! SVG that is stretched.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::axis::{axis, percent};
use super::lane::{Lane, Rollover, rollovers};
use super::scale::{Scale, WIDTH};
use super::titles;
use crate::domain::{FirstTime, Micros, SnapshotWindow};
use crate::text::pluralize;
use crate::web::artifact_name::{linked_label, short_fingerprint};
use crate::web::provenance::Marks;
use crate::web::time::utc;

/// Heights in pixels. The style sheet repeats them for the names beside the timeline.
const AXIS_HEIGHT: usize = 68;
/// In pixels.
const LANE_HEIGHT: usize = 26;
/// Between the lanes of two repositories, in pixels.
const GROUP_SPACING: usize = 8;
/// The vertical position of the stripe of the times that reports confirm, in pixels.
const CONFIRMED_TOP: usize = 58;

/// The height of the flag of what never ran before, above the middle of its lane, in pixels.
const FLAG_HEIGHT: f64 = 13.0;
/// The width of that flag in a narrow picture, in units of the timeline.
const FLAG_ROOM: f64 = 200.0;

/// The minimum width of a shape, in units of the timeline: about two pixels.
const MIN_WIDTH: f64 = 18.0;

/// A timeline of some lanes of a window of snapshots.
pub(crate) struct Picture<'a> {
    /// The organization, and the name and the page of the environment.
    pub(crate) org: &'a str,
    pub(crate) environment: &'a str,
    pub(crate) address: &'a str,
    pub(crate) window: &'a SnapshotWindow,
    pub(crate) scale: &'a Scale,
    pub(crate) lanes: &'a [Lane],
    pub(crate) marks: &'a Marks,
}

/// The height of a bar in pixels, logarithmic in the number of replicas.
pub(crate) fn bar_height(replicas: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "what counts is that it is many")]
    let doublings = (replicas.max(1) as f64).log2();
    (4.0 + 4.0 * doublings).min(18.0).round()
}

impl Picture<'_> {
    /// The names of the artifacts, and the SVG beside them.
    pub(crate) fn draw(&self) -> Markup {
        let Self { environment, window, lanes, marks, .. } = self;
        // The content security policy forbids inline styles.
        let width_class = match window.snapshots.len() {
            0..=25 => "few",
            26..=50 => "some",
            51..=100 => "many",
            _ => "most",
        };
        html! {
            div.timeline id="timeline" {
                div.names {
                    p.corner { "Artifact" span { "replicas" } }
                    ol aria-label="Artifacts, from the top of the picture" {
                        @for (at, lane) in lanes.iter().enumerate() {
                            li.begins[self.starts_group(at)] data-steps=(steps(lane)) {
                                (linked_label(self.org, &lane.name, &fingerprint(lane)))
                                (marks.badges_of(&lane.identity()))
                                code { (short_fingerprint(lane.fingerprint)) }
                                @match lane.replicas_at_the_end() {
                                    0 => span.count.ended { "exited" },
                                    replicas => span.count { "×" (replicas) },
                                }
                            }
                        }
                    }
                }
                div.scroll tabindex="0" role="region"
                    aria-label={"Timeline of " (environment) ", scrolls sideways"} {
                    (self.svg(width_class))
                }
            }
            p.detail id="detail" aria-live="polite" {
                "Each column is a snapshot: choose one to open it."
            }
        }
    }

    fn svg(&self, width_class: &str) -> Markup {
        let Self { window, scale, .. } = self;
        let height = self.height();
        html! {
            svg class={"picture " (width_class)} width="100%" height=(height) role="group"
                aria-labelledby="picture-title picture-desc" {
                title id="picture-title" { "Timeline of " (self.environment) }
                desc id="picture-desc" { (self.description()) }
                svg width="100%" height=(height) viewBox={"0 0 " (WIDTH) " " (height)}
                    preserveAspectRatio="none" aria-hidden="true" {
                    path class="guide" d=(self.guide_path()) {}
                    path class="rollover" d=(self.rollover_path()) {}
                }
                (hatching())
                @for (from, width, text) in self.gaps() {
                    rect class="uncovered" fill="url(#uncovered)" x=(percent(from)) y=(AXIS_HEIGHT - 14)
                        width=(percent(width)) height=(height - AXIS_HEIGHT + 14) {
                        title { (text) }
                    }
                }
                (axis(window, scale, width_class))
                g.columns role="list" aria-label="Snapshots" { (self.snapshot_columns(height)) }
                svg.bars width="100%" height=(height) viewBox={"0 0 " (WIDTH) " " (height)}
                    preserveAspectRatio="none" pointer-events="none" {
                    path class="confirmed" d=(self.confirmed_path()) aria-hidden="true" {}
                    @for (at, lane) in self.lanes.iter().enumerate() {
                        g role="img" {
                            title { (titles::lane(lane, &window.snapshots)) }
                            @let ended = lane.replicas_at_the_end() == 0;
                            path class=(if ended { "bar ended" } else { "bar" })
                                d=(self.bar_path(lane, self.middle(at))) {}
                        }
                    }
                }
                // Not stretched. The titles of the lanes and of the snapshots say it in words.
                g aria-hidden="true" pointer-events="none" {
                    @for (at, lane) in self.lanes.iter().enumerate() {
                        @for (column, kind) in &lane.first_times {
                            (flag(self.scale.edge(Some(*column)), self.middle(at), *kind))
                        }
                    }
                }
            }
        }
    }

    /// Whether the lane above is of another repository.
    fn starts_group(&self, lane: usize) -> bool {
        lane > 0 && self.lanes[lane - 1].repository() != self.lanes[lane].repository()
    }

    /// The number of spacings between repositories above a lane.
    fn spacings_until(&self, lane: usize) -> usize {
        (0..=lane).filter(|at| self.starts_group(*at)).count()
    }

    /// The vertical center of a lane.
    fn middle(&self, lane: usize) -> f64 {
        let y = AXIS_HEIGHT
            + lane * LANE_HEIGHT
            + LANE_HEIGHT / 2
            + GROUP_SPACING * self.spacings_until(lane);
        f64::from(u32::try_from(y).unwrap_or(u32::MAX))
    }

    /// In pixels.
    fn height(&self) -> usize {
        let last = self.lanes.len().saturating_sub(1);
        let gaps = if self.lanes.is_empty() { 0 } else { self.spacings_until(last) };
        AXIS_HEIGHT + self.lanes.len() * LANE_HEIGHT + gaps * GROUP_SPACING + 6
    }

    /// For screen readers.
    fn description(&self) -> String {
        let Self { window, scale, lanes, .. } = self;
        let span = scale
            .span()
            .map_or_else(String::new, |(from, to)| format!("From {} to {}: ", utc(from), utc(to)));
        format!(
            "{span}{} and {}. The table of snapshots below contains the same data.",
            pluralize(window.snapshots.len() as u64, "snapshot"),
            pluralize(lanes.len() as u64, "artifact"),
        )
    }

    /// The SVG path of the horizontal lines through the lanes.
    fn guide_path(&self) -> String {
        let mut path = String::new();
        for at in 0..self.lanes.len() {
            let _infallible = write!(path, "M0 {}H{WIDTH}", self.middle(at));
        }
        path
    }

    /// The SVG path of the rollovers of all repositories.
    fn rollover_path(&self) -> String {
        let mut path = String::new();
        let mut first = 0;
        for group in self.lanes.chunk_by(|one, other| one.repository() == other.repository()) {
            for Rollover { old, new, started, exited } in rollovers(group) {
                let (top, bottom) = (first + old.min(new), first + old.max(new));
                let (top, bottom) = (self.middle(top) - 11.0, self.middle(bottom) + 11.0);
                let (from, to) = (self.scale.edge(Some(started)), self.scale.edge(Some(exited)));
                let wide = (to - from).max(MIN_WIDTH);
                append_rectangle(&mut path, from, top, wide, bottom - top);
            }
            first += group.len();
        }
        path
    }

    /// The SVG path of a lane's bars, one for each number of replicas.
    fn bar_path(&self, lane: &Lane, middle: f64) -> String {
        let mut path = String::new();
        for (from, to, replicas) in lane.segments() {
            let (from, to) = (self.scale.edge(Some(from)), self.scale.edge(to));
            let thick = bar_height(replicas);
            append_rectangle(
                &mut path,
                from,
                middle - thick / 2.0,
                (to - from).max(MIN_WIDTH),
                thick,
            );
        }
        path
    }

    /// The SVG path of the times that reports confirm.
    fn confirmed_path(&self) -> String {
        let mut path = String::new();
        let top = f64::from(u32::try_from(CONFIRMED_TOP).unwrap_or(u32::MAX));
        for (column, snapshot) in self.window.snapshots.iter().enumerate() {
            let span = &snapshot.span;
            let mut from = self.scale.edge(Some(column));
            let mut confirmed = |until: f64, again: f64| {
                let to = self.scale.within(column, until);
                append_rectangle(&mut path, from, top, (to - from).max(MIN_WIDTH), 4.0);
                from = self.scale.within(column, again);
            };
            for gap in &span.gaps {
                confirmed(gap.from.seconds(), gap.until.map_or(f64::INFINITY, Micros::seconds));
            }
            // A gap may start with the last report, and last until the next snapshot.
            if span.gaps.last().is_none_or(|gap| gap.from < span.confirmed_until) {
                let until = span.confirmed_until.seconds();
                confirmed(until, until);
            }
        }
        path
    }

    /// The gaps, each with its position, its width and its title.
    fn gaps(&self) -> Vec<(f64, f64, String)> {
        let snapshots = self.window.snapshots.iter().enumerate();
        snapshots
            .flat_map(|(column, snapshot)| snapshot.span.gaps.iter().map(move |gap| (column, gap)))
            .map(|(column, gap)| {
                let from = self.scale.within(column, gap.from.seconds());
                let end = gap.until.map_or(f64::INFINITY, Micros::seconds);
                let wide = (self.scale.within(column, end) - from).max(MIN_WIDTH);
                let until = gap.until.map_or_else(|| "now".to_owned(), |it| utc(it.seconds()));
                (from, wide, format!("No report from {} to {until}", utc(gap.from.seconds())))
            })
            .collect()
    }

    /// A column for each snapshot, which links to its page.
    fn snapshot_columns(&self, height: usize) -> Markup {
        html! {
            @for (column, snapshot) in self.window.snapshots.iter().enumerate() {
                @let from = self.scale.edge(Some(column));
                @let wide = (self.scale.edge(Some(column + 1)) - from).max(MIN_WIDTH / 2.0);
                g role="listitem" {
                    a href={(self.address) "/snapshots/" (snapshot.span.index)} {
                        title { (titles::snapshot(snapshot, column == 0)) }
                        rect class="column" x=(percent(from)) y="0"
                            width=(percent(wide)) height=(height) {}
                        rect class="tick" x=(percent(from)) y="46" width="2" height="10" {}
                        line class="begin" x1=(percent(from)) x2=(percent(from))
                            y1=(AXIS_HEIGHT - 4) y2=(height) {}
                    }
                }
            }
        }
    }
}

/// The flag at the start of what never ran before. It points to the left if it would be cut off at the
/// right edge.
fn flag(x: f64, middle: f64, kind: FirstTime) -> Markup {
    let is_cut_off = x > WIDTH - FLAG_ROOM;
    html! {
        svg x=(percent(x)) y=(middle - FLAG_HEIGHT) overflow="visible" {
            (first_time_flag(kind, is_cut_off))
        }
    }
}

/// A flag, whose foot is at the left end of a bar and [`FLAG_HEIGHT`] below the origin. New images are in
/// most deployments, so that only the flag of a new repository or registry is filled.
pub(crate) fn first_time_flag(kind: FirstTime, to_left: bool) -> Markup {
    let class = if kind == FirstTime::Image { "flag image" } else { "flag" };
    let side = if to_left { "-" } else { "" };
    html! { path class=(class) d={"M0 " (FLAG_HEIGHT) "V0l" (side) "10 4L0 8z"} {} }
}

/// The hatching of gaps.
pub(crate) fn hatching() -> Markup {
    html! {
        defs {
            pattern id="uncovered" width="7" height="7" patternUnits="userSpaceOnUse"
                patternTransform="rotate(45)" {
                rect class="hatch" x="0" y="0" width="2" height="7" {}
            }
        }
    }
}

/// The fingerprint of the lane's artifact; empty if it is unknown.
fn fingerprint(lane: &Lane) -> String {
    lane.fingerprint.map(|known| known.to_string()).unwrap_or_default()
}

/// The steps of a lane for the script: `COLUMN:REPLICAS`, separated by spaces.
fn steps(lane: &Lane) -> String {
    let steps = lane.steps.iter().map(|(column, replicas)| format!("{column}:{replicas}"));
    steps.collect::<Vec<_>>().join(" ")
}

fn append_rectangle(path: &mut String, x: f64, y: f64, wide: f64, high: f64) {
    let _infallible = write!(path, "M{x:.0} {y}h{wide:.0}v{high}h-{wide:.0}z");
}

//! The picture of what ran.

use envsnap_model::provenance::Origin;
use maud::{Markup, html};

use super::lists::first_time_here;
use super::utc;
use crate::domain::{FirstTime, Micros};
use crate::proof::content::{Content, Run};
use crate::text::replace_invisible;

/// Of a picture, in the units of its SVG, as all that follow.
const WIDTH: f64 = 1_000.0;
/// A lane has two lines: a name above bars.
const LINE_HEIGHT: f64 = 18.0;
const AXIS_HEIGHT: f64 = 22.0;

/// The least width of a bar: a run of a minute in a year has to be seen.
const MIN_BAR_WIDTH: f64 = 2.0;

/// The most lanes that the pictures have; the table has every run.
const MAX_LANES: usize = 500;

/// How many lanes are in one picture: as many as fit on a third of a printed page.
const LANES_PER_PICTURE: usize = 12;

/// How many times label the axis between its start and its end.
const TICKS: u32 = 3;

/// Pictures with a lane for each artifact.
pub(super) fn timeline(content: &Content, runs: &[Run<'_>]) -> Markup {
    let lanes: Vec<_> =
        runs.chunk_by(|one, next| one.artifact.identity() == next.artifact.identity()).collect();
    let shown = &lanes[..lanes.len().min(MAX_LANES)];
    html! {
        p.quiet {
            "Red: no pipeline had reported it when it started. Triangle: first time here, filled for a new \
             registry or repository. Hatched: times that no report covers."
        }
        @if shown.len() < lanes.len() {
            p.quiet { "The first " (shown.len()) " of " (lanes.len()) " artifacts; the table has all." }
        }
        svg.defs aria-hidden="true" width="0" height="0" {
            pattern id="gap" width="6" height="6" patternUnits="userSpaceOnUse"
                patternTransform="rotate(45)" {
                rect width="6" height="6" fill="#fff" {}
                line x1="0" y1="0" x2="0" y2="6" stroke="#8c959f" stroke-width="2" {}
            }
        }
        @for lanes in shown.chunks(LANES_PER_PICTURE) { (picture(content, lanes)) }
    }
}

/// The SVG of these lanes below an axis of time.
fn picture(content: &Content, lanes: &[&[Run<'_>]]) -> Markup {
    let (from, to) = content.period();
    #[expect(clippy::cast_precision_loss, reason = "a picture")]
    let scale = |time: Micros| {
        let whole = (to.0 - from.0).max(1) as f64;
        ((time.0 - from.0) as f64 / whole * WIDTH).clamp(0.0, WIDTH)
    };
    #[expect(clippy::cast_precision_loss, reason = "a picture")]
    let height = AXIS_HEIGHT + lanes.len() as f64 * LINE_HEIGHT * 2.0;
    html! {
        svg viewBox={"0 0 " (WIDTH) " " (height)} role="img" aria-label="Timeline of what ran" {
            text x="0" y="12" { (utc(from)) }
            @for tick in 1..=TICKS {
                @let time = Micros(from.0 + (to.0 - from.0) / i64::from(TICKS + 1) * i64::from(tick));
                @let x = scale(time);
                text x=(x) y="12" text-anchor="middle" { (utc(time)) }
                line x1=(x) x2=(x) y1="16" y2=(height) stroke="#d5dae0" stroke-dasharray="2 4" {}
            }
            text x=(WIDTH) y="12" text-anchor="end" { (utc(to)) }
            @for (at, lane) in lanes.iter().enumerate() {
                (lane_group(content, at, lane, scale))
            }
            @for gap in content.gaps() {
                @let start = scale(gap.from);
                @let end = gap.until.map_or(WIDTH, scale);
                rect x=(start) y=(AXIS_HEIGHT) width=((end - start).max(MIN_BAR_WIDTH)) height=(height - AXIS_HEIGHT)
                    fill="url(#gap)" fill-opacity="0.75" {
                    title { "No report from " (utc(gap.from)) " to " (gap.until.map(utc).unwrap_or_default()) }
                }
            }
        }
    }
}

/// The name of an artifact, and a bar for each of its runs. `at` is the position of the lane from 0.
fn lane_group(
    content: &Content,
    at: usize,
    lane: &[Run<'_>],
    scale: impl Fn(Micros) -> f64,
) -> Markup {
    #[expect(clippy::cast_precision_loss, reason = "a picture")]
    let top = AXIS_HEIGHT + at as f64 * LINE_HEIGHT * 2.0;
    let label = lane.first().map(|run| run.artifact.name.as_str()).unwrap_or_default();
    let is_rogue =
        lane.iter().any(|run| content.origin(run.artifact).is_some_and(Origin::is_rogue));
    html! {
        g {
            text x="0" y=(top + 12.0) { (replace_invisible(label)) }
            @for run in lane {
                @let start = scale(run.from.1);
                @let end = run.to.map_or(WIDTH, |(_, to)| scale(to));
                rect x=(start) y=(top + LINE_HEIGHT) width=((end - start).max(MIN_BAR_WIDTH)) height="8"
                    fill=(if is_rogue { "#cf222e" } else { "#0969da" }) {
                    title { (replace_invisible(label)) " ×" (run.replicas) }
                }
                @if let Some(kind) = run.first_time {
                    @let fill = if kind == FirstTime::Image { "none" } else { "#1b1f24" };
                    path d={"M" (start.min(WIDTH - 9.0)) " " (top + LINE_HEIGHT + 10.0) "l4 6h-8z"} fill=(fill)
                        stroke="#1b1f24" transform="translate(4)" {
                        title { (first_time_here(kind)) }
                    }
                }
            }
        }
    }
}

//! The picture of what ran.

use envsnap_model::provenance::Origin;
use maud::{Markup, html};

use super::lists::first_time_here;
use super::utc;
use crate::domain::{FirstTime, Micros};
use crate::proof::content::{Content, Run};
use crate::text::replace_invisible;
use crate::web::{day_and_time, short_name};

/// Of a picture, in the units of its SVG, as all that follow.
const WIDTH: f64 = 1_000.0;
/// A lane has two lines: a name above bars.
const LINE_HEIGHT: f64 = 18.0;
/// Two lines: the start and the end, and midnights or hours.
const AXIS_HEIGHT: f64 = 38.0;

/// The least width of a bar: a run of a minute in a year has to be seen.
const MIN_BAR_WIDTH: f64 = 3.0;

/// The most lanes that the pictures have; the table has every run.
const MAX_LANES: usize = 500;

/// How many lanes are in one picture: as many as fit on a third of a printed page.
const LANES_PER_PICTURE: usize = 12;

/// The most times that label the axis between its start and its end.
const MAX_TICKS: i64 = 8;
/// Of half the label of a time on the axis.
const HALF_LABEL_WIDTH: f64 = 32.0;
const HOUR: i64 = 3_600_000_000;

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
                rect.back width="6" height="6" {}
                line.hatch x1="0" y1="0" x2="0" y2="6" stroke-width="2" {}
            }
        }
        @for lanes in shown.chunks(LANES_PER_PICTURE) { (picture(content, lanes)) }
    }
}

/// Midnights in UTC within the time, or full hours if it is short: as many as fit.
fn ticks(from: Micros, to: Micros) -> impl Iterator<Item = Micros> {
    let hours = (to.0 - from.0) / HOUR / MAX_TICKS + 1;
    let days = (hours - 1) / 24 + 1;
    let step = [1, 3, 6, 12].into_iter().find(|step| hours <= *step).unwrap_or(days * 24) * HOUR;
    let first = from.0.div_euclid(step) + 1;
    (first..).map(move |number| Micros(number * step)).take_while(move |tick| *tick < to)
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
    let top = |lane: usize| AXIS_HEIGHT + lane as f64 * LINE_HEIGHT * 2.0;
    let height = top(lanes.len());
    html! {
        div.wide tabindex="0" role="region" aria-labelledby="timeline" {
            svg viewBox={"0 0 " (WIDTH) " " (height)} role="img" aria-label="Timeline of what ran" {
                text x="0" y="12" { (utc(from)) }
                text x=(WIDTH) y="12" text-anchor="end" { (utc(to)) }
                @for tick in ticks(from, to) {
                    @let x = scale(tick);
                    @if x > HALF_LABEL_WIDTH && x < WIDTH - HALF_LABEL_WIDTH {
                        @let (day, time) = day_and_time(tick.seconds(), false);
                        text x=(x) y="28" text-anchor="middle" {
                            @if time == "00:00" { (day) } @else { (time) }
                        }
                    }
                    line.tick x1=(x) x2=(x) y1="32" y2=(height) stroke-dasharray="2 4" {}
                }
                @for (at, lane) in lanes.iter().enumerate() { (bars(content, top(at), lane, scale)) }
                @for gap in content.gaps() {
                    @let start = scale(gap.from);
                    @let end = gap.until.map_or(WIDTH, scale);
                    rect x=(start) y=(AXIS_HEIGHT) width=((end - start).max(MIN_BAR_WIDTH)) height=(height - AXIS_HEIGHT)
                        fill="url(#gap)" fill-opacity="0.75" {
                        title { "No report from " (utc(gap.from)) " to " (gap.until.map(utc).unwrap_or_default()) }
                    }
                }
                // Above the hatched times, which would make them unreadable.
                @for (at, lane) in lanes.iter().enumerate() {
                    @let name = lane.first().map(|run| run.artifact.name.as_str()).unwrap_or_default();
                    text x="0" y=(top(at) + 12.0) {
                        (short_name(name)) title { (replace_invisible(name)) }
                    }
                }
            }
        }
    }
}

/// A bar for each run of an artifact, in the lane that begins at `top`.
fn bars(content: &Content, top: f64, lane: &[Run<'_>], scale: impl Fn(Micros) -> f64) -> Markup {
    let is_rogue =
        lane.iter().any(|run| content.origin(run.artifact).is_some_and(Origin::is_rogue));
    html! {
        @for run in lane {
            @let start = scale(run.from.1).min(WIDTH - MIN_BAR_WIDTH);
            @let end = run.to.map_or(WIDTH, |(_, to)| scale(to));
            rect.bar.rogue[is_rogue] x=(start) y=(top + LINE_HEIGHT)
                width=((end - start).max(MIN_BAR_WIDTH)) height="8" {
                title { (replace_invisible(&run.artifact.name)) " ×" (run.replicas) }
            }
            @if let Some(kind) = run.first_time {
                path.flag.image[kind == FirstTime::Image]
                    d={"M" (start.min(WIDTH - 9.0)) " " (top + LINE_HEIGHT + 10.0) "l4 6h-8z"}
                    transform="translate(4)" {
                    title { (first_time_here(kind)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axis_is_labelled_with_midnights_or_with_hours_of_a_short_time() {
        let at = |day: i64, hour: i64| Micros((day * 24 + hour) * HOUR + 1_000_000);
        for (from, to, expected) in [
            (at(0, 0), at(0, 0), vec![]),
            (at(0, 1), at(0, 4), vec![2, 3, 4]),
            (at(0, 22), at(1, 20), vec![24, 27, 30, 33, 36, 39, 42]),
            (at(0, 22), at(3, 1), vec![24, 36, 48, 60, 72]),
            (at(0, 22), at(14, 1), vec![48, 96, 144, 192, 240, 288, 336]),
        ] {
            let hours: Vec<_> = ticks(from, to).map(|tick| tick.0 / HOUR).collect();
            assert_eq!(hours, expected);
        }
        let years = ticks(at(-4_000, 5), at(4_000, 5)).collect::<Vec<_>>();
        assert!((4..=8).contains(&years.len()), "{years:?}");
        assert!(years.iter().all(|tick| tick.0 % (24 * HOUR) == 0), "{years:?}");
    }
}

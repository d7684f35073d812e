//! The time axis.

use maud::{Markup, html};

use super::scale::{Scale, WIDTH};
use crate::domain::SnapshotWindow;
use crate::web::time::day_and_time;

/// The width of a label, in pixels.
const LABEL_WIDTH: f64 = 84.0;
/// The width of the picture on paper in portrait format, in pixels.
const PAPER_WIDTH: f64 = 380.0;
/// Below this span, in seconds, labels include seconds.
const SHORT_SPAN: f64 = 1_800.0;

/// A horizontal position as a share of the timeline's width.
pub(crate) fn percent(x: f64) -> String {
    format!("{:.2}%", x / WIDTH * 100.0)
}

/// The times of as many snapshots as fit without overlap, and of the end; and fewer for paper, on which the
/// picture is as wide as the paper allows.
pub(crate) fn axis(window: &SnapshotWindow, scale: &Scale, width_class: &str) -> Markup {
    let least_width = match width_class {
        "few" => 560.0,
        "some" => 760.0,
        "many" => 1_400.0,
        _ => 2_800.0,
    };
    html! {
        @for (medium, least_width) in [("screen", least_width), ("paper", PAPER_WIDTH)] {
            g class={"axis " (medium)} aria-hidden="true" pointer-events="none" {
                @for Label { x, is_end, day, time, beneath } in labels(window, scale, least_width) {
                    @if let Some(day) = day {
                        text.day.end[is_end] x=(x) y="12" { (day) }
                    }
                    text.end[is_end] x=(x) y="26" { (time) }
                    text.index.end[is_end] x=(x) y="40" { (beneath) }
                }
            }
        }
    }
}

/// The labels that fit into a picture of `least_width` pixels.
fn labels(window: &SnapshotWindow, scale: &Scale, least_width: f64) -> Vec<Label> {
    let Some((begin, end)) = scale.span() else { return Vec::new() };
    let with_seconds = end - begin < SHORT_SPAN;
    let snapshots = scale.labelled(LABEL_WIDTH / least_width * WIDTH).into_iter();
    let snapshots = snapshots.map(|column| {
        let snapshot = &window.snapshots[column];
        let x = scale.edge(Some(column));
        (x, snapshot.span.from.seconds(), format!("#{}", snapshot.span.index))
    });
    let now = if window.end.is_none() { "now" } else { "" };
    let mut previous_day = String::new();
    snapshots
        .chain([(WIDTH, end, now.to_owned())])
        .map(|(x, at, beneath)| {
            let (day, time) = day_and_time(at, with_seconds);
            let is_changed = day != previous_day;
            previous_day.clone_from(&day);
            let is_end = x >= WIDTH;
            Label { x: percent(x), is_end, day: is_changed.then_some(day), time, beneath }
        })
        .collect()
}

/// A time on the axis.
struct Label {
    x: String,
    is_end: bool,
    /// Only if it differs from that of the previous label.
    day: Option<String>,
    time: String,
    beneath: String,
}

//! The times above the picture.

use maud::{Markup, html};

use super::scale::{Scale, WIDTH};
use crate::domain::SnapshotWindow;
use crate::web::when::day_and_time;

/// What a label of the axis takes, in pixels.
const LABEL: f64 = 84.0;
/// Of a span shorter than this, times are told to the second.
const SHORT_SPAN: f64 = 1_800.0;

/// Where `x` is, in the width that the picture has.
pub(crate) fn percent(x: f64) -> String {
    format!("{:.2}%", x / WIDTH * 100.0)
}

/// The times of some snapshots, as many as there is room for, and of the end.
pub(crate) fn axis(window: &SnapshotWindow, scale: &Scale, breadth: &str) -> Markup {
    html! {
        g.axis aria-hidden="true" pointer-events="none" {
            @for Label { x, is_end, day, time, beneath } in labels(window, scale, breadth) {
                @if let Some(day) = day {
                    text.day.end[is_end] x=(x) y="12" { (day) }
                }
                text.end[is_end] x=(x) y="26" { (time) }
                text.index.end[is_end] x=(x) y="40" { (beneath) }
            }
        }
    }
}

fn labels(window: &SnapshotWindow, scale: &Scale, breadth: &str) -> Vec<Label> {
    let least_width = match breadth {
        "few" => 560.0,
        "some" => 760.0,
        "many" => 1_400.0,
        _ => 2_800.0,
    };
    let Some((begin, end)) = scale.span() else { return Vec::new() };
    let to_the_second = end - begin < SHORT_SPAN;
    let snapshots = scale.labelled(LABEL / least_width * WIDTH).into_iter();
    let snapshots = snapshots.map(|column| {
        let snapshot = &window.snapshots[column];
        let x = scale.edge(Some(column));
        (x, snapshot.span.from.seconds(), format!("#{}", snapshot.span.index))
    });
    let now = if window.end.is_none() { "now" } else { "" };
    let mut day_before = String::new();
    snapshots
        .chain([(WIDTH, end, now.to_owned())])
        .map(|(x, at, beneath)| {
            let (day, time) = day_and_time(at, to_the_second);
            let is_new = day != day_before;
            day_before.clone_from(&day);
            let is_end = x >= WIDTH;
            Label { x: percent(x), is_end, day: is_new.then_some(day), time, beneath }
        })
        .collect()
}

/// A time on the axis.
struct Label {
    x: String,
    is_end: bool,
    /// Where it is another than that of the label before.
    day: Option<String>,
    time: String,
    beneath: String,
}

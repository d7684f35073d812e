//! One environment, through time.

use axum::extract::{Path, State};
use axum::response::Html;
use maud::{Markup, html};

use super::artifact::shortened;
use super::comparison;
use super::frame::{Beside, Frame};
use super::history;
use super::timeline::{Lane, Measure, Picture, Scale, lanes, legend};
use super::view::{SIZES, View};
use super::when::{ago, time};
use crate::domain::{EnvironmentRecord, Error, Micros, SnapshotWindow};
use crate::http::request::Parameters;
use crate::store::Store;
use crate::text::pluralize;

/// Lanes in one picture.
const MOST_LANES: usize = 100;

/// The address of an environment's page.
pub(crate) fn address(org: &str, environment: &str) -> String {
    format!("/{org}/environments/{environment}")
}

/// `GET /{org}/environments/{environment}`
pub(crate) async fn show<S: Store>(
    State(store): State<S>,
    Path((org, name)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<Html<String>, Error> {
    let view = View::of(&mut parameters);
    parameters.check()?;
    let environment = store.environment(&org, &name).await?;
    let window = store.window(&org, &name, view.upto, view.size).await?;
    let now = store.now().seconds();
    let address = address(&org, &name);
    let main = html! {
        h1 { (name) }
        (facts(&environment, &window, now))
        @if let (Some(first), Some(last)) = (window.snapshots.first(), window.snapshots.last()) {
            (pictured(&name, &address, &window, now, view))
            section aria-labelledby="snapshots" {
                h2 id="snapshots" { "Snapshots" }
                p.quiet {
                    "#" (first.span.index) " to #" (last.span.index) " of "
                    (pluralize(window.count, "snapshot")) ", the latest first."
                }
                (history::table(&address, &window, now))
                (turns(&window, view))
            }
            section aria-labelledby="compare" {
                h2 id="compare" { "Compare two snapshots" }
                @let before = last.span.index.saturating_sub(1).max(1);
                @let (from, to) = (format!("{name}#{before}"), format!("{name}#{}", last.span.index));
                (comparison::form(&org, &from, &to))
            }
        } @else {
            p.empty {
                "Nothing was reported yet. The first report makes snapshot #1."
            }
        }
    };
    let frame = Frame {
        title: &name,
        above: &[(&org, format!("/{org}/environments"))],
        beside: Beside::default(),
    };
    Ok(frame.around(&main))
}

fn facts(environment: &EnvironmentRecord, window: &SnapshotWindow, now: f64) -> Markup {
    let EnvironmentRecord {
        environment_type, description, last_snapshot_at, last_reported_at, ..
    } = environment;
    html! {
        @if !description.is_empty() { p.lead { bdi { (shortened(description, 500)) } } }
        dl.facts {
            div { dt { "Type" } dd { (environment_type) } }
            div { dt { "Snapshots" } dd { (window.count) } }
            @for (what, at) in
                [("Last changed", last_snapshot_at), ("Last reported", last_reported_at)]
            {
                div {
                    dt { (what) }
                    dd {
                        @if let Some(at) = at.map(Micros::seconds) {
                            (ago(at, now)) span.beneath { (time(at)) }
                        } @else { "never" }
                    }
                }
            }
        }
    }
}

fn pictured(name: &str, address: &str, window: &SnapshotWindow, now: f64, view: View) -> Markup {
    let scale = Scale::of(window, now, view.measure);
    let lanes = lanes(&window.snapshots);
    let pages: Vec<&[Lane]> = lanes.chunks(MOST_LANES).collect();
    let last = u32::try_from(pages.len()).unwrap_or(u32::MAX);
    let view = View { page: view.page.min(last).max(1), ..view };
    let before = (view.page - 1) as usize;
    let shown = pages.get(before).copied().unwrap_or_default();
    let picture = Picture { environment: name, address, window, scale: &scale, lanes: shown };
    html! {
        section aria-labelledby="history" {
            h2 id="history" { "Timeline" }
            (controls(window, view))
            @if shown.is_empty() {
                p.empty { "Nothing ran in this time." }
            }
            a.skip href="#snapshots" { "Skip the picture" }
            (picture.draw())
            @if pages.len() > 1 {
                nav.pager aria-label="Artifacts in the picture" {
                    @if view.page > 1 {
                        @let before = View { page: view.page - 1, ..view };
                        a href=(before.address()) { "Artifacts before" }
                    }
                    @let first = before * MOST_LANES;
                    span {
                        "Artifacts " (first + 1) " to " (first + shown.len()) " of " (lanes.len())
                    }
                    @if view.page < last {
                        @let after = View { page: view.page + 1, ..view };
                        a href=(after.address()) { "Artifacts after" }
                    }
                }
            }
            (legend())
            details {
                summary { "How to read it" }
                p {
                    "Each artifact has a lane, and those of one repository stand together in the \
                     order in which they started; an artifact that ran before the first column \
                     begins at the left edge. Bars are thicker with more replicas. "
                    @match view.measure {
                        Measure::Shortened => {
                            "Long times without a change are drawn shorter than they were, so \
                             that short ones are seen."
                        },
                        Measure::True => {
                            "Time is drawn in proportion, so that what followed quickly may not \
                             be told apart."
                        },
                    }
                }
                p {
                    "The line above the lanes lasts from each snapshot to the last report that \
                     found it unchanged. It is interrupted while no report covers the time: none \
                     came until ten minutes after the heartbeat that the reporter announced, or \
                     for two hours after a report that announced none. What ran then is not known."
                }
            }
        }
    }
}

/// Which part of the history is shown, to be chosen.
fn controls(window: &SnapshotWindow, view: View) -> Markup {
    html! {
        form.controls method="get" {
            label { "Snapshots "
                select name="show" {
                    @for (name, size) in SIZES {
                        @let selected = (size == view.size).then_some("selected");
                        option value=(name) selected=[selected] { (name) }
                    }
                }
            }
            label { "up to # "
                input type="number" name="upto" min="1" max=(window.count) size="6"
                    value=[view.upto] placeholder="latest";
            }
            label { "Time "
                select name="scale" {
                    @for (name, measure, said) in [
                        ("shortened", Measure::Shortened, "long times shortened"),
                        ("true", Measure::True, "in proportion"),
                    ] {
                        @let selected = (measure == view.measure).then_some("selected");
                        option value=(name) selected=[selected] { (said) }
                    }
                }
            }
            button { "Show" }
            (turns(window, view))
        }
    }
}

/// The ways to earlier and later snapshots.
fn turns(window: &SnapshotWindow, view: View) -> Markup {
    let (first, last) = match (window.snapshots.first(), window.snapshots.last()) {
        (Some(first), Some(last)) => (first.span.index, last.span.index),
        _ => (1, 0),
    };
    let to = |upto| View { upto, page: 1, ..view }.address();
    let later = last.saturating_add(view.size);
    html! {
        @if first > 1 || last < window.count {
            nav.turns aria-label="Earlier and later snapshots" {
                @if first > 1 {
                    a href=(to(Some(view.size.min(window.count)))) { "First" }
                    a href=(to(Some(first - 1))) { "Earlier" }
                }
                @if last < window.count {
                    a href=(to((later < window.count).then_some(later))) { "Later" }
                    a href=(to(None)) { "Latest" }
                }
            }
        }
    }
}

//! The page of an environment.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::response::Html;
use envsnap_model::expression::{Expression, Snappish};
use envsnap_model::wire::LOGICAL;
use maud::{Markup, html};

use super::artifact_name::truncate;
use super::at;
use super::comparison;
use super::frame::Frame;
use super::history;
use super::provenance::{Columns, Mark, Marks};
use super::snapshot;
use super::time::{ago, time};
use super::timeline::{Lane, Picture, Scale, TimeScale, lanes, legend};
use super::view::{SIZES, View};
use crate::domain::{
    EnvironmentRecord, Error, Micros, SnapshotArtifact, SnapshotRecord, SnapshotWindow,
};
use crate::http::request::Parameters;
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;
use crate::text::pluralize;

/// The most lanes, one for each artifact, on one page of the timeline.
const MAX_LANES_PER_PAGE: usize = 100;
/// Listed running artifacts; the snapshot's page lists all of them.
const MAX_RUNNING: usize = 100;

/// The URL path of an environment's page.
pub(crate) fn address(org: &str, environment: &str) -> String {
    format!("/{org}/environments/{environment}")
}

/// `GET /{org}/environments/{environment}`
pub(crate) async fn show<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Path((org, name)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<Html<String>, Error> {
    let view = View::from_parameters(&mut parameters);
    parameters.check()?;
    let environment = store.environment(&org, &name).await?;
    let window = store.window(&org, &name, view.upto, view.size).await?;
    let has_provenance = store.has_provenance(&org).await?;
    let current = latest_snapshot_sections(&store, &org, &environment, has_provenance).await?;
    let lanes = ShownLanes::new(lanes(&window.snapshots), view);
    let marks = if has_provenance {
        let artifacts = named_artifacts(&window, lanes.shown());
        Marks::new(&store.add_provenance(&org, &name, artifacts).await?)
    } else {
        Marks::default()
    };
    let now = store.now().seconds();
    let address = address(&org, &name);
    let main = html! {
        h1 { (name) }
        (facts(&environment, &window, now))
        (current.marked)
        @if environment.latest_index > 0 { (at::time_form(&at::environment_at_path(&org, &name), "", None)) }
        @if let (Some(first), Some(last)) = (window.snapshots.first(), window.snapshots.last()) {
            (timeline_section(&org, &name, &address, &window, &lanes, &marks, now))
            (current.artifacts)
            section aria-labelledby="snapshots" {
                h2 id="snapshots" { "Snapshots" }
                p.quiet {
                    "#" (first.span.index) "..#" (last.span.index) " of "
                    (pluralize(window.count, "snapshot")) ", the latest first."
                }
                (history::snapshot_table(&address, &window, &marks, now))
                (adjacent_links(&window, view))
            }
            section aria-labelledby="compare" {
                h2 id="compare" { "Compare two snapshots" }
                @let before = last.span.index.saturating_sub(1).max(1);
                @let (from, to) = (format!("{name}#{before}"), format!("{name}#{}", last.span.index));
                (comparison::form(&org, &from, &to))
            }
        } @else {
            (no_snapshot(&org, &environment))
        }
    };
    let frame = Frame {
        title: &name,
        breadcrumbs: &[(&org, format!("/{org}/environments"))],
        org: Some(&org),
        ..Frame::default()
    };
    Ok(frame.render(&main))
}

/// Why the environment has no snapshot.
fn no_snapshot(org: &str, environment: &EnvironmentRecord) -> Markup {
    let included = environment.included_environments.as_deref().unwrap_or_default();
    html! {
        @if environment.environment_type == LOGICAL {
            p.empty { "A logical environment gets no reports, and so has no snapshots." }
            @if !included.is_empty() {
                p {
                    "It is made of "
                    @for (place, name) in included.iter().enumerate() {
                        @if place > 0 { ", " }
                        a href=(address(org, name)) { (name) }
                    }
                    "."
                }
            }
        } @else {
            p.empty {
                @if environment.last_reported_at.is_some() {
                    "Nothing has run here since the first report."
                } @else {
                    "Nothing was reported yet."
                }
                " The first report of something that runs makes snapshot #1."
            }
        }
    }
}

/// The environment's description, type, number of snapshots, and times of its last change and report.
fn facts(environment: &EnvironmentRecord, window: &SnapshotWindow, now: f64) -> Markup {
    let EnvironmentRecord {
        environment_type, description, last_snapshot_at, last_reported_at, ..
    } = environment;
    html! {
        @if !description.is_empty() { p.lead { bdi { (truncate(description, 500)) } } }
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

/// The lanes of a window, one page of which is shown.
struct ShownLanes {
    all: Vec<Lane>,
    /// Its page exists.
    view: View,
}

impl ShownLanes {
    fn new(all: Vec<Lane>, view: View) -> Self {
        let last = u32::try_from(all.len().div_ceil(MAX_LANES_PER_PAGE)).unwrap_or(u32::MAX);
        Self { all, view: View { page: view.page.min(last).max(1), ..view } }
    }

    /// The number of lanes on the pages before.
    fn count_before(&self) -> usize {
        (self.view.page - 1) as usize * MAX_LANES_PER_PAGE
    }

    /// The lanes on the page.
    fn shown(&self) -> &[Lane] {
        self.all.chunks(MAX_LANES_PER_PAGE).nth((self.view.page - 1) as usize).unwrap_or_default()
    }
}

/// The artifacts in lanes and in the table of snapshots, each once.
fn named_artifacts(window: &SnapshotWindow, lanes: &[Lane]) -> Vec<SnapshotArtifact> {
    let in_lanes: BTreeSet<_> = lanes.iter().map(Lane::identity).collect();
    let all = window.snapshots.iter().flat_map(|snapshot| &snapshot.changes);
    let all = all.filter(|artifact| in_lanes.contains(&artifact.identity()));
    let named = all.chain(window.snapshots.iter().flat_map(history::listed_changes));
    let named: BTreeMap<_, _> = named.map(|artifact| (artifact.identity(), artifact)).collect();
    named.into_values().cloned().collect()
}

/// The parts of the page about the latest snapshot.
struct LatestSnapshotSections {
    /// The number of artifacts with each mark, or that no provenance was reported.
    marked: Markup,
    artifacts: Markup,
}

/// Reads the latest snapshot and renders what runs in it, with marked artifacts first.
async fn latest_snapshot_sections<S: Store>(
    store: &S,
    org: &str,
    environment: &EnvironmentRecord,
    has_provenance: bool,
) -> Result<LatestSnapshotSections, Error> {
    if environment.latest_index == 0 {
        return Ok(LatestSnapshotSections { marked: html! {}, artifacts: html! {} });
    }
    let address = address(org, &environment.name);
    let wanted =
        Snappish { environment: environment.name.clone(), expression: Expression::latest() };
    let org_name = org.to_owned();
    let shown = move |[snapshot]: [SnapshotRecord; 1]| {
        let columns = Columns::new(&org_name, has_provenance);
        let mut running = snapshot.artifacts;
        running.retain(SnapshotArtifact::runs);
        let marked = snapshot::count_marks(columns, &running);
        running.sort_by_key(|artifact| {
            let marks = artifact
                .provenance
                .as_deref()
                .filter(|_| has_provenance)
                .map(Mark::from_provenance);
            let worst = marks.and_then(|marks| marks.first().copied());
            (worst.is_none(), worst)
        });
        let (count, latest) = (running.len(), format!("{address}/snapshots/{}", snapshot.index));
        running.truncate(MAX_RUNNING);
        let provenance = running.iter().filter_map(|artifact| artifact.provenance.as_deref());
        let columns = columns.shortened_to_fit(provenance);
        let artifacts = html! {
            section aria-labelledby="runs" {
                h2 id="runs" { "What runs now" }
                @if running.is_empty() {
                    p.empty { "Nothing runs." }
                } @else {
                    p.quiet {
                        (pluralize(count as u64, "artifact")) " in "
                        a href=(latest) { "#" (snapshot.index) }
                        @if count > MAX_RUNNING { ", of which " (MAX_RUNNING) " are shown" }
                        "."
                    }
                    (columns.left_out_notice())
                    (snapshot::artifact_table(columns, &address, "runs", &running, true))
                }
            }
        };
        LatestSnapshotSections { marked: snapshot::mark_list(columns, &marked), artifacts }
    };
    store.snapshots(org, [wanted], shown).await
}

fn timeline_section(
    org: &str,
    name: &str,
    address: &str,
    window: &SnapshotWindow,
    lanes: &ShownLanes,
    marks: &Marks,
    now: f64,
) -> Markup {
    let view = lanes.view;
    let scale = Scale::new(window, now, view.time_scale);
    let shown = lanes.shown();
    let picture =
        Picture { org, environment: name, address, window, scale: &scale, lanes: shown, marks };
    let pages = lanes.all.len().div_ceil(MAX_LANES_PER_PAGE);
    html! {
        section aria-labelledby="history" {
            h2 id="history" { "Timeline" }
            (controls(window, view))
            @if shown.is_empty() {
                p.empty { "Nothing ran in this time." }
            }
            a.skip href="#snapshots" { "Skip the picture" }
            (picture.draw())
            @if pages > 1 {
                nav.pager aria-label="Artifacts in the picture" {
                    @if view.page > 1 {
                        @let before = View { page: view.page - 1, ..view };
                        a href=(before.query_string()) { "Artifacts before" }
                    }
                    @let first = lanes.count_before();
                    span {
                        "Artifacts " (first + 1) " to " (first + shown.len()) " of " (lanes.all.len())
                    }
                    @if (view.page as usize) < pages {
                        @let after = View { page: view.page + 1, ..view };
                        a href=(after.query_string()) { "Artifacts after" }
                    }
                }
            }
            (legend())
            details {
                summary { "How to read it" }
                p {
                    "Each artifact has a lane, and those of one repository are grouped in the \
                     order in which they started; an artifact that ran before the first column \
                     begins at the left edge. Bars are thicker with more replicas. A flag is where \
                     an artifact started that never ran in the environment before. "
                    @match view.time_scale {
                        TimeScale::Compressed => {
                            "Long times without a change are drawn shorter than they were, so \
                             that short ones are seen."
                        },
                        TimeScale::Linear => {
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

/// The form that chooses the part of the history and the scale.
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
                    @for (name, time_scale, label) in [
                        ("shortened", TimeScale::Compressed, "long times shortened"),
                        ("true", TimeScale::Linear, "in proportion"),
                    ] {
                        @let selected = (time_scale == view.time_scale).then_some("selected");
                        option value=(name) selected=[selected] { (label) }
                    }
                }
            }
            button { "Show" }
            (adjacent_links(window, view))
        }
    }
}

/// Links to earlier and later snapshots.
fn adjacent_links(window: &SnapshotWindow, view: View) -> Markup {
    let (first, last) = match (window.snapshots.first(), window.snapshots.last()) {
        (Some(first), Some(last)) => (first.span.index, last.span.index),
        _ => (1, 0),
    };
    let to = |upto| View { upto, page: 1, ..view }.query_string();
    let later = last.saturating_add(view.size);
    html! {
        @if first > 1 || last < window.count {
            nav.adjacent aria-label="Earlier and later snapshots" {
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

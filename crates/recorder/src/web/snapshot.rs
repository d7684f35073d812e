//! The page of a snapshot.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use envsnap_model::expression::{Expression, Snappish};
use maud::{Markup, html};

use super::artifact_name::{name_and_fingerprint, truncate};
use super::at;
use super::comparison;
use super::environment::address;
use super::form::{
    name_contains, name_filter, name_filter_parameter, no_such_snapshot_message, urlencode,
};
use super::frame::{AdjacentPages, Frame};
use super::history::replica_change;
use super::provenance::{Columns, Mark, nothing_reported};
use super::seen::{RunTimes, first_time_here};
use super::time::{duration, time, utc};
use crate::domain::console;
use crate::domain::{Error, FirstTime, Micros, Page, SnapshotArtifact, SnapshotRecord};
use crate::http::request::Parameters;
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;
use crate::text::pluralize;

/// Artifacts on one page.
const PAGE_SIZE: u32 = 250;
/// Listed clusters and services per artifact; the JSON has all of them.
const MAX_PLACES: usize = 10;
/// For the name of a cluster or a service, and for a link to the AWS console.
const MAX_PLACE_CHARS: usize = 80;

/// `GET /{org}/environments/{environment}/snapshots/{expression}`
pub(crate) async fn show<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Path((org, environment, expression)): Path<(String, String, String)>,
    mut parameters: Parameters,
) -> Result<Response, Error> {
    let number = parameters.page(PAGE_SIZE).number;
    parameters.check()?;
    let (part, now) = (name_filter_parameter(&parameters), store.now().seconds());
    let expression: Expression =
        expression.parse().map_err(|error| Error::bad_request(format!("{error}")))?;
    let wanted = Snappish { environment: environment.clone(), expression };
    let has_provenance = store.has_provenance(&org).await?;
    let (of, name) = (org.clone(), environment.clone());
    let requested = wanted.expression.time(now);
    let shown = move |[snapshot]: [_; 1]| {
        let columns = Columns::new(&of, has_provenance);
        let view = SnapshotView { requested, part: &part, number, now };
        page(columns, &environment, snapshot, &view)
    };
    match store.snapshots(&org, [wanted], shown).await {
        Ok(page) => Ok(page.into_response()),
        Err(Error::SnapshotNotFound { snapshot, count, .. }) => {
            let message = no_such_snapshot_message(&snapshot, &name, count);
            Ok((StatusCode::NOT_FOUND, snapshot_not_found(&org, &name, &message)).into_response())
        }
        Err(error) => Err(error),
    }
}

fn snapshot_not_found(org: &str, environment: &str, message: &str) -> Html<String> {
    let address = address(org, environment);
    let main = html! {
        h1 { "No such snapshot" }
        p { bdi { (message) } "." }
        p { a href=(address) { "All snapshots of " (environment) } }
        (at::time_form(&at::environment_at_path(org, environment), "", None))
    };
    let breadcrumbs = [(org, format!("/{org}/environments")), (environment, address.clone())];
    Frame {
        title: "No such snapshot",
        breadcrumbs: &breadcrumbs,
        org: Some(org),
        ..Frame::default()
    }
    .render(&main)
}

/// What is shown of a snapshot. Times are in seconds since the Unix epoch.
struct SnapshotView<'a> {
    /// The time in the URL.
    requested: Option<f64>,
    /// Only artifacts whose names contain it.
    part: &'a str,
    /// The page, from 1.
    number: u32,
    now: f64,
}

fn page(
    columns: Columns<'_>,
    environment: &str,
    snapshot: SnapshotRecord,
    view: &SnapshotView<'_>,
) -> Html<String> {
    let org = columns.org;
    let address = address(org, environment);
    let index = snapshot.index;
    let adjacent = AdjacentPages {
        previous: (index > 1).then(|| format!("{address}/snapshots/{}", index - 1)),
        next: snapshot.next_recorded_at.map(|_| format!("{address}/snapshots/{}", index + 1)),
    };
    let title = format!("{environment}#{index}");
    let main = html! {
        h1 { (title) }
        (adjacent_snapshots(&address, index, &adjacent))
        @if let Some(at) = view.requested { (at::requested_time_notice(&snapshot, at, view.now)) }
        (facts(&snapshot, view.now))
        (artifact_sections(columns, environment, snapshot, view))
        section aria-labelledby="at" {
            h2 id="at" { "Another time" }
            @let value = view.requested.map(utc).unwrap_or_default();
            (at::time_form(&at::environment_at_path(org, environment), &value, None))
        }
        section aria-labelledby="more" {
            h2 id="more" { "Compare" }
            (comparison::form(org, &format!("{environment}#{}", (index - 1).max(1)), &title))
            p {
                a href={"/api/v2/snapshots/" (org) "/" (environment) "/" (index)} {
                    "This snapshot as JSON"
                }
            }
        }
    };
    let breadcrumbs = [(org, format!("/{org}/environments")), (environment, address)];
    Frame { title: &title, breadcrumbs: &breadcrumbs, adjacent, org: Some(org), ..Frame::default() }
        .render(&main)
}

fn adjacent_snapshots(
    address: &str,
    index: u32,
    AdjacentPages { previous, next }: &AdjacentPages,
) -> Markup {
    html! {
        nav.adjacent aria-label="Other snapshots" {
            @match previous {
                Some(previous) => a rel="prev" href=(previous) { "Previous (#" (index - 1) ")" },
                None => span.quiet { "The first" },
            }
            @match next {
                Some(next) => {
                    a rel="next" href=(next) { "Next (#" (index + 1) ")" }
                    a href={(address) "/snapshots/-1"} { "Latest" }
                },
                None => span.quiet { "The latest" },
            }
        }
    }
}

/// When it was recorded, by whom, until when it was confirmed, and when no report covered it.
fn facts(snapshot: &SnapshotRecord, now: f64) -> Markup {
    let SnapshotRecord {
        recorded_at, confirmed_until, gaps, next_recorded_at, reported_by, ..
    } = snapshot;
    html! {
        dl.facts {
            div { dt { "Recorded" } dd { (time(recorded_at.seconds())) } }
            @if !reported_by.is_empty() {
                div { dt { "Reported by" } dd { bdi { (reported_by) } } }
            }
            div {
                dt { "Last confirmed" }
                dd {
                    @if confirmed_until > recorded_at {
                        (time(confirmed_until.seconds()))
                    } @else {
                        "by no later report"
                    }
                }
            }
            @if !gaps.is_empty() {
                div {
                    dt { "Not covered" }
                    @for gap in gaps {
                        dd {
                            "from " (time(gap.from.seconds()))
                            @match gap.until {
                                Some(until) => {
                                    " to " (time(until.seconds()))
                                    span.beneath {
                                        "for " (duration(until.seconds() - gap.from.seconds()))
                                    }
                                },
                                None => " until now",
                            }
                        }
                    }
                }
            }
            div {
                dt { "Was the latest for" }
                dd {
                    @if let Some(end) = next_recorded_at.map(Micros::seconds) {
                        (duration(end - recorded_at.seconds())) span.beneath { "until " (time(end)) }
                    } @else {
                        (duration(now - recorded_at.seconds())) span.beneath { "so far" }
                    }
                }
            }
        }
    }
}

/// What runs and what exited, filtered by name and divided into pages.
fn artifact_sections(
    columns: Columns<'_>,
    environment: &str,
    snapshot: SnapshotRecord,
    view: &SnapshotView<'_>,
) -> Markup {
    let address = &address(columns.org, environment);
    let page = Page { number: view.number, size: PAGE_SIZE };
    let index = snapshot.index;
    let is_past = view.requested.is_some() || snapshot.next_recorded_at.is_some();
    let artifacts = snapshot.artifacts;
    let (running, exited) = artifacts.split_at(artifacts.partition_point(SnapshotArtifact::runs));
    let replicas: u64 = running.iter().map(|artifact| artifact.now).sum();
    let size = page.size as usize;
    let offset = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    let named = |all: &[SnapshotArtifact]| -> Vec<SnapshotArtifact> {
        all.iter().filter(|artifact| name_contains(&artifact.name, view.part)).cloned().collect()
    };
    let (named_running, named_exited) = (named(running), named(exited));
    let on_page = |all: &[SnapshotArtifact]| -> Vec<SnapshotArtifact> {
        all.iter().skip(offset).take(size).cloned().collect()
    };
    let (running_on_page, exited_on_page) = (on_page(&named_running), on_page(&named_exited));
    let shown = running_on_page.iter().chain(&exited_on_page);
    let columns = columns.shortened_to_fit(shown.filter_map(|it| it.provenance.as_deref()));
    let changed = artifacts.iter().filter(|artifact| artifact.changed()).count();
    let marked = count_marks(columns, running);
    html! {
        section aria-labelledby="runs" {
            h2 id="runs" { @if is_past { "What ran" } @else { "What runs" } }
            p.quiet {
                (pluralize(running.len() as u64, "artifact")) ", " (pluralize(replicas, "replica"))
                @match (changed, index) {
                    (0, _) => "; nothing changed",
                    (changed, 1) => {
                        "; " (pluralize(changed as u64, "change")) " in the first snapshot"
                    },
                    (changed, _) => {
                        @let expressions = [index - 1, index].map(|it| urlencode(&format!("{environment}#{it}")));
                        @let [from, to] = expressions;
                        "; "
                        a href={"/" (columns.org) "/compare?from=" (from) "&to=" (to)} {
                            (pluralize(changed as u64, "change")) " since #" (index - 1)
                        }
                    },
                }
                "."
            }
            (mark_list(columns, &marked))
            (columns.left_out_notice())
            @if running.is_empty() {
                p.empty { @if is_past { "Nothing ran." } @else { "Nothing runs." } }
            } @else {
                (name_filter("Artifact", view.part, &[]))
                @if named_running.is_empty() {
                    p.empty { "None of them has such a name." }
                } @else {
                    (artifact_table(columns, address, "runs", &running_on_page, true))
                    (artifact_pager(page, named_running.len() as u64, view.part))
                }
            }
        }
        @if !named_exited.is_empty() {
            section aria-labelledby="exited" {
                h2 id="exited" { "What exited with it" }
                (artifact_table(columns, address, "exited", &exited_on_page, false))
                (artifact_pager(page, named_exited.len() as u64, view.part))
            }
        }
    }
}

/// The number of running artifacts with each mark; empty if the organization has no provenance.
pub(crate) fn count_marks(
    columns: Columns<'_>,
    running: &[SnapshotArtifact],
) -> BTreeMap<Mark, usize> {
    let mut marked = BTreeMap::new();
    let provenance = running.iter().filter_map(|artifact| artifact.provenance.as_deref());
    for mark in provenance.filter(|_| columns.shown).flat_map(Mark::from_provenance) {
        *marked.entry(mark).or_default() += 1;
    }
    marked
}

/// A list of the numbers of [`count_marks`], or the statement that no provenance was reported.
pub(crate) fn mark_list(columns: Columns<'_>, marked: &BTreeMap<Mark, usize>) -> Markup {
    html! {
        @if !columns.shown {
            (nothing_reported())
        } @else if !marked.is_empty() {
            ul.legend aria-label="To be looked at" {
                @for (mark, count) in marked {
                    li { span { (count) } " " (mark.badge()) " " (mark.meaning()) }
                }
            }
        }
    }
}

/// A table of the artifacts of a snapshot that run, or, if `run` is false, that exited. `environment` is the
/// URL path of the environment, and `id` that of the heading.
pub(crate) fn artifact_table(
    columns: Columns<'_>,
    environment: &str,
    id: &str,
    artifacts: &[SnapshotArtifact],
    run: bool,
) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-labelledby=(id) {
            table {
                thead {
                    tr {
                        th scope="col" { "Artifact" }
                        (columns.header_cells())
                        th.number scope="col" { @if run { "Replicas" } @else { "Replicas before" } }
                        // Before the widest columns, of which narrow windows cut off the last one.
                        th scope="col" { "Change" }
                        th scope="col" { "Since when" }
                        th scope="col" { "Cluster and service" }
                    }
                }
                tbody {
                    @for artifact in artifacts {
                        tr {
                            th.artifact scope="row" { (linked_artifact_name(columns.org, artifact)) }
                            (columns.cells(artifact.provenance.as_deref()))
                            td.number { (if run { artifact.now } else { artifact.was }) }
                            td {
                                @if artifact.changed() { (replica_change(artifact.was, artifact.now)) }
                                (first_time_here(artifact.first_time_here().map(FirstTime::as_str)))
                            }
                            td { (RunTimes::from_artifact(artifact).render(environment)) }
                            td.place { (places(artifact)) (origin(artifact)) }
                        }
                    }
                }
            }
        }
    }
}

fn linked_artifact_name(org: &str, artifact: &SnapshotArtifact) -> Markup {
    let fingerprint = artifact.fingerprint.map(|known| known.to_string());
    name_and_fingerprint(org, &artifact.name, &fingerprint.unwrap_or_default())
}

/// The clusters and services in which it runs.
fn places(artifact: &SnapshotArtifact) -> Markup {
    let (places, task) = (&artifact.places, &artifact.task);
    let service_url = console::service_url(task);
    html! {
        @for place in places.iter().take(MAX_PLACES) {
            div {
                bdi { (truncate(place.cluster.as_deref().unwrap_or("–"), MAX_PLACE_CHARS)) }
                " / "
                @match &place.service {
                    Some(service) => {
                        @let is_of_task =
                            place.cluster == task.cluster && place.service == task.service;
                        (in_console(service_url.as_deref().filter(|_| is_of_task), service))
                    }
                    None => span.quiet { "no service" },
                }
                @if places.len() > 1 { " ×" (place.replicas) }
            }
        }
        @if places.len() > MAX_PLACES {
            span.beneath { "and " (places.len() - MAX_PLACES) " more" }
        }
    }
}

/// A text, as a link if it has an address in the AWS console.
fn in_console(address: Option<&str>, text: &str) -> Markup {
    let text = truncate(text, MAX_PLACE_CHARS);
    html! {
        @match address {
            Some(address) => a href=(address) rel="noreferrer" { bdi { (text) } },
            None => bdi { (text) },
        }
    }
}

/// Task definition, launch type, availability zone and starter of the latest replica's task, with links to
/// the AWS console. If a service's deployment started it, as is the rule, only a tooltip says so.
fn origin(artifact: &SnapshotArtifact) -> Markup {
    let Some(origin) = &artifact.task.origin else { return html! {} };
    let mut parts = Vec::new();
    if let Some(arn) = &origin.task_definition {
        let name = arn.rsplit_once('/').map_or(&**arn, |(_, name)| name);
        parts.push(in_console(console::task_definition_url(origin).as_deref(), name));
    }
    for part in [&origin.launch_type, &origin.availability_zone].into_iter().flatten() {
        parts.push(in_console(None, part));
    }
    let started_by = |by: &String| format!("started by {}", truncate(by, MAX_PLACE_CHARS));
    let by_deployment = origin.started_by.as_ref().filter(|by| by.starts_with("ecs-svc/"));
    if let (None, Some(by)) = (by_deployment, &origin.started_by) {
        parts.push(html! { "started by " (in_console(None, by)) });
    }
    html! {
        @if !parts.is_empty() {
            span.beneath title=[by_deployment.map(started_by)] {
                @for (at, part) in parts.iter().enumerate() {
                    @if at > 0 { ", " }
                    (part)
                }
            }
        }
    }
}

/// Pagination links of the artifacts whose names contain `part`.
fn artifact_pager(page: Page, total: u64, part: &str) -> Markup {
    let kept = format!("&name={}", urlencode(part));
    let (number, pages) = (u64::from(page.number), page.count(total));
    html! {
        @if pages > 1 {
            nav.pager aria-label="Pages" {
                @if number > 1 { a href={"?page=" (number - 1) (kept)} { "Artifacts before" } }
                span { "Page " (number) " of " (pages) }
                @if number < pages { a href={"?page=" (number + 1) (kept)} { "Artifacts after" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use envsnap_model::provenance::{Origin, State};
    use envsnap_model::snapshot::Fingerprint;

    use super::*;
    use crate::domain::provenance::{ArtifactProvenance, RecordId, ReportRecord};
    use crate::domain::{EntryHash, Task};

    /// A commit's URL of the greatest length that may be reported.
    fn commit_url(flow: usize) -> String {
        format!("https://git.example.com/{flow}/{}", "&".repeat(2_000))
    }

    fn report(flow: usize) -> ReportRecord {
        ReportRecord {
            id: RecordId::new("acme", 1),
            flow: format!("{flow}-{}", "f".repeat(200)),
            trail: None,
            template_name: None,
            commit: format!("{flow}6d9990ad23a40eecaf087abac2a58a2d2a4b3f4"),
            details: serde_json::json!({"commit_url": commit_url(flow)}).to_string(),
            first_reported_at: Micros(0),
            reported_at: Micros(0),
            state: State::Incomplete,
            state_trail: Some("\"".repeat(255)),
            problems: vec!["\"".repeat(255); 20],
            template: None,
        }
    }

    /// Artifacts of which each has reports of 20 flows; half of them run.
    fn snapshot(artifacts: u8) -> SnapshotRecord {
        let artifact = |number: u8| SnapshotArtifact {
            name: format!("image:{number}"),
            fingerprint: Some(Fingerprint::from([number / 2; 32])),
            was: 1,
            now: u64::from(number < artifacts / 2),
            started_at: vec![1],
            task: Task::unknown(),
            places: Vec::new(),
            seen: None,
            provenance: Some(Box::new(ArtifactProvenance {
                flows: (1..=20).map(report).collect(),
                deployments: Vec::new(),
                first_started_at: 1,
                origin: Origin::Known,
                allowed: None,
                updated: false,
            })),
        };
        SnapshotRecord {
            index: 2,
            seq: 2,
            hash: EntryHash::NONE,
            reported_by: String::new(),
            recorded_at: Micros(0),
            confirmed_until: Micros(0),
            next_recorded_at: None,
            gaps: Vec::new(),
            environment_type: "ECS".to_owned(),
            running_count: u64::from(artifacts / 2),
            is_partial: false,
            artifacts: (0..artifacts).map(artifact).collect(),
        }
    }

    /// The page of the artifacts of `snapshot` whose names contain `part`.
    fn page_of(snapshot: SnapshotRecord, part: &str) -> String {
        let view = SnapshotView { requested: None, part, number: 1, now: 1.0 };
        page(Columns::new("acme", true), "prod", snapshot, &view).0
    }

    const NOTICE: &str = "too long for this page";

    #[test]
    fn page_of_artifacts_with_very_long_provenance_is_below_1_mb_and_says_what_is_left_out() {
        let long = page_of(snapshot(250), "");
        assert!(long.len() < 1_000_000, "{} bytes", long.len());
        assert_eq!(long.matches(NOTICE).count(), 1);
        assert!(!long.contains("git.example.com") && !long.contains("missing: "));
        for kept in ["and 19 pipelines more", ">16d9990<", "/acme/artifacts/0101", "incomplete"] {
            assert!(long.contains(kept), "{kept}");
        }

        // Fewer artifacts have all of it.
        for few in [page_of(snapshot(10), ""), page_of(snapshot(250), "image:12")] {
            assert!(!few.contains(NOTICE) && few.contains("and 17 pipelines more"));
            assert!(few.contains("https://git.example.com/3/") && few.contains("missing: "));
        }
    }
}

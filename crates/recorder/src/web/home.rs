//! The list of environments.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Html;
use maud::{Markup, html};

use super::activity::Activity;
use super::artifact_name::{label, truncate};
use super::at;
use super::form::{name_filter, name_filter_parameter, urlencode};
use super::frame::{Frame, navigation};
use super::pager::pager;
use super::provenance::{Mark, marks};
use super::time::{self, ago, time};
use crate::domain::{
    EnvironmentRecord, EnvironmentSummary, Error, Micros, OrgFilter, Page, SnapshotArtifact,
    is_covered,
};
use crate::http::mark_counts::MarkCounts;
use crate::http::request::Parameters;
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;
use crate::text::{pluralize, unix_secs};

/// How many environments one page lists.
const PAGE_SIZE: u32 = 25;
/// How many running artifacts are listed for each environment; the environment's own page lists all.
const MAX_LISTED_ARTIFACTS: usize = 6;

/// The most characters of an environment's description: a longer one is cut.
const MAX_DESCRIPTION_CHARS: usize = 200;

/// `GET /`: all organizations that the caller may read.
pub(crate) async fn all<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Extension(readable): Extension<OrgFilter>,
    Extension(mark_counts): Extension<MarkCounts>,
    parameters: Parameters,
) -> Result<Html<String>, Error> {
    environments_page(&store, &mark_counts, readable, None, parameters).await
}

/// `GET /{org}/environments`
pub(crate) async fn of_org<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    Extension(mark_counts): Extension<MarkCounts>,
    parameters: Parameters,
) -> Result<Html<String>, Error> {
    environments_page(
        &store,
        &mark_counts,
        OrgFilter::Only(vec![org.clone()]),
        Some(&org),
        parameters,
    )
    .await
}

/// The environments of `org`, or of all readable organizations if it is `None`.
async fn environments_page<S: Store + ProvenanceStore>(
    store: &S,
    mark_counts: &MarkCounts,
    readable: OrgFilter,
    org: Option<&str>,
    mut parameters: Parameters,
) -> Result<Html<String>, Error> {
    let number = parameters.page(PAGE_SIZE).number;
    parameters.check()?;
    let page = Page { number, size: PAGE_SIZE };
    let part = name_filter_parameter(&parameters);
    let activity = Activity::read(store, mark_counts, &readable, org.is_some()).await?;
    let (mut environments, total) = store.overview(readable, Some(part.clone()), page).await?;
    clear_provenance_without_flows(store, &mut environments).await?;
    let now = store.now().seconds();
    let title =
        org.map_or_else(|| "Environments".to_owned(), |org| format!("Environments of {org}"));
    let main = html! {
        h1 { (title) }
        @if total == 0 && part.is_empty() {
            (no_environments_hint())
        } @else {
            @let path = org.map_or_else(|| "/at".to_owned(), |org| format!("/{org}/at"));
            (activity.attention_section())
            (at::time_form(&path, "", None))
            (name_filter("Environment", &part, &[]))
            @if environments.is_empty() { p.empty { "No environment has such a name." } }
            (environment_tables(&environments, now, org.is_some()))
            (pager("page", page, total, &format!("&name={}", urlencode(&part))))
            (activity.changes_section())
        }
    };
    Ok(Frame { title: &title, org, current: "environments", ..Frame::default() }.render(&main))
}

/// Without flows in an organization, an artifact without provenance is not rogue.
async fn clear_provenance_without_flows<S: ProvenanceStore>(
    store: &S,
    environments: &mut [EnvironmentSummary],
) -> Result<(), Error> {
    for of_org in
        environments.chunk_by_mut(|one, other| one.environment.org == other.environment.org)
    {
        if !store.has_provenance(&of_org[0].environment.org).await? {
            for artifact in of_org.iter_mut().flat_map(|it| it.running.iter_mut().flatten()) {
                artifact.provenance = None;
            }
        }
    }
    Ok(())
}

/// How the first environment comes about, if there is none.
fn no_environments_hint() -> Markup {
    html! {
        p.empty {
            "Nothing is recorded yet. A reporter makes its environment with its first report when \
             it is configured with " code { "AUTO_CREATE_ENVIRONMENT=true" } "."
        }
    }
}

/// A table for each organization, under a heading unless there is only one.
fn environment_tables(
    environments: &[EnvironmentSummary],
    now: f64,
    is_single_org: bool,
) -> Markup {
    let of_orgs = environments.chunk_by(|one, other| one.environment.org == other.environment.org);
    html! {
        @for environments in of_orgs {
            @let org = &environments[0].environment.org;
            section {
                @if !is_single_org {
                    h2 { a href={"/" (org) "/environments"} { (org) } }
                    (navigation(org, "", ""))
                }
                div.wide tabindex="0" role="region" aria-label={"Environments of " (org)} {
                    table.environments {
                        thead {
                            tr {
                                th scope="col" { "Environment" }
                                th scope="col" { "Runs" }
                                th scope="col" { "Last changed" }
                                th scope="col" { "Last reported" }
                            }
                        }
                        tbody {
                            @for environment in environments { (environment_row(environment, now)) }
                        }
                    }
                }
            }
        }
    }
}

/// A row of the table: name, what runs, and the times of the last change and report.
fn environment_row(summary: &EnvironmentSummary, now: f64) -> Markup {
    let EnvironmentSummary { environment, running } = summary;
    let address = super::environment::address(&environment.org, &environment.name);
    html! {
        tr {
            th scope="row" {
                a href=(address) { (environment.name) }
                @if !environment.description.is_empty() {
                    span.beneath { (truncate(&environment.description, MAX_DESCRIPTION_CHARS)) }
                }
            }
            td {
                @match (environment.latest_index, running) {
                    (0, _) => span.quiet { "nothing was reported yet" },
                    (index, Some(running)) => (running_summary(&address, index, running, now)),
                    (index, None) => a href={(address) "/snapshots/" (index)} {
                        "very many artifacts"
                    },
                }
            }
            td { (time_and_age(environment.last_snapshot_at, now)) }
            td {
                (time_and_age(environment.last_reported_at, now))
                @if is_uncovered(environment, now) {
                    div { span.mark.uncovered { "not covered now" } }
                }
            }
        }
    }
}

/// Whether the last report is older than the heartbeat allows.
fn is_uncovered(environment: &EnvironmentRecord, now: f64) -> bool {
    let last = environment.last_reported_at;
    last.is_some_and(|last| !is_covered(last, environment.heartbeat, Micros::from_seconds(now)))
}

/// The numbers of running artifacts and replicas, with counts of marks, and a list of the first artifacts.
fn running_summary(address: &str, index: u32, running: &[SnapshotArtifact], now: f64) -> Markup {
    let replicas: u64 = running.iter().map(|artifact| artifact.now).sum();
    let marked = Mark::ALL.map(|mark| {
        let provenance = running.iter().filter_map(|artifact| artifact.provenance.as_deref());
        (mark, provenance.filter(|known| Mark::from_provenance(known).contains(&mark)).count())
    });
    html! {
        a href={(address) "/snapshots/" (index)} { "#" (index) } ": "
        (pluralize(running.len() as u64, "artifact")) ", " (pluralize(replicas, "replica"))
        @for (mark, count) in marked {
            @if count > 0 { ", " span.one { (count) " " (mark.badge()) } }
        }
        ul.runs {
            @for artifact in running.iter().take(MAX_LISTED_ARTIFACTS) {
                li {
                    (label(&artifact.name)) (marks(artifact.provenance.as_deref()))
                    @if artifact.now > 1 { " ×" (artifact.now) }
                    @if let Some(started_at) = artifact.started_at.first() {
                        " " (running_since(*started_at, now))
                    }
                }
            }
            @if running.len() > MAX_LISTED_ARTIFACTS {
                li.quiet { "and " (running.len() - MAX_LISTED_ARTIFACTS) " more" }
            }
        }
    }
}

/// How long an artifact has run that started at this time, in seconds since the Unix epoch.
fn running_since(started_at: i64, now: f64) -> Markup {
    let started_at = unix_secs(started_at);
    html! { span.quiet title={"since " (time::utc(started_at))} { (time::running_for(started_at, now)) } }
}

/// How long ago this was, with the time beneath, or "never".
fn time_and_age(time_of: Option<Micros>, now: f64) -> Markup {
    html! {
        @if let Some(seconds) = time_of.map(Micros::seconds) {
            (ago(seconds, now)) span.beneath { (time(seconds)) }
        } @else {
            span.quiet { "never" }
        }
    }
}

//! The list of pipelines, and the page of one.

use axum::extract::{Path, State};
use axum::response::Html;
use maud::{Markup, html};

use super::artifact_table::ArtifactTable;
use super::columns::nothing_reported;
use super::links::{address, pipeline};
use super::marks::state;
use crate::domain::provenance::{FlowRecord, TrailSummary};
use crate::domain::{Error, Micros, Page};
use crate::http::request::Parameters;
use crate::http::views::trail_url;
use crate::store::Store;
use crate::store::provenance::{FlowFilter, ProvenanceStore, TrailFilter};
use crate::text::pluralize;
use crate::web::artifact_name::{escape_invisible, truncate};
use crate::web::form::{name_filter, name_filter_parameter, urlencode};
use crate::web::frame::Frame;
use crate::web::pager::pager;
use crate::web::time::{ago, time};

/// Pipelines, trails or artifacts per page.
const PAGE_SIZE: u32 = 50;
/// For the description of a pipeline or a trail, and for a tag.
const MAX_DESCRIPTION_CHARS: usize = 200;

/// `GET /{org}/flows`
pub(super) async fn list<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    mut parameters: Parameters,
) -> Result<Html<String>, Error> {
    let number = parameters.page(PAGE_SIZE).number;
    parameters.check()?;
    let page = Page { number, size: PAGE_SIZE };
    let part = name_filter_parameter(&parameters);
    let filter = FlowFilter {
        name: Some(part.clone()).filter(|part| !part.is_empty()),
        ..FlowFilter::default()
    };
    let (flows, total) = store.flows(&org, filter, Some(page)).await?;
    let now = store.now().seconds();
    let title = format!("Pipelines of {org}");
    let main = html! {
        h1 { (title) }
        @if total == 0 && part.is_empty() {
            (nothing_reported())
        } @else {
            p.quiet { (pluralize(total, "pipeline")) "." }
            (name_filter("Pipeline", &part, &[]))
            div.wide tabindex="0" role="region" aria-label=(title) {
                table {
                    thead {
                        tr {
                            th scope="col" { "Pipeline" }
                            th scope="col" { "State" }
                            th scope="col" { "Repository" }
                            th scope="col" { "Last activity" }
                        }
                    }
                    tbody { @for flow in &flows { (flow_row(&org, flow, now)) } }
                }
            }
            (pager("page", page, total, &format!("&name={}", urlencode(&part))))
        }
    };
    Ok(Frame {
        title: &title,
        breadcrumbs: &[(&org, format!("/{org}/environments"))],
        org: Some(&org),
        current: "flows",
        ..Frame::default()
    }
    .render(&main))
}

fn flow_row(org: &str, flow: &FlowRecord, now: f64) -> Markup {
    let active = flow.latest_activity_at.seconds();
    html! {
        tr {
            th scope="row" {
                (pipeline(org, &flow.name))
                @if !flow.description.is_empty() {
                    span.beneath { bdi { (truncate(&flow.description, MAX_DESCRIPTION_CHARS)) } }
                }
            }
            td {
                @match flow.latest_state {
                    Some(latest) => { (state(latest)) span.beneath { "of the latest trail" } },
                    None => span.quiet { "no trail" },
                }
            }
            td.urls {
                @match &flow.repo_url {
                    Some(url) => (address(url)),
                    None => span.quiet { "not reported" },
                }
            }
            td { (ago(active, now)) span.beneath { (time(active)) } }
        }
    }
}

/// `GET /{org}/flows/{flow}`
pub(super) async fn show<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Path((org, name)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<Html<String>, Error> {
    let [trails_page, artifacts_page] = ["trails", "artifacts"].map(|list| {
        let number = parameters.number(list, 1, u32::MAX);
        Page { number, size: PAGE_SIZE }
    });
    parameters.check()?;
    let flow = store.flow(&org, &name).await?;
    let filter = TrailFilter { flow: Some(name.clone()), ..TrailFilter::default() };
    let (trails, trail_count) = store.trails(&org, filter, trails_page).await?;
    let (artifacts, artifact_count) =
        store.list_artifacts(&org, Some(&name), None, artifacts_page).await?;
    let artifacts = ArtifactTable::new(&store, &org, artifacts).await?;
    let now = store.now().seconds();
    let main = html! {
        h1 { (flow.name) }
        @if !flow.description.is_empty() {
            p.lead { bdi { (truncate(&flow.description, 500)) } }
        }
        (facts(&flow, now))
        section aria-labelledby="trails" {
            h2 id="trails" { "Trails" }
            @if trail_count == 0 {
                p.empty { "No trail was begun." }
            } @else {
                p.quiet { (pluralize(trail_count, "trail")) ", the latest first." }
                (trail_table(&org, &trails, now))
                @let kept = format!("&artifacts={}", artifacts_page.number);
                (pager("trails", trails_page, trail_count, &kept))
            }
        }
        section aria-labelledby="artifacts" {
            h2 id="artifacts" { "Artifacts" }
            @if artifact_count == 0 {
                p.empty { "No artifact was reported." }
            } @else {
                p.quiet { (pluralize(artifact_count, "artifact")) ", the latest first." }
                (artifacts.table("artifacts", now))
                @let kept = format!("&trails={}", trails_page.number);
                (pager("artifacts", artifacts_page, artifact_count, &kept))
            }
        }
        @if let Some(template) = &flow.template {
            section aria-labelledby="template" {
                h2 id="template" { "What its trails are expected to have" }
                pre.wide tabindex="0" { (template.content.lines().map(escape_invisible).collect::<Vec<_>>().join("\n")) }
            }
        }
    };
    Ok(Frame {
        title: &flow.name,
        breadcrumbs: &[
            (&org, format!("/{org}/environments")),
            ("Pipelines", format!("/{org}/flows")),
        ],
        org: Some(&org),
        ..Frame::default()
    }
    .render(&main))
}

/// State, visibility, repository, last activity, last deployment and tags of a pipeline.
fn facts(flow: &FlowRecord, now: f64) -> Markup {
    html! {
        dl.facts {
            @if let Some(latest) = flow.latest_state {
                div { dt { "Latest trail" } dd { (state(latest)) } }
            }
            div { dt { "Visibility" } dd { (flow.visibility) } }
            @if let Some(url) = &flow.repo_url { div { dt { "Repository" } dd { (address(url)) } } }
            @for (what, at) in [
                ("Last activity", Some(flow.latest_activity_at)),
                ("Last deployment", flow.last_deployment_at),
            ] {
                @if let Some(at) = at.map(Micros::seconds) {
                    div { dt { (what) } dd { (ago(at, now)) span.beneath { (time(at)) } } }
                }
            }
            @if !flow.tags.is_empty() {
                div {
                    dt { "Tags" }
                    @for (key, value) in &flow.tags {
                        dd {
                            bdi { (truncate(key, MAX_DESCRIPTION_CHARS)) } ": "
                            bdi { (truncate(value, MAX_DESCRIPTION_CHARS)) }
                        }
                    }
                }
            }
        }
    }
}

fn trail_table(org: &str, trails: &[TrailSummary], now: f64) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-labelledby="trails" {
            table {
                thead {
                    tr {
                        th scope="col" { "Trail" }
                        th scope="col" { "State" }
                        th scope="col" { "Begun" }
                    }
                }
                tbody {
                    @for trail in trails {
                        tr {
                            th scope="row" {
                                a href=(trail_url(org, &trail.flow, &trail.name)) { (trail.name) }
                                @if !trail.description.is_empty() {
                                    span.beneath {
                                        bdi { (truncate(&trail.description, MAX_DESCRIPTION_CHARS)) }
                                    }
                                }
                            }
                            td { (state(trail.state)) }
                            @let begun = trail.created_at.seconds();
                            td { (ago(begun, now)) span.beneath { (time(begun)) } }
                        }
                    }
                }
            }
        }
    }
}

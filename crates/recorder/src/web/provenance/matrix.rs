//! The versions of each repository in each environment.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::Html;
use maud::{Markup, html};

use super::links::commit;
use super::marks::{Mark, legend, marks};
use crate::domain::{EnvironmentSummary, Error, OrgFilter, Page, SnapshotArtifact};
use crate::http::request::Parameters;
use crate::http::views::artifact_url;
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;
use crate::text::pluralize;
use crate::web::artifact_name::{short_fingerprint, truncate};
use crate::web::environment;
use crate::web::form::{name_contains, name_filter, name_filter_parameter, urlencode};
use crate::web::frame::Frame;
use crate::web::pager::pager;
use envsnap_model::snapshot::ImageName;
use envsnap_model::wire::LOGICAL;

/// Repositories on one page.
const PAGE_SIZE: u32 = 100;
/// Environments on one page.
const MAX_ENVIRONMENTS: u32 = 50;
/// Listed versions per repository and environment.
const MAX_VERSIONS: usize = 5;
/// For the name of a repository, and for a tag.
const MAX_PART_CHARS: usize = 60;

/// The artifacts of one repository, by the position of the environment.
type Row<'a> = BTreeMap<usize, Vec<&'a SnapshotArtifact>>;

/// `GET /{org}/matrix`: the running versions of each repository in each environment.
pub(super) async fn show<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    mut parameters: Parameters,
) -> Result<Html<String>, Error> {
    let number = parameters.page(PAGE_SIZE).number;
    parameters.check()?;
    let page = Page { number, size: PAGE_SIZE };
    let has_provenance = store.has_provenance(&org).await?;
    let columns = Page { number: 1, size: MAX_ENVIRONMENTS };
    let (mut environments, total) =
        store.overview(OrgFilter::Only(vec![org.clone()]), None, columns).await?;
    let is_cut = total > environments.len() as u64;
    environments.retain(|it| it.environment.environment_type != LOGICAL);
    let part = name_filter_parameter(&parameters);
    let mut rows = versions_by_repository(&environments);
    rows.retain(|repository, _| name_contains(repository, &part));
    let title = format!("Versions in {org}");
    let main = html! {
        h1 { (title) }
        p.quiet {
            "What runs now: by repository and environment the commit, else the tag, else the \
             fingerprint; the latest start first."
        }
        @if !has_provenance { (super::nothing_reported()) }
        (name_filter("Repository", &part, &[]))
        @if rows.is_empty() && !part.is_empty() {
            p.empty { "No repository that runs has such a name." }
            @if environments.iter().any(|it| !is_reported(it)) {
                p.quiet { "Some environments have no report yet." }
            }
        } @else if rows.is_empty()
            && environments.iter().all(|it| it.running.is_some() && is_reported(it)) {
            p.empty { "Nothing runs." }
        } @else {
            (table(&org, &environments, &rows, page, has_provenance))
            (pager("page", page, rows.len() as u64, &format!("&name={}", urlencode(&part))))
        }
        @if is_cut {
            p.quiet { "Of " (pluralize(total, "environment")) " the first are shown." }
        }
    };
    Ok(Frame {
        title: &title,
        breadcrumbs: &[(&org, format!("/{org}/environments"))],
        org: Some(&org),
        current: "matrix",
        ..Frame::default()
    }
    .render(&main))
}

/// Whether it is known what runs there.
fn is_reported(summary: &EnvironmentSummary) -> bool {
    summary.environment.last_reported_at.is_some()
}

fn versions_by_repository(environments: &[EnvironmentSummary]) -> BTreeMap<&str, Row<'_>> {
    let mut rows: BTreeMap<&str, Row<'_>> = BTreeMap::new();
    for (column, summary) in environments.iter().enumerate() {
        for artifact in summary.running.iter().flatten() {
            let repository = ImageName::new(&artifact.name).repository;
            rows.entry(repository).or_default().entry(column).or_default().push(artifact);
        }
    }
    for artifacts in rows.values_mut().flat_map(BTreeMap::values_mut) {
        artifacts.sort_by_key(|artifact| Reverse(artifact.started_at.last().copied()));
    }
    rows
}

fn table(
    org: &str,
    environments: &[EnvironmentSummary],
    rows: &BTreeMap<&str, Row<'_>>,
    page: Page,
    has_provenance: bool,
) -> Markup {
    let offset = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    let shown = rows.iter().skip(offset).take(page.size as usize);
    let artifacts = rows.values().skip(offset).take(page.size as usize).flat_map(BTreeMap::values);
    let all_marks = artifacts
        .flatten()
        .filter_map(|artifact| artifact.provenance.as_deref())
        .filter(|_| has_provenance)
        .flat_map(Mark::from_provenance)
        .collect();
    html! {
        div.wide tabindex="0" role="region" aria-label="Versions" {
            table.matrix {
                thead {
                    tr {
                        th scope="col" { "Repository" }
                        @for summary in environments {
                            @let name = &summary.environment.name;
                            th scope="col" {
                                a href=(environment::address(org, name)) { (name) }
                                @if !is_reported(summary) {
                                    span.beneath { "no report yet" }
                                } @else if summary.running.is_none() {
                                    span.beneath { "very many artifacts, not shown" }
                                }
                            }
                        }
                    }
                }
                tbody {
                    @for (repository, row) in shown {
                        tr {
                            th scope="row" { bdi { (truncate(repository, MAX_PART_CHARS)) } }
                            @for column in 0..environments.len() {
                                td {
                                    @match row.get(&column) {
                                        Some(versions) => (cell(org, versions, has_provenance)),
                                        None => span.quiet { "–" },
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        (legend(&all_marks))
    }
}

fn cell(org: &str, versions: &[&SnapshotArtifact], has_provenance: bool) -> Markup {
    html! {
        @for artifact in versions.iter().take(MAX_VERSIONS) {
            div {
                (version_link(org, artifact))
                @if artifact.now > 1 { " ×" (artifact.now) }
                @if has_provenance { (marks(artifact.provenance.as_deref())) }
            }
        }
        @if versions.len() > MAX_VERSIONS {
            span.beneath { "and " (versions.len() - MAX_VERSIONS) " more" }
        }
    }
}

/// The artifact's commit, or else its tag, or else its fingerprint, as a link to its page.
fn version_link(org: &str, artifact: &SnapshotArtifact) -> Markup {
    let known = artifact.provenance.as_ref().and_then(|known| known.flows.first());
    let reported = known.filter(|report| !report.commit.is_empty());
    let tag = ImageName::new(&artifact.name).tag.unwrap_or_default();
    let words = html! {
        @if let Some(report) = reported {
            (commit(&report.commit, ""))
        } @else if !tag.is_empty() {
            bdi { (truncate(tag, MAX_PART_CHARS)) }
        } @else if artifact.fingerprint.is_some() {
            code { (short_fingerprint(artifact.fingerprint)) }
        } @else {
            span.quiet { "unknown" }
        }
    };
    html! {
        @match artifact.fingerprint {
            Some(fingerprint) => {
                a href=(artifact_url(org, &fingerprint.to_string())) { (words) }
            },
            None => (words),
        }
    }
}

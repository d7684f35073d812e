//! All environments.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Html;
use maud::{Markup, html};

use super::artifact::{label, shortened};
use super::frame::{Beside, Frame};
use super::when::{self, ago, time};
use crate::recorder::access::Readable;
use crate::recorder::answer::Refusal;
use crate::recorder::record::StoredArtifact;
use crate::recorder::request::Parameters;
use crate::recorder::store::{Overview, Overviewed, Page, Store};
use crate::wording::{counted, whole};

/// Environments on one page.
const PAGE_SIZE: u32 = 25;
/// Artifacts that are named of an environment; its own page has them all.
const MOST_NAMED: usize = 6;

/// The most characters of a description.
const LONGEST_DESCRIPTION: usize = 200;

/// `GET /`: of every organization that may be read.
pub(super) async fn all(
    State(store): State<Store>,
    Extension(readable): Extension<Readable>,
    parameters: Parameters,
) -> Result<Html<String>, Refusal> {
    show(&store, readable, None, parameters).await
}

/// `GET /{org}/environments`
pub(super) async fn of_org(
    State(store): State<Store>,
    Path(org): Path<String>,
    parameters: Parameters,
) -> Result<Html<String>, Refusal> {
    show(&store, Readable::These(vec![org.clone()]), Some(&org), parameters).await
}

async fn show(
    store: &Store,
    readable: Readable,
    org: Option<&str>,
    mut parameters: Parameters,
) -> Result<Html<String>, Refusal> {
    let number = parameters.page(PAGE_SIZE).number;
    parameters.check()?;
    let page = Page { number, size: PAGE_SIZE };
    let overview = store.overview(readable, page).await?;
    let title =
        org.map_or_else(|| "Environments".to_owned(), |org| format!("Environments of {org}"));
    let main = html! {
        h1 { (title) }
        @if overview.total == 0 {
            (nothing_yet())
        } @else {
            (sections(&overview, org.is_some()))
            (pager(page, overview.total))
        }
    };
    Ok(Frame { title: &title, above: &[], beside: Beside::default() }.around(&main))
}

fn nothing_yet() -> Markup {
    html! {
        p.empty {
            "Nothing is recorded yet. A reporter makes its environment with its first report when \
             it is configured with " code { "AUTO_CREATE_ENVIRONMENT=true" } "."
        }
    }
}

fn sections(overview: &Overview, is_one: bool) -> Markup {
    let Overview { environments, now, .. } = overview;
    let of_orgs = environments.chunk_by(|one, other| one.environment.org == other.environment.org);
    html! {
        @for environments in of_orgs {
            @let org = &environments[0].environment.org;
            section {
                @if !is_one {
                    h2 { a href={"/" (org) "/environments"} { (org) } }
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
                            @for environment in environments { (row(environment, *now)) }
                        }
                    }
                }
            }
        }
    }
}

fn row(overviewed: &Overviewed, now: f64) -> Markup {
    let Overviewed { environment, latest, running } = overviewed;
    let address = super::environment::address(&environment.org, &environment.name);
    html! {
        tr {
            th scope="row" {
                a href=(address) { (environment.name) }
                @if !environment.description.is_empty() {
                    span.beneath { (shortened(&environment.description, LONGEST_DESCRIPTION)) }
                }
            }
            td {
                @match (latest, running) {
                    (None, _) => span.quiet { "nothing was reported yet" },
                    (Some(index), Some(running)) => (runs(&address, *index, running, now)),
                    (Some(index), None) => a href={(address) "/snapshots/" (index)} {
                        "very many artifacts"
                    },
                }
            }
            td { (moment(environment.last_changed_at, now)) }
            td { (moment(environment.last_reported_at, now)) }
        }
    }
}

fn runs(address: &str, index: u32, running: &[StoredArtifact], now: f64) -> Markup {
    let replicas: u64 = running.iter().map(StoredArtifact::now).sum();
    html! {
        a href={(address) "/snapshots/" (index)} { "#" (index) } ": "
        (counted(running.len() as u64, "artifact")) ", " (counted(replicas, "replica"))
        ul.runs {
            @for artifact in running.iter().take(MOST_NAMED) {
                li {
                    (label(&artifact.name))
                    @if artifact.now() > 1 { " ×" (artifact.now()) }
                    @if let Some(started_at) = artifact.started_at.first() {
                        " " (since(*started_at, now))
                    }
                }
            }
            @if running.len() > MOST_NAMED {
                li.quiet { "and " (running.len() - MOST_NAMED) " more" }
            }
        }
    }
}

fn since(started_at: i64, now: f64) -> Markup {
    let started_at = whole(started_at);
    html! { span.quiet title={"since " (when::utc(started_at))} { (when::since(started_at, now)) } }
}

fn moment(seconds: Option<f64>, now: f64) -> Markup {
    html! {
        @if let Some(seconds) = seconds {
            (ago(seconds, now)) span.beneath { (time(seconds)) }
        } @else {
            span.quiet { "never" }
        }
    }
}

fn pager(page: Page, total: u64) -> Markup {
    let pages = page.count(total);
    let number = u64::from(page.number);
    html! {
        @if pages > 1 {
            nav.pager aria-label="Pages" {
                @if number > 1 { a rel="prev" href={"?page=" (number - 1)} { "Previous" } }
                span { "Page " (number) " of " (pages) }
                @if number < pages { a rel="next" href={"?page=" (number + 1)} { "Next" } }
            }
        }
    }
}

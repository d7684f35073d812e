//! One snapshot.

use axum::extract::{Path, State};
use axum::response::Html;
use maud::{Markup, html};

use super::artifact::{identified, shortened};
use super::comparison;
use super::environment::address;
use super::frame::{Beside, Frame};
use super::history::change;
use super::when::{duration, time};
use crate::api::wire::Silence;
use crate::recorder::answer::Refusal;
use crate::recorder::record::{StoredArtifact, order};
use crate::recorder::request::Parameters;
use crate::recorder::routes::no_snapshot;
use crate::recorder::store::{Found, Page, Store, StoredSnapshot};
use crate::wording::{counted, whole};
use envsnap_model::expression::{Expression, Snappish};

/// Artifacts on one page.
const PAGE_SIZE: u32 = 500;
/// Clusters and services that are named of an artifact; the JSON has them all.
const MOST_PLACES: usize = 10;
/// The most characters of a cluster or a service.
const LONGEST_PLACE: usize = 80;

/// `GET /{org}/environments/{environment}/snapshots/{expression}`
pub(super) async fn show(
    State(store): State<Store>,
    Path((org, environment, expression)): Path<(String, String, String)>,
    mut parameters: Parameters,
) -> Result<Html<String>, Refusal> {
    let number = parameters.page(PAGE_SIZE).number;
    parameters.check()?;
    let expression: Expression =
        expression.parse().map_err(|error| Refusal::bad_request(format!("{error}")))?;
    let snapshot = match store.snapshot(&org, &environment, expression.clone()).await? {
        Found::Snapshot(snapshot) => snapshot,
        Found::NoEnvironment => return Err(Refusal::no_environment(&org, &environment)),
        Found::NoSnapshot { index, count } => {
            return Err(no_snapshot(&org, &Snappish { environment, expression }, index, count));
        }
    };
    let address = address(&org, &environment);
    let index = snapshot.index;
    let beside = Beside {
        previous: (index > 1).then(|| format!("{address}/snapshots/{}", index - 1)),
        next: snapshot.next_created_at.map(|_| format!("{address}/snapshots/{}", index + 1)),
    };
    let title = format!("{environment}#{index}");
    let main = html! {
        h1 { (title) }
        (neighbours(&address, index, &beside))
        (facts(&snapshot))
        (artifacts(snapshot, Page { number, size: PAGE_SIZE }))
        section aria-labelledby="more" {
            h2 id="more" { "Compare" }
            (comparison::form(&org, &format!("{environment}#{}", (index - 1).max(1)), &title))
            p {
                a href={"/api/v2/snapshots/" (org) "/" (environment) "/" (index)} {
                    "This snapshot as JSON"
                }
            }
        }
    };
    let above = [(&*org, format!("/{org}/environments")), (&*environment, address)];
    Ok(Frame { title: &title, above: &above, beside }.around(&main))
}

fn neighbours(address: &str, index: u32, Beside { previous, next }: &Beside) -> Markup {
    html! {
        nav.turns aria-label="Other snapshots" {
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

fn facts(snapshot: &StoredSnapshot) -> Markup {
    let StoredSnapshot { created_at, confirmed_until, silences, next_created_at, .. } = snapshot;
    html! {
        dl.facts {
            div { dt { "Recorded" } dd { (time(*created_at)) } }
            div {
                dt { "Last confirmed" }
                dd {
                    @if confirmed_until > created_at {
                        (time(*confirmed_until))
                    } @else {
                        "as recorded"
                    }
                }
            }
            @if silences.iter().any(Silence::is_long) {
                div {
                    dt { "Not confirmed" }
                    @for silence in silences.iter().filter(|silence| silence.is_long()) {
                        dd {
                            "for " (duration(silence.lasted()))
                            span.beneath {
                                "from " (time(silence.from)) " to " (time(silence.until))
                            }
                        }
                    }
                }
            }
            div {
                dt { "Lasted" }
                dd {
                    @if let Some(end) = next_created_at {
                        (duration(end - created_at)) span.beneath { "until " (time(*end)) }
                    } @else { "to this day" }
                }
            }
        }
    }
}

fn artifacts(snapshot: StoredSnapshot, page: Page) -> Markup {
    let index = snapshot.index;
    let mut artifacts = snapshot.artifacts;
    order(&mut artifacts);
    let (running, exited) = artifacts.split_at(artifacts.partition_point(StoredArtifact::runs));
    let replicas: u64 = running.iter().map(StoredArtifact::now).sum();
    let size = page.size as usize;
    let offset = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    let on_page = |all: &[StoredArtifact]| -> Vec<StoredArtifact> {
        all.iter().skip(offset).take(size).cloned().collect()
    };
    let changed = artifacts.iter().filter(|artifact| artifact.changed()).count();
    html! {
        section aria-labelledby="runs" {
            h2 id="runs" { "What runs" }
            p.quiet {
                (counted(running.len() as u64, "artifact")) ", " (counted(replicas, "replica"))
                @match (changed, index) {
                    (0, _) => "; nothing changed",
                    (changed, 1) => {
                        "; " (counted(changed as u64, "change")) " in the first snapshot"
                    },
                    (changed, _) => {
                        "; " (counted(changed as u64, "change")) " since #" (index - 1)
                    },
                }
                "."
            }
            @if running.is_empty() {
                p.empty { "Nothing runs in this snapshot." }
            } @else {
                (rows("runs", &on_page(running), true))
                (pages(page, running.len() as u64))
            }
        }
        @if !exited.is_empty() {
            section aria-labelledby="exited" {
                h2 id="exited" { "What exited with it" }
                (rows("exited", &on_page(exited), false))
                (pages(page, exited.len() as u64))
            }
        }
    }
}

fn rows(id: &str, artifacts: &[StoredArtifact], run: bool) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-labelledby=(id) {
            table {
                thead {
                    tr {
                        th scope="col" { "Artifact" }
                        th.number scope="col" { @if run { "Replicas" } @else { "Replicas before" } }
                        @if run { th scope="col" { "Running since" } }
                        th scope="col" { "Cluster and service" }
                        th scope="col" { "Change" }
                    }
                }
                tbody {
                    @for artifact in artifacts {
                        tr {
                            th.artifact scope="row" { (identity(artifact)) }
                            td.number { (if run { artifact.now() } else { artifact.was }) }
                            @if run { td { (since(artifact)) } }
                            td.place { (places(artifact)) }
                            td { (change(artifact.was, artifact.now())) }
                        }
                    }
                }
            }
        }
    }
}

fn identity(artifact: &StoredArtifact) -> Markup {
    let fingerprint = artifact.fingerprint.map(|known| known.to_string());
    identified(&artifact.name, &fingerprint.unwrap_or_default())
}

fn since(artifact: &StoredArtifact) -> Markup {
    let starts = &artifact.started_at;
    html! {
        @if let (Some(first), Some(last)) = (starts.first(), starts.last()) {
            (time(whole(*first)))
            @if first != last { span.beneath { "the latest " (time(whole(*last))) } }
        }
    }
}

fn places(artifact: &StoredArtifact) -> Markup {
    let places = &artifact.places;
    html! {
        @for place in places.iter().take(MOST_PLACES) {
            bdi { (shortened(place.cluster_name.as_deref().unwrap_or("–"), LONGEST_PLACE)) }
            span.beneath {
                @match &place.service_name {
                    Some(service) => bdi { (shortened(service, LONGEST_PLACE)) },
                    None => "no service",
                }
                @if places.len() > 1 { " ×" (place.replicas) }
            }
        }
        @if places.len() > MOST_PLACES {
            span.beneath { "and " (places.len() - MOST_PLACES) " more" }
        }
    }
}

fn pages(page: Page, total: u64) -> Markup {
    let (number, pages) = (u64::from(page.number), page.count(total));
    html! {
        @if pages > 1 {
            nav.pager aria-label="Pages" {
                @if number > 1 { a href={"?page=" (number - 1)} { "Artifacts before" } }
                span { "Page " (number) " of " (pages) }
                @if number < pages { a href={"?page=" (number + 1)} { "Artifacts after" } }
            }
        }
    }
}

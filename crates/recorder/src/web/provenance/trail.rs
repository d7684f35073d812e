//! The page of a trail.

use axum::extract::{Path, State};
use axum::response::Html;
use envsnap_model::provenance::ArtifactStatus;
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::evidence;
use super::links::{address, commit};
use super::marks::state;
use crate::domain::Error;
use crate::domain::provenance::{
    AttestationRecord, TrailEvent, TrailEventKind, TrailRecord, fields,
};
use crate::http::views::{artifact_url, flow_url, text};
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;
use crate::web::artifact_name::{label, shorten_fingerprint, truncate};
use crate::web::environment;
use crate::web::frame::Frame;
use crate::web::time::{ago, time};

/// Listed events, attestations and artifacts; of the first two the latest ones.
const MAX_SHOWN: usize = 500;
/// For a description, a label, a branch, a line of a commit message, an author or the targets of evidence.
const MAX_TEXT_CHARS: usize = 500;
/// Listed external URLs of a trail.
const MAX_LINKS: usize = 20;

/// `GET /{org}/flows/{flow}/trails/{trail}`
pub(super) async fn show<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow, name)): Path<(String, String, String)>,
) -> Result<Html<String>, Error> {
    let trail = store.trail(&org, &flow, &name).await?;
    let details = fields(&trail.details);
    let description = text(&details, "description");
    let main = html! {
        h1 { (trail.name) " " (state(trail.status.state)) }
        @if !description.is_empty() { p.lead { bdi { (truncate(&description, MAX_TEXT_CHARS)) } } }
        (facts(&trail, &details, store.now().seconds()))
        (trail_evidence(&trail))
        (artifacts(&org, &trail))
        (attestations(&org, &trail))
        (events(&org, &trail))
    };
    let breadcrumbs = [
        (&*org, format!("/{org}/environments")),
        ("Pipelines", format!("/{org}/flows")),
        (&*trail.flow, flow_url(&org, &trail.flow)),
    ];
    Ok(Frame { title: &trail.name, breadcrumbs: &breadcrumbs, org: Some(&org), ..Frame::default() }
        .render(&main))
}

/// When and by whom it was begun, its commit, its origin and its external URLs.
fn facts(trail: &TrailRecord, details: &Map<String, Value>, now: f64) -> Markup {
    let info = details.get("git_commit_info").and_then(Value::as_object);
    let origin = text(details, "origin_url");
    let urls = details.get("external_urls").and_then(Value::as_object);
    html! {
        dl.facts {
            @for (what, at) in [("Begun", trail.created_at), ("Last reported", trail.changed_at)] {
                div {
                    dt { (what) }
                    dd { (ago(at.seconds(), now)) span.beneath { (time(at.seconds())) } }
                }
            }
            @if !trail.created_by.is_empty() {
                div { dt { "Begun by" } dd { bdi { (trail.created_by) } } }
            }
            @if let Some(info) = info { (commit_facts(info)) }
            @if !origin.is_empty() { div { dt { "Origin" } dd { (address(&origin)) } } }
            @if let Some(urls) = urls {
                @for (label, url) in urls.iter().take(MAX_LINKS) {
                    div {
                        dt { bdi { (truncate(label, MAX_TEXT_CHARS)) } }
                        dd { (address(url.get("href").and_then(Value::as_str).unwrap_or_default())) }
                    }
                }
            }
        }
    }
}

fn commit_facts(info: &Map<String, Value>) -> Markup {
    let of = |name| text(info, name);
    let (branch, message, author) = (of("branch"), of("message"), of("author"));
    html! {
        div {
            dt { "Commit" }
            dd {
                (commit(&of("sha1"), &of("url")))
                @if !branch.is_empty() { " on " bdi { (truncate(&branch, MAX_TEXT_CHARS)) } }
                @for words in [message.lines().next().unwrap_or_default(), &author] {
                    @if !words.is_empty() {
                        span.beneath { bdi { (truncate(words, MAX_TEXT_CHARS)) } }
                    }
                }
            }
        }
    }
}

/// The expected evidence of the trail itself, not of its artifacts.
fn trail_evidence(trail: &TrailRecord) -> Markup {
    html! {
        @if !trail.status.attestations.is_empty() {
            section aria-labelledby="own" {
                h2 id="own" { "Evidence of the trail itself" }
                (evidence::statuses("own", &trail.status.attestations))
            }
        }
    }
}

fn artifacts(org: &str, trail: &TrailRecord) -> Markup {
    let all = &trail.status.artifacts;
    html! {
        section aria-labelledby="artifacts" {
            h2 id="artifacts" { "Artifacts" }
            @if all.is_empty() {
                p.empty { "No artifact was reported, and none is expected." }
            }
            @for (number, (name, status)) in all.iter().take(MAX_SHOWN).enumerate() {
                (artifact(org, &format!("artifact-{number}"), name, status))
            }
            @if all.len() > MAX_SHOWN { p.quiet { "and " (all.len() - MAX_SHOWN) " more." } }
        }
    }
}

fn artifact(org: &str, id: &str, name: &str, status: &ArtifactStatus) -> Markup {
    html! {
        h3 id=(id) {
            @match &status.fingerprint {
                Some(fingerprint) => {
                    a href=(artifact_url(org, fingerprint)) {
                        @if name == fingerprint { (shorten_fingerprint(name)) } @else { (name) }
                    }
                },
                None => (name),
            }
            " " (state(status.state))
        }
        @if status.attestations.is_empty() {
            p.quiet { "No evidence is expected, and none was reported." }
        } @else {
            (evidence::statuses(id, &status.attestations))
        }
    }
}

fn attestations(org: &str, trail: &TrailRecord) -> Markup {
    let all: Vec<&AttestationRecord> = trail
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            TrailEventKind::Attestation(attestation) => Some(&**attestation),
            _ => None,
        })
        .collect();
    let hidden = all.len().saturating_sub(MAX_SHOWN);
    let about = |attestation: &AttestationRecord| match &attestation.fingerprint {
        Some(fingerprint) => html! {
            "artifact " a href=(artifact_url(org, fingerprint)) { code { (shorten_fingerprint(fingerprint)) } }
        },
        None if attestation.targets.is_empty() => html! { "the trail" },
        None => html! {
            bdi { (truncate(&attestation.targets.join(", "), MAX_TEXT_CHARS)) }
            @if let Some(of) = &attestation.commit { " of commit " (commit(of, "")) }
        },
    };
    html! {
        @if !all.is_empty() {
            section aria-labelledby="evidence" {
                h2 id="evidence" { "Evidence as it was reported" }
                (evidence::table(org, "evidence", &all[hidden..], about))
                @if hidden > 0 { p.quiet { "and " (hidden) " earlier ones." } }
            }
        }
    }
}

fn events(org: &str, trail: &TrailRecord) -> Markup {
    let hidden = trail.events.len().saturating_sub(MAX_SHOWN);
    html! {
        section aria-labelledby="history" {
            h2 id="history" { "History" }
            @if hidden > 0 { p.quiet { (hidden) " earlier events are left out." } }
            div.wide tabindex="0" role="region" aria-labelledby="history" {
                table.events {
                    thead { tr { th scope="col" { "Time" } th scope="col" { "Event" } } }
                    tbody {
                        @for TrailEvent { at, kind } in trail.events.iter().skip(hidden) {
                            tr { td { (time(at.seconds())) } td { (event(org, kind)) } }
                        }
                    }
                }
            }
        }
    }
}

fn event(org: &str, kind: &TrailEventKind) -> Markup {
    let linked = |fingerprint: &str| {
        html! {
            a href=(artifact_url(org, fingerprint)) { code { (shorten_fingerprint(fingerprint)) } }
        }
    };
    html! {
        @match kind {
            TrailEventKind::Reported(_) => "Trail begun",
            TrailEventKind::Updated(_) => "Trail changed",
            TrailEventKind::Attestation(attestation) => {
                (attestation.name) " evidence "
                @if attestation.overrides.is_some() { "overridden" } @else { "received" }
                ": " (evidence::compliance(attestation.is_compliant))
            },
            TrailEventKind::Artifact { fingerprint, name, .. } => {
                "Artifact created: " (label(name)) " " (linked(fingerprint))
            },
            TrailEventKind::Running { started, fingerprint, environment, index, replicas, .. } => {
                (linked(fingerprint))
                @if *started { " runs ×" (replicas) " in " } @else { " no longer runs in " }
                a href={(environment::address(org, environment)) "/snapshots/" (index)} {
                    (environment) "#" (index)
                }
            },
        }
    }
}

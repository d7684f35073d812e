//! The page of an artifact.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use envsnap_model::provenance::Origin;
use maud::{Markup, html};

use super::columns::{nothing_reported, origin, problems};
use super::evidence;
use super::links::{address, commit, pipeline};
use super::marks::{Mark, state};
use crate::domain::provenance::{
    AllowanceRecord, ArtifactCard, ArtifactEvent, AttestationRecord, DeploymentRecord,
    ReportRecord, artifact_events, continuous_runs, fields, is_started,
};
use crate::domain::{ArtifactRun, Error, Page};
use crate::http::views::{text, trail_url};
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;
use crate::text::{pluralize, unix_secs};
use crate::web::artifact_name::{escape_invisible, short_name, truncate};
use crate::web::environment;
use crate::web::frame::Frame;
use crate::web::history::snapshot_interval;
use crate::web::seen::RunTimes;
use crate::web::time::{ago, time};

/// Listed events, deployments and attestations: the latest ones.
const MAX_SHOWN: usize = 500;
/// Listed runs per environment: the latest ones.
const MAX_RUNS: usize = 5;
/// For the first line of a commit message, and for the reason of an allowance.
const MAX_MESSAGE_CHARS: usize = 120;

/// `GET /{org}/artifacts/{fingerprint}`; what is not a whole fingerprint is redirected to the search.
pub(super) async fn show<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Path((org, digits)): Path<(String, String)>,
) -> Result<Response, Error> {
    let is_fingerprint = |text: &str| {
        text.len() == 64
            && text.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
    };
    if !is_fingerprint(&digits) {
        return Ok(Redirect::to(&super::search::address(&org, &digits)).into_response());
    }
    let has_provenance = store.has_provenance(&org).await?;
    let card = store.artifact_card(&org, &digits).await?;
    let allowances = store.allowances(&org).await?;
    let confirmed = confirmation_times(&store, &org, &card).await?;
    let view = CardView { org: &org, has_provenance, allowances: &allowances, confirmed };
    Ok(page(&view, &card, store.now().seconds()).into_response())
}

/// What the page of an artifact needs besides its [`ArtifactCard`].
struct CardView<'a> {
    org: &'a str,
    has_provenance: bool,
    /// Of the organization.
    allowances: &'a [AllowanceRecord],
    /// When the last report came that had the artifact, by environment and its last snapshot there.
    confirmed: BTreeMap<(String, u32), f64>,
}

/// The latest continuous runs in one environment, the latest first, and the number of those that are not
/// listed.
fn listed_runs(runs: &[ArtifactRun]) -> (Vec<&[ArtifactRun]>, usize) {
    let mut all: Vec<_> = continuous_runs(runs).collect();
    all.reverse();
    let hidden = all.len().saturating_sub(MAX_RUNS);
    all.truncate(MAX_RUNS);
    (all, hidden)
}

/// The index of the last snapshot of the run.
fn last_snapshot(run: &ArtifactRun) -> u32 {
    run.to.map_or(run.latest_index, |(next, _)| next.saturating_sub(1))
}

/// When the last report came that confirmed each listed run, by environment and the run's last snapshot, in
/// seconds since the Unix epoch: one small query for each.
async fn confirmation_times<S: Store>(
    store: &S,
    org: &str,
    card: &ArtifactCard,
) -> Result<BTreeMap<(String, u32), f64>, Error> {
    let mut confirmed = BTreeMap::new();
    for runs in card.runs.chunk_by(|one, next| one.environment == next.environment) {
        for run in listed_runs(runs).0.into_iter().filter_map(<[_]>::last) {
            let (environment, index) = (&run.environment, last_snapshot(run));
            let page = Page { number: 1, size: 1 };
            let interval = snapshot_interval(index, index)?;
            let spans = match store.snapshot_spans(org, environment, interval, page, true).await {
                // It was archived or renamed since the card was read.
                Err(Error::EnvironmentNotFound { .. }) => continue,
                spans => spans?,
            };
            let until = spans.first().map(|span| span.confirmed_until.seconds());
            confirmed.extend(until.map(|until| ((environment.clone(), index), until)));
        }
    }
    Ok(confirmed)
}

impl CardView<'_> {
    /// When it started, was first seen and was last confirmed; `run` is the last part of a continuous run.
    fn run_times(&self, run: &ArtifactRun) -> RunTimes {
        let (first_index, first_at) = run.first_seen;
        let started = run.started_at.map(unix_secs);
        RunTimes {
            started,
            last_started: started,
            first_seen: Some((first_index.into(), first_at.seconds())),
            confirmed_until: self
                .confirmed
                .get(&(run.environment.clone(), last_snapshot(run)))
                .copied(),
        }
    }

    /// The reported allowance of the artifact in an environment; `None` if only this program itself allows it.
    fn allowance(&self, card: &ArtifactCard, environment: &str) -> Option<&AllowanceRecord> {
        self.allowances.iter().find(|allowance| {
            let is_here = allowance.environment.as_deref().is_none_or(|it| it == environment);
            let runs = card.runs.iter().filter(|run| run.environment == environment);
            let name = runs.map(|run| &*run.name).next_back().unwrap_or_default();
            is_here && allowance.is_for(&card.fingerprint, name)
        })
    }

    /// The environments in which it is allowed, why, and who allowed it.
    fn allowed_environments(&self, card: &ArtifactCard) -> Vec<(String, Markup)> {
        let allowed = card.provenance.iter().filter(|(_, known)| known.origin == Origin::Allowed);
        allowed
            .map(|(environment, known)| {
                let reason = known.allowed.as_deref().unwrap_or_default();
                let by = self.allowance(card, environment);
                (environment.clone(), allowed_by(reason, by))
            })
            .collect()
    }
}

/// Why it is allowed, and by whom.
fn allowed_by(reason: &str, allowance: Option<&AllowanceRecord>) -> Markup {
    html! {
        bdi { (truncate(reason, MAX_MESSAGE_CHARS)) }
        @match allowance {
            Some(AllowanceRecord { allowed_by, allowed_at, .. }) => {
                @if !allowed_by.is_empty() { ", allowed by " bdi { (allowed_by) } }
                @if let Some(at) = allowed_at { " on " (time(at.seconds())) }
            },
            None => ", allowed by this program itself",
        }
    }
}

fn page(view: &CardView<'_>, card: &ArtifactCard, now: f64) -> Html<String> {
    let CardView { org, has_provenance, .. } = *view;
    let title = short_name(&card.name);
    let title = if title.is_empty() { card.fingerprint[..7].to_owned() } else { title };
    let name = escape_invisible(&card.name);
    let main = html! {
        h1 {
            bdi { (title) }
            @if has_provenance { @for mark in all_marks(card) { " " (mark.badge()) } }
        }
        p.identity {
            @if !name.is_empty() && name != title { bdi.reference { (name) } }
            code.fingerprint { (card.fingerprint) }
        }
        (reports_section(view, card, now))
        (environments_section(view, card, now))
        (deployments_section(org, card, now))
        (evidence_section(org, card))
        (history_section(org, card))
    };
    Frame {
        title: &title,
        breadcrumbs: &[(org, format!("/{org}/environments"))],
        org: Some(org),
        ..Frame::default()
    }
    .render(&main)
}

/// The marks of the artifact in all environments.
fn all_marks(card: &ArtifactCard) -> BTreeSet<Mark> {
    let in_environments =
        card.provenance.iter().flat_map(|(_, known)| Mark::from_provenance(known));
    let of_states = known_reports(card).filter_map(|report| Mark::from_state(report.state));
    in_environments.chain(of_states).collect()
}

/// What each flow reported, without the record of an artifact that no flow reported.
fn known_reports(card: &ArtifactCard) -> impl Iterator<Item = &ReportRecord> {
    card.reports.iter().filter_map(|record| record.report.as_ref())
}

fn reports_section(view: &CardView<'_>, card: &ArtifactCard, now: f64) -> Markup {
    let CardView { org, has_provenance, .. } = *view;
    let is_rogue = all_marks(card).contains(&Mark::Rogue);
    let allowed = view.allowed_environments(card);
    html! {
        section aria-labelledby="reports" {
            h2 id="reports" { "Where it comes from" }
            @if card.reports.is_empty() {
                @if has_provenance {
                    p.empty {
                        @if is_rogue { (Mark::Rogue.badge()) " " }
                        @if !is_rogue && !allowed.is_empty() { span.state.allowed { "allowed" } " " }
                        "No pipeline has reported this artifact."
                        @for (environment, reason) in &allowed {
                            " It is allowed in " (environment) ": " (reason) "."
                        }
                    }
                } @else {
                    (nothing_reported())
                }
            } @else {
                div.wide tabindex="0" role="region" aria-labelledby="reports" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Pipeline" }
                                th scope="col" { "State" }
                                th scope="col" { "Commit" }
                                th scope="col" { "Build" }
                                th scope="col" { "Created" }
                            }
                        }
                        tbody { @for report in known_reports(card) { (report_row(org, report, now)) } }
                    }
                }
            }
        }
    }
}

fn report_row(org: &str, report: &ReportRecord, now: f64) -> Markup {
    let details = fields(&report.details);
    let (commit_url, build_url) = (text(&details, "commit_url"), text(&details, "build_url"));
    let info = details.get("git_commit_info").and_then(|info| info.as_object());
    let message = info.map(|info| text(info, "message")).unwrap_or_default();
    let message = message.lines().next().unwrap_or_default();
    let created = report.first_reported_at.seconds();
    html! {
        tr {
            th scope="row" {
                (pipeline(org, &report.flow))
                @if let Some(trail) = &report.trail {
                    span.beneath {
                        "trail " a href=(trail_url(org, &report.flow, trail)) { (trail) }
                    }
                }
            }
            td { (state(report.state)) (problems(report)) }
            td.urls {
                (commit(&report.commit, &commit_url))
                @if !message.is_empty() {
                    span.beneath { bdi { (truncate(message, MAX_MESSAGE_CHARS)) } }
                }
                @if !commit_url.is_empty() { span.beneath { (address(&commit_url)) } }
            }
            td.urls {
                @if build_url.is_empty() { span.quiet { "none" } } @else { (address(&build_url)) }
            }
            td { (ago(created, now)) span.beneath { (time(created)) } }
        }
    }
}

fn snapshot_link(org: &str, environment: &str, index: u32) -> Markup {
    let address = environment::address(org, environment);
    html! { a href={(address) "/snapshots/" (index)} { (environment) "#" (index) } }
}

fn environments_section(view: &CardView<'_>, card: &ArtifactCard, now: f64) -> Markup {
    let has_provenance = view.has_provenance;
    let by_environment = card.runs.chunk_by(|one, next| one.environment == next.environment);
    html! {
        section aria-labelledby="runs" {
            h2 id="runs" { "Where it runs or ran" }
            @if card.runs.is_empty() {
                p.empty { "It was not seen in any environment." }
            } @else {
                div.wide tabindex="0" role="region" aria-labelledby="runs" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Environment" }
                                th scope="col" { "Now" }
                                th scope="col" { "When it ran, the latest first" }
                                @if has_provenance { th scope="col" { "Origin" } }
                            }
                        }
                        tbody {
                            @for runs in by_environment {
                                (environment_row(view, card, runs, now))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn environment_row(
    view: &CardView<'_>,
    card: &ArtifactCard,
    runs: &[ArtifactRun],
    now: f64,
) -> Markup {
    let CardView { org, has_provenance, .. } = *view;
    let name = runs.first().map_or("", |run| &run.environment);
    let (times, hidden) = listed_runs(runs);
    let address = environment::address(org, name);
    let known = card.provenance.iter().find(|(environment, _)| environment == name);
    html! {
        tr {
            th scope="row" { a href=(environment::address(org, name)) { (name) } }
            td {
                @match runs.last() {
                    Some(ArtifactRun { to: None, replicas, .. }) => {
                        span.change.started { "runs" } " ×" (replicas)
                    },
                    _ => span.change.exited { "exited" },
                }
            }
            td {
                @for runs in times {
                    @if let (Some(first), Some(last)) = (runs.first(), runs.last()) {
                        div {
                            "from " (snapshot_link(org, name, first.from_index))
                            @if let Some((index, _)) = last.to {
                                " to " (snapshot_link(org, name, index))
                            }
                            span.beneath {
                                @match last.to {
                                    Some((_, at)) => { "exited by " (time(at.seconds())) },
                                    None => (ago(first.from.seconds(), now)),
                                }
                            }
                            (view.run_times(last).render(&address))
                        }
                    }
                }
                @if hidden > 0 { span.beneath { "and " (hidden) " times more" } }
            }
            @if has_provenance {
                td.origin {
                    @if let Some((_, known)) = known {
                        @match known.origin {
                            Origin::Known => span.state { "reported before it started" },
                            Origin::Allowed => {
                                span.state.allowed { "allowed" }
                                @let reason = known.allowed.as_deref().unwrap_or_default();
                                span.beneath { (allowed_by(reason, view.allowance(card, name))) }
                            },
                            _ => (origin(known)),
                        }
                    }
                }
            }
        }
    }
}

fn deployments_section(org: &str, card: &ArtifactCard, now: f64) -> Markup {
    let hidden = card.deployments.len().saturating_sub(MAX_SHOWN);
    html! {
        @if !card.deployments.is_empty() {
            section aria-labelledby="deployments" {
                h2 id="deployments" { "Deployments" }
                div.wide tabindex="0" role="region" aria-labelledby="deployments" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Deployment" }
                                th scope="col" { "Environment" }
                                th scope="col" { "Announced" }
                                th scope="col" { "Result" }
                            }
                        }
                        tbody {
                            @for deployment in card.deployments.iter().skip(hidden) {
                                (deployment_row(org, card, deployment, now))
                            }
                        }
                    }
                }
                (earlier_ones_note(hidden))
            }
        }
    }
}

fn deployment_row(
    org: &str,
    card: &ArtifactCard,
    deployment: &DeploymentRecord,
    now: f64,
) -> Markup {
    let announced = deployment.reported_at.seconds();
    let environment = &deployment.environment;
    let ran_there = card.runs.iter().any(|run| run.environment == *environment);
    html! {
        tr {
            th scope="row" { (pipeline(org, &deployment.flow)) " #" (deployment.number) }
            td {
                @if ran_there {
                    a href=(environment::address(org, environment)) { (environment) }
                } @else { (environment) }
            }
            td { (ago(announced, now)) span.beneath { (time(announced)) } }
            td {
                @if is_started(deployment, &card.runs) {
                    span.state { "started" }
                } @else {
                    span.mark.incomplete { "announced, never started" }
                }
            }
        }
    }
}

/// `and 7 earlier ones`, or nothing if none are hidden.
fn earlier_ones_note(hidden: usize) -> Markup {
    html! { @if hidden > 0 { p.quiet { "and " (hidden) " earlier ones." } } }
}

/// The attestations in all flows, the earliest first.
fn attestations(card: &ArtifactCard) -> Vec<&AttestationRecord> {
    let mut all: Vec<_> = card.reports.iter().flat_map(|record| &record.attestations).collect();
    all.sort_by_key(|attestation| attestation.reported_at);
    all
}

fn evidence_section(org: &str, card: &ArtifactCard) -> Markup {
    let all = attestations(card);
    let hidden = all.len().saturating_sub(MAX_SHOWN);
    let about = |attestation: &AttestationRecord| {
        let AttestationRecord { flow, trail, .. } = attestation;
        html! {
            (pipeline(org, flow))
            span.beneath { "trail " a href=(trail_url(org, flow, trail)) { (trail) } }
        }
    };
    html! {
        @if !card.reports.is_empty() {
            section aria-labelledby="evidence" {
                h2 id="evidence" { "Evidence" }
                @if all.is_empty() {
                    p.empty { "No evidence was reported for this artifact." }
                } @else {
                    (evidence::table(org, "evidence", &all[hidden..], about))
                    (earlier_ones_note(hidden))
                }
            }
        }
    }
}

fn history_section(org: &str, card: &ArtifactCard) -> Markup {
    let attestations = attestations(card);
    let events = artifact_events(known_reports(card), attestations, &card.deployments, &card.runs);
    let hidden = events.len().saturating_sub(MAX_SHOWN);
    html! {
        section aria-labelledby="history" {
            h2 id="history" { "History" }
            p.quiet {
                (pluralize(events.len() as u64, "event"))
                @if events.len() > 1 { ", the earliest first" }
                "."
            }
            (earlier_ones_note(hidden))
            div.wide tabindex="0" role="region" aria-labelledby="history" {
                table.events {
                    thead { tr { th scope="col" { "Time" } th scope="col" { "Event" } } }
                    tbody {
                        @for (at, event) in events.iter().skip(hidden) {
                            tr { td { (time(at.seconds())) } td { (event_line(org, card, *event)) } }
                        }
                    }
                }
            }
        }
    }
}

fn event_line(org: &str, card: &ArtifactCard, event: ArtifactEvent<'_>) -> Markup {
    html! {
        @match event {
            ArtifactEvent::Created(report) => {
                "Artifact created by pipeline " (pipeline(org, &report.flow))
            },
            ArtifactEvent::Attested(attestation) => {
                (attestation.name) " evidence "
                @if attestation.overrides.is_some() { "overridden" } @else { "received" }
                ": " (evidence::compliance(attestation.is_compliant))
            },
            ArtifactEvent::Deployed(deployment) => {
                "Deployment #" (deployment.number) " of " (pipeline(org, &deployment.flow)) " to "
                (deployment.environment)
                @if !is_started(deployment, &card.runs) {
                    ": " span.mark.incomplete { "announced, never started" }
                }
            },
            ArtifactEvent::Started(run) => {
                "Started running in " (snapshot_link(org, &run.environment, run.from_index))
            },
            ArtifactEvent::Scaled(was, run) => {
                "Scaled from " (was) " to " (run.replicas) " in "
                (snapshot_link(org, &run.environment, run.from_index))
            },
            ArtifactEvent::Exited(run, index) => {
                "No longer running in " (snapshot_link(org, &run.environment, index))
            },
        }
    }
}

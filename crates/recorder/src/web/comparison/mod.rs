//! The comparison of two snapshots.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::response::Html;
use envsnap_model::expression::Snappish;
use envsnap_model::snapshot::Identity;
use envsnap_model::wire::DiffArtifact;
use maud::{Markup, html};

use super::artifact_name::name_and_fingerprint;
use super::environment::address;
use super::frame::Frame;
use super::history::change;
use super::provenance::{Columns, nothing_reported};
use super::time::time;
use crate::domain::provenance::ArtifactProvenance;
use crate::domain::{Error, SnapshotRecord};
use crate::http::request::Parameters;
use crate::http::views;
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;
use crate::text::{pluralize, unix_secs};

/// Listed artifacts of each kind; the API has all of them.
const MAX_SHOWN: usize = 250;

/// The form that chooses two snapshots, which may be of two environments.
pub(crate) fn form(org: &str, from: &str, to: &str) -> Markup {
    html! {
        form.compare method="get" action={"/" (org) "/compare"} {
            @for (said, name, value) in [("From", "from", from), ("To", "to", to)] {
                label {
                    (said)
                    input name=(name) value=(value) required="required" autocomplete="off"
                        spellcheck="false";
                }
            }
            button { "Compare" }
            p.hint {
                "Any two of this organization: " code { "aws-prod#65" } ", " code { "aws-prod~1" }
                " (one before the latest), " code { "aws-prod@{2026-11-26 15:00}" }
                " (a time, in UTC), " code { "aws-prod@{2.days.ago}" } " or "
                code { "aws-prod" } " (the latest)."
            }
        }
    }
}

/// `GET /{org}/compare?from=&to=`
pub(crate) async fn show<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    mut parameters: Parameters,
) -> Result<Html<String>, Error> {
    let wanted = ["from", "to"].map(|name| {
        if parameters.last(name).is_none() {
            parameters.add_error(name, "is required, as in aws-prod#65");
        }
        parameters.parsed::<Snappish>(name)
    });
    parameters.check()?;
    let [Some(from), Some(to)] = wanted else {
        return Err(Error::bad_request("Two snapshots are compared: from and to"));
    };
    let has_provenance = store.has_provenance(&org).await?;
    let (of, both) = (org.clone(), [from.clone(), to.clone()]);
    let shown = move |found| page(Columns { org: &of, shown: has_provenance }, &from, &to, found);
    store.snapshots(&org, both, shown).await
}

fn page(
    columns: Columns<'_>,
    from: &Snappish,
    to: &Snappish,
    found: [SnapshotRecord; 2],
) -> Html<String> {
    let Columns { org, .. } = columns;
    let [one, other] = found;
    let heads = [&(from, &one), &(to, &other)].map(|(snappish, snapshot)| ComparedSnapshot {
        name: format!("{}#{}", snappish.environment, snapshot.index),
        address: format!("{}/snapshots/{}", address(org, &snappish.environment), snapshot.index),
        recorded_at: snapshot.recorded_at.seconds(),
    });
    let title = format!("{} to {}", heads[0].name, heads[1].name);
    let breadcrumbs = if from.environment == to.environment {
        vec![
            (org, format!("/{org}/environments")),
            (&*from.environment, address(org, &from.environment)),
        ]
    } else {
        vec![(org, format!("/{org}/environments"))]
    };
    let main = html! {
        h1 { "What changed from " span.one { (heads[0].name) } " to " span.one { (heads[1].name) } }
        dl.facts {
            @for (what, head) in [("From", &heads[0]), ("To", &heads[1])] {
                div {
                    dt { (what) }
                    dd {
                        a href=(head.address) { (head.name) }
                        span.beneath { (time(head.recorded_at)) }
                    }
                }
            }
        }
        (differences(columns, (from, one), (to, other)))
        section aria-labelledby="compare" {
            h2 id="compare" { "Compare others" }
            (form(org, &heads[0].name, &heads[1].name))
            p { a href=(as_json(org, &heads)) { "This comparison as JSON" } }
        }
    };
    Frame { title: &title, breadcrumbs: &breadcrumbs, org: Some(org), ..Frame::default() }
        .render(&main)
}

/// What is said first of a snapshot.
struct ComparedSnapshot {
    name: String,
    address: String,
    recorded_at: f64,
}

fn as_json(org: &str, [one, other]: &[ComparedSnapshot; 2]) -> String {
    let escaped = |head: &ComparedSnapshot| head.name.replace('#', "%23");
    let (one, other) = (escaped(one), escaped(other));
    format!("/api/v2/env-diff/{org}?snappish1={one}&snappish2={other}")
}

/// Where the artifacts of two snapshots come from; of those in both, as the second environment sees it.
type Origins = BTreeMap<Identity, Box<ArtifactProvenance>>;

fn origins(columns: Columns<'_>, snapshots: [&SnapshotRecord; 2]) -> Origins {
    let artifacts = snapshots.into_iter().flat_map(|snapshot| &snapshot.artifacts);
    let running = artifacts.filter(|artifact| columns.shown && artifact.runs());
    running.filter_map(|it| Some((it.identity(), it.provenance.clone()?))).collect()
}

fn differences(
    columns: Columns<'_>,
    (from, one): (&Snappish, SnapshotRecord),
    (to, other): (&Snappish, SnapshotRecord),
) -> Markup {
    let origins = origins(columns, [&one, &other]);
    let diff = views::comparison((&from.environment, one), (&to.environment, other));
    let [exited, started, scaled, same] =
        [diff.snappish1, diff.snappish2, diff.changed, diff.not_changed].map(|item| {
            let mut artifacts = item.artifacts;
            artifacts.sort_by(|one, other| one.name.cmp(&other.name));
            artifacts
        });
    let nothing = exited.is_empty() && started.is_empty() && scaled.is_empty();
    html! {
        @if nothing {
            p.empty { "The same runs in both." }
        } @else {
            p.quiet {
                (exited.len()) " exited, " (started.len()) " started, " (scaled.len()) " scaled, "
                (same.len()) " unchanged."
            }
        }
        @if !columns.shown { (nothing_reported()) }
        @for (id, heading, artifacts) in [
            ("exited", "Exited", &exited),
            ("started", "Started", &started),
            ("scaled", "Scaled", &scaled),
        ] {
            @if !artifacts.is_empty() {
                section aria-labelledby=(id) {
                    h2 id=(id) { (heading) }
                    (rows(columns, &origins, id, artifacts))
                }
            }
        }
        @if !same.is_empty() {
            details open=[nothing.then_some("open")] {
                summary id="same" { (pluralize(same.len() as u64, "unchanged artifact")) }
                (rows(columns, &origins, "same", &same))
            }
        }
    }
}

fn rows(columns: Columns<'_>, origins: &Origins, id: &str, artifacts: &[DiffArtifact]) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-labelledby=(id) {
            table {
                thead {
                    tr {
                        th scope="col" { "Artifact" }
                        (columns.heads())
                        th.number scope="col" { "Replicas" }
                        th scope="col" { "Last start" }
                        th scope="col" { "Change" }
                    }
                }
                tbody {
                    @for artifact in artifacts.iter().take(MAX_SHOWN) {
                        (row(columns, origins, id, artifact))
                    }
                }
            }
        }
        @if artifacts.len() > MAX_SHOWN {
            p.quiet { "and " (artifacts.len() - MAX_SHOWN) " more, which the JSON has." }
        }
    }
}

fn row(columns: Columns<'_>, origins: &Origins, id: &str, artifact: &DiffArtifact) -> Markup {
    let identity = Identity::new(&artifact.name, artifact.fingerprint.parse().ok());
    let instances = artifact.instance_count.unwrap_or_default();
    let (was, now) = match (artifact.s1_instance_count, artifact.s2_instance_count) {
        (Some(was), Some(now)) => (was, now),
        _ if id == "exited" => (instances, 0),
        _ if id == "started" => (0, instances),
        _ => (instances, instances),
    };
    html! {
        tr {
            th.artifact scope="row" {
                (name_and_fingerprint(columns.org, &artifact.name, &artifact.fingerprint))
            }
            (columns.cells(origins.get(&identity).map(Box::as_ref)))
            td.number { (if id == "exited" { was } else { now }) }
            td { (time(unix_secs(artifact.most_recent_timestamp))) }
            td { (change(was, now)) }
        }
    }
}

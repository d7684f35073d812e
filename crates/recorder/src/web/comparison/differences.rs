//! The artifacts that differ between two snapshots, and those that do not.

use std::collections::BTreeMap;

use envsnap_model::expression::Snappish;
use envsnap_model::snapshot::{Identity, ReplacedVersions, replaced_versions};
use envsnap_model::wire::{DiffArtifact, EnvironmentDiff};
use maud::{Markup, html};

use crate::domain::SnapshotRecord;
use crate::domain::provenance::ArtifactProvenance;
use crate::http::views;
use crate::text::pluralize;
use crate::web::artifact_name::{name_and_fingerprint, truncate};
use crate::web::environment::address;
use crate::web::history::replica_change;
use crate::web::provenance::{Columns, nothing_reported};
use crate::web::seen::{RunTimes, first_time_here};

/// Listed artifacts that exited, that started, that were scaled and that are unchanged, of each; the API has
/// all of them.
const MAX_SHOWN: usize = 150;

/// For the name of an image.
const MAX_NAME_CHARS: usize = 80;

/// Where the artifacts of two snapshots come from; of those in both, as the second environment sees it.
type Origins = BTreeMap<Identity, Box<ArtifactProvenance>>;

/// Empty if the organization has no provenance.
fn origins(columns: Columns<'_>, snapshots: [&SnapshotRecord; 2]) -> Origins {
    let artifacts = snapshots.into_iter().flat_map(|snapshot| &snapshot.artifacts);
    let running = artifacts.filter(|artifact| columns.shown && artifact.runs());
    running.filter_map(|it| Some((it.identity(), it.provenance.clone()?))).collect()
}

/// What exited, started, was scaled and is unchanged from the first snapshot to the second.
pub(super) fn differences(
    columns: Columns<'_>,
    [from, to]: &[Snappish; 2],
    [one, other]: [SnapshotRecord; 2],
) -> Markup {
    let origins = origins(columns, [&one, &other]);
    let diff = views::comparison((&from.environment, one), (&to.environment, other));
    let replaced = replaced_versions_section(&diff);
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
        (replaced)
        @if !columns.shown { (nothing_reported()) }
        @for (id, heading, environment, artifacts) in [
            ("exited", "Exited", &from.environment, &exited),
            ("started", "Started", &to.environment, &started),
            ("scaled", "Scaled", &to.environment, &scaled),
        ] {
            @if !artifacts.is_empty() {
                section aria-labelledby=(id) {
                    h2 id=(id) { (heading) }
                    (artifact_table(columns, &origins, environment, (id, artifacts)))
                }
            }
        }
        @if !same.is_empty() {
            details open=[nothing.then_some("open")] {
                summary id="same" { (pluralize(same.len() as u64, "unchanged artifact")) }
                (artifact_table(columns, &origins, &to.environment, ("same", &same)))
            }
        }
    }
}

/// The versions of each image that exited and started: `differ 5894f34 → 4d27021`.
fn replaced_versions_section(diff: &EnvironmentDiff) -> Markup {
    let [exited, started] =
        [&diff.snappish1, &diff.snappish2].map(|item| item.artifacts.iter().map(|it| &*it.name));
    let replaced = replaced_versions(exited, started);
    html! {
        @if !replaced.is_empty() {
            section aria-labelledby="replaced" {
                h2 id="replaced" { "Replaced versions" }
                ul.replaced {
                    @for ReplacedVersions { image, from, to } in replaced.iter().take(MAX_SHOWN) {
                        @let short = image.rsplit('/').next().unwrap_or(image);
                        @let [from, to] = [from, to].map(|it| truncate(&it.join(", "), MAX_NAME_CHARS));
                        li {
                            bdi title=(truncate(image, 1_000)) { (truncate(short, MAX_NAME_CHARS)) } " "
                            bdi { (from) } " → " bdi { (to) }
                        }
                    }
                    @if replaced.len() > MAX_SHOWN {
                        li.quiet { "and " (replaced.len() - MAX_SHOWN) " more" }
                    }
                }
            }
        }
    }
}

/// A table of artifacts as they ran in `environment`; `id` is that of its heading: `exited`, `started`,
/// `scaled` or `same`.
fn artifact_table(
    columns: Columns<'_>,
    origins: &Origins,
    environment: &str,
    (id, artifacts): (&str, &[DiffArtifact]),
) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-labelledby=(id) {
            table {
                thead {
                    tr {
                        th scope="col" { "Artifact" }
                        (columns.header_cells())
                        th.number scope="col" { "Replicas" }
                        th scope="col" { "Since when" }
                        th scope="col" { "Change" }
                    }
                }
                tbody {
                    @for artifact in artifacts.iter().take(MAX_SHOWN) {
                        (artifact_row(columns, origins, environment, (id, artifact)))
                    }
                }
            }
        }
        @if artifacts.len() > MAX_SHOWN {
            p.quiet { "and " (artifacts.len() - MAX_SHOWN) " more, which the JSON has." }
        }
    }
}

fn artifact_row(
    columns: Columns<'_>,
    origins: &Origins,
    environment: &str,
    (id, artifact): (&str, &DiffArtifact),
) -> Markup {
    let environment = address(columns.org, environment);
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
            td { (RunTimes::from_difference(artifact).render(&environment)) }
            td {
                (replica_change(was, now))
                (first_time_here(artifact.first_time_here.as_deref()))
            }
        }
    }
}

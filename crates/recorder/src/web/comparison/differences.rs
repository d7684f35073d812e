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

/// What exited, started, was scaled and is unchanged from the first snapshot to the second; of two
/// environments, what runs in only one of them, with other replicas, and in both.
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
    let tables = [&exited, &started, &scaled, &same];
    let shown = tables.into_iter().flat_map(|artifacts| artifacts.iter().take(MAX_SHOWN));
    let columns = columns
        .shortened_to_fit(shown.filter_map(|it| origins.get(&identity(it))).map(Box::as_ref));
    let nothing = exited.is_empty() && started.is_empty() && scaled.is_empty();
    let is_one = from.environment == to.environment;
    let [exited_heading, started_heading, scaled_heading, same_heading] = if is_one {
        ["exited", "started", "scaled", "unchanged"].map(str::to_owned)
    } else {
        let only_in = |side: &Snappish| format!("only in {}", side.environment);
        [only_in(from), only_in(to), "with other replicas".to_owned(), "the same".to_owned()]
    };
    let part = |id, heading, side: &'_ Snappish, artifacts, has_change| Part {
        id,
        heading,
        environment: address(columns.org, &side.environment),
        artifacts,
        has_change,
    };
    let parts = [
        part("exited", exited_heading, from, exited, is_one),
        part("started", started_heading, to, started, is_one),
        part("scaled", scaled_heading, to, scaled, true),
    ];
    let same = part("same", same_heading, to, same, false);
    html! {
        @if nothing {
            p.empty { "The same runs in both." }
        } @else {
            p.quiet {
                @for part in &parts { (part.artifacts.len()) " " (part.heading) ", " }
                (same.artifacts.len()) " " (same.heading) "."
            }
        }
        (replaced)
        @if !columns.shown { (nothing_reported()) }
        (columns.left_out_notice())
        @for part in parts.iter().filter(|part| !part.artifacts.is_empty()) {
            section aria-labelledby=(part.id) {
                h2 id=(part.id) { (upper_initial(&part.heading)) }
                (artifact_table(columns, &origins, part))
            }
        }
        @if !same.artifacts.is_empty() {
            details open=[nothing.then_some("open")] {
                summary id="same" { (pluralize(same.artifacts.len() as u64, "unchanged artifact")) }
                (artifact_table(columns, &origins, &same))
            }
        }
    }
}

/// The artifacts that exited, that started, that were scaled, or that are the same.
struct Part {
    /// Of its heading: `exited`, `started`, `scaled` or `same`.
    id: &'static str,
    /// As within a sentence.
    heading: String,
    /// The path of the environment in which they ran.
    environment: String,
    artifacts: Vec<DiffArtifact>,
    /// Each shows how its replicas changed.
    has_change: bool,
}

fn upper_initial(heading: &str) -> String {
    let mut rest = heading.chars();
    rest.next()
        .map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + rest.as_str())
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

fn artifact_table(columns: Columns<'_>, origins: &Origins, part: &Part) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-labelledby=(part.id) {
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
                    @for artifact in part.artifacts.iter().take(MAX_SHOWN) {
                        (artifact_row(columns, origins, part, artifact))
                    }
                }
            }
        }
        @if part.artifacts.len() > MAX_SHOWN {
            p.quiet { "and " (part.artifacts.len() - MAX_SHOWN) " more, which the JSON has." }
        }
    }
}

fn identity(artifact: &DiffArtifact) -> Identity {
    Identity::new(&artifact.name, artifact.fingerprint.parse().ok())
}

fn artifact_row(
    columns: Columns<'_>,
    origins: &Origins,
    part: &Part,
    artifact: &DiffArtifact,
) -> Markup {
    let instances = artifact.instance_count.unwrap_or_default();
    let (was, now) = match (artifact.s1_instance_count, artifact.s2_instance_count) {
        (Some(was), Some(now)) => (was, now),
        _ if part.id == "exited" => (instances, 0),
        _ if part.id == "started" => (0, instances),
        _ => (instances, instances),
    };
    html! {
        tr {
            th.artifact scope="row" {
                (name_and_fingerprint(columns.org, &artifact.name, &artifact.fingerprint))
            }
            (columns.cells(origins.get(&identity(artifact)).map(Box::as_ref)))
            td.number { (if part.id == "exited" { was } else { now }) }
            td { (RunTimes::from_difference(artifact).render(&part.environment)) }
            td {
                @if part.has_change { (replica_change(was, now)) }
                (first_time_here(artifact.first_time_here.as_deref()))
            }
        }
    }
}

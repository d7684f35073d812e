//! The lists of what ran, what changed, and the evidence.

use std::fmt::Write as _;

use envsnap_model::provenance::State;
use maud::{Markup, html};

use super::utc;
use crate::domain::provenance::{AllowanceRecord, ReportRecord};
use crate::domain::{FirstTime, SnapshotArtifact};
use crate::proof::content::{Content, Run, unique_attestations};
use crate::proof::tables::reports;
use crate::text::{replace_invisible, unix_secs};
use crate::web;

/// A name as HTML: as it was reported, it may contain invisible characters or other directions of text.
pub(super) fn name(reported: &str) -> Markup {
    html! { bdi { (replace_invisible(reported)) } }
}

/// The fingerprint as HTML.
pub(super) fn digest(artifact: &SnapshotArtifact) -> Markup {
    html! {
        @match artifact.fingerprint {
            Some(fingerprint) => code { (fingerprint) },
            None => span.quiet { "unknown" },
        }
    }
}

/// Says whether the image, its repository or its registry never ran in the environment before.
pub(super) fn first_time_here(kind: FirstTime) -> String {
    format!("first time here: {}", kind.as_str())
}

/// Where an artifact comes from, if the organization reports provenance, and why it is allowed.
fn origin(content: &Content, artifact: &SnapshotArtifact) -> Markup {
    html! {
        @match (content.allowed(artifact), content.origin(artifact)) {
            (Some((reason, by)), _) => {
                "allowed"
                span.beneath { (allowance(reason, by)) }
            },
            (None, Some(origin)) if origin.is_rogue() => span.bad { (origin.as_str()) },
            (None, Some(origin)) => (origin.as_str()),
            (None, None) => {},
        }
    }
}

/// Why it may run without provenance, and who said so when.
pub(super) fn allowance(reason: &str, by: Option<&AllowanceRecord>) -> Markup {
    html! {
        (name(reason))
        @match by {
            Some(AllowanceRecord { allowed_by, allowed_at, .. }) => {
                ", allowed by " (allowed_by)
                @if let Some(at) = allowed_at { " on " (utc(*at)) }
            },
            None => ", allowed by envsnap itself",
        }
    }
}

/// The compliance state of a reported artifact, and the evidence that it lacks.
pub(super) fn state(report: &ReportRecord) -> Markup {
    html! {
        @if report.state == State::Compliant {
            (report.state.as_str())
        } @else {
            span.bad { (report.state.as_str()) }
        }
        @if !report.problems.is_empty() {
            span.beneath {
                @if report.state == State::NonCompliant { "missing or non-compliant: " }
                @else { "missing: " }
                (name(&report.problems.join(", ")))
                @if let Some(trail) = &report.state_trail { ", in trail " (name(trail)) }
            }
        }
    }
}

pub(super) fn runs_table(content: &Content, runs: &[Run<'_>]) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-labelledby="what-ran" {
            table.runs {
                thead {
                    tr {
                        th { "Artifact" } th { "Replicas" } th { "From" } th { "To" } th { "Origin" }
                        th { "Pipeline, state and commit" }
                    }
                }
                tbody {
                    @for run in runs {
                        tr {
                            td {
                                (name(&run.artifact.name)) br; (digest(run.artifact))
                                @if let Some(kind) = run.first_time {
                                    span.beneath { b { (first_time_here(kind)) } }
                                }
                            }
                            td.count { (run.replicas) }
                            td.time {
                                @if run.since_before { "before " }
                                (utc(run.from.1)) " #" (run.from.0)
                                @if let Some(started) = run.started {
                                    span.beneath { "started " (web::utc(unix_secs(started))) }
                                }
                            }
                            td.time {
                                @match run.to {
                                    Some((index, at)) => { (utc(at)) " #" (index) },
                                    None => "ran at the end",
                                }
                                span.beneath { "confirmed until " (utc(run.confirmed_until)) }
                            }
                            td { (origin(content, run.artifact)) }
                            td {
                                @for report in reports(run.artifact) {
                                    div { (report.flow) " " (state(report)) br; code { (report.commit) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The table of what changed with each snapshot.
pub(super) fn events(content: &Content) -> Markup {
    html! {
        @if content.events().is_empty() { p { "None." } } @else {
            div.wide tabindex="0" role="region" aria-labelledby="changes" {
                table {
                    thead { tr { th { "Snapshot" } th { "Recorded" } th { "Artifact" } th { "Change" } th { "Reported by" } } }
                    tbody {
                        @for event in content.events() {
                            tr {
                                td { "#" (event.index) }
                                td.time { (utc(event.recorded_at)) }
                                td { (name(&event.artifact.name)) br; (digest(&event.artifact)) }
                                td {
                                    (change_text(event.artifact.was, event.artifact.now))
                                    @if let Some(kind) = event.first_time_here() {
                                        span.beneath { b { (first_time_here(kind)) } }
                                    }
                                }
                                td { (content.reported_by(event.index)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn change_text(was: u64, now: u64) -> String {
    let mut text = String::from(match (was, now) {
        (0, _) => "started",
        (_, 0) => "exited",
        _ => "scaled",
    });
    let _infallible = write!(text, " ({was} to {now})");
    text
}

/// The table of the attestations of what ran.
pub(super) fn evidence(content: &Content) -> Markup {
    let attestations: Vec<_> = content
        .cards()
        .iter()
        .flat_map(|card| unique_attestations(card).map(move |attestation| (card, attestation)))
        .collect();
    html! {
        @if attestations.is_empty() { p { "None was reported for what ran." } } @else {
            div.wide tabindex="0" role="region" aria-labelledby="evidence" {
                table {
                    thead {
                        tr {
                            th { "Artifact" } th { "Evidence" } th { "Compliant" } th { "Reported" } th { "File" }
                        }
                    }
                    tbody {
                        @for (card, attestation) in attestations {
                            tr {
                                td { (name(&card.name)) br; code { (card.fingerprint) } }
                                td {
                                    (name(&attestation.name)) " (" (attestation.kind) ")" br;
                                    span.quiet { (attestation.flow) ", " (attestation.trail) }
                                }
                                td {
                                    @match attestation.is_compliant {
                                        Some(true) => "yes",
                                        Some(false) => span.bad { "no" },
                                        None => "not decided",
                                    }
                                }
                                td.time { (utc(attestation.reported_at)) br; "by " (attestation.reported_by) }
                                td {
                                    @if let Some(file) = &attestation.attachment {
                                        a href={"attachments/" (file.sha256)} { (name(&file.filename)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

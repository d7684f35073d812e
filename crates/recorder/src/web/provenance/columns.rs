//! Provenance in tables of artifacts.

use envsnap_model::provenance::{Origin, State};
use maud::{Markup, html};

use super::links::{commit, pipeline, short_commit};
use super::marks::{Mark, state};
use crate::domain::Micros;
use crate::domain::provenance::{ArtifactProvenance, ReportRecord, fields};
use crate::http::views::text;
use crate::text::{humanize_duration, pluralize, unix_secs};
use crate::web::artifact_name::truncate;

/// Listed pipelines per artifact; its page lists all of them.
const MAX_FLOWS: usize = 3;
/// For a reason, or the names of missing evidence.
const MAX_REASON_CHARS: usize = 120;
/// The most bytes of these columns on one page with all that they may have. Three pipelines of each of 250
/// artifacts usually take half of it.
const MAX_BYTES: usize = 500_000;

/// The provenance columns of a table of artifacts: none if the organization has no provenance, which
/// the page states once.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct Columns<'a> {
    pub(in crate::web) org: &'a str,
    pub(in crate::web) shown: bool,
    /// Only what is short of the first pipeline.
    is_short: bool,
}

impl<'a> Columns<'a> {
    pub(in crate::web) fn new(org: &'a str, shown: bool) -> Self {
        Self { org, shown, is_short: false }
    }

    /// The columns of the artifacts of a page with this provenance, shortened if they would take more than
    /// [`MAX_BYTES`].
    pub(in crate::web) fn shortened_to_fit<'b>(
        self,
        page: impl IntoIterator<Item = &'b ArtifactProvenance>,
    ) -> Self {
        let mut bytes = 0;
        let is_short = page.into_iter().any(|known| {
            bytes += self.cells(Some(known)).into_string().len();
            bytes > MAX_BYTES
        });
        Self { is_short, ..self }
    }

    /// What a page leaves out of these columns, if they are shortened.
    pub(in crate::web) fn left_out_notice(self) -> Markup {
        html! {
            @if self.is_short {
                p.quiet {
                    "What pipelines reported of these artifacts is too long for this page: links to commits, \
                     missing evidence, and all pipelines but the first are left out. The page of each \
                     artifact has them."
                }
            }
        }
    }

    pub(in crate::web) fn header_cells(self) -> Markup {
        html! {
            @if self.shown {
                th scope="col" { "Commit" }
                th scope="col" { "Pipeline and state" }
            }
        }
    }

    pub(in crate::web) fn cells(self, provenance: Option<&ArtifactProvenance>) -> Markup {
        html! {
            @if self.shown {
                @match provenance {
                    Some(known) => {
                        @if self.is_short {
                            td { (first_commit(known)) }
                        } @else {
                            td { (commits(known)) }
                        }
                        td.origin { (self.pipelines_and_origin(known)) }
                    },
                    None => { td {} td {} },
                }
            }
        }
    }

    fn pipelines_and_origin(self, known: &ArtifactProvenance) -> Markup {
        let most = if self.is_short { 1 } else { MAX_FLOWS };
        html! {
            @for report in known.flows.iter().take(most) {
                div {
                    (pipeline(self.org, &report.flow)) " " (state(report.state))
                    @if !self.is_short { (problems(report)) }
                }
            }
            @if known.flows.len() > most {
                @let more = (known.flows.len() - most) as u64;
                span.beneath { "and " (pluralize(more, "pipeline")) " more" }
            }
            (origin(known))
        }
    }
}

/// The first digits of the commit that the first pipeline reported.
fn first_commit(known: &ArtifactProvenance) -> Markup {
    known.flows.first().map_or_else(|| commits(known), |report| short_commit(&report.commit))
}

/// The commits that the artifact was built from, each once.
fn commits(known: &ArtifactProvenance) -> Markup {
    let mut seen: Vec<&str> = Vec::new();
    html! {
        @for report in known.flows.iter().take(MAX_FLOWS) {
            @if !seen.contains(&&*report.commit) {
                @let () = seen.push(&report.commit);
                div { (commit(&report.commit, &text(&fields(&report.details), "commit_url"))) }
            }
        }
        @if known.flows.is_empty() { span.quiet { "–" } }
    }
}

/// Missing or non-compliant evidence.
pub(super) fn problems(report: &ReportRecord) -> Markup {
    html! {
        @if !report.problems.is_empty() {
            span.beneath {
                @if report.state == State::NonCompliant { "missing or non-compliant: " }
                @else { "missing: " }
                bdi { (truncate(&report.problems.join(", "), MAX_REASON_CHARS)) }
                @if let Some(trail) = &report.state_trail { " in trail " bdi { (trail) } }
            }
        }
    }
}

/// Whether a running artifact is rogue, late, allowed or of unknown origin; nothing if a pipeline reported it
/// in time.
pub(super) fn origin(known: &ArtifactProvenance) -> Markup {
    html! {
        @match known.origin {
            Origin::Known => {},
            Origin::Rogue => { (Mark::Rogue.badge()) span.beneath { "no pipeline has reported it" } },
            Origin::Late => { (Mark::Late.badge()) span.beneath { (describe_delay(known)) } },
            Origin::Allowed => {
                span.state.allowed { "allowed" }
                span.beneath {
                    bdi { (truncate(known.allowed.as_deref().unwrap_or_default(), MAX_REASON_CHARS)) }
                }
            },
            Origin::Unknown => {
                span.state { "unknown" }
                span.beneath { "without a fingerprint" }
            },
        }
    }
}

/// `reported 3 hours after it had started`
fn describe_delay(known: &ArtifactProvenance) -> String {
    let reported = known.flows.iter().map(|report| report.first_reported_at).min();
    let reported = reported.map_or(0.0, Micros::seconds);
    let delay = humanize_duration(reported - unix_secs(known.first_started_at));
    format!("reported {delay} after it had started")
}

/// The statement that no provenance was reported, on pages of an organization without it.
pub(in crate::web) fn nothing_reported() -> Markup {
    html! {
        p.quiet {
            "No provenance was reported: commits, pipelines and evidence are shown when CI jobs report \
             the artifacts that they build."
        }
    }
}

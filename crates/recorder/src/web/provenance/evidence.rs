//! Tables of evidence.

use envsnap_model::provenance::AttestationStatus;
use maud::{Markup, html};

use crate::domain::provenance::{AttestationRecord, fields};
use crate::http::views::{attachment_url, text};
use crate::text::pluralize;
use crate::web::artifact_name::truncate;
use crate::web::time::time;

/// For a type, a description, a reason or a file name.
const MAX_TEXT_CHARS: usize = 160;

pub(super) fn compliance(is_compliant: Option<bool>) -> Markup {
    html! {
        @match is_compliant {
            Some(true) => span.state.compliant { "compliant" },
            Some(false) => span.mark.non-compliant { "non-compliant" },
            None => span.state { "undecided" },
        }
    }
}

/// A table of attestations. `about` is the content of the column *About*.
pub(super) fn table(
    org: &str,
    id: &str,
    attestations: &[&AttestationRecord],
    about: impl Fn(&AttestationRecord) -> Markup,
) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-labelledby=(id) {
            table {
                thead {
                    tr {
                        th scope="col" { "Evidence" }
                        th scope="col" { "Result" }
                        th scope="col" { "About" }
                        th scope="col" { "Reported" }
                        th scope="col" { "File" }
                    }
                }
                tbody { @for attestation in attestations { (row(org, attestation, &about)) } }
            }
        }
    }
}

fn row(
    org: &str,
    attestation: &AttestationRecord,
    about: impl Fn(&AttestationRecord) -> Markup,
) -> Markup {
    let details = fields(&attestation.details);
    let words = ["description", "reason"].map(|name| text(&details, name));
    html! {
        tr {
            th scope="row" {
                (attestation.name)
                span.beneath {
                    @if attestation.overrides.is_some() { "override of " }
                    bdi { (truncate(&attestation.kind, MAX_TEXT_CHARS)) }
                }
            }
            td {
                (compliance(attestation.is_compliant))
                @for words in words.iter().filter(|words| !words.is_empty()) {
                    span.beneath { bdi { (truncate(words, MAX_TEXT_CHARS)) } }
                }
            }
            td.origin { (about(attestation)) }
            td {
                (time(attestation.reported_at.seconds()))
                @if !attestation.reported_by.is_empty() {
                    span.beneath { "by " bdi { (attestation.reported_by) } }
                }
            }
            td.file {
                @match &attestation.attachment {
                    Some(file) => {
                        a href=(attachment_url(org, attestation)) {
                            bdi { (truncate(&file.filename, MAX_TEXT_CHARS)) }
                        }
                        span.beneath { (pluralize(file.size, "byte")) }
                    },
                    None => span.quiet { "none" },
                }
            }
        }
    }
}

/// The evidence that a template expects, in its order, with what was reported.
pub(super) fn statuses(id: &str, statuses: &[AttestationStatus]) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-labelledby=(id) {
            table {
                thead {
                    tr {
                        th scope="col" { "Evidence" }
                        th scope="col" { "Type" }
                        th scope="col" { "Result" }
                    }
                }
                tbody {
                    @for status in statuses {
                        tr {
                            th scope="row" { (status.name) }
                            td { bdi { (truncate(&status.kind, MAX_TEXT_CHARS)) } }
                            td {
                                @if status.seq.is_none() {
                                    span.mark.incomplete { "missing" }
                                } @else {
                                    (compliance(status.is_compliant))
                                }
                                @if status.unexpected {
                                    span.beneath { "the template does not ask for it" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

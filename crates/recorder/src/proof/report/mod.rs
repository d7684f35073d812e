//! What people read of a bundle: one page without anything from elsewhere, and a short text.

mod lists;
mod timeline;

use std::collections::BTreeSet;

use envsnap_model::provenance::{Origin, State};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Summary;
use super::content::Content;
use super::environment::LedgerEnvironment;
use super::tables::reports;
use crate::domain::{Micros, SnapshotArtifact};
use crate::text::pluralize;
use crate::web;
use lists::{allowance, digest, events, evidence, name, runs_table, state};
use timeline::timeline;

/// The CSS of the page.
const STYLE: &str = "
:root {
  color-scheme: light; --back: #ffffff; --text: #1b1f24; --quiet: #57606a; --line: #d5dae0; --bad: #a40e26;
  --bar: #0969da; --rogue: #cf222e; --hatch: #8c959f;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    color-scheme: dark; --back: #14181d; --text: #e3e8ed; --quiet: #9ca8b4; --line: #323b45; --bad: #ff9a92;
    --bar: #5c9ce2; --rogue: #f4665c; --hatch: #74818f;
  }
}
body { font: 15px/1.45 system-ui, sans-serif; background: var(--back); color: var(--text); margin: 2rem auto; max-width: 68rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th { white-space: nowrap; } td.time, td.count { white-space: nowrap; }
code { font: 12px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
.beneath { display: block; color: var(--quiet); font-size: 12px; } ul { margin: .3rem 0; padding-left: 1.2rem; }
li { overflow-wrap: anywhere; }
.bad { color: var(--bad); font-weight: 600; } .quiet { color: var(--quiet); }
svg { display: block; width: 100%; height: auto; margin-bottom: .8rem; }
svg text { font: 11px system-ui, sans-serif; fill: var(--text); stroke: var(--back); stroke-width: 3px; paint-order: stroke; }
.bar { fill: var(--bar); } .bar.rogue { fill: var(--rogue); } .flag { fill: var(--text); stroke: var(--text); } .flag.image { fill: none; }
.back { fill: var(--back); } .hatch { stroke: var(--hatch); } .tick { stroke: var(--line); }
.defs { position: absolute; }
.runs th:nth-child(1) { width: 28%; } .runs th:nth-child(3), .runs th:nth-child(4) { width: 19%; } .runs th:nth-child(5) { width: 9%; }
@media screen { .wide { overflow-x: auto; } .wide table, .wide svg { min-width: 60rem; } }
@media print {
  body { margin: 0; max-width: none; padding: 0; font-size: 11px; } h1 { font-size: 18px; } h2 { font-size: 14px; break-after: avoid; }
  table { font-size: 9.5px; } code { font-size: 8.5px; } .beneath { font-size: 8.5px; } td.time { white-space: normal; }
  p.bad { break-after: avoid; } tr, svg { break-inside: avoid; }
}
";

/// The text of `README.txt`, which says what each file of the bundle has.
pub(super) fn readme(summary: &Summary, content: &Content) -> String {
    let Summary { scope, head, from, to, .. } = summary;
    let archived = content.environment().archived.as_ref().map(|(at, by)| {
        format!("The environment is archived since {}, by {by}.\n\n", at.rfc3339())
    });
    format!(
        "What ran in environment '{}' of organization '{}'\n\
         from {} to {}.\n\n{}\
         report.html       the same for people: open it in a browser, or print it\n\
         runs.csv          what ran, and when\n\
         events.csv        what changed with each snapshot\n\
         snapshots.csv     the snapshots, who reported them, and their entries in the ledger\n\
         not-covered.csv   times that no report covers: what ran then is not known\n\
         evidence.csv      the evidence for what ran\n\
         snapshots/        snapshots, as the API has them\n\
         artifacts/        artifacts, with all that was reported of them\n\
         attachments/      files that were reported as evidence, by SHA-256\n\
         ledger.jsonl      the organization's ledger, from its first entry to the head\n\
         head.txt          that head: {}\n\
         bundle.json       what this bundle is about\n\n\
         In runs.csv, ran_before says that it ran so before the first snapshot here, and an empty end that\n\
         it ran at the end of the time. Verify the file as it is: packed again, it is refused.\n\n\
         To ask it what ran at a time:\n\n\
         \u{20}   envsnap env get '{}@{{2026-11-26 15:00 UTC}}' --db BUNDLE.tar\n\n\
         To verify it, with that head from the log of a reporter or with the recorder's public key:\n\n\
         \u{20}   envsnap verify BUNDLE.tar --head 'org=...; seq=...; hash=...'\n\
         \u{20}   envsnap verify BUNDLE.tar --public-key head.pub\n\n\
         That verifies the ledger, makes everything else again from it and the attachments, and\n\
         compares it byte by byte. An earlier head proves the entries up to that one. Without a head\n\
         or a key it proves only that the bundle is consistent with itself.\n",
        scope.environment,
        scope.org,
        from.rfc3339(),
        to.rfc3339(),
        archived.unwrap_or_default(),
        head.head,
        scope.environment,
    )
}

/// The page `report.html`.
pub(super) fn html(summary: &Summary, content: &Content) -> String {
    let Summary { scope, from, to, .. } = summary;
    let runs = content.runs();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "What ran in " (scope.environment) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "What ran in " (scope.environment) }
                p.quiet { "From " (utc(*from)) " to " (utc(*to)) }
                (environment(content))
                (facts(summary, content))
                h2 { "Provenance" }
                (provenance(content))
                h2 id="timeline" { "Timeline" }
                (timeline(content, &runs))
                h2 { "Not covered" }
                (gaps(content))
                h2 id="what-ran" { "What ran" }
                (runs_table(content, &runs))
                h2 id="changes" { "Changes" }
                (events(content))
                h2 id="evidence" { "Evidence" }
                (evidence(content))
            }
        }
    };
    page.into_string()
}

/// `2026-11-26 15:00:00 UTC`
fn utc(time: Micros) -> String {
    web::utc(time.seconds())
}

/// The organization, the numbers of snapshots and artifacts, the reporters and the head of the ledger.
fn facts(summary: &Summary, content: &Content) -> Markup {
    let Summary { scope, head, head_recorded_at, snapshots, artifacts, to, .. } = summary;
    let reporters: BTreeSet<_> =
        content.spans().iter().map(|span| content.reported_by(span.index)).collect();
    html! {
        dl {
            dt { "Organization" } dd { (scope.org) }
            dt { "Snapshots" } dd { (snapshots) }
            dt { "Artifacts" } dd { (artifacts) }
            dt { "Reported by" } dd { (reporters.into_iter().collect::<Vec<_>>().join(", ")) }
            dt { "Ledger" }
            dd {
                (head.head.seq) " entries, the last one of " (utc(*head_recorded_at))
                br; code { (head.head) }
            }
            @if let Some(signature) = &head.signature {
                dt { "Signed with key" } dd { code { (hex::encode(signature.key_id)) } }
            }
        }
        p.quiet {
            "This says nothing of the time after " (utc(*to)) ". A report that finds nothing changed \
             enters the ledger at most every six hours, so that the last ones may not be in it. Origins \
             and evidence are as known when the ledger ended. This page is part of a proof bundle: envsnap \
             verify shows whether it follows from the ledger, and whether the ledger is the recorder's."
        }
    }
}

/// Whether the environment is archived, and its former names.
fn environment(content: &Content) -> Markup {
    let LedgerEnvironment { former_names, archived, .. } = content.environment();
    html! {
        @if let Some((at, by)) = archived {
            p { strong { "The environment is archived" } ", since " (utc(*at)) ", by " (by) "." }
        }
        @for (former, until) in former_names {
            p.quiet { "It was called '" (former) "' until " (utc(*until)) "." }
        }
    }
}

/// What ran without provenance, and what lacks evidence.
fn provenance(content: &Content) -> Markup {
    let find = |is_wanted: &dyn Fn(&SnapshotArtifact) -> bool| -> Vec<&SnapshotArtifact> {
        content.artifacts().values().filter(|artifact| is_wanted(artifact)).collect()
    };
    let is = |artifact: &SnapshotArtifact, origin| content.origin(artifact) == Some(origin);
    let rogue = find(&|it| content.origin(it).is_some_and(Origin::is_rogue));
    let unknown = find(&|it| is(it, Origin::Unknown));
    let allowed = find(&|it| content.allowed(it).is_some());
    let lacking = find(&|it| reports(it).iter().any(|report| report.state != State::Compliant));
    html! {
        @if !content.has_provenance() {
            p {
                "No pipeline of the organization has reported an artifact, so that the ledger does not say where \
                 this software comes from."
            }
        } @else if rogue.is_empty() && unknown.is_empty() && allowed.is_empty() && lacking.is_empty() {
            p { "A pipeline had reported everything before it started, and all of it is COMPLIANT." }
        }
        @if !rogue.is_empty() {
            p.bad {
                (pluralize(rogue.len() as u64, "artifact"))
                " ran that no pipeline had reported when it started:"
            }
            ul {
                @for artifact in rogue {
                    li {
                        (name(&artifact.name)) " " (digest(artifact))
                        @if let Some(report) = reports(artifact).first() {
                            ", first reported at " (utc(report.first_reported_at)) " by pipeline " (report.flow)
                        } @else {
                            ", never reported"
                        }
                    }
                }
            }
        }
        @if !lacking.is_empty() {
            p.bad {
                "Evidence that a pipeline expects is missing or not compliant for "
                (pluralize(lacking.len() as u64, "artifact")) ":"
            }
            ul {
                @for artifact in lacking {
                    li {
                        (name(&artifact.name)) " " (digest(artifact))
                        @for report in reports(artifact).iter().filter(|it| it.state != State::Compliant) {
                            ", pipeline " (report.flow) ": " (state(report))
                        }
                    }
                }
            }
        }
        @if !allowed.is_empty() {
            p { (pluralize(allowed.len() as u64, "artifact")) " allowed to run without provenance:" }
            ul {
                @for artifact in allowed {
                    li {
                        (name(&artifact.name)) " " (digest(artifact)) ": "
                        @if let Some((reason, by)) = content.allowed(artifact) { (allowance(reason, by)) }
                    }
                }
            }
        }
        @if !unknown.is_empty() {
            p { (pluralize(unknown.len() as u64, "artifact")) " without a fingerprint, and so of unknown origin:" }
            ul { @for artifact in unknown { li { (name(&artifact.name)) } } }
        }
    }
}

/// The list of the times that no report covers.
fn gaps(content: &Content) -> Markup {
    let gaps: Vec<_> = content.gaps().collect();
    html! {
        @if gaps.is_empty() {
            p { "None: reports cover the whole time." }
        } @else {
            p { "No report came in these times, so that it is not known what ran:" }
            ul {
                @for gap in gaps {
                    li { "no report from " (utc(gap.from)) " to " (gap.until.map(utc).unwrap_or_default()) }
                }
            }
        }
    }
}

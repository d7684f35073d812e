//! What people read of a bundle: one page without anything from elsewhere, and a short text.

use std::fmt::Write as _;

use envsnap_model::provenance::Origin;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Summary;
use super::content::{Content, Run, unique_attestations};
use super::tables::first_report;
use crate::domain::{Micros, SnapshotArtifact};
use crate::text::{pluralize, replace_invisible};
use crate::web;

/// Widths and heights of the picture, in its own units.
const WIDTH: f64 = 1_000.0;
const LANE: f64 = 18.0;
const HEAD: f64 = 22.0;

/// The least width of a bar: a run of a minute in a year has to be seen.
const MIN_BAR: f64 = 2.0;

/// The most lanes that the picture has; the table has every run.
const MAX_LANES: usize = 500;

const STYLE: &str = "
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1b1f24; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #d5dae0; overflow-wrap: anywhere; }
th { white-space: nowrap; } td.time, td.count { white-space: nowrap; }
code { font: 12px/1.4 ui-monospace, monospace; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
dt { color: #57606a; } dd { margin: 0; overflow-wrap: anywhere; }
.bad { color: #a40e26; font-weight: 600; } .quiet { color: #57606a; }
svg { width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: #1b1f24; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } table { font-size: 10px; } tr, svg g { break-inside: avoid; } }
";

/// The text beside the page.
pub(super) fn readme(summary: &Summary) -> String {
    let Summary { scope, head, from, to, .. } = summary;
    format!(
        "What ran in environment '{}' of organization '{}'\n\
         from {} to {}.\n\n\
         report.html       the same for people: open it in a browser, or print it\n\
         runs.csv          what ran, and when\n\
         events.csv        what changed with each snapshot\n\
         not-covered.csv   times that no report covers: what ran then is not known\n\
         evidence.csv      the evidence for what ran\n\
         snapshots/        snapshots, as the API has them\n\
         artifacts/        artifacts, with all that was reported of them\n\
         attachments/      files that were reported as evidence, by SHA-256\n\
         ledger.jsonl      the organization's ledger, from its first entry to the head\n\
         head.txt          that head: {}\n\
         bundle.json       what this bundle is about\n\n\
         In runs.csv, ran_before says that it ran so before the first snapshot here, and an empty end that\n\
         it ran at the end of the time. Verify the file as it is: packed again, it is another one.\n\n\
         To verify it, with the head from the log of a reporter or with the recorder's public key:\n\n\
         \u{20}   envsnap verify BUNDLE.tar --head 'org=...; seq=...; hash=...'\n\
         \u{20}   envsnap verify BUNDLE.tar --public-key head.pub\n\n\
         That verifies the ledger, makes everything else again from it and the attachments, and\n\
         compares it byte by byte. Without a head or a key it proves only that the bundle is\n\
         consistent with itself.\n",
        scope.environment,
        scope.org,
        from.rfc3339(),
        to.rfc3339(),
        head.head,
    )
}

/// The page.
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
                (facts(summary))
                (attention(content))
                h2 { "Timeline" }
                (timeline(content, &runs))
                h2 { "Not covered" }
                (gaps(content))
                h2 { "What ran" }
                (runs_table(content, &runs))
                h2 { "Changes" }
                (events(content))
                h2 { "Evidence" }
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

fn facts(summary: &Summary) -> Markup {
    let Summary { scope, head, head_recorded_at, snapshots, artifacts, to, .. } = summary;
    html! {
        dl {
            dt { "Organization" } dd { (scope.org) }
            dt { "Snapshots" } dd { (snapshots) }
            dt { "Artifacts" } dd { (artifacts) }
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
             and evidence are as known when the ledger ended."
        }
    }
}

/// What has to be looked at first.
fn attention(content: &Content) -> Markup {
    let is_rogue =
        |artifact: &&SnapshotArtifact| content.origin(artifact).is_some_and(Origin::is_rogue);
    let rogue: Vec<_> = content.artifacts().values().filter(is_rogue).collect();
    html! {
        @if !rogue.is_empty() {
            p.bad {
                (pluralize(rogue.len() as u64, "artifact")) " ran that no flow had reported when it started: "
                @for (at, artifact) in rogue.iter().enumerate() {
                    @if at > 0 { ", " }
                    (name(&artifact.name))
                }
            }
        }
    }
}

fn timeline(content: &Content, runs: &[Run<'_>]) -> Markup {
    let (from, to) = content.period();
    let lanes: Vec<_> =
        runs.chunk_by(|one, next| one.artifact.identity() == next.artifact.identity()).collect();
    #[expect(clippy::cast_precision_loss, reason = "a picture")]
    let scale = |time: Micros| {
        let whole = (to.0 - from.0).max(1) as f64;
        ((time.0 - from.0) as f64 / whole * WIDTH).clamp(0.0, WIDTH)
    };
    #[expect(clippy::cast_precision_loss, reason = "a picture")]
    let height = HEAD + lanes.len().min(MAX_LANES) as f64 * LANE * 2.0;
    html! {
        @if lanes.len() > MAX_LANES {
            p.quiet { "The first " (MAX_LANES) " of " (lanes.len()) " artifacts; the table has all." }
        }
        svg viewBox={"0 0 " (WIDTH) " " (height)} role="img" aria-label="Timeline of what ran" {
            defs {
                pattern id="gap" width="6" height="6" patternUnits="userSpaceOnUse"
                    patternTransform="rotate(45)" {
                    rect width="6" height="6" fill="#fff" {}
                    line x1="0" y1="0" x2="0" y2="6" stroke="#8c959f" stroke-width="2" {}
                }
            }
            text x="0" y="12" { (utc(from)) }
            text x=(WIDTH) y="12" text-anchor="end" { (utc(to)) }
            @for (at, lane) in lanes.iter().take(MAX_LANES).enumerate() {
                (lane_of(content, at, lane, scale))
            }
            @for gap in content.gaps() {
                @let start = scale(gap.from);
                @let end = gap.until.map_or(WIDTH, scale);
                rect x=(start) y=(HEAD) width=((end - start).max(MIN_BAR)) height=(height - HEAD)
                    fill="url(#gap)" fill-opacity="0.75" {
                    title { "No report from " (utc(gap.from)) " to " (gap.until.map(utc).unwrap_or_default()) }
                }
            }
        }
        p.quiet { "Hatched: times that no report covers." }
    }
}

fn lane_of(
    content: &Content,
    at: usize,
    lane: &[Run<'_>],
    scale: impl Fn(Micros) -> f64,
) -> Markup {
    #[expect(clippy::cast_precision_loss, reason = "a picture")]
    let top = HEAD + at as f64 * LANE * 2.0;
    let label = lane.first().map(|run| run.artifact.name.as_str()).unwrap_or_default();
    let is_rogue =
        lane.iter().any(|run| content.origin(run.artifact).is_some_and(Origin::is_rogue));
    html! {
        g {
            text x="0" y=(top + 12.0) { (replace_invisible(label)) }
            @for run in lane {
                @let start = scale(run.from.1);
                @let end = run.to.map_or(WIDTH, |(_, to)| scale(to));
                rect x=(start) y=(top + LANE) width=((end - start).max(MIN_BAR)) height="8"
                    fill=(if is_rogue { "#cf222e" } else { "#0969da" }) {
                    title { (replace_invisible(label)) " ×" (run.replicas) }
                }
            }
        }
    }
}

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

/// A name as someone reported it, which may hold anything.
fn name(reported: &str) -> Markup {
    html! { bdi { (replace_invisible(reported)) } }
}

fn digest(artifact: &SnapshotArtifact) -> Markup {
    html! {
        @match artifact.fingerprint {
            Some(fingerprint) => code { (fingerprint) },
            None => span.quiet { "unknown" },
        }
    }
}

fn runs_table(content: &Content, runs: &[Run<'_>]) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th { "Artifact" } th { "Replicas" } th { "From" } th { "To" } th { "Origin" }
                    th { "Flow and commit" } th { "State" }
                }
            }
            tbody {
                @for run in runs {
                    @let report = first_report(run.artifact);
                    tr {
                        td { (name(&run.artifact.name)) br; (digest(run.artifact)) }
                        td.count { (run.replicas) }
                        td.time {
                            @if run.since_before { "before " }
                            (utc(run.from.1)) br; "#" (run.from.0)
                        }
                        td.time {
                            @match run.to {
                                Some((index, at)) => { (utc(at)) br; "#" (index) },
                                None => "ran at the end",
                            }
                        }
                        td { (content.origin(run.artifact).map_or("", Origin::as_str)) }
                        td {
                            @if let Some(report) = report {
                                (report.flow) br; code { (report.commit) }
                            }
                        }
                        td { @if let Some(report) = report { (report.state.as_str()) } }
                    }
                }
            }
        }
    }
}

fn events(content: &Content) -> Markup {
    html! {
        @if content.events().is_empty() { p { "None." } } @else {
            table {
                thead { tr { th { "Snapshot" } th { "Recorded" } th { "Artifact" } th { "Change" } } }
                tbody {
                    @for event in content.events() {
                        tr {
                            td { "#" (event.index) }
                            td.time { (utc(event.recorded_at)) }
                            td { (name(&event.artifact.name)) br; (digest(&event.artifact)) }
                            td { (change(event.artifact.was, event.artifact.now)) }
                        }
                    }
                }
            }
        }
    }
}

fn change(was: u64, now: u64) -> String {
    let mut text = String::from(match (was, now) {
        (0, _) => "started",
        (_, 0) => "exited",
        _ => "scaled",
    });
    let _infallible = write!(text, " ({was} to {now})");
    text
}

fn evidence(content: &Content) -> Markup {
    let attestations: Vec<_> = content
        .cards()
        .iter()
        .flat_map(|card| unique_attestations(card).map(move |attestation| (card, attestation)))
        .collect();
    html! {
        @if attestations.is_empty() { p { "None was reported for what ran." } } @else {
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

//! Where the artifacts of a snapshot come from.

use envsnap_model::provenance::{Origin, State};
use serde_json::{Value, json};

use super::{artifact_url, commit_info, flow_url, text};
use crate::domain::SnapshotArtifact;
use crate::domain::provenance::{ArtifactProvenance, ReportRecord, fields};
use envsnap_model::wire::{ArtifactFlow, ArtifactOrigin, RecordedArtifact};

/// The most characters of a commit's message in a snapshot: its first line, as a rule. A snapshot may
/// hold thousands.
const MAX_MESSAGE_CHARACTERS: usize = 200;

/// The parts of a commit that a snapshot shows.
const COMMIT_PARTS: [&str; 6] = ["sha1", "message", "author", "branch", "timestamp", "url"];

/// The longest URL in a snapshot of many artifacts, in bytes; longer ones are left out.
const MAX_URL_BYTES_IN_LIST: usize = 256;

/// The most attestations that a snapshot names of an artifact in a flow: a template may expect thousands.
const MAX_PROBLEMS: usize = 20;

/// The most attestations that a snapshot of many artifacts names of each.
const MAX_PROBLEMS_IN_LIST: usize = 3;

/// A shorter commit is left out: clients fail on it.
const MIN_COMMIT_DIGITS: usize = 7;

/// The name of the flow that first reported the artifact, and the URL of its commit.
pub(crate) fn pipeline(artifact: &SnapshotArtifact) -> Option<(&str, Option<String>)> {
    let first = artifact.provenance.as_ref()?.flows.first()?;
    let url = text(&fields(&first.details), "commit_url");
    Some((&first.flow, Some(url).filter(|url| !url.is_empty())))
}

/// Adds to the artifact's document what is known of its provenance.
pub(crate) fn add(org: &str, provenance: &ArtifactProvenance, document: &mut RecordedArtifact) {
    if provenance.updated && document.annotation.change == "unchanged" {
        "updated-provenance".clone_into(&mut document.annotation.change);
    }
    document.flows =
        provenance.flows.iter().map(|report| artifact_flow(org, provenance, report)).collect();
    if let Some(first) = document.flows.first() {
        document.flow_name = Some(first.flow_name.clone());
        document.git_commit.clone_from(&first.git_commit);
        document.commit_url.clone_from(&first.commit_url);
        document.flow_html_url.clone_from(&first.flow_html_url);
        document.commit_lead_time = first.commit_lead_time;
    }
    document.deployments =
        provenance.deployments.iter().map(|(_, number)| Value::from(*number)).collect();
    document.origin = Some(artifact_origin(provenance));
}

#[expect(clippy::cast_precision_loss, reason = "exact far beyond any date")]
fn artifact_origin(provenance: &ArtifactProvenance) -> ArtifactOrigin {
    let started = provenance.first_started_at as f64;
    let reported = provenance.flows.iter().map(|flow| flow.first_reported_at).min();
    ArtifactOrigin {
        status: provenance.origin,
        first_started_at: provenance.first_started_at,
        delay: reported
            .filter(|_| provenance.origin == Origin::Late)
            .map(|reported| reported.seconds() - started),
        allowed: provenance.allowed.clone(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact far beyond any date")]
fn artifact_flow(
    org: &str,
    provenance: &ArtifactProvenance,
    report: &ReportRecord,
) -> ArtifactFlow {
    let details = fields(&report.details);
    let given = |name| Some(text(&details, name)).filter(|text| !text.is_empty());
    let commit = commit_info(&details).map(shorten_commit);
    let committed = commit.as_ref().and_then(|it| it.get("timestamp")).and_then(Value::as_f64);
    let committed = committed.filter(|time| *time > 0.0);
    let trail = report.state_trail.as_ref().or(report.trail.as_ref());
    let reasons = report.problems.iter().take(MAX_PROBLEMS);
    let reasons = reasons.map(|name| json!({"attestation_name": name, "trail_name": trail}));
    ArtifactFlow {
        flow_name: report.flow.clone(),
        trail_name: report.trail.clone(),
        template_reference_name: report.template_name.clone(),
        git_commit: Some(report.commit.clone()).filter(|commit| commit.len() >= MIN_COMMIT_DIGITS),
        commit_url: given("commit_url"),
        build_url: given("build_url"),
        git_commit_info: commit,
        html_url: given("fingerprint").map(|fingerprint| artifact_url(org, &fingerprint)),
        flow_html_url: Some(flow_url(org, &report.flow)),
        artifact_compliance_in_flow: Some(report.state == State::Compliant),
        flow_reasons_for_non_compliance: reasons.collect(),
        deployments: provenance
            .deployments
            .iter()
            .filter(|(flow, _)| *flow == report.flow)
            .map(|(_, number)| *number)
            .collect(),
        commit_lead_time: committed.map(|committed| provenance.first_started_at as f64 - committed),
        deployment_diff: Value::Null,
        reported_at: Some(report.first_reported_at.seconds()),
        state: Some(report.state.as_str().to_owned()),
        problems: first_problems(&report.problems, MAX_PROBLEMS),
    }
}

/// The first `most` problems, and how many others there are.
fn first_problems(problems: &[String], most: usize) -> Vec<String> {
    let mut first: Vec<_> = problems.iter().take(most).cloned().collect();
    if problems.len() > most {
        first.push(format!("and {} more", problems.len() - most));
    }
    first
}

/// Leaves of a commit [`COMMIT_PARTS`], and of its message the beginning of the first line.
fn shorten_commit(commit: Value) -> Value {
    let Value::Object(mut commit) = commit else { return Value::Null };
    commit.retain(|part, _| COMMIT_PARTS.contains(&&**part));
    if let Some(Value::String(message)) = commit.get_mut("message") {
        let first_line = message.lines().next().unwrap_or_default();
        *message = first_line.chars().take(MAX_MESSAGE_CHARACTERS).collect();
    }
    Value::Object(commit)
}

/// Leaves out what would make a snapshot of thousands of artifacts larger than clients read: of each
/// artifact, all flows but the first one, and what is long of that.
pub(crate) fn shorten(document: &mut RecordedArtifact) {
    document.flows.truncate(1);
    let is_long = |url: &String| url.len() > MAX_URL_BYTES_IN_LIST;
    for flow in &mut document.flows {
        flow.git_commit_info = None;
        flow.build_url.take_if(|url| is_long(url));
        flow.commit_url.take_if(|url| is_long(url));
        if flow.problems.len() > MAX_PROBLEMS_IN_LIST {
            flow.problems.truncate(MAX_PROBLEMS_IN_LIST);
            flow.problems.push("and others".to_owned());
        }
        flow.flow_reasons_for_non_compliance.clear();
        flow.deployment_diff = Value::Null;
    }
    document.deployment_diff = Value::Null;
    document.commit_url.take_if(|url| is_long(url));
}

/// Leaves out all that was reported of the artifact, but not its origin.
pub(crate) fn remove(document: &mut RecordedArtifact) {
    document.flows.clear();
    document.flow_name = None;
    document.git_commit = None;
    document.commit_url = None;
    document.flow_html_url = None;
    document.commit_lead_time = None;
    document.deployments.clear();
    document.deployment_diff = Value::Null;
    if let Some(origin) = &mut document.origin {
        origin.allowed = None;
    }
}

//! Artifacts and what happened to them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::json;

use super::{artifact_url, commit_info, text};
use crate::domain::provenance::{ArtifactRecord, AttestationRecord, ReportRecord, fields};
use crate::domain::{ArtifactRun, Micros};
use envsnap_model::wire::{EnvironmentSnapshot, FlowArtifact, FoundArtifact, HistoryEvent};

/// The artifact as its flow reported it.
pub(crate) fn artifact(org: &str, record: ArtifactRecord) -> Option<FlowArtifact> {
    let history = history(&record);
    let (running, exited) = environments(&record.runs);
    let report = record.report?;
    let details = fields(&report.details);
    let evidence: BTreeMap<_, _> =
        record.attestations.iter().map(|it| (it.name.clone(), evidence(it))).collect();
    let rules = report.template.as_ref().map(|template| &template.rules);
    let expected = rules.and_then(|rules| rules.artifact(report.template_name.as_deref()));
    let template = expected.map(|expected| &expected.attestations[..]).unwrap_or_default();
    Some(FlowArtifact {
        id: report.id.to_string(),
        html_url: artifact_url(org, &record.fingerprint),
        api_url: format!(
            "/api/v2/artifacts/{org}/{}/fingerprint/{}",
            report.flow, record.fingerprint
        ),
        filename: record.name,
        fingerprint: record.fingerprint,
        trail_name: report.trail.clone(),
        template_reference_name: report.template_name.clone(),
        git_commit: report.commit.clone(),
        git_commit_info: commit_info(&details),
        repo_info: details.get("repo_info").cloned(),
        commit_url: text(&details, "commit_url"),
        build_url: text(&details, "build_url"),
        repo_url: text(&details, "repo_url"),
        state: report.state.as_str().to_owned(),
        state_info: state_info(&report),
        created_at: report.first_reported_at.seconds().to_string(),
        last_modified_at: report.reported_at.seconds().to_string(),
        deployments: record.deployments.iter().map(|deployment| deployment.number).collect(),
        evidence,
        template: template.iter().map(|attestation| attestation.name.clone()).collect(),
        running,
        exited,
        history,
        user_data: details.get("user_data").cloned(),
        external_urls: details.get("external_urls").cloned(),
        annotations: details.get("annotations").cloned(),
        flow_name: report.flow,
    })
}

fn evidence(attestation: &AttestationRecord) -> serde_json::Value {
    json!({
        "evidence_type": attestation.kind,
        "is_compliant": attestation.is_compliant,
        "created_at": attestation.reported_at.seconds().to_string(),
        "attestation_id": attestation.id.to_string(),
        "evidence_archive_fingerprint": attestation.attachment.as_ref().map(|file| &file.sha256),
        "has_audit_package": false,
    })
}

fn state_info(report: &ReportRecord) -> String {
    if report.problems.is_empty() {
        return String::new();
    }
    format!("missing or non-compliant: {}", report.problems.join(", "))
}

/// What a search found of one artifact.
pub(crate) fn found(org: &str, record: ArtifactRecord) -> FoundArtifact {
    let history = history(&record);
    let (running, exited) = environments(&record.runs);
    let names = |list: Vec<EnvironmentSnapshot>| {
        let mut names: Vec<_> = list.into_iter().map(|it| it.environment_name).collect();
        names.dedup();
        names
    };
    let report = record.report;
    let details = report.as_ref().map(|report| fields(&report.details)).unwrap_or_default();
    let of_report = |part: fn(&ReportRecord) -> Option<String>| {
        report.as_ref().and_then(part).unwrap_or_default()
    };
    let flow = of_report(|report| Some(report.flow.clone()));
    FoundArtifact {
        html_url: artifact_url(org, &record.fingerprint),
        api_url: match &report {
            Some(_) => format!("/api/v2/artifacts/{org}/{flow}/fingerprint/{}", record.fingerprint),
            None => String::new(),
        },
        name: record.name,
        fingerprint: record.fingerprint,
        has_provenance: report.is_some(),
        pipeline: flow.clone(),
        flow,
        trail: of_report(|report| report.trail.clone()),
        template_reference_name: of_report(|report| report.template_name.clone()),
        git_commit: of_report(|report| Some(report.commit.clone())),
        commit_url: text(&details, "commit_url"),
        build_url: text(&details, "build_url"),
        compliance_state: of_report(|report| Some(report.state.as_str().to_owned())),
        running_in: names(running),
        exited_from: names(exited),
        history,
    }
}

/// Runs that follow each other without a time between them.
fn continuous(runs: &[ArtifactRun]) -> impl Iterator<Item = &[ArtifactRun]> {
    runs.chunk_by(|one, next| {
        one.environment == next.environment && one.to.is_some_and(|(to, _)| to == next.from_index)
    })
}

/// Where the artifact runs and from which snapshot on, and where it ran and until which.
fn environments(runs: &[ArtifactRun]) -> (Vec<EnvironmentSnapshot>, Vec<EnvironmentSnapshot>) {
    let (mut running, mut exited) = (Vec::new(), Vec::new());
    for run in continuous(runs) {
        let [first, .., last] = run else {
            if let [only] = run {
                place(only, only, &mut running, &mut exited);
            }
            continue;
        };
        place(first, last, &mut running, &mut exited);
    }
    (running, exited)
}

fn place(
    first: &ArtifactRun,
    last: &ArtifactRun,
    running: &mut Vec<EnvironmentSnapshot>,
    exited: &mut Vec<EnvironmentSnapshot>,
) {
    let at = |index: u32| EnvironmentSnapshot {
        environment_name: first.environment.clone(),
        snapshot_index: index.into(),
    };
    match last.to {
        Some((index, _)) => exited.push(at(index)),
        None => running.push(at(first.from_index)),
    }
}

/// What happened to the artifact, in the order of time.
fn history(record: &ArtifactRecord) -> Vec<HistoryEvent> {
    let event = |at: Micros, event: String| HistoryEvent { event, timestamp: at.seconds() };
    let mut history = Vec::new();
    if let Some(report) = &record.report {
        history.push(event(report.first_reported_at, "Artifact created".to_owned()));
    }
    for attestation in &record.attestations {
        let what = if attestation.overrides.is_some() { "overridden" } else { "received" };
        let line = format!("{} evidence {what}", attestation.name);
        history.push(event(attestation.reported_at, line));
    }
    for deployment in &record.deployments {
        let (number, environment) = (deployment.number, &deployment.environment);
        let line = format!("Deployment #{number} to {environment} environment");
        history.push(event(deployment.reported_at, line));
    }
    for runs in continuous(&record.runs) {
        for (number, run) in runs.iter().enumerate() {
            let at = format!("{}#{}", run.environment, run.from_index);
            let before = number.checked_sub(1).and_then(|before| runs.get(before));
            let line =
                match before.map(|before| (before.replicas, before.replicas.cmp(&run.replicas))) {
                    None => format!("Started running in {at} environment"),
                    Some((was, Ordering::Less)) => {
                        format!("Scaled up from {was} to {} in {at} environment", run.replicas)
                    }
                    Some((was, _)) => {
                        format!("Scaled down from {was} to {} in {at} environment", run.replicas)
                    }
                };
            history.push(event(run.from, line));
        }
        if let Some(last) = runs.last()
            && let Some((index, at)) = last.to
        {
            let line = format!("No longer running in {}#{index} environment", last.environment);
            history.push(event(at, line));
        }
    }
    history.sort_by(|a, b| a.timestamp.total_cmp(&b.timestamp));
    history
}

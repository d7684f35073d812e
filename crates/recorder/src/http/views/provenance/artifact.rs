//! Artifacts and what happened to them.

use std::collections::BTreeMap;

use serde_json::json;

use super::{artifact_url, commit_info, text};
use crate::domain::provenance::{
    ArtifactEvent, ArtifactRecord, AttestationRecord, DeploymentRecord, ReportRecord,
    artifact_events, continuous_runs, fields,
};
use crate::domain::{ArtifactRun, Micros};
use envsnap_model::wire::{EnvironmentSnapshot, FlowArtifact, FoundArtifact, HistoryEvent};

/// What git calls the commit that does not exist.
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// The artifact as its flow reported it.
pub(crate) fn artifact(org: &str, record: ArtifactRecord) -> Option<FlowArtifact> {
    let history = history(&record);
    let (running, exited) = running_and_exited(&record.runs);
    let report = record.report?;
    let details = fields(&report.details);
    let evidence: BTreeMap<_, _> =
        record.attestations.iter().map(|it| (it.name.clone(), evidence_document(it))).collect();
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
        git_commit: commit_or_zeros(&report.commit),
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

/// The commit, or zeros if it is not known: clients fail on a list with a commit of less than seven digits.
fn commit_or_zeros(reported: &str) -> String {
    if reported.len() < 7 { NO_COMMIT.to_owned() } else { reported.to_owned() }
}

fn evidence_document(attestation: &AttestationRecord) -> serde_json::Value {
    json!({
        "evidence_type": attestation.kind,
        "is_compliant": attestation.is_compliant,
        "created_at": attestation.reported_at.seconds().to_string(),
        "attestation_id": attestation.id.to_string(),
        "evidence_archive_fingerprint": attestation.attachment.as_ref().map(|file| &file.sha256),
        "has_audit_package": false,
    })
}

/// The evidence that is missing or non-compliant, as a text; empty if none is.
fn state_info(report: &ReportRecord) -> String {
    if report.problems.is_empty() {
        return String::new();
    }
    let place = report.state_trail.as_ref().map(|trail| format!(" in trail '{trail}'"));
    let place = place.unwrap_or_default();
    format!("missing or non-compliant{place}: {}", report.problems.join(", "))
}

/// What a search found of one artifact.
pub(crate) fn found_artifact(org: &str, record: ArtifactRecord) -> FoundArtifact {
    let history = history(&record);
    let (running, exited) = running_and_exited(&record.runs);
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

/// Where the artifact runs and from which snapshot on, and where it ran and until which.
fn running_and_exited(
    runs: &[ArtifactRun],
) -> (Vec<EnvironmentSnapshot>, Vec<EnvironmentSnapshot>) {
    let (mut running, mut exited) = (Vec::new(), Vec::new());
    for run in continuous_runs(runs) {
        let [first, .., last] = run else {
            if let [only] = run {
                push_environment(only, only, &mut running, &mut exited);
            }
            continue;
        };
        push_environment(first, last, &mut running, &mut exited);
    }
    (running, exited)
}

/// Adds the environment of a continuous run to `running` if its last interval is open, else to `exited`.
fn push_environment(
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
    let events =
        artifact_events(&record.report, &record.attestations, &record.deployments, &record.runs);
    let events = events.into_iter();
    let document = |(at, event): (Micros, _)| HistoryEvent {
        event: event_text(event),
        timestamp: at.seconds(),
        derived_deployment: match event {
            ArtifactEvent::Started(run) if !record.announced_to.contains(&run.environment) => {
                Some(EnvironmentSnapshot {
                    environment_name: run.environment.clone(),
                    snapshot_index: run.from_index.into(),
                })
            }
            _ => None,
        },
    };
    events.map(document).collect()
}

fn event_text(event: ArtifactEvent<'_>) -> String {
    let place = |run: &ArtifactRun, index: u32| format!("{}#{index} environment", run.environment);
    match event {
        ArtifactEvent::Created(_) => "Artifact created".to_owned(),
        ArtifactEvent::Attested(attestation) => {
            let what = if attestation.overrides.is_some() { "overridden" } else { "received" };
            format!("{} evidence {what}", attestation.name)
        }
        ArtifactEvent::Deployed(DeploymentRecord { number, environment, .. }) => {
            format!("Deployment #{number} to {environment} environment")
        }
        ArtifactEvent::Started(run) => {
            format!("Started running in {}", place(run, run.from_index))
        }
        ArtifactEvent::Scaled(was, run) => {
            let (up_or_down, now) = (if was < run.replicas { "up" } else { "down" }, run.replicas);
            format!("Scaled {up_or_down} from {was} to {now} in {}", place(run, run.from_index))
        }
        ArtifactEvent::Exited(run, index) => format!("No longer running in {}", place(run, index)),
    }
}

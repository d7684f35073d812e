//! What is known of provenance, in the API's form.

mod artifact;
mod attestation;
mod deployment_diff;
mod flow;
mod snapshot;
mod trail;

use serde_json::{Map, Value};

use crate::domain::provenance::{
    self as domain, AllowanceRecord, AttestationRecord, DeploymentRecord, fields,
};
use envsnap_model::wire::{AllowedArtifact, Deployment, DerivedDeployment};

pub(crate) use artifact::{artifact, found_artifact};
pub(crate) use attestation::attestation;
pub(crate) use deployment_diff::{PreviousArtifacts, add_deployment_diffs};
pub(crate) use flow::flow;
pub(crate) use snapshot::{
    add as add_provenance, pipeline, remove as remove_provenance, shorten as shorten_provenance,
};
pub(crate) use trail::{trail, trail_summary};

/// The page of an artifact, relative to the recorder's own address.
pub(crate) fn artifact_url(org: &str, fingerprint: &str) -> String {
    format!("/{org}/artifacts/{fingerprint}")
}

/// The page of a flow, relative to the recorder's own address.
pub(crate) fn flow_url(org: &str, flow: &str) -> String {
    format!("/{org}/flows/{flow}")
}

/// The page of a trail, relative to the recorder's own address.
pub(crate) fn trail_url(org: &str, flow: &str, trail: &str) -> String {
    format!("/{org}/flows/{flow}/trails/{trail}")
}

/// Where the API has the file that came with an attestation.
pub(crate) fn attachment_url(org: &str, attestation: &AttestationRecord) -> String {
    let AttestationRecord { flow, trail, id, .. } = attestation;
    format!("/api/v2/attestations/{org}/{flow}/trail/{trail}/attestation/{id}/evidence")
}

/// The text of a field; empty if it has none.
pub(crate) fn text(fields: &Map<String, Value>, name: &str) -> String {
    fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The commit in `git_commit_info`, with all of its parts, empty if they are not known: clients need each,
/// and a redacted commit has few.
fn commit_info(fields: &Map<String, Value>) -> Option<Value> {
    let mut commit = fields.get("git_commit_info")?.as_object()?.clone();
    for part in ["sha1", "message", "author", "branch", "url"] {
        let part = commit.entry(part).or_insert(Value::Null);
        if part.is_null() {
            *part = Value::String(String::new());
        }
    }
    let timestamp = commit.entry("timestamp").or_insert(Value::Null);
    if timestamp.is_null() {
        *timestamp = Value::from(0);
    }
    Some(Value::Object(commit))
}

/// An artifact that may run without provenance, as an element of a list.
pub(crate) fn allowed(record: AllowanceRecord) -> AllowedArtifact {
    AllowedArtifact {
        artifact_name: record.name,
        fingerprint: record.fingerprint,
        environment_name: record.environment.unwrap_or_else(|| "*".to_owned()),
        timestamp: record.allowed_at.map(crate::domain::Micros::seconds).unwrap_or_default(),
        user_name: record.allowed_by,
        description: record.reason,
        id: Some(record.id.to_string()),
        name_pattern: Some(record.pattern).filter(|pattern| !pattern.is_empty()),
    }
}

/// A deployment that follows from a snapshot.
pub(crate) fn derived_deployment(record: domain::DerivedDeployment) -> DerivedDeployment {
    DerivedDeployment {
        derived: true,
        flow_name: record.flow.unwrap_or_default(),
        environment: record.environment,
        artifact_fingerprint: record.fingerprint,
        artifact_name: record.name,
        snapshot_index: record.index.into(),
        created_at: record.at.seconds(),
    }
}

/// An announced deployment.
pub(crate) fn deployment(record: DeploymentRecord) -> Deployment {
    let details = fields(&record.details);
    let given = |name| Some(text(&details, name)).filter(|text| !text.is_empty());
    Deployment {
        deployment_id: record.number,
        flow_name: record.flow,
        environment: record.environment,
        artifact_fingerprint: record.fingerprint,
        created_at: record.reported_at.seconds(),
        created_by: record.reported_by,
        build_url: given("build_url"),
        description: given("description"),
    }
}

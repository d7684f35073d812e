//! Trails.

use envsnap_model::provenance::{AttestationStatus, State};
use serde_json::{Map, Value, json};

use super::{commit_info, text, trail_url};
use crate::domain::Micros;
use crate::domain::provenance::{
    AttestationRecord, RecordId, TrailEvent, TrailEventKind, TrailRecord, TrailSummary, fields,
};

/// A trail as an element of a list.
pub(crate) fn trail_summary(trail: &TrailSummary) -> Value {
    json!({
        "name": trail.name,
        "flow_name": trail.flow,
        "description": trail.description,
        "compliance_state": trail.state.as_str(),
        "created_at": trail.created_at.seconds(),
    })
}

/// A trail with all that was reported in it.
pub(crate) fn trail(org: &str, record: &TrailRecord, now: Micros) -> Value {
    let details = fields(&record.details);
    let status = &record.status;
    let template = record.template.as_ref().map(|template| {
        json!({
            "version": template.rules.version,
            "trail": template.rules.trail,
            "content": template.content,
        })
    });
    json!({
        "name": record.name,
        "description": text(&details, "description"),
        "git_commit_info": commit_info(&details),
        "origin_url": details.get("origin_url"),
        "user_data": details.get("user_data").unwrap_or(&json!({})),
        "repo_info": details.get("repo_info"),
        "repo_ids": [],
        "external_urls": details.get("external_urls").unwrap_or(&json!({})),
        "created_by": record.created_by,
        "created_at": record.created_at.seconds(),
        "last_modified_at": record.changed_at.seconds(),
        "html_url": trail_url(org, &record.flow, &record.name),
        "compliance_state": status.state.as_str(),
        "is_compliant": status.state == State::Compliant,
        "flow": {"name": record.flow, "tags": record.flow_tags},
        "template": template,
        "compliance_status": compliance_status(org, record, now),
        "events": record.events.iter().map(event_document).collect::<Vec<_>>(),
    })
}

fn compliance_status(org: &str, record: &TrailRecord, now: Micros) -> Value {
    let status = &record.status;
    let artifacts: Map<String, Value> = status
        .artifacts
        .iter()
        .map(|(name, artifact)| {
            let document = json!({
                "artifact_fingerprint": artifact.fingerprint,
                "artifact_id": id(org, artifact.seq),
                "status": artifact.state.as_str(),
                "is_compliant": artifact.state == State::Compliant,
                "unexpected": artifact.unexpected,
                "attestations_statuses": attestation_statuses(org, &artifact.attestations),
            });
            (name.clone(), document)
        })
        .collect();
    json!({
        "status": status.state.as_str(),
        "is_compliant": status.state == State::Compliant,
        "evaluated_at": now.seconds(),
        "flow_template_id": record.flow_id.to_string(),
        "attestations_statuses": attestation_statuses(org, &status.attestations),
        "artifacts_statuses": artifacts,
    })
}

/// The identifier of the report with this sequence number.
fn id(org: &str, seq: Option<i64>) -> Option<String> {
    seq.map(|seq| RecordId::new(org, seq).to_string())
}

fn attestation_statuses(org: &str, attestations: &[AttestationStatus]) -> Vec<Value> {
    let document = |it: &AttestationStatus| {
        json!({
            "attestation_name": it.name,
            "attestation_type": it.kind,
            "attestation_id": id(org, it.seq),
            "overridden_attestation_id": id(org, it.overridden),
            "status": if it.seq.is_some() { "COMPLETE" } else { "MISSING" },
            "is_compliant": it.is_compliant,
            "unexpected": it.unexpected,
        })
    };
    attestations.iter().map(document).collect()
}

fn event_document(event: &TrailEvent) -> Value {
    let mut document = match &event.kind {
        TrailEventKind::Reported(details) => {
            json!({"type": "trail_reported", "trail_data_json": fields(details)})
        }
        TrailEventKind::Updated(details) => {
            let changes = fields(details);
            json!({"type": "trail_updated", "trail_data_json": changes, "changes": changes})
        }
        TrailEventKind::Attestation(attestation) => attestation_event(attestation),
        TrailEventKind::Artifact { id, fingerprint, name, template_name, commit } => json!({
            "type": "artifact_creation_reported",
            "artifact_fingerprint": fingerprint,
            "artifact_name": name,
            "artifact_id": id.to_string(),
            "template_reference_name": template_name,
            "git_commit": commit,
        }),
        TrailEventKind::Running {
            started,
            fingerprint,
            template_name,
            environment,
            index,
            replicas,
        } => {
            let kind =
                if *started { "artifact_started_running" } else { "artifact_stopped_running" };
            json!({
                "type": kind,
                "artifact_fingerprint": fingerprint,
                "template_reference_name": template_name,
                "environment_name": environment,
                "environment_id": environment,
                "snapshot_index": index,
                "replica_number": replicas,
            })
        }
    };
    document["timestamp"] = Value::from(event.at.seconds());
    document
}

fn attestation_event(attestation: &AttestationRecord) -> Value {
    let details = fields(&attestation.details);
    let kind = match (&attestation.fingerprint, &attestation.targets[..]) {
        (Some(_), _) => "artifact_attestation_reported",
        (None, []) => "trail_attestation_reported",
        (None, _) => "trail_attestation_for_artifact_reported",
    };
    json!({
        "type": kind,
        "attestation_type": attestation.kind,
        "attestation_name": attestation.name,
        "template_reference_name": attestation.name,
        "attestation_id": attestation.id.to_string(),
        "is_compliant": attestation.is_compliant,
        "git_commit_info": commit_info(&details),
        "repo_info": details.get("repo_info"),
        "target_artifact": attestation.targets.first(),
        "artifact_fingerprint": attestation.fingerprint,
    })
}

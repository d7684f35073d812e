//! Attestations.

use serde_json::{Map, Value, json};

use super::{artifact_url, attachment_url, commit_info, trail_url};
use crate::domain::provenance::{ATTESTATION_KINDS, AttestationRecord, fields};

/// The fields of a report that its answer has under the same names, beside the results.
const ECHOED_FIELDS: [&str; 9] = [
    "user_data",
    "origin_url",
    "repo_info",
    "external_urls",
    "annotations",
    "description",
    "git_provider",
    "control",
    "reason",
];

/// An attestation with its results.
pub(crate) fn attestation(org: &str, record: &AttestationRecord) -> Value {
    let mut details = fields(&record.details);
    let html_url = match &record.fingerprint {
        Some(fingerprint) => artifact_url(org, fingerprint),
        None => trail_url(org, &record.flow, &record.trail),
    };
    let (flow, trail, id) = (&record.flow, &record.trail, record.id.to_string());
    let file = record.attachment.as_ref().map(|_| attachment_url(org, record));
    let mut document = Map::new();
    for name in ECHOED_FIELDS {
        document.insert(name.to_owned(), details.remove(name).unwrap_or(Value::Null));
    }
    for kind in &ATTESTATION_KINDS {
        if kind.results != "is_compliant"
            && let Some(results) = details.remove(kind.results)
        {
            document.insert(kind.results.to_owned(), results);
        }
    }
    let own = json!({
        "schema_version": 1,
        "attestation_id": id,
        "attestation_name": record.name,
        "attestation_type": record.kind,
        "is_compliant": record.is_compliant,
        "created_at": record.reported_at.seconds(),
        "artifact_fingerprint": record.fingerprint,
        "target_artifacts": record.targets,
        "git_commit_info": commit_info(&fields(&record.details)),
        "overridden_attestation_id": record.overrides.map(|id| id.to_string()),
        "html_url": html_url,
        "flow_name": flow,
        "trail_name": trail,
        "reported_by": record.reported_by,
        "evidence_archive_path": file,
        "evidence_archive_fingerprint": record.attachment.as_ref().map(|file| &file.sha256),
        "evidence_archive_name": record.attachment.as_ref().map(|file| &file.filename),
        "evidence_archive_size": record.attachment.as_ref().map(|file| file.size),
        "has_audit_package": false,
        "_links": {
            "self": format!("/api/v2/attestations/{org}?attestation_id={id}"),
            "evidence": file,
        },
    });
    if let Value::Object(own) = own {
        document.extend(own);
    }
    Value::Object(document)
}

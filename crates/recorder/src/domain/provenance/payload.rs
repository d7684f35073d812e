//! What the entries about provenance say. Their fields are in the order of canonical JSON.
//!
//! A flow and a trail are known by the sequence number of the entry that created them. The JSON that
//! a client reported is kept as the text that it is: it may hold floats, and unknown fields.

use std::collections::BTreeMap;

use envsnap_model::provenance::Template;
use serde::{Deserialize, Serialize};

/// The template of a flow or a trail: its YAML text as it was reported, and what it expects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredTemplate {
    /// The YAML text.
    pub content: String,
    /// What it expects.
    pub rules: Template,
}

/// A flow was created: see
/// [`Payload::FlowCreated`](super::super::Payload::FlowCreated).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowCreated {
    /// For people.
    pub description: String,
    /// Unique among the names in use in the organization.
    pub name: String,
    /// What its trails are expected to have, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<StoredTemplate>,
    /// `public` or `private`; it is kept and means nothing here.
    pub visibility: String,
}

/// Settings of a flow were changed: see
/// [`Payload::FlowChanged`](super::super::Payload::FlowChanged). What is absent stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowChanged {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The flow.
    pub flow: i64,
    /// All of its tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// What its trails are expected to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<StoredTemplate>,
    /// `public` or `private`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<String>,
}

/// A flow was given another name: see
/// [`Payload::FlowRenamed`](super::super::Payload::FlowRenamed).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowRenamed {
    /// The flow.
    pub flow: i64,
    /// Its name until then.
    pub from: String,
    /// Its name from then on.
    pub to: String,
}

/// A flow was archived, and renamed so that its name is free: see
/// [`Payload::FlowArchived`](super::super::Payload::FlowArchived).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowArchived {
    /// The flow.
    pub flow: i64,
    /// Its name from then on.
    pub name: String,
}

/// A trail of a flow was begun: see
/// [`Payload::TrailBegun`](super::super::Payload::TrailBegun).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrailBegun {
    /// A JSON object: what was reported of it.
    pub details: String,
    /// Its flow.
    pub flow: i64,
    /// Unique in its flow.
    pub name: String,
    /// In place of the flow's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<StoredTemplate>,
}

/// Details of a trail were changed: see
/// [`Payload::TrailChanged`](super::super::Payload::TrailChanged).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrailChanged {
    /// A JSON object: the fields that have another value from then on.
    pub details: String,
    /// In place of the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<StoredTemplate>,
    /// The trail.
    pub trail: i64,
}

/// A flow reported an artifact that it built: see
/// [`Payload::ArtifactReported`](super::super::Payload::ArtifactReported).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactReported {
    /// The commit that it was built from, 40 hexadecimal digits as a rule; may be empty.
    pub commit: String,
    /// A JSON object: all that was reported of it.
    pub details: String,
    /// 64 lowercase hexadecimal digits.
    pub fingerprint: String,
    /// The flow that built it.
    pub flow: i64,
    /// Its label.
    pub name: String,
    /// Its name in the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_name: Option<String>,
    /// The trail in which it was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trail: Option<i64>,
}

/// A file that was reported with an attestation: its name, size and SHA-256. Its content is stored apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// As it was reported.
    pub filename: String,
    /// 64 lowercase hexadecimal digits.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
}

/// Evidence for a trail or for artifacts was reported: see
/// [`Payload::AttestationReported`](super::super::Payload::AttestationReported).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestationReported {
    /// The file with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
    /// The commit that it is about; together with a target it binds to artifacts of that commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// A JSON object: all that was reported.
    pub details: String,
    /// The artifact that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// `None` if nothing decides it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_compliant: Option<bool>,
    /// Its type, such as `junit` or `custom:person`; of an override, the type of what it replaces.
    pub kind: String,
    /// Its name in the template.
    pub name: String,
    /// The attestation whose result it replaces, if it is an override.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<i64>,
    /// Names of artifacts in the template that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// Its trail.
    pub trail: i64,
}

/// A flow announced a deployment: see
/// [`Payload::DeploymentReported`](super::super::Payload::DeploymentReported).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentReported {
    /// A JSON object: all that was reported.
    pub details: String,
    /// The name of the environment to which it goes, which need not exist.
    pub environment: String,
    /// The artifact.
    pub fingerprint: String,
    /// The flow that deploys it.
    pub flow: i64,
    /// Its number in the flow: 1, 2, 3 … without gaps.
    pub number: u32,
}

/// Software was allowed to run without provenance: see
/// [`Payload::Allowed`](super::super::Payload::Allowed). Either a fingerprint or a pattern is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// The environment in which it is; every one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<i64>,
    /// The artifact; empty if a pattern says it.
    pub fingerprint: String,
    /// The artifact's name as it was given, for people.
    pub name: String,
    /// The names of images or containers, with `*` for any characters; empty if a fingerprint says it.
    pub pattern: String,
    /// Why.
    pub reason: String,
}

/// Software is not allowed any longer to run without provenance: see
/// [`Payload::AllowanceWithdrawn`](super::super::Payload::AllowanceWithdrawn).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowanceWithdrawn {
    /// The entry that allowed it.
    pub allowance: i64,
}

/// One of each kind, with every optional field.
#[cfg(test)]
pub(crate) fn example_payloads() -> Vec<super::super::Payload> {
    use super::super::Payload;

    let template = Some(StoredTemplate {
        content: "version: 1\n".to_owned(),
        rules: Template::with_attestations("runner", ["test"].into_iter()),
    });
    let details = "{\"duration\":0.85}".to_owned();
    vec![
        Payload::FlowCreated(FlowCreated {
            description: "d".to_owned(),
            name: "runner".to_owned(),
            template: template.clone(),
            visibility: "public".to_owned(),
        }),
        Payload::FlowChanged(FlowChanged {
            description: Some("e".to_owned()),
            flow: 1,
            tags: Some(BTreeMap::from([("b".to_owned(), "1".to_owned())])),
            template: template.clone(),
            visibility: Some("private".to_owned()),
        }),
        Payload::FlowRenamed(FlowRenamed { flow: 1, from: "a".to_owned(), to: "b".to_owned() }),
        Payload::FlowArchived(FlowArchived { flow: 1, name: "a-archived-at-1".to_owned() }),
        Payload::TrailBegun(TrailBegun {
            details: details.clone(),
            flow: 1,
            name: "16d9990".to_owned(),
            template: template.clone(),
        }),
        Payload::TrailChanged(TrailChanged { details: details.clone(), template, trail: 2 }),
        Payload::ArtifactReported(ArtifactReported {
            commit: "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4".to_owned(),
            details: details.clone(),
            fingerprint: "ab".repeat(32),
            flow: 1,
            name: "cyberdojo/runner:16d9990".to_owned(),
            template_name: Some("runner".to_owned()),
            trail: Some(2),
        }),
        Payload::AttestationReported(AttestationReported {
            attachment: Some(Attachment {
                filename: "a.xml".to_owned(),
                sha256: "cd".repeat(32),
                size: 466,
            }),
            commit: Some("16d9990".to_owned()),
            details: details.clone(),
            fingerprint: Some("ab".repeat(32)),
            is_compliant: Some(true),
            kind: "junit".to_owned(),
            name: "unit-test".to_owned(),
            overrides: Some(7),
            targets: vec!["runner".to_owned()],
            trail: 2,
        }),
        Payload::DeploymentReported(DeploymentReported {
            details,
            environment: "aws-beta".to_owned(),
            fingerprint: "ab".repeat(32),
            flow: 1,
            number: 18,
        }),
        Payload::Allowed(Allowed {
            environment: Some(1),
            fingerprint: "ab".repeat(32),
            name: "nginx".to_owned(),
            pattern: String::new(),
            reason: "r".to_owned(),
        }),
        Payload::AllowanceWithdrawn(AllowanceWithdrawn { allowance: 9 }),
    ]
}

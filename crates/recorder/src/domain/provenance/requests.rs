//! Requests to record provenance.

use std::collections::BTreeMap;

use super::{Details, StoredTemplate};
use crate::domain::Head;

/// The settings of a flow that is created or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowSettings {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// If absent it stays as it is; a new flow is private.
    pub visibility: Option<String>,
    /// If absent it stays as it is.
    pub template: Option<StoredTemplate>,
}

/// Tags of a flow that are set and removed, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagChange {
    /// By key.
    pub set: BTreeMap<String, String>,
    /// Keys.
    pub remove: Vec<String>,
}

/// A trail that is begun or changed. Absent fields stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailReport {
    /// Its name.
    pub name: String,
    /// What is known of it, without its name.
    pub details: Details,
    /// In place of the flow's.
    pub template: Option<StoredTemplate>,
}

/// An artifact that a flow built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactReport {
    /// 64 lowercase hexadecimal digits.
    pub fingerprint: String,
    /// Its label.
    pub name: String,
    /// The commit that it was built from.
    pub commit: String,
    /// Its name in the template.
    pub template_name: Option<String>,
    /// The trail in which it was built, which is begun if it does not exist.
    pub trail: Option<String>,
    /// All that was reported.
    pub details: Details,
}

/// A file that comes with an attestation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentFile {
    /// As it was reported.
    pub filename: String,
    /// Of its content.
    pub sha256: [u8; 32],
    /// What is in it.
    pub content: Vec<u8>,
}

/// Evidence for a trail or for artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationReport {
    /// Its type, such as `junit` or `custom:person`. Of an override it is the type of what it replaces,
    /// and may be empty.
    pub kind: String,
    /// Its name in the template.
    pub name: String,
    /// The artifact that it is about.
    pub fingerprint: Option<String>,
    /// Names of artifacts in the template that it is about.
    pub targets: Vec<String>,
    /// The commit that it is about.
    pub commit: Option<String>,
    /// `None` if nothing decides it.
    pub is_compliant: Option<bool>,
    /// It replaces the result of the latest attestation of its name.
    pub is_override: bool,
    /// All that was reported.
    pub details: Details,
    /// The file with it.
    pub attachment: Option<AttachmentFile>,
}

/// A deployment that is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentReport {
    /// 64 lowercase hexadecimal digits.
    pub fingerprint: String,
    /// The name of the environment.
    pub environment: String,
    /// All that was reported.
    pub details: Details,
}

/// Software that is allowed to run without provenance. Either a fingerprint or a pattern is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowanceRequest {
    /// The environment's name; every one if absent.
    pub environment: Option<String>,
    /// 64 lowercase hexadecimal digits, or empty.
    pub fingerprint: String,
    /// For people.
    pub name: String,
    /// With `*` for any characters, or empty.
    pub pattern: String,
    /// Why.
    pub reason: String,
}

/// The result of creating or updating a flow or a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// It did not exist before.
    pub created: bool,
    /// The head of the organization's ledger.
    pub head: Head,
}

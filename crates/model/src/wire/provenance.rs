//! Where software comes from: flows, artifacts, and what is allowed without them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::or_default;
use crate::provenance::Origin;

/// A flow, which is a pipeline that reports artifacts and evidence: an element of the answer of
/// `GET /flows/{org}`, and that of `GET /flows/{org}/{flow}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Its name.
    pub name: String,
    /// For people.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// `public` or `private`.
    #[serde(default, deserialize_with = "or_default")]
    pub visibility: String,
    /// The organization.
    #[serde(default, deserialize_with = "or_default")]
    pub org: String,
    /// What its trails are expected to have: YAML; `""` if that is not known.
    #[serde(default, deserialize_with = "or_default")]
    pub template: Value,
    /// The repository that its artifacts are built from.
    #[serde(default)]
    pub repo_url: Option<String>,
    /// By key.
    #[serde(default, deserialize_with = "or_default")]
    pub tags: BTreeMap<String, String>,
    /// When something was last reported to it, in seconds since the Unix epoch.
    #[serde(default)]
    pub latest_activity_at: Option<f64>,
    /// The state of its latest trail.
    #[serde(default)]
    pub latest_state: Option<String>,
    /// When a deployment was last announced, in seconds since the Unix epoch.
    #[serde(default)]
    pub last_deployment_at: Option<f64>,
}

/// A page of a list, with how many there are in all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Paged<T> {
    /// Those on this page.
    pub data: Vec<T>,
    /// Which page it is.
    pub pagination: Pagination,
}

/// Which page of a list this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pagination {
    /// How many there are on all pages.
    pub total: u64,
    /// From 1.
    pub page: u32,
    /// How many on one page at the most.
    pub per_page: u32,
    /// How many pages.
    pub page_count: u64,
}

/// An artifact that a flow reported: the answer of `GET /artifacts/{org}/{flow}/fingerprint/{digits}`,
/// and an element of `…/commit_sha/{digits}` and `GET /artifacts/{org}`. Strings are empty if nothing
/// is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowArtifact {
    /// The identifier of the report.
    #[serde(default, deserialize_with = "or_default")]
    pub id: String,
    /// Its label.
    pub filename: String,
    /// 64 lowercase hexadecimal digits.
    pub fingerprint: String,
    /// The flow that reported it.
    #[serde(default, deserialize_with = "or_default")]
    pub flow_name: String,
    /// The trail in which it was built.
    #[serde(default)]
    pub trail_name: Option<String>,
    /// Its name in the template.
    #[serde(default)]
    pub template_reference_name: Option<String>,
    /// The commit that it was built from.
    #[serde(default, deserialize_with = "or_default")]
    pub git_commit: String,
    /// More of that commit.
    #[serde(default)]
    pub git_commit_info: Option<Value>,
    /// The repository.
    #[serde(default)]
    pub repo_info: Option<Value>,
    /// Where a person can look at the commit.
    #[serde(default, deserialize_with = "or_default")]
    pub commit_url: String,
    /// Where a person can look at the build.
    #[serde(default, deserialize_with = "or_default")]
    pub build_url: String,
    /// Where a person can look at the repository.
    #[serde(default, deserialize_with = "or_default")]
    pub repo_url: String,
    /// Where a person can look at the artifact.
    #[serde(default, deserialize_with = "or_default")]
    pub html_url: String,
    /// Where a program can.
    #[serde(default, deserialize_with = "or_default")]
    pub api_url: String,
    /// `COMPLIANT`, `NON-COMPLIANT` or `INCOMPLETE`.
    #[serde(default, deserialize_with = "or_default")]
    pub state: String,
    /// Why it is not `COMPLIANT`; empty if it is.
    #[serde(default, deserialize_with = "or_default")]
    pub state_info: String,
    /// When the flow first reported it, in seconds since the Unix epoch, as a text.
    #[serde(default, deserialize_with = "text_or_number")]
    pub created_at: String,
    /// When the flow last reported it, as [`Self::created_at`].
    #[serde(default, deserialize_with = "text_or_number")]
    pub last_modified_at: String,
    /// Numbers of announced deployments.
    #[serde(default, deserialize_with = "or_default")]
    pub deployments: Vec<u32>,
    /// By name of the attestation.
    #[serde(default, deserialize_with = "or_default")]
    pub evidence: BTreeMap<String, Value>,
    /// Names of the attestations that are expected.
    #[serde(default, deserialize_with = "or_default")]
    pub template: Vec<String>,
    /// Where it runs, and from which snapshot on.
    #[serde(default, deserialize_with = "or_default")]
    pub running: Vec<EnvironmentSnapshot>,
    /// Where it ran, and the first snapshot in which it no longer did.
    #[serde(default, deserialize_with = "or_default")]
    pub exited: Vec<EnvironmentSnapshot>,
    /// What happened to it, in the order of time.
    #[serde(default, deserialize_with = "or_default")]
    pub history: Vec<HistoryEvent>,
    /// What was reported with it.
    #[serde(default)]
    pub user_data: Option<Value>,
    /// Addresses that were reported with it, by label.
    #[serde(default)]
    pub external_urls: Option<Value>,
    /// Texts that were reported with it, by key.
    #[serde(default)]
    pub annotations: Option<Value>,
}

/// Names a snapshot by its environment and its index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentSnapshot {
    /// The environment.
    pub environment_name: String,
    /// The snapshot's place among the environment's, from 1.
    pub snapshot_index: u64,
}

/// Something that happened to an artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEvent {
    /// In words.
    pub event: String,
    /// When, in seconds since the Unix epoch, with fractions.
    #[serde(default, deserialize_with = "or_default")]
    pub timestamp: f64,
    /// If the artifact started and no flow had announced a deployment of it to that environment: where,
    /// and with which snapshot. Only this project's recorder says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived_deployment: Option<EnvironmentSnapshot>,
}

/// A flow that reported a running artifact: an element of
/// [`RecordedArtifact::flows`](super::RecordedArtifact::flows).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ArtifactFlow {
    /// The flow.
    #[serde(default, deserialize_with = "or_default")]
    pub flow_name: String,
    /// The trail in which it was built.
    #[serde(default)]
    pub trail_name: Option<String>,
    /// Its name in the template.
    #[serde(default)]
    pub template_reference_name: Option<String>,
    /// The commit that it was built from.
    #[serde(default)]
    pub git_commit: Option<String>,
    /// Where a person can look at the commit.
    #[serde(default)]
    pub commit_url: Option<String>,
    /// Where a person can look at the build. Only this project's recorder says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_url: Option<String>,
    /// More of the commit.
    #[serde(default)]
    pub git_commit_info: Option<Value>,
    /// Where a person can look at the artifact.
    #[serde(default)]
    pub html_url: Option<String>,
    /// Where a person can look at the flow.
    #[serde(default)]
    pub flow_html_url: Option<String>,
    /// It is compliant in this flow.
    #[serde(default)]
    pub artifact_compliance_in_flow: Option<bool>,
    /// Why it is not.
    #[serde(default, deserialize_with = "or_default")]
    pub flow_reasons_for_non_compliance: Vec<Value>,
    /// Numbers of the deployments that the flow announced to this environment.
    #[serde(default, deserialize_with = "or_default")]
    pub deployments: Vec<u32>,
    /// Seconds from the commit to the start.
    #[serde(default)]
    pub commit_lead_time: Option<f64>,
    /// What changed since the deployment before.
    #[serde(default)]
    pub deployment_diff: Value,
    /// When the flow first reported it, in seconds since the Unix epoch. Only this project's recorder
    /// says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_at: Option<f64>,
    /// `COMPLIANT`, `NON-COMPLIANT` or `INCOMPLETE`. Only this project's recorder says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The attestations that are missing or non-compliant. Only this project's recorder says it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// Whether a flow had reported a running artifact when it started, and why it is allowed if not. Only this
/// project's recorder sends it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactOrigin {
    /// Whether a flow had reported it when it started.
    pub status: Origin,
    /// When it first started in this environment, in seconds since the Unix epoch.
    pub first_started_at: i64,
    /// Seconds from that start to the first report, if it is late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<f64>,
    /// Why it is allowed, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
}

/// An artifact in the response of `GET /search/{org}/sha/{digits}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundArtifact {
    /// 64 lowercase hexadecimal digits.
    pub fingerprint: String,
    /// Its label.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// A flow reported it.
    #[serde(default, deserialize_with = "or_default")]
    pub has_provenance: bool,
    /// The flow; empty if none reported it.
    #[serde(default, deserialize_with = "or_default")]
    pub flow: String,
    /// The same, under its former name.
    #[serde(default, deserialize_with = "or_default")]
    pub pipeline: String,
    /// The trail.
    #[serde(default, deserialize_with = "or_default")]
    pub trail: String,
    /// Its name in the template.
    #[serde(default, deserialize_with = "or_default")]
    pub template_reference_name: String,
    /// The commit.
    #[serde(default, deserialize_with = "or_default")]
    pub git_commit: String,
    /// Where a person can look at the commit.
    #[serde(default, deserialize_with = "or_default")]
    pub commit_url: String,
    /// Where a person can look at the build.
    #[serde(default, deserialize_with = "or_default")]
    pub build_url: String,
    /// Its state; empty if no flow reported it.
    #[serde(default, deserialize_with = "or_default")]
    pub compliance_state: String,
    /// Environments in which it runs.
    #[serde(default, deserialize_with = "or_default")]
    pub running_in: Vec<String>,
    /// Environments in which it ran.
    #[serde(default, deserialize_with = "or_default")]
    pub exited_from: Vec<String>,
    /// Where a person can look at it.
    #[serde(default, deserialize_with = "or_default")]
    pub html_url: String,
    /// Where a program can.
    #[serde(default, deserialize_with = "or_default")]
    pub api_url: String,
    /// What happened to it, in the order of time.
    #[serde(default, deserialize_with = "or_default")]
    pub history: Vec<HistoryEvent>,
}

/// The response of `GET /search/{org}/sha/{digits}`: what the digits of a commit or a fingerprint resolve
/// to, and its artifacts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchAnswer {
    /// What the digits are.
    #[serde(default, deserialize_with = "or_default")]
    pub resolved_to: Value,
    /// What they belong to.
    #[serde(default, deserialize_with = "or_default")]
    pub artifacts: Vec<FoundArtifact>,
}

/// What is allowed to run without provenance: an element of the answer of `GET /allowlists/{org}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AllowedArtifact {
    /// Its label, for people.
    #[serde(default, deserialize_with = "or_default")]
    pub artifact_name: String,
    /// 64 lowercase hexadecimal digits; empty if a pattern says it.
    #[serde(default, deserialize_with = "or_default")]
    pub fingerprint: String,
    /// The environment; `*` is every one.
    #[serde(default, deserialize_with = "or_default")]
    pub environment_name: String,
    /// When, in seconds since the Unix epoch.
    #[serde(default, deserialize_with = "or_default")]
    pub timestamp: f64,
    /// The label of the token that reported it.
    #[serde(default, deserialize_with = "or_default")]
    pub user_name: String,
    /// Why.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// Its identifier, by which it is withdrawn. Only this project's recorder says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The names that are allowed, with `*` for any characters. Only this project's recorder has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_pattern: Option<String>,
}

/// A deployment that a flow announced: an element of `GET /deployments/{org}/{flow}` of this project's
/// recorder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its number in the flow.
    pub deployment_id: u32,
    /// The flow.
    pub flow_name: String,
    /// The environment.
    pub environment: String,
    /// The artifact.
    pub artifact_fingerprint: String,
    /// When, in seconds since the Unix epoch.
    pub created_at: f64,
    /// The label of the token that reported it.
    #[serde(default, deserialize_with = "or_default")]
    pub created_by: String,
    /// Where a person can look at the build.
    #[serde(default)]
    pub build_url: Option<String>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
}

/// The start of an artifact of which no flow announced a deployment to the environment: an element of
/// `GET /deployments/{org}?env_name=` of this project's recorder. It has no number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DerivedDeployment {
    /// Always `true`.
    pub derived: bool,
    /// The flow that first reported the artifact; empty if none did.
    #[serde(default, deserialize_with = "or_default")]
    pub flow_name: String,
    /// The environment.
    pub environment: String,
    /// The artifact.
    pub artifact_fingerprint: String,
    /// Its label in the snapshot.
    #[serde(default, deserialize_with = "or_default")]
    pub artifact_name: String,
    /// The snapshot in which it first ran again.
    pub snapshot_index: u64,
    /// When that was recorded, in seconds since the Unix epoch.
    pub created_at: f64,
}

/// Deserializes a time that the server may write as a string or as a number, as a string; `null` is `""`.
fn text_or_number<'de, D: Deserializer<'de>>(field: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(field)? {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    })
}

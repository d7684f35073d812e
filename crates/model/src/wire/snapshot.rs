//! Snapshots on the server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ArtifactFlow, ArtifactOrigin, ReportGap, RunningSince, or_default};
use crate::snapshot::{Artifact, Snapshot, TaskOrigin};

/// A snapshot: the response of `GET /snapshots/{org}/{env}/{expression}`. Times are in seconds
/// since the Unix epoch, with fractions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedSnapshot {
    /// The snapshot's index, from 1.
    pub index: u64,
    /// No later one exists.
    #[serde(default, deserialize_with = "or_default")]
    pub is_latest: bool,
    /// The time at which the next one was made.
    #[serde(default)]
    pub next_snapshot_timestamp: Option<f64>,
    /// Running artifacts by compliance: `true`, `false` and `null`.
    #[serde(default, deserialize_with = "or_default")]
    pub artifact_compliance_count: BTreeMap<String, u64>,
    /// The time at which it was made.
    #[serde(default, deserialize_with = "or_default")]
    pub timestamp: f64,
    /// The last report that found it unchanged: until then it is known that nothing else ran. Only
    /// this project's recorder sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_until: Option<f64>,
    /// The label of the token that reported it. Only this project's recorder sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_by: Option<String>,
    /// Its entry in the organization's ledger. Only this project's recorder sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<SnapshotEntry>,
    /// Times that began while it was the latest and that no report covers, earliest first. Only
    /// this project's recorder sends them.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<ReportGap>,
    /// The type of its environment.
    #[serde(rename = "type")]
    pub environment_type: String,
    /// Whether everything that runs is compliant.
    #[serde(default, deserialize_with = "or_default")]
    pub compliant: bool,
    /// Its web page.
    #[serde(default, deserialize_with = "or_default")]
    pub html_url: String,
    /// Policies that were applied.
    #[serde(default, deserialize_with = "or_default")]
    pub applied_policies: Vec<Value>,
    /// What runs, latest start first, then what exited with this snapshot. One entry a
    /// fingerprint.
    pub artifacts: Vec<RecordedArtifact>,
}

/// The entry that recorded a snapshot in the organization's ledger: its number, hash and time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotEntry {
    /// Its number.
    pub seq: i64,
    /// Its [hash](crate::EntryHash), in hexadecimal digits.
    pub hash: String,
    /// When it was recorded, as RFC 3339 has it, in UTC.
    pub recorded_at: String,
}

impl RecordedSnapshot {
    /// The artifacts that run in it, without those that exited with it.
    pub fn running(&self) -> impl Iterator<Item = &RecordedArtifact> {
        self.artifacts.iter().filter(|artifact| artifact.annotation.now > 0)
    }

    /// Its running artifacts as a [`Snapshot`], to be hashed or compared.
    pub fn snapshot(&self) -> Snapshot {
        self.running()
            .map(|artifact| Artifact {
                name: artifact.name.clone(),
                // A server may show an artifact without a digest in any form of its own.
                fingerprint: artifact.fingerprint.as_deref().and_then(|f| f.parse().ok()),
                replicas: artifact.annotation.now,
            })
            .collect()
    }
}

/// An artifact that runs in a snapshot, or that exited with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedArtifact {
    /// Its label.
    pub name: String,
    /// 64 lowercase hexadecimal digits, or `""` if it is unknown.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// `null` without provenance.
    #[serde(default)]
    pub compliant: Option<bool>,
    /// Deployments that announced it.
    #[serde(default, deserialize_with = "or_default")]
    pub deployments: Vec<Value>,
    /// What the policies say of it.
    #[serde(default, deserialize_with = "or_default")]
    pub policy_decisions: Vec<Value>,
    /// Why it is not compliant.
    #[serde(default, deserialize_with = "or_default")]
    pub reasons_for_incompliance: Vec<Value>,
    /// When each replica started, in seconds since the Unix epoch, ascending.
    #[serde(default, deserialize_with = "or_default", rename = "creationTimestamp")]
    pub creation_timestamp: Vec<i64>,
    /// Always `null` for ECS.
    #[serde(default)]
    pub pods: Value,
    /// What this snapshot changed.
    pub annotation: Annotation,
    /// The flow that built it.
    #[serde(default)]
    pub flow_name: Option<String>,
    /// The commit that it was built from.
    #[serde(default)]
    pub git_commit: Option<String>,
    /// Where a person can look at the commit.
    #[serde(default)]
    pub commit_url: Option<String>,
    /// Where a person can look at the artifact.
    #[serde(default)]
    pub html_url: Option<String>,
    /// Where a person can look at the flow.
    #[serde(default)]
    pub flow_html_url: Option<String>,
    /// What changed since the deployment before.
    #[serde(default)]
    pub deployment_diff: Value,
    /// Seconds from commit to running.
    #[serde(default)]
    pub commit_lead_time: Option<f64>,
    /// One entry a flow that it was reported to.
    #[serde(default, deserialize_with = "or_default")]
    pub flows: Vec<ArtifactFlow>,
    /// What is known of where it comes from. Only this project's recorder says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<ArtifactOrigin>,
    /// One of the tasks that run it.
    #[serde(default)]
    pub ecs_context: Option<EcsContext>,
    /// Every cluster and service that its replicas ran in when the snapshot was made, or before, if
    /// it exited; none if there is only one. Only this project's recorder says it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub ecs_places: Vec<EcsPlace>,
    /// Since when it runs.
    #[serde(flatten)]
    pub since: RunningSince,
    /// What never ran in the environment before this snapshot: `registry`, `repository` or `image` (the
    /// fingerprint), the widest of them. Only this project's recorder sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_time_here: Option<String>,
}

impl RecordedArtifact {
    /// When the oldest running replica started, in seconds since the Unix epoch; every server sends it.
    pub fn started(&self) -> Option<i64> {
        self.creation_timestamp.first().copied()
    }
}

/// What a snapshot changed of one artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// `started-compliant`, `started-non-compliant`, `started-unknown`, `exited`, `unchanged`,
    /// `changed` (replicas) or `updated-provenance`.
    #[serde(rename = "type")]
    pub change: String,
    /// Replicas in the snapshot before.
    pub was: u64,
    /// Replicas in this one; 0 says that it exited.
    pub now: u64,
}

/// One of the ECS tasks that run an artifact, and links to it in the AWS console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EcsContext {
    /// Task ARN.
    #[serde(default, deserialize_with = "or_default")]
    pub task_arn: String,
    /// Cluster name.
    #[serde(default)]
    pub cluster_name: Option<String>,
    /// Service name.
    #[serde(default)]
    pub service_name: Option<String>,
    /// Where the task comes from. Only this project's recorder sends it and the fields that follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<TaskOrigin>,
    /// The service in the AWS console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_url: Option<String>,
    /// The revision of the task definition in the AWS console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_definition_url: Option<String>,
}

/// A cluster and a service in which an artifact runs, and how many replicas run there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EcsPlace {
    /// Cluster name.
    pub cluster_name: Option<String>,
    /// Service name; `None` for a standalone task.
    pub service_name: Option<String>,
    /// How many replicas run there.
    pub replicas: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_of_a_response_leaves_out_artifacts_that_exited() {
        let recorded: RecordedSnapshot = serde_json::from_value(serde_json::json!({
            "index": 66, "type": "ECS", "artifacts": [
                {"name": "web:1", "fingerprint": "ab".repeat(32),
                 "annotation": {"type": "unchanged", "was": 3, "now": 3}},
                {"name": "envoy", "fingerprint": "",
                 "annotation": {"type": "unchanged", "was": 1, "now": 1}},
                {"name": "web:0", "fingerprint": "cd".repeat(32),
                 "annotation": {"type": "exited", "was": 1, "now": 0}},
            ]
        }))
        .unwrap();
        let names: Vec<_> =
            recorded.snapshot().artifacts().map(|a| (a.name.clone(), a.replicas)).collect();
        assert_eq!(names, [("web:1".to_owned(), 3), ("envoy".to_owned(), 1)]);
    }
}

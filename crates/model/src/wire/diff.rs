//! The difference between two snapshots.

use serde::{Deserialize, Serialize};

use super::{RunningSince, or_default};

/// The difference between two snapshots: the response of `GET /env-diff/{org}`. Each list is sorted
/// by fingerprint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentDiff {
    /// The first snapshot, and what runs only there.
    #[serde(default, deserialize_with = "or_default")]
    pub snappish1: DiffItem,
    /// The second snapshot, and what runs only there.
    #[serde(default, deserialize_with = "or_default")]
    pub snappish2: DiffItem,
    /// What runs in both, with another number of replicas.
    #[serde(default, deserialize_with = "or_default")]
    pub changed: DiffItem,
    /// What runs in both with as many replicas.
    #[serde(default, deserialize_with = "or_default", rename = "not-changed")]
    pub not_changed: DiffItem,
}

/// A list of an [`EnvironmentDiff`]: artifacts that run in one of the snapshots only, or in both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DiffItem {
    /// `aws-prod#65`, if the part is of one snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    /// Its artifacts.
    #[serde(default, deserialize_with = "or_default")]
    pub artifacts: Vec<DiffArtifact>,
}

/// An artifact in a list of an [`EnvironmentDiff`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DiffArtifact {
    /// 64 lowercase hexadecimal digits, or `""` if it is unknown.
    #[serde(default, deserialize_with = "or_default")]
    pub fingerprint: String,
    /// Its label; of an artifact in both snapshots, the second's.
    pub name: String,
    /// Start of its latest replica, in seconds since the Unix epoch; of an artifact in both
    /// snapshots, the second's.
    #[serde(default, deserialize_with = "or_default")]
    pub most_recent_timestamp: i64,
    /// The flow that built it.
    #[serde(default)]
    pub flow: Option<String>,
    /// A web page of the commit that it was built from.
    #[serde(default)]
    pub commit_url: Option<String>,
    /// Replicas; of an artifact in both snapshots, the second's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_count: Option<u64>,
    /// Replicas in the first snapshot, if they changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s1_instance_count: Option<u64>,
    /// Replicas in the second snapshot, if they changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s2_instance_count: Option<u64>,
    /// Since when it runs.
    #[serde(flatten)]
    pub since: RunningSince,
    /// What never ran in the environment before the first snapshot: `registry`, `repository` or
    /// `image` (the fingerprint), the widest of them. Between two environments, what never ran in
    /// this one before the second snapshot. Only this project's recorder sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_time_here: Option<String>,
}

//! The history of an environment.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{RunningSince, or_default};

/// A snapshot and the time for which it was the latest: an element of the response of `GET
/// /snapshots/{org}/{env}`. Times are in seconds since the Unix epoch, with fractions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotListEntry {
    /// The snapshot's index, from 1.
    pub index: u64,
    /// The time at which it was made.
    pub from: f64,
    /// The time at which the next one was made; 0 for the latest.
    #[serde(default, deserialize_with = "or_default")]
    pub to: f64,
    /// Whether everything that ran was compliant.
    #[serde(default, deserialize_with = "or_default")]
    pub compliant: bool,
    /// Seconds from one to the other, or until the request for the latest.
    #[serde(default, deserialize_with = "or_default")]
    pub duration: f64,
    /// The last report that found it unchanged. Only this project's recorder sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_until: Option<f64>,
    /// Times that began while it was the latest and that no report covers, earliest first. Only
    /// this project's recorder sends them.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<ReportGap>,
}

/// A period that no report covers, in seconds since the Unix epoch: it is not known what ran then.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReportGap {
    /// The last report before it.
    pub from: f64,
    /// The first report after it; `null` if there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<f64>,
}

impl ReportGap {
    /// Whether this time, in seconds since the Unix epoch, is in the gap.
    pub fn contains(&self, time: f64) -> bool {
        self.from < time && self.until.is_none_or(|until| time < until)
    }

    /// Whether part of the gap is between these times.
    pub fn overlaps(&self, from: f64, until: f64) -> bool {
        self.from < until && self.until.is_none_or(|end| end > from)
    }
}

/// A period in which an artifact ran with the same number of replicas in one environment: an element
/// of the response of `GET /artifact-runs/{org}?artifact=PATTERN`, sorted by environment, artifact
/// and index. Only this project's recorder serves it, and announces it
/// ([`ARTIFACT_RUNS`](super::ARTIFACT_RUNS)).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactRun {
    /// The environment's name.
    pub environment: String,
    /// The artifact's label at that time.
    pub name: String,
    /// `""` if it is unknown.
    pub fingerprint: String,
    /// The number of replicas.
    pub replicas: u64,
    /// Since when it ran. `started` is of the replicas that ran last in that time.
    #[serde(flatten)]
    pub since: RunningSince,
    /// The first snapshot of that time.
    pub first_index: u64,
    /// The time at which that was recorded, in seconds since the Unix epoch.
    pub from: f64,
    /// The last snapshot of that time; the latest if it still runs so.
    pub last_index: u64,
    /// The time at which the snapshot after it was recorded; `null` if it still runs so.
    #[serde(default)]
    pub to: Option<f64>,
    /// Times that began in it and that no report covers, earliest first.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<ReportGap>,
}

/// A change of one artifact in a snapshot: an element of the response of `GET
/// /environments/{org}/{env}/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentEvent {
    /// The environment's name.
    #[serde(default, deserialize_with = "or_default")]
    pub environment_name: String,
    /// The snapshot's index, from 1.
    #[serde(default, deserialize_with = "or_default")]
    pub snapshot_index: u64,
    /// The artifact's label.
    #[serde(default, deserialize_with = "or_default")]
    pub artifact_name: String,
    /// Its fingerprint, or `""` if it is unknown.
    #[serde(default, deserialize_with = "or_default")]
    pub sha256: String,
    /// `1 instance started running (from 0 to 1)`.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// The time at which the snapshot was made, in seconds since the Unix epoch, with fractions.
    #[serde(default, deserialize_with = "or_default")]
    pub reported_at: f64,
    /// The flow that built it, or `""`; `flows` has all of them.
    #[serde(default, deserialize_with = "or_default")]
    pub pipeline: String,
    /// Deployments that announced it.
    #[serde(default, deserialize_with = "or_default")]
    pub deployments: Vec<Value>,
    /// One entry per flow that it was reported to.
    #[serde(default, deserialize_with = "or_default")]
    pub flows: Vec<Value>,
    /// `null` without provenance.
    #[serde(default)]
    pub artifact_compliance: Option<bool>,
    /// Whether everything that ran was compliant.
    #[serde(default)]
    pub snapshot_compliance: Option<bool>,
    /// As of [`Annotation`](super::Annotation).
    #[serde(rename = "type")]
    pub change: String,
    /// A web page of the changes in the source.
    #[serde(default)]
    pub code_diff: Option<String>,
    /// What never ran in the environment before: `registry`, `repository` or `image` (the
    /// fingerprint), the widest of them. Only this project's recorder sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_time_here: Option<String>,
    /// Links to the snapshot and the artifact.
    #[serde(default, rename = "_links")]
    pub links: Value,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn event_with_null_or_missing_optional_fields_is_deserialized_with_defaults() {
        let event: EnvironmentEvent = serde_json::from_value(json!({
            "environment_name": "aws-prod", "snapshot_index": 66, "artifact_name": "web:1",
            "sha256": null, "description": "1 instance changed", "reported_at": 1_661_161_157,
            "pipeline": null, "deployments": null, "flows": null, "type": "updated-provenance",
            "_links": null,
        }))
        .unwrap();
        assert_eq!((event.snapshot_index, &*event.pipeline), (66, ""));
        assert!(event.flows.is_empty());
    }
}

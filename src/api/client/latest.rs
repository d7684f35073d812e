//! Parses the part of a snapshot that the reporter needs. Anything that a server adds, omits or
//! sends as null elsewhere makes no difference.

use serde::Deserialize;

use super::exchange::{RawResponse, parse};
use super::{ApiError, LatestSnapshot};
use crate::api::wire::ECS;
use crate::snapshot::Artifact;

/// The snapshot's own fields.
#[derive(Deserialize)]
struct SnapshotHeader {
    index: u64,
    #[serde(rename = "type")]
    environment_type: String,
}

#[derive(Deserialize)]
struct SnapshotArtifacts {
    artifacts: Vec<ArtifactEntry>,
}

#[derive(Deserialize)]
struct ArtifactEntry {
    name: String,
    fingerprint: Option<String>,
    annotation: ReplicaCount,
}

/// The part of an artifact with its number of replicas.
#[derive(Deserialize)]
struct ReplicaCount {
    now: u64,
}

/// The latest snapshot in a response, or its type if that is not ECS.
pub(super) fn parse_latest_snapshot(
    operation: &str,
    answer: &RawResponse,
) -> Result<LatestSnapshot, ApiError> {
    // The type comes first: a snapshot of another type has other artifacts.
    let SnapshotHeader { index, environment_type } = parse(operation, answer)?;
    if environment_type != ECS {
        return Ok(LatestSnapshot::OtherType(answer.printable(&environment_type)));
    }
    let SnapshotArtifacts { artifacts } = parse(operation, answer)?;
    let snapshot = artifacts
        .into_iter()
        .map(|entry| Artifact {
            name: entry.name,
            // Servers differ in how they show an artifact without a digest.
            fingerprint: entry.fingerprint.and_then(|fingerprint| fingerprint.parse().ok()),
            replicas: entry.annotation.now,
        })
        .collect();
    Ok(LatestSnapshot::Snapshot { index, snapshot })
}

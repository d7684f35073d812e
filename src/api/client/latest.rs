//! Parses the part of a snapshot that the reporter needs. Anything that a server adds, omits or
//! sends as null elsewhere makes no difference.

use serde::Deserialize;

use super::exchange::{RawResponse, parse};
use super::{ApiError, LatestSnapshot};
use crate::api::wire::ECS;
use crate::snapshot::Artifact;

#[derive(Deserialize)]
struct Head {
    index: u64,
    #[serde(rename = "type")]
    environment_type: String,
}

#[derive(Deserialize)]
struct Content {
    artifacts: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    fingerprint: Option<String>,
    annotation: Replicas,
}

#[derive(Deserialize)]
struct Replicas {
    now: u64,
}

pub(super) fn latest(operation: &str, answer: &RawResponse) -> Result<LatestSnapshot, ApiError> {
    // The type comes first: a snapshot of another type has other artifacts.
    let Head { index, environment_type } = parse(operation, answer)?;
    if environment_type != ECS {
        return Ok(LatestSnapshot::OtherType(answer.printable(&environment_type)));
    }
    let Content { artifacts } = parse(operation, answer)?;
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

//! View of an environment.

use envsnap_model::wire::Environment;
use serde_json::Map;

use crate::domain::{EnvironmentRecord, Micros};

pub(crate) fn environment(record: EnvironmentRecord) -> Environment {
    let last_modified_at = record
        .last_reported_at
        .map_or(record.changed_at, |reported| reported.max(record.changed_at));
    Environment {
        org: record.org,
        name: record.name,
        environment_type: record.environment_type,
        description: record.description,
        last_modified_at: last_modified_at.seconds(),
        last_reported_at: record.last_reported_at.map(Micros::seconds),
        last_changed_at: record.last_snapshot_at.map(Micros::seconds),
        // The recorder evaluates no policies, so that compliance is unknown.
        state: None,
        include_scaling: record.include_scaling,
        tags: Map::new(),
        policies: record.policies,
        included_environments: record.included_environments,
    }
}

//! What runs, without a comparison.

use std::collections::BTreeMap;

use serde::Serialize;

use super::environment_run::CurrentSnapshot;
use super::{ArtifactRow, EnvironmentOutcome};
use crate::config::EnvironmentConfig;
use crate::ecs::Source;
use crate::snapshot::{Fingerprint, Identity, Snapshot};

/// What runs in the scope of an environment.
#[derive(Debug)]
pub struct Inventory {
    /// The outcome, with the error if the scope could not be read.
    pub outcome: EnvironmentOutcome,
    /// The account that was read, if it is known.
    pub account: Option<String>,
    pub region: Option<String>,
    /// For a comparison with another one; empty if nothing could be read.
    pub snapshot: Snapshot,
    /// Sorted by name and fingerprint, one entry per artifact.
    pub artifacts: Vec<RunningArtifact>,
}

/// A running artifact, with its locations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunningArtifact {
    #[serde(flatten)]
    pub artifact: ArtifactRow,
    /// The start of the first task that runs it now, in seconds since the Unix epoch.
    pub running_since: i64,
    /// Sorted, one entry per cluster and service.
    pub places: Vec<Location>,
}

/// A service that runs an artifact, or the standalone tasks of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Location {
    pub cluster: String,
    /// Service name; `null` for standalone tasks.
    pub service: Option<String>,
    pub replicas: u64,
}

struct ArtifactLocations<'t> {
    running_since: i64,
    places: BTreeMap<(&'t str, Option<&'t str>), u64>,
}

impl Inventory {
    pub(super) fn new(
        current: &CurrentSnapshot,
        config: &EnvironmentConfig,
        outcome: EnvironmentOutcome,
    ) -> Self {
        let mut whereabouts = BTreeMap::<Identity, ArtifactLocations<'_>>::new();
        for container in current.containers(&config.scope) {
            let identity = Identity::new(container.artifact_name, container.fingerprint);
            let known = whereabouts.entry(identity).or_insert_with(|| ArtifactLocations {
                running_since: container.started_at,
                places: BTreeMap::new(),
            });
            known.running_since = known.running_since.min(container.started_at);
            *known.places.entry((container.cluster, container.service)).or_default() += 1;
        }
        let mut artifacts: Vec<_> = outcome
            .artifacts
            .iter()
            .filter_map(|artifact| {
                let identity = Identity::new(&artifact.name, artifact.fingerprint);
                let ArtifactLocations { running_since, places } = whereabouts.remove(&identity)?;
                let places = places.into_iter().map(|((cluster, service), replicas)| Location {
                    cluster: cluster.to_owned(),
                    service: service.map(ToOwned::to_owned),
                    replicas,
                });
                let places = places.collect();
                Some(RunningArtifact { artifact: artifact.clone(), running_since, places })
            })
            .collect();
        let name_and_fingerprint = |row: &RunningArtifact| {
            let fingerprint = row.artifact.fingerprint.as_ref().map(Fingerprint::to_string);
            (row.artifact.name.clone(), fingerprint)
        };
        artifacts.sort_by_cached_key(name_and_fingerprint);
        let task = current.tasks.iter().flat_map(|tasks| tasks.iter()).next();
        let account = task.and_then(|task| task.arn.split(':').nth(4)).map(ToOwned::to_owned);
        Self {
            outcome,
            account: account.or_else(|| config.source.account().map(ToOwned::to_owned)),
            region: config.source.region.clone(),
            snapshot: current.snapshot.clone(),
            artifacts,
        }
    }

    /// The inventory of an environment that could not be read or is not valid.
    pub(super) fn failed(source: Option<&Source>, outcome: EnvironmentOutcome) -> Self {
        Self {
            outcome,
            account: source.and_then(Source::account).map(ToOwned::to_owned),
            region: source.and_then(|source| source.region.clone()),
            snapshot: Snapshot::default(),
            artifacts: Vec::new(),
        }
    }
}

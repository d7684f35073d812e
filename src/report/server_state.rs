//! What the server has of an environment, and what is told apart from it.

use std::time::{Duration, SystemTime};

use super::ReportError;
use super::heartbeat::Heartbeat;
use super::memory::Memory;
use crate::api::wire::{ECS, EnvironmentRequest};
use crate::api::{ApiError, EnvironmentApi, EnvironmentStatus, LatestSnapshot};
use crate::config::EnvironmentConfig;
use crate::snapshot::Snapshot;

/// The description of an environment that is made here.
const DESCRIPTION: &str = "Reported by envsnap";

/// How long a report waits for the environment itself to be read.
const STATUS_TIMEOUT: Duration = Duration::from_secs(3);

/// What the server has of an environment.
pub(super) struct ServerState {
    /// It does not have the environment, which is to be made.
    pub(super) is_missing: bool,
    /// Of the latest snapshot; 0 where there is none.
    pub(super) index: u64,
    pub(super) snapshot: Snapshot,
}

/// What the server has, or that it has no such environment and may be given one.
pub(super) async fn fetch_latest(
    environment: &EnvironmentConfig,
    memory: &mut Memory,
    server: &impl EnvironmentApi,
) -> Result<ServerState, ReportError> {
    let name = &environment.name;
    let nothing = |is_missing| ServerState { is_missing, index: 0, snapshot: Snapshot::default() };
    let recorded = match server.latest_snapshot().await {
        Ok(LatestSnapshot::NoSnapshotYet) => nothing(false),
        Ok(LatestSnapshot::Snapshot { index, snapshot }) => {
            ServerState { is_missing: false, index, snapshot }
        }
        Ok(LatestSnapshot::OtherType(found)) => {
            return Err(ReportError::NotEcs { environment: name.clone(), found });
        }
        Err(ApiError::EnvironmentNotFound { .. })
            if environment.auto_create && !memory.environment_seen =>
        {
            nothing(true)
        }
        Err(error) => return Err(error.into()),
    };
    if memory.changed_elsewhere(recorded.index) {
        tracing::info!(
            environment = name,
            index = recorded.index,
            "another writer recorded a snapshot since this process last looked"
        );
    }
    memory.environment_seen |= !recorded.is_missing;
    Ok(recorded)
}

pub(super) async fn create_environment(
    environment: &EnvironmentConfig,
    memory: &mut Memory,
    server: &impl EnvironmentApi,
) -> Result<(), ReportError> {
    let name = &environment.name;
    let request = EnvironmentRequest {
        name: name.clone(),
        environment_type: ECS.to_owned(),
        description: DESCRIPTION.to_owned(),
        include_scaling: environment.include_scaling,
    };
    server.create(&request).await?;
    memory.environment_seen = true;
    tracing::info!(environment = name, "made the environment on the server");
    Ok(())
}

/// The environment itself. `None` if it cannot be read, or not soon: what is to be reported does not
/// wait for it.
pub(super) async fn fetch_status(
    server: &impl EnvironmentApi,
    name: &str,
) -> Option<EnvironmentStatus> {
    match tokio::time::timeout(STATUS_TIMEOUT, server.get()).await {
        Ok(Ok(status)) => Some(status),
        // It is to be created, or the request for its latest snapshot fails as well.
        Ok(Err(ApiError::EnvironmentNotFound { .. })) => None,
        Ok(Err(error)) => {
            tracing::warn!(environment = name, %error, "whether replicas count is not known");
            None
        }
        Err(_) => {
            tracing::warn!(environment = name, "the server is slow to say whether replicas count");
            None
        }
    }
}

/// A report is due, by the time of the last one that the server gives.
pub(super) async fn is_heartbeat_due(
    memory: &mut Memory,
    server: &impl EnvironmentApi,
    now: SystemTime,
    heartbeat: Option<Heartbeat>,
) -> Result<bool, ReportError> {
    memory.remember_report(server.get().await?.reported_at());
    Ok(memory.may_be_due(now, heartbeat))
}

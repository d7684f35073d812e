//! The server's state of an environment.

use std::time::{Duration, SystemTime};

use super::ReportError;
use super::heartbeat::Heartbeat;
use super::memory::Memory;
use crate::api::wire::{ECS, EnvironmentRequest};
use crate::api::{ApiError, EnvironmentApi, EnvironmentStatus, LatestSnapshot};
use crate::config::EnvironmentConfig;
use crate::snapshot::Snapshot;

/// The description of environments that the reporter creates on the server.
const NEW_ENVIRONMENT_DESCRIPTION: &str = "Reported by envsnap";

/// How long a report waits for the environment's properties.
const STATUS_TIMEOUT: Duration = Duration::from_secs(3);

/// An environment on the server, with its latest snapshot.
pub(super) struct ServerState {
    /// The environment does not exist, and may be created.
    pub(super) is_missing: bool,
    /// Of the latest snapshot; 0 if there is none.
    pub(super) index: u64,
    pub(super) snapshot: Snapshot,
}

/// Fetches the latest snapshot. A missing environment is an error unless it may be created.
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
        Err(ApiError::EnvironmentNotFound { archived: false, .. })
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
        description: NEW_ENVIRONMENT_DESCRIPTION.to_owned(),
        include_scaling: environment.include_scaling,
    };
    server.create(&request).await?;
    memory.environment_seen = true;
    tracing::info!(environment = name, "created the environment on the server");
    Ok(())
}

/// The environment's properties. `None` if they cannot be fetched within [`STATUS_TIMEOUT`]: a
/// report does not wait for them.
pub(super) async fn fetch_status(
    server: &impl EnvironmentApi,
    name: &str,
) -> Option<EnvironmentStatus> {
    match tokio::time::timeout(STATUS_TIMEOUT, server.get()).await {
        Ok(Ok(status)) => Some(status),
        // The environment will be created, or the request for its latest snapshot fails as well.
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

/// Whether the heartbeat is due, by the server's time of the last report.
pub(super) async fn is_heartbeat_due(
    memory: &mut Memory,
    server: &impl EnvironmentApi,
    now: SystemTime,
    heartbeat: Option<Heartbeat>,
) -> Result<bool, ReportError> {
    memory.remember_report_time(server.get().await?.reported_at(), now);
    Ok(memory.heartbeat_may_be_due(now, heartbeat))
}

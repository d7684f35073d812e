//! The port through which the reporter uses a snapshot server.

use tokio::time::Instant;

use super::wire::{EcsReport, EnvironmentRequest};
use super::{ApiError, EnvironmentStatus, LatestSnapshot, ReportOptions, ReportResponse};

/// A snapshot server, on behalf of one organization.
pub trait ServerApi {
    type Environment<'a>: EnvironmentApi
    where
        Self: 'a;

    /// The environment `name`. No request is sent or awaited after `give_up_at`.
    fn environment<'a>(
        &'a self,
        name: &'a str,
        give_up_at: Option<Instant>,
    ) -> Self::Environment<'a>;
}

/// One environment on the server. Counts the requests that are made through it.
#[expect(async_fn_in_trait, reason = "the futures are awaited where they are made, never spawned")]
pub trait EnvironmentApi {
    /// Requests made so far, retries included.
    fn calls(&self) -> u32;

    /// Whether the server accepts [`ReportOptions::latest_index`], as of its last response.
    fn accepts_preconditions(&self) -> bool;

    /// Whether the server accepts [origins](super::wire::ReportEntry::origin), as of its last response.
    fn accepts_origin(&self) -> bool;

    /// The latest snapshot.
    ///
    /// # Errors
    /// The environment does not exist, or the server does not return it.
    async fn latest_snapshot(&self) -> Result<LatestSnapshot, ApiError>;

    /// When the environment was last reported, and whether a change of replicas makes a snapshot.
    ///
    /// # Errors
    /// It does not exist, or the server does not return it.
    async fn get(&self) -> Result<EnvironmentStatus, ApiError>;

    /// Creates the environment.
    ///
    /// # Errors
    /// The server does not create it.
    async fn create(&self, request: &EnvironmentRequest) -> Result<(), ApiError>;

    /// Reports what runs in the environment.
    ///
    /// # Errors
    /// The server did not record it, or it is not known whether it did.
    async fn report(
        &self,
        report: &EcsReport,
        options: ReportOptions,
    ) -> Result<ReportResponse, ApiError>;
}

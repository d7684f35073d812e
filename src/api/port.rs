//! What a reporter asks of a snapshot server.

use tokio::time::Instant;

use super::wire::{EcsReport, EnvironmentRequest};
use super::{ApiError, EnvironmentStatus, LatestSnapshot, ReportOptions, ReportResponse};

/// A snapshot server, on behalf of one organization.
pub trait ServerApi {
    /// One of its environments.
    type Environment<'a>: EnvironmentApi
    where
        Self: 'a;

    /// The environment `name`, to be asked about and reported to. No request goes on beyond
    /// `give_up_at`.
    fn environment<'a>(
        &'a self,
        name: &'a str,
        give_up_at: Option<Instant>,
    ) -> Self::Environment<'a>;
}

/// One environment of a server. Counts the requests that are made through it.
#[expect(async_fn_in_trait, reason = "the futures are awaited where they are made, never spawned")]
pub trait EnvironmentApi {
    /// Requests made so far, repeated ones included.
    fn calls(&self) -> u32;

    /// Whether the server takes [`ReportOptions::latest_index`], as far as its answers say.
    fn accepts_preconditions(&self) -> bool;

    /// The latest snapshot.
    ///
    /// # Errors
    /// The environment does not exist, or the server does not say.
    async fn latest_snapshot(&self) -> Result<LatestSnapshot, ApiError>;

    /// The environment itself.
    ///
    /// # Errors
    /// It does not exist, or the server does not say.
    async fn get(&self) -> Result<EnvironmentStatus, ApiError>;

    /// Makes the environment.
    ///
    /// # Errors
    /// The server does not make it.
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

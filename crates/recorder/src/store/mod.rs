//! Where everything is kept: one method for each use case, one transaction for each call.

pub mod provenance;
pub mod sqlite;

use std::future::Future;

use envsnap_model::expression::{Interval, Snappish};

use crate::domain::{
    ArtifactRun, EnvironmentRecord, EnvironmentSettings, EnvironmentSummary, Error, EventPage,
    Head, Micros, OrgFilter, Page, Report, ReportOutcome, SettingsChange, SnapshotRecord,
    SnapshotSpan, SnapshotWindow, StoreStats,
};

/// Which environments are listed, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentFilter {
    /// Part of the name, in any case.
    pub name: Option<String>,
    /// Of one of these types; of any if there are none.
    pub types: Vec<String>,
    /// What they are sorted by; those that are equal in it, by name.
    pub sort: EnvironmentSort,
    /// In descending order.
    pub descending: bool,
}

/// What environments are sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EnvironmentSort {
    /// Their names.
    #[default]
    Name,
    /// When they were last changed or reported.
    LastModifiedAt,
    /// When their latest snapshot was made; those without one come last in either direction.
    LastChangedAt,
}

/// The ledgers of all organizations and what follows from them. Clones share one store.
///
/// What a write answers is durable. `actor` is the label of the token that the request was made
/// with. Reads see the state of one moment.
pub trait Store: Clone + Send + Sync + 'static {
    /// Creates the environment, or, if the caller `may_change` it, changes its settings. One that was
    /// archived is in use again, with all that was recorded in it.
    fn save_environment(
        &self,
        org: &str,
        settings: EnvironmentSettings,
        may_change: bool,
        actor: &str,
    ) -> impl Future<Output = Result<Head, Error>> + Send;

    /// Changes single settings of the environment.
    fn change_environment(
        &self,
        org: &str,
        name: &str,
        change: SettingsChange,
        actor: &str,
    ) -> impl Future<Output = Result<Head, Error>> + Send;

    /// Gives the environment another name, also in the logical environments that include it.
    fn rename_environment(
        &self,
        org: &str,
        name: &str,
        new_name: &str,
        actor: &str,
    ) -> impl Future<Output = Result<Head, Error>> + Send;

    /// Archives the environment, with all that was recorded in it.
    fn archive_environment(
        &self,
        org: &str,
        name: &str,
        actor: &str,
    ) -> impl Future<Output = Result<Head, Error>> + Send;

    /// Records what runs: a new snapshot if it differs from the latest, otherwise that the latest is
    /// confirmed.
    fn record_report(
        &self,
        org: &str,
        name: &str,
        report: Report,
        actor: &str,
    ) -> impl Future<Output = Result<ReportOutcome, Error>> + Send;

    /// The environment of this name that is in use.
    fn environment(
        &self,
        org: &str,
        name: &str,
    ) -> impl Future<Output = Result<EnvironmentRecord, Error>> + Send;

    /// The environments of `org` in use that `filter` holds for, all or one page of them, and how
    /// many there are.
    fn environments(
        &self,
        org: &str,
        filter: EnvironmentFilter,
        page: Option<Page>,
    ) -> impl Future<Output = Result<(Vec<EnvironmentRecord>, u64), Error>> + Send;

    /// A page of the environments in use of several organizations, by organization and name, and how
    /// many there are.
    fn overview(
        &self,
        orgs: OrgFilter,
        page: Page,
    ) -> impl Future<Output = Result<(Vec<EnvironmentSummary>, u64), Error>> + Send;

    /// Every organization that has a ledger, by name.
    fn organizations(&self) -> impl Future<Output = Result<Vec<String>, Error>> + Send;

    /// What `show` makes of these snapshots, in this order. It is made where they are read, a few at
    /// a time and away from the threads that serve requests: they may be large.
    fn snapshots<const N: usize, T: Send + 'static>(
        &self,
        org: &str,
        wanted: [Snappish; N],
        show: impl Fn([SnapshotRecord; N]) -> T + Send + Sync + 'static,
    ) -> impl Future<Output = Result<T, Error>> + Send;

    /// A page of the snapshots in `interval`, the latest first unless `ascending`.
    fn snapshot_spans(
        &self,
        org: &str,
        environment: &str,
        interval: Interval,
        page: Page,
        ascending: bool,
    ) -> impl Future<Output = Result<Vec<SnapshotSpan>, Error>> + Send;

    /// A page of what changed in `interval`, the latest first unless `ascending`.
    fn events(
        &self,
        org: &str,
        environment: &str,
        interval: Interval,
        page: Page,
        ascending: bool,
    ) -> impl Future<Output = Result<EventPage, Error>> + Send;

    /// The last `size` snapshots up to the one with index `last`, or up to the latest; fewer if very
    /// much changed with them.
    fn window(
        &self,
        org: &str,
        environment: &str,
        last: Option<u32>,
        size: u32,
    ) -> impl Future<Output = Result<SnapshotWindow, Error>> + Send;

    /// When the artifacts ran that `matches` holds for (their fingerprint, `""` if it is unknown, and
    /// one of their labels), in one environment or in all in use: by environment, artifact and
    /// index.
    fn artifact_runs(
        &self,
        org: &str,
        environment: Option<&str>,
        matches: impl Fn(&str, &str) -> bool + Send + 'static,
    ) -> impl Future<Output = Result<Vec<ArtifactRun>, Error>> + Send;

    /// The time by which ages are told.
    fn now(&self) -> Micros;

    /// The last entry of the organization's ledger.
    fn head(&self, org: &str) -> impl Future<Output = Result<Head, Error>> + Send;

    /// How much is in the store.
    fn stats(&self) -> impl Future<Output = Result<StoreStats, Error>> + Send;

    /// Does what a report does, and leaves nothing of it.
    ///
    /// # Errors
    /// The store cannot be read, or not be written.
    fn check_writable(&self) -> impl Future<Output = Result<(), Error>> + Send;
}

//! The store: one method for each use case, one transaction for each call.

pub mod provenance;
pub mod sqlite;

use std::collections::BTreeMap;
use std::future::Future;

use envsnap_model::expression::{Interval, Snappish};
use envsnap_model::provenance::Origin;

use crate::domain::{
    ArtifactPattern, ArtifactRun, EnvironmentRecord, EnvironmentSettings, EnvironmentSummary,
    Error, EventPage, Head, LedgerEntry, Micros, OrgFilter, Page, Report, ReportOutcome,
    SettingsChange, SnapshotRecord, SnapshotSpan, SnapshotWindow, StoreStats,
};

/// The filter and the order of a list of environments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentFilter {
    /// A part of the name, case-insensitive.
    pub name: Option<String>,
    /// One of these types; any if empty.
    pub types: Vec<String>,
    /// The sort key; ties are sorted by name.
    pub sort: EnvironmentSort,
    /// In descending order.
    pub descending: bool,
}

/// What a list of environments is sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EnvironmentSort {
    #[default]
    Name,
    /// The time of the last change or report.
    LastModifiedAt,
    /// The time of the latest snapshot; environments without one are last in either direction.
    LastChangedAt,
}

/// The ledgers of all organizations and their projections. Clones share one store.
///
/// A write is durable when it returns. `actor` is the label of the token that the request was made
/// with. Each read sees one consistent state.
pub trait Store: Clone + Send + Sync + 'static {
    /// Creates the environment, or, if the caller `may_change` it, changes its settings. An
    /// archived environment is restored with its history.
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

    /// Renames the environment, also in the logical environments that include it.
    fn rename_environment(
        &self,
        org: &str,
        name: &str,
        new_name: &str,
        actor: &str,
    ) -> impl Future<Output = Result<Head, Error>> + Send;

    /// Archives the environment: it is no longer in use, and what was recorded in it is kept.
    fn archive_environment(
        &self,
        org: &str,
        name: &str,
        actor: &str,
    ) -> impl Future<Output = Result<Head, Error>> + Send;

    /// Records what runs: a new snapshot if it differs from the latest, otherwise a confirmation of
    /// the latest.
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

    /// The environments of `org` in use that match `filter`, one page of them or all without `page`, and the
    /// total number.
    fn environments(
        &self,
        org: &str,
        filter: EnvironmentFilter,
        page: Option<Page>,
    ) -> impl Future<Output = Result<(Vec<EnvironmentRecord>, u64), Error>> + Send;

    /// A page of the environments in use of several organizations whose names contain `name`, if
    /// there is one (case-insensitive), sorted by organization and name, and their total number.
    fn list_environments(
        &self,
        orgs: OrgFilter,
        name: Option<String>,
        page: Page,
    ) -> impl Future<Output = Result<(Vec<EnvironmentRecord>, u64), Error>> + Send;

    /// As [`Self::list_environments`], with what runs in each environment.
    fn overview(
        &self,
        orgs: OrgFilter,
        name: Option<String>,
        page: Page,
    ) -> impl Future<Output = Result<(Vec<EnvironmentSummary>, u64), Error>> + Send;

    /// Every organization that has a ledger, by name.
    fn organizations(&self) -> impl Future<Output = Result<Vec<String>, Error>> + Send;

    /// Applies `show` to these snapshots, in this order. It runs on the reading thread, since
    /// snapshots may be large: few at a time, and not on the threads that serve requests.
    fn snapshots<const N: usize, T: Send + 'static>(
        &self,
        org: &str,
        wanted: [Snappish; N],
        show: impl Fn([SnapshotRecord; N]) -> T + Send + Sync + 'static,
    ) -> impl Future<Output = Result<T, Error>> + Send;

    /// Applies `show` to this snapshot with only those of its artifacts that have one of these
    /// `origins`. Of the others no evidence is read.
    fn snapshot_with_origins<T: Send + 'static>(
        &self,
        org: &str,
        wanted: Snappish,
        origins: Vec<Origin>,
        show: impl Fn(SnapshotRecord) -> T + Send + Sync + 'static,
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

    /// A page of the events in `interval`, latest first unless `ascending`.
    fn events(
        &self,
        org: &str,
        environment: &str,
        interval: Interval,
        page: Page,
        ascending: bool,
    ) -> impl Future<Output = Result<EventPage, Error>> + Send;

    /// Like [`Self::events`], but only those of artifacts that flows reported with one of these
    /// repositories.
    fn events_of_repos(
        &self,
        org: &str,
        environment: &str,
        repos: Vec<String>,
        interval: Interval,
        page: Page,
        ascending: bool,
    ) -> impl Future<Output = Result<EventPage, Error>> + Send;

    /// A page of the events in `interval`, in order, of the environment that the entry with this number
    /// created, also if it is archived.
    fn events_of_environment_created_by(
        &self,
        org: &str,
        entry: i64,
        interval: Interval,
        page: Page,
    ) -> impl Future<Output = Result<EventPage, Error>> + Send;

    /// The last `size` snapshots up to index `last`, or up to the latest; fewer if they have very
    /// many changes.
    fn window(
        &self,
        org: &str,
        environment: &str,
        last: Option<u32>,
        size: u32,
    ) -> impl Future<Output = Result<SnapshotWindow, Error>> + Send;

    /// The runs of the artifacts of which the fingerprint or a label matches, in one environment or in
    /// all in use: sorted by environment, artifact and index. A full fingerprint that ran means that
    /// artifact alone.
    fn artifact_runs(
        &self,
        org: &str,
        environment: Option<&str>,
        pattern: ArtifactPattern,
    ) -> impl Future<Output = Result<Vec<ArtifactRun>, Error>> + Send;

    /// The current time.
    fn now(&self) -> Micros;

    /// The number and the hash of the last entry in the ledger of `org`.
    fn head(&self, org: &str) -> impl Future<Output = Result<Head, Error>> + Send;

    /// Entries of the ledger of `org` that follow the entry `after`, in order: at least one if there
    /// is any, and about 4 MiB at most.
    fn ledger_entries(
        &self,
        org: &str,
        after: i64,
    ) -> impl Future<Output = Result<Vec<LedgerEntry>, Error>> + Send;

    /// The names of the environments, those that are archived included, by the number of the entry that
    /// created each.
    fn environment_names(
        &self,
        org: &str,
    ) -> impl Future<Output = Result<BTreeMap<i64, String>, Error>> + Send;

    /// The last entry whose messages were delivered to this webhook, by organization; 0 for others. A
    /// webhook that was never used begins with what is recorded after this call.
    fn register_webhook(
        &self,
        webhook: &str,
    ) -> impl Future<Output = Result<BTreeMap<String, i64>, Error>> + Send;

    /// Saves that the messages of the entries of `org` up to `seq` were delivered to the webhook.
    fn save_webhook_position(
        &self,
        webhook: &str,
        org: &str,
        seq: i64,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    fn stats(&self) -> impl Future<Output = Result<StoreStats, Error>> + Send;

    /// Checks that the store can be written: writes as much as a report, and rolls it back.
    ///
    /// # Errors
    /// The store cannot be read, or not be written.
    fn check_writable(&self) -> impl Future<Output = Result<(), Error>> + Send;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use envsnap_model::wire::ECS;
use tempfile::NamedTempFile;

use super::archive::ArchiveReader;
use super::*;
use crate::domain::provenance::AllowanceRequest;
use crate::domain::{Clock, EnvironmentSettings, Report, ReportEntry};
use crate::http::views;
use crate::store::Store as _;
use crate::store::provenance::ProvenanceStore as _;
use crate::store::sqlite::SqliteStore;

/// When the tests begin, in seconds since the Unix epoch: 2022-08-22T09:39:22Z.
const START: i64 = 1_661_161_162;

/// The ledger of organization `acme` with environment `prod`, whose clock only the test moves.
pub(crate) struct TestLedger {
    store: SqliteStore,
    clock: Arc<AtomicI64>,
}

impl TestLedger {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(AtomicI64::new(START));
        let seconds = Arc::clone(&clock);
        #[expect(clippy::cast_precision_loss, reason = "whole seconds of this century")]
        let now = Clock::from_fn(move || seconds.load(Ordering::SeqCst) as f64);
        let store = SqliteStore::in_memory().unwrap().with_clock(now);
        let prod = EnvironmentSettings {
            name: "prod".to_owned(),
            environment_type: ECS.to_owned(),
            description: String::new(),
            include_scaling: None,
            included_environments: None,
            policies: None,
        };
        store.save_environment("acme", prod, true, "admin").await.unwrap();
        Self { store, clock }
    }

    /// Moves the clock, also back.
    fn advance(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Reports one task of each artifact, which has a fingerprint of this byte.
    pub(crate) async fn report(&self, running: &[(u8, &str)]) {
        let entry = |(byte, name): &(u8, &str)| ReportEntry {
            task_arn: "arn".into(),
            cluster_name: None,
            service_name: None,
            digests: vec![((*name).into(), Some([*byte; 32].into()))],
            started_at: START,
            origin: None,
        };
        let report = Report::new(&running.iter().map(entry).collect::<Vec<_>>()).unwrap();
        self.store.record_report("acme", "prod", report, "reporter").await.unwrap();
    }

    /// Allows what has such a name.
    pub(crate) async fn allow(&self, pattern: &str) {
        let request = AllowanceRequest {
            environment: None,
            fingerprint: String::new(),
            name: String::new(),
            pattern: pattern.to_owned(),
            reason: "approved".to_owned(),
        };
        self.store.allow("acme", request, "admin").await.unwrap();
    }

    pub(crate) async fn head(&self) -> Head {
        self.store.head("acme").await.unwrap()
    }

    /// A proof bundle of `prod`, from this time on if it is given.
    async fn try_bundle(&self, since: Option<Micros>) -> Result<Bundle, ProofError> {
        let head = SignedHead { head: self.head().await, signature: None };
        let entries = self.store.ledger_entries("acme", 0).await.unwrap();
        let entries = entries.into_iter().map(views::ledger_entry).collect();
        let ledger = Ledger::new(head, entries).unwrap();
        Bundle::new(Scope::new("acme", "prod", since, None), ledger).await
    }

    /// The file of a proof bundle of `prod`.
    pub(crate) async fn bundle(&self) -> NamedTempFile {
        let bundle = self.try_bundle(None).await.unwrap();
        let file = NamedTempFile::new().unwrap();
        bundle.write(file.as_file(), |_| Err(io::Error::other("no attachments"))).unwrap();
        file
    }

    /// A member of a bundle of `prod`.
    async fn member(&self, name: &str) -> String {
        let file = self.bundle().await;
        let mut archive = ArchiveReader::new(file.reopen().unwrap(), "bundle").unwrap();
        String::from_utf8(archive.read(name, u64::MAX).unwrap()).unwrap()
    }

    /// Of each run in a bundle of `prod`: the artifact, and the snapshots with which it began and ended.
    async fn runs(&self) -> Vec<[String; 3]> {
        let table = self.member("runs.csv").await;
        let mut rows = csv::Reader::from_reader(table.as_bytes());
        let columns = |row: csv::StringRecord| [0, 3, 6].map(|at| row[at].to_owned());
        rows.records().map(|row| columns(row.unwrap())).collect()
    }
}

#[tokio::test]
async fn bundle_has_a_snapshot_that_was_recorded_while_the_clock_was_ahead() {
    let ledger = TestLedger::new().await;
    ledger.report(&[(1, "app:1")]).await;
    ledger.advance(172_800);
    ledger.report(&[(2, "app:2")]).await;
    // The clock is right again, and nothing changes; the pause makes an entry of the last report.
    ledger.advance(60 - 172_800);
    ledger.report(&[(2, "app:2")]).await;
    ledger.advance(10_800);
    ledger.report(&[(2, "app:2")]).await;
    let expected = [["app:1", "1", "2"], ["app:2", "2", ""]];
    assert_eq!(ledger.runs().await, expected);
    // The snapshot is neither the first nor the last one.
    ledger.advance(60);
    ledger.report(&[(3, "app:3")]).await;
    let expected = [["app:1", "1", "2"], ["app:2", "2", "3"], ["app:3", "3", ""]];
    assert_eq!(ledger.runs().await, expected);
    verify_bundle(ledger.bundle().await.path(), None, None).await.unwrap();
}

#[tokio::test]
async fn bundle_has_a_first_snapshot_that_was_recorded_while_the_clock_was_ahead() {
    let ledger = TestLedger::new().await;
    ledger.advance(172_800);
    ledger.report(&[(1, "app:1")]).await;
    ledger.advance(60 - 172_800);
    ledger.report(&[(1, "app:1")]).await;
    ledger.advance(10_800);
    ledger.report(&[(1, "app:1")]).await;
    assert_eq!(ledger.runs().await, [["app:1", "1", ""]]);
}

#[tokio::test]
async fn time_after_the_last_report_is_refused() {
    let ledger = TestLedger::new().await;
    ledger.report(&[(1, "app:1")]).await;
    let since = async |seconds| {
        ledger.try_bundle(Some(Micros((START + seconds) * 1_000_000))).await.map(drop)
    };
    since(-1).await.unwrap();
    since(0).await.unwrap();
    let error = since(1).await.unwrap_err().to_string();
    assert!(error.contains("no snapshot"), "{error}");
}

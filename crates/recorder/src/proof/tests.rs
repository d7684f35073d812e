use envsnap_model::wire::ECS;
use tempfile::NamedTempFile;

use super::*;
use crate::domain::provenance::AllowanceRequest;
use crate::domain::{Clock, EnvironmentSettings, Report, ReportEntry};
use crate::http::views;
use crate::store::Store as _;
use crate::store::provenance::ProvenanceStore as _;
use crate::store::sqlite::SqliteStore;

/// When the tests begin, in seconds since the Unix epoch: 2022-08-22T09:39:22Z.
const START: i64 = 1_661_161_162;

/// The ledger of organization `acme` with environment `prod`, whose clock stands still.
pub(crate) struct TestLedger {
    store: SqliteStore,
}

impl TestLedger {
    pub(crate) async fn new() -> Self {
        #[expect(clippy::cast_precision_loss, reason = "whole seconds of this century")]
        let now = Clock::from_fn(|| START as f64);
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
        Self { store }
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

    /// A proof bundle of `prod`.
    pub(crate) async fn bundle(&self) -> NamedTempFile {
        let head = SignedHead { head: self.head().await, signature: None };
        let entries = self.store.ledger_entries("acme", 0).await.unwrap();
        let entries = entries.into_iter().map(views::ledger_entry).collect();
        let ledger = Ledger::new(head, entries).unwrap();
        let bundle = Bundle::new(Scope::new("acme", "prod", None, None), ledger).await.unwrap();
        let file = NamedTempFile::new().unwrap();
        bundle.write(file.as_file(), |_| Err(io::Error::other("no attachments"))).unwrap();
        file
    }
}

//! How many artifacts with each mark run in each environment.

use std::collections::BTreeMap;
use std::sync::Arc;

use envsnap_model::expression::{Expression, Snappish};
use envsnap_model::provenance::Origin;
use tokio::sync::Mutex;

use crate::domain::{EnvironmentSummary, Error, OrgFilter, Page, SnapshotArtifact, SnapshotRecord};
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;
use crate::web::Mark;

/// Environments that are read at once.
const PAGE_SIZE: u32 = 25;

/// The numbers of marked artifacts per environment, by name; environments without any are left out.
pub(crate) type MarksByEnvironment = BTreeMap<String, BTreeMap<Mark, u64>>;

/// A cache of how many artifacts with each mark run in each environment. What runs in an organization is only
/// read again if its ledger has new entries: most reports confirm what runs, and add none. Clones share the
/// cache.
#[derive(Debug, Clone, Default)]
pub(crate) struct MarkCounts(Arc<Mutex<BTreeMap<String, (i64, MarksByEnvironment)>>>);

impl MarkCounts {
    /// The counts of one organization, from the cache if its ledger has no new entries.
    pub(crate) async fn of_org<S: Store + ProvenanceStore>(
        &self,
        store: &S,
        org: &str,
    ) -> Result<MarksByEnvironment, Error> {
        // Held while what runs is read, so that concurrent requests read it once.
        let mut known = self.0.lock().await;
        let seq = store.head(org).await?.seq;
        if let Some((at, counts)) = known.get(org)
            && *at == seq
        {
            return Ok(counts.clone());
        }
        let counts = count_in_store(store, org).await?;
        known.insert(org.to_owned(), (seq, counts.clone()));
        Ok(counts)
    }
}

async fn count_in_store<S: Store + ProvenanceStore>(
    store: &S,
    org: &str,
) -> Result<MarksByEnvironment, Error> {
    let mut counts = BTreeMap::new();
    if !store.has_provenance(org).await? {
        return Ok(counts);
    }
    for number in 1.. {
        let page = Page { number, size: PAGE_SIZE };
        let only = OrgFilter::Only(vec![org.to_owned()]);
        let (environments, _) = store.overview(only, None, page).await?;
        if environments.is_empty() {
            break;
        }
        for EnvironmentSummary { environment, running } in environments {
            let marked = if let Some(running) = running {
                count_marks(&running)
            } else {
                // Of very many artifacts, only the rogue ones are read.
                let name = environment.name.clone();
                let latest = Snappish { environment: name, expression: Expression::latest() };
                let read = |snapshot: SnapshotRecord| count_marks(&snapshot.artifacts);
                store.snapshot_with_origins(org, latest, vec![Origin::Rogue], read).await?
            };
            if !marked.is_empty() {
                counts.insert(environment.name, marked);
            }
        }
    }
    Ok(counts)
}

fn count_marks(artifacts: &[SnapshotArtifact]) -> BTreeMap<Mark, u64> {
    let running = artifacts.iter().filter(|artifact| artifact.runs());
    let provenance = running.filter_map(|artifact| artifact.provenance.as_deref());
    let mut counts = BTreeMap::new();
    for mark in provenance.flat_map(Mark::from_provenance) {
        *counts.entry(mark).or_default() += 1;
    }
    counts
}

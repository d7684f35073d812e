//! How many rogue artifacts run in each environment.

use std::collections::BTreeMap;
use std::sync::Arc;

use envsnap_model::expression::{Expression, Snappish};
use envsnap_model::provenance::Origin;
use tokio::sync::Mutex;

use crate::domain::{EnvironmentSummary, Error, OrgFilter, Page, SnapshotArtifact, SnapshotRecord};
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;

/// Environments that are read at once.
const PAGE_SIZE: u32 = 25;

/// Rogue artifacts per environment, by name; environments without any are left out.
pub(crate) type RogueArtifacts = BTreeMap<String, u64>;

/// A cache of how many artifacts run in each environment that no flow reported and that are not allowed. What
/// runs in an organization is only read again if its ledger has new entries: most reports confirm what runs,
/// and add none. Clones share the cache.
#[derive(Debug, Clone, Default)]
pub(crate) struct RogueCounts(Arc<Mutex<BTreeMap<String, (i64, RogueArtifacts)>>>);

impl RogueCounts {
    /// The counts of one organization, from the cache if its ledger has no new entries.
    pub(crate) async fn of_org<S: Store + ProvenanceStore>(
        &self,
        store: &S,
        org: &str,
    ) -> Result<RogueArtifacts, Error> {
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
) -> Result<RogueArtifacts, Error> {
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
            let count = if let Some(running) = running {
                count_rogue(&running)
            } else {
                let name = environment.name.clone();
                let latest = Snappish { environment: name, expression: Expression::latest() };
                let read = |snapshot: SnapshotRecord| count_rogue(&snapshot.artifacts);
                store.snapshot_with_origins(org, latest, vec![Origin::Rogue], read).await?
            };
            if count > 0 {
                counts.insert(environment.name, count);
            }
        }
    }
    Ok(counts)
}

fn count_rogue(artifacts: &[SnapshotArtifact]) -> u64 {
    let running = artifacts.iter().filter(|artifact| artifact.runs());
    let origins = running.filter_map(|artifact| artifact.provenance.as_deref());
    origins.filter(|provenance| provenance.origin == Origin::Rogue).count() as u64
}

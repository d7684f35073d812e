//! What a reader remembers of each cluster between two readings.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::scoped_clusters::ClusterInScope;
use crate::ecs::ClusterRef;

/// What a reader remembers between readings: the tasks of each cluster, and the listed clusters.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// By [`ClusterInScope::key`].
    clusters: Mutex<HashMap<String, ClusterMemory>>,
    /// Clusters of the last listing. Kept apart from the clusters' own memory: one that is both
    /// listed and named in another scope is read once, under either.
    listed: Mutex<Vec<ClusterRef>>,
}

#[derive(Debug, Default)]
struct ClusterMemory {
    last: Arc<LastReading>,
    /// Failed readings in a row in which nothing was listed although the cluster's count was above 0.
    contradictions: u32,
}

/// ARNs of the tasks of a cluster's last reading.
#[derive(Debug, Default)]
pub(super) struct LastReading {
    /// Tasks that ran a container.
    pub(super) running: HashSet<String>,
    /// Listed tasks that had stopped for good. ECS lists a stopped task for an hour and more; it
    /// never runs again and need not be described again.
    pub(super) stopped: HashSet<String>,
}

impl Memory {
    fn lock_clusters(&self) -> MutexGuard<'_, HashMap<String, ClusterMemory>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn last_reading(&self, cluster: &ClusterInScope) -> Arc<LastReading> {
        self.lock_clusters()
            .get(cluster.key())
            .map(|memory| Arc::clone(&memory.last))
            .unwrap_or_default()
    }

    pub(super) fn remember_reading(&self, cluster: &ClusterInScope, reading: LastReading) {
        let mut clusters = self.lock_clusters();
        let memory = clusters.entry(cluster.key().to_owned()).or_default();
        memory.last = Arc::new(reading);
    }

    /// Counts a contradictory reading, and returns the number of them in a row.
    pub(super) fn count_contradiction(&self, cluster: &ClusterInScope) -> u32 {
        let mut clusters = self.lock_clusters();
        let memory = clusters.entry(cluster.key().to_owned()).or_default();
        memory.contradictions = memory.contradictions.saturating_add(1);
        memory.contradictions
    }

    /// To be called after a reading without a contradiction.
    pub(super) fn reset_contradictions(&self, cluster: &ClusterInScope) {
        if let Some(memory) = self.lock_clusters().get_mut(cluster.key()) {
            memory.contradictions = 0;
        }
    }

    fn lock_listed(&self) -> MutexGuard<'_, Vec<ClusterRef>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembered clusters of the last listing that are not in `listed`.
    pub(super) fn missing_from(&self, listed: &[ClusterRef]) -> Vec<ClusterRef> {
        let listed: HashSet<_> = listed.iter().map(ClusterRef::name).collect();
        let known = self.lock_listed();
        known.iter().filter(|cluster| !listed.contains(cluster.name())).cloned().collect()
    }

    /// Remembers the clusters that exist, by a listing and descriptions.
    pub(super) fn remember_listed(&self, clusters: &[ClusterRef]) {
        clusters.clone_into(&mut self.lock_listed());
    }

    pub(super) fn forget_cluster(&self, cluster: &ClusterRef) {
        self.lock_clusters().remove(cluster.name());
    }

    #[cfg(test)]
    pub(super) fn stopped_tasks_by_cluster(&self) -> HashMap<String, HashSet<String>> {
        let clusters = self.lock_clusters();
        clusters.iter().map(|(key, memory)| (key.clone(), memory.last.stopped.clone())).collect()
    }
}

//! What runs according to the latest snapshot of an environment, kept in memory between reports.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use envsnap_model::snapshot::Identity;
use rusqlite::{Connection, params};

use super::json::Json;
use super::rows;
use crate::domain::{EcsLocation, Report, RunningArtifact, Task};

/// The most artifacts of all environments that are kept: some 60 MB.
const MAX_CACHED_ARTIFACTS: usize = 300_000;

/// An artifact that runs according to the latest snapshot of an environment.
#[derive(Debug, Clone)]
pub(super) struct LatestArtifact {
    pub(super) identity: Identity,
    pub(super) artifact_id: i64,
    pub(super) name: Arc<str>,
    pub(super) replicas: u64,
    /// Of the tasks that are kept of it; `None` if they were only read from the file.
    pub(super) task_hash: Option<[u8; 32]>,
}

/// Identifies a state of an environment in the file: what is cached of the environment is valid as long as
/// the file has the same stamp of it.
///
/// A transaction may be rolled back after its state was cached. The file then has another stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) latest_index: u32,
    pub(super) last_reported_at: Option<i64>,
    pub(super) tasks_hash: Option<[u8; 32]>,
}

type Artifacts = Arc<Vec<LatestArtifact>>;

/// The artifacts that run in each environment according to its latest snapshot.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Cached>);

/// The content of a [`Cache`].
#[derive(Debug, Default)]
struct Cached {
    /// By organization and environment.
    environments: HashMap<(i64, i64), (Stamp, Artifacts)>,
    /// The artifacts of all of them.
    artifacts: usize,
}

impl Cache {
    /// What runs in the environment (`key` is the organization and the environment), in the order of identities,
    /// if it is cached with this stamp.
    pub(super) fn get(&self, key: (i64, i64), stamp: Stamp) -> Option<Artifacts> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, artifacts) = cached.environments.get(&key)?;
        (*known == stamp).then(|| Arc::clone(artifacts))
    }

    /// As [`Self::get`], but read from the file if it is not cached. What was read is not cached.
    pub(super) fn latest(
        &self,
        connection: &Connection,
        key: (i64, i64),
        stamp: Stamp,
    ) -> rusqlite::Result<Artifacts> {
        self.get(key, stamp).map_or_else(|| read_latest(connection, key).map(Arc::new), Ok)
    }

    /// Caches what runs in the environment, and evicts others, in no particular order, if there are too many
    /// artifacts. Environments report in turns: the least recently used one is the next to be used, so that any
    /// other is a better one to evict.
    pub(super) fn insert(&self, key: (i64, i64), stamp: Stamp, artifacts: Artifacts) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.evict(key);
        while cached.artifacts + artifacts.len() > MAX_CACHED_ARTIFACTS
            && let Some(other) = cached.environments.keys().next().copied()
        {
            cached.evict(other);
        }
        cached.artifacts += artifacts.len();
        cached.environments.insert(key, (stamp, artifacts));
    }
}

impl Cached {
    fn evict(&mut self, key: (i64, i64)) {
        if let Some((_, artifacts)) = self.environments.remove(&key) {
            self.artifacts -= artifacts.len();
        }
    }
}

/// Selects the artifacts that run in an environment ($2) of an organization ($1) according to its latest
/// snapshot.
pub(super) const QUERY: &str = "
    SELECT interval.artifact_id, interval.name, artifact.fingerprint, interval.replicas
    FROM interval
    JOIN artifact ON artifact.org_id = interval.org_id AND artifact.id = interval.artifact_id
    WHERE interval.org_id = $1 AND interval.environment_id = $2 AND interval.node = 0";

fn read_latest(
    connection: &Connection,
    (org_id, environment): (i64, i64),
) -> rusqlite::Result<Vec<LatestArtifact>> {
    let mut artifacts = connection
        .prepare_cached(QUERY)?
        .query_map([org_id, environment], |row| {
            let name: String = row.get(1)?;
            let fingerprint = rows::fingerprint(row.get_ref(2)?.as_str()?)?;
            Ok(LatestArtifact {
                identity: Identity::new(&name, fingerprint),
                artifact_id: row.get(0)?,
                name: name.into(),
                replicas: row.get(3)?,
                task_hash: None,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    artifacts.sort_by(|a, b| a.identity.cmp(&b.identity));
    Ok(artifacts)
}

/// Stores the current tasks of artifacts that run unchanged and whose tasks were replaced, and returns
/// `latest` with the hashes of the stored tasks.
pub(super) fn store_current_tasks(
    connection: &Connection,
    (org_id, environment): (i64, i64),
    latest: &[LatestArtifact],
    report: &Report,
) -> rusqlite::Result<Vec<LatestArtifact>> {
    let mut artifacts = latest.to_vec();
    let mut running = report.running.iter().zip(&report.task_hashes).peekable();
    for artifact in &mut artifacts {
        let identity = &artifact.identity;
        while running.next_if(|(next, _)| next.identity() < *identity).is_some() {}
        // If replicas are not counted, those that are shown have the tasks that they had.
        let same = running
            .next_if(|(next, _)| next.identity() == *identity)
            .filter(|(next, _)| next.replicas() == artifact.replicas);
        if let Some((next, hash)) = same
            && artifact.task_hash != Some(*hash)
        {
            store_current_task(connection, org_id, environment, artifact.artifact_id, next)?;
            artifact.task_hash = Some(*hash);
        }
    }
    Ok(artifacts)
}

fn store_current_task(
    connection: &Connection,
    org_id: i64,
    environment: i64,
    artifact_id: i64,
    running: &RunningArtifact,
) -> rusqlite::Result<()> {
    let task: Option<&Task> = Some(&running.task);
    let places: &[EcsLocation] = &running.places;
    connection
        .prepare_cached(
            "INSERT INTO current_task
                 (org_id, environment_id, artifact_id, started_at, task, places)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (org_id, environment_id, artifact_id) DO UPDATE SET
                 started_at = excluded.started_at,
                 task = excluded.task,
                 places = excluded.places",
        )?
        .execute(params![
            org_id,
            environment,
            artifact_id,
            Json(&running.started_at),
            Json(task),
            Json(places),
        ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_cache_evicts_only_what_exceeds_its_limit_and_another_stamp_is_a_miss() {
        let artifact = LatestArtifact {
            identity: Identity::new("web", None),
            artifact_id: 1,
            name: "web".into(),
            replicas: 1,
            task_hash: None,
        };
        let artifacts = Arc::new(vec![artifact; 1_000]);
        let stamp = Stamp { latest_index: 1, last_reported_at: None, tasks_hash: None };
        let cache = Cache::default();
        for environment in 0..400 {
            // Twice, as of two reports.
            cache.insert((1, environment), stamp, Arc::clone(&artifacts));
            cache.insert((1, environment), stamp, Arc::clone(&artifacts));
            assert!(cache.get((1, environment), stamp).is_some());
        }
        let kept = (0..400).filter(|environment| cache.get((1, *environment), stamp).is_some());
        assert_eq!(kept.count(), MAX_CACHED_ARTIFACTS / 1_000);
        let moved = Stamp { latest_index: 2, ..stamp };
        assert!(cache.get((1, 399), moved).is_none());
    }
}

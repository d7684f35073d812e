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

/// An artifact that runs.
#[derive(Debug, Clone)]
pub(super) struct LatestArtifact {
    pub(super) identity: Identity,
    pub(super) artifact_id: i64,
    pub(super) name: Arc<str>,
    pub(super) replicas: u64,
    /// Of the tasks that are kept of it; `None` if they were only read from the file.
    pub(super) task_hash: Option<[u8; 32]>,
}

/// Identifies a state of the file: the cached state is valid as long as the file has the same
/// stamp.
///
/// A transaction may be rolled back after its state was cached. The file then has another stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) latest_index: u32,
    pub(super) last_reported_at: Option<i64>,
    pub(super) tasks_hash: Option<[u8; 32]>,
}

type Artifacts = Arc<Vec<LatestArtifact>>;

#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Cached>);

#[derive(Debug, Default)]
struct Cached {
    /// By organization and environment.
    environments: HashMap<(i64, i64), (Stamp, Artifacts)>,
    /// The artifacts of all of them.
    artifacts: usize,
}

impl Cache {
    /// What runs in the environment, in the order of identities, if that is in memory.
    pub(super) fn get(&self, key: (i64, i64), stamp: Stamp) -> Option<Artifacts> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, artifacts) = cached.environments.get(&key)?;
        (*known == stamp).then(|| Arc::clone(artifacts))
    }

    /// As [`Self::get`], from the file if it is not in memory.
    pub(super) fn latest(
        &self,
        connection: &Connection,
        key: (i64, i64),
        stamp: Stamp,
    ) -> rusqlite::Result<Artifacts> {
        self.get(key, stamp).map_or_else(|| read(connection, key).map(Arc::new), Ok)
    }

    /// Environments report in turns, so that the one that was used longest ago is the next to be
    /// used: any other is a better one to forget.
    pub(super) fn keep(&self, key: (i64, i64), stamp: Stamp, artifacts: Artifacts) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.forget(key);
        while cached.artifacts + artifacts.len() > MAX_CACHED_ARTIFACTS
            && let Some(other) = cached.environments.keys().next().copied()
        {
            cached.forget(other);
        }
        cached.artifacts += artifacts.len();
        cached.environments.insert(key, (stamp, artifacts));
    }
}

impl Cached {
    fn forget(&mut self, key: (i64, i64)) {
        if let Some((_, artifacts)) = self.environments.remove(&key) {
            self.artifacts -= artifacts.len();
        }
    }
}

pub(super) const QUERY: &str = "
    SELECT interval.artifact_id, interval.name, artifact.fingerprint, interval.replicas
    FROM interval
    JOIN artifact ON artifact.org_id = interval.org_id AND artifact.id = interval.artifact_id
    WHERE interval.org_id = $1 AND interval.environment_id = $2 AND interval.node = 0";

fn read(
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

/// Stores the current tasks of unchanged artifacts whose tasks were replaced, and returns what runs
/// now.
pub(super) fn keep_tasks(
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
            keep(connection, org_id, environment, artifact.artifact_id, next)?;
            artifact.task_hash = Some(*hash);
        }
    }
    Ok(artifacts)
}

fn keep(
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
    fn a_full_cache_forgets_no_more_than_it_has_to() {
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
            cache.keep((1, environment), stamp, Arc::clone(&artifacts));
            cache.keep((1, environment), stamp, Arc::clone(&artifacts));
            assert!(cache.get((1, environment), stamp).is_some());
        }
        let kept = (0..400).filter(|environment| cache.get((1, *environment), stamp).is_some());
        assert_eq!(kept.count(), MAX_CACHED_ARTIFACTS / 1_000);
        let moved = Stamp { latest_index: 2, ..stamp };
        assert!(cache.get((1, 399), moved).is_none());
    }
}

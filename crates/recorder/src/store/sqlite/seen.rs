//! Since when artifacts run, and what ran in an environment for the first time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use envsnap_model::snapshot::Identity;
use rusqlite::{Connection, params};

use super::json::Json;
use super::rows;
use super::snapshots::History;
use crate::domain::{FirstTime, Firsts, Micros, Seen, SnapshotArtifact, names_of};

/// For a JSON array of artifacts (fingerprint, name) with a snapshot index: each one's run in environment
/// `?3` around that index, from its start to its exit, by the position in the array. The order of the tables
/// is fixed, so that the array comes first.
pub(super) const RUNS_AROUND_INDEXES: &str =
    "SELECT wanted.key, first.snapshot_index, first.recorded_at, last.to_index,
            next.previous_report, final.recorded_at
     FROM json_each(?2) AS wanted
     CROSS JOIN artifact ON artifact.org_id = ?1 AND artifact.fingerprint = wanted.value ->> 0
         AND artifact.name = wanted.value ->> 1
     CROSS JOIN snapshot AS first ON first.org_id = ?1 AND first.environment_id = ?3
         AND first.snapshot_index = (
             SELECT max(began.from_index) FROM interval AS began
             WHERE began.org_id = ?1 AND began.environment_id = ?3
               AND began.artifact_id = artifact.id AND began.was = 0
               AND began.from_index <= wanted.value ->> 2)
     CROSS JOIN interval AS last ON last.org_id = ?1 AND last.artifact_id = artifact.id
         AND last.environment_id = ?3
         AND last.from_index = (
             SELECT max(part.from_index) FROM interval AS part
             WHERE part.org_id = ?1 AND part.artifact_id = artifact.id
               AND part.environment_id = ?3
               AND part.from_index < coalesce(
                   (SELECT min(again.from_index) FROM interval AS again
                    WHERE again.org_id = ?1 AND again.environment_id = ?3
                      AND again.artifact_id = artifact.id AND again.was = 0
                      AND again.from_index > wanted.value ->> 2),
                   4294967296))
     LEFT JOIN snapshot AS next ON next.org_id = ?1 AND next.environment_id = ?3
         AND next.snapshot_index = last.to_index + 1
     LEFT JOIN snapshot AS final ON final.org_id = ?1 AND final.environment_id = ?3
         AND final.snapshot_index = last.to_index";

/// The snapshots in which the images, repositories and registries in a JSON array (kind, name) first ran in
/// environment `?3`.
pub(super) const FIRST_SEEN: &str =
    "SELECT first_seen.kind, first_seen.name, first_seen.snapshot_index
     FROM json_each(?2) AS wanted
     CROSS JOIN first_seen ON first_seen.org_id = ?1 AND first_seen.environment_id = ?3
         AND first_seen.kind = wanted.value ->> 0 AND first_seen.name = wanted.value ->> 1";

/// Stores that the artifact's image, repository and registry run in snapshot `index`, unless they ran in an
/// earlier one.
pub(super) fn note_first_seen(
    connection: &Connection,
    (org_id, environment_id): (i64, i64),
    index: u32,
    name: &str,
    fingerprint: &str,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO first_seen (org_id, environment_id, kind, name, snapshot_index)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    )?;
    for (kind, name) in names_of(name, rows::fingerprint(fingerprint)?) {
        statement.execute(params![org_id, environment_id, kind.as_str(), name, index])?;
    }
    Ok(())
}

/// Fills the table `first_seen` from the intervals, in a file that was written before there was one.
pub(super) fn fill_first_seen(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT interval.org_id, interval.environment_id, interval.from_index, interval.name,
                artifact.fingerprint
         FROM interval
         JOIN artifact ON artifact.org_id = interval.org_id AND artifact.id = interval.artifact_id
         ORDER BY interval.org_id, interval.environment_id, interval.from_index",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, fingerprint) = (row.get_ref(3)?.as_str()?, row.get_ref(4)?.as_str()?);
        note_first_seen(connection, (row.get(0)?, row.get(1)?), row.get(2)?, name, fingerprint)?;
    }
    Ok(())
}

/// The first snapshots of the artifact's image, repository and registry, from `firsts`, by kind and name.
fn firsts_of(artifact: &SnapshotArtifact, firsts: &HashMap<(String, String), u32>) -> Firsts {
    let mut found = Firsts::default();
    for (kind, name) in names_of(&artifact.name, artifact.fingerprint) {
        let key = (kind.as_str().to_owned(), name.into_owned());
        let first = match kind {
            FirstTime::Image => &mut found.image,
            FirstTime::Repository => &mut found.repository,
            FirstTime::Registry => &mut found.registry,
        };
        *first = firsts.get(&key).copied().unwrap_or_default();
    }
    found
}

impl History<'_> {
    /// Adds to each artifact, as it is in the snapshot of the index beside it, when that run began and until
    /// when it was confirmed. Takes two queries for all of them.
    pub(super) fn add_seen<'b>(
        &self,
        artifacts: impl IntoIterator<Item = (u32, &'b mut SnapshotArtifact)>,
    ) -> rusqlite::Result<()> {
        let mut artifacts: Vec<_> = artifacts.into_iter().collect();
        let runs = self.runs_around(&artifacts)?;
        let firsts = self.first_seen(artifacts.iter().map(|(_, artifact)| &**artifact))?;
        for (position, (_, artifact)) in artifacts.iter_mut().enumerate() {
            let Some(run) = runs.get(&position) else { continue };
            artifact.seen = Some(Seen { firsts: firsts_of(artifact, &firsts), ..*run });
        }
        Ok(())
    }

    /// Which of the artifacts that started with snapshot `index` have an image, repository or registry that
    /// never ran in the environment before. Takes at most one query.
    pub(super) fn first_times(
        &self,
        index: u32,
        artifacts: &[SnapshotArtifact],
    ) -> rusqlite::Result<BTreeMap<Identity, FirstTime>> {
        let started = || artifacts.iter().filter(|artifact| artifact.was == 0 && artifact.runs());
        // Nothing is new in an environment's first snapshot.
        if index <= 1 || started().next().is_none() {
            return Ok(BTreeMap::new());
        }
        let firsts = self.first_seen(started())?;
        let first_times = started().filter_map(|artifact| {
            let first_time = firsts_of(artifact, &firsts).after(index - 1)?;
            Some((artifact.identity(), first_time))
        });
        Ok(first_times.collect())
    }

    /// Each artifact's run around the index beside it, by the position in `artifacts`.
    fn runs_around(
        &self,
        artifacts: &[(u32, &mut SnapshotArtifact)],
    ) -> rusqlite::Result<HashMap<usize, Seen>> {
        let wanted: Vec<_> = artifacts
            .iter()
            .map(|(index, artifact)| {
                let (fingerprint, name) = match artifact.fingerprint {
                    Some(fingerprint) => (fingerprint.to_string(), ""),
                    None => (String::new(), &*artifact.name),
                };
                // What exited with a snapshot ran until the one before it.
                (fingerprint, name, if artifact.runs() { *index } else { index.saturating_sub(1) })
            })
            .collect();
        let mut statement = self.connection.prepare_cached(RUNS_AROUND_INDEXES)?;
        let mut rows = statement.query(params![self.org_id, Json(wanted), self.environment_id])?;
        let mut runs = HashMap::new();
        while let Some(row) = rows.next()? {
            let first_at = Micros(row.get(2)?);
            let last_report = match row.get::<_, Option<u32>>(3)? {
                None => self.last_reported_at,
                Some(_) => {
                    row.get::<_, Option<i64>>(4)?.or(row.get::<_, Option<i64>>(5)?).map(Micros)
                }
            };
            let seen = Seen {
                first_index: row.get(1)?,
                first_at,
                confirmed_until: last_report.unwrap_or(first_at),
                firsts: Firsts::default(),
            };
            runs.insert(row.get(0)?, seen);
        }
        Ok(runs)
    }

    /// The first snapshots of the artifacts' images, repositories and registries, by kind and name.
    fn first_seen<'b>(
        &self,
        artifacts: impl Iterator<Item = &'b SnapshotArtifact>,
    ) -> rusqlite::Result<HashMap<(String, String), u32>> {
        let wanted: BTreeSet<_> = artifacts
            .flat_map(|artifact| names_of(&artifact.name, artifact.fingerprint))
            .map(|(kind, name)| (kind.as_str(), name))
            .collect();
        self.connection
            .prepare_cached(FIRST_SEEN)?
            .query_map(params![self.org_id, Json(wanted), self.environment_id], |row| {
                Ok(((row.get(0)?, row.get(1)?), row.get(2)?))
            })?
            .collect()
    }
}

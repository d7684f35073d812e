//! Snapshots that follow each other, and what changed from one to the next.

use rusqlite::params;

use super::json::Json;
use super::silence::silences;
use super::{Store, StoreError};
use crate::api::wire::Silence;
use crate::recorder::record::StoredArtifact;
use envsnap_model::expression::Timeline as _;

/// The bytes of snapshots that one stretch is read from, so that the time it takes is bounded,
/// however much each of them holds.
const MOST_BYTES: usize = 64 << 20;

/// Snapshots that follow each other. Times are in seconds since the Unix epoch.
#[derive(Debug)]
pub(in crate::recorder) struct Stretch {
    /// The earliest first; none where there are none.
    pub(in crate::recorder) snapshots: Vec<Taken>,
    /// When the one after the last of them was recorded; `None` where it is the latest.
    pub(in crate::recorder) end: Option<f64>,
    /// How many there are in the environment.
    pub(in crate::recorder) count: u32,
    /// When it was read.
    pub(in crate::recorder) now: f64,
}

/// A snapshot in a stretch.
#[derive(Debug)]
pub(in crate::recorder) struct Taken {
    pub(in crate::recorder) index: u32,
    pub(in crate::recorder) created_at: f64,
    /// The last report that found it unchanged.
    pub(in crate::recorder) confirmed_until: f64,
    /// Up to that report, the earliest first.
    pub(in crate::recorder) silences: Vec<Silence>,
    /// How many artifacts run in it.
    pub(in crate::recorder) running: usize,
    /// How many replicas of them.
    pub(in crate::recorder) replicas: u64,
    /// What changed with it; in the first of a stretch, also what runs and did not change.
    pub(in crate::recorder) artifacts: Vec<StoredArtifact>,
}

impl Store {
    /// The last `size` snapshots up to the one with index `last`, or up to the latest; `None` where
    /// the environment does not exist. They are fewer where they hold very much.
    pub(in crate::recorder) async fn stretch(
        &self,
        org: &str,
        environment: &str,
        last: Option<u32>,
        size: u32,
    ) -> Result<Option<Stretch>, StoreError> {
        let read = "read the history of";
        self.read_recorded_any_size(read, org, environment, move |recorded, allowance| {
            let count = recorded.count();
            let last = last.map_or(count, |last| last.min(count));
            let mut statement = recorded.connection.prepare_cached(
                "SELECT snapshot_index, created_at, confirmed_until, artifacts FROM snapshot
                 WHERE environment_id = ? AND snapshot_index <= ?
                 ORDER BY snapshot_index DESC LIMIT ?",
            )?;
            // One more than the last, whose beginning is the end of the stretch.
            let mut rows = statement.query(params![
                recorded.environment_id,
                last.saturating_add(1),
                size.saturating_add(1)
            ])?;
            let now = recorded.now();
            let wanted = last.saturating_sub(size).saturating_add(1)..=last;
            let mut silences = silences(recorded.connection, recorded.environment_id, &wanted)?;
            let mut stretch = Stretch { snapshots: Vec::new(), end: None, count, now };
            let mut bytes = 0;
            while let Some(row) = rows.next()? {
                let (index, created_at) = (row.get(0)?, row.get(1)?);
                if index > last {
                    stretch.end = Some(created_at);
                    continue;
                }
                if stretch.snapshots.len() >= usize::try_from(size).unwrap_or(usize::MAX) {
                    break;
                }
                let length = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?.len();
                allowance.take(length)?;
                bytes += length;
                if bytes > MOST_BYTES && !stretch.snapshots.is_empty() {
                    break;
                }
                let Json::<Vec<StoredArtifact>>(artifacts) = row.get(3)?;
                // This one is before it, so it is not the first of the stretch.
                if let Some(after) = stretch.snapshots.last_mut() {
                    after.artifacts.retain(StoredArtifact::changed);
                }
                stretch.snapshots.push(Taken {
                    index,
                    created_at,
                    confirmed_until: row.get(2)?,
                    silences: silences.remove(&index).unwrap_or_default(),
                    running: artifacts.iter().filter(|artifact| artifact.runs()).count(),
                    replicas: artifacts.iter().map(StoredArtifact::now).sum(),
                    artifacts,
                });
            }
            stretch.snapshots.reverse();
            Ok(stretch)
        })
        .await
    }
}

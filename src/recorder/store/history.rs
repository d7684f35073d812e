//! How long each snapshot of an environment lasted.

use rusqlite::params;

use super::silence::silences;
use super::{Page, Store, StoreError};
use crate::api::wire::Silence;
use envsnap_model::expression::{Interval, Timeline as _};

/// Snapshots of an environment, in order.
#[derive(Debug)]
pub(in crate::recorder) struct History {
    pub(in crate::recorder) snapshots: Vec<Lasted>,
    /// When it was read, in seconds since the Unix epoch.
    pub(in crate::recorder) now: f64,
}

/// How long a snapshot was the latest. Times are in seconds since the Unix epoch.
#[derive(Debug)]
pub(in crate::recorder) struct Lasted {
    pub(in crate::recorder) index: u32,
    pub(in crate::recorder) from: f64,
    /// `None` for the latest.
    pub(in crate::recorder) to: Option<f64>,
    /// The last report that found it unchanged.
    pub(in crate::recorder) confirmed_until: f64,
    /// Up to that report, the earliest first.
    pub(in crate::recorder) silences: Vec<Silence>,
}

impl Store {
    /// A page of the snapshots in `interval`, the latest first unless `ascending`; `None` where the
    /// environment does not exist.
    pub(in crate::recorder) async fn history(
        &self,
        org: &str,
        environment: &str,
        interval: Interval,
        page: Page,
        ascending: bool,
    ) -> Result<Option<History>, StoreError> {
        self.read_recorded("list the snapshots of", org, environment, move |recorded| {
            let mut snapshots = Vec::new();
            if let Some(indexes) = interval.resolve(recorded)?
                && let Some(indexes) = page.of(&indexes, ascending)
            {
                let connection = recorded.connection;
                let mut silences = silences(connection, recorded.environment_id, &indexes)?;
                snapshots = connection
                    .prepare_cached(
                        "SELECT snapshot_index, created_at, confirmed_until,
                                (SELECT created_at FROM snapshot AS next
                                 WHERE next.environment_id = snapshot.environment_id
                                   AND next.snapshot_index = snapshot.snapshot_index + 1)
                         FROM snapshot
                         WHERE environment_id = ? AND snapshot_index BETWEEN ? AND ?
                         ORDER BY snapshot_index",
                    )?
                    .query_map(
                        params![recorded.environment_id, indexes.start(), indexes.end()],
                        |row| {
                            let index = row.get(0)?;
                            Ok(Lasted {
                                index,
                                from: row.get(1)?,
                                confirmed_until: row.get(2)?,
                                to: row.get(3)?,
                                silences: silences.remove(&index).unwrap_or_default(),
                            })
                        },
                    )?
                    .collect::<rusqlite::Result<_>>()?;
            }
            if !ascending {
                snapshots.reverse();
            }
            Ok(History { snapshots, now: recorded.now() })
        })
        .await
    }
}

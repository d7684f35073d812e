//! Snapshots in the file.

use rusqlite::{Connection, params};

use super::json::Json;
use super::readers::{Allowance, ReadError};
use super::recorded::Recorded;
use super::silence::silences;
use super::{Store, StoreError};
use crate::api::wire::Silence;
use crate::recorder::record::StoredArtifact;
use envsnap_model::expression::{Expression, Snappish, Timeline as _};

/// A snapshot as it is in the file. Times are in seconds since the Unix epoch.
#[derive(Debug)]
pub(in crate::recorder) struct StoredSnapshot {
    pub(in crate::recorder) index: u32,
    pub(in crate::recorder) created_at: f64,
    /// The last report that found it unchanged.
    pub(in crate::recorder) confirmed_until: f64,
    /// Up to that report, the earliest first.
    pub(in crate::recorder) silences: Vec<Silence>,
    /// When the one after it was recorded; `None` for the latest.
    pub(in crate::recorder) next_created_at: Option<f64>,
    /// The type of its environment.
    pub(in crate::recorder) environment_type: String,
    /// In the order of their identities, those that exited among them.
    pub(in crate::recorder) artifacts: Vec<StoredArtifact>,
}

/// The answer to an expression.
#[derive(Debug)]
pub(in crate::recorder) enum Found {
    Snapshot(StoredSnapshot),
    NoEnvironment,
    NoSnapshot {
        /// What the expression came to.
        index: i64,
        /// How many snapshots there are.
        count: u32,
    },
}

impl Store {
    pub(in crate::recorder) async fn snapshot(
        &self,
        org: &str,
        environment: &str,
        expression: Expression,
    ) -> Result<Found, StoreError> {
        let wanted = Snappish { environment: environment.to_owned(), expression };
        self.snapshots_as(org, [wanted], |[found]| found).await
    }

    /// Several snapshots as they are at one moment, in the order in which they are asked for.
    pub(in crate::recorder) async fn snapshots<const N: usize>(
        &self,
        org: &str,
        wanted: [Snappish; N],
    ) -> Result<[Found; N], StoreError> {
        self.snapshots_as(org, wanted, |found| found).await
    }

    /// What `shown` makes of several snapshots, as [`Self::snapshots`] gives them. It is made where
    /// they are read, away from the threads that serve requests: they may be large.
    pub(in crate::recorder) async fn snapshots_as<const N: usize, T: Send + 'static>(
        &self,
        org: &str,
        wanted: [Snappish; N],
        shown: impl Fn([Found; N]) -> T + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let names: Vec<_> = wanted.iter().map(|it| format!("'{it}'")).collect();
        let operation = format!("read snapshot {} of organization '{org}'", names.join(" and "));
        let org = org.to_owned();
        let now = self.clock.now();
        self.read_any_size(operation, move |connection, allowance| {
            let transaction = connection.transaction()?;
            let mut found = wanted.each_ref().map(|_| Found::NoEnvironment);
            for (found, wanted) in found.iter_mut().zip(&wanted) {
                if let Some(recorded) =
                    Recorded::find(&transaction, now, &org, &wanted.environment)?
                {
                    *found = find(&transaction, recorded, &wanted.expression, allowance)?;
                }
            }
            Ok(shown(found))
        })
        .await
    }
}

fn find(
    connection: &Connection,
    recorded: Recorded<'_>,
    expression: &Expression,
    allowance: &Allowance,
) -> Result<Found, ReadError> {
    let (resolved, count) = (expression.resolve(&recorded)?, recorded.count());
    let Some(index) = u32::try_from(resolved).ok().filter(|it| (1..=count).contains(it)) else {
        return Ok(Found::NoSnapshot { index: resolved, count });
    };
    // It is told without reading them.
    let bytes = connection
        .prepare_cached(
            "SELECT octet_length(artifacts) FROM snapshot
             WHERE environment_id = ? AND snapshot_index = ?",
        )?
        .query_row(params![recorded.environment_id, index], |row| row.get(0))?;
    allowance.take(bytes)?;
    let (created_at, confirmed_until, next_created_at, Json(artifacts)) = connection
        .prepare_cached(
            "SELECT created_at, confirmed_until,
                    (SELECT created_at FROM snapshot AS next
                     WHERE next.environment_id = snapshot.environment_id
                       AND next.snapshot_index = snapshot.snapshot_index + 1),
                    artifacts
             FROM snapshot WHERE environment_id = ? AND snapshot_index = ?",
        )?
        .query_row(params![recorded.environment_id, index], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
    let mut silences = silences(connection, recorded.environment_id, &(index..=index))?;
    Ok(Found::Snapshot(StoredSnapshot {
        index,
        created_at,
        confirmed_until,
        silences: silences.remove(&index).unwrap_or_default(),
        next_created_at,
        environment_type: recorded.environment_type,
        artifacts,
    }))
}

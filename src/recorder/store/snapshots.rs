//! Snapshots in the file.

use rusqlite::{OptionalExtension as _, params};

use super::json::Json;
use super::{Store, StoreError};
use crate::recorder::expression::Expression;
use crate::recorder::record::StoredArtifact;

/// A snapshot as it is in the file. Times are in seconds since the Unix epoch.
#[derive(Debug)]
pub(in crate::recorder) struct StoredSnapshot {
    pub(in crate::recorder) index: u32,
    pub(in crate::recorder) created_at: f64,
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
        let operation =
            format!("read snapshot '{environment}{expression}' of organization '{org}'");
        let (org, environment) = (org.to_owned(), environment.to_owned());
        self.read(operation, move |connection| {
            let transaction = connection.transaction()?;
            let found = transaction
                .prepare_cached(
                    "SELECT id, type, (SELECT coalesce(max(snapshot_index), 0) FROM snapshot
                                       WHERE environment_id = environment.id)
                     FROM environment WHERE org = ? AND name = ?",
                )?
                .query_row([org, environment], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?))
                })
                .optional()?;
            let Some((id, environment_type, count)) = found else {
                return Ok(Found::NoEnvironment);
            };
            let resolved = expression.resolve(count);
            let no_snapshot = Found::NoSnapshot { index: resolved, count };
            let Some(index) = u32::try_from(resolved).ok().filter(|it| (1..=count).contains(it))
            else {
                return Ok(no_snapshot);
            };
            let (created_at, next_created_at, Json(artifacts)) = transaction
                .prepare_cached(
                    "SELECT created_at, artifacts,
                            (SELECT created_at FROM snapshot AS next
                             WHERE next.environment_id = snapshot.environment_id
                               AND next.snapshot_index = snapshot.snapshot_index + 1)
                     FROM snapshot WHERE environment_id = ? AND snapshot_index = ?",
                )?
                .query_row(params![id, index], |row| Ok((row.get(0)?, row.get(2)?, row.get(1)?)))?;
            Ok(Found::Snapshot(StoredSnapshot {
                index,
                created_at,
                next_created_at,
                environment_type,
                artifacts,
            }))
        })
        .await
    }
}

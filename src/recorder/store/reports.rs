//! Recording what is reported.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::json::{self, Json};
use super::{Store, StoreError, events, position, silence};
use crate::api::wire::{ECS, Silence};
use crate::recorder::chain::{Link, Witnessed};
use crate::recorder::record::{Running, StoredArtifact, next_snapshot};

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// It is on disk.
    Recorded {
        /// It made a new snapshot.
        created: bool,
        /// The last link of the file's chain, this report's included.
        head: Link,
    },
    /// There is none of this name, or it is archived.
    NoEnvironment,
    /// The environment is of this type, and not ECS.
    OtherType(String),
    /// The latest snapshot has this index, 0 for none, and not the one that was required.
    OtherIndex(i64),
}

/// The latest snapshot of an environment, as far as a report is compared with it.
pub(super) struct Latest {
    id: i64,
    pub(super) index: i64,
    /// Seconds since the Unix epoch, as all times.
    pub(super) confirmed_until: f64,
    /// `None` where the report says the same: then nobody asks.
    artifacts: Option<Vec<StoredArtifact>>,
}

impl Store {
    /// Records what runs: a new snapshot where `report` differs from the latest; otherwise that the
    /// latest is confirmed. With `required_index` only if that is the index of the latest snapshot,
    /// 0 for none.
    ///
    /// # Errors
    /// The file cannot be read or written. Then nothing of it is recorded.
    pub async fn report(
        &self,
        org: &str,
        environment: &str,
        report: Running,
        required_index: Option<i64>,
    ) -> Result<Reported, StoreError> {
        let operation =
            format!("record a report to environment '{environment}' of organization '{org}'");
        let (org, environment) = (org.to_owned(), environment.to_owned());
        let artifacts = report.entries();
        self.write_weighted(operation, artifacts, move |connection, now| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let found = transaction
                .prepare_cached(
                    "SELECT id, type, include_scaling FROM environment
                     WHERE org = ? AND name = ? AND archived_at IS NULL",
                )?
                .query_row([&org, &environment], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get(2)?))
                })
                .optional()?;
            let Some((id, environment_type, include_scaling)) = found else {
                return Ok(Reported::NoEnvironment);
            };
            if environment_type != ECS {
                return Ok(Reported::OtherType(environment_type));
            }
            let content_hash = report.content_hash().to_owned();
            let latest = latest(&transaction, id, &content_hash)?;
            let index = latest.as_ref().map_or(0, |latest| latest.index);
            if required_index.is_some_and(|required| required != index) {
                return Ok(Reported::OtherIndex(index));
            }
            let before = head(&transaction)?;
            let new = match &latest {
                Some(Latest { artifacts: None, .. }) => None,
                Some(Latest { artifacts: Some(latest), .. }) => {
                    next_snapshot(latest, report, include_scaling)
                }
                None => next_snapshot(&[], report, include_scaling),
            };
            let created = new.is_some();
            let head = if let Some(new) = new {
                let artifacts = json::text(&new)?;
                let snapshot = Witnessed {
                    environment_id: id,
                    org: &org,
                    environment_type: &environment_type,
                    environment_name: &environment,
                    index: index + 1,
                    created_at: now,
                    content_hash: &content_hash,
                    artifacts: &artifacts,
                };
                events::count(&transaction, id, snapshot.index, &new)?;
                append(&transaction, before, &snapshot)?
            } else {
                if let Some(latest) = latest {
                    let from = silence::end_of_reports(&transaction, id, &latest, now)?;
                    silence::note(Silence { from, until: now }, &transaction, id, latest.index)?;
                    transaction
                        .prepare_cached("UPDATE snapshot SET confirmed_until = ? WHERE id = ?")?
                        .execute(params![now, latest.id])?;
                }
                before
            };
            transaction
                .prepare_cached(
                    "UPDATE environment SET last_reported_at = ?1, last_modified_at = ?1
                     WHERE id = ?2",
                )?
                .execute(params![now, id])?;
            position::commit(transaction)?;
            Ok(Reported::Recorded { created, head })
        })
        .await
    }
}

/// Two snapshots with the same content hash are the same in every environment: most reports say
/// what the one before them said, and its hundreds of artifacts are then not read.
fn latest(
    connection: &Connection,
    environment_id: i64,
    reported: &str,
) -> rusqlite::Result<Option<Latest>> {
    connection
        .prepare_cached(
            "SELECT id, snapshot_index, confirmed_until, content_hash, artifacts FROM snapshot
             WHERE environment_id = ? ORDER BY snapshot_index DESC LIMIT 1",
        )?
        .query_row([environment_id], |row| {
            let is_same = row.get_ref(3)?.as_str()? == reported;
            let artifacts = if is_same { None } else { Some(row.get::<_, Json<_>>(4)?.0) };
            Ok(Latest {
                id: row.get(0)?,
                index: row.get(1)?,
                confirmed_until: row.get(2)?,
                artifacts,
            })
        })
        .optional()
}

/// The last link of the file's chain.
fn head(connection: &Connection) -> rusqlite::Result<Link> {
    let link = connection
        .prepare_cached("SELECT link FROM snapshot ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(link.unwrap_or(Link::GENESIS))
}

/// How many snapshots a file has, and the last link of their chain.
pub(super) fn extent(connection: &Connection) -> rusqlite::Result<(u64, Link)> {
    let count: i64 = connection.query_row("SELECT count(*) FROM snapshot", [], |row| row.get(0))?;
    Ok((count.unsigned_abs(), head(connection)?))
}

/// Writes `snapshot` down as the one after the link `before`, and gives its own link.
fn append(
    connection: &Connection,
    before: Link,
    snapshot: &Witnessed<'_>,
) -> rusqlite::Result<Link> {
    let link = before.next(snapshot);
    let inserted = connection
        .prepare_cached(
            "INSERT INTO snapshot (environment_id, environment_name, snapshot_index, created_at,
                 confirmed_until, content_hash, link, artifacts)
             VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            snapshot.environment_id,
            snapshot.environment_name,
            snapshot.index,
            snapshot.created_at,
            snapshot.content_hash,
            link,
            snapshot.artifacts,
        ])?;
    // A trigger can leave it out.
    if inserted != 1 {
        return Err(rusqlite::Error::StatementChangedRows(inserted));
    }
    Ok(link)
}

impl ToSql for Link {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(&self.as_bytes()[..]))
    }
}

impl FromSql for Link {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 32]>::try_from(value.as_blob()?).map(Self::from).map_err(FromSqlError::other)
    }
}

//! What runs in many environments at once.

use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::environments::{SELECT, environment};
use super::json::Json;
use super::{Page, Store, StoreError};
use crate::api::wire::Environment;
use crate::recorder::access::Readable;
use crate::recorder::record::{StoredArtifact, order};

/// Bytes of a snapshot that is told whole. One that is longer holds more than a list shows.
const LONGEST: u32 = 1_000_000;

/// A page of environments, by organization and name.
#[derive(Debug)]
pub(in crate::recorder) struct Overview {
    pub(in crate::recorder) environments: Vec<Overviewed>,
    /// How many there are on all pages.
    pub(in crate::recorder) total: u64,
    /// When it was read, in seconds since the Unix epoch.
    pub(in crate::recorder) now: f64,
}

/// An environment, and what its latest snapshot says.
#[derive(Debug)]
pub(in crate::recorder) struct Overviewed {
    pub(in crate::recorder) environment: Environment,
    /// The index of the latest snapshot.
    pub(in crate::recorder) latest: Option<u32>,
    /// What runs in it, latest start first; `None` where that is too long to tell.
    pub(in crate::recorder) running: Option<Vec<StoredArtifact>>,
}

impl Store {
    /// A page of the environments of `orgs` that are in use.
    pub(in crate::recorder) async fn overview(
        &self,
        orgs: Readable,
        page: Page,
    ) -> Result<Overview, StoreError> {
        let now = self.clock.now();
        self.read("list the environments".to_owned(), move |connection| {
            let transaction = connection.transaction()?;
            let orgs = match &orgs {
                Readable::Every => None,
                Readable::These(orgs) => Some(Json(orgs)),
            };
            let of_orgs = "archived_at IS NULL
                           AND (:orgs IS NULL OR org IN (SELECT value FROM json_each(:orgs)))";
            let total = transaction
                .prepare_cached(&format!("SELECT count(*) FROM environment WHERE {of_orgs}"))?
                .query_row(named_params! {":orgs": orgs}, |row| row.get(0))?;
            let environments: Vec<_> = transaction
                .prepare_cached(&format!(
                    "{SELECT} WHERE {of_orgs} ORDER BY org, name LIMIT :limit OFFSET :offset"
                ))?
                .query_map(
                    named_params! {
                        ":orgs": orgs,
                        ":limit": page.size,
                        ":offset": i64::try_from(page.offset()).unwrap_or(i64::MAX),
                    },
                    environment,
                )?
                .collect::<rusqlite::Result<_>>()?;
            let environments = environments
                .into_iter()
                .map(|environment| with_latest(&transaction, environment))
                .collect::<rusqlite::Result<_>>()?;
            Ok(Overview { environments, total, now })
        })
        .await
    }
}

fn with_latest(connection: &Connection, environment: Environment) -> rusqlite::Result<Overviewed> {
    let latest = connection
        .prepare_cached(
            "SELECT snapshot_index, iif(octet_length(artifacts) <= ?, artifacts, NULL)
             FROM snapshot
             WHERE environment_id = (SELECT id FROM environment WHERE org = ? AND name = ?)
             ORDER BY snapshot_index DESC LIMIT 1",
        )?
        .query_row((LONGEST, &environment.org, &environment.name), |row| {
            Ok((row.get(0)?, row.get::<_, Option<Json<Vec<StoredArtifact>>>>(1)?))
        })
        .optional()?;
    let (latest, artifacts) = latest.map_or((None, None), |(index, told)| (Some(index), told));
    let running = artifacts.map(|Json(mut artifacts)| {
        artifacts.retain(StoredArtifact::runs);
        order(&mut artifacts);
        artifacts
    });
    Ok(Overviewed { environment, latest, running })
}

//! Environments in the file.

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, named_params};
use serde_json::Map;

use super::json::Json;
use super::{Store, StoreError};
use crate::api::wire::Environment;
use crate::recorder::request::EnvironmentChange;

/// What became of a change to an environment.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::recorder) enum Changed {
    Saved,
    /// It exists, with this other type, which its snapshots have.
    OtherType(String),
}

pub(super) const SELECT: &str = "
    SELECT org, name, type, description, include_scaling, included_environments, policies,
           last_modified_at, last_reported_at,
           (SELECT created_at FROM snapshot WHERE environment_id = environment.id
            ORDER BY snapshot_index DESC LIMIT 1) AS last_changed_at
    FROM environment";

impl Store {
    /// Makes the environment, or changes what of it is given. One that was archived is in use
    /// again, with all that was recorded in it.
    pub(in crate::recorder) async fn put_environment(
        &self,
        org: String,
        change: EnvironmentChange,
    ) -> Result<Changed, StoreError> {
        let operation = format!("save environment '{}' of organization '{org}'", change.name);
        self.write(operation, move |connection, now| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let existing = type_of(&transaction, &org, &change.name)?;
            if let Some(other) = existing.filter(|existing| *existing != change.environment_type) {
                return Ok(Changed::OtherType(other));
            }
            transaction.execute(
                "INSERT INTO environment (org, name, type, description, include_scaling,
                     included_environments, policies, last_modified_at)
                 VALUES (:org, :name, :type, :description, coalesce(:include_scaling, TRUE),
                     :included_environments, :policies, :now)
                 ON CONFLICT (org, name) DO UPDATE SET
                     description = excluded.description,
                     include_scaling = coalesce(:include_scaling, include_scaling),
                     included_environments =
                         coalesce(:included_environments, included_environments),
                     policies = coalesce(:policies, policies),
                     last_modified_at = excluded.last_modified_at,
                     archived_at = NULL",
                named_params! {
                    ":org": org,
                    ":name": change.name,
                    ":type": change.environment_type,
                    ":description": change.description,
                    ":include_scaling": change.include_scaling,
                    ":included_environments": change.included_environments.map(Json),
                    ":policies": change.policies.map(Json),
                    ":now": now,
                },
            )?;
            transaction.commit()?;
            Ok(Changed::Saved)
        })
        .await
    }

    pub(in crate::recorder) async fn environment(
        &self,
        org: &str,
        name: &str,
    ) -> Result<Option<Environment>, StoreError> {
        let operation = format!("read environment '{name}' of organization '{org}'");
        let (org, name) = (org.to_owned(), name.to_owned());
        self.read(operation, move |connection| {
            connection
                .prepare_cached(&format!(
                    "{SELECT} WHERE org = ? AND name = ? AND archived_at IS NULL"
                ))?
                .query_row([org, name], environment)
                .optional()
        })
        .await
    }
}

fn type_of(connection: &Connection, org: &str, name: &str) -> rusqlite::Result<Option<String>> {
    connection
        .query_row("SELECT type FROM environment WHERE org = ? AND name = ?", [org, name], |row| {
            row.get(0)
        })
        .optional()
}

pub(super) fn environment(row: &Row<'_>) -> rusqlite::Result<Environment> {
    let names = |column| {
        row.get::<_, Option<Json<Vec<String>>>>(column).map(|names| names.map(|Json(names)| names))
    };
    Ok(Environment {
        org: row.get("org")?,
        name: row.get("name")?,
        environment_type: row.get("type")?,
        description: row.get("description")?,
        last_modified_at: row.get("last_modified_at")?,
        last_reported_at: row.get("last_reported_at")?,
        last_changed_at: row.get("last_changed_at")?,
        // The recorder has no policies, so nothing decides whether an environment complies.
        state: None,
        include_scaling: row.get("include_scaling")?,
        tags: Map::new(),
        policies: names("policies")?,
        included_environments: names("included_environments")?,
    })
}

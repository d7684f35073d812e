//! Environments in the file.

use rusqlite::{
    Connection, OptionalExtension as _, Row, TransactionBehavior, named_params, params,
};
use serde_json::Map;

use super::json::Json;
use super::{Store, StoreError, position};
use crate::api::wire::Environment;
use crate::recorder::request::EnvironmentChange;

/// What became of a change to an environment.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::recorder) enum Changed {
    Saved,
    /// It exists, with this other type, which its snapshots have.
    OtherType(String),
    /// It exists, or is archived, and would be changed by a caller that may only create.
    NotAllowed,
    /// See [`LARGEST_LISTING`].
    TooMany,
}

/// The most bytes of JSON that all environments of an organization take: a client that lists them
/// accepts a third more.
pub(in crate::recorder) const LARGEST_LISTING: usize = 24 << 20;

const _: () = assert!(LARGEST_LISTING + (8 << 20) <= crate::api::LARGEST_ANSWER);

/// An environment's JSON without its texts and lists, in bytes.
const BESIDE_TEXTS: usize = 400;

/// Whether the environments of `org` are too many to be listed.
pub(super) fn are_too_many(connection: &Connection, org: &str) -> rusqlite::Result<bool> {
    let bytes: usize = connection
        .prepare_cached(
            "SELECT coalesce(sum(?2 + octet_length(org) + octet_length(name)
                 + octet_length(json_quote(description))
                 + coalesce(octet_length(included_environments), 0)
                 + coalesce(octet_length(policies), 0)), 0)
             FROM environment WHERE org = ?1",
        )?
        .query_row(params![org, BESIDE_TEXTS], |row| row.get(0))?;
    Ok(bytes > LARGEST_LISTING)
}

pub(super) const SELECT: &str = "
    SELECT org, name, type, description, include_scaling, included_environments, policies,
           last_modified_at, last_reported_at,
           (SELECT created_at FROM snapshot WHERE environment_id = environment.id
            ORDER BY snapshot_index DESC LIMIT 1) AS last_changed_at
    FROM environment";

impl Store {
    /// Makes the environment, or changes what of it is given, unless it exists and the caller may
    /// not. One that was archived is in use again, with all that was recorded in it.
    pub(in crate::recorder) async fn put_environment(
        &self,
        org: String,
        change: EnvironmentChange,
        may_change: bool,
    ) -> Result<Changed, StoreError> {
        let operation = format!("save environment '{}' of organization '{org}'", change.name);
        self.write(operation, move |connection, now| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let existing = type_of(&transaction, &org, &change.name)?;
            if let Some(other) = &existing
                && *other != change.environment_type
            {
                return Ok(Changed::OtherType(other.clone()));
            }
            if existing.is_some() && !may_change {
                // A second attempt to create what the first one did is none to change it.
                let same = is_as_wanted(&transaction, &org, &change)?;
                return Ok(if same { Changed::Saved } else { Changed::NotAllowed });
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
            if are_too_many(&transaction, &org)? {
                return Ok(Changed::TooMany);
            }
            position::commit(transaction)?;
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

/// Whether the change would change nothing of an environment that is in use.
fn is_as_wanted(
    connection: &Connection,
    org: &str,
    change: &EnvironmentChange,
) -> rusqlite::Result<bool> {
    let found = connection
        .query_row(
            &format!("{SELECT} WHERE org = ? AND name = ? AND archived_at IS NULL"),
            [org, &change.name],
            environment,
        )
        .optional()?;
    let same = |wanted: &Option<Vec<String>>, found: &Option<Vec<String>>| {
        wanted.is_none() || wanted == found
    };
    Ok(found.is_some_and(|found| {
        found.description == change.description
            && change.include_scaling.is_none_or(|wanted| wanted == found.include_scaling)
            && same(&change.included_environments, &found.included_environments)
            && same(&change.policies, &found.policies)
    }))
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

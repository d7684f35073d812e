//! Environments that get another name, or are put away.

use rusqlite::{OptionalExtension as _, TransactionBehavior, named_params, params};

use super::environments::are_too_many;
use super::{Store, StoreError, position};

/// What became of a change of name.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::recorder) enum NameChange {
    Done,
    NoEnvironment,
    /// See [`super::LARGEST_LISTING`].
    TooMany,
    /// Another environment has the name, in use or archived.
    Taken {
        archived: bool,
    },
}

impl Store {
    /// Gives the environment another name, also where a logical environment includes it.
    pub(in crate::recorder) async fn rename(
        &self,
        org: &str,
        name: &str,
        new_name: String,
    ) -> Result<NameChange, StoreError> {
        let operation =
            format!("rename environment '{name}' of organization '{org}' to '{new_name}'");
        let (org, name) = (org.to_owned(), name.to_owned());
        self.write(operation, move |connection, now| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let id = transaction
                .query_row(
                    "SELECT id FROM environment WHERE org = ? AND name = ? AND archived_at IS NULL",
                    [&org, &name],
                    |row| row.get::<_, i64>(0),
                )
                .optional()?;
            let Some(id) = id else { return Ok(NameChange::NoEnvironment) };
            let taken = transaction
                .query_row(
                    "SELECT archived_at IS NOT NULL FROM environment
                     WHERE org = ? AND name = ? AND id <> ?",
                    params![org, new_name, id],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(archived) = taken {
                return Ok(NameChange::Taken { archived });
            }
            transaction.execute(
                "UPDATE environment SET name = ?, last_modified_at = ? WHERE id = ?",
                params![new_name, now, id],
            )?;
            transaction.execute(
                "UPDATE environment
                 SET included_environments =
                     (SELECT json_group_array(iif(value = :name, :new_name, value))
                      FROM json_each(included_environments))
                 WHERE org = :org
                   AND :name IN (SELECT value FROM json_each(included_environments))",
                named_params! {":org": org, ":name": name, ":new_name": new_name},
            )?;
            if are_too_many(&transaction, &org)? {
                return Ok(NameChange::TooMany);
            }
            position::commit(transaction)?;
            Ok(NameChange::Done)
        })
        .await
    }

    /// Puts the environment away, with all that was recorded in it; `false` where there is none.
    pub(in crate::recorder) async fn archive(
        &self,
        org: &str,
        name: &str,
    ) -> Result<bool, StoreError> {
        let operation = format!("archive environment '{name}' of organization '{org}'");
        let (org, name) = (org.to_owned(), name.to_owned());
        self.write(operation, move |connection, now| {
            let archived = connection.execute(
                "UPDATE environment SET archived_at = ?1, last_modified_at = ?1
                 WHERE org = ?2 AND name = ?3 AND archived_at IS NULL",
                params![now, org, name],
            )?;
            Ok(archived > 0)
        })
        .await
    }
}

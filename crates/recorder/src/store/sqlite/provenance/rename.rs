//! Announced deployments to an environment that gets another name.

use rusqlite::{Connection, params};

use crate::domain::Payload;

/// Lets deployments that were announced to the environment before entry `seq` renamed it be found under its new
/// name, and not in an environment that is created with the old one.
pub(in super::super) fn rename_environment_of_deployments(
    connection: &Connection,
    (org_id, seq): (i64, i64),
    from: &str,
    to: &str,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE deployment SET environment = $1
             WHERE org_id = $2 AND environment = $3 AND seq < $4",
        )?
        .execute(params![to, org_id, from, seq])
        .map(drop)
}

/// Renames the environments of deployments as the ledger says, in a file of a recorder that did not.
pub(in super::super) fn rename_environments_of_all_deployments(
    connection: &Connection,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT org_id, seq, version, payload FROM ledger WHERE kind = 'environment-renamed'
         ORDER BY org_id, seq",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let payload = row.get_ref(3)?.as_str()?;
        let payload = Payload::from_stored("environment-renamed", row.get(2)?, payload);
        // In a damaged file another entry may be there: verify finds it.
        if let Ok(Payload::EnvironmentRenamed(renamed)) = payload {
            let entry = (row.get(0)?, row.get(1)?);
            rename_environment_of_deployments(connection, entry, &renamed.from, &renamed.to)?;
        }
    }
    Ok(())
}

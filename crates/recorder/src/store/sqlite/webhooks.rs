//! How far webhooks have come.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::ledger::Ledger;

/// The names of the environments of an organization, archived ones included, by id.
pub(super) fn environment_names(
    connection: &Connection,
    org: &str,
) -> rusqlite::Result<BTreeMap<i64, String>> {
    connection
        .prepare_cached(
            "SELECT id, name FROM environment
             WHERE org_id = (SELECT id FROM org WHERE name = $1)",
        )?
        .query_map([org], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Registers a webhook, which begins after the entries that there are, unless it is registered. Returns
/// the last entry that it has handled, by organization.
pub(super) fn register_webhook(
    connection: &Connection,
    webhook: &str,
) -> rusqlite::Result<BTreeMap<String, i64>> {
    let is_new = connection
        .prepare_cached("INSERT INTO webhook (id) VALUES ($1) ON CONFLICT (id) DO NOTHING")?
        .execute([webhook])?
        > 0;
    if is_new {
        connection
            .prepare_cached(
                "INSERT INTO webhook_position (org_id, webhook, seq)
                 SELECT id, $1, (SELECT coalesce(max(seq), 0) FROM ledger WHERE org_id = org.id)
                 FROM org WHERE true
                 ON CONFLICT (org_id, webhook) DO NOTHING",
            )?
            .execute([webhook])?;
    }
    connection
        .prepare_cached(
            "SELECT org.name, seq FROM webhook_position JOIN org ON org.id = org_id
             WHERE webhook = $1",
        )?
        .query_map([webhook], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Stores that the webhook has handled the organization's entries up to `seq`.
pub(super) fn save_position(ledger: &Ledger<'_>, webhook: &str, seq: i64) -> rusqlite::Result<()> {
    ledger
        .connection
        .prepare_cached(
            "INSERT INTO webhook_position (org_id, webhook, seq) VALUES ($1, $2, $3)
             ON CONFLICT (org_id, webhook) DO UPDATE SET seq = excluded.seq",
        )?
        .execute(params![ledger.org_id, webhook, seq])
        .map(drop)
}

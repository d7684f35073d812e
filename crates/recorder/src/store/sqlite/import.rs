//! A store in memory that is made of a ledger alone.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::verify::{self, AttachmentCheck, VerifyError, verify_connection};
use super::{IN_MEMORY, SqliteStore, ledger, open_in_memory, projection};
use crate::domain::{Head, LedgerEntry, Payload};

impl SqliteStore {
    /// A store in memory with the ledger of one organization, which has to end with `head` and is verified as
    /// that of a file is. It has no attachments, and its times of reports are those in the ledger. The
    /// environment that the entry with number `in_use` created is in use in it even if it was archived.
    ///
    /// # Errors
    /// The ledger does not verify.
    pub fn from_ledger(
        head: &Head,
        entries: &[LedgerEntry],
        in_use: i64,
    ) -> Result<Self, VerifyError> {
        let mut connection = open_in_memory()?;
        let transaction =
            connection.transaction().map_err(|error| verify::failed(IN_MEMORY, error))?;
        import(&transaction, &head.org, entries)?;
        transaction.commit().map_err(|error| verify::failed(IN_MEMORY, error))?;
        verify_connection(&mut connection, IN_MEMORY, Some(head), AttachmentCheck::Absent)?;
        connection
            .execute("UPDATE environment SET archived_at = NULL WHERE id = $1", [in_use])
            .map_err(|error| verify::failed(IN_MEMORY, error))?;
        Ok(Self::on_memory(connection)?)
    }
}

/// Adds the entries to the organization's ledger, and what follows from them to the tables.
fn import(connection: &Connection, org: &str, entries: &[LedgerEntry]) -> Result<(), VerifyError> {
    let failed = |error| verify::failed(IN_MEMORY, error);
    let org_id = ledger::find_or_create_org_id(connection, org).map_err(failed)?;
    let mut heartbeats = BTreeMap::new();
    for entry in entries {
        ledger::insert(connection, org_id, &entry.as_entry(org), entry.hash).map_err(failed)?;
        let payload =
            Payload::from_stored(&entry.kind, entry.version, &entry.payload).map_err(|source| {
                VerifyError::Unknown { org: org.to_owned(), seq: entry.seq, source }
            })?;
        match &payload {
            Payload::Snapshot(taken) => heartbeats.insert(taken.environment, taken.heartbeat),
            Payload::Confirmed(confirmed) => {
                heartbeats.insert(confirmed.environment, confirmed.heartbeat)
            }
            _ => None,
        };
        projection::apply(connection, org_id, entry.seq, entry.recorded_at, &payload)
            .map_err(|failure| VerifyError::contradiction(org, entry.seq, failure))?;
    }
    for (environment, heartbeat) in heartbeats {
        connection
            .execute(
                "INSERT INTO reporting (org_id, environment_id, last_reported_at, heartbeat, tasks_hash)
                 SELECT org_id, id, reported_in_ledger_at, $1, zeroblob(32) FROM environment
                 WHERE org_id = $2 AND id = $3 AND reported_in_ledger_at IS NOT NULL",
                params![heartbeat, org_id, environment],
            )
            .map_err(failed)?;
    }
    Ok(())
}

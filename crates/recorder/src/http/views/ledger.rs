//! View of the ledger.

use envsnap_model::wire;

use crate::domain::LedgerEntry;

pub(crate) fn ledger_entry(entry: LedgerEntry) -> wire::LedgerEntry {
    wire::LedgerEntry {
        seq: entry.seq,
        recorded_at: entry.recorded_at.0,
        kind: entry.kind,
        version: entry.version,
        actor: entry.actor,
        hash: entry.hash.to_string(),
        payload: entry.payload,
    }
}

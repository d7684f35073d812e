//! Requests that are repeated because their answers were lost.

use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::super::failure::Failure;
use super::super::ledger::Ledger;
use crate::domain::{Head, Payload};

/// A request that says the same as one before it, so many seconds later at the most, repeats it.
/// Clients repeat for less than a minute.
const REPEATED_WITHIN: i64 = 600;

/// How many expired reports are forgotten with each new one, so that a write after many others does
/// not take longer.
const MOST_FORGOTTEN: u32 = 10;

/// What a report says and by whom it is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReportDigest([u8; 32]);

impl ReportDigest {
    pub(super) fn new(ledger: &Ledger<'_>, payload: &Payload) -> Result<Self, Failure> {
        let mut hasher = Sha256::new();
        for part in [ledger.actor, payload.kind(), &payload.to_text()?] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Ok(Self(hasher.finalize().into()))
    }

    /// The latest entry that said the same and is not older than what a request repeats.
    pub(super) fn earlier(self, ledger: &Ledger<'_>) -> rusqlite::Result<Option<i64>> {
        ledger
            .connection
            .prepare_cached(
                "SELECT seq FROM recent_report
                 WHERE org_id = $1 AND digest = $2 AND recorded_at >= $3",
            )?
            .query_row(params![ledger.org_id, &self.0[..], oldest(ledger)], |row| row.get(0))
            .optional()
    }

    /// Remembers that the entry at `head` says it, for as long as it may be repeated.
    pub(super) fn remember(self, ledger: &Ledger<'_>, head: &Head) -> rusqlite::Result<()> {
        ledger
            .connection
            .prepare_cached(
                "INSERT INTO recent_report (org_id, digest, seq, recorded_at)
                 VALUES ($1, $2, $3, $4)
                 ON CONFLICT (org_id, digest)
                 DO UPDATE SET seq = excluded.seq, recorded_at = excluded.recorded_at",
            )?
            .execute(params![ledger.org_id, &self.0[..], head.seq, ledger.now.0])?;
        ledger
            .connection
            .prepare_cached(
                "DELETE FROM recent_report
                 WHERE org_id = $1 AND digest IN (
                     SELECT digest FROM recent_report WHERE org_id = $1 AND recorded_at < $2
                     ORDER BY recorded_at LIMIT $3)",
            )?
            .execute(params![ledger.org_id, oldest(ledger), MOST_FORGOTTEN])?;
        Ok(())
    }
}

fn oldest(ledger: &Ledger<'_>) -> i64 {
    ledger.now.0.saturating_sub(REPEATED_WITHIN * 1_000_000)
}

/// Appends an entry, unless an entry says the same that still stands: for one that was replaced
/// meanwhile, the same report is news.
pub(super) fn append_unless_repeated(
    ledger: &Ledger<'_>,
    payload: &Payload,
    still_stands: impl FnOnce(i64) -> Result<bool, Failure>,
) -> Result<Head, Failure> {
    let digest = ReportDigest::new(ledger, payload)?;
    if let Some(earlier) = digest.earlier(ledger)?
        && still_stands(earlier)?
    {
        return Ok(ledger.head()?);
    }
    let head = ledger.append(payload)?;
    digest.remember(ledger, &head)?;
    Ok(head)
}

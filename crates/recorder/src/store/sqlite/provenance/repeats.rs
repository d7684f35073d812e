//! Requests that are repeated because their answers were lost.

use rusqlite::{OptionalExtension as _, params};

use super::super::failure::Failure;
use super::super::ledger::Ledger;
use crate::domain::provenance::DeploymentReported;
use crate::domain::{Head, Payload, hash_fields};

/// A request that says the same as one before it, so many seconds later at the most, repeats it.
/// Clients repeat for less than a minute.
const REPEATED_WITHIN: i64 = 600;

/// How many expired reports are forgotten with each new one, so that a write after many others does
/// not take longer.
const MAX_PRUNED_PER_WRITE: u32 = 10;

/// What a report says and the label of the token that sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReportDigest([u8; 32]);

impl ReportDigest {
    pub(super) fn new(actor: &str, payload: &Payload) -> Result<Self, Failure> {
        let text = match payload {
            // The recorder numbers deployments.
            Payload::DeploymentReported(deployment) => {
                let deployment = DeploymentReported { number: 0, ..deployment.clone() };
                Payload::DeploymentReported(deployment).to_text()?
            }
            other => other.to_text()?,
        };
        Ok(Self(hash_fields([actor, payload.kind(), &text].map(str::as_bytes))))
    }

    /// The latest entry that said the same and is not older than what a request repeats.
    pub(super) fn earlier(self, ledger: &Ledger<'_>) -> Result<Option<i64>, Failure> {
        let found: Option<(i64, String, i64, String, String)> = ledger
            .connection
            .prepare_cached(
                "SELECT ledger.seq, ledger.kind, ledger.version, ledger.payload, ledger.actor
                 FROM recent_report
                 JOIN ledger ON ledger.org_id = recent_report.org_id
                     AND ledger.seq = recent_report.seq
                 WHERE recent_report.org_id = $1 AND digest = $2 AND ledger.recorded_at >= $3",
            )?
            .query_row(params![ledger.org_id, &self.0[..], oldest(ledger)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })
            .optional()?;
        let Some((seq, kind, version, text, actor)) = found else { return Ok(None) };
        // The table is not covered by the ledger: what it says must not make a report disappear.
        let says_the_same = Payload::from_stored(&kind, version, &text)
            .is_ok_and(|payload| Self::new(&actor, &payload).is_ok_and(|digest| digest == self));
        Ok(says_the_same.then_some(seq))
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
            .execute(params![ledger.org_id, oldest(ledger), MAX_PRUNED_PER_WRITE])?;
        Ok(())
    }
}

fn oldest(ledger: &Ledger<'_>) -> i64 {
    ledger.now.0.saturating_sub(REPEATED_WITHIN * 1_000_000)
}

/// Appends an entry, unless an entry says the same that is current: for one that was replaced
/// meanwhile, the same report is news.
pub(super) fn append_unless_repeated(
    ledger: &Ledger<'_>,
    payload: &Payload,
    is_current: impl FnOnce(i64) -> Result<bool, Failure>,
) -> Result<Head, Failure> {
    let digest = ReportDigest::new(ledger.actor, payload)?;
    if let Some(earlier) = digest.earlier(ledger)?
        && is_current(earlier)?
    {
        return Ok(ledger.head()?);
    }
    let head = ledger.append(payload)?;
    digest.remember(ledger, &head)?;
    Ok(head)
}

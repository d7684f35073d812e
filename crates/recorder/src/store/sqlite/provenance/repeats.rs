//! Recognizes reports that a client repeats because it lost the response, so that they are recorded once.

use rusqlite::{OptionalExtension as _, params};

use super::super::failure::Failure;
use super::super::ledger::Ledger;
use crate::domain::provenance::DeploymentReported;
use crate::domain::{Head, Payload, hash_fields};

/// An equal report within so many seconds is taken for a retry, and not recorded again. Clients retry for
/// less than a minute.
const REPEAT_WINDOW_SECONDS: i64 = 600;

/// How many expired digests are deleted with each new report at the most, which bounds the duration of a
/// write.
const MAX_PRUNED_PER_WRITE: u32 = 10;

/// The hash of the content of a report and the label of the token that sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReportDigest([u8; 32]);

impl ReportDigest {
    /// The digest of a report by the token with the label `actor`.
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

    /// The sequence number of the entry that recorded an equal report within the repeat window.
    pub(super) fn earlier_entry(self, ledger: &Ledger<'_>) -> Result<Option<i64>, Failure> {
        let found: Option<(i64, String, i64, String, String)> = ledger
            .connection
            .prepare_cached(
                "SELECT ledger.seq, ledger.kind, ledger.version, ledger.payload, ledger.actor
                 FROM recent_report
                 JOIN ledger ON ledger.org_id = recent_report.org_id
                     AND ledger.seq = recent_report.seq
                 WHERE recent_report.org_id = $1 AND digest = $2 AND ledger.recorded_at >= $3",
            )?
            .query_row(params![ledger.org_id, &self.0[..], repeat_window_start(ledger)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })
            .optional()?;
        let Some((seq, kind, version, text, actor)) = found else { return Ok(None) };
        // The table is not covered by the ledger: what it says must not make a report disappear.
        let has_same_digest = Payload::from_stored(&kind, version, &text)
            .is_ok_and(|payload| Self::new(&actor, &payload).is_ok_and(|digest| digest == self));
        Ok(has_same_digest.then_some(seq))
    }

    /// Stores that the entry at `head` recorded this report, and deletes some expired digests.
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
            .execute(params![ledger.org_id, repeat_window_start(ledger), MAX_PRUNED_PER_WRITE])?;
        Ok(())
    }
}

/// When the repeat window that ends now began, in microseconds since the Unix epoch.
fn repeat_window_start(ledger: &Ledger<'_>) -> i64 {
    ledger.now.0.saturating_sub(REPEAT_WINDOW_SECONDS * 1_000_000)
}

/// Appends an entry, unless an equal one was recorded within the repeat window and `is_current`, given its
/// sequence number, says that no other report has replaced it since.
pub(super) fn append_unless_repeated(
    ledger: &Ledger<'_>,
    payload: &Payload,
    is_current: impl FnOnce(i64) -> Result<bool, Failure>,
) -> Result<Head, Failure> {
    let digest = ReportDigest::new(ledger.actor, payload)?;
    if let Some(earlier) = digest.earlier_entry(ledger)?
        && is_current(earlier)?
    {
        return Ok(ledger.head()?);
    }
    let head = ledger.append(payload)?;
    digest.remember(ledger, &head)?;
    Ok(head)
}

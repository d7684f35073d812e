//! What is allowed to run without provenance.

use super::super::environments;
use super::super::failure::Failure;
use super::super::ledger::Ledger;
use super::reader::Reader;
use super::repeats::append_unless_repeated;
use crate::domain::provenance::{
    AllowanceRecord, AllowanceRequest, AllowanceWithdrawn, Allowed, NamePattern, RecordId,
    built_in_allowance,
};
use crate::domain::{Error, Head, Micros, Payload};

/// An allowance as it is applied.
pub(super) struct Allowance {
    fingerprint: String,
    pattern: Option<NamePattern>,
    reason: String,
}

impl Allowance {
    /// Whether it is for the artifact with this fingerprint, `""` if it is unknown, and this name.
    fn is_for(&self, fingerprint: &str, name: &str) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.matches(name),
            None => !fingerprint.is_empty() && self.fingerprint == fingerprint,
        }
    }
}

/// Why the artifact may run, if it may.
pub(super) fn allowance_reason(
    allowances: &[Allowance],
    fingerprint: &str,
    name: &str,
) -> Option<String> {
    let found = allowances.iter().find(|allowance| allowance.is_for(fingerprint, name));
    let stored = found.map(|allowance| allowance.reason.clone());
    stored.or_else(|| built_in_allowance(name).map(str::to_owned))
}

impl Reader<'_> {
    /// What counts in an environment.
    pub(super) fn allowances_in(&self, environment: i64) -> rusqlite::Result<Vec<Allowance>> {
        self.connection
            .prepare_cached(
                "SELECT fingerprint, pattern, reason FROM allowance
                 WHERE org_id = $1 AND (environment_id IS NULL OR environment_id = $2)
                   AND withdrawn_at IS NULL
                 ORDER BY seq",
            )?
            .query_map([self.org_id, environment], |row| {
                let pattern: String = row.get(1)?;
                Ok(Allowance {
                    fingerprint: row.get(0)?,
                    pattern: (!pattern.is_empty()).then(|| NamePattern::new(&pattern)),
                    reason: row.get(2)?,
                })
            })?
            .collect()
    }

    /// Everything that is allowed, the earliest first.
    pub(super) fn allowances(&self) -> Result<Vec<AllowanceRecord>, Failure> {
        let allowances = self
            .connection
            .prepare_cached(
                "SELECT allowance.seq, environment.name, allowance.fingerprint, allowance.name,
                        allowance.pattern, allowance.reason, ledger.actor, allowance.recorded_at
                 FROM allowance
                 JOIN ledger ON ledger.org_id = allowance.org_id AND ledger.seq = allowance.seq
                 LEFT JOIN environment ON environment.org_id = allowance.org_id
                     AND environment.id = allowance.environment_id
                 WHERE allowance.org_id = $1 AND allowance.withdrawn_at IS NULL
                 ORDER BY allowance.seq",
            )?
            .query_map([self.org_id], |row| {
                Ok(AllowanceRecord {
                    id: self.id(row.get(0)?),
                    environment: row.get(1)?,
                    fingerprint: row.get(2)?,
                    name: row.get(3)?,
                    pattern: row.get(4)?,
                    reason: row.get(5)?,
                    allowed_by: row.get(6)?,
                    allowed_at: Some(Micros(row.get(7)?)),
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(allowances)
    }
}

/// Allows software to run without provenance.
pub(super) fn allow(ledger: &Ledger<'_>, request: AllowanceRequest) -> Result<Head, Failure> {
    let environment = request
        .environment
        .map(|name| environments::find_active(ledger.connection, ledger.org, &name))
        .transpose()?
        .map(|environment| environment.id);
    let allowed = Payload::Allowed(Allowed {
        environment,
        fingerprint: request.fingerprint,
        name: request.name,
        pattern: request.pattern,
        reason: request.reason,
    });
    append_unless_repeated(ledger, &allowed, |earlier| Ok(is_in_force(ledger, earlier)?))
}

/// Whether what entry `seq` allowed was not withdrawn.
fn is_in_force(ledger: &Ledger<'_>, seq: i64) -> rusqlite::Result<bool> {
    ledger
        .connection
        .prepare_cached(
            "SELECT 1 FROM allowance WHERE org_id = $1 AND seq = $2 AND withdrawn_at IS NULL",
        )?
        .exists([ledger.org_id, seq])
}

/// Withdraws what was allowed.
pub(super) fn withdraw(ledger: &Ledger<'_>, id: &str) -> Result<Head, Failure> {
    let mut found = RecordId::seq_in(id, ledger.org);
    if let Some(seq) = found
        && !is_in_force(ledger, seq)?
    {
        found = None;
    }
    let Some(allowance) = found else {
        let (org, id) = (ledger.org.to_owned(), id.to_owned());
        return Err(Error::AllowanceNotFound { org, id }.into());
    };
    ledger.append(&Payload::AllowanceWithdrawn(AllowanceWithdrawn { allowance }))
}

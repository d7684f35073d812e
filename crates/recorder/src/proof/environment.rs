//! What the ledger says of an environment itself: its names, whether it is archived, and who reported.

use std::collections::BTreeMap;

use super::{Ledger, ProofError};
use crate::domain::{EntryHash, Error, LedgerEntry, Micros, Payload};
use crate::store::sqlite::VerifyError;

/// What a ledger says of an environment, apart from what ran in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LedgerEnvironment {
    /// The number of the entry that created it.
    pub(super) id: i64,
    name: String,
    /// Earlier names and until when it had them, the earliest first.
    pub(super) former_names: Vec<(String, Micros)>,
    /// Since when it is archived, and the label of the token that archived it.
    pub(super) archived: Option<(Micros, String)>,
    /// By the snapshot's number in the environment.
    pub(super) entries: BTreeMap<u32, SnapshotEntry>,
}

/// The ledger entry that recorded a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SnapshotEntry {
    pub(super) seq: i64,
    pub(super) hash: EntryHash,
    /// The label of the token that reported it.
    pub(super) reported_by: String,
}

impl LedgerEnvironment {
    /// The environment that has this name when the ledger ends, also if it is archived.
    pub(super) fn find(ledger: &Ledger, name: &str) -> Result<Self, ProofError> {
        let org = &ledger.head().head.org;
        let mut environments = BTreeMap::new();
        for entry in ledger.entries() {
            let payload = Payload::from_stored(&entry.kind, entry.version, &entry.payload);
            let payload = payload.map_err(|source| VerifyError::Unknown {
                org: org.clone(),
                seq: entry.seq,
                source,
            })?;
            apply_entry(&mut environments, entry, payload);
        }
        let mut renamed = None;
        for environment in environments.into_values() {
            if environment.name == name {
                return Ok(environment);
            }
            let former = environment.former_names.iter().rev().find(|(former, _)| former == name);
            let former = former.map(|(_, until)| (*until, environment.name.clone()));
            renamed = former.max(renamed);
        }
        if let Some((at, new_name)) = renamed {
            return Err(ProofError::Renamed { name: name.to_owned(), new_name, at });
        }
        let (org, name) = (org.clone(), name.to_owned());
        Err(Error::EnvironmentNotFound { org, name, archived: false }.into())
    }
}

/// Changes the environments, by the numbers of the entries that created them, as one entry says.
fn apply_entry(
    environments: &mut BTreeMap<i64, LedgerEnvironment>,
    entry: &LedgerEntry,
    payload: Payload,
) {
    let at = entry.recorded_at;
    let mut change = |id: i64, change: &dyn Fn(&mut LedgerEnvironment)| {
        if let Some(environment) = environments.get_mut(&id) {
            change(environment);
        }
    };
    match payload {
        Payload::EnvironmentCreated(created) => {
            let environment = LedgerEnvironment {
                id: entry.seq,
                name: created.name,
                former_names: Vec::new(),
                archived: None,
                entries: BTreeMap::new(),
            };
            environments.insert(entry.seq, environment);
        }
        Payload::EnvironmentRenamed(renamed) => change(renamed.environment, &|it| {
            it.former_names.push((renamed.from.clone(), at));
            it.name.clone_from(&renamed.to);
        }),
        Payload::EnvironmentArchived(archived) => {
            change(archived.environment, &|it| it.archived = Some((at, entry.actor.clone())));
        }
        Payload::EnvironmentRestored(restored) => {
            change(restored.environment, &|it| it.archived = None);
        }
        Payload::Snapshot(taken) => change(taken.environment, &|it| {
            let reported_by = entry.actor.clone();
            it.entries.insert(
                taken.index,
                SnapshotEntry { seq: entry.seq, hash: entry.hash, reported_by },
            );
        }),
        _ => {}
    }
}

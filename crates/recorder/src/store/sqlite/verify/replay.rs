//! Replays the ledgers into new tables.

use std::collections::BTreeMap;

use envsnap_model::snapshot::{Artifact, Snapshot};
use rusqlite::{Connection, params};

use super::super::{keep_statements, projection, rows, schema};
use super::{LedgerSummary, Verified, VerifyError};
use crate::domain::{Entry, EntryHash, Head, Micros, Payload, SnapshotTaken};

/// The ledgers as far as they were read, and the tables that follow from them.
pub(super) struct Replay<'a> {
    expected: Option<&'a Head>,
    after_expected: Option<i64>,
    /// By the organization's number in the file.
    ledgers: BTreeMap<i64, ReplayedLedger>,
    tables: Connection,
}

/// The state of a ledger after the entries that were read.
struct ReplayedLedger {
    head: Head,
    /// What runs in each environment.
    running: BTreeMap<i64, (u32, Snapshot)>,
    snapshots: u64,
    environments: u64,
}

/// An entry as it is in the file.
struct Row {
    org_id: i64,
    org: Option<String>,
    seq: i64,
    recorded_at: Micros,
    kind: String,
    version: i64,
    actor: String,
    hash: Vec<u8>,
    payload: String,
}

/// Selects the ids of the organizations that have entries, with one index step for each: the query runs
/// for every thousand entries, and DISTINCT would scan all entries each time.
pub(super) const ORGANIZATIONS_QUERY: &str = "
    WITH RECURSIVE orgs (id) AS (
        SELECT min(org_id) FROM ledger
        UNION ALL
        SELECT (SELECT min(org_id) FROM ledger WHERE org_id > orgs.id) FROM orgs
        WHERE orgs.id IS NOT NULL
    )
    SELECT id FROM orgs WHERE id IS NOT NULL ORDER BY id";

impl<'a> Replay<'a> {
    pub(super) fn new(expected: Option<&'a Head>) -> rusqlite::Result<Self> {
        let tables = Connection::open_in_memory()?;
        keep_statements(&tables)?;
        schema::create(&tables)?;
        // Rolled back when the connection is closed.
        tables.execute_batch("BEGIN")?;
        Ok(Self { expected, after_expected: None, ledgers: BTreeMap::new(), tables })
    }

    /// The database in memory with the tables that follow from the entries read.
    pub(super) fn tables(&self) -> &Connection {
        &self.tables
    }

    /// The same as [`Self::tables`], to keep.
    pub(super) fn into_tables(self) -> Connection {
        self.tables
    }

    /// Reads, verifies and applies at most `most` entries of one ledger that were not read yet. Returns
    /// whether there were any.
    pub(super) fn read_next_entries(
        &mut self,
        connection: &Connection,
        most: u32,
        failed: &impl Fn(rusqlite::Error) -> VerifyError,
    ) -> Result<bool, VerifyError> {
        let orgs: Vec<i64> = connection
            .prepare_cached(ORGANIZATIONS_QUERY)
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .map_err(failed)?;
        for org_id in orgs {
            let after = self.ledgers.get(&org_id).map_or(i64::MIN, |ledger| ledger.head.seq);
            let entries = read_entries(connection, org_id, after, most).map_err(failed)?;
            let any = !entries.is_empty();
            for entry in &entries {
                self.verify_and_apply(entry, failed)?;
            }
            if any {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Verifies the sequence number and the hash of an entry, and applies it to the tables in memory.
    fn verify_and_apply(
        &mut self,
        row: &Row,
        failed: &impl Fn(rusqlite::Error) -> VerifyError,
    ) -> Result<(), VerifyError> {
        let Some(org) = row.org.clone() else {
            return Err(VerifyError::Nameless { org_id: row.org_id });
        };
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.ledgers.entry(row.org_id) {
            self.tables
                .execute("INSERT INTO org (id, name) VALUES ($1, $2)", params![row.org_id, org])
                .map_err(failed)?;
            let head = Head { org: org.clone(), seq: 0, hash: EntryHash::NONE };
            vacant.insert(ReplayedLedger {
                head,
                running: BTreeMap::new(),
                snapshots: 0,
                environments: 0,
            });
        }
        let Some(ledger) = self.ledgers.get_mut(&row.org_id) else { return Ok(()) };
        let (seq, before) = (row.seq, ledger.head.seq);
        if seq != before + 1 {
            return Err(VerifyError::Gap { org, wanted: before + 1, found: seq });
        }
        let entry = Entry {
            org: &org,
            seq,
            recorded_at: row.recorded_at,
            kind: &row.kind,
            version: row.version,
            actor: &row.actor,
            payload: &row.payload,
        };
        let hash = entry.hash(ledger.head.hash);
        if row.hash[..] != hash.as_bytes()[..] {
            return Err(VerifyError::Broken { org, seq, before });
        }
        ledger.head = Head { org: org.clone(), seq, hash };
        if self.expected.is_some_and(|expected| *expected == ledger.head) {
            self.after_expected = Some(0);
        } else if self.expected.is_some_and(|expected| expected.org == org) {
            self.after_expected = self.after_expected.map(|after| after + 1);
        }
        let payload = Payload::from_stored(&row.kind, row.version, &row.payload)
            .map_err(|source| VerifyError::Unknown { org: org.clone(), seq, source })?;
        let contradiction =
            |reason: String| VerifyError::Contradiction { org: org.clone(), seq, reason };
        match &payload {
            Payload::Snapshot(snapshot) => {
                ledger.check_snapshot(snapshot).map_err(contradiction)?;
            }
            Payload::EnvironmentCreated(_) => ledger.environments += 1,
            _ => {}
        }
        projection::apply(&self.tables, row.org_id, seq, row.recorded_at, &payload)
            .map_err(|failure| VerifyError::contradiction(&org, seq, failure))
    }

    /// The summaries of the ledgers that were read. `actual` are the heads in the file, for the error if
    /// the expected head was not among the entries.
    pub(super) fn finish(&mut self, actual: Vec<Head>) -> Result<Verified, VerifyError> {
        if let Some(expected) = self.expected
            && self.after_expected.is_none()
            && expected.seq > 0
        {
            let actual = actual.into_iter().find(|head| head.org == expected.org).map(Box::new);
            return Err(VerifyError::UnknownHead { expected: Box::new(expected.clone()), actual });
        }
        let mut ledgers: Vec<_> = std::mem::take(&mut self.ledgers)
            .into_values()
            .map(|ledger| LedgerSummary {
                after_expected: self
                    .after_expected
                    .filter(|_| self.expected.is_some_and(|it| it.org == ledger.head.org)),
                head: ledger.head,
                snapshots: ledger.snapshots,
                environments: ledger.environments,
            })
            .collect();
        ledgers.sort_by(|a, b| a.head.org.cmp(&b.head.org));
        Ok(Verified { ledgers })
    }
}

impl ReplayedLedger {
    /// Checks that a snapshot has the next index, and that its content hash is that of the previous
    /// snapshot with its changes.
    fn check_snapshot(&mut self, snapshot: &SnapshotTaken) -> Result<(), String> {
        let (index, running) = self.running.entry(snapshot.environment).or_default();
        if snapshot.index != *index + 1 {
            return Err(format!("snapshot #{} follows #{index}", snapshot.index));
        }
        *index = snapshot.index;
        for change in &snapshot.changes {
            let fingerprint = rows::fingerprint(&change.fingerprint)
                .map_err(|_| "an artifact has a malformed fingerprint".to_owned())?;
            running.set(Artifact { name: change.name.clone(), fingerprint, replicas: change.now });
        }
        self.snapshots += 1;
        if running.content_hash() == snapshot.content_hash {
            Ok(())
        } else {
            Err("what runs in it has another content hash".to_owned())
        }
    }
}

/// At most `most` entries of an organization's ledger, from the one after sequence number `after`.
fn read_entries(
    connection: &Connection,
    org_id: i64,
    after: i64,
    most: u32,
) -> rusqlite::Result<Vec<Row>> {
    connection
        .prepare_cached(
            "SELECT ledger.org_id, org.name, seq, recorded_at, kind, version, actor, hash, payload
             FROM ledger LEFT JOIN org ON org.id = ledger.org_id
             WHERE ledger.org_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        )?
        .query_map(params![org_id, after, most], |row| {
            Ok(Row {
                org_id: row.get(0)?,
                org: row.get(1)?,
                seq: row.get(2)?,
                recorded_at: Micros(row.get(3)?),
                kind: row.get(4)?,
                version: row.get(5)?,
                actor: row.get(6)?,
                hash: row.get(7)?,
                payload: row.get(8)?,
            })
        })?
        .collect()
}

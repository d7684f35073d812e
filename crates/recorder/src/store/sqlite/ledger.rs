//! The ledger in the file.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::failure::Failure;
use super::projection;
use crate::domain::{ClockCorrected, Entry, EntryHash, Head, LedgerEntry, Micros, Payload};

/// A clock that was set back by more than this is recorded in the ledger, in seconds. Synchronization sets a
/// clock back by less.
const CLOCK_TOLERANCE_SECS: i64 = 60;

/// The organization's number in the file; the organization is created if it does not exist.
pub(super) fn find_or_create_org_id(connection: &Connection, org: &str) -> rusqlite::Result<i64> {
    if let Some(id) = find_org(connection, org)? {
        return Ok(id);
    }
    connection
        .prepare_cached("INSERT INTO org (id, name) SELECT coalesce(max(id), 0) + 1, $1 FROM org")?
        .execute([org])?;
    let id = find_org(connection, org)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    if has_entries(connection, id)? {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some("a ledger has entries, but its organization is missing in table org".to_owned()),
        ));
    }
    Ok(id)
}

fn has_entries(connection: &Connection, org_id: i64) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM ledger WHERE org_id = $1 LIMIT 1")?.exists([org_id])
}

/// The organization's number in the file, if it exists.
pub(super) fn find_org(connection: &Connection, org: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM org WHERE name = $1")?
        .query_row([org], |row| row.get(0))
        .optional()
}

/// The last entry of the organization's ledger: number 0, with no hash, if there is none.
pub(super) fn head(connection: &Connection, org: &str) -> rusqlite::Result<Head> {
    let last = connection
        .prepare_cached(
            "SELECT seq, hash FROM ledger WHERE org_id = (SELECT id FROM org WHERE name = $1)
             ORDER BY seq DESC LIMIT 1",
        )?
        .query_row([org], |row| Ok((row.get(0)?, EntryHash::from(row.get::<_, [u8; 32]>(1)?))))
        .optional()?;
    let (seq, hash) = last.unwrap_or((0, EntryHash::NONE));
    Ok(Head { org: org.to_owned(), seq, hash })
}

/// The last entry of every organization's ledger, by organization.
pub(super) fn heads(connection: &Connection) -> rusqlite::Result<Vec<Head>> {
    let orgs = organizations(connection)?;
    orgs.iter().map(|org| head(connection, org)).collect()
}

/// How many entries all ledgers have together, from the highest row id: none is ever removed.
pub(super) fn count_entries(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT coalesce(max(rowid), 0) FROM ledger")?
        .query_row([], |row| row.get(0))
}

/// Every organization that has a ledger, by name.
pub(super) fn organizations(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached("SELECT name FROM org ORDER BY name")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// One read of entries ends with the entry that brings the payloads to this many bytes.
const MAX_ENTRIES_BYTES: usize = 4 << 20;

/// The most entries of one read.
const MAX_ENTRIES: u32 = 10_000;

/// The entries that follow the entry with number `after`, in order, as far as one read goes
/// ([`MAX_ENTRIES`], [`MAX_ENTRIES_BYTES`]).
pub(super) fn entries(
    connection: &Connection,
    org: &str,
    after: i64,
) -> rusqlite::Result<Vec<LedgerEntry>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, recorded_at, kind, version, actor, hash, payload FROM ledger
         WHERE org_id = (SELECT id FROM org WHERE name = $1) AND seq > $2 ORDER BY seq LIMIT $3",
    )?;
    let mut rows = statement.query(params![org, after, MAX_ENTRIES])?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while bytes < MAX_ENTRIES_BYTES
        && let Some(row) = rows.next()?
    {
        let entry = LedgerEntry {
            seq: row.get(0)?,
            recorded_at: Micros(row.get(1)?),
            kind: row.get(2)?,
            version: row.get(3)?,
            actor: row.get(4)?,
            hash: EntryHash::from(row.get::<_, [u8; 32]>(5)?),
            payload: row.get(6)?,
        };
        bytes += entry.payload.len();
        entries.push(entry);
    }
    Ok(entries)
}

/// Adds an entry to the table of the ledgers. Fails also if a trigger leaves the row out.
pub(super) fn insert(
    connection: &Connection,
    org_id: i64,
    entry: &Entry<'_>,
    hash: EntryHash,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO ledger (org_id, seq, recorded_at, kind, version, actor, hash, payload)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )?
        .insert(params![
            org_id,
            entry.seq,
            entry.recorded_at.0,
            entry.kind,
            entry.version,
            entry.actor,
            &hash.as_bytes()[..],
            entry.payload,
        ])
        .map(drop)
}

/// A write to one organization's ledger.
pub(super) struct Ledger<'a> {
    pub(super) connection: &'a Connection,
    pub(super) org: &'a str,
    pub(super) org_id: i64,
    /// The label of the token.
    pub(super) actor: &'a str,
    /// The time of every entry of this write.
    pub(super) now: Micros,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        org: &'a str,
        actor: &'a str,
        now: Micros,
    ) -> rusqlite::Result<Self> {
        let org_id = find_or_create_org_id(connection, org)?;
        Ok(Self { connection, org, org_id, actor, now })
    }

    /// Appends an entry and updates the tables. If the clock was set back since the entry before it, an entry
    /// that records this is appended first.
    pub(super) fn append(&self, payload: &Payload) -> Result<Head, Failure> {
        let latest = self
            .connection
            .prepare_cached(
                "SELECT recorded_at FROM ledger WHERE org_id = $1 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row([self.org_id], |row| row.get(0).map(Micros))
            .optional()?;
        if let Some(latest) = latest.filter(|latest| self.clock_was_set_back_since(*latest)) {
            self.append_one(&Payload::ClockCorrected(ClockCorrected { latest }))?;
        }
        self.append_one(payload)
    }

    /// Appends an entry and updates the tables, whatever the time of the entry before it.
    fn append_one(&self, payload: &Payload) -> Result<Head, Failure> {
        let previous = head(self.connection, self.org)?;
        let text = payload.to_text()?;
        let entry = Entry {
            org: self.org,
            seq: previous.seq + 1,
            recorded_at: self.now,
            kind: payload.kind(),
            version: payload.version(),
            actor: self.actor,
            payload: &text,
        };
        let hash = entry.hash(previous.hash);
        insert(self.connection, self.org_id, &entry, hash)?;
        projection::apply(self.connection, self.org_id, entry.seq, self.now, payload)?;
        Ok(Head { org: self.org.to_owned(), seq: entry.seq, hash })
    }

    /// Whether the clock was set back since `time`, by more than synchronization does.
    pub(super) fn clock_was_set_back_since(&self, time: Micros) -> bool {
        time.seconds_since(self.now) > CLOCK_TOLERANCE_SECS
    }

    pub(super) fn head(&self) -> rusqlite::Result<Head> {
        head(self.connection, self.org)
    }
}

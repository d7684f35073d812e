//! The ledger in a bundle.

use std::io::{BufRead, Read as _};

use envsnap_model::wire;

use crate::domain::{EntryHash, Head, LedgerEntry, Micros, SignedHead};
use crate::http::views;

/// The longest line of a ledger in a bundle: no entry that is recorded is half as long.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// All entries of an organization's ledger up to a head, whose hashes were verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    head: SignedHead,
    entries: Vec<LedgerEntry>,
}

/// The entries are not a ledger that ends with a head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    #[error("the ledger of organization '{org}' is empty")]
    Empty { org: String },
    #[error("entry {seq} of the ledger cannot be read: {reason}")]
    Malformed { seq: usize, reason: String },
    #[error(
        "the ledger breaks at entry {seq}: that entry was changed, or one before it was changed or removed"
    )]
    Broken { seq: i64 },
    #[error("the ledger does not end with its head \"{head}\", but with entry {last}")]
    OtherHead { head: Box<Head>, last: i64 },
}

impl Ledger {
    /// Verifies the hashes of the entries, from the first one to the last, which must be `head`.
    ///
    /// # Errors
    /// They are not complete, or a hash does not hold.
    pub fn new(head: SignedHead, entries: Vec<wire::LedgerEntry>) -> Result<Self, LedgerError> {
        let org = &head.head.org;
        let mut hash = EntryHash::NONE;
        let mut checked = Vec::with_capacity(entries.len());
        for (seq, entry) in (1_i64..).zip(entries) {
            let wire::LedgerEntry { recorded_at, kind, version, actor, payload, .. } = entry;
            let recorded_at = Micros(recorded_at);
            let mut checked_entry =
                LedgerEntry { seq, recorded_at, kind, version, actor, hash, payload };
            hash = checked_entry.as_entry(org).hash(hash);
            if entry.seq != seq || entry.hash != hash.to_string() {
                return Err(LedgerError::Broken { seq });
            }
            checked_entry.hash = hash;
            checked.push(checked_entry);
        }
        let Some(last) = checked.last() else {
            return Err(LedgerError::Empty { org: org.clone() });
        };
        if (last.seq, hash) != (head.head.seq, head.head.hash) {
            let last = last.seq;
            return Err(LedgerError::OtherHead { head: Box::new(head.head), last });
        }
        Ok(Self { head, entries: checked })
    }

    /// Reads and verifies a ledger that [`Self::to_lines`] has written.
    pub(super) fn from_lines(
        head: SignedHead,
        mut lines: impl BufRead,
    ) -> Result<Self, LedgerError> {
        let mut entries = Vec::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            let malformed =
                |reason: String| LedgerError::Malformed { seq: entries.len() + 1, reason };
            let read = (&mut lines).take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
            if read.map_err(|error| malformed(error.to_string()))? == 0 {
                return Self::new(head, entries);
            }
            let entry = serde_json::from_slice(&line);
            entries.push(entry.map_err(|error| malformed(error.to_string()))?);
        }
    }

    /// The entries, as a JSON object on each line.
    pub(super) fn to_lines(&self) -> serde_json::Result<Vec<u8>> {
        let mut lines = Vec::new();
        for entry in &self.entries {
            serde_json::to_writer(&mut lines, &views::ledger_entry(entry.clone()))?;
            lines.push(b'\n');
        }
        Ok(lines)
    }

    pub fn head(&self) -> &SignedHead {
        &self.head
    }

    pub(super) fn entries(&self) -> &[LedgerEntry] {
        &self.entries
    }

    /// When the last entry was recorded.
    pub(super) fn recorded_at(&self) -> Micros {
        self.entries.last().map_or(Micros(0), |entry| entry.recorded_at)
    }

    /// Whether one of the entries is the one that `head` names, with the same hash.
    pub(super) fn contains(&self, head: &Head) -> bool {
        let entry = usize::try_from(head.seq - 1).ok().and_then(|at| self.entries.get(at));
        head.org == self.head.head.org && entry.is_some_and(|entry| entry.hash == head.hash)
    }
}

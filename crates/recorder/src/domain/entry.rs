//! Ledger entries and their hash.

use super::{Micros, hash_fields};
use envsnap_model::EntryHash;

/// The first field of the hash of an entry: the meaning and the version of the fields that follow.
const HASH_DOMAIN_TAG: &[u8] = b"envsnap ledger entry 1";

/// An entry of a ledger, without its hash.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub org: &'a str,
    /// The position in the organization's ledger: 1, 2, 3 … without gaps.
    pub seq: i64,
    /// Entries are ordered by `seq`, never by this time.
    pub recorded_at: Micros,
    /// What it says, such as `snapshot`.
    pub kind: &'a str,
    /// The version of the payload's format.
    pub version: i64,
    /// The label of the token that made the request.
    pub actor: &'a str,
    /// Canonical JSON.
    pub payload: &'a str,
}

impl Entry<'_> {
    /// The hash of this entry, which follows the entry with the hash `previous`.
    pub fn hash(&self, previous: EntryHash) -> EntryHash {
        let fields: [&[u8]; 9] = [
            HASH_DOMAIN_TAG,
            previous.as_bytes(),
            self.org.as_bytes(),
            &self.seq.to_be_bytes(),
            &self.recorded_at.0.to_be_bytes(),
            self.kind.as_bytes(),
            &self.version.to_be_bytes(),
            self.actor.as_bytes(),
            self.payload.as_bytes(),
        ];
        EntryHash::from(hash_fields(fields))
    }
}

/// An entry of a ledger with its hash, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    pub seq: i64,
    pub recorded_at: Micros,
    pub kind: String,
    pub version: i64,
    pub actor: String,
    pub hash: EntryHash,
    /// Canonical JSON.
    pub payload: String,
}

impl LedgerEntry {
    /// This entry of the ledger of `org`, without its hash.
    pub fn as_entry<'a>(&'a self, org: &'a str) -> Entry<'a> {
        let Self { seq, recorded_at, kind, version, actor, payload, .. } = self;
        Entry { org, seq: *seq, recorded_at: *recorded_at, kind, version: *version, actor, payload }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    const ENTRY: Entry<'_> = Entry {
        org: "acme",
        seq: 2,
        recorded_at: Micros(1_661_161_162_500_000),
        kind: "snapshot",
        version: 1,
        actor: "ci",
        payload: "{}",
    };

    #[test]
    fn entry_hash_is_the_sha256_of_a_tag_the_previous_hash_and_all_fields_with_their_lengths() {
        let mut bytes = Vec::new();
        for field in [
            &b"envsnap ledger entry 1"[..],
            &[7; 32],
            b"acme",
            &[0, 0, 0, 0, 0, 0, 0, 2],
            &1_661_161_162_500_000_i64.to_be_bytes(),
            b"snapshot",
            &[0, 0, 0, 0, 0, 0, 0, 1],
            b"ci",
            b"{}",
        ] {
            bytes.extend([0, 0, 0, 0, 0, 0, 0, u8::try_from(field.len()).unwrap()]);
            bytes.extend(field);
        }
        let hash = ENTRY.hash(EntryHash::from([7; 32]));
        assert_eq!(hash.as_bytes()[..], Sha256::digest(&bytes)[..]);
    }

    #[test]
    fn entry_hash_changes_with_each_field_and_with_the_previous_hash() {
        let others = [
            Entry { org: "acm", ..ENTRY },
            Entry { seq: 3, ..ENTRY },
            Entry { recorded_at: Micros(1), ..ENTRY },
            Entry { kind: "snapshots", ..ENTRY },
            Entry { version: 2, ..ENTRY },
            Entry { actor: "ci{}", payload: "", ..ENTRY },
            Entry { payload: "{ }", ..ENTRY },
        ];
        let hash = ENTRY.hash(EntryHash::NONE);
        assert_ne!(hash, ENTRY.hash(EntryHash::from([1; 32])));
        for other in others {
            assert_ne!(hash, other.hash(EntryHash::NONE), "{other:?}");
        }
    }
}

//! The ledger of an organization. Only this project's recorder has one.

use serde::{Deserialize, Serialize};

/// The number, the hash and the signature of the last entry of a ledger: the response of
/// `GET /ledger/{org}/head`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerHead {
    /// The organization.
    pub org: String,
    /// The number of its last entry; 0 if there is none.
    pub seq: i64,
    /// The hash of that entry, in hexadecimal digits.
    pub hash: String,
    /// The text that is signed: `org=…; seq=…; hash=…`.
    pub text: String,
    /// Identifies the key: the first 16 hexadecimal digits of the SHA-256 of the public key in its DER
    /// form. `None` if the recorder has no key.
    pub key: Option<String>,
    /// The Ed25519 signature of the text, in hexadecimal digits.
    pub signature: Option<String>,
}

/// Entries of a ledger, in order: the response of `GET /ledger/{org}/entries`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntries {
    /// Empty if there are none after the one that was named.
    pub entries: Vec<LedgerEntry>,
}

/// An entry of a ledger. Its [hash](crate::EntryHash) covers the other fields, the organization and the
/// hash of the entry before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerEntry {
    /// Its number: 1, 2, 3 … without gaps.
    pub seq: i64,
    /// In microseconds since the Unix epoch.
    pub recorded_at: i64,
    /// What it says, such as `snapshot`.
    pub kind: String,
    /// The version of the payload's format.
    pub version: i64,
    /// The label of the token that it was written with.
    pub actor: String,
    /// In hexadecimal digits.
    pub hash: String,
    /// Canonical JSON, as it is hashed.
    pub payload: String,
}

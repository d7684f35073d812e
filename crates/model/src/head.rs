//! The head of an organization's ledger.

use std::fmt;
use std::str::FromStr;

use crate::wire::is_environment_name;

/// SHA-256 over an entry and the hash before it, written as 64 lowercase hexadecimal digits.
///
/// Hashed are these fields, each as its length in bytes (8 bytes, big-endian) and the bytes
/// themselves; numbers are 8 bytes, big-endian, two's complement:
///
/// 1. `envsnap ledger entry 1`;
/// 2. the hash of the entry before it (32 bytes; zeros before the first);
/// 3. the organization;
/// 4. the sequence number;
/// 5. when it was recorded, in microseconds since the Unix epoch;
/// 6. its kind;
/// 7. the version of its kind;
/// 8. the label of the token that it was written with;
/// 9. its payload, the canonical JSON text that is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EntryHash([u8; 32]);

/// The text is not 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hash of a ledger entry is 64 lowercase hexadecimal digits")]
pub struct ParseEntryHashError;

/// The text is not a head of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a ledger's head is written as \"org=NAME; seq=NUMBER; hash=64 hexadecimal digits\", and a \
     signed one goes on with \"; key=16 hexadecimal digits; signature=128 hexadecimal digits\""
)]
pub struct ParseLedgerHeadError;

/// The last entry of an organization's ledger, as responses to writes carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The organization.
    pub org: String,
    /// The sequence number of its last entry; 0 if there is none.
    pub seq: i64,
    /// The hash of that entry.
    pub hash: EntryHash,
}

/// An Ed25519 signature of the text of a [`Head`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HeadSignature {
    /// The first 8 bytes of the SHA-256 of the public key in its DER form (`SubjectPublicKeyInfo`).
    pub key_id: [u8; 8],
    /// The signature.
    pub bytes: [u8; 64],
}

/// A head, signed if the recorder has a key.
///
/// It is written as the head, followed by `; key=…; signature=…` in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// The head, of which the signature is of the text.
    pub head: Head,
    /// `None` if the recorder has no key.
    pub signature: Option<HeadSignature>,
}

impl EntryHash {
    /// In place of the hash before a ledger's first entry: zeros.
    pub const NONE: Self = Self([0; 32]);

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for EntryHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for EntryHash {
    type Err = ParseEntryHashError;

    fn from_str(text: &str) -> Result<Self, ParseEntryHashError> {
        decode_lowercase_hex(text).map(Self).ok_or(ParseEntryHashError)
    }
}

impl fmt::Display for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `org=cyber-dojo; seq=4711; hash=…`
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "org={}; seq={}; hash={}", self.org, self.seq, self.hash)
    }
}

impl FromStr for Head {
    type Err = ParseLedgerHeadError;

    fn from_str(text: &str) -> Result<Self, ParseLedgerHeadError> {
        let mut fields = HeadFields(text.split(';'));
        let head = fields.parse_head()?;
        if fields.0.next().is_some() { Err(ParseLedgerHeadError) } else { Ok(head) }
    }
}

impl fmt::Debug for HeadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `key=…; signature=…`
impl fmt::Display for HeadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key={}; signature={}", hex::encode(self.key_id), hex::encode(self.bytes))
    }
}

impl fmt::Display for SignedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head.fmt(f)?;
        self.signature.map_or(Ok(()), |signature| write!(f, "; {signature}"))
    }
}

impl FromStr for SignedHead {
    type Err = ParseLedgerHeadError;

    fn from_str(text: &str) -> Result<Self, ParseLedgerHeadError> {
        let mut fields = HeadFields(text.split(';'));
        let head = fields.parse_head()?;
        if fields.0.clone().next().is_none() {
            return Ok(Self { head, signature: None });
        }
        let signature = HeadSignature {
            key_id: fields.next_bytes("key")?,
            bytes: fields.next_bytes("signature")?,
        };
        if fields.0.next().is_some() {
            return Err(ParseLedgerHeadError);
        }
        Ok(Self { head, signature: Some(signature) })
    }
}

/// The remaining fields of a head's text, separated by `;`.
struct HeadFields<'a>(std::str::Split<'a, char>);

impl<'a> HeadFields<'a> {
    /// The value of the next field, which has to have this name.
    fn next_value(&mut self, name: &str) -> Result<&'a str, ParseLedgerHeadError> {
        match self.0.next().map(|field| field.trim().split_once('=')) {
            Some(Some((found, value))) if found == name => Ok(value),
            _ => Err(ParseLedgerHeadError),
        }
    }

    fn next_bytes<const N: usize>(&mut self, name: &str) -> Result<[u8; N], ParseLedgerHeadError> {
        decode_lowercase_hex(self.next_value(name)?).ok_or(ParseLedgerHeadError)
    }

    fn parse_head(&mut self) -> Result<Head, ParseLedgerHeadError> {
        let org = self.next_value("org")?;
        if !is_environment_name(org) {
            return Err(ParseLedgerHeadError);
        }
        let seq = self
            .next_value("seq")?
            .parse()
            .ok()
            .filter(|seq| *seq >= 0)
            .ok_or(ParseLedgerHeadError)?;
        let hash = self.next_value("hash")?.parse().map_err(|_| ParseLedgerHeadError)?;
        Ok(Head { org: org.to_owned(), seq, hash })
    }
}

/// `None` unless `text` is exactly 2 N lowercase hexadecimal digits.
fn decode_lowercase_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_ledger_head_parses_to_the_same_head_and_malformed_ones_are_rejected() {
        let head =
            Head { org: "cyber-dojo".to_owned(), seq: 4711, hash: EntryHash::from([171; 32]) };
        let text = format!("org=cyber-dojo; seq=4711; hash={}", "ab".repeat(32));
        assert_eq!(head.to_string(), text);
        assert_eq!(text.parse(), Ok(head.clone()));
        assert_eq!(text.replace("; ", ";").parse(), Ok(head));
        for wrong in [
            "",
            "seq=1; org=a; hash=00",
            &text.replace("4711", "-1"),
            &text.replace("ab", "AB"),
            &format!("{text}; more=1"),
            &text.replace("cyber-dojo", "a b"),
        ] {
            assert_eq!(wrong.parse::<Head>(), Err(ParseLedgerHeadError), "{wrong}");
        }
    }
}

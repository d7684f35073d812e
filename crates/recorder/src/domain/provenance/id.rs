//! Identifiers of reports, as the API shows them.

use std::fmt;
use std::str::FromStr;

use crate::domain::hash_fields;

/// The first field of the hash in an identifier: the meaning and the version of the fields that follow.
const HASH_DOMAIN_TAG: &[u8] = b"envsnap record id 1";

/// The identifier of an entry of a ledger: `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxx` in lowercase hexadecimal
/// digits. The last group is the entry's sequence number; the others are a hash, so that the
/// identifier of one organization means nothing in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordId {
    prefix: [u8; 10],
    seq: u32,
}

impl RecordId {
    /// The identifier of entry `seq` of the organization's ledger.
    pub fn new(org: &str, seq: i64) -> Self {
        let seq = u32::try_from(seq).unwrap_or(u32::MAX);
        let hash = hash_fields([HASH_DOMAIN_TAG, org.as_bytes(), &seq.to_be_bytes()]);
        let mut prefix = [0; 10];
        prefix.copy_from_slice(&hash[..10]);
        Self { prefix, seq }
    }

    /// The sequence number of the entry that `text` identifies in the organization's ledger; `None` if it is
    /// not an identifier of this organization.
    pub fn seq_in(text: &str, org: &str) -> Option<i64> {
        let id: Self = text.parse().ok()?;
        (Self::new(org, id.seq.into()) == id).then_some(id.seq.into())
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = hex::encode(self.prefix);
        let (one, two, three, four) =
            (&digits[..8], &digits[8..12], &digits[12..16], &digits[16..]);
        write!(f, "{one}-{two}-{three}-{four}-{:08x}", self.seq)
    }
}

/// The text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier such as 763af9cc-b908-456d-935c-f4deb860")]
pub struct ParseRecordIdError;

impl FromStr for RecordId {
    type Err = ParseRecordIdError;

    fn from_str(text: &str) -> Result<Self, ParseRecordIdError> {
        let groups: Vec<_> = text.split('-').collect();
        let lengths: Vec<_> = groups.iter().map(|group| group.len()).collect();
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if lengths != [8, 4, 4, 4, 8] || !groups.iter().all(|group| group.bytes().all(is_digit)) {
            return Err(ParseRecordIdError);
        }
        let mut prefix = [0; 10];
        hex::decode_to_slice(groups[..4].concat(), &mut prefix).map_err(|_| ParseRecordIdError)?;
        let seq = u32::from_str_radix(groups[4], 16).map_err(|_| ParseRecordIdError)?;
        Ok(Self { prefix, seq })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn record_id_gives_its_sequence_number_in_its_own_organization_and_none_in_another(
            seq in 0..u32::MAX,
        ) {
            let id = RecordId::new("acme", seq.into()).to_string();
            prop_assert_eq!(RecordId::seq_in(&id, "acme"), Some(seq.into()));
            prop_assert_eq!(RecordId::seq_in(&id, "acme2"), None);
        }

        #[test]
        fn parsing_any_text_as_a_record_id_never_panics(text in "[0-9a-fA-Fé-]{0,40}") {
            let _ = RecordId::seq_in(&text, "acme");
        }
    }
}

//! The chain that every snapshot of a file is a link of, so that whoever noted a link can tell
//! whether what was recorded up to it was rewritten since.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// One link: SHA-256 over the link before it and a snapshot. Written as 64 lowercase hexadecimal
/// digits. The last link of a file is its *head*.
///
/// Hashed are the 32 bytes of the link before, then these fields, each as its length in bytes (8
/// bytes, big-endian) and the bytes themselves:
///
/// 1. `envsnap snapshot 1`, the version of this list;
/// 2. the environment's id in the file (8 bytes, big-endian), which a rename leaves as it is;
/// 3. its organization, 4. its type, and 5. its name when the snapshot was recorded, in UTF-8;
/// 6. the snapshot's index (8 bytes, big-endian);
/// 7. when it was recorded, in seconds since the Unix epoch (an IEEE 754 double, big-endian);
/// 8. the content hash of what runs in it (64 hexadecimal digits), and
/// 9. its artifacts, the JSON text that is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Link([u8; 32]);

/// The text is not 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a link of the chain is 64 lowercase hexadecimal digits")]
pub struct NotALink;

/// Everything of a snapshot that its link witnesses: whatever a reader is shown of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Witnessed<'a> {
    pub(super) environment_id: i64,
    pub(super) org: &'a str,
    pub(super) environment_type: &'a str,
    /// When it was recorded.
    pub(super) environment_name: &'a str,
    pub(super) index: i64,
    /// Seconds since the Unix epoch.
    pub(super) created_at: f64,
    pub(super) content_hash: &'a str,
    /// As it is stored.
    pub(super) artifacts: &'a str,
}

impl Link {
    /// What the first snapshot of a file follows, and the head of a file without snapshots: zeros.
    pub const GENESIS: Self = Self([0; 32]);

    /// The link of a snapshot that follows the snapshot of this one.
    pub(super) fn next(self, snapshot: &Witnessed<'_>) -> Self {
        let fields: [&[u8]; 9] = [
            b"envsnap snapshot 1",
            &snapshot.environment_id.to_be_bytes(),
            snapshot.org.as_bytes(),
            snapshot.environment_type.as_bytes(),
            snapshot.environment_name.as_bytes(),
            &snapshot.index.to_be_bytes(),
            &snapshot.created_at.to_be_bytes(),
            snapshot.content_hash.as_bytes(),
            snapshot.artifacts.as_bytes(),
        ];
        let mut hasher = Sha256::new_with_prefix(self.0);
        for field in fields {
            hasher.update((field.len() as u64).to_be_bytes());
            hasher.update(field);
        }
        Self(hasher.finalize().into())
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Link {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for Link {
    type Err = NotALink;

    fn from_str(text: &str) -> Result<Self, NotALink> {
        let mut bytes = [0; 32];
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NotALink);
        }
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotALink)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNAPSHOT: Witnessed<'_> = Witnessed {
        environment_id: 1,
        org: "acme",
        environment_type: "ECS",
        environment_name: "aws-prod",
        index: 65,
        created_at: 1_661_161_162.5,
        content_hash: "ab",
        artifacts: "[]",
    };

    #[test]
    fn a_link_is_of_the_documented_bytes() {
        let mut bytes = vec![0; 32];
        for field in [
            &b"envsnap snapshot 1"[..],
            &[0, 0, 0, 0, 0, 0, 0, 1],
            b"acme",
            b"ECS",
            b"aws-prod",
            &[0, 0, 0, 0, 0, 0, 0, 65],
            &[0x41, 0xd8, 0xc0, 0xd3, 0xb2, 0xa0, 0, 0],
            b"ab",
            b"[]",
        ] {
            bytes.extend([0, 0, 0, 0, 0, 0, 0, u8::try_from(field.len()).unwrap()]);
            bytes.extend(field);
        }
        let link = Link::GENESIS.next(&SNAPSHOT);
        assert_eq!(link.to_string(), hex::encode(Sha256::digest(bytes)));
        assert_eq!(link.to_string().parse(), Ok(link));
    }

    #[test]
    fn whatever_a_reader_is_shown_is_witnessed_and_so_is_what_came_before() {
        let link = Link::GENESIS.next(&SNAPSHOT);
        for other in [
            Witnessed { environment_id: 2, ..SNAPSHOT },
            Witnessed { org: "other", ..SNAPSHOT },
            Witnessed { environment_type: "K8S", ..SNAPSHOT },
            Witnessed { environment_name: "aws-beta", ..SNAPSHOT },
            Witnessed { index: 66, ..SNAPSHOT },
            Witnessed { created_at: 1_661_161_162.500_000_2, ..SNAPSHOT },
            Witnessed { content_hash: "ac", ..SNAPSHOT },
            Witnessed { artifacts: "[] ", ..SNAPSHOT },
            // The same bytes in a row, cut elsewhere.
            Witnessed { org: "acmeE", environment_type: "CS", ..SNAPSHOT },
        ] {
            assert_ne!(Link::GENESIS.next(&other), link, "{other:?}");
        }
        assert_ne!(link.next(&SNAPSHOT), link);
    }

    #[test]
    fn only_64_lowercase_digits_are_a_link() {
        let good = "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";
        assert!(good.parse::<Link>().is_ok());
        for bad in ["", &good[1..], &format!("{good}0"), &good.to_uppercase()] {
            assert_eq!(bad.parse::<Link>(), Err(NotALink), "{bad}");
        }
    }
}

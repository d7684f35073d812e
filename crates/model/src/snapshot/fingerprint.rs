//! Fingerprints of software.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// SHA-256 of an image's manifest, written as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// The text is not 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 64 lowercase hexadecimal digits")]
pub struct ParseFingerprintError;

impl Fingerprint {
    /// The fingerprint in an OCI digest, `sha256:` and 64 digits.
    ///
    /// # Errors
    /// The digest is of another algorithm, or malformed.
    pub fn from_digest(digest: &str) -> Result<Self, ParseFingerprintError> {
        digest.strip_prefix("sha256:").ok_or(ParseFingerprintError)?.parse()
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, ParseFingerprintError> {
        // The decoder would accept 0x before the digits.
        if text.len() != 64 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ParseFingerprintError);
        }
        const_hex::decode_to_array(text).map(Self).map_err(|_| ParseFingerprintError)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(const_hex::Buffer::<32>::new().format(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_64_lowercase_digits_are_a_fingerprint() {
        let good = "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625";
        assert_eq!(good.parse::<Fingerprint>().map(|f| f.to_string()), Ok(good.to_owned()));
        for bad in [
            "",
            &good[1..],
            &format!("{good}0"),
            &format!("0x{good}"),
            &format!("0x{}", &good[2..]),
            &format!("0X{}", &good[2..]),
            &good.to_uppercase(),
            &good.replace('9', "g"),
            &good.replace('9', "é"),
        ] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(ParseFingerprintError), "{bad}");
        }
    }

    #[test]
    fn a_digest_of_another_algorithm_is_no_fingerprint() {
        let hex = "ab".repeat(32);
        assert!(Fingerprint::from_digest(&format!("sha256:{hex}")).is_ok());
        for bad in [hex.clone(), format!("sha512:{hex}{hex}"), format!("SHA256:{hex}")] {
            assert_eq!(Fingerprint::from_digest(&bad), Err(ParseFingerprintError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn printed_fingerprint_parses_to_the_same_fingerprint(bytes in any::<[u8; 32]>()) {
            let fingerprint = Fingerprint::from(bytes);
            prop_assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        }

        #[test]
        fn parsing_a_fingerprint_never_panics(text in ".{0,80}") {
            let _ = text.parse::<Fingerprint>();
        }
    }
}

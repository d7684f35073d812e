//! Signatures of messages, as <https://www.standardwebhooks.com> describes them, so that receivers can
//! use a library.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;

use crate::secret_file::{SecretFile, SecretFileError};

const SECRET_FILE: SecretFile = SecretFile { what: "webhook secret", max_kib: 4 };

/// The allowed lengths of a secret in bytes, which Standard Webhooks specifies.
const SECRET_LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// The HMAC key that the sender and the receivers of webhook messages share.
#[derive(Clone)]
pub struct Secret(SecretSlice<u8>);

/// The file of a webhook secret cannot be read, or does not hold one.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(transparent)]
    File(#[from] SecretFileError),
    #[error(
        "{file} does not hold a webhook secret: \"whsec_\" and 24 to 64 bytes in base64. Make one with \
         echo \"whsec_$(openssl rand -base64 32)\""
    )]
    Malformed { file: String },
}

impl Secret {
    /// Reads the secret in a file.
    ///
    /// # Errors
    /// The file cannot be read, other users can read it, or it does not hold a webhook secret.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let text = SECRET_FILE.read(path)?;
        let encoded = text.expose_secret().trim().strip_prefix("whsec_");
        let key = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
        let key = key.filter(|key| SECRET_LENGTHS.contains(&key.len()));
        let malformed = || SecretError::Malformed { file: path.display().to_string() };
        key.map(|key| Self(key.into())).ok_or_else(malformed)
    }

    /// The value of the header `webhook-signature`. `timestamp` is in seconds since the Unix epoch.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &str) -> Option<String> {
        let mut hmac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).ok()?;
        hmac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        Some(format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes())))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_equals_the_test_vector_of_standard_webhooks() {
        // The example of the libraries' own tests.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = Secret(key.into()).sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            "{\"test\": 2432232314}",
        );
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }
}

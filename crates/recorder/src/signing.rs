//! Signatures of heads, by Ed25519 keys as OpenSSL makes them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePublicKey as _};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use envsnap_model::{Head, HeadSignature, SignedHead};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use crate::secret_file::{SecretFile, SecretFileError};

/// The file of the private key that heads are signed with.
const SIGNING_KEY: SecretFile = SecretFile { what: "signing key", max_kib: 16 };

/// Signs the heads of ledgers. Clones share one key.
#[derive(Clone)]
pub struct HeadSigner(Arc<(SigningKey, PublicKey)>);

/// Checks the signatures of the heads of ledgers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    /// The first 8 bytes of the SHA-256 of its DER form.
    id: [u8; 8],
}

/// A signing key or a public key cannot be read from its file.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file of the signing key cannot be read, or others can read it.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// The file of the public key cannot be read.
    #[error("cannot read the public key {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file is no key.
    #[error(
        "{} is not an Ed25519 {what} in PEM format. {remedy}", path.display()
    )]
    Malformed {
        path: PathBuf,
        what: &'static str,
        /// How to make one.
        remedy: &'static str,
    },
}

/// The head of a ledger is not signed by the given key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the head is not signed: the recorder had no key (serve --signing-key)")]
    Unsigned,
    #[error(
        "the head is signed by key {}, and the given public key is {}",
        hex::encode(found),
        hex::encode(given)
    )]
    OtherKey { found: [u8; 8], given: [u8; 8] },
    #[error("the signature does not match this head: the head or the signature was changed")]
    Invalid,
}

impl HeadSigner {
    /// Reads the key at `path`, as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// The file cannot be read, other users can read it, or it is no such key.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let pem = SIGNING_KEY.read(path)?;
        let malformed = || KeyError::Malformed {
            path: path.to_owned(),
            what: "private key",
            remedy: "Make one with openssl genpkey -algorithm ed25519 -out FILE",
        };
        let key = SigningKey::from_pkcs8_pem(pem.expose_secret()).map_err(|_| malformed())?;
        let public = PublicKey::new(key.verifying_key()).ok_or_else(malformed)?;
        Ok(Self(Arc::new((key, public))))
    }

    /// The signature of the text of `head`.
    pub fn sign(&self, head: &Head) -> HeadSignature {
        let (key, public) = &*self.0;
        HeadSignature { key_id: public.id, bytes: key.sign(head.to_string().as_bytes()).to_bytes() }
    }

    pub fn public_key(&self) -> &PublicKey {
        &self.0.1
    }
}

impl fmt::Debug for HeadSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeadSigner({})", self.public_key())
    }
}

impl PublicKey {
    /// `None` if the key has no DER form, from which its id is made.
    fn new(key: VerifyingKey) -> Option<Self> {
        let der = key.to_public_key_der().ok()?;
        let mut id = [0; 8];
        id.copy_from_slice(Sha256::digest(der.as_bytes()).get(..8)?);
        Some(Self { key, id })
    }

    /// Reads the key at `path`, as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// The file cannot be read, or it is no such key.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let pem = std::fs::read_to_string(path)
            .map_err(|source| KeyError::Unreadable { path: path.to_owned(), source })?;
        VerifyingKey::from_public_key_pem(&pem).ok().and_then(Self::new).ok_or_else(|| {
            KeyError::Malformed {
                path: path.to_owned(),
                what: "public key",
                remedy: "Make it of the signing key with openssl pkey -in KEY -pubout -out FILE",
            }
        })
    }

    /// Checks that `head` was signed with the private key.
    ///
    /// # Errors
    /// It was not.
    pub fn verify(&self, head: &SignedHead) -> Result<(), SignatureError> {
        let SignedHead { head, signature } = head;
        let HeadSignature { key_id, bytes } = signature.ok_or(SignatureError::Unsigned)?;
        if key_id != self.id {
            return Err(SignatureError::OtherKey { found: key_id, given: self.id });
        }
        self.key
            .verify_strict(head.to_string().as_bytes(), &Signature::from_bytes(&bytes))
            .map_err(|_| SignatureError::Invalid)
    }
}

/// Its id, in hexadecimal digits.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.id))
    }
}

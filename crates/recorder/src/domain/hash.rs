//! The hash of several fields.

use sha2::{Digest as _, Sha256};

/// SHA-256 over the fields, each as its length in bytes (8 bytes, big-endian) and the bytes themselves,
/// so that moving bytes from one field to the next changes the hash.
pub fn hash_fields<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for field in fields {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    hasher.finalize().into()
}

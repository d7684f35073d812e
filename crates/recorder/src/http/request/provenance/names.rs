//! The names that provenance may have.

use crate::domain::{Error, MAX_ENVIRONMENT_NAME_BYTES};
use crate::http::error::quote;
use crate::http::request::json::invalid;

/// Whether `text` has only ASCII letters, digits and `others`, at least one and not too many, and begins
/// with a letter or a digit if `strict`.
fn is_name(text: &str, others: &str, strict: bool) -> bool {
    let allowed = |byte: char| byte.is_ascii_alphanumeric() || others.contains(byte);
    !text.is_empty()
        && text.len() <= MAX_ENVIRONMENT_NAME_BYTES
        && text.chars().all(allowed)
        && (!strict || text.starts_with(|first: char| first.is_ascii_alphanumeric()))
}

fn is_flow_or_trail_name(name: &str) -> bool {
    is_name(name, "._~-", true)
}

/// # Errors
/// A flow cannot have this name.
pub(crate) fn check_flow_name(field: &str, name: &str) -> Result<(), Error> {
    check_pattern(is_flow_or_trail_name(name), field, name, "^[a-zA-Z0-9][a-zA-Z0-9._~-]*$")
}

/// # Errors
/// A trail cannot have this name.
pub(crate) fn check_trail_name(field: &str, name: &str) -> Result<(), Error> {
    check_pattern(is_flow_or_trail_name(name), field, name, "^[a-zA-Z0-9][a-zA-Z0-9._~-]*$")
}

/// # Errors
/// An attestation cannot have this name.
pub(super) fn check_attestation_name(name: &str) -> Result<(), Error> {
    check_pattern(is_name(name, "_,-", false), "attestation_name", name, "^[a-zA-Z0-9_,-]+$")
}

/// # Errors
/// An artifact cannot have this name in a template. A trail lists artifacts without a name
/// by their fingerprints.
pub(super) fn check_template_name(field: &str, name: &str) -> Result<(), Error> {
    if check_fingerprint(field, name).is_ok() {
        return Err(invalid(field, "must not have the form of a fingerprint"));
    }
    check_pattern(is_name(name, "_-", false), field, name, "^[a-zA-Z0-9_-]+$")
}

/// # Errors
/// An annotation cannot have this key.
pub(super) fn check_annotation_key(key: &str) -> Result<(), Error> {
    check_pattern(is_name(key, "_-", false), "annotations", key, "^[A-Za-z0-9_-]+$")
}

/// The error says that `name` does not match `pattern`, unless it `is_valid`.
fn check_pattern(is_valid: bool, field: &str, name: &str, pattern: &str) -> Result<(), Error> {
    if is_valid {
        return Ok(());
    }
    let name = quote(name);
    Err(invalid(
        field,
        format!(
            "'{name}' does not match '{pattern}', or is longer than {MAX_ENVIRONMENT_NAME_BYTES}"
        ),
    ))
}

/// # Errors
/// The text is not a whole fingerprint.
pub(super) fn check_fingerprint(field: &str, text: &str) -> Result<(), Error> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() == 64 && text.bytes().all(is_digit) {
        return Ok(());
    }
    Err(invalid(field, "must be 64 lowercase hexadecimal digits"))
}

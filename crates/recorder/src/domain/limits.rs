//! Limits of names.

/// The longest name of an environment, in bytes.
pub const MAX_ENVIRONMENT_NAME_BYTES: usize = 255;

/// The longest name of an organization, in bytes. It is part of every address on the page.
pub const MAX_ORG_NAME_BYTES: usize = 100;

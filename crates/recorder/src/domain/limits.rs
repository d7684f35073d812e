//! Limits of names.

/// The longest name of an environment, in bytes.
pub const MAX_ENVIRONMENT_NAME_BYTES: usize = 255;

/// The longest name of an organization, in bytes. The address of every web page contains it.
pub const MAX_ORG_NAME_BYTES: usize = 100;

//! How long names may be.

/// The longest name of an environment, in bytes.
pub const LONGEST_ENVIRONMENT_NAME: usize = 255;

/// The longest name of an organization, in bytes. It is part of every address on the page.
pub const LONGEST_ORG_NAME: usize = 100;

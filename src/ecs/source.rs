//! Which account and region to read, with which role.

/// An account and region, and the role that reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Source {
    /// `None` for the region of the process.
    pub region: Option<String>,
    /// `None` for the credentials of the process.
    pub role: Option<Role>,
}

/// A role to assume before reading.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Role {
    pub arn: String,
    /// Required by the role's trust policy, so that a reader cannot be tricked into using a role on
    /// behalf of another customer (the confused deputy).
    pub external_id: Option<String>,
}

impl Source {
    /// The account in the role's ARN.
    pub fn account(&self) -> Option<&str> {
        self.role.as_ref()?.arn.split(':').nth(4)
    }
}

//! Which account and region are read, and as whom.

/// An account and a region of it, and the role that may read them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Source {
    /// `None` for the region that the process itself is in.
    pub region: Option<String>,
    /// `None` for the process's own credentials.
    pub role: Option<Role>,
}

/// A role to take on before reading.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// What the role's trust policy may ask for, so that nobody is talked into reading for others.
    pub external_id: Option<String>,
}

impl Source {
    /// The account's number, where the role says it.
    pub fn account(&self) -> Option<&str> {
        self.role.as_ref()?.arn.split(':').nth(4)
    }
}

//! Collects the problems of a request's parameters.

use std::collections::BTreeMap;

use crate::domain::Error;

/// Problems by parameter name.
#[derive(Debug, Default)]
pub(crate) struct FieldErrors(BTreeMap<String, String>);

impl FieldErrors {
    /// Adds a problem; the first one of a parameter wins.
    pub(crate) fn add(&mut self, name: String, problem: String) {
        self.0.entry(name).or_insert(problem);
    }

    /// [`Error::Invalid`] with all problems, if there are any.
    pub(crate) fn into_result(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid { errors: self.0 }) }
    }
}

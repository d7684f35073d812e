//! What is wrong with a request's parameters.

use std::collections::BTreeMap;

use crate::domain::Error;

/// What is wrong, by the parameter's name.
#[derive(Debug, Default)]
pub(crate) struct FieldErrors(BTreeMap<String, String>);

impl FieldErrors {
    /// The first problem of a parameter stands.
    pub(crate) fn add(&mut self, name: String, problem: String) {
        self.0.entry(name).or_insert(problem);
    }

    pub(crate) fn into_result(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid { errors: self.0 }) }
    }
}

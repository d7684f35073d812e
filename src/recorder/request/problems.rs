//! What is wrong with a request's parameters.

use std::collections::BTreeMap;

use serde_json::Value;

/// What is wrong, by the parameter's name.
#[derive(Debug, Default)]
pub(super) struct Problems(BTreeMap<String, String>);

impl Problems {
    /// The first problem of a parameter stands.
    pub(super) fn add(&mut self, name: String, problem: String) {
        self.0.entry(name).or_insert(problem);
    }

    pub(super) fn into_result(self) -> Result<(), BTreeMap<String, Value>> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(self.0.into_iter().map(|(name, problem)| (name, Value::from(problem))).collect())
    }
}

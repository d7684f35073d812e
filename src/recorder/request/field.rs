//! The fields of a JSON object, and what is wrong with them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::recorder::answer::quote;

/// What is wrong with a body, by the field's path (`artifacts[0].digests`).
#[derive(Debug, Default)]
pub(in crate::recorder) struct Problems(BTreeMap<String, String>);

/// As many as a person reads: a hostile body could hold a million.
const MOST_PROBLEMS: usize = 100;

impl Problems {
    /// The first problem of a field stands.
    pub(super) fn add(&mut self, path: String, problem: impl Into<String>) {
        if !self.are_enough() {
            self.0.entry(path).or_insert_with(|| problem.into());
        }
    }

    /// Looking for more would change nothing.
    pub(super) fn are_enough(&self) -> bool {
        self.0.len() >= MOST_PROBLEMS
    }

    pub(super) fn into_result(self) -> Result<(), BTreeMap<String, Value>> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(self.0.into_iter().map(|(path, problem)| (path, Value::from(problem))).collect())
    }
}

/// One object of the body, and its path.
pub(super) struct Object<'a> {
    fields: &'a Map<String, Value>,
    path: String,
}

impl<'a> Object<'a> {
    /// `value` as an object that has no fields but `known` ones. The path of the body itself is
    /// empty.
    pub(super) fn of(
        value: &'a Value,
        path: String,
        known: &[&str],
        problems: &mut Problems,
    ) -> Option<Self> {
        let Some(fields) = value.as_object() else {
            let path = if path.is_empty() { "body".to_owned() } else { path };
            problems.add(path, wrong_type("an object", value));
            return None;
        };
        let object = Self { fields, path };
        for unknown in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            if problems.are_enough() {
                break;
            }
            problems.add(object.path_of(unknown), "is not a field of this request");
        }
        Some(object)
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        let name = quote(name);
        if self.path.is_empty() { name } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn required(&self, name: &str, problems: &mut Problems) -> Option<&'a Value> {
        let value = self.fields.get(name);
        if value.is_none() {
            problems.add(self.path_of(name), "is required");
        }
        value
    }

    /// A field that may be missing, or `null`.
    pub(super) fn optional(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn required_string(&self, name: &str, problems: &mut Problems) -> Option<&'a str> {
        let value = self.required(name, problems)?;
        string(value, || self.path_of(name), problems)
    }
}

/// `value` as a string; `path` is asked only for a problem.
pub(super) fn string<'a>(
    value: &'a Value,
    path: impl FnOnce() -> String,
    problems: &mut Problems,
) -> Option<&'a str> {
    if !value.is_string() {
        problems.add(path(), wrong_type("a string", value));
    }
    value.as_str()
}

/// Whether `text` has `most` bytes at the most; `path` is asked only for a problem.
pub(super) fn check_length(
    text: &str,
    most: usize,
    path: impl FnOnce() -> String,
    problems: &mut Problems,
) {
    if text.len() > most {
        problems.add(path(), format!("must not be longer than {most}"));
    }
}

pub(super) fn wrong_type(expected: &str, value: &Value) -> String {
    let actual = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    format!("must be {expected}, not {actual}")
}

//! JSON objects as clients reported them.

use serde_json::{Map, Value};

/// A JSON object as a client reported it. The text is kept as it came: numbers keep their digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details(String);

impl Details {
    /// Checks that `text` is a JSON object, and keeps it as it is.
    ///
    /// # Errors
    /// It is not a JSON object.
    pub fn new(text: String) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<Map<String, Value>>(&text)?;
        Ok(Self(text))
    }

    /// The JSON object with these fields.
    pub fn from_fields(fields: Map<String, Value>) -> Self {
        Self(Value::Object(fields).to_string())
    }

    /// The text of the JSON object, as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text of the JSON object, as it is stored.
    pub fn into_string(self) -> String {
        self.0
    }

    /// Its fields; none if the text is not an object.
    pub fn fields(&self) -> Map<String, Value> {
        fields(&self.0)
    }
}

/// The fields of a JSON object that is stored as text; none if the text is not an object.
pub fn fields(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

//! Fields of our own in a server's JSON.

use serde_json::{Value, json};

/// The object `text` with more fields before its own; a field whose value is null is left out. The
/// server's text stays as it is.
pub(super) fn add_fields<'a>(
    text: &str,
    fields: impl IntoIterator<Item = (&'a str, Value)>,
) -> String {
    let Some(rest) = text.trim_start().strip_prefix('{') else { return text.to_owned() };
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    let fields: Vec<_> = fields.map(|(name, value)| format!("{}: {value}", json!(name))).collect();
    if fields.is_empty() {
        return text.to_owned();
    }
    let separator = if rest.trim_start().starts_with('}') { "" } else { ", " };
    format!("{{{}{separator}{rest}", fields.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_fields_precede_the_servers_own_and_null_ones_are_left_out() {
        let fields = || [("a\"", json!([1])), ("b", Value::Null), ("c", json!("x"))];
        for (text, expected) in [
            ("{\"z\": 1.50}", "{\"a\\\"\": [1], \"c\": \"x\", \"z\": 1.50}"),
            ("{ }", "{\"a\\\"\": [1], \"c\": \"x\" }"),
            ("[]", "[]"),
        ] {
            assert_eq!(add_fields(text, fields()), expected);
        }
        assert_eq!(add_fields("{\"z\": 1}", [("b", Value::Null)]), "{\"z\": 1}");
    }
}

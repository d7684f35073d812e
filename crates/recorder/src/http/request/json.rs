//! Parsing of JSON bodies, with errors that name the path of the wrong field.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_path_to_error::Segment;

use crate::domain::Error;
use crate::http::error::quote;

/// A type that a JSON body is parsed into.
pub(crate) trait FromJson: Send + Sized + 'static {
    /// # Errors
    /// The body is not JSON, or not what the API documents, or over a limit: the error names the
    /// field.
    fn from_json(body: &[u8]) -> Result<Self, Error>;
}

/// A JSON object. Derived `Deserialize` also accepts an array with the fields in order; this does
/// not.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields))
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

/// Parses `body` as an object.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let not_json = |error| Error::bad_request(format!("The request body is not JSON: {error}"));
    let mut json = serde_json::Deserializer::from_slice(body);
    let Object(parsed) =
        serde_path_to_error::deserialize::<_, Object<T>>(&mut json).map_err(|error| {
            if error.inner().classify() == Category::Data {
                let (path, problem) = explain(error.path(), &error.inner().to_string());
                invalid(path, problem)
            } else {
                not_json(error.into_inner())
            }
        })?;
    json.end().map_err(not_json)?;
    Ok(parsed)
}

/// The error for a body whose field at `path` is wrong.
pub(crate) fn invalid(path: impl Into<String>, problem: impl Into<String>) -> Error {
    Error::Invalid { errors: BTreeMap::from([(path.into(), problem.into())]) }
}

/// The path of the wrong field, and its problem in the API's words. Quotes little of the body.
fn explain(path: &serde_path_to_error::Path, message: &str) -> (String, String) {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let mut path = format_path(path);
    let named = |kind: &str| message.strip_prefix(kind)?.split('`').nth(1);
    if let Some(field) = named("missing field ") {
        path = join_path(&path, field);
        return (path, "is required".to_owned());
    }
    if let Some(field) = named("duplicate field ") {
        return (path_with_field(path, field), "is given twice".to_owned());
    }
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let field = rest.rsplit_once("`, expected").map_or(rest, |(field, _)| field);
        return (path_with_field(path, field), "is not a field of this request".to_owned());
    }
    if path.is_empty() {
        "body".clone_into(&mut path);
    }
    let types = message.strip_prefix("invalid type: ").and_then(|it| it.rsplit_once(", expected "));
    let problem = match types {
        Some((actual, expected)) => format!("must be {expected}, not {}", type_name(actual)),
        None => message.to_owned(),
    };
    (path, problem)
}

/// `artifacts[0].digests`
fn format_path(path: &serde_path_to_error::Path) -> String {
    path.iter().fold(String::new(), |path, segment| match segment {
        Segment::Seq { index } => format!("{path}[{index}]"),
        Segment::Map { key } => join_path(&path, key),
        Segment::Enum { .. } | Segment::Unknown => path,
    })
}

/// `path.field`; a long field is shortened.
fn join_path(path: &str, field: &str) -> String {
    let field = quote(field);
    if path.is_empty() { field } else { format!("{path}.{field}") }
}

/// The path of `field` within `path`, which may end with the field already.
fn path_with_field(path: String, field: &str) -> String {
    let field_alone = quote(field);
    let is_named = path == field_alone || path.ends_with(&format!(".{field_alone}"));
    if is_named { path } else { join_path(&path, field) }
}

/// The JSON type in serde's description of a value, such as "integer `1`" or "string \"…\"", without the value.
fn type_name(actual: &str) -> &'static str {
    match actual.split([' ', '`']).next().unwrap_or_default() {
        "null" => "null",
        "boolean" => "a boolean",
        "integer" | "floating" | "number" => "a number",
        "string" => "a string",
        "sequence" => "an array",
        "map" => "an object",
        _ => "this",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::domain::{EnvironmentSettings, Report};

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "|ECS|[a-c]{64}|[a-z.~`]{1,5}| at line 1|`, expected ".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map(
                    "artifacts|taskArn|digests|creationTimestamp|cluster_name|name|[a-z`]{1,3}",
                    inner,
                    0..4
                )
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// Whether the body is accepted, or not JSON, or refused with the path of exactly one field.
    fn error_names_one_field<T: FromJson>(body: &Value) -> bool {
        let refusal = T::from_json(body.to_string().as_bytes()).err();
        refusal.is_none_or(|refusal| {
            refusal.errors().iter().all(|(path, problem)| {
                refusal.errors().len() == 1 && !path.is_empty() && !problem.contains(" at line ")
            })
        })
    }

    proptest! {
        #[test]
        fn error_for_any_invalid_json_document_names_exactly_one_field(body in any_json()) {
            prop_assert!(error_names_one_field::<Report>(&body));
            prop_assert!(error_names_one_field::<EnvironmentSettings>(&body));
        }

        #[test]
        fn parsing_any_bytes_as_a_report_never_panics(
            body in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let _ = Report::from_json(&body);
        }
    }
}

//! The bodies that create or change an environment.

use serde::{Deserialize, Deserializer};

use super::json::{FromJson, invalid, parse};
use super::text::{List, Text};
use crate::domain::{EnvironmentSettings, Error, MAX_ENVIRONMENT_NAME_BYTES, SettingsChange};
use envsnap_model::wire::{ECS, LOGICAL, is_environment_name};

/// The longest description of an environment, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 2_000;

/// The most environments that a logical one includes, and the most policies.
const MAX_NAMES: usize = 100;

/// The types that an environment may have.
pub(crate) const TYPES: [&str; 9] =
    ["K8S", ECS, "S3", "lambda", "server", "docker", "azure-apps", "cloud-run", LOGICAL];

/// The types that the recorder supports.
const SUPPORTED_TYPES: [&str; 2] = [ECS, LOGICAL];

/// The body of `PUT /environments/{org}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvironmentFields {
    name: Text<MAX_ENVIRONMENT_NAME_BYTES>,
    #[serde(rename = "type")]
    environment_type: Text<MAX_ENVIRONMENT_NAME_BYTES>,
    description: Text<MAX_DESCRIPTION_BYTES>,
    #[serde(default, deserialize_with = "optional_boolean")]
    include_scaling: Option<bool>,
    included_environments: Option<Names>,
    policies: Option<Names>,
    /// Deprecated: policies took its place. It is accepted and ignored.
    #[serde(default, deserialize_with = "optional_boolean")]
    #[expect(dead_code, reason = "only its type is checked")]
    require_provenance: Option<bool>,
}

type Names = List<Text<MAX_ENVIRONMENT_NAME_BYTES>, MAX_NAMES>;

fn to_strings(List(names): Names) -> Vec<String> {
    names.into_iter().map(String::from).collect()
}

fn optional_boolean<'de, D: Deserializer<'de>>(field: D) -> Result<Option<bool>, D::Error> {
    Option::deserialize(field)
}

impl FromJson for EnvironmentSettings {
    fn from_json(body: &[u8]) -> Result<Self, Error> {
        let fields: EnvironmentFields = parse(body)?;
        if !is_environment_name(&fields.name.0) {
            return Err(invalid("name", "does not match '^[a-zA-Z0-9][a-zA-Z0-9._-]*$'"));
        }
        let environment_type = &*fields.environment_type.0;
        if !TYPES.contains(&environment_type) {
            return Err(invalid("type", format!("is not one of {}", TYPES.join(", "))));
        }
        if !SUPPORTED_TYPES.contains(&environment_type) {
            return Err(invalid(
                "type",
                format!(
                    "cannot be {environment_type}: this recorder takes reports of what ECS runs and \
                     no others, so that nothing would ever be recorded in it. Use {}",
                    SUPPORTED_TYPES.join(" or ")
                ),
            ));
        }
        Ok(Self {
            name: fields.name.into(),
            environment_type: fields.environment_type.into(),
            description: fields.description.into(),
            include_scaling: fields.include_scaling,
            included_environments: fields.included_environments.map(to_strings),
            policies: fields.policies.map(to_strings),
        })
    }
}

/// The body of `PATCH /environments/{org}/{env}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangedFields {
    description: Option<Text<MAX_DESCRIPTION_BYTES>>,
    #[serde(default, deserialize_with = "optional_boolean")]
    include_scaling: Option<bool>,
    included_environments: Option<Names>,
    policies: Option<Names>,
}

impl FromJson for SettingsChange {
    fn from_json(body: &[u8]) -> Result<Self, Error> {
        let fields: ChangedFields = parse(body)?;
        Ok(Self {
            description: fields.description.map(String::from),
            include_scaling: fields.include_scaling,
            included_environments: fields.included_environments.map(to_strings),
            policies: fields.policies.map(to_strings),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The path of the field for which a body that creates an environment is refused, if it is.
    fn refused_field(body: &Value) -> Option<String> {
        let error = EnvironmentSettings::from_json(body.to_string().as_bytes()).err()?;
        error.errors().keys().next().cloned()
    }

    /// A valid body that creates an environment, except that `field` has this value.
    fn body_with(field: &str, value: Value) -> Value {
        let mut body = json!({"name": "aws-prod", "type": "ECS", "description": ""});
        body[field] = value;
        body
    }

    #[test]
    fn body_that_creates_an_environment_may_have_every_documented_field() {
        for body in [
            body_with("name", json!("0A.b_c-d")),
            body_with("type", json!("logical")),
            body_with("description", json!("d".repeat(2_000))),
            body_with("include_scaling", json!(null)),
            body_with("require_provenance", json!(true)),
            body_with("included_environments", json!(["a"])),
            body_with("policies", json!([])),
        ] {
            assert_eq!(refused_field(&body), None, "{body}");
        }
    }

    #[test]
    fn invalid_field_of_an_environment_is_refused_with_its_json_path() {
        let cases = [
            (json!("x"), "body"),
            (json!(["aws-prod", "ECS", ""]), "body"),
            (json!({"name": "a", "type": "ECS"}), "description"),
            (body_with("name", json!("")), "name"),
            (body_with("name", json!("-a")), "name"),
            (body_with("name", json!("a/b")), "name"),
            (body_with("name", json!("a\n")), "name"),
            (body_with("name", json!("é")), "name"),
            (body_with("name", json!("a~b")), "name"),
            (body_with("name", json!("n".repeat(256))), "name"),
            (body_with("type", json!("ecs")), "type"),
            (body_with("type", json!("cloud-run")), "type"),
            (body_with("type", json!(1)), "type"),
            (body_with("description", json!(null)), "description"),
            (body_with("description", json!("d".repeat(2_001))), "description"),
            (body_with("include_scaling", json!("true")), "include_scaling"),
            (body_with("policies", json!("p")), "policies"),
            (body_with("policies", json!(["p", 1])), "policies[1]"),
            (body_with("policies", json!(vec!["p"; 101])), "policies"),
            (
                body_with("included_environments", json!(["n".repeat(256)])),
                "included_environments[0]",
            ),
            (body_with("tags", json!({})), "tags"),
        ];
        for (body, expected) in cases {
            assert_eq!(refused_field(&body).as_deref(), Some(expected), "{body:.200}");
        }
    }
}

//! The body that makes or changes an environment.

use serde::Deserialize;
use serde_json::Value;

use super::Schema;
use super::field::{Object, Problems, check_length, string, wrong_type};
use crate::api::wire::is_environment_name;

/// What is to be of an environment. A field that is not given stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in crate::recorder) struct EnvironmentChange {
    pub(in crate::recorder) name: String,
    #[serde(rename = "type")]
    pub(in crate::recorder) environment_type: String,
    pub(in crate::recorder) description: String,
    pub(in crate::recorder) include_scaling: Option<bool>,
    pub(in crate::recorder) included_environments: Option<Vec<String>>,
    pub(in crate::recorder) policies: Option<Vec<String>>,
}

/// The longest name of an environment, in bytes.
pub(super) const LONGEST_NAME: usize = 255;

const FIELDS: [&str; 7] = [
    "name",
    "type",
    "description",
    "include_scaling",
    "included_environments",
    "policies",
    // Deprecated: policies took its place. It is read and means nothing.
    "require_provenance",
];
/// The types that an environment may have.
pub(in crate::recorder) const TYPES: [&str; 9] =
    ["K8S", "ECS", "S3", "lambda", "server", "docker", "azure-apps", "cloud-run", "logical"];

impl Schema for EnvironmentChange {
    fn check(body: &Value, problems: &mut Problems) {
        let Some(body) = Object::of(body, String::new(), &FIELDS, problems) else { return };
        if let Some(name) = body.required_string("name", problems) {
            if !is_environment_name(name) {
                problems.add("name".to_owned(), "does not match '^[a-zA-Z0-9][a-zA-Z0-9._-]*$'");
            }
            check_length(name, LONGEST_NAME, || "name".to_owned(), problems);
        }
        if let Some(given) = body.required_string("type", problems)
            && !TYPES.contains(&given)
        {
            problems.add("type".to_owned(), format!("is not one of {}", TYPES.join(", ")));
        }
        body.required_string("description", problems);
        for name in ["include_scaling", "require_provenance"] {
            if let Some(value) = body.optional(name).filter(|value| !value.is_boolean()) {
                problems.add(name.to_owned(), wrong_type("a boolean", value));
            }
        }
        for name in ["included_environments", "policies"] {
            match body.optional(name) {
                Some(Value::Array(items)) => {
                    for (at, item) in items.iter().enumerate() {
                        string(item, || format!("{name}[{at}]"), problems);
                    }
                }
                Some(other) => problems.add(name.to_owned(), wrong_type("an array", other)),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(body: &Value) -> Vec<String> {
        let mut problems = Problems::default();
        EnvironmentChange::check(body, &mut problems);
        problems.into_result().err().into_iter().flatten().map(|(path, _)| path).collect()
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = json!({"name": "aws-prod", "type": "ECS", "description": ""});
        body[field] = value;
        body
    }

    #[test]
    fn what_the_api_documents_is_accepted() {
        for body in [
            with("name", json!("0A.b_c-d")),
            with("type", json!("cloud-run")),
            with("include_scaling", json!(null)),
            with("require_provenance", json!(true)),
            with("included_environments", json!(["a"])),
            with("policies", json!([])),
        ] {
            assert_eq!(problems(&body), [""; 0], "{body}");
        }
    }

    #[test]
    fn each_wrong_field_is_named_by_its_path() {
        let cases = [
            (json!("x"), vec!["body"]),
            (json!({}), vec!["description", "name", "type"]),
            (with("name", json!("")), vec!["name"]),
            (with("name", json!("-a")), vec!["name"]),
            (with("name", json!("a/b")), vec!["name"]),
            (with("name", json!("a\n")), vec!["name"]),
            (with("name", json!("é")), vec!["name"]),
            (with("name", json!("a~b")), vec!["name"]),
            (with("name", json!("n".repeat(256))), vec!["name"]),
            (with("type", json!("ecs")), vec!["type"]),
            (with("type", json!(1)), vec!["type"]),
            (with("description", json!(null)), vec!["description"]),
            (with("include_scaling", json!("true")), vec!["include_scaling"]),
            (with("policies", json!("p")), vec!["policies"]),
            (with("policies", json!(["p", 1])), vec!["policies[1]"]),
            (with("tags", json!({})), vec!["tags"]),
        ];
        for (body, expected) in cases {
            assert_eq!(problems(&body), expected, "{body}");
        }
    }
}

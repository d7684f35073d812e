//! The API's own description of its answers, as far as the recorder gives them. Where the server
//! has moved on since it was written (`last_changed_at`; no flow is null), so has this.

use regex_lite::Regex;
use serde_json::{Map, Value};

/// Panics where `value` does not keep to the schema called `name`.
pub(crate) fn check(name: &str, value: &Value) {
    let schemas: Value = serde_json::from_str(include_str!("schemas.json")).unwrap();
    if let Err(problem) = valid(&schemas, &schemas[name], value, name) {
        panic!("{problem}: {value}");
    }
}

fn valid(schemas: &Value, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let none = Map::new();
    let fields = value.as_object().unwrap_or(&none);
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let wrong = |problem: &str| Err(format!("{path} {problem}"));
    for (keyword, said) in schema.as_object().unwrap_or_else(|| panic!("no schema for {path}")) {
        match keyword.as_str() {
            "type" if !is_of_type(said.as_str().unwrap(), value) => {
                return wrong(&format!("is not of type {said}"));
            }
            "const" if said != value => return wrong(&format!("is not {said}")),
            "pattern" => {
                let pattern = Regex::new(said.as_str().unwrap()).unwrap();
                if value.as_str().is_some_and(|text| !pattern.is_match(text)) {
                    return wrong(&format!("does not match {said}"));
                }
            }
            "required" => {
                let mut names = said.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
                if let Some(name) = names.find(|name| !fields.contains_key(*name)) {
                    return wrong(&format!("has no {name}"));
                }
            }
            "properties" => {
                for (name, schema) in properties {
                    if let Some(value) = fields.get(name) {
                        valid(schemas, schema, value, &format!("{path}.{name}"))?;
                    }
                }
            }
            "additionalProperties" if *said != true => {
                for (name, value) in fields.iter().filter(|(it, _)| !properties.contains_key(*it)) {
                    valid(schemas, said, value, &format!("{path}.{name}"))?;
                }
            }
            "items" => {
                for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                    valid(schemas, said, item, &format!("{path}[{at}]"))?;
                }
            }
            "anyOf" => {
                let choices = said.as_array().unwrap();
                if choices.iter().all(|schema| valid(schemas, schema, value, path).is_err()) {
                    return wrong("is none of what it may be");
                }
            }
            "$ref" => {
                let name = said.as_str().unwrap().rsplit('/').next().unwrap();
                valid(schemas, &schemas[name], value, path)?;
            }
            "type" | "const" | "additionalProperties" => {}
            unknown => panic!("{path} has the keyword {unknown}, which nobody checks"),
        }
    }
    Ok(())
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("{unknown} is no type"),
    }
}

#[test]
fn schema_violations_are_found() {
    use serde_json::json;

    let good = json!({"index": 1, "from": 1.5, "to": 0.0, "compliant": false, "duration": 2});
    check("GetSnapshotListItem", &good);
    let schemas: Value = serde_json::from_str(include_str!("schemas.json")).unwrap();
    let breaks =
        |schema: &str, value: &Value| valid(&schemas, &schemas[schema], value, "").is_err();
    for (field, value) in [("index", json!(1.5)), ("to", json!(null)), ("compliant", json!("no"))] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(breaks("GetSnapshotListItem", &bad), "{field}");
    }
    assert!(breaks("GetSnapshotListItem", &json!({"index": 1})));
    let artifact = |fingerprint: &str| {
        json!({"artifacts": [{
            "fingerprint": fingerprint, "name": "", "most_recent_timestamp": 1, "flow": null
        }]})
    };
    assert!(!breaks("DiffItem", &artifact("")));
    assert!(!breaks("DiffItem", &artifact(&"ab".repeat(32))));
    assert!(breaks("DiffItem", &artifact("ab")));
}

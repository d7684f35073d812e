//! The recorder's OpenAPI document, and responses that keep to it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use envsnap::recorder::{Access, SqliteStore};
use regex_lite::Regex;
use reqwest::header::{ALLOW, CONTENT_TYPE};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value};

use super::server::{Answer, Recorder, write_secret};

/// The recorder's OpenAPI document.
static OPENAPI: LazyLock<Value> = LazyLock::new(|| {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/recorder/src/http/openapi.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
});

fn schemas() -> &'static Value {
    &OPENAPI["components"]["schemas"]
}

/// What the `$ref` in `value` refers to, or `value` itself.
fn resolve_reference(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => OPENAPI.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

/// Panics if `value` does not match the schema called `name`.
pub(crate) fn check(name: &str, value: &Value) {
    if let Err(problem) = validate(schemas(), &schemas()[name], value, name) {
        panic!("{problem}: {value}");
    }
}

/// The documented path that an address matches; one with fewer parameters has precedence.
fn documented_path(address: &str) -> Option<&'static Value> {
    let matches = |template: &str| {
        let (given, wanted) = (address.split('/'), template.split('/'));
        given.clone().count() == wanted.clone().count()
            && given.zip(wanted).all(|(it, wanted)| it == wanted || wanted.starts_with('{'))
    };
    let paths = OPENAPI["paths"].as_object().unwrap().iter();
    paths
        .filter(|(template, _)| matches(template))
        .min_by_key(|(template, _)| template.matches('{').count())
        .map(|(_, item)| item)
}

/// Panics if a response does not match the document, or if an undocumented request is not answered
/// with an error.
pub(crate) fn check_response(method: &Method, path: &str, answer: &Answer) {
    let item = documented_path(path).unwrap_or(&Value::Null);
    let operation = &item[method.as_str().to_ascii_lowercase()];
    let Some(responses) = operation["responses"].as_object() else {
        assert!(answer.status.is_client_error() || answer.status.is_server_error(), "{answer:?}");
        return check("Error", &answer.body);
    };
    let response = responses.get(answer.status.as_str());
    let is_error = answer.status.is_client_error() || answer.status.is_server_error();
    assert!(response.is_some() || is_error, "{method} {path}: undocumented {answer:?}");
    let response = resolve_reference(response.unwrap_or(&responses["default"]));
    let content_type = answer.headers[CONTENT_TYPE].to_str().unwrap();
    let content = response["content"].get(content_type);
    let content = content.unwrap_or_else(|| panic!("{method} {path}: undocumented {answer:?}"));
    if let Err(problem) = validate(schemas(), &content["schema"], &answer.body, "the body") {
        panic!("{method} {path} {}: {problem}: {}", answer.status, answer.body);
    }
}

/// The regular expression, which is compiled once: lists have thousands of values of one pattern.
fn pattern(text: &str) -> Arc<Regex> {
    static COMPILED: Mutex<BTreeMap<String, Arc<Regex>>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap();
    if let Some(pattern) = compiled.get(text) {
        return Arc::clone(pattern);
    }
    let pattern = Arc::new(Regex::new(text).unwrap());
    compiled.insert(text.to_owned(), Arc::clone(&pattern));
    pattern
}

/// The first violation of `schema` in `value`; `path` is where that is, for the message.
fn validate(schemas: &Value, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let none = Map::new();
    let fields = value.as_object().unwrap_or(&none);
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let wrong = |problem: &str| Err(format!("{path} {problem}"));
    for (keyword, said) in schema.as_object().unwrap_or_else(|| panic!("no schema for {path}")) {
        match keyword.as_str() {
            "type" => {
                let types = said.as_array().map_or(std::slice::from_ref(said), Vec::as_slice);
                if !types.iter().any(|name| is_of_type(name.as_str().unwrap(), value)) {
                    return wrong(&format!("is not of type {said}"));
                }
            }
            "enum" if !said.as_array().unwrap().contains(value) => {
                return wrong(&format!("is none of {said}"));
            }
            "const" if said != value => return wrong(&format!("is not {said}")),
            "pattern" => {
                let matches = |text| pattern(said.as_str().unwrap()).is_match(text);
                if value.as_str().is_some_and(|text| !matches(text)) {
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
                        validate(schemas, schema, value, &format!("{path}.{name}"))?;
                    }
                }
            }
            "additionalProperties" if *said == false => {
                if let Some(name) = fields.keys().find(|name| !properties.contains_key(*name)) {
                    return wrong(&format!("may not have {name}"));
                }
            }
            "additionalProperties" => {
                for (name, value) in fields.iter().filter(|(it, _)| !properties.contains_key(*it)) {
                    validate(schemas, said, value, &format!("{path}.{name}"))?;
                }
            }
            "items" => {
                for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(schemas, said, item, &format!("{path}[{at}]"))?;
                }
            }
            "anyOf" => {
                let choices = said.as_array().unwrap();
                if choices.iter().all(|schema| validate(schemas, schema, value, path).is_err()) {
                    return wrong("is none of what it may be");
                }
            }
            "$ref" => {
                let name = said.as_str().unwrap().rsplit('/').next().unwrap();
                validate(schemas, &schemas[name], value, path)?;
            }
            "const" | "enum" | "description" => {}
            unknown => panic!("{path} has the keyword {unknown}, which is not checked"),
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
fn schema_check_finds_wrong_types_missing_fields_and_mismatched_patterns() {
    use serde_json::json;

    let good = json!({"index": 1, "from": 1.5, "to": 0.0, "compliant": false, "duration": 2});
    check("SnapshotListEntry", &good);
    let breaks =
        |schema: &str, value: &Value| validate(schemas(), &schemas()[schema], value, "").is_err();
    for (field, value) in [("index", json!(1.5)), ("to", json!(null)), ("compliant", json!("no"))] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(breaks("SnapshotListEntry", &bad), "{field}");
    }
    assert!(breaks("SnapshotListEntry", &json!({"index": 1})));
    let artifact = |fingerprint: &str| {
        json!({"artifacts": [{
            "fingerprint": fingerprint, "name": "", "most_recent_timestamp": 1, "flow": null
        }]})
    };
    assert!(!breaks("DiffItem", &artifact("")));
    assert!(!breaks("DiffItem", &artifact(&"ab".repeat(32))));
    assert!(breaks("DiffItem", &artifact("ab")));
}

#[tokio::test]
async fn openapi_document_is_served_without_a_token_and_has_every_allowed_method() {
    let file = tempfile::NamedTempFile::new().unwrap();
    write_secret(file.path(), "wr1ter-0 label=w org=acme write\n");
    let access = Access::from_token_file(file.path()).unwrap();
    let recorder = Recorder::with(SqliteStore::in_memory().unwrap(), access).await;
    let served = recorder.send(Method::GET, "/api/v2/openapi.json", None, "").await;
    assert_eq!((served.status, &served.body), (StatusCode::OK, &*OPENAPI));

    let open = Recorder::start().await;
    let parameter = Regex::new(r"\{\w+\}").unwrap();
    for (path, item) in OPENAPI["paths"].as_object().unwrap() {
        let address = parameter.replace_all(path, "1");
        let answer = open.send(Method::TRACE, &address, Some("any"), "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let allowed = answer.headers[ALLOW].to_str().unwrap().to_ascii_lowercase();
        let mut allowed: Vec<_> = allowed.split(',').filter(|method| *method != "head").collect();
        allowed.sort_unstable();
        let methods = item.as_object().unwrap().keys().map(String::as_str);
        let methods: Vec<_> = methods.filter(|key| *key != "parameters").collect();
        assert_eq!(allowed, methods, "{path}");
    }
    recorder.stop().await;
    open.stop().await;
}

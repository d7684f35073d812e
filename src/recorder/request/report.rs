//! The body of a report.

use serde_json::Value;

use super::Schema;
use super::field::{Object, Problems, check_length, string, wrong_type};
use crate::api::wire::{ECS, EcsReport};
use crate::recorder::answer::quote;
use crate::snapshot::Fingerprint;

const ENTRY: [&str; 5] =
    ["taskArn", "digests", "creationTimestamp", "cluster_name", "service_name"];

/// The longest ARN or name that is kept, in bytes: ECS's own are far shorter, and each is written
/// down with every artifact of its task.
const LONGEST_TEXT: usize = 1_024;

/// The most images of one entry: a task definition has ten containers at the most.
const MOST_DIGESTS: usize = 50;

impl Schema for EcsReport {
    fn check(body: &Value, problems: &mut Problems) {
        let Some(report) = Object::of(body, String::new(), &["artifacts", "type"], problems) else {
            return;
        };
        // Older clients name the type in the body, too.
        if report.optional("type").is_some_and(|value| value != ECS) {
            problems.add("type".to_owned(), "must be \"ECS\"");
        }
        match report.required("artifacts", problems) {
            Some(Value::Array(entries)) => {
                for (at, entry) in entries.iter().enumerate() {
                    if problems.are_enough() {
                        break;
                    }
                    check_entry(entry, at, problems);
                }
            }
            Some(other) => {
                problems.add("artifacts".to_owned(), wrong_type("an array", other));
            }
            None => {}
        }
    }
}

fn check_entry(entry: &Value, at: usize, problems: &mut Problems) {
    let path = format!("artifacts[{at}]");
    let Some(entry) = Object::of(entry, path, &ENTRY, problems) else { return };
    entry.required_string("taskArn", problems);
    for name in ["taskArn", "cluster_name", "service_name"] {
        if let Some(text) = entry.optional(name).and_then(Value::as_str) {
            check_length(text, LONGEST_TEXT, || entry.path_of(name), problems);
        }
    }
    for name in ["cluster_name", "service_name"] {
        if let Some(value) = entry.optional(name) {
            string(value, || entry.path_of(name), problems);
        }
    }
    if let Some(value) = entry.required("creationTimestamp", problems)
        && !value.is_i64()
    {
        let problem = match value {
            Value::Number(_) => "must be whole seconds since the Unix epoch".to_owned(),
            other => wrong_type("an integer", other),
        };
        problems.add(entry.path_of("creationTimestamp"), problem);
    }
    match entry.required("digests", problems) {
        Some(Value::Object(digests)) => {
            if digests.len() > MOST_DIGESTS {
                let problem = format!("must not hold more than {MOST_DIGESTS} images");
                problems.add(entry.path_of("digests"), problem);
            } else if let Some(name) = digests.keys().find(|name| is_too_long(name)) {
                let problem = format!("'{}' is longer than {LONGEST_TEXT}", quote(name));
                problems.add(entry.path_of("digests"), problem);
            } else if let Some((name, _)) = digests.iter().find(|(_, digest)| !is_digest(digest)) {
                let name = quote(name);
                problems.add(
                    entry.path_of("digests"),
                    format!("the digest of '{name}' must be 64 lowercase hexadecimal digits, or \"\" where it is unknown"),
                );
            }
        }
        Some(other) => problems.add(entry.path_of("digests"), wrong_type("an object", other)),
        None => {}
    }
}

fn is_too_long(text: &str) -> bool {
    text.len() > LONGEST_TEXT
}

fn is_digest(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.is_empty() || text.parse::<Fingerprint>().is_ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(body: &Value) -> Vec<(String, Value)> {
        let mut problems = Problems::default();
        EcsReport::check(body, &mut problems);
        problems.into_result().err().into_iter().flatten().collect()
    }

    /// A report of one good entry in which `field` is `value`.
    fn with(field: &str, value: Value) -> Value {
        let mut entry = json!({"taskArn": "arn", "digests": {"web:1": ""}, "creationTimestamp": 1});
        entry[field] = value;
        json!({"artifacts": [entry]})
    }

    #[test]
    fn what_the_api_documents_is_accepted() {
        for body in [
            json!({"artifacts": []}),
            json!({"type": "ECS", "artifacts": []}),
            with("digests", json!({})),
            with("digests", json!({"a": "", "b": "ab".repeat(32)})),
            with("cluster_name", json!("app")),
            with("service_name", json!(null)),
            with("creationTimestamp", json!(i64::MAX)),
            with("creationTimestamp", json!(-1)),
        ] {
            assert_eq!(problems(&body), [], "{body}");
        }
    }

    #[test]
    fn each_wrong_field_is_named_by_its_path() {
        let cases = [
            (json!(null), "body", "must be an object, not null"),
            (json!([]), "body", "must be an object, not an array"),
            (json!({}), "artifacts", "is required"),
            (json!({"artifacts": null}), "artifacts", "must be an array, not null"),
            (json!({"artifacts": [], "id": 1}), "id", "is not a field of this request"),
            (json!({"artifacts": [], "type": "K8S"}), "type", "must be \"ECS\""),
            (json!({"artifacts": [1]}), "artifacts[0]", "must be an object, not a number"),
            (with("taskArn", json!(1)), "artifacts[0].taskArn", "must be a string, not a number"),
            (
                with("cluster_name", json!({})),
                "artifacts[0].cluster_name",
                "must be a string, not an object",
            ),
            (
                with("taskArn", json!("a".repeat(1_025))),
                "artifacts[0].taskArn",
                "must not be longer than 1024",
            ),
            (
                with("service_name", json!("a".repeat(1_025))),
                "artifacts[0].service_name",
                "must not be longer than 1024",
            ),
            (
                with("digests", (0..51).map(|n| (n.to_string(), json!(""))).collect()),
                "artifacts[0].digests",
                "must not hold more than 50 images",
            ),
            (with("pods", json!(1)), "artifacts[0].pods", "is not a field of this request"),
            (
                with("digests", json!("ab")),
                "artifacts[0].digests",
                "must be an object, not a string",
            ),
            (
                with("creationTimestamp", json!("1")),
                "artifacts[0].creationTimestamp",
                "must be an integer, not a string",
            ),
            (
                with("creationTimestamp", json!(1.5)),
                "artifacts[0].creationTimestamp",
                "must be whole seconds since the Unix epoch",
            ),
            (
                with("creationTimestamp", json!(u64::MAX)),
                "artifacts[0].creationTimestamp",
                "must be whole seconds since the Unix epoch",
            ),
        ];
        for (body, path, problem) in cases {
            assert_eq!(problems(&body), [(path.to_owned(), json!(problem))], "{body}");
        }
    }

    #[test]
    fn a_digest_is_64_lowercase_digits_or_nothing() {
        let good = "ab".repeat(32);
        for digest in [
            json!(null),
            json!(1),
            json!(good.to_uppercase()),
            json!(&good[1..]),
            json!(format!("sha256:{good}")),
            json!(" "),
        ] {
            let found = problems(&with("digests", json!({"web:1": digest})));
            assert_eq!(found.len(), 1, "{digest}");
            assert_eq!(found[0].0, "artifacts[0].digests");
            assert!(found[0].1.as_str().unwrap().contains("'web:1'"));
        }
    }

    #[test]
    fn every_wrong_field_is_listed_up_to_a_bound() {
        let found = problems(&json!({"artifacts": [{}, {"digests": 1, "x": 2}], "y": 3}));
        let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "artifacts[0].creationTimestamp",
                "artifacts[0].digests",
                "artifacts[0].taskArn",
                "artifacts[1].creationTimestamp",
                "artifacts[1].digests",
                "artifacts[1].taskArn",
                "artifacts[1].x",
                "y",
            ]
        );
        assert_eq!(problems(&json!({"artifacts": vec![json!(1); 5000]})).len(), 100);
    }

    #[test]
    fn little_of_a_long_name_is_repeated() {
        let long = "é".repeat(100_000);
        let found = problems(&json!({"artifacts": [{&long: 1, "digests": {&long: 1}}]}));
        assert!(found.iter().all(|(path, problem)| path.len() + problem.to_string().len() < 500));
    }
}

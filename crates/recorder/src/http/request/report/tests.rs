use serde_json::{Value, json};

use super::*;

/// The JSON path of the first wrong field of a report, and what is wrong; `None` if the report is valid.
fn first_problem(body: &Value) -> Option<(String, Value)> {
    let error = Report::from_json(body.to_string().as_bytes()).err()?;
    error.errors().iter().next().map(|(path, problem)| (path.clone(), problem.clone().into()))
}

/// A report of one good entry in which `field` is `value`.
fn report_with(field: &str, value: Value) -> Value {
    let mut entry = json!({"taskArn": "arn", "digests": {"web:1": ""}, "creationTimestamp": 1});
    entry[field] = value;
    json!({"artifacts": [entry]})
}

#[test]
fn report_with_optional_fields_missing_null_or_at_their_limits_is_accepted() {
    for body in [
        json!({"artifacts": []}),
        json!({"type": "ECS", "artifacts": []}),
        json!({"type": null, "artifacts": []}),
        report_with("digests", json!({})),
        report_with("digests", json!({"a": "", "b": "ab".repeat(32)})),
        report_with("cluster_name", json!("app")),
        report_with("service_name", json!(null)),
        report_with("creationTimestamp", json!(i64::MAX)),
        report_with("creationTimestamp", json!(-1)),
        report_with("origin", json!(null)),
        report_with("origin", json!({})),
        report_with(
            "origin",
            json!({"task_definition": "d", "started_by": null, "launch_type": "EC2"}),
        ),
        report_with("origin", json!({"availability_zone": "a".repeat(1_024)})),
    ] {
        assert_eq!(first_problem(&body), None, "{body}");
    }
}

#[test]
fn parsed_report_entry_has_all_fields_and_its_digests_sorted_by_name() {
    let body = json!({"artifacts": [{
        "taskArn": "arn", "cluster_name": "app", "creationTimestamp": -7,
        "digests": {"web:2": "ab".repeat(32), "é\n": "", "web:1": "ab".repeat(32)},
    }]});
    let ReportEntries(entries) = ReportEntries::from_json(body.to_string().as_bytes()).unwrap();
    let known = Some(Fingerprint::from([0xab; 32]));
    let entry = ReportEntry {
        task_arn: "arn".into(),
        cluster_name: Some("app".into()),
        service_name: None,
        digests: vec![("web:1".into(), known), ("web:2".into(), known), ("é\n".into(), None)],
        started_at: -7,
        origin: None,
    };
    assert_eq!(entries, [entry]);
}

#[test]
fn missing_unknown_or_invalid_report_field_is_rejected_with_its_json_path() {
    let too_long = "a".repeat(1_025);
    let cases = [
        (json!(null), "body", "must be an object, not null"),
        (json!([]), "body", "must be an object, not an array"),
        (json!({}), "artifacts", "is required"),
        (json!({"artifacts": null}), "artifacts", "must be an array, not null"),
        (json!({"artifacts": [], "id": 1}), "id", "is not a field of this request"),
        (json!({"artifacts": [], "type": "K8S"}), "type", "must be \"ECS\""),
        (json!({"artifacts": [1]}), "artifacts[0]", "must be an object, not a number"),
        (json!({"artifacts": [["arn", {}, 1]]}), "artifacts[0]", "must be an object, not an array"),
        (json!({"artifacts": [{"digests": {}}]}), "artifacts[0].taskArn", "is required"),
        (
            report_with("taskArn", json!(1)),
            "artifacts[0].taskArn",
            "must be a string, not a number",
        ),
        (report_with("taskArn", json!(null)), "artifacts[0].taskArn", "must be a string, not null"),
        (
            report_with("cluster_name", json!({})),
            "artifacts[0].cluster_name",
            "must be a string, not an object",
        ),
        (report_with("origin", json!(1)), "artifacts[0].origin", "must be an object, not a number"),
        (
            report_with("origin", json!({"arn": ""})),
            "artifacts[0].origin.arn",
            "is not a field of this request",
        ),
        (
            report_with("origin", json!({"started_by": too_long})),
            "artifacts[0].origin.started_by",
            "must not be longer than 1024 bytes",
        ),
        (
            report_with("taskArn", json!(too_long)),
            "artifacts[0].taskArn",
            "must not be longer than 1024 bytes",
        ),
        (
            report_with("service_name", json!(too_long)),
            "artifacts[0].service_name",
            "must not be longer than 1024 bytes",
        ),
        (
            report_with("digests", (0..51).map(|n| (n.to_string(), json!(""))).collect()),
            "artifacts[0].digests",
            "must not hold more than 50 images",
        ),
        (report_with("pods", json!(1)), "artifacts[0].pods", "is not a field of this request"),
        (
            report_with("digests", json!("ab")),
            "artifacts[0].digests",
            "must be an object, not a string",
        ),
        (
            report_with("creationTimestamp", json!("1")),
            "artifacts[0].creationTimestamp",
            "must be an integer, not a string",
        ),
        (
            report_with("creationTimestamp", json!(1.5)),
            "artifacts[0].creationTimestamp",
            "must be whole seconds since the Unix epoch",
        ),
        (
            report_with("creationTimestamp", json!(u64::MAX)),
            "artifacts[0].creationTimestamp",
            "must be whole seconds since the Unix epoch",
        ),
    ];
    for (body, path, expected) in cases {
        assert_eq!(first_problem(&body), Some((path.to_owned(), json!(expected))), "{body:.200}");
    }
}

#[test]
fn duplicate_json_key_in_a_report_is_rejected_with_its_json_path() {
    let entry = r#"{"taskArn": "a", "digests": {"web": "", "web": ""}, "creationTimestamp": 1}"#;
    for (body, path) in [
        (r#"{"artifacts": [], "artifacts": []}"#.to_owned(), "artifacts"),
        (format!(r#"{{"artifacts": [{entry}]}}"#), "artifacts[0].digests"),
    ] {
        let error = Report::from_json(body.as_bytes()).unwrap_err();
        let (found, problem) = error.errors().iter().next().unwrap();
        assert_eq!(found, path);
        assert!(problem.ends_with("is given twice"), "{problem}");
    }
}

#[test]
fn digest_that_is_neither_64_lowercase_hex_digits_nor_empty_is_rejected() {
    let good = "ab".repeat(32);
    for digest in [
        json!(null),
        json!(1),
        json!(-1.5),
        json!(true),
        json!([[1], {}]),
        json!({"a": {}}),
        json!(good.to_uppercase()),
        json!(&good[1..]),
        json!(format!("sha256:{good}")),
        json!(" "),
    ] {
        let (path, problem) =
            first_problem(&report_with("digests", json!({"web:1": digest}))).unwrap();
        assert_eq!(path, "artifacts[0].digests", "{digest}");
        assert!(problem.as_str().unwrap().contains("'web:1' must be 64 lowercase"), "{problem}");
    }
}

#[test]
fn long_keys_and_values_of_a_report_are_shortened_in_its_error() {
    let long = "é".repeat(100_000);
    for body in [
        json!({"artifacts": [{&long: 1}]}),
        json!({&long: 1}),
        report_with("digests", json!({&long: ""})),
        report_with("digests", json!({"web": &long})),
        report_with("creationTimestamp", json!(&long)),
        json!({"artifacts": &long}),
    ] {
        let (path, problem) = first_problem(&body).unwrap();
        assert!(path.len() + problem.to_string().len() < 700, "{path} {problem}");
    }
}

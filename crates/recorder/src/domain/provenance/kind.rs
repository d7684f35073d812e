//! The types of attestations: what each reports, and when it is compliant.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A type of attestation. They differ in the field that holds the results, and in one predicate.
#[derive(Debug)]
pub struct AttestationKind {
    /// The last part of the address that it is reported to.
    pub path: &'static str,
    /// The value of `type_name`, if several types share an address; `Some("")` is any value.
    pub type_name: Option<&'static str>,
    /// The field of the request that holds the results.
    pub results: &'static str,
    /// Whether these results are compliant; `None` if nothing decides it.
    is_compliant: fn(&Value) -> Result<Option<bool>, serde_json::Error>,
}

/// Every type of attestation. Overrides have no type of their own, but that of the attestation
/// that they replace.
pub const ATTESTATION_KINDS: [AttestationKind; 9] = [
    AttestationKind {
        path: "generic",
        type_name: None,
        results: "is_compliant",
        is_compliant: |results| decide(results, |is_compliant: bool| Some(is_compliant)),
    },
    AttestationKind {
        path: "junit",
        type_name: None,
        results: "junit_results",
        is_compliant: |results| {
            decide(results, |suites: Vec<JunitSuite>| {
                Some(suites.iter().all(|suite| suite.failures == 0 && suite.errors == 0))
            })
        },
    },
    AttestationKind {
        path: "snyk",
        type_name: None,
        results: "snyk_results",
        is_compliant: |results| {
            decide(results, |SnykResults { results }| {
                Some(results.iter().all(|it| (it.high, it.medium, it.low) == (0, 0, 0)))
            })
        },
    },
    AttestationKind {
        path: "pull_request",
        type_name: None,
        results: "pull_requests",
        is_compliant: |results| {
            decide(results, |requests: Vec<PullRequest>| Some(!requests.is_empty()))
        },
    },
    AttestationKind {
        path: "jira",
        type_name: None,
        results: "jira_results",
        is_compliant: |results| {
            decide(results, |issues: Vec<JiraIssue>| {
                Some(!issues.is_empty() && issues.iter().all(|issue| issue.issue_exists))
            })
        },
    },
    AttestationKind {
        path: "sonar",
        type_name: None,
        results: "sonar_results",
        is_compliant: |results| {
            decide(results, |results: SonarResults| {
                Some(results.gate.is_some_and(|gate| gate.status == "OK"))
            })
        },
    },
    AttestationKind {
        path: "system",
        type_name: Some("decision"),
        results: "attestation_data",
        is_compliant: |results| decide(results, |decision: Decision| Some(decision.is_compliant)),
    },
    AttestationKind {
        path: "system",
        type_name: Some("sbom"),
        results: "attestation_data",
        // That there is one is what is asked for.
        is_compliant: |results| decide(results, |_: Sbom| Some(true)),
    },
    AttestationKind {
        path: "custom",
        type_name: Some(""),
        results: "attestation_data",
        // The rules of custom types are not kept.
        is_compliant: |_| Ok(None),
    },
];

impl AttestationKind {
    /// The types that are reported to an address with this last part.
    pub fn for_path(path: &str) -> impl Iterator<Item = &'static Self> {
        ATTESTATION_KINDS.iter().filter(move |kind| kind.path == path)
    }

    /// The name of the type in templates, such as `junit`; `custom:` and `type_name` for a custom type.
    pub fn name(&self, type_name: Option<&str>) -> String {
        match (self.type_name, type_name) {
            (Some(""), Some(custom)) => format!("custom:{custom}"),
            (Some(system), _) if !system.is_empty() => system.to_owned(),
            _ => self.path.to_owned(),
        }
    }

    /// Whether `results` are compliant; `None` if nothing decides it.
    ///
    /// # Errors
    /// They are not of this type's shape.
    pub fn is_compliant(&self, results: &Value) -> Result<Option<bool>, serde_json::Error> {
        (self.is_compliant)(results)
    }
}

/// Parses `results` as `T`, and returns what `predicate` says of it.
fn decide<T: DeserializeOwned>(
    results: &Value,
    predicate: fn(T) -> Option<bool>,
) -> Result<Option<bool>, serde_json::Error> {
    T::deserialize(results).map(predicate)
}

#[derive(Deserialize)]
struct JunitSuite {
    #[expect(dead_code, reason = "only its type is checked")]
    name: String,
    failures: u64,
    errors: u64,
    #[serde(default)]
    #[expect(dead_code, reason = "only its type is checked")]
    skipped: u64,
    #[serde(default)]
    #[expect(dead_code, reason = "only its type is checked")]
    total: u64,
}

#[derive(Deserialize)]
struct SnykResults {
    results: Vec<SnykCounts>,
}

#[derive(Deserialize)]
struct SnykCounts {
    #[serde(rename = "high_count")]
    high: u32,
    #[serde(rename = "medium_count")]
    medium: u32,
    #[serde(rename = "low_count")]
    low: u32,
}

/// A pull request in the results of an attestation of the type `pull_request`.
#[derive(Deserialize)]
struct PullRequest {
    #[expect(dead_code, reason = "only its type is checked")]
    url: String,
}

#[derive(Deserialize)]
struct JiraIssue {
    #[expect(dead_code, reason = "only its type is checked")]
    issue_id: String,
    issue_exists: bool,
}

#[derive(Deserialize)]
struct SonarResults {
    #[serde(default, rename = "qualityGate")]
    gate: Option<QualityGate>,
}

#[derive(Deserialize)]
struct QualityGate {
    status: String,
}

/// The results of an attestation of the type `decision`.
#[derive(Deserialize)]
struct Decision {
    is_compliant: bool,
}

/// The results of an attestation of the type `sbom`.
#[derive(Deserialize)]
struct Sbom {
    #[expect(dead_code, reason = "only its type is checked")]
    format: String,
}

#[cfg(test)]
mod tests {
    use envsnap_model::provenance::Template;
    use serde_json::json;

    use super::*;

    /// Whether results that are reported to `path` are compliant; an error if they have another shape.
    fn compliance(
        path: &str,
        type_name: Option<&str>,
        results: &Value,
    ) -> Result<Option<bool>, ()> {
        let mut kinds = AttestationKind::for_path(path);
        let kind = kinds
            .find(|kind| kind.type_name.is_none_or(|it| it.is_empty() || Some(it) == type_name))
            .unwrap();
        kind.is_compliant(results).map_err(drop)
    }

    #[test]
    fn compliance_follows_from_the_results_of_each_attestation_type_or_is_unknown() {
        let suite = |failures: u64, errors: u64| json!({"name": "s", "failures": failures, "errors": errors, "skipped": 1, "total": 4, "duration": 0.85});
        let snyk = |high: u64, low: u64| json!({"schema_version": 1, "results": [{"high_count": high, "medium_count": 0, "low_count": low}]});
        let issue = |exists: bool| json!({"issue_id": "P-1", "issue_exists": exists});
        let gate = |status: &str| json!({"qualityGate": {"status": status}});
        let cases = [
            ("generic", None, json!(true), Ok(Some(true))),
            ("generic", None, json!(false), Ok(Some(false))),
            ("generic", None, json!("true"), Err(())),
            ("generic", None, json!(null), Err(())),
            ("junit", None, json!([suite(0, 0)]), Ok(Some(true))),
            ("junit", None, json!([]), Ok(Some(true))),
            ("junit", None, json!([suite(0, 0), suite(1, 0)]), Ok(Some(false))),
            ("junit", None, json!([suite(0, 1)]), Ok(Some(false))),
            ("junit", None, json!([{"name": "s"}]), Err(())),
            ("junit", None, json!({}), Err(())),
            ("snyk", None, snyk(0, 0), Ok(Some(true))),
            ("snyk", None, snyk(0, 1), Ok(Some(false))),
            ("snyk", None, snyk(1, 0), Ok(Some(false))),
            ("snyk", None, json!({"results": [{"high_count": -1}]}), Err(())),
            ("pull_request", None, json!([]), Ok(Some(false))),
            ("pull_request", None, json!([{"url": "u"}]), Ok(Some(true))),
            ("pull_request", None, json!(["u"]), Err(())),
            ("jira", None, json!([]), Ok(Some(false))),
            ("jira", None, json!([issue(true)]), Ok(Some(true))),
            ("jira", None, json!([issue(true), issue(false)]), Ok(Some(false))),
            ("sonar", None, gate("OK"), Ok(Some(true))),
            ("sonar", None, gate("ERROR"), Ok(Some(false))),
            ("sonar", None, json!({}), Ok(Some(false))),
            ("sonar", None, json!([]), Ok(Some(false))),
            ("system", Some("decision"), json!({"is_compliant": true}), Ok(Some(true))),
            ("system", Some("decision"), json!({"is_compliant": false}), Ok(Some(false))),
            ("system", Some("decision"), json!({}), Err(())),
            ("system", Some("sbom"), json!({"format": "cyclonedx-1.5"}), Ok(Some(true))),
            ("custom", Some("person"), json!({"age": 1}), Ok(None)),
            ("custom", Some("person"), json!(1.5), Ok(None)),
        ];
        for (path, type_name, results, expected) in cases {
            assert_eq!(compliance(path, type_name, &results), expected, "{path} {results}");
        }
    }

    #[test]
    fn template_that_expects_an_attestation_of_any_type_has_no_problems() {
        for kind in &ATTESTATION_KINDS {
            let kind = kind.name(Some("person"));
            let template = json!({"version": 1, "trail": {
                "attestations": [{"name": "a", "type": kind}]}});
            let template: Template = serde_json::from_value(template).unwrap();
            assert_eq!(template.problems(), Vec::<String>::new(), "{kind}");
        }
    }

    #[test]
    fn attestation_types_have_the_names_that_templates_use() {
        let names: Vec<_> =
            ATTESTATION_KINDS.iter().map(|kind| kind.name(Some("person"))).collect();
        let expected = [
            "generic",
            "junit",
            "snyk",
            "pull_request",
            "jira",
            "sonar",
            "decision",
            "sbom",
            "custom:person",
        ];
        assert_eq!(names, expected);
    }
}

//! What a flow, or one of its trails, expects to be reported.

use std::collections::BTreeSet;
use std::fmt::{self, Formatter};

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The type of an expected attestation that any type fulfils.
pub const ANY_TYPE: &str = "*";

/// The types that an attestation may have, beside `custom:NAME`.
const ATTESTATION_TYPES: [&str; 10] = [
    "generic",
    "junit",
    "snyk",
    "pull_request",
    "jira",
    "sonar",
    "decision",
    "system:sbom",
    "sbom",
    ANY_TYPE,
];

/// The attestations and artifacts that a trail has when it is complete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Attestations and artifacts; `None` expects nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trail: Option<TrailTemplate>,
    /// The version of the template's form: 1.
    #[serde(deserialize_with = "deserialize_version")]
    pub version: u32,
}

/// The attestations and artifacts that are expected in a trail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrailTemplate {
    /// Each with attestations of its own.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ExpectedArtifact>,
    /// Attestations of the trail itself.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<ExpectedAttestation>,
}

/// An artifact that is expected in a trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedArtifact {
    /// Attestations of the artifact.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<ExpectedAttestation>,
    /// The name by which reports refer to it.
    pub name: String,
}

/// An attestation that is expected of a trail or an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedAttestation {
    /// The name by which reports refer to it.
    pub name: String,
    /// `generic`, `junit`, `snyk`, `pull_request`, `jira`, `sonar`, `decision`, `custom:NAME`, or `*` for
    /// any.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Accepts a number or a string, with `.0` or without: in YAML only quotes make the difference.
fn deserialize_version<'de, D: Deserializer<'de>>(version: D) -> Result<u32, D::Error> {
    struct VersionVisitor;

    impl Visitor<'_> for VersionVisitor {
        type Value = u32;

        fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
            formatter.write_str("a version such as 1")
        }

        fn visit_u64<E: Error>(self, version: u64) -> Result<u32, E> {
            u32::try_from(version)
                .map_err(|_| E::invalid_value(Unexpected::Unsigned(version), &self))
        }

        fn visit_i64<E: Error>(self, version: i64) -> Result<u32, E> {
            u32::try_from(version).map_err(|_| E::invalid_value(Unexpected::Signed(version), &self))
        }

        fn visit_f64<E: Error>(self, version: f64) -> Result<u32, E> {
            self.visit_str(&version.to_string())
        }

        fn visit_str<E: Error>(self, version: &str) -> Result<u32, E> {
            let whole = version.strip_suffix(".0").unwrap_or(version);
            whole.parse().map_err(|_| E::invalid_value(Unexpected::Str(version), &self))
        }
    }

    version.deserialize_any(VersionVisitor)
}

/// A list that is `null` in YAML if nothing follows its key.
fn null_as_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    list: D,
) -> Result<Vec<T>, D::Error> {
    Option::deserialize(list).map(Option::unwrap_or_default)
}

impl Template {
    /// A template that expects one artifact, `name`, with these attestations of any type.
    pub fn with_attestations<'a>(name: &str, attestations: impl Iterator<Item = &'a str>) -> Self {
        let attestations = attestations
            .map(|name| ExpectedAttestation { name: name.to_owned(), kind: ANY_TYPE.to_owned() })
            .collect();
        let artifact = ExpectedArtifact { name: name.to_owned(), attestations };
        let trail = TrailTemplate { artifacts: vec![artifact], attestations: Vec::new() };
        Self { version: 1, trail: Some(trail) }
    }

    /// What makes the template invalid, one sentence for each problem, which begins with the path
    /// of the field; empty if it is valid.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.version != 1 {
            problems.push(format!("version: must be 1, not {}", self.version));
        }
        let Some(trail) = &self.trail else { return problems };
        check_attestations("trail.attestations", &trail.attestations, &mut problems);
        let names = trail.artifacts.iter().map(|artifact| &*artifact.name);
        check_names("trail.artifacts", names, &mut problems);
        for (index, artifact) in trail.artifacts.iter().enumerate() {
            let at = format!("trail.artifacts[{index}].attestations");
            check_attestations(&at, &artifact.attestations, &mut problems);
        }
        problems
    }

    /// The attestations that are expected of the trail itself.
    pub fn trail_attestations(&self) -> &[ExpectedAttestation] {
        self.trail.as_ref().map_or(&[], |trail| &trail.attestations)
    }

    /// The artifacts that are expected.
    pub fn artifacts(&self) -> &[ExpectedArtifact] {
        self.trail.as_ref().map_or(&[], |trail| &trail.artifacts)
    }

    /// The expected artifact of a report that gives this `name`; for one without a name, the only
    /// expected artifact.
    pub fn artifact(&self, name: Option<&str>) -> Option<&ExpectedArtifact> {
        match (name, self.artifacts()) {
            (Some(name), artifacts) => artifacts.iter().find(|artifact| artifact.name == name),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

/// Adds a problem for each name that is empty or used twice, and each unknown type.
fn check_attestations(at: &str, expected: &[ExpectedAttestation], problems: &mut Vec<String>) {
    check_names(at, expected.iter().map(|attestation| &*attestation.name), problems);
    for (index, attestation) in expected.iter().enumerate() {
        let custom = attestation.kind.strip_prefix("custom:");
        if !ATTESTATION_TYPES.contains(&&*attestation.kind) && custom.is_none_or(str::is_empty) {
            problems.push(format!(
                "{at}[{index}].type: must be generic, junit, snyk, pull_request, jira, sonar, decision, \
                 custom:NAME or *"
            ));
        }
    }
}

/// Adds a problem for each name that is empty or used twice.
fn check_names<'a>(at: &str, names: impl Iterator<Item = &'a str>, problems: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if name.is_empty() {
            problems.push(format!("{at}[{index}].name: must not be empty"));
        } else if !seen.insert(name) {
            problems.push(format!("{at}[{index}].name: the name is used twice"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn problems(template: Value) -> Vec<String> {
        serde_json::from_value::<Template>(template).unwrap().problems()
    }

    #[test]
    fn a_valid_template_has_no_problems() {
        for template in [
            json!({"version": 1}),
            json!({"version": 1.0}),
            json!({"version": "1"}),
            json!({"version": "1.0"}),
            json!({"version": 1, "trail": null}),
            json!({"version": 1, "trail": {"attestations": null, "artifacts": null}}),
            json!({"version": 1, "trail": {
                "attestations": [{"name": "jira", "type": "jira"}],
                "artifacts": [{"name": "runner", "attestations": [
                    {"name": "unit-test", "type": "junit"}, {"name": "age", "type": "custom:person"},
                    {"name": "any", "type": "*"},
                ]}],
            }}),
        ] {
            assert_eq!(problems(template.clone()), Vec::<String>::new(), "{template}");
        }
    }

    #[test]
    fn template_problems_begin_with_the_path_of_the_field_and_unknown_fields_are_errors() {
        let found = problems(json!({"version": 2, "trail": {
            "attestations": [{"name": "", "type": "jira"}, {"name": "a", "type": "custom:"}],
            "artifacts": [{"name": "runner", "attestations": [{"name": "t", "type": "xunit"}]},
                          {"name": "runner"}],
        }}));
        let places: Vec<_> = found.iter().filter_map(|it| it.split(':').next()).collect();
        assert_eq!(
            places,
            [
                "version",
                "trail.attestations[0].name",
                "trail.attestations[1].type",
                "trail.artifacts[1].name",
                "trail.artifacts[0].attestations[0].type",
            ]
        );
        for wrong in [json!({}), json!({"version": 1, "trial": {}}), json!({"version": "x"})] {
            assert!(serde_json::from_value::<Template>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn artifact_reported_without_a_name_matches_the_only_expected_one() {
        let one = Template::with_attestations("artifact", ["test"].into_iter());
        assert_eq!(one.artifact(None).map(|it| &*it.name), Some("artifact"));
        assert_eq!(one.artifact(Some("other")), None);
    }
}

//! The state of artifacts and trails: what was reported, compared with what a template expects.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::template::{ANY_TYPE, ExpectedAttestation, Template};

/// Whether a trail, or an artifact in it, is compliant with its template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// Everything expected was reported, and nothing reported is non-compliant.
    #[serde(rename = "COMPLIANT")]
    Compliant,
    /// Something expected was not reported, or not decided.
    #[serde(rename = "INCOMPLETE")]
    Incomplete,
    /// An expected artifact was not reported.
    #[serde(rename = "MISSING")]
    Missing,
    /// A reported attestation is non-compliant.
    #[serde(rename = "NON-COMPLIANT")]
    NonCompliant,
}

impl State {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compliant => "COMPLIANT",
            Self::Incomplete => "INCOMPLETE",
            Self::Missing => "MISSING",
            Self::NonCompliant => "NON-COMPLIANT",
        }
    }
}

/// An attestation that was reported, of a trail or of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedAttestation<'a> {
    /// Its name in the template.
    pub name: &'a str,
    /// Its type, such as `junit` or `custom:person`.
    pub kind: &'a str,
    /// The sequence number of the report.
    pub seq: i64,
    /// The sequence number of the report whose result it replaces, if it is an override.
    pub overridden: Option<i64>,
    /// `None` if nothing decides it.
    pub is_compliant: Option<bool>,
}

/// An artifact that was reported in a trail, with its attestations in the order of their reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedArtifact<'a> {
    /// Its name in the template, if the report gave one.
    pub template_name: Option<&'a str>,
    /// 64 hexadecimal digits.
    pub fingerprint: &'a str,
    /// The sequence number of the report.
    pub seq: i64,
    /// Every attestation of it.
    pub attestations: Vec<ReportedAttestation<'a>>,
}

/// An attestation that a template expects or that was reported, with the report that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationStatus {
    /// Its name.
    pub name: String,
    /// The type that was reported, otherwise the expected one.
    pub kind: String,
    /// The sequence number of the report that counts; `None` if it is missing.
    pub seq: Option<i64>,
    /// See [`ReportedAttestation::overridden`].
    pub overridden: Option<i64>,
    /// See [`ReportedAttestation::is_compliant`].
    pub is_compliant: Option<bool>,
    /// The template does not name it.
    pub unexpected: bool,
}

/// The state of one artifact in a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactStatus {
    /// The sequence number of the report that counts; `None` if it is missing.
    pub seq: Option<i64>,
    /// Of that report.
    pub fingerprint: Option<String>,
    /// Its state.
    pub state: State,
    /// The template does not name it.
    pub unexpected: bool,
    /// First the expected ones, in the template's order.
    pub attestations: Vec<AttestationStatus>,
}

/// The state of a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailStatus {
    /// Its state.
    pub state: State,
    /// Of the trail itself.
    pub attestations: Vec<AttestationStatus>,
    /// By the name in the template, or by fingerprint if the report gave none.
    pub artifacts: BTreeMap<String, ArtifactStatus>,
}

/// The state of `artifact`, by what `template` expects and what was reported; without a template,
/// only by what was reported.
pub fn artifact_status(
    template: Option<&Template>,
    artifact: &ReportedArtifact<'_>,
) -> ArtifactStatus {
    let expected = template.and_then(|template| template.artifact(artifact.template_name));
    let listed = expected.map_or(&[][..], |expected| &expected.attestations);
    let (state, attestations) = compare_attestations(listed, &artifact.attestations);
    ArtifactStatus {
        seq: Some(artifact.seq),
        fingerprint: Some(artifact.fingerprint.to_owned()),
        state,
        unexpected: expected.is_none(),
        attestations,
    }
}

/// The state of a trail with these attestations of its own and these artifacts, in the order of
/// their reports.
pub fn trail_status(
    template: Option<&Template>,
    attestations: &[ReportedAttestation<'_>],
    artifacts: &[ReportedArtifact<'_>],
) -> TrailStatus {
    let listed = template.map_or(&[][..], Template::trail_attestations);
    let (mut state, attestations) = compare_attestations(listed, attestations);
    let mut statuses = BTreeMap::new();
    for artifact in artifacts {
        let expected = template.and_then(|it| it.artifact(artifact.template_name));
        let name = expected.map(|expected| &*expected.name).or(artifact.template_name);
        let name = name.unwrap_or(artifact.fingerprint);
        // Of several artifacts with one name the latest counts.
        statuses.insert(name.to_owned(), artifact_status(template, artifact));
    }
    for expected in template.map_or(&[][..], Template::artifacts) {
        statuses.entry(expected.name.clone()).or_insert_with(|| ArtifactStatus {
            seq: None,
            fingerprint: None,
            state: State::Missing,
            unexpected: false,
            attestations: compare_attestations(&expected.attestations, &[]).1,
        });
    }
    for status in statuses.values() {
        state = state.max(match status.state {
            State::Missing => State::Incomplete,
            other => other,
        });
    }
    TrailStatus { state, attestations, artifacts: statuses }
}

/// The state that follows from what is expected and what was reported, and the status of each
/// attestation, first the expected ones.
fn compare_attestations(
    expected: &[ExpectedAttestation],
    reported: &[ReportedAttestation<'_>],
) -> (State, Vec<AttestationStatus>) {
    // The latest of a name counts.
    let mut latest: BTreeMap<&str, &ReportedAttestation<'_>> = BTreeMap::new();
    for attestation in reported {
        latest.insert(attestation.name, attestation);
    }
    let mut statuses = Vec::with_capacity(expected.len());
    for expected in expected {
        let fulfils = |it: &&ReportedAttestation<'_>| {
            expected.kind == ANY_TYPE || same_type(&expected.kind, it.kind)
        };
        let found = latest.get(&*expected.name).copied().filter(fulfils);
        if found.is_some() {
            latest.remove(&*expected.name);
        }
        statuses.push(match found {
            Some(found) => attestation_status(found, false),
            None => AttestationStatus {
                name: expected.name.clone(),
                kind: expected.kind.clone(),
                seq: None,
                overridden: None,
                is_compliant: None,
                unexpected: false,
            },
        });
    }
    statuses.extend(latest.into_values().map(|found| attestation_status(found, true)));
    let state = statuses.iter().map(|status| match status.is_compliant {
        Some(false) => State::NonCompliant,
        Some(true) => State::Compliant,
        // What the template does not ask for need not be decided.
        None if status.unexpected => State::Compliant,
        None => State::Incomplete,
    });
    (state.max().unwrap_or(State::Compliant), statuses)
}

/// `system:sbom` and `sbom` are the same type.
fn same_type(expected: &str, reported: &str) -> bool {
    short_type(expected) == short_type(reported)
}

fn short_type(kind: &str) -> &str {
    kind.strip_prefix("system:").unwrap_or(kind)
}

fn attestation_status(reported: &ReportedAttestation<'_>, unexpected: bool) -> AttestationStatus {
    AttestationStatus {
        name: reported.name.to_owned(),
        kind: reported.kind.to_owned(),
        seq: Some(reported.seq),
        overridden: reported.overridden,
        is_compliant: reported.is_compliant,
        unexpected,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::State::{Compliant, Incomplete, Missing, NonCompliant};
    use super::*;

    /// Expects a `jira` attestation of the trail, and an artifact `runner` with two attestations.
    fn template() -> Template {
        serde_json::from_value(json!({"version": 1, "trail": {
            "attestations": [{"name": "jira", "type": "jira"}],
            "artifacts": [{"name": "runner", "attestations": [
                {"name": "unit-test", "type": "junit"}, {"name": "scan", "type": "*"}]}],
        }}))
        .unwrap()
    }

    fn reported_attestation(
        name: &'static str,
        kind: &'static str,
        is_compliant: Option<bool>,
    ) -> ReportedAttestation<'static> {
        ReportedAttestation { name, kind, seq: 7, overridden: None, is_compliant }
    }

    /// The artifact `runner` of [`template`], with these attestations.
    fn reported_runner(
        attestations: Vec<ReportedAttestation<'static>>,
    ) -> ReportedArtifact<'static> {
        ReportedArtifact {
            template_name: Some("runner"),
            fingerprint: "9af401c4350b21e3f1df17d6ad808da43d9646e75b6da902cc7c492bcfb9c625",
            seq: 3,
            attestations,
        }
    }

    #[test]
    fn artifact_state_follows_from_its_expected_and_reported_attestations() {
        let test = |ok| reported_attestation("unit-test", "junit", Some(ok));
        let scan = |ok| reported_attestation("scan", "snyk", Some(ok));
        let cases = [
            (vec![], Incomplete, "nothing is reported"),
            (vec![test(true)], Incomplete, "one is missing"),
            (vec![test(true), scan(true)], Compliant, "all are there"),
            (vec![test(false), scan(true)], NonCompliant, "one is non-compliant"),
            (vec![test(false)], NonCompliant, "non-compliant wins over missing"),
            (vec![test(false), scan(true), test(true)], Compliant, "the latest counts"),
            (vec![test(true), scan(true), test(false)], NonCompliant, "the latest counts"),
            (
                vec![reported_attestation("unit-test", "generic", Some(true)), scan(true)],
                Incomplete,
                "type",
            ),
            (
                vec![test(true), scan(true), reported_attestation("extra", "generic", Some(false))],
                NonCompliant,
                "what the template does not name counts if it is non-compliant",
            ),
            (
                vec![test(true), reported_attestation("scan", "custom:x", None)],
                Incomplete,
                "nothing decides a custom attestation",
            ),
            (
                vec![test(true), scan(true), reported_attestation("extra", "custom:x", None)],
                Compliant,
                "undecided evidence that is not required does not count",
            ),
        ];
        for (attestations, expected, why) in cases {
            let status = artifact_status(Some(&template()), &reported_runner(attestations));
            assert_eq!(status.state, expected, "{why}");
        }
    }

    #[test]
    fn artifact_state_without_a_template_follows_from_reported_attestations_only() {
        for (ok, expected) in [(true, Compliant), (false, NonCompliant)] {
            let status = artifact_status(
                None,
                &reported_runner(vec![reported_attestation("x", "generic", Some(ok))]),
            );
            assert_eq!((status.state, status.unexpected), (expected, true));
        }
        assert_eq!(artifact_status(None, &reported_runner(vec![])).state, Compliant);
    }

    #[test]
    fn trail_is_compliant_only_if_its_attestations_and_all_expected_artifacts_are() {
        let jira = [reported_attestation("jira", "jira", Some(true))];
        let full = reported_runner(vec![
            reported_attestation("unit-test", "junit", Some(true)),
            reported_attestation("scan", "sonar", Some(true)),
        ]);
        let state = |attestations: &[_], artifacts: &[_]| {
            trail_status(Some(&template()), attestations, artifacts).state
        };
        assert_eq!(state(&jira, std::slice::from_ref(&full)), Compliant);
        assert_eq!(state(&[], std::slice::from_ref(&full)), Incomplete);
        assert_eq!(state(&jira, &[]), Incomplete);
        let failed = reported_runner(vec![reported_attestation("unit-test", "junit", Some(false))]);
        assert_eq!(state(&jira, &[full.clone(), failed.clone()]), NonCompliant, "the latest");
        assert_eq!(state(&jira, &[failed, full]), Compliant, "the latest");

        let status = trail_status(Some(&template()), &[], &[]);
        let missing = &status.artifacts["runner"];
        assert_eq!((missing.state, missing.attestations.len()), (Missing, 2));
        assert!(missing.attestations.iter().all(|it| it.seq.is_none() && !it.unexpected));
    }
}

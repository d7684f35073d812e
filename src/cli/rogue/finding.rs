//! Where each artifact that runs comes from.

use std::collections::BTreeMap;

use envsnap_model::provenance::{Origin, origin};

use super::registry::{Lookup, RelatedArtifact};
use crate::api::wire::{AllowedArtifact, ArtifactFlow, RecordedArtifact};
use crate::recorder::domain::provenance::{NamePattern, built_in_allowance};
use crate::recorder::text::unix_secs;

/// In an entry of the allow-list: it applies to every environment.
const EVERY_ENVIRONMENT: &str = "*";

/// An artifact that runs, and what is known of its origin. Times are in seconds since the Unix epoch.
#[derive(Debug)]
pub(super) struct Finding<'a> {
    pub(super) artifact: &'a RecordedArtifact,
    pub(super) origin: Origin,
    /// Its first start in the environment, as far back as it is known.
    pub(super) first_started: Option<f64>,
    /// Seconds from the first start to the first report, if it is late.
    pub(super) delay: Option<f64>,
    /// Why it is allowed, if it is.
    pub(super) allowed: Option<Allowed<'a>>,
    /// What is wrong with its evidence, by flow.
    pub(super) evidence: Vec<NonCompliance<'a>>,
    /// The result of looking it up in its registry, if that was done.
    pub(super) lookup: Option<Lookup>,
}

/// Why an artifact may run although no pipeline reported it.
#[derive(Debug)]
pub(super) enum Allowed<'a> {
    Listed(&'a AllowedArtifact),
    /// For this reason: it is a sidecar of AWS's own, or the server says no more.
    Reason(&'a str),
}

/// A flow in which an artifact is not compliant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NonCompliance<'a> {
    pub(super) flow: &'a str,
    pub(super) state: &'a str,
    /// Names of the evidence that is missing or non-compliant, if the server says them.
    pub(super) problems: Vec<&'a str>,
}

impl<'a> Finding<'a> {
    /// Takes the origin that the server returns, or derives it from the flows and the allow-list.
    /// `first_reports` has the times of first reports, by fingerprint, that the snapshot does not have.
    pub(super) fn new(
        artifact: &'a RecordedArtifact,
        environment: &str,
        allowances: &'a [AllowedArtifact],
        first_reports: &BTreeMap<String, f64>,
    ) -> Self {
        let fingerprint = artifact.fingerprint.as_deref().unwrap_or_default();
        let listed = allowances
            .iter()
            .find(|it| allowance_applies(it, environment, fingerprint, &artifact.name));
        let built_in = || built_in_allowance(&artifact.name).map(Allowed::Reason);
        let evidence = artifact.flows.iter().filter_map(non_compliance).collect();
        let earliest = artifact.creation_timestamp.first().copied();
        if let Some(known) = &artifact.origin {
            let reason = known.allowed.as_deref().map(Allowed::Reason);
            return Self {
                artifact,
                origin: known.status,
                first_started: Some(known.first_started_at).filter(|at| *at != 0).map(unix_secs),
                delay: known.delay,
                // The list says who allowed it, and when.
                allowed: reason.map(|reason| listed.map_or(reason, Allowed::Listed)),
                evidence,
                lookup: None,
            };
        }
        let allowed = listed.map(Allowed::Listed).or_else(built_in);
        let first_started = earliest.map(unix_secs);
        let reported = artifact.flows.iter().filter_map(|flow| flow.reported_at).reduce(f64::min);
        let reported = reported.or_else(|| first_reports.get(fingerprint).copied()).or_else(|| {
            // It is not known when, and it is better to miss one than to accuse all.
            (!artifact.flows.is_empty()).then_some(f64::NEG_INFINITY)
        });
        let started = first_started.unwrap_or(f64::INFINITY);
        let origin = origin(!fingerprint.is_empty(), allowed.is_some(), started, reported);
        let late = reported.filter(|_| origin == Origin::Late);
        let delay = late.map(|reported| reported - started);
        Self { artifact, origin, first_started, delay, allowed, evidence, lookup: None }
    }

    /// The flows in which it is not compliant: none if it is allowed.
    pub(super) fn non_compliances(&self) -> &[NonCompliance<'a>] {
        if self.allowed.is_some() { &[] } else { &self.evidence }
    }

    /// The reported artifact to which it belongs, by what its registry says.
    pub(super) fn related(&self) -> Option<&RelatedArtifact> {
        match &self.lookup {
            Some(Lookup::Found(related)) => Some(related),
            _ => None,
        }
    }

    /// The status to list: the origin; or, if that is known and `evidence` is requested, the worst
    /// state in a flow.
    pub(super) fn status(&self, evidence: bool) -> &'a str {
        if self.origin == Origin::Known && evidence {
            let states = || self.non_compliances().iter().map(|it| it.state);
            let worst = states().find(|state| *state == NON_COMPLIANT).or_else(|| states().next());
            return worst.unwrap_or(Origin::Known.as_str());
        }
        self.origin.as_str()
    }
}

const COMPLIANT: &str = "COMPLIANT";
const NON_COMPLIANT: &str = "NON-COMPLIANT";

/// `None` if the artifact is compliant in the flow, or the server says nothing of that.
fn non_compliance(flow: &ArtifactFlow) -> Option<NonCompliance<'_>> {
    let state = flow.state.as_deref();
    let state =
        state.or((flow.artifact_compliance_in_flow == Some(false)).then_some(NON_COMPLIANT));
    let state = state.filter(|state| *state != COMPLIANT && !state.is_empty())?;
    let problems = if flow.problems.is_empty() {
        let reasons = flow.flow_reasons_for_non_compliance.iter();
        reasons.filter_map(|it| it.get("attestation_name")?.as_str()).collect()
    } else {
        flow.problems.iter().map(String::as_str).collect()
    };
    Some(NonCompliance { flow: &flow.flow_name, state, problems })
}

fn allowance_applies(
    allowance: &AllowedArtifact,
    environment: &str,
    fingerprint: &str,
    name: &str,
) -> bool {
    if ![environment, EVERY_ENVIRONMENT].contains(&&*allowance.environment_name) {
        return false;
    }
    match &allowance.name_pattern {
        Some(pattern) => NamePattern::new(pattern).matches(name),
        None => !fingerprint.is_empty() && allowance.fingerprint == fingerprint,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A recorded artifact, with the fields in `more` besides.
    fn artifact(name: &str, fingerprint: &str, more: &Value) -> RecordedArtifact {
        let mut document = json!({
            "name": name, "fingerprint": fingerprint, "creationTimestamp": [100, 200],
            "annotation": {"type": "unchanged", "was": 1, "now": 1},
        });
        for (key, value) in more.as_object().unwrap() {
            document[key] = value.clone();
        }
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn origin_is_derived_from_flows_and_allow_list_if_the_server_does_not_return_it() {
        let allowances: Vec<AllowedArtifact> = serde_json::from_value(json!([
            {"environment_name": "aws-prod", "fingerprint": "ab", "description": "because"},
            {"environment_name": "*", "fingerprint": "", "name_pattern": "nginx*"},
            {"environment_name": "aws-beta", "fingerprint": "cd"},
        ]))
        .unwrap();
        let late = BTreeMap::from([("ef".to_owned(), 160.0)]);
        let flow = json!({"flows": [{"flow_name": "runner"}]});
        let none = json!({});
        for (name, fingerprint, more, expected, delay) in [
            ("web:1", "cd", &none, Origin::Rogue, None),
            ("web:1", "ab", &none, Origin::Allowed, None),
            ("nginx:1", "01", &none, Origin::Allowed, None),
            ("aws-guardduty-agent-x1", "", &none, Origin::Allowed, None),
            ("web:1", "", &none, Origin::Unknown, None),
            ("web:1", "ef", &flow, Origin::Late, Some(60.0)),
            ("web:1", "02", &flow, Origin::Known, None),
            (
                "web:1",
                "02",
                &json!({"flows": [{"flow_name": "a", "reported_at": 101.0}, {"flow_name": "b", "reported_at": 99.0}]}),
                Origin::Known,
                None,
            ),
        ] {
            let artifact = artifact(name, fingerprint, more);
            let finding = Finding::new(&artifact, "aws-prod", &allowances, &late);
            assert_eq!((finding.origin, finding.delay), (expected, delay), "{name} {fingerprint}");
        }
    }

    #[test]
    fn the_origin_that_the_server_returns_is_used() {
        let origin = json!({"origin": {"status": "late", "first_started_at": 50, "delay": 9.0}});
        let artifact = artifact("web:1", "ab", &origin);
        let finding = Finding::new(&artifact, "aws-prod", &[], &BTreeMap::new());
        assert_eq!(finding.origin, Origin::Late);
        assert_eq!((finding.first_started, finding.delay), (Some(50.0), Some(9.0)));
    }

    #[test]
    fn flows_with_a_non_compliant_artifact_are_listed_unless_the_artifact_is_allowed() {
        let flows = json!([
            {"flow_name": "a", "state": "COMPLIANT"},
            {"flow_name": "b", "state": "INCOMPLETE", "problems": ["unit-test"]},
            {"flow_name": "c", "artifact_compliance_in_flow": false,
             "flow_reasons_for_non_compliance": [{"attestation_name": "scan"}, 7]},
        ]);
        let known = |allowed: Option<&str>| {
            let mut origin = json!({"status": "known", "first_started_at": 50});
            if let Some(allowed) = allowed {
                origin["allowed"] = allowed.into();
            }
            artifact("web:1", "ab", &json!({"flows": flows, "origin": origin}))
        };
        let (one, other) = (known(None), known(Some("because")));
        let finding = |artifact| Finding::new(artifact, "aws-prod", &[], &BTreeMap::new());
        assert_eq!(
            finding(&one).non_compliances(),
            [
                NonCompliance { flow: "b", state: "INCOMPLETE", problems: vec!["unit-test"] },
                NonCompliance { flow: "c", state: "NON-COMPLIANT", problems: vec!["scan"] },
            ]
        );
        assert_eq!(finding(&one).status(true), "NON-COMPLIANT");
        assert_eq!(finding(&one).status(false), "known");
        assert_eq!(finding(&other).non_compliances(), []);
        assert_eq!(finding(&other).status(true), "known");
    }
}

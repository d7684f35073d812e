//! A stored snapshot, in the API's form.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::api::wire::{Annotation, RecordedArtifact, RecordedSnapshot};
use crate::recorder::record::{StoredArtifact, json_size, order};
use crate::recorder::request::{LONGEST_NAME, LONGEST_ORG};
use crate::recorder::store::StoredSnapshot;

/// The answer to who asks for `snapshot`: what runs, latest start first, then what exited.
///
/// Nothing is known of compliance, so no artifact is judged and the whole is not compliant (a
/// client cannot read a snapshot that is neither).
pub(in crate::recorder) fn snapshot(
    org: &str,
    environment: &str,
    snapshot: StoredSnapshot,
) -> RecordedSnapshot {
    let html_url = html_url(org, environment, snapshot.index);
    let mut artifacts = snapshot.artifacts;
    order(&mut artifacts);
    let running = artifacts.iter().filter(|artifact| artifact.runs()).count() as u64;
    RecordedSnapshot {
        index: u64::from(snapshot.index),
        is_latest: snapshot.next_created_at.is_none(),
        next_snapshot_timestamp: snapshot.next_created_at,
        artifact_compliance_count: BTreeMap::from([
            ("true".to_owned(), 0),
            ("false".to_owned(), 0),
            ("null".to_owned(), running),
        ]),
        timestamp: snapshot.created_at,
        confirmed_until: Some(snapshot.confirmed_until),
        environment_type: snapshot.environment_type,
        compliant: false,
        artifacts: artifacts.into_iter().map(|stored| artifact(&html_url, stored)).collect(),
        html_url,
        applied_policies: Vec::new(),
    }
}

/// The bytes of these artifacts as JSON, where an environment and its organization have the longest
/// names that there are.
pub(in crate::recorder) fn largest_size<'a>(
    artifacts: impl IntoIterator<Item = &'a StoredArtifact>,
) -> usize {
    let html_url = html_url(&"o".repeat(LONGEST_ORG), &"e".repeat(LONGEST_NAME), u32::MAX);
    let size = |stored: &StoredArtifact| json_size(&artifact(&html_url, stored.clone())) + 1;
    artifacts.into_iter().map(size).sum()
}

/// Relative to the recorder's own address, which a proxy may hide from it.
pub(super) fn html_url(org: &str, environment: &str, index: u32) -> String {
    format!("/{org}/environments/{environment}/snapshots/{index}")
}

fn artifact(html_url: &str, stored: StoredArtifact) -> RecordedArtifact {
    RecordedArtifact {
        annotation: annotation(stored.was, stored.now()),
        name: stored.name,
        fingerprint: Some(stored.fingerprint.map(|known| known.to_string()).unwrap_or_default()),
        compliant: None,
        deployments: Vec::new(),
        policy_decisions: Vec::new(),
        reasons_for_incompliance: Vec::new(),
        creation_timestamp: stored.started_at,
        pods: Value::Null,
        flow_name: None,
        git_commit: None,
        commit_url: None,
        html_url: Some(html_url.to_owned()),
        flow_html_url: None,
        deployment_diff: Value::Null,
        commit_lead_time: None,
        flows: Vec::new(),
        ecs_context: Some(stored.task),
        // The context says it where there is one.
        ecs_places: if stored.places.len() > 1 { stored.places } else { Vec::new() },
    }
}

pub(super) fn annotation(was: u64, now: u64) -> Annotation {
    let change = match (was, now) {
        (0, _) => "started-unknown",
        (_, 0) => "exited",
        _ if was == now => "unchanged",
        _ => "changed",
    };
    Annotation { change: change.to_owned(), was, now }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::wire::{EcsContext, EcsPlace};
    use crate::snapshot::Fingerprint;

    fn stored(fingerprint: Option<u8>, was: u64, started_at: &[i64]) -> StoredArtifact {
        StoredArtifact {
            name: fingerprint.map_or("envoy".to_owned(), |byte| format!("web:{byte}")),
            fingerprint: fingerprint.map(|byte| Fingerprint::from([byte; 32])),
            was,
            started_at: started_at.to_vec(),
            task: EcsContext {
                task_arn: "arn".to_owned(),
                cluster_name: Some("app".to_owned()),
                service_name: None,
            },
            places: vec![place("app", started_at.len() as u64)],
        }
    }

    fn place(cluster: &str, replicas: u64) -> EcsPlace {
        EcsPlace { cluster_name: Some(cluster.to_owned()), service_name: None, replicas }
    }

    fn document(artifacts: Vec<StoredArtifact>) -> RecordedSnapshot {
        let stored = StoredSnapshot {
            index: 65,
            created_at: 1_661_161_162.48,
            confirmed_until: 1_661_161_222.5,
            silences: Vec::new(),
            next_created_at: None,
            environment_type: "ECS".to_owned(),
            artifacts,
        };
        snapshot("acme", "aws-prod", stored)
    }

    #[test]
    fn a_snapshot_is_exactly_what_the_api_documents() {
        let document = document(vec![stored(Some(0xab), 3, &[1, 2, 4]), stored(None, 0, &[3])]);
        let artifact = |name: &str, fingerprint: &str, started: &[i64], annotation: Value| {
            serde_json::json!({
                "name": name, "fingerprint": fingerprint, "compliant": null, "deployments": [],
                "policy_decisions": [], "reasons_for_incompliance": [],
                "creationTimestamp": started, "pods": null, "annotation": annotation,
                "flow_name": null, "git_commit": null, "commit_url": null,
                "html_url": "/acme/environments/aws-prod/snapshots/65", "flow_html_url": null,
                "deployment_diff": null, "commit_lead_time": null, "flows": [],
                "ecs_context": {"task_arn": "arn", "cluster_name": "app", "service_name": null},
            })
        };
        assert_eq!(
            serde_json::to_value(document).unwrap(),
            serde_json::json!({
                "index": 65, "is_latest": true, "next_snapshot_timestamp": null,
                "artifact_compliance_count": {"true": 0, "false": 0, "null": 2},
                "timestamp": 1_661_161_162.48, "confirmed_until": 1_661_161_222.5, "type": "ECS", "compliant": false,
                "html_url": "/acme/environments/aws-prod/snapshots/65", "applied_policies": [],
                "artifacts": [
                    artifact("web:171", &"ab".repeat(32), &[1, 2, 4],
                        serde_json::json!({"type": "unchanged", "was": 3, "now": 3})),
                    artifact("envoy", "", &[3],
                        serde_json::json!({"type": "started-unknown", "was": 0, "now": 1})),
                ],
            })
        );
    }

    #[test]
    fn an_artifact_in_several_clusters_names_all_of_them() {
        let places = vec![place("app", 1), place("jobs", 2)];
        let everywhere = StoredArtifact { places: places.clone(), ..stored(None, 3, &[1, 2, 3]) };
        assert_eq!(document(vec![everywhere]).artifacts[0].ecs_places, places);
    }

    #[test]
    fn the_latest_start_comes_first_and_what_exited_last() {
        let document = document(vec![
            stored(Some(1), 2, &[]),
            stored(Some(2), 1, &[5, 10]),
            stored(Some(3), 1, &[30]),
            stored(Some(4), 0, &[-1, 10]),
            stored(Some(5), 1, &[]),
        ]);
        let shown: Vec<_> = document
            .artifacts
            .iter()
            .map(|it| (it.name.as_str(), it.annotation.change.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("web:3", "unchanged"),
                ("web:2", "changed"),
                ("web:4", "started-unknown"),
                ("web:1", "exited"),
                ("web:5", "exited"),
            ]
        );
        assert_eq!(document.artifact_compliance_count["null"], 3);
    }
}

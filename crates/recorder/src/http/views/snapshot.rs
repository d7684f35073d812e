//! View of a snapshot.

use std::collections::BTreeMap;

use serde_json::Value;

use super::history::report_gap;
use super::provenance::{
    PreviousArtifacts, add_deployment_diffs, add_provenance, shorten_provenance,
};
use super::size::limit_provenance;
use crate::domain::console;
use crate::domain::{EcsLocation, Micros, SnapshotArtifact, SnapshotRecord, Task};
use envsnap_model::snapshot::TaskOrigin;
use envsnap_model::wire::{
    Annotation, EcsContext, EcsPlace, RecordedArtifact, RecordedSnapshot, RunningSince,
    SnapshotEntry,
};

/// A document with more artifacts has less of the provenance of each and no links to the AWS console, so
/// that clients can read it.
const MANY_ARTIFACTS: usize = 500;

/// The document of `snapshot`: what runs, latest start first, then what exited.
///
/// Compliance is unknown, so that no artifact is evaluated and the snapshot is not compliant
/// (clients cannot read a snapshot without a value).
pub(crate) fn snapshot(org: &str, environment: &str, snapshot: SnapshotRecord) -> RecordedSnapshot {
    let html_url = html_url(org, environment, snapshot.index);
    let artifacts = snapshot.artifacts;
    let are_many = artifacts.len() > MANY_ARTIFACTS;
    // What an artifact replaced may be among those that were left out.
    let has_diffs = !are_many && !snapshot.is_partial;
    let previous = PreviousArtifacts::new(if has_diffs { &artifacts } else { &[] });
    let mut artifacts: Vec<_> = artifacts
        .into_iter()
        .map(|stored| {
            let diffs = previous.deployment_diffs(&stored);
            let task = (!are_many).then_some(&stored.task);
            let service_url = task.and_then(console::service_url);
            let origin = task.and_then(|task| task.origin.as_ref());
            let task_definition_url = origin.and_then(console::task_definition_url);
            let mut document = artifact(org, &html_url, stored);
            add_deployment_diffs(diffs, &mut document);
            if let Some(context) = &mut document.ecs_context {
                context.service_url = service_url;
                context.task_definition_url = task_definition_url;
            }
            document
        })
        .collect();
    if are_many {
        artifacts.iter_mut().for_each(shorten_provenance);
    }
    limit_provenance(&mut artifacts);
    RecordedSnapshot {
        index: u64::from(snapshot.index),
        is_latest: snapshot.next_recorded_at.is_none(),
        next_snapshot_timestamp: snapshot.next_recorded_at.map(Micros::seconds),
        artifact_compliance_count: BTreeMap::from([
            ("true".to_owned(), 0),
            ("false".to_owned(), 0),
            ("null".to_owned(), snapshot.running_count),
        ]),
        timestamp: snapshot.recorded_at.seconds(),
        confirmed_until: Some(snapshot.confirmed_until.seconds()),
        reported_by: Some(snapshot.reported_by),
        ledger: Some(SnapshotEntry {
            seq: snapshot.seq,
            hash: snapshot.hash.to_string(),
            recorded_at: snapshot.recorded_at.rfc3339(),
        }),
        gaps: snapshot.gaps.iter().map(report_gap).collect(),
        environment_type: snapshot.environment_type,
        compliant: false,
        artifacts,
        html_url,
        applied_policies: Vec::new(),
    }
}

/// The page of a snapshot, relative to the recorder's own address, which a proxy may hide from it.
pub(crate) fn html_url(org: &str, environment: &str, index: u32) -> String {
    format!("/{org}/environments/{environment}/snapshots/{index}")
}

/// The document of an artifact in the snapshot that has its page at `html_url`.
pub(crate) fn artifact(org: &str, html_url: &str, stored: SnapshotArtifact) -> RecordedArtifact {
    let (since, first_time) = (running_since(&stored), stored.first_time_here());
    let provenance = stored.provenance;
    let mut document = RecordedArtifact {
        since,
        first_time_here: first_time.map(|it| it.as_str().to_owned()),
        annotation: annotation(stored.was, stored.now),
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
        origin: None,
        ecs_context: Some(to_ecs_context(stored.task)),
        // A single place is in the context already.
        ecs_places: if stored.places.len() > 1 {
            stored.places.into_iter().map(to_ecs_place).collect()
        } else {
            Vec::new()
        },
    };
    if let Some(provenance) = provenance {
        add_provenance(org, &provenance, &mut document);
    }
    document
}

/// Since when the artifact of a snapshot runs.
pub(super) fn running_since(stored: &SnapshotArtifact) -> RunningSince {
    let seen = stored.seen;
    RunningSince {
        started: stored.started_at.first().copied(),
        first_seen: seen.map(|it| it.first_at.seconds()),
        first_snapshot: seen.map(|it| it.first_index.into()),
        first_seen_at_the_latest: seen.map(|it| it.first_index == 1),
        confirmed_until: seen.map(|it| it.confirmed_until.seconds()),
    }
}

fn to_ecs_context(task: Task) -> EcsContext {
    let origin = task.origin.map(|origin| TaskOrigin {
        task_definition: origin.task_definition,
        started_by: origin.started_by,
        launch_type: origin.launch_type,
        availability_zone: origin.availability_zone,
    });
    EcsContext {
        task_arn: task.arn,
        cluster_name: task.cluster,
        service_name: task.service,
        origin,
        service_url: None,
        task_definition_url: None,
    }
}

fn to_ecs_place(place: EcsLocation) -> EcsPlace {
    let EcsLocation { cluster, replicas, service } = place;
    EcsPlace { cluster_name: cluster, service_name: service, replicas }
}

/// How the number of replicas differs from the previous snapshot.
pub(crate) fn annotation(was: u64, now: u64) -> Annotation {
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
    use crate::domain::EntryHash;
    use envsnap_model::snapshot::Fingerprint;

    fn stored_artifact(fingerprint: Option<u8>, was: u64, started_at: &[i64]) -> SnapshotArtifact {
        SnapshotArtifact {
            name: fingerprint.map_or("envoy".to_owned(), |byte| format!("web:{byte}")),
            fingerprint: fingerprint.map(|byte| Fingerprint::from([byte; 32])),
            was,
            now: started_at.len() as u64,
            started_at: started_at.to_vec(),
            task: Task {
                arn: "arn".to_owned(),
                cluster: Some("app".to_owned()),
                ..Task::unknown()
            },
            places: vec![replicas_in_cluster("app", started_at.len() as u64)],
            seen: None,
            provenance: None,
        }
    }

    fn replicas_in_cluster(cluster: &str, replicas: u64) -> EcsLocation {
        EcsLocation { cluster: Some(cluster.to_owned()), replicas, service: None }
    }

    fn snapshot_document(artifacts: Vec<SnapshotArtifact>) -> RecordedSnapshot {
        let stored = SnapshotRecord {
            index: 65,
            seq: 66,
            hash: EntryHash::NONE,
            reported_by: "reporter".to_owned(),
            recorded_at: Micros::from_seconds(1_661_161_162.48),
            confirmed_until: Micros::from_seconds(1_661_161_222.5),
            gaps: Vec::new(),
            next_recorded_at: None,
            environment_type: "ECS".to_owned(),
            running_count: artifacts.iter().filter(|artifact| artifact.runs()).count() as u64,
            is_partial: false,
            artifacts,
        };
        snapshot("acme", "aws-prod", stored)
    }

    #[test]
    fn json_of_a_snapshot_has_exactly_the_documented_fields() {
        let document = snapshot_document(vec![
            stored_artifact(Some(0xab), 3, &[1, 2, 4]),
            stored_artifact(None, 0, &[3]),
        ]);
        let artifact = |name: &str, fingerprint: &str, started: &[i64], annotation: Value| {
            serde_json::json!({
                "name": name, "fingerprint": fingerprint, "compliant": null, "deployments": [],
                "policy_decisions": [], "reasons_for_incompliance": [],
                "creationTimestamp": started, "pods": null, "annotation": annotation,
                "flow_name": null, "git_commit": null, "commit_url": null,
                "html_url": "/acme/environments/aws-prod/snapshots/65", "flow_html_url": null,
                "deployment_diff": null, "commit_lead_time": null, "flows": [],
                "ecs_context": {"task_arn": "arn", "cluster_name": "app", "service_name": null},
                "started": started[0],
            })
        };
        assert_eq!(
            serde_json::to_value(document).unwrap(),
            serde_json::json!({
                "index": 65, "is_latest": true, "next_snapshot_timestamp": null,
                "artifact_compliance_count": {"true": 0, "false": 0, "null": 2},
                "timestamp": 1_661_161_162.48, "confirmed_until": 1_661_161_222.5, "reported_by": "reporter",
                "ledger": {"seq": 66, "hash": "0".repeat(64), "recorded_at": "2022-08-22T09:39:22.48Z"},
                "type": "ECS", "compliant": false,
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
    fn artifact_in_several_clusters_lists_each_of_them_in_ecs_places() {
        let places = vec![replicas_in_cluster("app", 1), replicas_in_cluster("jobs", 2)];
        let everywhere =
            SnapshotArtifact { places: places.clone(), ..stored_artifact(None, 3, &[1, 2, 3]) };
        assert_eq!(
            snapshot_document(vec![everywhere]).artifacts[0].ecs_places,
            places.into_iter().map(to_ecs_place).collect::<Vec<_>>()
        );
    }
}

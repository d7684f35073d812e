//! The documents of the snapshot server's API, version 2.
//!
//! Written whole and read leniently: what a reader here does not need may be missing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::snapshot::{Artifact, Fingerprint, RunningContainer, Snapshot};

/// The type of an environment whose software ECS runs.
pub const ECS: &str = "ECS";

/// What runs in an environment: the body of `PUT /environments/{org}/{env}/report/ECS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EcsReport {
    /// One entry a task, and a further one for each container that the server would not count as
    /// a replica of its own in an entry that stands already.
    pub artifacts: Vec<ReportEntry>,
}

/// Running containers of one task. The server counts one replica an entry and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportEntry {
    /// Task ARN.
    #[serde(rename = "taskArn")]
    pub task_arn: String,
    /// Cluster name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// Service name; left out for a standalone task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// Fingerprint by artifact name, `""` where it is unknown.
    pub digests: BTreeMap<String, String>,
    /// When the task started, in seconds since the Unix epoch.
    #[serde(rename = "creationTimestamp")]
    pub creation_timestamp: i64,
}

impl EcsReport {
    /// The report of these containers: a container whose digest or name stands in its task's entry
    /// already gets an entry of its own, since the server would count the two as one replica, and
    /// so does each container without a known digest.
    ///
    /// The order of `containers` makes no difference.
    pub fn of(containers: &[RunningContainer]) -> Self {
        let mut sorted: Vec<_> = containers.iter().collect();
        sorted.sort_by_key(|container| {
            (
                &container.cluster,
                &container.task_arn,
                &container.artifact_name,
                container.fingerprint,
            )
        });
        let mut artifacts = Vec::<ReportEntry>::with_capacity(sorted.len());
        for task in sorted.chunk_by(|a, b| a.task_arn == b.task_arn) {
            let first_of_task = artifacts.len();
            for container in task {
                let digest = container.fingerprint.map(|f| f.to_string()).unwrap_or_default();
                let known = container.fingerprint.is_some();
                let entry = artifacts[first_of_task..]
                    .iter_mut()
                    .find(|entry| known && entry.has_room_for(&container.artifact_name, &digest));
                match entry {
                    Some(entry) => {
                        entry.digests.insert(container.artifact_name.clone(), digest);
                    }
                    None => artifacts.push(ReportEntry {
                        task_arn: container.task_arn.clone(),
                        cluster_name: Some(container.cluster.clone()),
                        service_name: container.service.clone(),
                        digests: BTreeMap::from([(container.artifact_name.clone(), digest)]),
                        creation_timestamp: container.started_at,
                    }),
                }
            }
        }
        Self { artifacts }
    }

    /// What a server counts in this report.
    pub fn snapshot(&self) -> Snapshot {
        self.artifacts.iter().flat_map(ReportEntry::replicas).collect()
    }
}

impl ReportEntry {
    fn has_room_for(&self, name: &str, digest: &str) -> bool {
        self.digests.iter().all(|(n, d)| n != name && d != digest && !d.is_empty())
    }

    /// One replica for each digest of this entry; digests that are unknown are told apart by name.
    pub fn replicas(&self) -> impl Iterator<Item = Artifact> {
        let mut counted = BTreeSet::new();
        self.digests.iter().filter_map(move |(name, digest)| {
            let fingerprint = digest.parse::<Fingerprint>().ok();
            let first = fingerprint.is_none_or(|fingerprint| counted.insert(fingerprint));
            first.then(|| Artifact { name: name.clone(), fingerprint, replicas: 1 })
        })
    }
}

/// The body of `PUT /environments/{org}`, which makes an environment or changes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRequest {
    /// `^[a-zA-Z0-9][a-zA-Z0-9._-]*$`.
    pub name: String,
    /// `ECS` among others, case-sensitive.
    #[serde(rename = "type")]
    pub environment_type: String,
    /// For people.
    pub description: String,
    /// Whether a change of replicas alone makes a new snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_scaling: Option<bool>,
}

/// An environment: the answer of `GET /environments/{org}/{env}`. Times are in seconds since the
/// Unix epoch, with fractions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The organization that owns it.
    #[serde(default)]
    pub org: String,
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub environment_type: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// When it was last made, changed or reported to.
    #[serde(default)]
    pub last_modified_at: f64,
    /// When it was last reported to, whether or not that made a snapshot.
    #[serde(default)]
    pub last_reported_at: Option<f64>,
    /// When its latest snapshot was made.
    #[serde(default)]
    pub last_changed_at: Option<f64>,
    /// Whether what runs there is compliant; `null` before the first snapshot.
    #[serde(default)]
    pub state: Option<bool>,
    /// Whether a change of replicas alone makes a new snapshot.
    #[serde(default)]
    pub include_scaling: bool,
    /// Free to use.
    #[serde(default)]
    pub tags: Map<String, Value>,
    /// Names of the policies attached to it.
    #[serde(default)]
    pub policies: Option<Vec<String>>,
    /// The environments in a logical one.
    #[serde(default)]
    pub included_environments: Option<Vec<String>>,
}

/// A snapshot: the answer of `GET /snapshots/{org}/{env}/{expression}`. Times are in seconds since
/// the Unix epoch, with fractions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedSnapshot {
    /// Its place among the environment's snapshots, from 1.
    pub index: u64,
    /// No later one exists.
    #[serde(default)]
    pub is_latest: bool,
    /// When the next one was made.
    #[serde(default)]
    pub next_snapshot_timestamp: Option<f64>,
    /// Running artifacts by compliance: `true`, `false` and `null`.
    #[serde(default)]
    pub artifact_compliance_count: BTreeMap<String, u64>,
    /// When it was made.
    #[serde(default)]
    pub timestamp: f64,
    /// The type of its environment.
    #[serde(rename = "type")]
    pub environment_type: String,
    /// Whether all that runs is compliant.
    #[serde(default)]
    pub compliant: bool,
    /// Where a person can look at it.
    #[serde(default)]
    pub html_url: String,
    /// Policies that were applied.
    #[serde(default)]
    pub applied_policies: Vec<Value>,
    /// What runs, latest start first, then what exited with this snapshot. One entry a
    /// fingerprint.
    pub artifacts: Vec<RecordedArtifact>,
}

impl RecordedSnapshot {
    /// The artifacts that run in it, without those that exited with it.
    pub fn running(&self) -> impl Iterator<Item = &RecordedArtifact> {
        self.artifacts.iter().filter(|artifact| artifact.annotation.now > 0)
    }

    /// What runs in it.
    pub fn snapshot(&self) -> Snapshot {
        self.running()
            .map(|artifact| Artifact {
                name: artifact.name.clone(),
                // A server may show an artifact without a digest in any form of its own.
                fingerprint: artifact.fingerprint.as_deref().and_then(|f| f.parse().ok()),
                replicas: artifact.annotation.now,
            })
            .collect()
    }
}

/// An artifact in a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedArtifact {
    /// Its label.
    pub name: String,
    /// 64 lowercase hexadecimal digits, or `""` where it is unknown.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// `null` without provenance.
    #[serde(default)]
    pub compliant: Option<bool>,
    /// Deployments that announced it.
    #[serde(default)]
    pub deployments: Vec<Value>,
    /// What the policies say of it.
    #[serde(default)]
    pub policy_decisions: Vec<Value>,
    /// Why it is not compliant.
    #[serde(default)]
    pub reasons_for_incompliance: Vec<Value>,
    /// When each replica started, in seconds since the Unix epoch, ascending.
    #[serde(default, rename = "creationTimestamp")]
    pub creation_timestamp: Vec<i64>,
    /// Always `null` for ECS.
    #[serde(default)]
    pub pods: Value,
    /// What this snapshot changed.
    pub annotation: Annotation,
    /// The flow that built it.
    #[serde(default)]
    pub flow_name: Option<String>,
    /// The commit that it was built from.
    #[serde(default)]
    pub git_commit: Option<String>,
    /// Where a person can look at the commit.
    #[serde(default)]
    pub commit_url: Option<String>,
    /// Where a person can look at the artifact.
    #[serde(default)]
    pub html_url: Option<String>,
    /// Where a person can look at the flow.
    #[serde(default)]
    pub flow_html_url: Option<String>,
    /// What changed since the deployment before.
    #[serde(default)]
    pub deployment_diff: Value,
    /// Seconds from commit to running.
    #[serde(default)]
    pub commit_lead_time: Option<f64>,
    /// One entry a flow that it was reported to.
    #[serde(default)]
    pub flows: Vec<Value>,
    /// One of the tasks that run it.
    #[serde(default)]
    pub ecs_context: Option<EcsContext>,
}

/// What a snapshot changed of one artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// `started-compliant`, `started-non-compliant`, `started-unknown`, `exited`, `unchanged`,
    /// `changed` (replicas) or `updated-provenance`.
    #[serde(rename = "type")]
    pub change: String,
    /// Replicas in the snapshot before.
    pub was: u64,
    /// Replicas in this one; 0 says that it exited.
    pub now: u64,
}

/// Where in ECS an artifact runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EcsContext {
    /// Task ARN.
    pub task_arn: String,
    /// Cluster name.
    #[serde(default)]
    pub cluster_name: Option<String>,
    /// Service name.
    #[serde(default)]
    pub service_name: Option<String>,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A sentence.
    pub message: String,
    /// What is wrong with each field of the request, by the field's path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, Value>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::snapshot::DigestSource;

    fn container(task: &str, name: &str, fingerprint: Option<u8>) -> RunningContainer {
        RunningContainer {
            cluster: "app".to_owned(),
            service: Some("web".to_owned()),
            task_arn: format!("arn:aws:ecs:eu-central-1:274425519734:task/app/{task}"),
            started_at: 1_661_161_157,
            artifact_name: name.to_owned(),
            fingerprint: fingerprint.map(|byte| Fingerprint::from([byte; 32])),
            digest_source: DigestSource::Ecs,
        }
    }

    #[test]
    fn a_report_is_exactly_what_the_server_documents() {
        let mut standalone = container("2", "job:1", None);
        standalone.service = None;
        let report = EcsReport::of(&[container("1", "web:1", Some(0xab)), standalone]);
        assert_eq!(
            serde_json::to_value(report).unwrap(),
            serde_json::json!({"artifacts": [
                {
                    "taskArn": "arn:aws:ecs:eu-central-1:274425519734:task/app/1",
                    "cluster_name": "app",
                    "service_name": "web",
                    "digests": {"web:1": "ab".repeat(32)},
                    "creationTimestamp": 1_661_161_157,
                },
                {
                    "taskArn": "arn:aws:ecs:eu-central-1:274425519734:task/app/2",
                    "cluster_name": "app",
                    "digests": {"job:1": ""},
                    "creationTimestamp": 1_661_161_157,
                },
            ]})
        );
    }

    #[test]
    fn containers_of_one_task_share_an_entry_unless_the_server_would_count_them_as_one() {
        let cases = [
            (vec![("web:1", Some(1)), ("log:1", Some(2))], 1),
            (vec![("web:1", Some(1)), ("web:1", Some(1))], 2),
            (vec![("web:1", Some(1)), ("web:2", Some(1))], 2),
            (vec![("web:1", Some(1)), ("web:1", Some(2))], 2),
            (vec![("web:1", Some(1)), ("envoy", None)], 2),
            (vec![("a", None), ("b", None), ("b", None)], 3),
        ];
        for (containers, entries) in cases {
            let containers: Vec<_> =
                containers.into_iter().map(|(name, f)| container("1", name, f)).collect();
            let report = EcsReport::of(&containers);
            assert_eq!(report.artifacts.len(), entries, "{report:?}");
        }
    }

    #[test]
    fn an_artifact_that_exited_does_not_run() {
        let recorded: RecordedSnapshot = serde_json::from_value(serde_json::json!({
            "index": 66, "type": "ECS", "artifacts": [
                {"name": "web:1", "fingerprint": "ab".repeat(32),
                 "annotation": {"type": "unchanged", "was": 3, "now": 3}},
                {"name": "envoy", "fingerprint": "",
                 "annotation": {"type": "unchanged", "was": 1, "now": 1}},
                {"name": "web:0", "fingerprint": "cd".repeat(32),
                 "annotation": {"type": "exited", "was": 1, "now": 0}},
            ]
        }))
        .unwrap();
        let names: Vec<_> =
            recorded.snapshot().artifacts().map(|a| (a.name.clone(), a.replicas)).collect();
        assert_eq!(names, [("web:1".to_owned(), 3), ("envoy".to_owned(), 1)]);
    }

    proptest! {
        #[test]
        fn a_server_counts_in_the_report_exactly_the_containers_that_run(
            containers in proptest::collection::vec(
                ("[12]", "[abc]", proptest::option::of(0..3_u8)), 0..12)
        ) {
            let containers: Vec<_> =
                containers.iter().map(|(task, name, f)| container(task, name, *f)).collect();
            let counted = EcsReport::of(&containers).snapshot();
            prop_assert_eq!(counted, containers.iter().collect::<Snapshot>());
        }
    }
}

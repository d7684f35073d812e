//! Reports.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::snapshot::{Artifact, Fingerprint, RunningContainer, Snapshot, TaskOrigin};

/// What runs in an environment: the body of `PUT /environments/{org}/{env}/report/ECS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EcsReport {
    /// One entry per task, and an additional one for each container that the server would not count
    /// as a replica of its own in an existing entry.
    pub artifacts: Vec<ReportEntry>,
}

/// Running containers of one task. The server counts one replica per entry and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportEntry {
    /// Task ARN.
    #[serde(rename = "taskArn")]
    pub task_arn: String,
    /// Cluster name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// Service name; omitted for a standalone task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// Fingerprint by artifact name, `""` if it is unknown, sorted by name: an object. A report may
    /// have ten thousand entries, nearly all of one name, for which a map takes half a kilobyte.
    #[serde(with = "digests")]
    pub digests: Vec<(String, Option<Fingerprint>)>,
    /// When the task started, in seconds since the Unix epoch.
    #[serde(rename = "creationTimestamp")]
    pub creation_timestamp: i64,
    /// Where the task comes from. Only for a server that [accepts](super::ORIGIN) it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<TaskOrigin>,
}

impl EcsReport {
    /// The report of these containers. A container gets an entry of its own if its task's entry
    /// already has its digest or name, since the server would count the two as one replica, and if
    /// its digest is unknown.
    ///
    /// The order of `containers` makes no difference.
    pub fn from_containers(containers: &[RunningContainer<'_>]) -> Self {
        let mut sorted: Vec<_> = containers.iter().collect();
        sorted.sort_by_key(|container| {
            (container.cluster, container.task_arn, container.artifact_name, container.fingerprint)
        });
        let mut artifacts = Vec::<ReportEntry>::with_capacity(sorted.len());
        for task in sorted.chunk_by(|a, b| a.task_arn == b.task_arn) {
            let first_of_task = artifacts.len();
            for container in task {
                let name = container.artifact_name;
                let entry = artifacts[first_of_task..]
                    .iter_mut()
                    .find(|entry| entry.has_room_for(name, container.fingerprint));
                match entry {
                    Some(entry) => entry.digests.push((name.to_owned(), container.fingerprint)),
                    None => artifacts.push(ReportEntry {
                        task_arn: container.task_arn.to_owned(),
                        cluster_name: Some(container.cluster.to_owned()),
                        service_name: container.service.map(ToOwned::to_owned),
                        digests: vec![(name.to_owned(), container.fingerprint)],
                        creation_timestamp: container.started_at,
                        origin: container.origin.cloned(),
                    }),
                }
            }
        }
        Self { artifacts }
    }

    /// The snapshot that a server makes of this report.
    pub fn snapshot(&self) -> Snapshot {
        self.artifacts.iter().flat_map(ReportEntry::replicas).collect()
    }
}

impl ReportEntry {
    /// Whether a container can be added to this entry and is counted there: a server counts all containers
    /// of an entry only if their digests are known, and their digests and names differ.
    fn has_room_for(&self, name: &str, fingerprint: Option<Fingerprint>) -> bool {
        let differs =
            |(n, f): &(String, Option<Fingerprint>)| n != name && f.is_some() && *f != fingerprint;
        fingerprint.is_some() && self.digests.iter().all(differs)
    }

    /// One replica per digest of this entry. Unknown digests are distinguished by name.
    pub fn replicas(&self) -> impl Iterator<Item = Artifact> {
        let mut counted = BTreeSet::new();
        self.digests.iter().filter_map(move |(name, fingerprint)| {
            let fingerprint = *fingerprint;
            let first = fingerprint.is_none_or(|fingerprint| counted.insert(fingerprint));
            first.then(|| Artifact { name: name.clone(), fingerprint, replicas: 1 })
        })
    }
}

/// The digests of an entry, as an object.
mod digests {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::snapshot::Fingerprint;

    type Digests = Vec<(String, Option<Fingerprint>)>;

    /// An object of digests by name; `""` if a digest is unknown.
    pub(super) fn serialize<S: Serializer>(
        digests: &Digests,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = |fingerprint: &Option<Fingerprint>| {
            fingerprint.map(|fingerprint| fingerprint.to_string()).unwrap_or_default()
        };
        serializer.collect_map(digests.iter().map(|(name, digest)| (name, text(digest))))
    }

    /// Reads such an object. A text that is not a digest is an unknown digest.
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Digests, D::Error> {
        let digests = BTreeMap::<String, String>::deserialize(deserializer)?;
        Ok(digests.into_iter().map(|(name, digest)| (name, digest.parse().ok())).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::snapshot::DigestSource;

    /// Its fingerprint repeats the given byte 32 times.
    fn container<'t>(
        task_arn: &'t str,
        artifact_name: &'t str,
        fingerprint: Option<u8>,
    ) -> RunningContainer<'t> {
        RunningContainer {
            cluster: "app",
            service: Some("web"),
            task_arn,
            started_at: 1_661_161_157,
            origin: None,
            artifact_name,
            fingerprint: fingerprint.map(|byte| Fingerprint::from([byte; 32])),
            digest_source: DigestSource::Ecs,
        }
    }

    #[test]
    fn report_is_serialized_as_the_json_that_the_server_documents() {
        const TASK_ARNS: [&str; 2] = [
            "arn:aws:ecs:eu-central-1:274425519734:task/app/1",
            "arn:aws:ecs:eu-central-1:274425519734:task/app/2",
        ];
        let mut standalone = container(TASK_ARNS[1], "job:1", None);
        standalone.service = None;
        let report =
            EcsReport::from_containers(&[container(TASK_ARNS[0], "web:1", Some(0xab)), standalone]);
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
    fn report_entry_has_the_origin_of_its_task_only_if_it_is_known() {
        let origin = TaskOrigin {
            task_definition: Some("arn:aws:ecs:eu-central-1:1:task-definition/web:42".to_owned()),
            launch_type: Some("FARGATE".to_owned()),
            ..TaskOrigin::default()
        };
        let of_known =
            RunningContainer { origin: Some(&origin), ..container("1", "web:1", Some(1)) };
        let report = EcsReport::from_containers(&[of_known, container("2", "web:1", Some(1))]);
        let report = serde_json::to_value(report).unwrap();
        assert_eq!(
            report["artifacts"][0]["origin"],
            serde_json::json!({
                "task_definition": "arn:aws:ecs:eu-central-1:1:task-definition/web:42",
                "launch_type": "FARGATE",
            })
        );
        assert!(report["artifacts"][1].get("origin").is_none(), "{report}");
        assert_eq!(origin.family_and_revision(), Some("web:42"));
    }

    #[test]
    fn container_with_a_repeated_name_or_digest_or_an_unknown_digest_has_its_own_entry() {
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
            let report = EcsReport::from_containers(&containers);
            assert_eq!(report.artifacts.len(), entries, "{report:?}");
        }
    }

    proptest! {
        #[test]
        fn snapshot_of_a_report_equals_the_snapshot_of_the_reported_containers(
            containers in proptest::collection::vec(
                ("[12]", "[abc]", proptest::option::of(0..3_u8)), 0..12)
        ) {
            let containers: Vec<_> =
                containers.iter().map(|(task, name, f)| container(task, name, *f)).collect();
            let counted = EcsReport::from_containers(&containers).snapshot();
            prop_assert_eq!(counted, containers.iter().collect::<Snapshot>());
        }
    }
}

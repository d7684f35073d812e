//! What the recorder keeps of a snapshot, and whether a report makes a new one.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::wire::{EcsContext, EcsPlace, EcsReport};
use crate::snapshot::{Artifact, Diff, Fingerprint, Identity, Snapshot};

/// An artifact in a snapshot, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredArtifact {
    pub(super) name: String,
    pub(super) fingerprint: Option<Fingerprint>,
    /// Replicas in the snapshot before.
    pub(super) was: u64,
    /// When each replica started, in seconds since the Unix epoch, ascending; empty for an
    /// artifact that exited with this snapshot.
    pub(super) started_at: Vec<i64>,
    /// The task that started last.
    pub(super) task: EcsContext,
    /// Every cluster and service that it runs in, or ran in where it exited, in order.
    pub(super) places: Vec<EcsPlace>,
}

impl StoredArtifact {
    /// Replicas in this snapshot.
    pub(super) fn now(&self) -> u64 {
        self.started_at.len() as u64
    }

    pub(super) fn runs(&self) -> bool {
        !self.started_at.is_empty()
    }

    /// It started or exited with this snapshot, or its replicas changed.
    pub(super) fn changed(&self) -> bool {
        self.was != self.now()
    }

    pub(super) fn identity(&self) -> Identity {
        Identity::of(&self.name, self.fingerprint)
    }

    fn count_replica(&mut self, task: &EcsContext) {
        let EcsContext { cluster_name, service_name, .. } = task;
        let wanted = (cluster_name, service_name);
        let found =
            self.places.binary_search_by(|it| (&it.cluster_name, &it.service_name).cmp(&wanted));
        match found {
            Ok(at) => self.places[at].replicas += 1,
            Err(at) => {
                let (cluster_name, service_name) = (cluster_name.clone(), service_name.clone());
                self.places.insert(at, EcsPlace { cluster_name, service_name, replicas: 1 });
            }
        }
    }

    fn exited(&self) -> Self {
        Self { was: self.now(), started_at: Vec::new(), ..self.clone() }
    }
}

/// Puts `artifacts` into the order in which they are shown: what runs, latest start first, then what
/// exited. Equals stay as they are.
pub(super) fn order(artifacts: &mut [StoredArtifact]) {
    artifacts.sort_by_key(|artifact| Reverse(artifact.started_at.last().copied()));
}

/// The snapshot that `report` makes after `latest`, one artifact an identity, in the order of their
/// identities: those that run, and those that ran in `latest`. `None` where nothing is new.
pub(super) fn next_snapshot(
    latest: &[StoredArtifact],
    report: &EcsReport,
    include_scaling: bool,
) -> Option<Vec<StoredArtifact>> {
    let mut next = running(report);
    let diff = Diff::between(&snapshot(latest), &snapshot(next.values()));
    let is_new = if include_scaling { !diff.is_empty() } else { !diff.same_artifacts() };
    if !is_new {
        return None;
    }
    for before in latest.iter().filter(|artifact| artifact.runs()) {
        next.entry(before.identity())
            .and_modify(|artifact| artifact.was = before.now())
            .or_insert_with(|| before.exited());
    }
    Some(next.into_values().collect())
}

/// What runs by `report`. An artifact that is reported under several names is called by the least
/// of them, as in a [`Snapshot`].
fn running(report: &EcsReport) -> BTreeMap<Identity, StoredArtifact> {
    let mut entries: Vec<_> = report.artifacts.iter().collect();
    entries.sort_by_key(|entry| (entry.creation_timestamp, Reverse(&entry.task_arn)));
    let mut running = BTreeMap::<Identity, StoredArtifact>::new();
    for entry in entries {
        for Artifact { name, fingerprint, .. } in entry.replicas() {
            let task = EcsContext {
                task_arn: entry.task_arn.clone(),
                cluster_name: entry.cluster_name.clone(),
                service_name: entry.service_name.clone(),
            };
            let artifact =
                running.entry(Identity::of(&name, fingerprint)).or_insert_with(|| StoredArtifact {
                    name: name.clone(),
                    fingerprint,
                    was: 0,
                    started_at: Vec::new(),
                    task: task.clone(),
                    places: Vec::new(),
                });
            artifact.started_at.push(entry.creation_timestamp);
            artifact.count_replica(&task);
            artifact.task = task;
            if name < artifact.name {
                artifact.name = name;
            }
        }
    }
    running
}

fn snapshot<'a>(artifacts: impl IntoIterator<Item = &'a StoredArtifact>) -> Snapshot {
    artifacts
        .into_iter()
        .map(|artifact| Artifact {
            name: artifact.name.clone(),
            fingerprint: artifact.fingerprint,
            replicas: artifact.now(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::wire::ReportEntry;

    /// An entry a (task, name, fingerprint's byte, start).
    fn report(entries: &[(&str, &str, Option<u8>, i64)]) -> EcsReport {
        let artifacts = entries
            .iter()
            .map(|(task, name, fingerprint, started)| {
                let digest = fingerprint.map(|byte| Fingerprint::from([byte; 32]).to_string());
                ReportEntry {
                    task_arn: (*task).to_owned(),
                    cluster_name: Some("app".to_owned()),
                    service_name: None,
                    digests: BTreeMap::from([((*name).to_owned(), digest.unwrap_or_default())]),
                    creation_timestamp: *started,
                }
            })
            .collect();
        EcsReport { artifacts }
    }

    fn first(entries: &[(&str, &str, Option<u8>, i64)]) -> Vec<StoredArtifact> {
        next_snapshot(&[], &report(entries), true).unwrap()
    }

    #[test]
    fn a_report_is_new_when_an_artifact_differs_or_a_counted_replica() {
        let latest = first(&[("t1", "web:1", Some(1), 10), ("t2", "envoy", None, 10)]);
        // What is reported; whether it is new without scaling; and with it.
        let cases = [
            (vec![("t1", "web:1", Some(1), 10), ("t2", "envoy", None, 10)], false, false),
            (vec![("t8", "web:2", Some(1), 99), ("t9", "envoy", None, 99)], false, false),
            (
                vec![
                    ("t1", "web", Some(1), 9),
                    ("t3", "web", Some(1), 9),
                    ("t2", "envoy", None, 9),
                ],
                false,
                true,
            ),
            (
                vec![("t1", "web", Some(1), 9), ("t2", "envoy", None, 9), ("t3", "envoy", None, 9)],
                false,
                true,
            ),
            (vec![("t1", "web:1", Some(2), 10), ("t2", "envoy", None, 10)], true, true),
            (vec![("t1", "web:1", Some(1), 10), ("t2", "sidecar", None, 10)], true, true),
            (vec![("t1", "web:1", Some(1), 10)], true, true),
            (vec![], true, true),
        ];
        for (entries, without, with) in cases {
            let report = report(&entries);
            assert_eq!(next_snapshot(&latest, &report, false).is_some(), without, "{entries:?}");
            assert_eq!(next_snapshot(&latest, &report, true).is_some(), with, "{entries:?}");
        }
    }

    #[test]
    fn nothing_that_runs_is_nothing_new_before_the_first_snapshot_and_after_the_last_exit() {
        let nothing = report(&[]);
        assert_eq!(next_snapshot(&[], &nothing, true), None);
        let latest = first(&[("t1", "web:1", Some(1), 10)]);
        let emptied = next_snapshot(&latest, &nothing, true).unwrap();
        assert!(emptied.iter().all(|artifact| !artifact.runs() && artifact.was == 1));
        assert_eq!(next_snapshot(&emptied, &nothing, true), None);
    }

    #[test]
    fn what_exited_before_does_not_exit_again() {
        let one = first(&[("t1", "web:1", Some(1), 10)]);
        let two = next_snapshot(&one, &report(&[("t2", "web:2", Some(2), 20)]), true).unwrap();
        let counts = |entries: &[_]| -> Vec<_> {
            let next = next_snapshot(&two, &report(entries), true).unwrap();
            next.iter().map(|it| (it.name.clone(), it.was, it.now())).collect()
        };
        let count = |name: &str, was, now| (name.to_owned(), was, now);
        assert_eq!(
            counts(&[("t3", "web:3", Some(3), 30)]),
            [count("web:2", 1, 0), count("web:3", 0, 1)]
        );
        assert_eq!(
            counts(&[("t3", "web:1", Some(1), 30)]),
            [count("web:1", 0, 1), count("web:2", 1, 0)]
        );
    }

    #[test]
    fn an_artifact_runs_in_every_cluster_and_service_of_its_replicas() {
        let mut both = report(&[
            ("t1", "web", Some(1), 10),
            ("t2", "web", Some(1), 30),
            ("t3", "web", Some(1), 20),
        ]);
        both.artifacts[1].cluster_name = Some("jobs".to_owned());
        both.artifacts[2].service_name = Some("web".to_owned());
        let stored = next_snapshot(&[], &both, true).unwrap();
        let place = |cluster: &str, service: Option<&str>, replicas| EcsPlace {
            cluster_name: Some(cluster.to_owned()),
            service_name: service.map(str::to_owned),
            replicas,
        };
        let places = [place("app", None, 1), place("app", Some("web"), 1), place("jobs", None, 1)];
        assert_eq!(stored[0].places, places);
        assert_eq!(stored[0].task.task_arn, "t2");
        let exited = next_snapshot(&stored, &report(&[]), true).unwrap();
        assert_eq!(exited[0].places, places, "where it ran");
        let three = first(&[("t1", "web", Some(1), 1), ("t2", "web", Some(1), 2)]);
        assert_eq!(three[0].places, [place("app", None, 2)]);
    }

    #[test]
    fn an_artifact_is_one_entry_whatever_its_names_and_shows_its_latest_task() {
        let stored = first(&[
            ("t2", "web:2", Some(1), 20),
            ("t3", "web:1", Some(1), 10),
            ("t1", "web:3", Some(1), 20),
        ]);
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].name, "web:1");
        assert_eq!(stored[0].started_at, [10, 20, 20]);
        assert_eq!(stored[0].task.task_arn, "t1");
    }
}

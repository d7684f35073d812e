//! Aggregates a report's tasks into running artifacts.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use envsnap_model::snapshot::{Artifact, Fingerprint, Identity, Snapshot};

use super::{EcsLocation, Error, Origin, Task};

/// The most replicas, which are containers, that run in a snapshot.
pub const MAX_REPLICAS: usize = 100_000;

/// The most artifacts that run in a snapshot.
const MAX_ARTIFACTS: usize = 20_000;

/// The most pairs of a cluster or service and an artifact that runs there.
const MAX_PLACES: usize = 50_000;

/// The most bytes of names of artifacts, tasks, clusters and services in a snapshot.
const MAX_TEXT_BYTES: usize = 15 << 20;

/// The running containers of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportEntry {
    pub task_arn: Box<str>,
    pub cluster_name: Option<Box<str>>,
    /// The service's name; none for a standalone task.
    pub service_name: Option<Box<str>>,
    /// By the artifact's name, ascending; `None` if the fingerprint is not known.
    pub digests: Vec<(Box<str>, Option<Fingerprint>)>,
    /// When the task started, in seconds since the Unix epoch.
    pub started_at: i64,
    /// Where the task comes from, if the reporter says it.
    pub origin: Option<Origin>,
}

impl ReportEntry {
    /// The length in bytes of the ARN and the origin of the task, which are kept once per artifact.
    fn task_bytes(&self) -> usize {
        self.task_arn.len() + self.origin.as_ref().map_or(0, Origin::text_bytes)
    }

    /// One replica per fingerprint, under the smallest of its names; without a fingerprint, one per
    /// name.
    fn replicas(&self) -> impl Iterator<Item = (&str, Option<Fingerprint>)> {
        self.digests.iter().enumerate().filter_map(|(at, (name, fingerprint))| {
            let stood = |(_, earlier): &(_, Option<Fingerprint>)| earlier == fingerprint;
            let counts = fingerprint.is_none() || !self.digests[..at].iter().any(stood);
            counts.then_some((&**name, *fingerprint))
        })
    }
}

/// An artifact that runs, with the tasks that run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningArtifact {
    /// Its label; the smallest if there are several.
    pub name: String,
    /// None if it is unknown.
    pub fingerprint: Option<Fingerprint>,
    /// When each replica started, in seconds since the Unix epoch, ascending; at least one.
    pub started_at: Vec<i64>,
    /// The task of the replica that started last.
    pub task: Task,
    /// Every cluster and service of its replicas, in order, if they are several: otherwise the task
    /// says it.
    pub places: Vec<EcsLocation>,
}

impl RunningArtifact {
    pub fn replicas(&self) -> u64 {
        self.started_at.len() as u64
    }

    /// The fingerprint, or the name if that is unknown.
    pub fn identity(&self) -> Identity {
        Identity::new(&self.name, self.fingerprint)
    }
}

/// The running totals of one artifact. It borrows from the report: texts are copied only after the
/// limits are checked, since one text may be part of many artifacts.
struct ArtifactTally<'a> {
    name: &'a str,
    fingerprint: Option<Fingerprint>,
    started_at: Vec<i64>,
    /// The task that started last.
    task: &'a ReportEntry,
    /// Replicas by cluster and service.
    places: BTreeMap<(Option<&'a str>, Option<&'a str>), u64>,
}

/// What runs, one artifact per identity, in the order of their identities.
///
/// # Errors
/// A limit of snapshots is exceeded.
pub fn running_artifacts(entries: &[ReportEntry]) -> Result<Vec<RunningArtifact>, Error> {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by_key(|entry| (entry.started_at, Reverse(&entry.task_arn)));
    let (mut replicas, mut places, mut text) = (0, 0, 0);
    let mut running = BTreeMap::<_, ArtifactTally<'_>>::new();
    for entry in entries {
        for (name, fingerprint) in entry.replicas() {
            // Without a fingerprint the name is the identity; such artifacts are sorted last.
            let name_of_unknown = if fingerprint.is_some() { "" } else { name };
            let key = (fingerprint.is_none(), fingerprint, name_of_unknown);
            let artifact = running.entry(key).or_insert_with(|| {
                text += name.len() + entry.task_bytes();
                ArtifactTally {
                    name,
                    fingerprint,
                    started_at: Vec::new(),
                    task: entry,
                    places: BTreeMap::new(),
                }
            });
            let place = (entry.cluster_name.as_deref(), entry.service_name.as_deref());
            let in_place = artifact.places.entry(place).or_insert(0);
            if *in_place == 0 {
                places += 1;
                text += place.0.map_or(0, str::len) + place.1.map_or(0, str::len);
            }
            *in_place += 1;
            artifact.started_at.push(entry.started_at);
            text = text - artifact.task.task_bytes() + entry.task_bytes();
            artifact.task = entry;
            artifact.name = artifact.name.min(name);
            replicas += 1;
        }
        check_limit("replicas", replicas, MAX_REPLICAS)?;
        check_limit("artifacts", running.len(), MAX_ARTIFACTS)?;
        check_limit("clusters and services of artifacts", places, MAX_PLACES)?;
        check_limit("bytes of names", text, MAX_TEXT_BYTES)?;
    }
    Ok(running.into_values().map(ArtifactTally::into_artifact).collect())
}

fn check_limit(of: &'static str, found: usize, most: usize) -> Result<(), Error> {
    if found > most { Err(Error::ReportTooLarge { of, most, found }) } else { Ok(()) }
}

impl ArtifactTally<'_> {
    fn into_artifact(self) -> RunningArtifact {
        let owned = |name: Option<&str>| name.map(str::to_owned);
        let place = |((cluster, service), replicas)| EcsLocation {
            cluster: owned(cluster),
            replicas,
            service: owned(service),
        };
        let several = self.places.len() > 1;
        RunningArtifact {
            name: self.name.to_owned(),
            fingerprint: self.fingerprint,
            started_at: self.started_at,
            task: Task {
                arn: self.task.task_arn.to_string(),
                cluster: owned(self.task.cluster_name.as_deref()),
                origin: self.task.origin.clone(),
                service: owned(self.task.service_name.as_deref()),
            },
            places: self.places.into_iter().filter(|_| several).map(place).collect(),
        }
    }
}

/// The snapshot of these artifacts, without their tasks.
pub fn to_snapshot(running: &[RunningArtifact]) -> Snapshot {
    running
        .iter()
        .map(|artifact| Artifact {
            name: artifact.name.clone(),
            fingerprint: artifact.fingerprint,
            replicas: artifact.replicas(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry for each (task, name, fingerprint's byte, start).
    fn report(entries: &[(&str, &str, Option<u8>, i64)]) -> Vec<ReportEntry> {
        let entry = |(task, name, fingerprint, started): &(&str, &str, Option<u8>, i64)| {
            let fingerprint = fingerprint.map(|byte| Fingerprint::from([byte; 32]));
            ReportEntry {
                task_arn: (*task).into(),
                cluster_name: Some("app".into()),
                service_name: None,
                digests: vec![((*name).into(), fingerprint)],
                started_at: *started,
                origin: None,
            }
        };
        entries.iter().map(entry).collect()
    }

    fn place(cluster: &str, service: Option<&str>, replicas: u64) -> EcsLocation {
        let (cluster, service) = (Some(cluster.to_owned()), service.map(str::to_owned));
        EcsLocation { cluster, replicas, service }
    }

    #[test]
    fn replicas_with_one_fingerprint_are_one_artifact_with_the_latest_task() {
        let running = running_artifacts(&report(&[
            ("t2", "web:2", Some(1), 20),
            ("t3", "web:1", Some(1), 10),
            ("t1", "web:3", Some(1), 20),
        ]))
        .unwrap();
        assert_eq!(running.len(), 1);
        assert_eq!(running[0].name, "web:1");
        assert_eq!(running[0].started_at, [10, 20, 20]);
        assert_eq!(running[0].task.arn, "t1");
        assert_eq!(running[0].places, [], "its task says it");
    }

    #[test]
    fn an_artifact_lists_every_cluster_and_service_of_its_replicas() {
        let mut several = report(&[
            ("t1", "web", Some(1), 10),
            ("t2", "web", Some(1), 30),
            ("t3", "web", Some(1), 20),
        ]);
        several[1].cluster_name = Some("jobs".into());
        several[2].service_name = Some("web".into());
        let running = running_artifacts(&several).unwrap();
        let places = [place("app", None, 1), place("app", Some("web"), 1), place("jobs", None, 1)];
        assert_eq!(running[0].places, places);
        assert_eq!(running[0].task.arn, "t2");
    }

    #[test]
    fn artifacts_are_sorted_by_identity_with_unknown_fingerprints_last() {
        let running = running_artifacts(&report(&[
            ("t1", "envoy", None, 10),
            ("t2", "agent", None, 10),
            ("t3", "envoy", None, 11),
            ("t4", "web", Some(9), 11),
            ("t5", "api", Some(3), 11),
        ]))
        .unwrap();
        let counts: Vec<_> = running.iter().map(|it| (&*it.name, it.replicas())).collect();
        assert_eq!(counts, [("api", 1), ("web", 1), ("agent", 1), ("envoy", 2)]);
        assert!(running.is_sorted_by_key(RunningArtifact::identity));
    }

    #[test]
    fn report_with_too_many_artifacts_replicas_places_or_bytes_is_refused_with_that_limit() {
        let entry = |n: usize, digests: usize, text: usize| ReportEntry {
            task_arn: format!("{n:0text$}").into(),
            cluster_name: Some(format!("c{n:0text$}").into()),
            service_name: None,
            digests: (0..digests).map(|at| (format!("{n}/{at}").into(), None)).collect(),
            started_at: 1,
            origin: None,
        };
        let refused = |entries: Vec<ReportEntry>| match running_artifacts(&entries) {
            Err(Error::ReportTooLarge { of, .. }) => of,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused((0..401).map(|n| entry(n, 50, 1)).collect()), "artifacts");
        let web = |n| ReportEntry { digests: vec![("web".into(), None)], ..entry(n, 0, 1) };
        assert_eq!(refused((0..=MAX_REPLICAS).map(|n| web(n % 2)).collect()), "replicas");
        let of_places = "clusters and services of artifacts";
        assert_eq!(refused((0..=MAX_PLACES).map(web).collect()), of_places);
        assert_eq!(refused((0..320).map(|n| entry(n, 50, 1_000)).collect()), "bytes of names");
        // The task that is kept is not the first one.
        let definition = |n: usize| Some("d".repeat(1_000 * n));
        let one = |n: usize| ReportEntry {
            started_at: i64::try_from(n).unwrap(),
            origin: Some(Origin { task_definition: definition(n % 2), ..Origin::default() }),
            ..entry(n / 2, 50, 1)
        };
        assert_eq!(refused((0..640).map(one).collect()), "bytes of names");
    }
}

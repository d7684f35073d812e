//! What the recorder keeps of a snapshot, and whether a report makes a new one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use super::answer::Refusal;
use super::document;
use super::request::{Entry, FromJson, Report};
use crate::api::wire::{EcsContext, EcsPlace, ErrorBody};
use crate::snapshot::{Artifact, Diff, Fingerprint, Identity, Snapshot};

/// The most replicas, which are containers, that run in a snapshot.
pub(super) const MOST_REPLICAS: usize = 100_000;

/// The most artifacts that run in a snapshot.
const MOST_ARTIFACTS: usize = 20_000;

/// The most pairs of a cluster or service and an artifact that runs there.
const MOST_PLACES: usize = 50_000;

/// The most bytes of the document, as it is stored and as it is answered, of what runs in a
/// snapshot: 12,000 artifacts, each another, take 13 MB. A snapshot holds at the most what runs now
/// and what ran before and exited, and so twice of this: less than its readers accept, this
/// project's own client among them.
const LARGEST_DOCUMENT: usize = 15 << 20;

/// All that is not the artifacts', and the counts of the snapshot before.
const REST_OF_DOCUMENT: usize = 1 << 20;

const _: () = assert!(2 * LARGEST_DOCUMENT + REST_OF_DOCUMENT <= crate::api::LARGEST_ANSWER);

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

    fn exited(&self) -> Self {
        Self { was: self.now(), started_at: Vec::new(), ..self.clone() }
    }
}

/// Puts `artifacts` into the order in which they are shown: what runs, latest start first, then what
/// exited. Equals stay as they are.
pub(super) fn order(artifacts: &mut [StoredArtifact]) {
    artifacts.sort_by_key(|artifact| Reverse(artifact.started_at.last().copied()));
}

/// A report says more than a snapshot may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "The report is too large: a snapshot may hold {most} {of}, and this one would hold {found}. \
     Report the clusters to several environments"
)]
pub(super) struct TooLarge {
    of: &'static str,
    most: usize,
    found: usize,
}

/// What runs, one artifact an identity, within the limits of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    artifacts: BTreeMap<Identity, StoredArtifact>,
    content_hash: String,
    /// Of the report, which is what it takes to record it.
    entries: usize,
}

impl Running {
    /// What runs according to a report, the JSON of a request's body.
    ///
    /// # Errors
    /// The body is not a report, or holds more than a snapshot may.
    pub fn from_json(body: &[u8]) -> Result<Self, ErrorBody> {
        <Self as FromJson>::from_json(body).map_err(Refusal::into_body)
    }

    /// What runs by `report`. An artifact that is reported under several names is called by the least
    /// of them, as in a [`Snapshot`].
    fn new(report: &Report) -> Result<Self, TooLarge> {
        let (counted, most_bytes) = count(report)?;
        let artifacts: BTreeMap<_, _> = counted
            .into_values()
            .map(|artifact| {
                let artifact = artifact.stored();
                (artifact.identity(), artifact)
            })
            .collect();
        if most_bytes > LARGEST_DOCUMENT {
            let stored = json_size(&Values(&artifacts));
            let size = document::largest_size(artifacts.values()).max(stored);
            check("bytes of JSON", size, LARGEST_DOCUMENT)?;
        }
        let content_hash = snapshot(artifacts.values()).content_hash();
        Ok(Self { artifacts, content_hash, entries: report.entries.len() })
    }

    /// How many entries the report had.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    pub(super) fn content_hash(&self) -> &str {
        &self.content_hash
    }
}

impl FromJson for Running {
    fn from_json(body: &[u8]) -> Result<Self, Refusal> {
        Self::new(&Report::from_json(body)?).map_err(|error| Refusal::too_large(error.to_string()))
    }
}

fn check(of: &'static str, found: usize, most: usize) -> Result<(), TooLarge> {
    if found > most { Err(TooLarge { of, most, found }) } else { Ok(()) }
}

/// An artifact of a report. Texts of the report are not copied before it is known that there are not
/// too many: each may stand in 50 artifacts.
struct Counted<'a> {
    name: &'a str,
    fingerprint: Option<Fingerprint>,
    started_at: Vec<i64>,
    /// The task that started last.
    task: &'a Entry,
    /// How many replicas by cluster and service.
    places: BTreeMap<(Option<&'a str>, Option<&'a str>), u64>,
}

type ByIdentity<'a> = BTreeMap<(Option<Fingerprint>, &'a str), Counted<'a>>;

/// The artifacts of the report, and the most bytes that the JSON of them can have: most reports are
/// so far below the limit that nothing needs to be measured.
fn count(report: &Report) -> Result<(ByIdentity<'_>, usize), TooLarge> {
    let mut entries: Vec<_> = report.entries.iter().collect();
    entries.sort_by_key(|entry| (entry.started_at, Reverse(&entry.task_arn)));
    let (mut replicas, mut places, mut texts) = (0, 0, 0);
    let mut running = BTreeMap::<_, Counted<'_>>::new();
    for entry in entries {
        for (name, fingerprint) in entry.replicas() {
            // The name tells apart what has no fingerprint.
            let key = (fingerprint, if fingerprint.is_some() { "" } else { name });
            let artifact = running.entry(key).or_insert_with(|| Counted {
                name,
                fingerprint,
                started_at: Vec::new(),
                task: entry,
                places: BTreeMap::new(),
            });
            let place = (entry.cluster_name.as_deref(), entry.service_name.as_deref());
            let in_place = artifact.places.entry(place).or_insert(0);
            if *in_place == 0 {
                places += 1;
                texts += place.0.map_or(0, str::len) + place.1.map_or(0, str::len);
            }
            *in_place += 1;
            artifact.started_at.push(entry.started_at);
            artifact.task = entry;
            artifact.name = artifact.name.min(name);
            replicas += 1;
        }
        check("replicas", replicas, MOST_REPLICAS)?;
        check("artifacts", running.len(), MOST_ARTIFACTS)?;
        check("clusters and services of artifacts", places, MOST_PLACES)?;
        check("bytes of clusters and services", texts, LARGEST_DOCUMENT)?;
    }
    let names = running.values().map(|it| it.name.len() + it.task.task_arn.len()).sum();
    check("bytes of names and tasks", names, LARGEST_DOCUMENT)?;
    // A character of a text may be written as six, and a place stands twice.
    let most_bytes = 6 * (names + 2 * texts) + 1_500 * running.len() + 100 * places + 24 * replicas;
    Ok((running, most_bytes))
}

impl Counted<'_> {
    fn stored(self) -> StoredArtifact {
        let owned = |name: Option<&str>| name.map(str::to_owned);
        let place = |((cluster_name, service_name), replicas)| EcsPlace {
            cluster_name: owned(cluster_name),
            service_name: owned(service_name),
            replicas,
        };
        StoredArtifact {
            name: self.name.to_owned(),
            fingerprint: self.fingerprint,
            was: 0,
            started_at: self.started_at,
            task: EcsContext {
                task_arn: self.task.task_arn.to_string(),
                cluster_name: owned(self.task.cluster_name.as_deref()),
                service_name: owned(self.task.service_name.as_deref()),
            },
            places: self.places.into_iter().map(place).collect(),
        }
    }
}

/// The artifacts as a list, which is how they are stored.
struct Values<'a>(&'a BTreeMap<Identity, StoredArtifact>);

impl Serialize for Values<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.values())
    }
}

/// How many bytes the JSON of `value` has.
pub(super) fn json_size(value: &impl Serialize) -> usize {
    struct Size(usize);

    impl io::Write for Size {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut size = Size(0);
    // What cannot be written as JSON is no document that a reader could accept.
    serde_json::to_writer(&mut size, value).map_or(usize::MAX, |()| size.0)
}

/// The snapshot that `running` makes after `latest`, one artifact an identity, in the order of their
/// identities: those that run, and those that ran in `latest`. `None` if nothing is new.
pub(super) fn next_snapshot(
    latest: &[StoredArtifact],
    running: Running,
    include_scaling: bool,
) -> Option<Vec<StoredArtifact>> {
    let mut next = running.artifacts;
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

    /// An entry a (task, name, fingerprint's byte, start).
    fn report(entries: &[(&str, &str, Option<u8>, i64)]) -> Report {
        let entries = entries
            .iter()
            .map(|(task, name, fingerprint, started)| Entry {
                task_arn: (*task).into(),
                cluster_name: Some("app".into()),
                service_name: None,
                digests: vec![(
                    (*name).into(),
                    fingerprint.map(|byte| Fingerprint::from([byte; 32])),
                )],
                started_at: *started,
            })
            .collect();
        Report { entries }
    }

    /// What `report` makes after `latest`.
    fn next(
        latest: &[StoredArtifact],
        report: &Report,
        include_scaling: bool,
    ) -> Option<Vec<StoredArtifact>> {
        next_snapshot(latest, Running::new(report).unwrap(), include_scaling)
    }

    fn first(entries: &[(&str, &str, Option<u8>, i64)]) -> Vec<StoredArtifact> {
        next(&[], &report(entries), true).unwrap()
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
            assert_eq!(next(&latest, &report, false).is_some(), without, "{entries:?}");
            assert_eq!(next(&latest, &report, true).is_some(), with, "{entries:?}");
        }
    }

    #[test]
    fn nothing_that_runs_is_nothing_new_before_the_first_snapshot_and_after_the_last_exit() {
        let nothing = report(&[]);
        assert_eq!(next(&[], &nothing, true), None);
        let latest = first(&[("t1", "web:1", Some(1), 10)]);
        let emptied = next(&latest, &nothing, true).unwrap();
        assert!(emptied.iter().all(|artifact| !artifact.runs() && artifact.was == 1));
        assert_eq!(next(&emptied, &nothing, true), None);
    }

    #[test]
    fn what_exited_before_does_not_exit_again() {
        let one = first(&[("t1", "web:1", Some(1), 10)]);
        let two = next(&one, &report(&[("t2", "web:2", Some(2), 20)]), true).unwrap();
        let counts = |entries: &[_]| -> Vec<_> {
            let next = next(&two, &report(entries), true).unwrap();
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
        both.entries[1].cluster_name = Some("jobs".into());
        both.entries[2].service_name = Some("web".into());
        let stored = next(&[], &both, true).unwrap();
        let place = |cluster: &str, service: Option<&str>, replicas| EcsPlace {
            cluster_name: Some(cluster.to_owned()),
            service_name: service.map(str::to_owned),
            replicas,
        };
        let places = [place("app", None, 1), place("app", Some("web"), 1), place("jobs", None, 1)];
        assert_eq!(stored[0].places, places);
        assert_eq!(stored[0].task.task_arn, "t2");
        let exited = next(&stored, &report(&[]), true).unwrap();
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

    #[test]
    fn a_report_over_a_limit_of_snapshots_is_refused_with_the_limit() {
        let entry = |n: usize, digests: usize, text: usize| Entry {
            task_arn: format!("{n:0text$}").into(),
            cluster_name: Some(format!("c{n:0text$}").into()),
            service_name: None,
            digests: (0..digests).map(|at| (format!("{n}/{at}").into(), None)).collect(),
            started_at: 1,
        };
        let refused = |entries: Vec<Entry>| Running::new(&Report { entries }).unwrap_err().of;
        assert_eq!(refused((0..401).map(|n| entry(n, 50, 1)).collect()), "artifacts");
        let same = |n| Entry { digests: vec![("web".into(), None)], ..entry(n % 2, 0, 1) };
        assert_eq!(refused((0..=MOST_REPLICAS).map(same).collect()), "replicas");
        let places = |n| Entry { digests: vec![("web".into(), None)], ..entry(n, 0, 1) };
        let of_places = "clusters and services of artifacts";
        assert_eq!(refused((0..=MOST_PLACES).map(places).collect()), of_places);
        let long = "bytes of clusters and services";
        assert_eq!(refused((0..320).map(|n| entry(n, 50, 1_000)).collect()), long);
        let hostile = |n| Entry {
            digests: vec![("\u{1}".repeat(1_000).into(), Some(Fingerprint::from([n; 32])))],
            ..entry(0, 0, 1)
        };
        assert!(Running::new(&Report { entries: (0..255).map(hostile).collect() }).is_ok());
        let error = Running::new(&Report {
            entries: (0..3_000_u32)
                .map(|n| {
                    let mut bytes = [0; 32];
                    bytes[..4].copy_from_slice(&n.to_be_bytes());
                    Entry {
                        digests: vec![(
                            "\u{1}".repeat(1_000).into(),
                            Some(Fingerprint::from(bytes)),
                        )],
                        ..entry(0, 0, 1)
                    }
                })
                .collect(),
        })
        .unwrap_err();
        assert_eq!((error.of, error.most), ("bytes of JSON", LARGEST_DOCUMENT), "{error}");
    }
}

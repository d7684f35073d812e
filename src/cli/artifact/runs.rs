//! When an artifact ran in an environment.

use std::collections::BTreeMap;

use super::Pattern;
use crate::api::Listing;
use crate::api::wire::{ArtifactRun, EnvironmentEvent, RecordedSnapshot, ReportGap};

/// Identifies an artifact: by fingerprint, or by name if that is unknown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ArtifactKey {
    Fingerprint(String),
    Name(String),
}

impl ArtifactKey {
    fn new(fingerprint: &str, name: &str) -> Self {
        if fingerprint.is_empty() {
            Self::Name(name.to_owned())
        } else {
            Self::Fingerprint(fingerprint.to_owned())
        }
    }
}

/// When the artifacts that were found ran in one environment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EnvironmentRuns {
    pub(super) name: String,
    /// The latest label of each artifact, and its runs, earliest first.
    pub(super) artifacts: BTreeMap<ArtifactKey, (String, Vec<Run>)>,
    /// The first snapshot and time that were searched, if there are earlier ones.
    pub(super) searched_back_to: Option<(u64, f64)>,
}

/// A time for which an artifact ran in an environment, from start to exit. Times are in seconds
/// since the Unix epoch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    /// The first snapshot and its time; `None` if it started before the searched range.
    pub(super) from: Option<(u64, f64)>,
    /// When the oldest replica started of those that run or ran last, in seconds since the Unix epoch.
    pub(super) started: Option<i64>,
    pub(super) last: u64,
    /// `None` while it runs.
    pub(super) exited_at: Option<f64>,
    /// In the latest snapshot, while it runs.
    pub(super) replicas: Option<u64>,
    /// The last report that still had it, if the server says so.
    pub(super) confirmed_until: Option<f64>,
    /// Times in it that no report covers, earliest first.
    pub(super) gaps: Vec<ReportGap>,
}

impl EnvironmentRuns {
    pub(super) fn empty(environment: &str) -> Self {
        Self { name: environment.to_owned(), artifacts: BTreeMap::new(), searched_back_to: None }
    }
}

/// Merges these runs, which are sorted by environment, artifact and index. Those that exited before
/// `since`, in seconds since the Unix epoch, are left out.
pub(super) fn from_artifact_runs(parts: &[ArtifactRun], since: f64) -> Vec<EnvironmentRuns> {
    let mut environments: Vec<EnvironmentRuns> = Vec::new();
    for part in parts {
        if environments.last().is_none_or(|environment| environment.name != part.environment) {
            environments.push(EnvironmentRuns::empty(&part.environment));
        }
        let Some(environment) = environments.last_mut() else { continue };
        let key = ArtifactKey::new(&part.fingerprint, &part.name);
        let (name, runs) = environment.artifacts.entry(key).or_default();
        name.clone_from(&part.name);
        // It continued with other replicas.
        let before = runs.pop_if(|run| run.last + 1 == part.first_index);
        let (from, mut gaps) = before.map_or_else(
            || (Some((part.first_index, part.from)), Vec::new()),
            |run| (run.from, run.gaps),
        );
        gaps.extend_from_slice(&part.gaps);
        let replicas = part.to.is_none().then_some(part.replicas);
        runs.push(Run {
            from,
            started: part.since.started,
            last: part.last_index,
            exited_at: part.to,
            replicas,
            confirmed_until: part.since.confirmed_until,
            gaps,
        });
    }
    for environment in &mut environments {
        for (_, runs) in environment.artifacts.values_mut() {
            runs.retain(|run| run.exited_at.is_none_or(|at| at >= since));
        }
        environment.artifacts.retain(|_, (_, runs)| !runs.is_empty());
    }
    environments
}

/// The runs of the artifacts that match `wanted`, from the events of an environment and its `latest`
/// snapshot.
pub(super) fn from_events(
    environment: &str,
    latest: &RecordedSnapshot,
    events: &Listing<EnvironmentEvent>,
    wanted: &Pattern,
) -> EnvironmentRuns {
    let mut environment = EnvironmentRuns::empty(environment);
    let now = latest.timestamp;
    if events.is_truncated {
        let earliest = events.documents.last();
        environment.searched_back_to =
            Some(earliest.map_or((latest.index, now), |it| (it.snapshot_index, it.reported_at)));
    }
    for event in events.documents.iter().rev() {
        let EnvironmentEvent { sha256, artifact_name, snapshot_index, .. } = event;
        if !wanted.matches(sha256, artifact_name) {
            continue;
        }
        let key = ArtifactKey::new(sha256, artifact_name);
        let (name, runs) = environment.artifacts.entry(key).or_default();
        name.clone_from(artifact_name);
        let here = (*snapshot_index, event.reported_at);
        let running = runs.pop_if(|run| run.exited_at.is_none());
        let run = match (running, event.change.as_str()) {
            (running, "exited") => Run {
                from: running.and_then(|run| run.from),
                started: None,
                last: snapshot_index.saturating_sub(1),
                exited_at: Some(event.reported_at),
                replicas: None,
                confirmed_until: None,
                gaps: Vec::new(),
            },
            (Some(running), _) => running,
            (None, change) => Run {
                // The start of a changed artifact is not known.
                from: change.starts_with("started").then_some(here),
                started: None,
                last: latest.index,
                exited_at: None,
                replicas: None,
                confirmed_until: None,
                gaps: Vec::new(),
            },
        };
        runs.push(run);
    }
    for artifact in latest.running() {
        let fingerprint = artifact.fingerprint.as_deref().unwrap_or_default();
        if !wanted.matches(fingerprint, &artifact.name) {
            continue;
        }
        let key = ArtifactKey::new(fingerprint, &artifact.name);
        let (name, runs) = environment.artifacts.entry(key).or_default();
        name.clone_from(&artifact.name);
        let running = runs.pop_if(|run| run.exited_at.is_none());
        let from = running.and_then(|run| run.from);
        let replicas = Some(artifact.annotation.now);
        runs.push(Run {
            from,
            started: artifact.started(),
            last: latest.index,
            exited_at: None,
            replicas,
            confirmed_until: latest.confirmed_until,
            gaps: Vec::new(),
        });
    }
    environment
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::wire::RunningSince;

    const FINGERPRINT: &str = "aaaaaaaa";

    fn event_listing(rows: &[(u64, &str)], is_truncated: bool) -> Listing<EnvironmentEvent> {
        let documents = rows
            .iter()
            .map(|(index, change)| {
                serde_json::from_value(json!({
                    "environment_name": "e", "snapshot_index": index, "artifact_name": "web:1",
                    "sha256": FINGERPRINT, "reported_at": *index * 100, "type": change,
                }))
                .unwrap()
            })
            .collect();
        Listing { documents, texts: Vec::new(), is_truncated }
    }

    /// The latest snapshot; `running` is the number of replicas of `web:1`, if it runs.
    fn latest_snapshot(index: u64, running: Option<u64>) -> RecordedSnapshot {
        let artifacts: Vec<Value> = running
            .iter()
            .map(|now| {
                json!({"name": "web:1", "fingerprint": FINGERPRINT,
                       "annotation": {"type": "unchanged", "was": now, "now": now}})
            })
            .collect();
        serde_json::from_value(json!({"index": index, "timestamp": index * 100, "type": "ECS", "artifacts": artifacts}))
            .unwrap()
    }

    fn empty_run() -> Run {
        Run {
            from: None,
            started: None,
            last: 0,
            exited_at: None,
            replicas: None,
            confirmed_until: None,
            gaps: Vec::new(),
        }
    }

    fn runs_from(latest: &RecordedSnapshot, events: &Listing<EnvironmentEvent>) -> Vec<Run> {
        let environment = from_events("e", latest, events, &"web".parse().unwrap());
        environment.artifacts.into_values().flat_map(|(_, runs)| runs).collect()
    }

    #[test]
    fn run_begins_with_a_started_event_and_ends_before_the_exited_event() {
        let events = event_listing(
            &[(9, "started-unknown"), (6, "exited"), (4, "changed"), (3, "started-unknown")],
            false,
        );
        assert_eq!(
            runs_from(&latest_snapshot(12, Some(2)), &events),
            [
                Run {
                    from: Some((3, 300.0)),
                    last: 5,
                    exited_at: Some(600.0),
                    replicas: None,
                    ..empty_run()
                },
                Run {
                    from: Some((9, 900.0)),
                    last: 12,
                    exited_at: None,
                    replicas: Some(2),
                    ..empty_run()
                },
            ]
        );
    }

    #[test]
    fn run_that_started_before_a_truncated_history_has_no_start() {
        let exited =
            Run { from: None, last: 7, exited_at: Some(800.0), replicas: None, ..empty_run() };
        assert_eq!(
            runs_from(&latest_snapshot(12, None), &event_listing(&[(8, "exited")], true)),
            [exited]
        );
        let runs = Run { from: None, last: 12, exited_at: None, replicas: Some(3), ..empty_run() };
        assert_eq!(
            runs_from(&latest_snapshot(12, Some(3)), &event_listing(&[(8, "changed")], true)),
            std::slice::from_ref(&runs)
        );
        assert_eq!(runs_from(&latest_snapshot(12, Some(3)), &event_listing(&[], true)), [runs]);
    }

    #[test]
    fn runs_that_differ_only_in_replicas_are_merged_and_those_before_since_left_out() {
        let part = |first_index: u64, last_index: u64, replicas, to: Option<f64>| ArtifactRun {
            environment: "e".to_owned(),
            name: "web:1".to_owned(),
            fingerprint: FINGERPRINT.to_owned(),
            replicas,
            since: RunningSince::default(),
            first_index,
            from: 100.0,
            last_index,
            to,
            gaps: Vec::new(),
        };
        let parts = [part(3, 4, 1, Some(500.0)), part(5, 6, 2, Some(700.0)), part(9, 12, 3, None)];
        let first = Run {
            from: Some((3, 100.0)),
            last: 6,
            exited_at: Some(700.0),
            replicas: None,
            ..empty_run()
        };
        let second = Run {
            from: Some((9, 100.0)),
            last: 12,
            exited_at: None,
            replicas: Some(3),
            ..empty_run()
        };
        let runs = |since| -> Vec<_> {
            let found = from_artifact_runs(&parts, since);
            found.into_iter().flat_map(|it| it.artifacts).flat_map(|(_, (_, it))| it).collect()
        };
        assert_eq!(runs(f64::NEG_INFINITY), [first, second.clone()]);
        assert_eq!(runs(701.0), [second]);
        assert_eq!(from_artifact_runs(&[], 0.0), []);
    }

    #[test]
    fn events_of_artifacts_that_do_not_match_are_ignored() {
        let events = event_listing(&[(3, "started-unknown")], false);
        let environment =
            from_events("e", &latest_snapshot(3, Some(1)), &events, &"job".parse().unwrap());
        assert_eq!(environment, EnvironmentRuns::empty("e"));
    }

    #[test]
    fn truncated_events_give_the_first_snapshot_and_time_that_were_searched() {
        let back_to = |rows: &[_], is_truncated| {
            from_events(
                "e",
                &latest_snapshot(9, None),
                &event_listing(rows, is_truncated),
                &"web".parse().unwrap(),
            )
            .searched_back_to
        };
        assert_eq!(back_to(&[(8, "exited"), (5, "changed")], true), Some((5, 500.0)));
        assert_eq!(back_to(&[], true), Some((9, 900.0)));
        assert_eq!(back_to(&[(8, "exited")], false), None);
    }
}

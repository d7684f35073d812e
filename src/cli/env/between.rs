//! What a difference of two snapshots does not show: when they were recorded, what was not covered
//! between them, what started and exited meanwhile, and which versions replaced which.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::wire::{EnvironmentDiff, EnvironmentEvent, RecordedSnapshot, ReportGap};
use crate::api::{ApiError, Client, ServerApi as _};
use crate::cli::coverage;
use crate::cli::escape::replace_invisible;
use crate::cli::expression::end_of_second;
use crate::cli::tables::fingerprint_or_unknown;
use crate::cli::terminal::{Colour, Terminal};
use envsnap_model::snapshot::{
    Change, InterimArtifact, ReplacedVersions, interim_artifacts, replaced_versions,
};

/// One of the two snapshots of a comparison.
pub(super) struct ComparedSnapshot {
    environment: String,
    pub(super) snapshot: RecordedSnapshot,
    /// The requested time.
    time: Option<Timestamp>,
}

/// What the server's difference of two snapshots does not have: when they were recorded, the times
/// between them that no report covers, and the artifacts that started and exited between them.
pub(super) struct DiffContext {
    sides: [ComparedSnapshot; 2],
    /// Only of one environment. Earliest first.
    gaps: Vec<ReportGap>,
    passed: Vec<InterimArtifact>,
}

impl ComparedSnapshot {
    /// Fetches the snapshot with the id `ENVIRONMENT#INDEX`; `None` if the id has no index. `time` is
    /// the requested time.
    pub(super) async fn fetch(
        client: &Client,
        id: &str,
        time: Option<Timestamp>,
    ) -> Result<Option<Self>, ApiError> {
        let Some((environment, index)) = id.rsplit_once('#') else { return Ok(None) };
        let snapshot = client.environment(environment, None).snapshot(index).await?;
        Ok(Some(Self { environment: environment.to_owned(), snapshot, time }))
    }

    /// `ENVIRONMENT#INDEX`, for a terminal.
    fn name(&self) -> String {
        format!("{}#{}", replace_invisible(&self.environment), self.snapshot.index)
    }

    /// The time at which it is shown whether a report covers the snapshot: the end of the requested
    /// second, or now for the latest; `None` for an earlier snapshot that was requested by its index.
    fn coverage_time(&self, now: Timestamp) -> Option<Timestamp> {
        self.time.map(end_of_second).or_else(|| self.snapshot.is_latest.then_some(now))
    }

    /// The time at which the snapshot is compared, in seconds since the Unix epoch: the requested one,
    /// or now for the latest, or else when it was recorded.
    fn compared_time(&self, now: Timestamp) -> f64 {
        self.coverage_time(now)
            .map_or(self.snapshot.timestamp, |time| time.as_duration().as_secs_f64())
    }

    /// The snapshot in the JSON of `envsnap env diff`: its id and times, and the gap that it was
    /// requested in.
    fn json(&self, now: Timestamp) -> Value {
        let Self { snapshot, time, .. } = self;
        let gap = self.coverage_time(now).and_then(|time| coverage::gap_at(&snapshot.gaps, time));
        let mut object = json!({"snapshot_id": self.name(), "recorded_at": snapshot.timestamp});
        for (name, value) in [
            ("requested_time", json!(time.map(|time| time.to_string()))),
            ("confirmed_until", json!(snapshot.confirmed_until)),
            ("not_covered", json!(gap)),
        ] {
            if !value.is_null() {
                object[name] = value;
            }
        }
        object
    }
}

impl DiffContext {
    /// Fetches the gaps, and what started and exited: both are empty if the snapshots are of different
    /// environments or in reverse order.
    pub(super) async fn fetch(
        client: &Client,
        sides: [ComparedSnapshot; 2],
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let [one, other] = &sides;
        let (mut gaps, mut passed) = (Vec::new(), Vec::new());
        let indexes = (one.snapshot.index, other.snapshot.index);
        if one.environment == other.environment && indexes.0 <= indexes.1 {
            let environment = client.environment(&one.environment, None);
            let interval = format!("{}..{}", indexes.0, indexes.1);
            let listed = environment.latest_snapshots(&interval, usize::MAX).await?.documents;
            let (from, end) = (one.compared_time(Timestamp::MIN), other.compared_time(now));
            let all = listed.iter().rev().flat_map(|snapshot| &snapshot.gaps);
            gaps = all.filter(|gap| gap.overlaps(from, end)).copied().collect();
            if indexes.1 - indexes.0 > 1 {
                let interval = format!("{}..{}", indexes.0 + 1, indexes.1);
                let events =
                    environment.latest_events(&interval, f64::NEG_INFINITY, usize::MAX).await?;
                passed = started_and_exited(&one.snapshot, &other.snapshot, &events.documents);
            }
        }
        Ok(Self { sides, gaps, passed })
    }

    /// Adds to each artifact of `diff` when its oldest replica started, if the server did not return
    /// that.
    pub(super) fn add_start_times(&self, diff: &mut EnvironmentDiff) {
        let [one, other] = &self.sides;
        for (item, side) in
            [(&mut diff.snappish1, one), (&mut diff.snappish2, other), (&mut diff.changed, other)]
        {
            let starts: BTreeMap<_, _> = side
                .snapshot
                .running()
                .map(|it| {
                    let fingerprint = it.fingerprint.as_deref().unwrap_or_default();
                    (identity_key(fingerprint, &it.name), it.started())
                })
                .collect();
            for artifact in &mut item.artifacts {
                let key = identity_key(&artifact.fingerprint, &artifact.name);
                artifact.since.started =
                    artifact.since.started.or(starts.get(&key).copied().flatten());
            }
        }
    }

    /// Lines that say when each snapshot was recorded and confirmed, and which times no report covers.
    pub(super) fn time_lines(&self, terminal: &Terminal) -> String {
        let mut text = String::new();
        for side in &self.sides {
            let _infallible = write!(
                text,
                "{}: recorded {}",
                side.name(),
                terminal.time(side.snapshot.timestamp)
            );
            match side.snapshot.confirmed_until {
                Some(until) if until > side.snapshot.timestamp => {
                    let _infallible = writeln!(text, ", confirmed until {}", terminal.time(until));
                }
                _ => text.push('\n'),
            }
            let time = side.coverage_time(terminal.now);
            if let Some(gap) = time.and_then(|time| coverage::gap_at(&side.snapshot.gaps, time)) {
                let _infallible =
                    writeln!(text, "  not covered: {}", coverage::describe(gap, terminal));
            }
        }
        let is_printed = |gap: &ReportGap| {
            self.sides.iter().any(|side| {
                let time = side.coverage_time(terminal.now);
                time.and_then(|time| coverage::gap_at(&side.snapshot.gaps, time)) == Some(gap)
            })
        };
        for gap in self.gaps.iter().filter(|gap| !is_printed(gap)) {
            let _infallible = writeln!(text, "Between them {}", coverage::describe(gap, terminal));
        }
        text
    }

    /// One block for each artifact that started and exited between the two.
    pub(super) fn interim_artifact_blocks(&self, terminal: &Terminal) -> Vec<String> {
        self.passed
            .iter()
            .map(|it| {
                let first = format!("± Name:   {}", replace_invisible(&it.name));
                let exited = it.exited.map_or_else(String::new, |(index, time)| {
                    format!(", exited with #{index} {}", terminal.time(time))
                });
                format!(
                    "{}\n  Sha256: {}\n  Started and exited in between: started with #{} {}{exited}\n",
                    terminal.paint(Colour::Yellow, &first),
                    fingerprint_or_unknown(Some(&it.fingerprint)),
                    it.started.0,
                    terminal.time(it.started.1),
                )
            })
            .collect()
    }

    /// Whether any artifact started and exited between the two.
    pub(super) fn has_interim_artifacts(&self) -> bool {
        !self.passed.is_empty()
    }

    /// The object `between` in the JSON of `envsnap env diff`.
    pub(super) fn json(&self, now: Timestamp) -> Value {
        let [from, to] = &self.sides;
        let passed: Vec<_> = self
            .passed
            .iter()
            .map(|it| {
                json!({
                    "name": it.name, "fingerprint": it.fingerprint,
                    "first_snapshot": it.started.0, "first_seen": it.started.1,
                    "exited_with": it.exited.map(|(index, _)| index),
                    "exited": it.exited.map(|(_, time)| time),
                })
            })
            .collect();
        json!({
            "from": from.json(now), "to": to.json(now), "gaps": self.gaps,
            "started_and_exited": passed,
        })
    }
}

/// What two artifacts have in common if they are the same: the fingerprint, or the name if that is
/// unknown.
fn identity_key(fingerprint: &str, name: &str) -> (String, String) {
    let name = if fingerprint.is_empty() { name } else { "" };
    (fingerprint.to_owned(), name.to_owned())
}

/// The artifacts that started and exited between the two; `events` are the latest first.
fn started_and_exited(
    one: &RecordedSnapshot,
    other: &RecordedSnapshot,
    events: &[EnvironmentEvent],
) -> Vec<InterimArtifact> {
    let running = one.running().chain(other.running());
    let running = running.map(|it| (it.fingerprint.as_deref().unwrap_or_default(), &*it.name));
    let changes = events.iter().rev().map(|event| Change {
        name: &event.artifact_name,
        fingerprint: &event.sha256,
        index: event.snapshot_index,
        recorded_at: event.reported_at,
        is_exit: event.change == "exited",
    });
    interim_artifacts(running, changes)
}

/// The versions of each repository that exited, and those that started in their place.
fn versions_replaced_in(diff: &EnvironmentDiff) -> Vec<ReplacedVersions<'_>> {
    let [exited, started] = [&diff.snappish1, &diff.snappish2]
        .map(|item| item.artifacts.iter().map(|artifact| &*artifact.name));
    replaced_versions(exited, started)
}

/// `differ 5894f34 -> 4d27021`, a line for each repository.
pub(super) fn replaced_lines(diff: &EnvironmentDiff) -> String {
    let mut text = String::new();
    for ReplacedVersions { image, from, to } in versions_replaced_in(diff) {
        let short = image.rsplit('/').next().unwrap_or(image);
        let line = format!("{short} {} -> {}", from.join(", "), to.join(", "));
        let _infallible = writeln!(text, "{}", replace_invisible(&line));
    }
    text
}

/// The list `replaced` in the JSON of `envsnap env diff`: one object for each repository.
pub(super) fn replaced_json(diff: &EnvironmentDiff) -> Value {
    let replaced = versions_replaced_in(diff).into_iter();
    replaced.map(|it| json!({"repository": it.image, "from": it.from, "to": it.to})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_versions_are_printed_with_the_repository_without_its_registry() {
        let item = |names: &[&str]| {
            let artifacts: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
            json!({"artifacts": artifacts})
        };
        let diff: EnvironmentDiff = serde_json::from_value(json!({
            "snappish1": item(&["r/differ:5894f34", "r/gone:1", "q/web:1"]),
            "snappish2": item(&["r/differ:4d27021", "r/web:2"]),
        }))
        .unwrap();
        assert_eq!(replaced_lines(&diff), "differ 5894f34 -> 4d27021\n");
    }
}

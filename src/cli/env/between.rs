//! What a difference of two snapshots does not show: when they were recorded, what was not covered
//! between them, what started and exited meanwhile, and which versions replaced which.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::wire::{
    DiffArtifact, EnvironmentDiff, EnvironmentEvent, RecordedSnapshot, ReportGap,
};
use crate::api::{ApiError, Client, ServerApi as _};
use crate::cli::coverage;
use crate::cli::escape::replace_invisible;
use crate::cli::tables::fingerprint_or_unknown;
use crate::cli::terminal::{Colour, Terminal};

/// One of the two snapshots.
pub(super) struct Side {
    environment: String,
    pub(super) snapshot: RecordedSnapshot,
    /// The time that was asked for.
    time: Option<Timestamp>,
}

/// An artifact that runs in neither snapshot, and ran between them.
#[derive(Debug, PartialEq)]
struct Passed {
    name: String,
    fingerprint: String,
    /// The snapshot with which it started, and its time.
    started: (u64, f64),
    /// The one with which it exited.
    exited: Option<(u64, f64)>,
}

pub(super) struct Between {
    sides: [Side; 2],
    /// Only of one environment. Earliest first.
    gaps: Vec<ReportGap>,
    passed: Vec<Passed>,
}

impl Side {
    pub(super) async fn fetch(
        client: &Client,
        id: &str,
        time: Option<Timestamp>,
    ) -> Result<Option<Self>, ApiError> {
        let Some((environment, index)) = id.rsplit_once('#') else { return Ok(None) };
        let snapshot = client.environment(environment, None).snapshot(index).await?;
        Ok(Some(Self { environment: environment.to_owned(), snapshot, time }))
    }

    fn name(&self) -> String {
        format!("{}#{}", replace_invisible(&self.environment), self.snapshot.index)
    }

    /// The time of which it says what ran: that which was asked for, or now for the latest.
    fn shown_time(&self, now: Timestamp) -> Option<Timestamp> {
        self.time.or_else(|| self.snapshot.is_latest.then_some(now))
    }

    /// The end of what was compared, in seconds since the Unix epoch.
    fn end(&self, now: Timestamp) -> f64 {
        self.shown_time(now)
            .map_or(self.snapshot.timestamp, |time| time.as_duration().as_secs_f64())
    }

    fn json(&self, now: Timestamp) -> Value {
        let Self { snapshot, time, .. } = self;
        let gap = self.shown_time(now).and_then(|time| coverage::gap_at(&snapshot.gaps, time));
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

impl Between {
    pub(super) async fn fetch(
        client: &Client,
        sides: [Side; 2],
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let [one, other] = &sides;
        let (mut gaps, mut passed) = (Vec::new(), Vec::new());
        let indexes = (one.snapshot.index, other.snapshot.index);
        if one.environment == other.environment && indexes.0 <= indexes.1 {
            let environment = client.environment(&one.environment, None);
            let interval = format!("{}..{}", indexes.0, indexes.1);
            let listed = environment.latest_snapshots(&interval, usize::MAX).await?.documents;
            let (from, end) = (one.end(Timestamp::MIN), other.end(now));
            let all = listed.iter().rev().flat_map(|snapshot| &snapshot.gaps);
            let is_between =
                |gap: &&ReportGap| gap.from < end && gap.until.is_none_or(|until| until > from);
            gaps = all.filter(is_between).copied().collect();
            if indexes.1 - indexes.0 > 1 {
                let interval = format!("{}..{}", indexes.0 + 1, indexes.1);
                let events =
                    environment.latest_events(&interval, f64::NEG_INFINITY, usize::MAX).await?;
                passed = started_and_exited(&one.snapshot, &other.snapshot, &events.documents);
            }
        }
        Ok(Self { sides, gaps, passed })
    }

    /// When each snapshot was recorded, and what is not covered.
    pub(super) fn times(&self, terminal: &Terminal) -> String {
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
            let time = side.shown_time(terminal.now);
            if let Some(gap) = time.and_then(|time| coverage::gap_at(&side.snapshot.gaps, time)) {
                let _infallible =
                    writeln!(text, "  not covered: {}", coverage::describe(gap, terminal));
            }
        }
        let is_printed = |gap: &ReportGap| {
            self.sides.iter().any(|side| {
                let time = side.shown_time(terminal.now);
                time.and_then(|time| coverage::gap_at(&side.snapshot.gaps, time)) == Some(gap)
            })
        };
        for gap in self.gaps.iter().filter(|gap| !is_printed(gap)) {
            let _infallible = writeln!(text, "Between them {}", coverage::describe(gap, terminal));
        }
        text
    }

    /// One block for each artifact that started and exited between the two.
    pub(super) fn passed_blocks(&self, terminal: &Terminal) -> Vec<String> {
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

    pub(super) fn has_passed(&self) -> bool {
        !self.passed.is_empty()
    }

    /// For programs.
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

/// What started and exited between the two, in the order in which it started.
fn started_and_exited(
    one: &RecordedSnapshot,
    other: &RecordedSnapshot,
    events: &[EnvironmentEvent],
) -> Vec<Passed> {
    let key = |fingerprint: &str, name: &str| {
        let name = if fingerprint.is_empty() { name } else { "" };
        (fingerprint.to_owned(), name.to_owned())
    };
    let running: BTreeSet<_> = one
        .running()
        .chain(other.running())
        .map(|it| key(it.fingerprint.as_deref().unwrap_or_default(), &it.name))
        .collect();
    let mut found = BTreeMap::<_, Passed>::new();
    for event in events.iter().rev() {
        let key = key(&event.sha256, &event.artifact_name);
        if running.contains(&key) {
            continue;
        }
        let here = (event.snapshot_index, event.reported_at);
        let passed = found.entry(key).or_insert_with(|| Passed {
            name: event.artifact_name.clone(),
            fingerprint: event.sha256.clone(),
            started: here,
            exited: None,
        });
        if event.change == "exited" {
            passed.exited = Some(here);
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by_key(|it| it.started.0);
    found
}

/// The repository of an image, and its tag or digest.
fn repository_and_tag(name: &str) -> (&str, &str) {
    let (path, digest) = name.split_once('@').unwrap_or((name, ""));
    let last = path.rfind('/').map_or(0, |slash| slash + 1);
    match path[last..].split_once(':') {
        Some((repository, tag)) => (&path[..last + repository.len()], tag),
        None => (path, digest),
    }
}

/// The repositories of which one version exited and another started, and these versions.
fn replaced(diff: &EnvironmentDiff) -> BTreeMap<&str, [Vec<&str>; 2]> {
    let mut versions = BTreeMap::<_, [Vec<_>; 2]>::new();
    let sides = [&diff.snappish1, &diff.snappish2];
    for (side, item) in sides.into_iter().enumerate() {
        for DiffArtifact { name, .. } in &item.artifacts {
            let (repository, tag) = repository_and_tag(name);
            if !tag.is_empty() {
                versions.entry(repository).or_default()[side].push(tag);
            }
        }
    }
    versions.retain(|_, versions| versions.iter().all(|side| !side.is_empty()));
    versions
}

/// `differ 5894f34 -> 4d27021`, a line for each repository.
pub(super) fn replaced_lines(diff: &EnvironmentDiff) -> String {
    let mut text = String::new();
    for (repository, [from, to]) in replaced(diff) {
        let short = repository.rsplit('/').next().unwrap_or(repository);
        let line = format!("{short} {} -> {}", from.join(", "), to.join(", "));
        let _infallible = writeln!(text, "{}", replace_invisible(&line));
    }
    text
}

/// The same for programs.
pub(super) fn replaced_json(diff: &EnvironmentDiff) -> Value {
    let replaced = replaced(diff).into_iter();
    replaced
        .map(|(repository, [from, to])| json!({"repository": repository, "from": from, "to": to}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_one_repository_are_paired() {
        for (name, expected) in [
            ("localhost:5000/a/differ:5894f34", ("localhost:5000/a/differ", "5894f34")),
            ("differ@sha256:ab", ("differ", "sha256:ab")),
            ("differ:1@sha256:ab", ("differ", "1")),
            ("localhost:5000/differ", ("localhost:5000/differ", "")),
        ] {
            assert_eq!(repository_and_tag(name), expected);
        }
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

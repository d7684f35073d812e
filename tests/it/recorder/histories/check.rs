//! Compares what the recorder's API returns with the reference model.

use std::fmt::Debug;

use fastrand::Rng;
use serde_json::Value;

use super::life::RecorderProcess;
use super::model::{Environment, Organization, Running, changes};
use super::operation::{artifact_fingerprint, artifact_name};

type Checked = Result<(), String>;

/// Small, so that most histories have several pages of events.
const EVENTS_PER_PAGE: usize = 30;

#[expect(clippy::needless_pass_by_value, reason = "most are made where they are compared")]
fn ensure_equal<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Checked {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: found {found:?}, expected {expected:?}"))
}

/// Empty if it is not a string.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// `u64::MAX` if it is not a number.
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(u64::MAX)
}

/// The items of an array, or none.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// An artifact as the recorder names it.
type Shown = (String, String, u64, u64);

/// The artifact with this number in the model, and its replicas before and now.
fn artifact_with_counts(id: u8, was: u64, now: u64) -> Shown {
    (artifact_name(id), artifact_fingerprint(id), was, now)
}

/// Compares the list of environments of an organization.
pub(super) async fn check_environment_list(
    life: &RecorderProcess,
    model: &Organization,
) -> Checked {
    let (status, found) = life.get(&format!("/environments/{}", model.name)).await;
    ensure_equal("the list's status", status, 200)?;
    let mut expected: Vec<_> = model
        .in_use()
        .map(|it| (it.name.clone(), it.description.clone(), Some(it.include_scaling)))
        .collect();
    expected.sort();
    let found = list(&found)
        .map(|it| (text(&it["name"]), text(&it["description"]), it["include_scaling"].as_bool()));
    ensure_equal("the list of environments", found.collect(), expected)
}

/// Compares everything that the API returns of one environment: settings, snapshots, events and a diff.
pub(super) async fn check_environment(
    life: &RecorderProcess,
    model: &Organization,
    environment: &Environment,
    random: &mut Rng,
) -> Checked {
    let (org, name) = (&model.name, &environment.name);
    let (status, found) = life.get(&format!("/environments/{org}/{name}")).await;
    if environment.is_archived {
        return ensure_equal("the status of an archived one", status, 404);
    }
    ensure_equal("the description", text(&found["description"]), environment.description.clone())?;
    let at = found["last_reported_at"].as_f64();
    let is_right = match (at, environment.last_report) {
        (Some(at), Some(last)) => last.at.contains(at),
        (None, None) => true,
        _ => false,
    };
    if !is_right {
        let last = environment.last_report;
        return Err(format!("{name} was last reported at {at:?}, expected {last:?}"));
    }
    check_snapshot_list(life, org, environment).await?;
    check_events(life, org, environment).await?;
    let count = environment.snapshots.len();
    for index in 1..=count {
        check_snapshot(life, org, environment, &index.to_string(), index).await?;
    }
    if count == 0 {
        let (status, _) = life.get(&format!("/snapshots/{org}/{name}/-1")).await;
        return ensure_equal("the status of no snapshot", status, 404);
    }
    check_snapshot(life, org, environment, "-1", count).await?;
    let (status, _) = life.get(&format!("/snapshots/{org}/{name}/{}", count + 1)).await;
    ensure_equal("the status of the next snapshot", status, 404)?;
    let pair = [random.usize(1..=count), random.usize(1..=count)];
    check_diff(life, org, environment, pair).await
}

/// Compares the list of snapshots, in order and with their times.
async fn check_snapshot_list(
    life: &RecorderProcess,
    org: &str,
    environment: &Environment,
) -> Checked {
    let path = format!("/snapshots/{org}/{}?reverse=true&per_page=1000", environment.name);
    let (_, found) = life.get(&path).await;
    let indexes = list(&found).map(|it| number(&it["index"])).collect();
    let count = environment.snapshots.len() as u64;
    ensure_equal("the indexes", indexes, (1..=count).collect::<Vec<_>>())?;
    for (found, expected) in list(&found).zip(&environment.snapshots) {
        let from = found["from"].as_f64().unwrap_or_default();
        if !expected.recorded.contains(from) {
            let recorded = expected.recorded;
            return Err(format!("a snapshot is of {from}, and was made in {recorded:?}: {found}"));
        }
    }
    Ok(())
}

/// Compares all events of an environment, page by page.
async fn check_events(life: &RecorderProcess, org: &str, environment: &Environment) -> Checked {
    let mut expected = Vec::new();
    let mut before = Running::new();
    for (index, snapshot) in (1_u64..).zip(&environment.snapshots) {
        for (id, was, now) in changes(&before, &snapshot.running) {
            expected.push((index, artifact_with_counts(id, was, now)));
        }
        before.clone_from(&snapshot.running);
    }
    let mut found = Vec::new();
    for page in 1..=expected.len() / EVENTS_PER_PAGE + 1 {
        let path = format!(
            "/environments/{org}/{}/events?reverse=true&page={page}&per_page={EVENTS_PER_PAGE}",
            environment.name
        );
        let (_, events) = life.get(&path).await;
        for event in list(&events) {
            let description = text(&event["description"]);
            let counts = description.split(['(', ')', ' ']).filter_map(|it| it.parse().ok());
            let [_, was, now] = counts.collect::<Vec<u64>>()[..] else {
                return Err(format!("an event says {description}"));
            };
            let artifact = (text(&event["artifact_name"]), text(&event["sha256"]), was, now);
            found.push((number(&event["snapshot_index"]), artifact));
        }
    }
    if !found.is_sorted_by_key(|(index, _)| *index) {
        return Err(format!("events are not in order: {found:?}"));
    }
    found.sort();
    expected.sort();
    ensure_equal("the events", found, expected)
}

/// Compares the snapshot that `expression` finds with the one of this index.
async fn check_snapshot(
    life: &RecorderProcess,
    org: &str,
    environment: &Environment,
    expression: &str,
    index: usize,
) -> Checked {
    let path = format!("/snapshots/{org}/{}/{expression}", environment.name);
    let (status, found) = life.get(&path).await;
    ensure_equal("a snapshot's status", (status, number(&found["index"])), (200, index as u64))?;
    let is_latest = index == environment.snapshots.len();
    ensure_equal("is_latest", found["is_latest"].as_bool(), Some(is_latest))?;
    let now = &environment.snapshots[index - 1].running;
    let none = Running::new();
    let before = if index == 1 { &none } else { &environment.snapshots[index - 2].running };
    let mut expected: Vec<_> = changes(before, now)
        .into_iter()
        .map(|(id, was, now)| artifact_with_counts(id, was, now))
        .collect();
    let stayed = now.iter().filter(|(id, count)| before.get(id) == Some(count));
    expected.extend(stayed.map(|(id, count)| artifact_with_counts(*id, *count, *count)));
    expected.sort();
    let mut found: Vec<_> = list(&found["artifacts"])
        .map(|it| {
            let counts = &it["annotation"];
            let counts = (number(&counts["was"]), number(&counts["now"]));
            (text(&it["name"]), text(&it["fingerprint"]), counts.0, counts.1)
        })
        .collect();
    found.sort();
    ensure_equal(&path, found, expected)
}

/// Compares the diff of the snapshots with these two indexes.
async fn check_diff(
    life: &RecorderProcess,
    org: &str,
    environment: &Environment,
    [one, other]: [usize; 2],
) -> Checked {
    let name = &environment.name;
    let path = format!("/env-diff/{org}?snappish1={name}%23{one}&snappish2={name}%23{other}");
    let (_, found) = life.get(&path).await;
    let [before, after] = [one, other].map(|index| &environment.snapshots[index - 1].running);
    let differ = changes(before, after);
    for (part, expected) in [
        ("snappish1", differ.iter().filter(|(_, _, now)| *now == 0).collect::<Vec<_>>()),
        ("snappish2", differ.iter().filter(|(_, was, _)| *was == 0).collect()),
        ("changed", differ.iter().filter(|(_, was, now)| *was > 0 && *now > 0).collect()),
    ] {
        let mut expected: Vec<_> = expected.iter().map(|(id, ..)| artifact_name(*id)).collect();
        expected.sort();
        let mut found: Vec<_> =
            list(&found[part]["artifacts"]).map(|it| text(&it["name"])).collect();
        found.sort();
        ensure_equal(&format!("{part} of {path}"), found, expected)?;
    }
    Ok(())
}

/// Compares when one random artifact ran, in all environments that are not archived.
pub(super) async fn check_artifact_runs(
    life: &RecorderProcess,
    model: &Organization,
    random: &mut Rng,
) -> Checked {
    let id = [0, 1, 2, 3, 4, 200, 201][random.usize(..7)];
    let mut expected = Vec::new();
    for environment in model.in_use() {
        let counts = environment.snapshots.iter().map(|it| it.running.get(&id).copied());
        let counts: Vec<_> = (1_u64..).zip(counts).collect();
        for run in counts.chunk_by(|(_, one), (_, other)| one == other) {
            if let (first, Some(replicas)) = run[0] {
                expected.push((environment.name.clone(), first, run[run.len() - 1].0, replicas));
            }
        }
    }
    expected.sort();
    let part = format!("image-{id:03}");
    let (_, found) = life.get(&format!("/artifact-runs/{}?artifact={part}", model.name)).await;
    let found = list(&found).map(|it| {
        let [first, last, replicas] =
            ["first_index", "last_index", "replicas"].map(|field| number(&it[field]));
        (text(&it["environment"]), first, last, replicas)
    });
    ensure_equal(&format!("the runs of {part}"), found.collect(), expected)
}

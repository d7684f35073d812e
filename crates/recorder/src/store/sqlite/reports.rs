//! Recording what is reported.

use std::collections::BTreeMap;

use envsnap_model::snapshot::Identity;
use envsnap_model::wire::ECS;
use rusqlite::{Connection, params};

use super::environments::{InUse, in_use};
use super::failure::Failure;
use super::json;
use super::ledger::Ledger;
use super::rows;
use crate::domain::{
    Change, Confirmed, Error, Micros, Payload, Place, Recorded, Report, RunningArtifact,
    SnapshotTaken, Task, is_covered,
};

/// How often at most an unchanged report makes an entry, in seconds.
const CONFIRMED_EVERY: i64 = 6 * 60 * 60;

/// What is known of an environment's reports, except for what runs.
struct Reporting {
    last_reported_at: Option<Micros>,
    heartbeat: Option<u32>,
    tasks_hash: Option<[u8; 32]>,
    content_hash: Option<[u8; 32]>,
    /// Since when reports came without a time that is not covered.
    covered_from: Option<Micros>,
}

/// An artifact that runs according to the latest snapshot.
struct Latest {
    artifact_id: i64,
    name: String,
    fingerprint: String,
    replicas: u64,
    tasks: Tasks,
}

/// As of the latest report.
#[derive(PartialEq, Eq)]
struct Tasks {
    started_at: String,
    task: String,
    places: String,
}

pub(super) fn record(
    ledger: &Ledger<'_>,
    name: &str,
    report: &Report,
) -> Result<Recorded, Failure> {
    let Ledger { connection, org, org_id, now, .. } = *ledger;
    let environment = in_use(connection, org, name)?;
    if environment.environment_type != ECS {
        return Err(Error::EnvironmentTypeMismatch {
            org: org.to_owned(),
            name: name.to_owned(),
            actual: environment.environment_type,
            wanted: ECS.to_owned(),
        }
        .into());
    }
    if let Some(expected) = report.expected_index
        && expected != environment.latest_index
    {
        return Err(
            Error::LatestSnapshotMoved { expected, actual: environment.latest_index }.into()
        );
    }

    let before = reporting(connection, org_id, &environment)?;
    let is_covered =
        before.last_reported_at.is_none_or(|last| is_covered(last, before.heartbeat, now));
    let covered_from = before.covered_from.filter(|_| is_covered).unwrap_or(now);
    let content_hash = hex::decode(&report.content_hash).unwrap_or_default();
    let same_content = before.content_hash.is_some_and(|hash| hash[..] == content_hash[..]);
    let same_tasks = before.tasks_hash == Some(report.tasks_hash);

    let mut head = None;
    let mut created = false;
    let mut index = environment.latest_index;
    if !(same_content && same_tasks) {
        let latest = latest(connection, org_id, &environment)?;
        let changes = changes(&latest, &report.running, environment.include_scaling);
        if changes.is_empty() {
            keep_tasks(connection, org_id, environment.id, &latest, &report.running)?;
        } else {
            created = true;
            index += 1;
            let snapshot = SnapshotTaken {
                changes,
                content_hash: report.content_hash.clone(),
                covered_from,
                environment: environment.id,
                heartbeat: report.heartbeat,
                index,
                previous_report: before.last_reported_at,
            };
            forget_tasks(connection, org_id, environment.id, &latest, &snapshot)?;
            head = Some(ledger.append(&Payload::Snapshot(snapshot))?);
            keep_tasks(connection, org_id, environment.id, &latest, &report.running)?;
        }
    }
    if !created
        && environment.latest_index > 0
        && let Some(last_report) = before.last_reported_at
    {
        let last_entry = environment.reported_in_ledger_at.unwrap_or(now);
        if !is_covered || now.seconds_since(last_entry) >= CONFIRMED_EVERY {
            head = Some(ledger.append(&Payload::Confirmed(Confirmed {
                environment: environment.id,
                from: before.covered_from.unwrap_or(last_report),
                heartbeat: report.heartbeat,
                until: if is_covered { now } else { last_report },
            }))?);
        }
    }
    note_report(ledger, environment.id, report)?;
    let head = match head {
        Some(head) => head,
        None => ledger.head()?,
    };
    Ok(Recorded { created, index, head })
}

fn note_report(ledger: &Ledger<'_>, environment: i64, report: &Report) -> rusqlite::Result<()> {
    ledger
        .connection
        .prepare_cached(
            "INSERT INTO reporting
                 (org_id, environment_id, last_reported_at, heartbeat, tasks_hash)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (org_id, environment_id) DO UPDATE SET
                 last_reported_at = excluded.last_reported_at,
                 heartbeat = excluded.heartbeat,
                 tasks_hash = excluded.tasks_hash",
        )?
        .execute(params![
            ledger.org_id,
            environment,
            ledger.now.0,
            report.heartbeat,
            &report.tasks_hash[..],
        ])?;
    Ok(())
}

fn reporting(
    connection: &Connection,
    org_id: i64,
    environment: &InUse,
) -> rusqlite::Result<Reporting> {
    let key = params![org_id, environment.id, environment.latest_index];
    connection
        .prepare_cached(
            "SELECT last_reported_at, heartbeat, tasks_hash,
                    (SELECT content_hash FROM snapshot
                     WHERE org_id = $1 AND environment_id = $2 AND snapshot_index = $3),
                    (SELECT from_at FROM coverage WHERE org_id = $1 AND environment_id = $2
                     ORDER BY number DESC LIMIT 1)
             FROM (SELECT 1)
             LEFT JOIN reporting ON org_id = $1 AND environment_id = $2",
        )?
        .query_row(key, |row| {
            Ok(Reporting {
                last_reported_at: row.get::<_, Option<i64>>(0)?.map(Micros),
                heartbeat: row.get(1)?,
                tasks_hash: row.get(2)?,
                content_hash: row.get(3)?,
                covered_from: row.get::<_, Option<i64>>(4)?.map(Micros),
            })
        })
}

fn latest(
    connection: &Connection,
    org_id: i64,
    environment: &InUse,
) -> rusqlite::Result<BTreeMap<Identity, Latest>> {
    let mut statement = connection.prepare_cached(
        "SELECT interval.artifact_id, interval.name, artifact.fingerprint, interval.replicas,
                coalesce(current_task.started_at, interval.started_at),
                coalesce(current_task.task, interval.task),
                coalesce(current_task.places, interval.places)
         FROM interval
         JOIN artifact ON artifact.org_id = interval.org_id AND artifact.id = interval.artifact_id
         LEFT JOIN current_task ON current_task.org_id = interval.org_id
             AND current_task.environment_id = interval.environment_id
             AND current_task.artifact_id = interval.artifact_id
         WHERE interval.org_id = $1 AND interval.environment_id = $2 AND interval.node = 0",
    )?;
    let mut rows = statement.query(params![org_id, environment.id])?;
    let mut latest = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (name, fingerprint): (String, String) = (row.get(1)?, row.get(2)?);
        let identity = Identity::of(&name, rows::fingerprint(&fingerprint)?);
        let tasks = Tasks { started_at: row.get(4)?, task: row.get(5)?, places: row.get(6)? };
        let artifact_id = row.get(0)?;
        let replicas = row.get(3)?;
        latest.insert(identity, Latest { artifact_id, name, fingerprint, replicas, tasks });
    }
    Ok(latest)
}

/// What differs from the latest snapshot, in the order of identities: nothing if that makes no new
/// snapshot.
fn changes(
    latest: &BTreeMap<Identity, Latest>,
    running: &[RunningArtifact],
    include_scaling: bool,
) -> Vec<Change> {
    let running: BTreeMap<_, _> = running.iter().map(|it| (it.identity(), it)).collect();
    let mut is_new = false;
    let mut changes = BTreeMap::new();
    for (identity, artifact) in &running {
        let was = latest.get(identity).map_or(0, |latest| latest.replicas);
        if was != artifact.replicas() {
            is_new |= include_scaling || was == 0;
            changes.insert(identity, started(artifact, was));
        }
    }
    for (identity, latest) in latest {
        if !running.contains_key(identity) {
            is_new = true;
            changes.insert(identity, exited(latest));
        }
    }
    if is_new { changes.into_values().collect() } else { Vec::new() }
}

fn started(artifact: &RunningArtifact, was: u64) -> Change {
    Change {
        fingerprint: artifact.fingerprint.map(|known| known.to_string()).unwrap_or_default(),
        name: artifact.name.clone(),
        now: artifact.replicas(),
        places: several(&artifact.places).to_vec(),
        started_at: artifact.started_at.clone(),
        task: Some(artifact.task.clone()),
        was,
    }
}

fn exited(latest: &Latest) -> Change {
    Change {
        fingerprint: latest.fingerprint.clone(),
        name: latest.name.clone(),
        now: 0,
        places: Vec::new(),
        started_at: Vec::new(),
        task: None,
        was: latest.replicas,
    }
}

/// The task says where it runs, if that is one place.
fn several(places: &[Place]) -> &[Place] {
    if places.len() > 1 { places } else { &[] }
}

fn tasks_of(artifact: &RunningArtifact) -> rusqlite::Result<Tasks> {
    let task: Option<&Task> = Some(&artifact.task);
    Ok(Tasks {
        started_at: json::text(&artifact.started_at)?,
        task: json::text(&task)?,
        places: json::text(&several(&artifact.places))?,
    })
}

/// Keeps the tasks of those artifacts that did not change and are run by others than before.
fn keep_tasks(
    connection: &Connection,
    org_id: i64,
    environment: i64,
    latest: &BTreeMap<Identity, Latest>,
    running: &[RunningArtifact],
) -> rusqlite::Result<()> {
    for artifact in running {
        // If replicas are not counted, those that are shown have the tasks that they had.
        let Some(latest) = latest
            .get(&artifact.identity())
            .filter(|latest| latest.replicas == artifact.replicas())
        else {
            continue;
        };
        let tasks = tasks_of(artifact)?;
        if tasks != latest.tasks {
            connection
                .prepare_cached(
                    "INSERT INTO current_task
                         (org_id, environment_id, artifact_id, started_at, task, places)
                     VALUES ($1, $2, $3, $4, $5, $6)
                     ON CONFLICT (org_id, environment_id, artifact_id) DO UPDATE SET
                         started_at = excluded.started_at,
                         task = excluded.task,
                         places = excluded.places",
                )?
                .execute(params![
                    org_id,
                    environment,
                    latest.artifact_id,
                    tasks.started_at,
                    tasks.task,
                    tasks.places,
                ])?;
        }
    }
    Ok(())
}

/// The interval that a change opens has the tasks of the report itself.
fn forget_tasks(
    connection: &Connection,
    org_id: i64,
    environment: i64,
    latest: &BTreeMap<Identity, Latest>,
    snapshot: &SnapshotTaken,
) -> Result<(), Failure> {
    for change in snapshot.changes.iter().filter(|change| change.was > 0) {
        let identity = Identity::of(&change.name, rows::fingerprint(&change.fingerprint)?);
        if let Some(latest) = latest.get(&identity) {
            connection
                .prepare_cached(
                    "DELETE FROM current_task
                     WHERE org_id = $1 AND environment_id = $2 AND artifact_id = $3",
                )?
                .execute([org_id, environment, latest.artifact_id])?;
        }
    }
    Ok(())
}

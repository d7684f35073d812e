//! Recording reports.

use std::cmp::Ordering;
use std::sync::Arc;

use envsnap_model::snapshot::Identity;
use envsnap_model::wire::ECS;
use rusqlite::{Connection, params};

use super::environments::{ActiveEnvironment, find_active};
use super::failure::Failure;
use super::latest::{Cache, LatestArtifact, Stamp, store_current_tasks};
use super::ledger::Ledger;
use super::rows;
use crate::domain::{
    Change, Confirmed, Error, Micros, Payload, Report, ReportOutcome, RunningArtifact,
    SnapshotTaken, is_covered,
};

/// The shortest time between two confirmation entries of an environment, in seconds.
const CONFIRMATION_INTERVAL_SECS: i64 = 6 * 60 * 60;

/// When an environment was last reported, and what its next report is compared with.
struct ReportingState {
    last_reported_at: Option<Micros>,
    heartbeat: Option<u32>,
    tasks_hash: Option<[u8; 32]>,
    content_hash: Option<[u8; 32]>,
    /// The start of the covered time.
    covered_from: Option<Micros>,
}

/// Records a report: a snapshot entry if what runs has changed, a confirmation entry if one is due, and
/// the time and the tasks of the report.
pub(super) fn record_report(
    ledger: &Ledger<'_>,
    cache: &Cache,
    name: &str,
    report: &Report,
) -> Result<ReportOutcome, Failure> {
    let Ledger { connection, org, org_id, now, .. } = *ledger;
    let environment = find_active(connection, org, name)?;
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

    let before = reporting_state(connection, org_id, &environment)?;
    // If the clock was set back, the time since the last report is not known: a new covered time begins.
    let is_covered = before.last_reported_at.is_none_or(|last| {
        is_covered(last, before.heartbeat, now) && !ledger.clock_was_set_back_since(last)
    });
    let covered_from = before.covered_from.filter(|_| is_covered).unwrap_or(now);
    let content_hash = hex::decode(&report.content_hash).unwrap_or_default();
    let same_content = before.content_hash.is_some_and(|hash| hash[..] == content_hash[..]);
    let same_tasks = before.tasks_hash == Some(report.tasks_hash);

    let key = (org_id, environment.id);
    let stamp = Stamp {
        latest_index: environment.latest_index,
        last_reported_at: before.last_reported_at.map(|at| at.0),
        tasks_hash: before.tasks_hash,
    };
    let mut head = None;
    let mut created = false;
    let mut index = environment.latest_index;
    let latest = if same_content && same_tasks {
        cache.get(key, stamp)
    } else {
        let latest = cache.latest(connection, key, stamp)?;
        let changes = changes(&latest, &report.running, environment.include_scaling);
        if changes.is_empty() {
            Some(Arc::new(store_current_tasks(connection, key, &latest, report)?))
        } else {
            created = true;
            index += 1;
            delete_current_tasks(connection, key, &latest, &changes)?;
            let unchanged = store_current_tasks(connection, key, &latest, report)?;
            head = Some(ledger.append(&Payload::Snapshot(SnapshotTaken {
                changes,
                content_hash: report.content_hash.clone(),
                covered_from,
                environment: environment.id,
                heartbeat: report.heartbeat,
                index,
                previous_report: before.last_reported_at,
            }))?);
            Some(Arc::new(latest_after_report(connection, org_id, &unchanged, report)?))
        }
    };
    if !created
        && environment.latest_index > 0
        && let Some(last_report) = before.last_reported_at
    {
        let last_entry = environment.reported_in_ledger_at.unwrap_or(now);
        if !is_covered || now.seconds_since(last_entry) >= CONFIRMATION_INTERVAL_SECS {
            head = Some(ledger.append(&Payload::Confirmed(Confirmed {
                environment: environment.id,
                from: before.covered_from.unwrap_or(last_report),
                heartbeat: report.heartbeat,
                until: if is_covered { now } else { last_report },
            }))?);
        }
    }
    update_reporting(ledger, environment.id, report)?;
    let stamp = Stamp {
        latest_index: index,
        last_reported_at: Some(now.0),
        tasks_hash: Some(report.tasks_hash),
    };
    if let Some(latest) = latest {
        cache.insert(key, stamp, latest);
    }
    let head = match head {
        Some(head) => head,
        None => ledger.head()?,
    };
    Ok(ReportOutcome { created, index, head })
}

/// Stores the time, heartbeat and tasks hash of the environment's latest report.
fn update_reporting(
    ledger: &Ledger<'_>,
    environment: i64,
    report: &Report,
) -> rusqlite::Result<()> {
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

fn reporting_state(
    connection: &Connection,
    org_id: i64,
    environment: &ActiveEnvironment,
) -> rusqlite::Result<ReportingState> {
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
            Ok(ReportingState {
                last_reported_at: rows::lenient_column(row, 0).map(Micros),
                heartbeat: rows::lenient_column(row, 1),
                tasks_hash: rows::lenient_column(row, 2),
                content_hash: row.get(3)?,
                covered_from: row.get::<_, Option<i64>>(4)?.map(Micros),
            })
        })
}

/// Pairs the artifacts of the latest snapshot with the reported ones of the same identity. Both are in the
/// order of identities, and so are the pairs.
fn pair_by_identity<'a>(
    latest: &'a [LatestArtifact],
    running: &'a [RunningArtifact],
) -> impl Iterator<Item = (Option<&'a LatestArtifact>, Option<&'a RunningArtifact>)> {
    let (mut latest, mut running) = (latest.iter().peekable(), running.iter().peekable());
    std::iter::from_fn(move || {
        let order = match (latest.peek(), running.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.identity.cmp(&other.identity()),
        };
        let one = if order.is_le() { latest.next() } else { None };
        let other = if order.is_ge() { running.next() } else { None };
        Some((one, other))
    })
}

/// What differs from the latest snapshot, in the order of identities; empty if the report makes no new
/// snapshot.
fn changes(
    latest: &[LatestArtifact],
    running: &[RunningArtifact],
    include_scaling: bool,
) -> Vec<Change> {
    let mut is_new = false;
    let mut changes = Vec::new();
    for pair in pair_by_identity(latest, running) {
        match pair {
            (Some(latest), None) => {
                is_new = true;
                changes.push(change_to_exited(latest));
            }
            (latest, Some(artifact)) => {
                let was = latest.map_or(0, |latest| latest.replicas);
                if was != artifact.replicas() {
                    is_new |= include_scaling || was == 0;
                    changes.push(change_to_running(artifact, was));
                }
            }
            (None, None) => {}
        }
    }
    if is_new { changes } else { Vec::new() }
}

/// The change of an artifact that started or was scaled from `was` replicas.
fn change_to_running(artifact: &RunningArtifact, was: u64) -> Change {
    Change {
        fingerprint: artifact.fingerprint.map(|known| known.to_string()).unwrap_or_default(),
        name: artifact.name.clone(),
        now: artifact.replicas(),
        places: artifact.places.clone(),
        started_at: artifact.started_at.clone(),
        task: Some(artifact.task.clone()),
        was,
    }
}

fn change_to_exited(latest: &LatestArtifact) -> Change {
    let fingerprint = match &latest.identity {
        Identity::Known(fingerprint) => fingerprint.to_string(),
        Identity::Named(_) => String::new(),
    };
    Change {
        fingerprint,
        name: latest.name.to_string(),
        now: 0,
        places: Vec::new(),
        started_at: Vec::new(),
        task: None,
        was: latest.replicas,
    }
}

/// Deletes the current tasks of artifacts that changed: their new intervals have the tasks of the report.
fn delete_current_tasks(
    connection: &Connection,
    (org_id, environment): (i64, i64),
    latest: &[LatestArtifact],
    changes: &[Change],
) -> rusqlite::Result<()> {
    for change in changes.iter().filter(|change| change.was > 0) {
        let identity = Identity::new(&change.name, change.fingerprint.parse().ok());
        if let Ok(at) = latest.binary_search_by(|artifact| artifact.identity.cmp(&identity)) {
            connection
                .prepare_cached(
                    "DELETE FROM current_task
                     WHERE org_id = $1 AND environment_id = $2 AND artifact_id = $3",
                )?
                .execute([org_id, environment, latest[at].artifact_id])?;
        }
    }
    Ok(())
}

/// The artifacts of the snapshot that `report` made, of which `latest` was the one before.
fn latest_after_report(
    connection: &Connection,
    org_id: i64,
    latest: &[LatestArtifact],
    report: &Report,
) -> rusqlite::Result<Vec<LatestArtifact>> {
    let mut hashes = report.task_hashes.iter().copied();
    let mut next = Vec::with_capacity(report.running.len());
    for pair in pair_by_identity(latest, &report.running) {
        let (before, Some(artifact)) = pair else { continue };
        let task_hash = hashes.next();
        let unchanged = before.filter(|before| before.replicas == artifact.replicas());
        next.push(match (unchanged, before) {
            (Some(unchanged), _) => unchanged.clone(),
            (None, before) => LatestArtifact {
                identity: artifact.identity(),
                artifact_id: match before {
                    Some(before) => before.artifact_id,
                    None => artifact_id(connection, org_id, artifact)?,
                },
                name: artifact.name.as_str().into(),
                replicas: artifact.replicas(),
                task_hash,
            },
        });
    }
    Ok(next)
}

/// The row id of an artifact that a snapshot entry has inserted.
fn artifact_id(
    connection: &Connection,
    org_id: i64,
    artifact: &RunningArtifact,
) -> rusqlite::Result<i64> {
    let fingerprint = artifact.fingerprint.map(|known| known.to_string()).unwrap_or_default();
    let name = if fingerprint.is_empty() { &*artifact.name } else { "" };
    connection
        .prepare_cached(
            "SELECT id FROM artifact WHERE org_id = $1 AND fingerprint = $2 AND name = $3",
        )?
        .query_row(params![org_id, fingerprint, name], |row| row.get(0))
}

//! View of the comparison of two snapshots.

use std::collections::BTreeMap;

use envsnap_model::snapshot::Identity;
use envsnap_model::wire::{DiffArtifact, DiffItem, EnvironmentDiff};

use super::provenance::pipeline;
use super::snapshot::running_since;
use crate::domain::{SnapshotArtifact, SnapshotRecord};

/// What runs in the first, the second, or both of two snapshots, each with the name of its
/// environment.
pub(crate) fn comparison(
    (name, one): (&str, SnapshotRecord),
    (other_name, other): (&str, SnapshotRecord),
) -> EnvironmentDiff {
    let named = |name: &str, index| DiffItem {
        snapshot_id: Some(format!("{name}#{index}")),
        artifacts: Vec::new(),
    };
    let mut diff = EnvironmentDiff {
        snappish1: named(name, one.index),
        snappish2: named(other_name, other.index),
        ..EnvironmentDiff::default()
    };
    // Another environment's snapshots say nothing of what was new in this one.
    let before = if name == other_name { one.index } else { other.index.saturating_sub(1) };
    let (one, mut other) = (running_by_identity(one), running_by_identity(other));
    for (identity, before) in one {
        let Some(after) = other.remove(&identity) else {
            diff.snappish1.artifacts.push(diff_artifact(before));
            continue;
        };
        let (was, now) = (before.now, after.now);
        if was == now {
            diff.not_changed.artifacts.push(diff_artifact(after));
        } else {
            diff.changed.artifacts.push(DiffArtifact {
                s1_instance_count: Some(was),
                s2_instance_count: Some(now),
                ..diff_artifact(after)
            });
        }
    }
    let started = |stored: SnapshotArtifact| {
        let first_time = stored.seen.and_then(|seen| seen.firsts.after(before));
        let first_time_here = first_time.map(|it| it.as_str().to_owned());
        DiffArtifact { first_time_here, ..diff_artifact(stored) }
    };
    diff.snappish2.artifacts = other.into_values().map(started).collect();
    for item in [&mut diff.snappish1, &mut diff.snappish2, &mut diff.changed, &mut diff.not_changed]
    {
        item.artifacts.sort_by(|a, b| (&a.fingerprint, &a.name).cmp(&(&b.fingerprint, &b.name)));
    }
    diff
}

fn running_by_identity(snapshot: SnapshotRecord) -> BTreeMap<Identity, SnapshotArtifact> {
    let running = snapshot.artifacts.into_iter().filter(SnapshotArtifact::runs);
    running.map(|artifact| (artifact.identity(), artifact)).collect()
}

fn diff_artifact(stored: SnapshotArtifact) -> DiffArtifact {
    let (flow, commit_url) = match pipeline(&stored) {
        Some((flow, commit_url)) => (Some(flow.to_owned()), commit_url),
        None => (None, None),
    };
    DiffArtifact {
        since: running_since(&stored),
        first_time_here: None,
        instance_count: Some(stored.now),
        most_recent_timestamp: stored.started_at.last().copied().unwrap_or_default(),
        fingerprint: stored.fingerprint.map(|known| known.to_string()).unwrap_or_default(),
        name: stored.name,
        flow,
        commit_url,
        s1_instance_count: None,
        s2_instance_count: None,
    }
}

//! A report, ready to be compared with the latest snapshot.

use sha2::{Digest as _, Sha256};

use super::{Error, Origin, ReportEntry, RunningArtifact, running_artifacts, to_snapshot};

/// A parsed report of one environment, with the options in its headers.
///
/// Built before the report is queued, since the work grows with its size and would block the
/// writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One artifact per identity, in the order of their identities.
    pub running: Vec<RunningArtifact>,
    /// The hash of the tasks of each artifact, in the same order.
    pub task_hashes: Vec<[u8; 32]>,
    /// The content hash: 64 hexadecimal digits.
    pub content_hash: String,
    /// The hash of all tasks.
    pub tasks_hash: [u8; 32],
    /// The reporter's heartbeat in seconds, if it announced one.
    pub heartbeat: Option<u32>,
    /// The index in `If-Match`, if there is one.
    pub expected_index: Option<u32>,
}

impl Report {
    /// A report of these entries, without options.
    ///
    /// # Errors
    /// A limit of snapshots is exceeded.
    pub fn new(entries: &[ReportEntry]) -> Result<Self, Error> {
        let running = running_artifacts(entries)?;
        let content_hash = to_snapshot(&running).content_hash();
        let task_hashes: Vec<_> = running.iter().map(hash_tasks).collect();
        let tasks_hash = Sha256::digest(task_hashes.concat()).into();
        Ok(Self {
            running,
            task_hashes,
            content_hash,
            tasks_hash,
            heartbeat: None,
            expected_index: None,
        })
    }
}

/// A hash that is equal if the artifact has the same latest task, clusters, services and start times.
fn hash_tasks(artifact: &RunningArtifact) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let mut text = |text: Option<&str>| {
        // Absent and empty must not hash alike.
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        hasher.update(length.to_be_bytes());
        hasher.update(text.unwrap_or_default());
    };
    text(Some(&artifact.name));
    text(artifact.fingerprint.map(|known| known.to_string()).as_deref());
    for name in [Some(&artifact.task.arn), artifact.task.cluster.as_ref()] {
        text(name.map(String::as_str));
    }
    text(artifact.task.service.as_deref());
    let origin = artifact.task.origin.as_ref();
    for field in origin.map(Origin::texts).unwrap_or_default() {
        text(field);
    }
    for place in &artifact.places {
        text(place.cluster.as_deref());
        text(place.service.as_deref());
        text(Some(&place.replicas.to_string()));
    }
    for started_at in &artifact.started_at {
        hasher.update(started_at.to_be_bytes());
    }
    hasher.finalize().into()
}

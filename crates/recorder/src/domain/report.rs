//! A report, ready to be compared with the latest snapshot.

use sha2::{Digest as _, Sha256};

use super::{Error, ReportEntry, RunningArtifact, running_artifacts, snapshot_of};

/// What an environment's reporter found, and what it announced with it.
///
/// Made before the report waits for its turn to be written, since it takes time that grows with the
/// report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One artifact per identity, in the order of their identities.
    pub running: Vec<RunningArtifact>,
    /// Of what runs: 64 hexadecimal digits.
    pub content_hash: String,
    /// Of the tasks that run it.
    pub tasks_hash: [u8; 32],
    /// The reporter's heartbeat in seconds, if it announced one.
    pub heartbeat: Option<u32>,
    /// The index of the snapshot that the reading was compared with, if it said so.
    pub expected_index: Option<u32>,
}

impl Report {
    /// The report of these tasks, without announcements.
    ///
    /// # Errors
    /// It is more than a snapshot may hold.
    pub fn new(entries: &[ReportEntry]) -> Result<Self, Error> {
        let running = running_artifacts(entries)?;
        let content_hash = snapshot_of(&running).content_hash();
        let tasks_hash = tasks_hash(&running);
        Ok(Self { running, content_hash, tasks_hash, heartbeat: None, expected_index: None })
    }
}

/// Equal if the same tasks run the same artifacts in the same places.
fn tasks_hash(running: &[RunningArtifact]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let mut text = |text: &str| {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    };
    for artifact in running {
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        text(&artifact.name);
        text(&artifact.fingerprint.map(|known| known.to_string()).unwrap_or_default());
        text(&artifact.task.arn);
        for started_at in &artifact.started_at {
            text(&started_at.to_string());
        }
        for place in &artifact.places {
            text(&optional(&place.cluster));
            text(&optional(&place.service));
            text(&place.replicas.to_string());
        }
    }
    hasher.finalize().into()
}

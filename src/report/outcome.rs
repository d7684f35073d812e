//! What a run came to: the function's answer, and what the command line prints.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use super::{ErrorKind, Surroundings, TriggerKind};
use crate::ecs::Observation;
use crate::snapshot::{
    Artifact, Diff, DigestSource, Fingerprint, Identity, RunningContainer, Scaled, Snapshot,
    pinned_digest,
};

/// Rows that a list of the answer has at the most, in all environments together: it stays far
/// below the 6 MB that a function may answer. Snapshots are never cut.
pub const MAX_ROWS: usize = 1_000;

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// What started it.
    pub trigger: TriggerKind,
    /// One entry an environment, in the order of the configuration.
    pub environments: Vec<EnvironmentOutcome>,
}

/// What a run came to in one environment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnvironmentOutcome {
    /// Its name.
    pub environment: String,
    /// What was done.
    pub outcome: OutcomeKind,
    /// The server made a new snapshot.
    pub created: bool,
    /// The number of that snapshot, as in `aws-prod#65`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The head of the server's chain of snapshots, where a report was answered with one: the
    /// witness against a history that is rewritten later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Of what runs; `null` where it could not be read.
    pub content_hash: Option<String>,
    /// Tasks with a container that counts; `null` where what runs could not be read.
    pub tasks: Option<usize>,
    /// Containers that count; `null` where what runs could not be read.
    pub containers: Option<usize>,
    /// What runs, in a snapshot's order.
    pub artifacts: Vec<ArtifactRow>,
    /// What was posted, or would have been, as a difference from the latest snapshot.
    pub changes: Changes,
    /// The names of artifacts without a known digest.
    pub unresolved: Vec<String>,
    /// A row a container, counted or not, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanations: Option<Vec<Explanation>>,
    /// Rows that were left out of the lists above, where any were.
    #[serde(skip_serializing_if = "Omitted::is_empty")]
    pub omitted: Omitted,
    /// Requests that were made.
    pub calls: Calls,
    /// How long it took.
    pub duration_ms: u64,
    /// Why it failed.
    pub error: Option<ErrorRow>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// A report was sent and answered.
    Posted,
    /// The server has it already.
    Unchanged,
    /// A report would have been sent.
    DryRun,
    /// It was read alone: there is no server to compare it with.
    NotCompared,
    /// See the error.
    Failed,
}

/// An artifact that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactRow {
    /// Its name.
    pub name: String,
    /// `null` where it is unknown.
    pub fingerprint: Option<Fingerprint>,
    /// Running containers.
    pub replicas: u64,
    /// Who says what its fingerprint is.
    pub digest_source: DigestSource,
}

/// A difference between two snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Artifacts that run now and did not.
    pub started: Vec<ChangeRow>,
    /// Artifacts that ran and do not.
    pub exited: Vec<ChangeRow>,
    /// Artifacts with another number of replicas.
    pub scaled: Vec<ScaledRow>,
}

/// An artifact that started or exited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeRow {
    /// Its name.
    pub name: String,
    /// `null` where it is unknown.
    pub fingerprint: Option<Fingerprint>,
    /// Replicas after it started, or before it exited.
    pub replicas: u64,
}

/// An artifact with another number of replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScaledRow {
    /// Its name.
    pub name: String,
    /// `null` where it is unknown.
    pub fingerprint: Option<Fingerprint>,
    /// Replicas before.
    pub from: u64,
    /// Replicas after.
    pub to: u64,
}

/// Why a container counts, or does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Cluster name.
    pub cluster: String,
    /// `null` for a standalone task.
    pub service: Option<String>,
    /// Task ARN.
    pub task: String,
    /// Container name.
    pub container: String,
    /// Image reference; `null` where ECS has none.
    pub image: Option<String>,
    /// It is a replica in the snapshot.
    pub counted: bool,
    /// Why it is, or is not.
    pub reason: String,
    /// `null` where it is not counted, or unknown.
    pub fingerprint: Option<Fingerprint>,
    /// Who says what its fingerprint is; `null` where it is not counted.
    pub digest_source: Option<DigestSource>,
}

/// How many rows were left out of each list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Omitted {
    /// Of the artifacts.
    pub artifacts: usize,
    /// Of the artifacts that started.
    pub started: usize,
    /// Of the artifacts that exited.
    pub exited: usize,
    /// Of the artifacts with another number of replicas.
    pub scaled: usize,
    /// Of the artifacts without a digest.
    pub unresolved: usize,
    /// Of the explanations.
    pub explanations: usize,
}

/// Requests that were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// To ECS.
    pub ecs: u32,
    /// To the snapshot server.
    pub server: u32,
}

/// Why an environment failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorRow {
    /// What kind of failure it is; for programs, the stable word of its type.
    #[serde(rename = "type", serialize_with = "error_type")]
    pub kind: ErrorKind,
    /// A sentence for people, without what to do about it, which depends on where it is read.
    pub message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn error_type<S: Serializer>(kind: &ErrorKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.error_type())
}

impl ErrorRow {
    /// What happened, and what to do about it there.
    pub fn with_remedy(&self, surroundings: Surroundings) -> String {
        format!("{}. {}", self.message, self.kind.remedy(surroundings))
    }
}

impl Outcome {
    /// The environments that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&EnvironmentOutcome, &ErrorRow)> {
        self.environments.iter().filter_map(|e| e.error.as_ref().map(|error| (e, error)))
    }

    /// The same, with at most [`MAX_ROWS`] rows a list.
    #[must_use]
    pub fn truncated(mut self) -> Self {
        let most = MAX_ROWS / self.environments.len().max(1);
        self.environments = self.environments.into_iter().map(|e| e.truncated(most)).collect();
        self
    }
}

impl EnvironmentOutcome {
    /// Nothing was done yet in `environment`.
    pub fn new(environment: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            outcome: OutcomeKind::Unchanged,
            created: false,
            index: None,
            head: None,
            content_hash: None,
            tasks: None,
            containers: None,
            artifacts: Vec::new(),
            changes: Changes::default(),
            unresolved: Vec::new(),
            explanations: None,
            omitted: Omitted::default(),
            calls: Calls::default(),
            duration_ms: 0,
            error: None,
        }
    }

    /// It failed.
    pub(super) fn fail(&mut self, kind: ErrorKind, message: String) {
        self.outcome = OutcomeKind::Failed;
        self.error = Some(ErrorRow { kind, message });
    }

    /// Writes down what runs.
    pub(super) fn running(
        &mut self,
        containers: &[RunningContainer<'_>],
        snapshot: &Snapshot,
        content_hash: &str,
    ) {
        let mut sources = BTreeMap::<Identity, DigestSource>::new();
        for container in containers {
            let identity = Identity::new(container.artifact_name, container.fingerprint);
            let source = sources.entry(identity).or_insert(container.digest_source);
            *source = container.digest_source.min(*source);
        }
        self.content_hash = Some(content_hash.to_owned());
        self.containers = Some(containers.len());
        self.tasks = Some(containers.iter().map(|c| c.task_arn).collect::<BTreeSet<_>>().len());
        self.artifacts = snapshot
            .artifacts()
            .map(|artifact| ArtifactRow {
                name: artifact.name.clone(),
                fingerprint: artifact.fingerprint,
                replicas: artifact.replicas,
                digest_source: sources
                    .get(&Identity::new(&artifact.name, artifact.fingerprint))
                    .copied()
                    .unwrap_or(DigestSource::Unknown),
            })
            .collect();
        self.unresolved = snapshot
            .artifacts()
            .filter(|artifact| artifact.fingerprint.is_none())
            .map(|artifact| artifact.name.clone())
            .collect();
    }

    /// The same, with at most `most` rows a list, and how many were left out.
    #[must_use]
    pub fn truncated(mut self, most: usize) -> Self {
        fn truncate<T>(list: &mut Vec<T>, most: usize) -> usize {
            let omitted = list.len().saturating_sub(most);
            list.truncate(most);
            omitted
        }
        self.omitted.artifacts += truncate(&mut self.artifacts, most);
        self.omitted.started += truncate(&mut self.changes.started, most);
        self.omitted.exited += truncate(&mut self.changes.exited, most);
        self.omitted.scaled += truncate(&mut self.changes.scaled, most);
        self.omitted.unresolved += truncate(&mut self.unresolved, most);
        if let Some(explanations) = &mut self.explanations {
            self.omitted.explanations += truncate(explanations, most);
        }
        self
    }
}

impl Omitted {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Diff> for Changes {
    fn from(diff: Diff) -> Self {
        Self {
            started: diff.started.into_iter().map(ChangeRow::from).collect(),
            exited: diff.exited.into_iter().map(ChangeRow::from).collect(),
            scaled: diff.scaled.into_iter().map(ScaledRow::from).collect(),
        }
    }
}

impl From<Artifact> for ChangeRow {
    fn from(artifact: Artifact) -> Self {
        let Artifact { name, fingerprint, replicas } = artifact;
        Self { name, fingerprint, replicas }
    }
}

impl From<Scaled> for ScaledRow {
    fn from(scaled: Scaled) -> Self {
        let Scaled { name, fingerprint, from, to } = scaled;
        Self { name, fingerprint, from, to }
    }
}

impl From<&Observation<'_>> for Explanation {
    fn from(observation: &Observation<'_>) -> Self {
        let (reason, counted) = match &observation.result {
            Ok(container) => (counted_because(observation.image, container), Some(container)),
            Err(reason) => (format!("not counted: {reason}"), None),
        };
        Self {
            cluster: observation.cluster.to_owned(),
            service: observation.service.map(ToOwned::to_owned),
            task: observation.task_arn.to_owned(),
            container: observation.container.to_owned(),
            image: observation.image.map(ToOwned::to_owned),
            counted: counted.is_some(),
            reason,
            fingerprint: counted.and_then(|container| container.fingerprint),
            digest_source: counted.map(|container| container.digest_source),
        }
    }
}

fn counted_because(image: Option<&str>, container: &RunningContainer<'_>) -> String {
    let digest = match container.digest_source {
        DigestSource::Ecs => "ECS says which digest was pulled",
        DigestSource::Pinned => "ECS gives no digest, and the image reference pins one",
        DigestSource::Unknown => {
            "ECS gives no SHA-256 digest and the image reference pins none, so that only its name \
             is known"
        }
    };
    // CI that pushed an image for several platforms recorded the digest of the index around them.
    let pinned = match image.and_then(pinned_digest) {
        Some(_) => {
            "; the reference pins a digest, and CI may have recorded that of the index around it"
        }
        None => "",
    };
    format!("counted: it runs; {digest}{pinned}")
}

//! The outcome of a run: the function's response, and what the command line prints.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use super::{ErrorKind, RemedyContext, TriggerKind};
use crate::ecs::Observation;
use crate::snapshot::{
    Artifact, Diff, DigestSource, Fingerprint, Identity, RunningContainer, Scaled, Snapshot,
    TaskOrigin, pinned_digest,
};

/// Rows of each list in the response, over all environments, far below the 6 MB that a function may
/// respond with. Snapshots are never truncated.
pub const MAX_ROWS: usize = 1_000;

/// The result of a run in all environments, serialized as the response of the Lambda function.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    pub trigger: TriggerKind,
    /// One entry per environment, in the order of the configuration.
    pub environments: Vec<EnvironmentOutcome>,
}

/// The result of a run in one environment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnvironmentOutcome {
    pub environment: String,
    pub outcome: OutcomeKind,
    /// Why a report was made, or would have been in a dry run; absent if there was no reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReportReason>,
    /// The report made a new snapshot.
    pub created: bool,
    /// Index of the new snapshot, as in `aws-prod#65`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The head of the organization's ledger, if the server returned one: evidence against a
    /// history that is rewritten later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Hash of what runs; `null` if it could not be read.
    pub content_hash: Option<String>,
    /// Tasks with a counted container; `null` if they could not be read.
    pub tasks: Option<usize>,
    /// Counted containers; `null` if they could not be read.
    pub containers: Option<usize>,
    /// What runs, in a snapshot's order.
    pub artifacts: Vec<ArtifactRow>,
    /// The difference from the latest snapshot that was posted or, in a dry run, would have been.
    pub changes: Changes,
    /// The names of artifacts without a known digest.
    pub unresolved: Vec<String>,
    /// One row per container, counted or not, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanations: Option<Vec<Explanation>>,
    /// Rows that were left out of the lists above.
    #[serde(skip_serializing_if = "Omitted::is_empty")]
    pub omitted: Omitted,
    pub calls: Calls,
    pub duration_ms: u64,
    pub error: Option<ErrorRow>,
}

/// What a run did in an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    Posted,
    Unchanged,
    DryRun,
    /// There is no server to compare with.
    NotCompared,
    Failed,
}

/// Why what runs is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportReason {
    /// It is not what the server has.
    Difference,
    /// The trigger asked for a report whether or not anything differs.
    Force,
    /// Nothing differs, and the heartbeat is due.
    Heartbeat,
}

/// A running artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactRow {
    pub name: String,
    /// `null` if it is unknown.
    pub fingerprint: Option<Fingerprint>,
    pub replicas: u64,
    pub digest_source: DigestSource,
}

/// The differences between what runs and the server's latest snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    pub started: Vec<ChangeRow>,
    pub exited: Vec<ChangeRow>,
    /// Artifacts with another number of replicas.
    pub scaled: Vec<ScaledRow>,
}

/// An artifact that started or exited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeRow {
    pub name: String,
    /// `null` if it is unknown.
    pub fingerprint: Option<Fingerprint>,
    /// Replicas after it started, or before it exited.
    pub replicas: u64,
}

/// An artifact with another number of replicas than in the latest snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScaledRow {
    pub name: String,
    /// `null` if it is unknown.
    pub fingerprint: Option<Fingerprint>,
    pub from: u64,
    pub to: u64,
}

/// Why a container counts or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub cluster: String,
    /// `null` for a standalone task.
    pub service: Option<String>,
    pub task: String,
    /// What ECS says of where the task comes from.
    #[serde(skip_serializing_if = "TaskOrigin::is_empty")]
    pub origin: TaskOrigin,
    pub container: String,
    /// `null` if ECS returned none.
    pub image: Option<String>,
    pub counted: bool,
    pub reason: String,
    /// `null` if it is not counted or unknown.
    pub fingerprint: Option<Fingerprint>,
    /// `null` if it is not counted.
    pub digest_source: Option<DigestSource>,
}

/// The number of rows left out of each list of an [`EnvironmentOutcome`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Omitted {
    pub artifacts: usize,
    pub started: usize,
    pub exited: usize,
    pub scaled: usize,
    pub unresolved: usize,
    pub explanations: usize,
}

/// The number of requests that were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    pub ecs: u32,
    pub server: u32,
}

/// Why an environment failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorRow {
    /// Serialized as the error type, a stable word for programs.
    #[serde(rename = "type", serialize_with = "serialize_error_type")]
    pub kind: ErrorKind,
    /// Without the remedy, which depends on where the message is read.
    pub message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn serialize_error_type<S: Serializer>(kind: &ErrorKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.error_type())
}

impl ErrorRow {
    /// The message, with the remedy as a second sentence.
    pub fn with_remedy(&self, context: RemedyContext) -> String {
        format!("{}. {}", self.message, self.kind.remedy(context))
    }
}

impl Outcome {
    /// Each environment that failed, with its error.
    pub fn failures(&self) -> impl Iterator<Item = (&EnvironmentOutcome, &ErrorRow)> {
        self.environments.iter().filter_map(|e| e.error.as_ref().map(|error| (e, error)))
    }

    /// The outcome with at most [`MAX_ROWS`] rows per list.
    #[must_use]
    pub fn truncated(mut self) -> Self {
        let most = MAX_ROWS / self.environments.len().max(1);
        self.environments = self.environments.into_iter().map(|e| e.truncated(most)).collect();
        self
    }
}

impl EnvironmentOutcome {
    pub fn new(environment: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            outcome: OutcomeKind::Unchanged,
            reason: None,
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

    /// What happened, if a report made no new snapshot.
    pub(crate) fn posted_nothing_new(&self) -> &'static str {
        match self.reason {
            Some(ReportReason::Heartbeat) => {
                "posted since the heartbeat is due, nothing new for the server"
            }
            Some(ReportReason::Force) => "posted as requested, nothing new for the server",
            Some(ReportReason::Difference) | None => "posted, nothing new for the server",
        }
    }

    pub(super) fn fail(&mut self, kind: ErrorKind, message: String) {
        self.outcome = OutcomeKind::Failed;
        self.error = Some(ErrorRow { kind, message });
    }

    /// Sets the content hash, the numbers of tasks and containers, and the artifacts.
    pub(super) fn fill_in_snapshot(
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

    /// The outcome with at most `most` rows per list; the rest is counted in `omitted`.
    #[must_use]
    pub fn truncated(mut self, most: usize) -> Self {
        /// Returns the number of removed rows.
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
            origin: observation.origin.clone(),
            container: observation.container.to_owned(),
            image: observation.image.map(ToOwned::to_owned),
            counted: counted.is_some(),
            reason,
            fingerprint: counted.and_then(|container| container.fingerprint),
            digest_source: counted.map(|container| container.digest_source),
        }
    }
}

/// Why a running container counts, and where its digest is from, as the reason in an
/// [`Explanation`].
fn counted_because(image: Option<&str>, container: &RunningContainer<'_>) -> String {
    let digest = match container.digest_source {
        DigestSource::Ecs => "ECS says which digest was pulled",
        DigestSource::Pinned => "ECS returns no digest, and the image reference pins one",
        DigestSource::Unknown => {
            "ECS returns no SHA-256 digest and the image reference pins none, so that only its name \
             is known"
        }
    };
    // CI that pushed a multi-platform image recorded the digest of the index around it.
    let pinned = match image.and_then(pinned_digest) {
        Some(_) => {
            "; the reference pins a digest, and CI may have recorded that of the index around it"
        }
        None => "",
    };
    format!("counted: it runs; {digest}{pinned}")
}

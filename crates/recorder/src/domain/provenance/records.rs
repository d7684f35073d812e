//! What the store knows of provenance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use envsnap_model::provenance::{Origin, State, TrailStatus};

use super::{Attachment, NamePattern, RecordId, StoredTemplate};
use crate::domain::{ArtifactRun, Micros};

/// A flow: its settings, its tags and its latest activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRecord {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// `public` or `private`.
    pub visibility: String,
    /// What its trails are expected to have.
    pub template: Option<StoredTemplate>,
    /// By key.
    pub tags: BTreeMap<String, String>,
    /// The repository that its latest artifact was built from.
    pub repo_url: Option<String>,
    /// When it was last changed or reported to.
    pub latest_activity_at: Micros,
    /// When a deployment was last announced.
    pub last_deployment_at: Option<Micros>,
    /// The state of its latest trail or artifact; `None` if there is none.
    pub latest_state: Option<State>,
}

/// A trail as a list shows it, without what was reported in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailSummary {
    /// Its name.
    pub name: String,
    /// Its flow.
    pub flow: String,
    /// For people.
    pub description: String,
    /// Its state now.
    pub state: State,
    /// When it was begun.
    pub created_at: Micros,
}

/// A trail with all that was reported in it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrailRecord {
    /// Its name.
    pub name: String,
    /// Its flow.
    pub flow: String,
    /// Tags of the flow.
    pub flow_tags: BTreeMap<String, String>,
    /// The entry that created the flow.
    pub flow_id: RecordId,
    /// A JSON object.
    pub details: String,
    /// Its own template, otherwise the flow's.
    pub template: Option<StoredTemplate>,
    /// The label of the token that began it.
    pub created_by: String,
    /// When it was begun.
    pub created_at: Micros,
    /// When something was last reported of it or in it.
    pub changed_at: Micros,
    /// Its state now.
    pub status: TrailStatus,
    /// The earliest first.
    pub events: Vec<TrailEvent>,
}

/// Something that happened in a trail.
#[derive(Debug, Clone, PartialEq)]
pub struct TrailEvent {
    /// When.
    pub at: Micros,
    /// What.
    pub kind: TrailEventKind,
}

/// What happened in a trail.
#[derive(Debug, Clone, PartialEq)]
pub enum TrailEventKind {
    /// It was begun, with a JSON object.
    Reported(String),
    /// It was changed, with a JSON object.
    Updated(String),
    /// An attestation was reported.
    Attestation(Box<AttestationRecord>),
    /// An artifact was reported.
    Artifact {
        /// The identifier of the report.
        id: RecordId,
        /// Of the artifact.
        fingerprint: String,
        /// Its label.
        name: String,
        /// Its name in the template.
        template_name: Option<String>,
        /// The commit that it was built from.
        commit: String,
    },
    /// An artifact of the trail began to run in an environment, or no longer ran.
    Running {
        /// It began, or its replicas changed; otherwise it ended.
        started: bool,
        /// Of the artifact.
        fingerprint: String,
        /// Its name in the template.
        template_name: Option<String>,
        /// The environment.
        environment: String,
        /// The snapshot with which it happened.
        index: u32,
        /// How many replicas from then on.
        replicas: u64,
    },
}

/// An artifact as a flow reported it, or one that runs and was never reported.
#[derive(Debug, Clone, PartialEq)]
pub struct ArtifactRecord {
    /// 64 lowercase hexadecimal digits.
    pub fingerprint: String,
    /// Its label.
    pub name: String,
    /// What its flow reported; `None` if it was never reported.
    pub report: Option<ReportRecord>,
    /// Announced deployments of it, the earliest first.
    pub deployments: Vec<DeploymentRecord>,
    /// The environments to which any flow announced a deployment of it.
    pub announced_to: BTreeSet<String>,
    /// Attestations that are bound to it, the earliest first.
    pub attestations: Vec<AttestationRecord>,
    /// When and where it ran, by environment and time.
    pub runs: Vec<ArtifactRun>,
}

/// The reports of one artifact by one flow, with the artifact's compliance now.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportRecord {
    /// Its identifier.
    pub id: RecordId,
    /// The flow.
    pub flow: String,
    /// The trail.
    pub trail: Option<String>,
    /// Its name in the template.
    pub template_name: Option<String>,
    /// The commit that it was built from.
    pub commit: String,
    /// A JSON object: all that was reported.
    pub details: String,
    /// When the flow first reported it.
    pub first_reported_at: Micros,
    /// When the flow last reported it.
    pub reported_at: Micros,
    /// Its state now: the worst one of those in the trails that reported it.
    pub state: State,
    /// The trail from which the state follows, if it is not [`Self::trail`].
    pub state_trail: Option<String>,
    /// What is missing for that state, or non-compliant: names of attestations.
    pub problems: Vec<String>,
    /// The template that it is compared with.
    pub template: Option<Arc<StoredTemplate>>,
}

/// An attestation as it was recorded: its results, what it is about, and its file.
#[derive(Debug, Clone, PartialEq)]
pub struct AttestationRecord {
    /// Its identifier.
    pub id: RecordId,
    /// Its type, such as `junit` or `custom:person`.
    pub kind: String,
    /// Its name in the template.
    pub name: String,
    /// The artifact that it is about.
    pub fingerprint: Option<String>,
    /// Names of artifacts in the template that it is about.
    pub targets: Vec<String>,
    /// The commit that it is about.
    pub commit: Option<String>,
    /// `None` if nothing decides it.
    pub is_compliant: Option<bool>,
    /// The attestation whose result it replaces.
    pub overrides: Option<RecordId>,
    /// A JSON object: all that was reported.
    pub details: String,
    /// The file with it.
    pub attachment: Option<Attachment>,
    /// The flow.
    pub flow: String,
    /// The trail.
    pub trail: String,
    /// The label of the token that recorded it.
    pub reported_by: String,
    /// When.
    pub reported_at: Micros,
}

/// A deployment that was announced.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentRecord {
    /// The flow.
    pub flow: String,
    /// Its number in the flow.
    pub number: u32,
    /// The environment's name.
    pub environment: String,
    /// The artifact.
    pub fingerprint: String,
    /// A JSON object: all that was reported.
    pub details: String,
    /// The label of the token that recorded it.
    pub reported_by: String,
    /// When.
    pub reported_at: Micros,
}

/// The start of an artifact of which no flow announced a deployment to the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedDeployment {
    /// The flow that first reported it.
    pub flow: Option<String>,
    /// The environment's name.
    pub environment: String,
    /// The artifact.
    pub fingerprint: String,
    /// Its label.
    pub name: String,
    /// The snapshot with which it started.
    pub index: u32,
    /// When that was recorded.
    pub at: Micros,
}

/// Software that is allowed to run without provenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowanceRecord {
    /// Its identifier.
    pub id: RecordId,
    /// The environment's name; every one if absent.
    pub environment: Option<String>,
    /// 64 lowercase hexadecimal digits; empty if a pattern says it.
    pub fingerprint: String,
    /// For people.
    pub name: String,
    /// With `*` for any characters; empty if a fingerprint says it.
    pub pattern: String,
    /// Why.
    pub reason: String,
    /// The label of the token that recorded it; empty for what is built in.
    pub allowed_by: String,
    /// When; `None` for what is built in.
    pub allowed_at: Option<Micros>,
}

impl AllowanceRecord {
    /// Whether it is for the artifact with this fingerprint, `""` if it is unknown, and this name, in the
    /// environments for which it counts.
    pub fn is_for(&self, fingerprint: &str, name: &str) -> bool {
        if self.pattern.is_empty() {
            !fingerprint.is_empty() && self.fingerprint == fingerprint
        } else {
            NamePattern::new(&self.pattern).matches(name)
        }
    }
}

/// Where a running artifact comes from, as it is known now.
#[derive(Debug, Clone, PartialEq)]
pub struct ArtifactProvenance {
    /// One for each flow that reported it; the one that did first comes first.
    pub flows: Vec<ReportRecord>,
    /// Numbers of announced deployments to this environment, with their flows.
    pub deployments: Vec<(String, u32)>,
    /// When it first started in this environment, in seconds since the Unix epoch.
    pub first_started_at: i64,
    /// What is known of its origin.
    pub origin: Origin,
    /// Why it is allowed, if it is.
    pub allowed: Option<String>,
    /// Its replicas are those of the snapshot before, and a flow reported it between the two.
    pub updated: bool,
}

/// What a search for a commit or a fingerprint found.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchResult {
    /// The fingerprints that begin so.
    pub fingerprints: Vec<String>,
    /// The commits that begin so.
    pub commits: Vec<String>,
    /// The artifacts with these, one for each flow that reported them.
    pub artifacts: Vec<ArtifactRecord>,
}

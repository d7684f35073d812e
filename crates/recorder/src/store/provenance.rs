//! Queries of the store about provenance.

use std::collections::BTreeMap;

use crate::domain::provenance::{
    AllowanceRecord, AllowanceRequest, ArtifactCard, ArtifactRecord, ArtifactReport,
    AttestationRecord, AttestationReport, DeploymentRecord, DeploymentReport, DerivedDeployment,
    FlowRecord, FlowSettings, Saved, SearchResult, TagChange, TrailRecord, TrailReport,
    TrailSummary,
};
use crate::domain::{Error, Head, Micros, Page, SnapshotArtifact};

/// Which flows are listed, and in which order. Every condition has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowFilter {
    /// Part of the name.
    pub name: Option<String>,
    /// The name is compared with its case.
    pub case_sensitive: bool,
    /// Tags that they have, with any value if none is given.
    pub tags: Vec<(String, Option<String>)>,
    /// By latest activity instead of by name.
    pub by_activity: bool,
    /// In descending order.
    pub descending: bool,
}

impl FlowFilter {
    /// Whether a flow with this name and these tags is listed.
    pub fn accepts(&self, name: &str, tags: &BTreeMap<String, String>) -> bool {
        let named = self.name.as_deref().is_none_or(|part| {
            if self.case_sensitive {
                name.contains(part)
            } else {
                name.to_lowercase().contains(&part.to_lowercase())
            }
        });
        named && Self::has_tags(tags, &self.tags)
    }

    /// Whether every wanted tag is among `tags`, with the wanted value if one is given.
    pub fn has_tags(tags: &BTreeMap<String, String>, wanted: &[(String, Option<String>)]) -> bool {
        wanted.iter().all(|(key, value)| {
            tags.get(key).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        })
    }
}

/// Which trails are listed. Every condition has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrailFilter {
    /// The flow's name.
    pub flow: Option<String>,
    /// Tags of the flow, with any value if none is given.
    pub flow_tags: Vec<(String, Option<String>)>,
    /// An artifact with this fingerprint was reported in it.
    pub fingerprint: Option<String>,
}

/// Finds artifacts by the beginning of their fingerprint or commit, in lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactSelector {
    /// The beginning of the fingerprint.
    Fingerprint(String),
    /// The beginning of the commit.
    Commit(String),
}

/// Selects artifacts of a flow. Every condition has to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactQuery {
    /// The flow's name.
    pub flow: String,
    /// By what they are found.
    pub selector: ArtifactSelector,
    /// Only those of this trail.
    pub trail: Option<String>,
    /// Only those that this attestation is about.
    pub attestation: Option<String>,
}

/// Selects attestations: one, or those of a trail, an artifact or a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttestationQuery {
    /// The one with this identifier.
    Id(String),
    /// Those of a name in a trail.
    InTrail {
        /// The flow's name.
        flow: String,
        /// The trail's name.
        trail: String,
        /// The attestation's name.
        name: String,
    },
    /// Those of a name for an artifact of a flow.
    OfArtifact {
        /// The flow's name.
        flow: String,
        /// The beginning of the artifact's fingerprint.
        fingerprint: String,
        /// The attestation's name.
        name: String,
    },
    /// Those of a flow.
    InFlow {
        /// The flow's name.
        flow: String,
    },
}

/// Selects announced deployments by their flow or their environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeploymentQuery {
    /// Those of a flow.
    OfFlow(String),
    /// Those to an environment.
    To(String),
}

/// Storage of flows and of what they reported. That of environments is [`Store`](super::Store).
///
/// A request with the same content as one before it, within ten minutes and with the same token, counts as
/// a retry: it is answered as the first one was, and recorded once. A report to a flow or a trail that does
/// not exist creates it.
pub trait ProvenanceStore: Clone + Send + Sync + 'static {
    /// Creates the flow, or changes its settings.
    fn save_flow(
        &self,
        org: &str,
        settings: FlowSettings,
        actor: &str,
    ) -> impl Future<Output = Result<Saved, Error>> + Send;

    /// Sets and removes tags of a flow.
    fn change_tags(
        &self,
        org: &str,
        flow: &str,
        change: TagChange,
        actor: &str,
    ) -> impl Future<Output = Result<Head, Error>> + Send;

    /// Gives the flow another name. The old one works until another flow takes it.
    fn rename_flow(
        &self,
        org: &str,
        flow: &str,
        new_name: &str,
        actor: &str,
    ) -> impl Future<Output = Result<Head, Error>> + Send;

    /// Archives the flow, which frees its name: it is renamed to `NAME-archived-at-SECONDS`.
    fn archive_flow(
        &self,
        org: &str,
        flow: &str,
        actor: &str,
    ) -> impl Future<Output = Result<Head, Error>> + Send;

    /// Begins the trail, or changes what is known of it.
    fn save_trail(
        &self,
        org: &str,
        flow: &str,
        report: TrailReport,
        actor: &str,
    ) -> impl Future<Output = Result<Saved, Error>> + Send;

    /// Records that the flow built an artifact.
    fn report_artifact(
        &self,
        org: &str,
        flow: &str,
        report: ArtifactReport,
        actor: &str,
    ) -> impl Future<Output = Result<Head, Error>> + Send;

    /// Records evidence (an attestation) for the trail or for artifacts, with its attachment if it has one.
    fn report_attestation(
        &self,
        org: &str,
        flow: &str,
        trail: &str,
        report: AttestationReport,
        actor: &str,
    ) -> impl Future<Output = Result<Head, Error>> + Send;

    /// Records that the flow announced a deployment. Returns its number in the flow.
    fn report_deployment(
        &self,
        org: &str,
        flow: &str,
        report: DeploymentReport,
        actor: &str,
    ) -> impl Future<Output = Result<(u32, Head), Error>> + Send;

    /// Allows artifacts to run that no flow reported.
    fn allow(
        &self,
        org: &str,
        request: AllowanceRequest,
        actor: &str,
    ) -> impl Future<Output = Result<Head, Error>> + Send;

    /// Withdraws the allowance with this identifier.
    fn withdraw_allowance(
        &self,
        org: &str,
        id: &str,
        actor: &str,
    ) -> impl Future<Output = Result<Head, Error>> + Send;

    /// The flow of this name.
    fn flow(&self, org: &str, name: &str)
    -> impl Future<Output = Result<FlowRecord, Error>> + Send;

    /// The flows in use that `filter` holds for, all or one page of them, and how many there are.
    fn flows(
        &self,
        org: &str,
        filter: FlowFilter,
        page: Option<Page>,
    ) -> impl Future<Output = Result<(Vec<FlowRecord>, u64), Error>> + Send;

    /// The trail with all that was reported in it.
    fn trail(
        &self,
        org: &str,
        flow: &str,
        name: &str,
    ) -> impl Future<Output = Result<TrailRecord, Error>> + Send;

    /// A page of the trails that `filter` holds for, the newest first, and how many there are.
    fn trails(
        &self,
        org: &str,
        filter: TrailFilter,
        page: Page,
    ) -> impl Future<Output = Result<(Vec<TrailSummary>, u64), Error>> + Send;

    /// The artifacts that `query` selects, the latest report first.
    ///
    /// # Errors
    /// `query` selects none.
    fn artifacts(
        &self,
        org: &str,
        query: ArtifactQuery,
    ) -> impl Future<Output = Result<Vec<ArtifactRecord>, Error>> + Send;

    /// A page of the artifacts of a flow or a repository, or of all, the latest first, and how many
    /// there are.
    fn list_artifacts(
        &self,
        org: &str,
        flow: Option<&str>,
        repo: Option<&str>,
        page: Page,
    ) -> impl Future<Output = Result<(Vec<ArtifactRecord>, u64), Error>> + Send;

    /// The commit of the flow's latest artifact, on a branch or on any.
    fn latest_commit(
        &self,
        org: &str,
        flow: &str,
        branch: Option<&str>,
    ) -> impl Future<Output = Result<Option<String>, Error>> + Send;

    /// The attestations that `query` selects, the latest first.
    fn attestations(
        &self,
        org: &str,
        query: AttestationQuery,
    ) -> impl Future<Output = Result<Vec<AttestationRecord>, Error>> + Send;

    /// The name and the content of the file that is attached to the attestation with this identifier, if it has
    /// one.
    fn attachment(
        &self,
        org: &str,
        id: &str,
    ) -> impl Future<Output = Result<Option<(String, Vec<u8>)>, Error>> + Send;

    /// The announced deployments that `query` selects, the earliest first.
    fn deployments(
        &self,
        org: &str,
        query: DeploymentQuery,
    ) -> impl Future<Output = Result<Vec<DeploymentRecord>, Error>> + Send;

    /// Starts of artifacts in an environment that were recorded from `from` to `until`, if no flow announced a
    /// deployment of the artifact to the environment: the latest 1,000 of these, the earliest first.
    fn derived_deployments(
        &self,
        org: &str,
        environment: &str,
        from: Micros,
        until: Micros,
    ) -> impl Future<Output = Result<Vec<DerivedDeployment>, Error>> + Send;

    /// The allowances to run without provenance that were not withdrawn, the earliest first.
    fn allowances(
        &self,
        org: &str,
    ) -> impl Future<Output = Result<Vec<AllowanceRecord>, Error>> + Send;

    /// The fingerprints and commits that begin with these lowercase hexadecimal digits, and their artifacts.
    fn search(
        &self,
        org: &str,
        digits: &str,
    ) -> impl Future<Output = Result<SearchResult, Error>> + Send;

    /// Whether a flow of the organization ever reported an artifact. If not, that artifacts run without
    /// provenance has no significance.
    fn has_provenance(&self, org: &str) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Returns these artifacts of an environment in the same order, each with its provenance.
    fn add_provenance(
        &self,
        org: &str,
        environment: &str,
        artifacts: Vec<SnapshotArtifact>,
    ) -> impl Future<Output = Result<Vec<SnapshotArtifact>, Error>> + Send;

    /// Everything that is known of the artifact with this fingerprint.
    fn artifact_card(
        &self,
        org: &str,
        fingerprint: &str,
    ) -> impl Future<Output = Result<ArtifactCard, Error>> + Send;

    /// The artifacts with a name that contains `text`, in any case: at most `most`, the latest first, and
    /// whether there are more. An artifact whose fingerprint is not known has an empty one.
    fn artifacts_by_name(
        &self,
        org: &str,
        text: &str,
        most: usize,
    ) -> impl Future<Output = Result<(Vec<ArtifactRecord>, bool), Error>> + Send;
}

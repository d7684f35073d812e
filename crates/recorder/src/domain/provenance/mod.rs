//! Where software comes from: flows, trails, artifacts, evidence, deployments, and what is allowed
//! without any.

mod allowance;
mod card;
mod details;
mod id;
mod kind;
mod payload;
mod records;
mod requests;

pub use allowance::{BUILT_IN_ALLOWANCES, NamePattern, built_in_allowance};
pub use card::{ArtifactCard, ArtifactEvent, artifact_events, continuous_runs, is_started};
pub use details::{Details, fields};
pub use id::{ParseRecordIdError, RecordId};
pub use kind::{ATTESTATION_KINDS, AttestationKind};
#[cfg(test)]
pub(crate) use payload::example_payloads;
pub use payload::{
    AllowanceWithdrawn, Allowed, ArtifactReported, Attachment, AttestationReported,
    DeploymentReported, FlowArchived, FlowChanged, FlowCreated, FlowRenamed, StoredTemplate,
    TrailBegun, TrailChanged,
};
pub use records::{
    AllowanceRecord, ArtifactProvenance, ArtifactRecord, AttestationRecord, DeploymentRecord,
    DerivedDeployment, FlowRecord, ReportRecord, SearchResult, TrailEvent, TrailEventKind,
    TrailRecord, TrailSummary,
};
pub use requests::{
    AllowanceRequest, ArtifactReport, AttachmentFile, AttestationReport, DeploymentReport,
    FlowSettings, Saved, TagChange, TrailReport,
};

//! Where software comes from, and the rules by which it is judged.

mod compliance;
mod origin;
mod template;

pub use compliance::{
    ArtifactStatus, AttestationStatus, ReportedArtifact, ReportedAttestation, State, TrailStatus,
    artifact_status, trail_status,
};
pub use origin::{Origin, origin};
pub use template::{ANY_TYPE, ExpectedArtifact, ExpectedAttestation, Template, TrailTemplate};

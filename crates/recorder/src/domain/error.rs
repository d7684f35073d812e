//! Everything that can go wrong with a request.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ClockError;

/// When it is worth another try after there was too much to do.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why a request was not done. Nothing of it is in the store, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No environment in use has this name.
    #[error("Environment named '{name}' does not exist for organization '{org}'")]
    EnvironmentNotFound {
        /// The organization.
        org: String,
        /// The name that was asked for.
        name: String,
    },
    /// The environment is of another type than the request needs.
    #[error(
        "Environment named '{name}' for organization '{org}' is of type '{actual}', not '{wanted}'"
    )]
    EnvironmentTypeMismatch {
        /// The organization.
        org: String,
        /// The environment.
        name: String,
        /// Its type.
        actual: String,
        /// The type of the request.
        wanted: String,
    },
    /// Another environment has the name.
    #[error(
        "Environment named '{name}' already exists for organization '{org}'{}",
        if *archived { ", and is archived" } else { "" }
    )]
    EnvironmentNameTaken {
        /// The organization.
        org: String,
        /// The name.
        name: String,
        /// The other one is archived.
        archived: bool,
    },
    /// The environment has no snapshot with this index.
    #[error(
        "Org: '{org}'. Snapshot '{snapshot}' resolves to '{environment}#{index}'. \
         len(snapshots) == {count}. Indexes are 1-based"
    )]
    SnapshotNotFound {
        /// The organization.
        org: String,
        /// As it was asked for.
        snapshot: String,
        /// The environment.
        environment: String,
        /// What the expression came to.
        index: i64,
        /// How many snapshots there are.
        count: u32,
    },
    /// The latest snapshot is another one than the report was compared with.
    #[error(
        "The latest snapshot is #{actual}, and not #{expected} as If-Match says: nothing was recorded"
    )]
    LatestSnapshotMoved {
        /// The index that the report named.
        expected: u32,
        /// The index that it has.
        actual: u32,
    },
    /// The report says more than a snapshot may hold.
    #[error(
        "The report is too large: a snapshot may hold {most} {of}, and this one would hold {found}. \
         Report the clusters to several environments"
    )]
    ReportTooLarge {
        /// What there is too much of.
        of: &'static str,
        /// How much there may be.
        most: usize,
        /// How much there is, as far as it was counted.
        found: usize,
    },
    /// No flow in use has this name.
    #[error("Flow named '{name}' does not exist for organization '{org}'")]
    FlowNotFound {
        /// The organization.
        org: String,
        /// The name that was asked for.
        name: String,
    },
    /// Another flow has the name.
    #[error("Flow named '{name}' already exists for organization '{org}'")]
    FlowNameTaken {
        /// The organization.
        org: String,
        /// The name.
        name: String,
    },
    /// A list of the organization's flows would be longer than what clients read.
    #[error(
        "The flows of organization '{org}' would take more than {most} bytes, which is the most that a \
         list of them may: shorten descriptions and templates, or archive flows"
    )]
    TooManyFlows {
        /// The organization.
        org: String,
        /// How much they may take.
        most: usize,
    },
    /// The flow has no trail of this name.
    #[error("Trail with name '{name}' does not exist for Organization '{org}' and Flow '{flow}'")]
    TrailNotFound {
        /// The organization.
        org: String,
        /// The flow.
        flow: String,
        /// The name that was asked for.
        name: String,
    },
    /// The flow has not reported such an artifact.
    #[error(
        "Artifact with {artifact} does not exist in flow '{flow}' belonging to organization '{org}'"
    )]
    ArtifactNotFound {
        /// The organization.
        org: String,
        /// The flow.
        flow: String,
        /// What was asked for, as `fingerprint 'ab…'`.
        artifact: String,
    },
    /// An attestation is about an artifact that was not reported in its trail.
    #[error(
        "Artifact with fingerprint {fingerprint} does not exist in trail \"{trail}\" of flow \"{flow}\" \
         belonging to organization \"{org}\""
    )]
    ArtifactNotInTrail {
        /// The organization.
        org: String,
        /// The flow.
        flow: String,
        /// The trail.
        trail: String,
        /// Of the artifact.
        fingerprint: String,
    },
    /// There is nothing that an override could replace.
    #[error(
        "Attestation named '{name}' does not exist in trail '{trail}' belonging to organization '{org}': \
         there is nothing to override"
    )]
    AttestationNotFound {
        /// The organization.
        org: String,
        /// The trail.
        trail: String,
        /// Of the attestation.
        name: String,
    },
    /// There is no attestation with this identifier, or no file with it.
    #[error("Attestation '{id}' has no attached file")]
    AttachmentNotFound {
        /// Of the attestation.
        id: String,
    },
    /// Nothing was allowed under this identifier.
    #[error("Allowance '{id}' does not exist for organization '{org}'")]
    AllowanceNotFound {
        /// The organization.
        org: String,
        /// As it was given.
        id: String,
    },
    /// A search found nothing.
    #[error("No matches for '{text}'.")]
    NoMatches {
        /// What was searched for.
        text: String,
    },
    /// More is found than one answer holds.
    #[error("More than {most} matches are found: give more digits, or a page")]
    TooManyMatches {
        /// How many there may be.
        most: usize,
    },
    /// The recorder does not keep what the request is about.
    #[error("This recorder does not keep {what}")]
    NotSupported {
        /// What is not kept.
        what: &'static str,
    },
    /// A list of the organization's environments would be longer than what clients read.
    #[error(
        "The environments of organization '{org}' would take more than {most} bytes, which is the \
         most that a list of them may: shorten descriptions, or use another organization"
    )]
    TooManyEnvironments {
        /// The organization.
        org: String,
        /// How much they may take.
        most: usize,
    },
    /// The request breaks the schema.
    #[error("Input payload validation failed")]
    Invalid {
        /// What is wrong, by the path of the field or the name of the parameter.
        errors: BTreeMap<String, String>,
    },
    /// The request cannot be understood.
    #[error("{message}")]
    BadRequest {
        /// A sentence.
        message: String,
    },
    /// More runs are asked for than one answer holds.
    #[error(
        "More than {most} times are found in which such artifacts ran: name one environment, or less \
         than a pattern that many artifacts match"
    )]
    TooManyRuns {
        /// How many there may be.
        most: usize,
    },
    /// The request is over a limit.
    #[error("{message}")]
    TooLarge {
        /// A sentence that names the limit.
        message: String,
    },
    /// There is nothing at this address.
    #[error("There is nothing here")]
    NoSuchAddress,
    /// The request did not arrive in time.
    #[error("The request body took too long")]
    RequestTimeout,
    /// It was not done, and may be later.
    #[error("{message}")]
    Unavailable {
        /// A sentence.
        message: String,
        /// When it is worth another try.
        retry_after: Duration,
    },
    /// A defect of the recorder, which its log has.
    #[error("The recorder met a fault of its own; its log says which")]
    Fault,
    /// The token is none that is known.
    #[error("You don't have permission to access this resource")]
    InvalidToken,
    /// The request came by a name that is not the recorder's own.
    #[error("Without a token file the recorder answers to localhost, 127.0.0.1 and [::1] only")]
    HostNotAllowed,
    /// The token does not allow it.
    #[error("You don't have permission to access this resource")]
    Forbidden,
    /// More is waiting to be written than can be in a reasonable time.
    #[error("Too many reports wait to be recorded: try again later")]
    Busy {
        /// When it is worth another try.
        retry_after: Duration,
    },
    /// There is no time to record it with.
    #[error("cannot {operation}")]
    ClockIsWrong {
        /// What was to be done, and to what.
        operation: String,
        /// What is wrong with the clock.
        #[source]
        source: ClockError,
    },
    /// The store could not do it.
    #[error("cannot {operation}")]
    Storage {
        /// What was to be done, and to what.
        operation: String,
        /// What kind of failure it is.
        kind: StorageErrorKind,
        /// What the engine says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What a failure of the store means for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageErrorKind {
    /// Another process holds the store at the moment.
    Locked,
    /// There is no room.
    Full,
    /// Anything else.
    Failed,
}

impl Error {
    /// See [`Error::BadRequest`].
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::BadRequest { message: message.into() }
    }

    /// See [`Error::TooLarge`].
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::TooLarge { message: message.into() }
    }

    /// Not now: there is too much to do, or the recorder is not ready.
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into(), retry_after: RETRY_AFTER }
    }

    /// What is wrong with each field, if it is [`Error::Invalid`].
    #[cfg(test)]
    pub(crate) fn errors(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        match self {
            Self::Invalid { errors } => errors,
            _ => &NONE,
        }
    }
}

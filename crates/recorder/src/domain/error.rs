//! The recorder's error type.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ClockError;

/// The `Retry-After` of a request that was refused because of load.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why a request failed. Unless a variant says otherwise, nothing of it is stored.
///
/// The messages are bodies of responses, and begin with a capital as those of the hosted server do, whose
/// wording some of them have.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No environment in use has this name.
    #[error(
        "Environment named '{name}' does not exist for organization '{org}'{}",
        if *archived { ": it is archived" } else { "" }
    )]
    EnvironmentNotFound {
        org: String,
        name: String,
        /// One of this name is archived.
        archived: bool,
    },
    /// The environment is of another type than the request needs.
    #[error(
        "Environment named '{name}' for organization '{org}' is of type '{actual}', not '{wanted}'"
    )]
    EnvironmentTypeMismatch { org: String, name: String, actual: String, wanted: String },
    /// Another environment has the name.
    #[error(
        "Environment named '{name}' already exists for organization '{org}'{}",
        if *archived { ", and is archived" } else { "" }
    )]
    EnvironmentNameTaken {
        org: String,
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
        org: String,
        /// The expression in the request.
        snapshot: String,
        environment: String,
        /// The index that the expression resolved to.
        index: i64,
        /// How many snapshots there are.
        count: u32,
    },
    /// The latest snapshot is not the one that the report was compared with.
    #[error(
        "The latest snapshot is #{actual}, not #{expected} as in If-Match: nothing was recorded"
    )]
    LatestSnapshotMoved {
        expected: u32,
        /// The index of the latest snapshot.
        actual: u32,
    },
    /// The report exceeds a limit of snapshots.
    #[error(
        "The report is too large: a snapshot may hold {most} {of}, and this one would hold {found}. \
         Report the clusters to several environments"
    )]
    ReportTooLarge {
        /// What exceeds the limit, such as `artifacts`.
        of: &'static str,
        most: usize,
        /// The count when the limit was exceeded; there may be more.
        found: usize,
    },
    /// No flow in use has this name.
    #[error("Flow named '{name}' does not exist for organization '{org}'")]
    FlowNotFound { org: String, name: String },
    /// Another flow has the name.
    #[error("Flow named '{name}' already exists for organization '{org}'")]
    FlowNameTaken { org: String, name: String },
    /// The list of the organization's flows would exceed what clients accept.
    #[error(
        "The flows of organization '{org}' would take more than {most} bytes in a list, which is \
         the limit. Shorten descriptions and templates, or archive flows"
    )]
    TooManyFlows { org: String, most: usize },
    /// The flow has no trail of this name.
    #[error("Trail with name '{name}' does not exist for Organization '{org}' and Flow '{flow}'")]
    TrailNotFound { org: String, flow: String, name: String },
    /// The flow is archived.
    #[error(
        "Flow '{name}' of organization '{org}' is archived: it can be read, and nothing can be reported \
         to it. Report to a flow in use, or create one under another name"
    )]
    FlowArchived { org: String, name: String },
    /// The artifact was not reported to the flow.
    #[error(
        "Artifact with {artifact} does not exist in flow '{flow}' belonging to organization '{org}'"
    )]
    ArtifactNotFound {
        org: String,
        flow: String,
        /// The criterion, such as `fingerprint 'ab…'`.
        artifact: String,
    },
    /// An attestation names an artifact that was not reported in its trail.
    #[error(
        "Artifact with fingerprint {fingerprint} does not exist in trail \"{trail}\" of flow \"{flow}\" \
         belonging to organization \"{org}\""
    )]
    ArtifactNotInTrail { org: String, flow: String, trail: String, fingerprint: String },
    /// There is no attestation to override.
    #[error(
        "Attestation named '{name}' does not exist in trail '{trail}' belonging to organization '{org}': \
         there is nothing to override"
    )]
    AttestationNotFound { org: String, trail: String, name: String },
    /// There is no attestation with this identifier, or no file with it.
    #[error("Attestation '{id}' has no attached file")]
    AttachmentNotFound { id: String },
    /// A file is not what was reported.
    #[error(
        "The file with attestation '{id}' is damaged: it does not have its SHA-256, {sha256}. Report the \
         same file again to store it anew"
    )]
    AttachmentDamaged { id: String, sha256: String },
    /// Nothing was allowed under this identifier.
    #[error("Allowance '{id}' does not exist for organization '{org}'")]
    AllowanceNotFound { org: String, id: String },
    /// A search found nothing.
    #[error("No matches for '{text}'.")]
    NoMatches { text: String },
    /// There are more matches than one response can hold.
    #[error("More than {most} matches. Give more digits, or request a page")]
    TooManyMatches { most: usize },
    /// The recorder does not support this.
    #[error("This recorder does not keep {what}")]
    NotSupported { what: &'static str },
    /// The list of the organization's environments would exceed what clients accept.
    #[error(
        "The environments of organization '{org}' would take more than {most} bytes in a list, \
         which is the limit. Shorten descriptions, or use another organization"
    )]
    TooManyEnvironments { org: String, most: usize },
    /// The request does not match the schema.
    #[error("Input payload validation failed")]
    Invalid {
        /// The problems by field path or parameter name.
        errors: BTreeMap<String, String>,
    },
    /// The request cannot be understood.
    #[error("{message}")]
    BadRequest { message: String },
    /// More runs match than one response can hold.
    #[error("More than {most} runs match. Name one environment, or a narrower pattern")]
    TooManyRuns { most: usize },
    /// The request is over a limit.
    #[error("{message}")]
    TooLarge {
        /// A sentence that names the limit.
        message: String,
    },
    /// No route matches.
    #[error("There is nothing here")]
    NoSuchAddress,
    /// The request did not arrive in time.
    #[error("The request body took too long")]
    RequestTimeout,
    /// The request failed for now and can be retried.
    #[error("{message}")]
    Unavailable {
        message: String,
        /// The `Retry-After`.
        retry_after: Duration,
    },
    /// A bug in the recorder; the log has the details.
    #[error("Internal error: the recorder's log has the details")]
    Fault,
    /// The token is missing or unknown.
    #[error("You don't have permission to access this resource")]
    InvalidToken,
    /// The `Host` header does not name this host.
    #[error("Without a token file the recorder answers to localhost, 127.0.0.1 and [::1] only")]
    HostNotAllowed,
    /// A page of another website made the request.
    #[error(
        "A browser sent this request for a page of another website, which may not change anything here: \
         its Sec-Fetch-Site is not same-origin, or its Origin is not the Host"
    )]
    CrossSiteWrite,
    /// The token does not allow it.
    #[error("You don't have permission to access this resource")]
    Forbidden,
    /// Too many writes are queued.
    #[error("Too many reports wait to be recorded: try again later")]
    Busy {
        /// The `Retry-After`.
        retry_after: Duration,
    },
    /// The clock is not plausible, so that nothing can be dated.
    #[error("cannot {operation}")]
    ClockIsWrong {
        /// The operation and its target, such as `read environment 'aws-prod'`.
        operation: String,
        #[source]
        source: ClockError,
    },
    /// The storage engine failed.
    #[error("cannot {operation}")]
    Storage {
        /// The operation and its target, such as `read environment 'aws-prod'`.
        operation: String,
        /// The kind, which decides the status.
        kind: StorageErrorKind,
        /// The engine's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The kinds of storage failure that clients have to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageErrorKind {
    /// Another process holds a lock on the store.
    Locked,
    /// There is no room.
    Full,
    /// Anything else.
    Failed,
}

impl Error {
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::BadRequest { message: message.into() }
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::TooLarge { message: message.into() }
    }

    /// A request that is refused because of load and can be retried.
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into(), retry_after: RETRY_AFTER }
    }

    /// The problem of each field, if this is [`Error::Invalid`].
    #[cfg(test)]
    pub(crate) fn errors(&self) -> &BTreeMap<String, String> {
        static NO_ERRORS: BTreeMap<String, String> = BTreeMap::new();
        match self {
            Self::Invalid { errors } => errors,
            _ => &NO_ERRORS,
        }
    }
}

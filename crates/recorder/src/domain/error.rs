//! Everything that can go wrong with a request.

use std::time::Duration;

use super::ClockError;

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
    #[error("the latest snapshot is #{actual}, not #{expected}: read again what runs")]
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
    /// The token does not allow it.
    #[error("You don't have permission to access this resource")]
    NotAllowed,
    /// More is waiting to be written than can be in a reasonable time.
    #[error("too many reports wait to be recorded: try again later")]
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

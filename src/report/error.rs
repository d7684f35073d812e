//! Why there is no report.

use super::ErrorKind;
use crate::api::{ApiError, BuildClientError};
use crate::ecs::{CallError, EcsError};

/// Why an environment could not be reported.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// What runs could not be read.
    #[error(transparent)]
    Ecs(#[from] EcsError),
    /// What is in scope does not exist in the account and region that were read.
    #[error("{source} ({place})")]
    NotFoundAt {
        /// What does not exist.
        source: EcsError,
        /// The account and region.
        place: String,
    },
    /// The server did not do its part.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The environment is of another type.
    #[error("Environment \"{environment}\" is of type {found} on the server, and should be ECS")]
    NotEcs {
        /// Its name.
        environment: String,
        /// Its type.
        found: String,
    },
    /// Each time that it had been read, another process had recorded a snapshot meanwhile.
    #[error(
        "environment \"{environment}\" was read {readings} times, and each time another process \
         recorded a snapshot of it meanwhile, so that nothing was posted"
    )]
    Overtaken {
        /// Its name.
        environment: String,
        /// How often it was read.
        readings: usize,
    },
    /// Lambda would have ended the function within a second.
    #[error("There was no time left to {0}")]
    DeadlineExceeded(&'static str),
}

impl ReportError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFoundAt { source, .. } => source.into(),
            Self::Ecs(error) => error.into(),
            Self::Api(error) => error.into(),
            Self::NotEcs { .. } => ErrorKind::WrongType,
            Self::Overtaken { .. } => ErrorKind::Overtaken,
            Self::DeadlineExceeded(_) => ErrorKind::DeadlineExceeded,
        }
    }
}

impl From<&EcsError> for ErrorKind {
    fn from(error: &EcsError) -> Self {
        match error {
            EcsError::NothingInScope(_) => Self::NothingInScope,
            EcsError::ClusterNotFound { .. }
            | EcsError::Call { source: CallError::ClusterNotFound, .. } => Self::ClusterNotFound,
            EcsError::Call { source, .. } => match source {
                CallError::AccessDenied(_) => Self::CallDenied,
                CallError::BadCredentials(_) => Self::BadCredentials,
                CallError::RoleNotAssumed { .. } => Self::RoleNotAssumed,
                CallError::Throttled(_) => Self::Throttled,
                CallError::ClockSkew(_) => Self::WrongClock,
                CallError::OutOfTime => Self::DeadlineExceeded,
                _ => Self::EcsUnavailable,
            },
            EcsError::Contradiction { .. } => Self::Contradiction,
        }
    }
}

/// Why nothing can be reported at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody says which AWS region to read.
    #[error("AWS_REGION is not set, and no profile names a region: it should be the one to read.")]
    NoRegion,
    /// A cluster is given by an ARN of another region or account than the one that is read.
    #[error(
        "Environment \"{environment}\" names cluster {cluster}, but is read in {read}: give a \
         cluster of that, or the region and role_arn to read it by in ENVIRONMENTS."
    )]
    WrongLocation {
        /// The environment's name.
        environment: String,
        /// As it was given.
        cluster: String,
        /// The region or account that is read.
        read: String,
    },
    /// The environments that are configured in SSM could not be read.
    #[error(
        "SSM did not return the environments under ENVIRONMENTS_SSM_PATH={path}: {reason}. Check the \
         path, and that the function's role allows ssm:GetParametersByPath on it"
    )]
    EnvironmentsUnavailable {
        /// The path.
        path: String,
        /// What came back.
        reason: String,
    },
    /// The server's client could not be set up.
    #[error(transparent)]
    Client(#[from] BuildClientError),
}

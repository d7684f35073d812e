//! Errors of a report.

use super::ErrorKind;
use crate::api::{ApiError, BuildClientError};
use crate::ecs::{CallError, EcsError};

/// Why an environment could not be reported.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error(transparent)]
    Ecs(#[from] EcsError),
    /// A named resource does not exist in the account and region that were read.
    #[error("{source} ({place})")]
    NotFoundAt { source: EcsError, place: String },
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The environment on the server is of another type.
    #[error("environment \"{environment}\" is of type {found} on the server, and should be ECS")]
    NotEcs { environment: String, found: String },
    /// In each reading, another process recorded a snapshot meanwhile.
    #[error(
        "environment \"{environment}\" was read {readings} times, and each time another process \
         recorded a snapshot of it meanwhile, so that nothing was posted"
    )]
    Overtaken { environment: String, readings: usize },
    /// The deadline came, a second before Lambda would have ended the function.
    #[error("no time was left to {0}")]
    DeadlineExceeded(&'static str),
}

impl ReportError {
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
    /// No region is configured.
    #[error(
        "no region is configured: AWS_REGION is not set, and no profile has one. Set it to the region to read"
    )]
    NoRegion,
    /// A cluster's ARN is of another region or account than the one that is read.
    #[error(
        "environment \"{environment}\" names cluster {cluster}, but is read in {read}. Name a \
         cluster of that, or set region and role_arn in ENVIRONMENTS"
    )]
    WrongLocation {
        environment: String,
        /// As it was given.
        cluster: String,
        /// The region or account that is read.
        read: String,
    },
    /// The environments in SSM could not be read.
    #[error(
        "SSM did not return the environments under ENVIRONMENTS_SSM_PATH={path}: {reason}. Check the \
         path, and that the function's role allows ssm:GetParametersByPath on it"
    )]
    EnvironmentsUnavailable { path: String, reason: String },
    #[error(transparent)]
    Client(#[from] BuildClientError),
}

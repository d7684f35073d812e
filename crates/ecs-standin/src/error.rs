//! Errors in the wording of AWS.

use super::operation::Operation;

/// An error response of ECS: a status, and a body with `__type` and `message`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct ApiError {
    pub(super) status: u16,
    /// The `__type`, which SDKs distinguish errors by.
    pub(super) code: String,
    pub(super) message: String,
}

impl ApiError {
    fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.to_owned(), message: message.into() }
    }

    pub(super) fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::bad_request("InvalidParameterException", message)
    }

    pub(super) fn cluster_not_found() -> Self {
        Self::bad_request("ClusterNotFoundException", "Cluster not found.")
    }

    pub(super) fn service_not_found() -> Self {
        Self::bad_request("ServiceNotFoundException", "Service not found.")
    }

    pub(super) fn serialization_error(message: impl Into<String>) -> Self {
        Self::bad_request("SerializationException", message)
    }

    pub(super) fn unknown_operation(message: impl Into<String>) -> Self {
        Self::bad_request("UnknownOperationException", message)
    }

    /// `resource` is an ARN, or `*` if IAM has no narrower resource for the action.
    pub(super) fn access_denied(account: &str, operation: Operation, resource: &str) -> Self {
        Self::bad_request(
            "AccessDeniedException",
            format!(
                "User: arn:aws:sts::{account}:assumed-role/envsnap/envsnap is not authorized to \
                 perform: ecs:{operation} on resource: {resource} because no identity-based \
                 policy allows the ecs:{operation} action"
            ),
        )
    }
}

//! Translates errors of the AWS SDK.

use std::time::SystemTime;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;

use super::super::CallError;
use super::answer_limit::is_response_too_large;
use crate::clock_skew::ClockSkew;
use crate::endpoint::Endpoint;
use envsnap_model::error_chain;

/// The error of a call to `endpoint`, with the role `role` or that of the process.
pub(super) fn from_sdk_error<E>(
    error: &SdkError<E>,
    role: Option<&str>,
    endpoint: &Endpoint,
) -> CallError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if let Some(skew) = clock_skew(error) {
        return CallError::ClockSkew(skew);
    }
    let code = error.code().unwrap_or_default();
    let message = match error.message() {
        Some(message) => format!("{code}: {message}").trim_end_matches('.').to_owned(),
        None => code.to_owned(),
    };
    match code {
        _ if is_throttling(code) => CallError::Throttled(message),
        "ClusterNotFoundException" => CallError::ClusterNotFound,
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => {
            CallError::AccessDenied(message)
        }
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "InvalidClientTokenId"
        | "IncompleteSignature"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "MissingAuthenticationTokenException" => CallError::BadCredentials(message),
        "" => from_error_without_code(error, role, endpoint),
        _ if is_service_fault(error) => CallError::Unavailable(format!("{endpoint}: {message}")),
        _ => CallError::Rejected(message),
    }
}

/// The error of a call if AWS returned no error code: of the credentials, the connection or the
/// response.
fn from_error_without_code<E: std::error::Error + 'static>(
    error: &SdkError<E>,
    role: Option<&str>,
    endpoint: &Endpoint,
) -> CallError {
    if let Some(error) = credentials_error(error) {
        if let Some(skew) = assume_role_error(error).and_then(clock_skew) {
            return CallError::ClockSkew(skew);
        }
        let reason = error_chain(error).trim_end_matches('.').to_owned();
        return match role {
            Some(role) if is_transient_sts_error(error) => {
                CallError::Unavailable(format!("role {role} cannot be assumed now: {reason}"))
            }
            Some(role) => CallError::RoleNotAssumed { role: role.to_owned(), reason },
            None => CallError::BadCredentials(reason),
        };
    }
    let reason = error_chain(error);
    let Some(response) = error.raw_response() else {
        return match error {
            // The SDK has no kind for a connection that is closed during a request.
            SdkError::DispatchFailure(failure) if !failure.is_timeout() && !failure.is_user() => {
                CallError::Disconnected(reason)
            }
            _ => CallError::Unavailable(reason),
        };
    };
    let status = response.status();
    let message = format!("{endpoint}: status {}: {reason}", status.as_u16());
    match status.as_u16() {
        429 => CallError::Throttled(message),
        _ if is_response_too_large(error) => {
            CallError::Malformed(format!("{endpoint}: it is larger than any of ECS"))
        }
        _ if status.is_server_error() => CallError::Unavailable(message),
        _ => CallError::Malformed(message),
    }
}

fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "ThrottlingException"
            | "Throttling"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "RequestThrottledException"
            | "SlowDown"
    )
}

/// Whether the status of the response says that the service is at fault (5xx).
fn is_service_fault<E>(error: &SdkError<E>) -> bool {
    error.raw_response().is_some_and(|response| response.status().is_server_error())
}

/// The error of the credentials provider, if the request could not be signed.
fn credentials_error<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
        .find(|error| error.is::<CredentialsError>())
}

/// Whether STS did not refuse the role, but was throttling, at fault or unreachable: it may return the
/// credentials later.
fn is_transient_sts_error(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(CredentialsError::ProviderTimedOut(_)) = error.downcast_ref() {
        return true;
    }
    assume_role_error(error).is_some_and(|message| match message {
        SdkError::ServiceError(refused) => {
            is_throttling(refused.err().code().unwrap_or_default()) || is_service_fault(message)
        }
        SdkError::ConstructionFailure(_) => false,
        _ => true,
    })
}

/// The response of STS to a request for the role's credentials.
fn assume_role_error<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a SdkError<AssumeRoleError>> {
    error.source()?.downcast_ref()
}

/// How far the clock is off, if AWS refused the time in the request's signature.
fn clock_skew<E>(error: &SdkError<E>) -> Option<ClockSkew>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let date = error.raw_response().and_then(|response| response.headers().get("date"));
    ClockSkew::from_error(error.code(), error.message(), date, SystemTime::now())
}

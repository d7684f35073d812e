//! Calls of the API about what the recorder does not keep.

use axum::Router;
use axum::body::Body;
use axum::routing::any;

use crate::domain::Error;
use crate::http::request::discard;

/// The paths of the hosted server's API about records that the recorder does not keep, and what they are
/// about.
const NOT_KEPT: [(&str, &str); 25] = [
    ("/policies/{org}", "policies"),
    ("/policies/{org}/{name}", "policies"),
    ("/environments/{org}/{environment}/policies", "policies"),
    ("/environments/{org}/{environment}/auditlog", "audit logs of environments"),
    ("/environments/{org}/{environment}/deployments", "deployments below their environment"),
    ("/asserts/{org}/{*rest}", "policies, by which something could be asserted"),
    ("/controls/{org}", "controls"),
    ("/controls/{org}/{*rest}", "controls"),
    ("/repos/{org}", "repositories"),
    ("/repos/{org}/{*rest}", "repositories"),
    ("/custom-attestation-types/{org}", "custom attestation types"),
    ("/custom-attestation-types/{org}/{*rest}", "custom attestation types"),
    ("/tags/{org}/env/{name}", "tags of environments"),
    ("/tags/{org}/envs/{name}", "tags of environments"),
    ("/tags/{org}/environment/{name}", "tags of environments"),
    ("/tags/{org}/environments/{name}", "tags of environments"),
    ("/tags/{org}/control/{name}", "controls"),
    ("/tags/{org}/controls/{name}", "controls"),
    ("/tags/{org}/repo/{*name}", "repositories"),
    ("/tags/{org}/repos/{*name}", "repositories"),
    ("/environments/{org}/{environment}/join", "logical environments that are joined one by one"),
    ("/trails/{org}/{flow}/{trail}/audit_package", "audit packages"),
    ("/trails/{org}/{flow}/{trail}/audit_pdf", "audit packages"),
    ("/artifacts/{org}/{flow}/{fingerprint}/audit_package", "audit packages"),
    ("/actions/{org}/environments", "actions"),
];

/// Routes that respond with 501: the recorder does not keep such records.
pub(in super::super) fn not_kept<S: Clone + Send + Sync + 'static>() -> Router<S> {
    NOT_KEPT.into_iter().fold(Router::new(), |calls, (address, what)| {
        let refuse = move |body: Body| async move {
            discard(body.into_data_stream()).await;
            Error::NotSupported { what }
        };
        calls.route(address, any(refuse))
    })
}

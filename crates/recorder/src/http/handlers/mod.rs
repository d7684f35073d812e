//! The API's handlers and routes.

mod comparison;
mod environments;
mod history;
mod ledger;
mod openapi;
mod operations;
mod paging;
mod provenance;
mod snapshots;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::middleware::{from_fn_with_state, map_response, map_response_with_state};
use axum::response::Response;
use axum::routing::{get, put};
use axum::{Extension, Router};

use envsnap_model::wire::{ACCEPTS, ARTIFACT_RUNS, HEAD, IF_MATCH, ORIGIN, is_environment_name};

use super::access::{Access, Action, Guard, guard};
use crate::domain::{Error, Head, MAX_ORG_NAME_BYTES, SignedHead};
use crate::signing::HeadSigner;
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;

use super::error::quote;

pub(crate) use operations::Operations;

/// The routes of the API below `/api/v2`, with access control.
pub(crate) fn api<S: Store + ProvenanceStore>(
    access: &Access,
    signer: Option<HeadSigner>,
) -> Router<S> {
    let guarded = |calls: Router<S>, get, put| {
        calls.route_layer(from_fn_with_state(Guard::new(access, get, put), guard))
    };
    let environment = "/environments/{org}/{environment}";
    let calls = Router::new()
        .route(&format!("{environment}/rename"), put(environments::rename::<S>))
        .route(&format!("{environment}/archive"), put(environments::archive::<S>))
        .route(&format!("{environment}/events"), get(history::events::<S>))
        .route("/snapshots/{org}/{environment}", get(history::snapshots::<S>))
        .route("/snapshots/{org}/{environment}/{expression}", get(snapshots::show::<S>))
        .route("/env-diff/{org}", get(comparison::compare::<S>))
        .route("/artifact-runs/{org}", get(history::artifact_runs::<S>))
        .route("/ledger/{org}/head", get(ledger::head::<S>))
        .route("/ledger/{org}/entries", get(ledger::entries::<S>));
    let described = Router::new()
        .route(environment, get(environments::show::<S>).patch(environments::change::<S>));
    let saved = Router::new()
        .route("/environments/{org}", put(environments::save::<S>).get(environments::list::<S>));
    let reported =
        Router::new().route(&format!("{environment}/report/ECS"), put(snapshots::report::<S>));
    let calls = calls.merge(provenance::read_and_write_routes()).merge(provenance::not_kept());
    let attested = provenance::report_routes();
    let job_queries = provenance::job_query_routes();
    let calls = guarded(calls, Action::Read, Action::Write)
        .merge(guarded(described, Action::ReadForReport, Action::Write))
        .merge(guarded(saved, Action::Read, Action::SaveEnvironment))
        .merge(guarded(reported, Action::Read, Action::Report))
        .merge(guarded(attested, Action::Read, Action::Attest))
        .merge(guarded(job_queries, Action::ReadForJob, Action::Attest))
        .layer(map_response_with_state(signer.clone(), with_signature))
        .layer(Extension(signer))
        .layer(map_response(with_extensions));
    Router::new().nest("/api/v2", calls)
}

/// # Errors
/// The name is not valid.
pub(crate) fn check_org_name(org: &str) -> Result<(), Error> {
    if is_environment_name(org) && org.len() <= MAX_ORG_NAME_BYTES {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "'{}' cannot name an organization: it does not match '^[a-zA-Z0-9][a-zA-Z0-9._-]*$', or is \
         longer than {MAX_ORG_NAME_BYTES}",
        quote(org)
    )))
}

/// The header of every response to a write, with the head of the organization's ledger.
fn head_header(head: &Head) -> [(&'static str, String); 1] {
    [(HEAD, head.to_string())]
}

/// Signs the ledger's head in the header of a response, if there is a signer.
async fn with_signature(
    State(signer): State<Option<HeadSigner>>,
    mut response: Response,
) -> Result<Response, Error> {
    let Some(signer) = signer else { return Ok(response) };
    if let Some(value) = response.headers_mut().get_mut(HEAD) {
        let head = value.to_str().ok().and_then(|text| text.parse().ok()).ok_or(Error::Fault)?;
        let head = SignedHead { signature: Some(signer.sign(&head)), head };
        *value = HeaderValue::try_from(head.to_string()).map_err(|_| Error::Fault)?;
    }
    Ok(response)
}

/// Adds the header that announces the recorder's extensions of the API.
async fn with_extensions(mut response: Response) -> Response {
    for extension in [IF_MATCH, ARTIFACT_RUNS, ORIGIN] {
        response.headers_mut().append(ACCEPTS, HeaderValue::from_static(extension));
    }
    response
}

/// Routes for operators. Metrics name the environments of every organization: if tokens are
/// required, they need one for `org=*`.
pub(crate) fn operations<S: Store + ProvenanceStore>(access: &Access) -> Router<Operations<S>> {
    Router::new()
        .route("/metrics", get(operations::metrics::<S>))
        .route_layer(from_fn_with_state(Guard::new(access, Action::Read, Action::Write), guard))
        .route("/ready", get(operations::ready::<S>))
        .route("/api/v2/openapi.json", get(openapi::show))
}

//! Reporting attestations, and reading them.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::{check_org_name, digits};
use crate::domain::provenance::AttestationReport;
use crate::domain::{Error, Head, MIN_DIGITS};
use crate::http::access::Caller;
use crate::http::handlers::head_header;
use crate::http::request::{
    AttestationRequest, JsonBody, Override, Parameters, PartsBody, check_flow_name,
    check_trail_name,
};
use crate::http::views;
use crate::store::provenance::{AttestationQuery, ProvenanceStore};

/// `POST /attestations/{org}/{flow}/trail/{trail}/{kind}`
pub(super) async fn report<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow, trail, kind)): Path<(String, String, String, String)>,
    Extension(caller): Extension<Caller>,
    PartsBody(request, _reserved): PartsBody<AttestationRequest>,
) -> Result<impl IntoResponse, Error> {
    let report = request.into_report(&kind)?;
    let head = record_attestation(&store, &org, &flow, &trail, report, &caller).await?;
    Ok((StatusCode::CREATED, head_header(&head), Json("OK")))
}

/// `POST /attestations/{org}/{flow}/trail/{trail}/override`: replaces the result of an attestation.
pub(super) async fn report_override<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow, trail)): Path<(String, String, String)>,
    Extension(caller): Extension<Caller>,
    JsonBody(Override(report), _reserved): JsonBody<Override>,
) -> Result<impl IntoResponse, Error> {
    let head = record_attestation(&store, &org, &flow, &trail, report, &caller).await?;
    Ok((StatusCode::CREATED, head_header(&head), Json("OK")))
}

/// Checks the names in the address, and records the attestation.
async fn record_attestation<S: ProvenanceStore>(
    store: &S,
    org: &str,
    flow: &str,
    trail: &str,
    report: AttestationReport,
    caller: &Caller,
) -> Result<Head, Error> {
    check_org_name(org)?;
    check_flow_name("flow", flow)?;
    check_trail_name("trail", trail)?;
    store.report_attestation(org, flow, trail, report, caller.actor()).await
}

/// The API's form of the attestations that match a query.
async fn find_attestations<S: ProvenanceStore>(
    store: &S,
    org: &str,
    query: AttestationQuery,
) -> Result<Vec<Value>, Error> {
    let found = store.attestations(org, query).await?;
    Ok(found.iter().map(|record| views::attestation(org, record)).collect())
}

/// `GET /attestations/{org}/{flow}/trail/{trail}/{name}`
pub(super) async fn in_trail<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow, trail, name)): Path<(String, String, String, String)>,
) -> Result<Json<Vec<Value>>, Error> {
    let query = AttestationQuery::InTrail { flow, trail, name };
    Ok(Json(find_attestations(&store, &org, query).await?))
}

/// `GET /attestations/{org}/{flow}/trail/{trail}/override`: attestations whose name is `override`.
pub(super) async fn named_override<S: ProvenanceStore>(
    state: State<S>,
    Path((org, flow, trail)): Path<(String, String, String)>,
) -> Result<Json<Vec<Value>>, Error> {
    in_trail(state, Path((org, flow, trail, "override".to_owned()))).await
}

/// `GET /attestations/{org}/{flow}/artifact/{fingerprint}/{name}`
pub(super) async fn of_artifact<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow, fingerprint, name)): Path<(String, String, String, String)>,
) -> Result<Json<Vec<Value>>, Error> {
    let fingerprint = digits(&fingerprint, MIN_DIGITS)?;
    let query = AttestationQuery::OfArtifact { flow, fingerprint, name };
    Ok(Json(find_attestations(&store, &org, query).await?))
}

/// `GET /attestations/{org}/{flow}`
pub(super) async fn of_flow<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow)): Path<(String, String)>,
) -> Result<Json<Vec<Value>>, Error> {
    Ok(Json(find_attestations(&store, &org, AttestationQuery::InFlow { flow }).await?))
}

/// `GET /attestations/{org}?attestation_id=`
pub(super) async fn by_id<S: ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<Value>, Error> {
    if parameters.last("attestation_id").is_none() {
        parameters.add_error("attestation_id", "is required");
    }
    parameters.check()?;
    let id = parameters.last("attestation_id").unwrap_or_default().to_owned();
    let data = find_attestations(&store, &org, AttestationQuery::Id(id)).await?;
    Ok(Json(json!({ "data": data, "_links": {} })))
}

/// `GET /attestations/{org}/{flow}/trail/{trail}/attestation/{id}/evidence`: the file that was
/// reported with the attestation, as a download.
pub(super) async fn attachment<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, _flow, _trail, id)): Path<(String, String, String, String)>,
) -> Result<Response, Error> {
    let found = store.attachment(&org, &id).await?;
    let (filename, content) = found.ok_or(Error::AttachmentNotFound { id })?;
    // Never shown by a browser: it may be a page with a script.
    let name: String = filename
        .chars()
        .map(|it| if it.is_ascii_alphanumeric() || "._-".contains(it) { it } else { '_' })
        .collect();
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""))
        .map_err(|_| Error::Fault)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_DISPOSITION, disposition),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Ok((headers, content).into_response())
}

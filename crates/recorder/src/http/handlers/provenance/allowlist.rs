//! What may run without provenance.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use envsnap_model::wire::AllowedArtifact;

use crate::domain::Error;
use crate::domain::provenance::AllowanceRequest;
use crate::http::access::Caller;
use crate::http::handlers::head_header;
use crate::http::request::JsonBody;
use crate::http::views;
use crate::store::provenance::ProvenanceStore;

use super::check_org_name;

/// `PUT /allowlists/{org}/{env}`: allows software to run without provenance in one environment.
pub(super) async fn allow<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, environment)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    JsonBody(request, _reserved): JsonBody<AllowanceRequest>,
) -> Result<impl IntoResponse, Error> {
    let request = AllowanceRequest { environment: Some(environment), ..request };
    let head = store.allow(&org, request, caller.actor()).await?;
    Ok((StatusCode::CREATED, head_header(&head), Json("OK")))
}

/// `PUT /allowlists/{org}`: allows software to run without provenance in every environment.
pub(super) async fn allow_everywhere<S: ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    Extension(caller): Extension<Caller>,
    JsonBody(request, _reserved): JsonBody<AllowanceRequest>,
) -> Result<impl IntoResponse, Error> {
    check_org_name(&org)?;
    let head = store.allow(&org, request, caller.actor()).await?;
    Ok((StatusCode::CREATED, head_header(&head), Json("OK")))
}

/// `GET /allowlists/{org}`: what is allowed to run without provenance.
pub(super) async fn list<S: ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
) -> Result<Json<Vec<AllowedArtifact>>, Error> {
    let allowances = store.allowances(&org).await?;
    Ok(Json(allowances.into_iter().map(views::allowed).collect()))
}

/// `DELETE /allowlists/{org}/entries/{id}`: withdraws what the entry allows.
pub(super) async fn withdraw<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, id)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
) -> Result<impl IntoResponse, Error> {
    let head = store.withdraw_allowance(&org, &id, caller.actor()).await?;
    Ok((head_header(&head), Json("OK")))
}

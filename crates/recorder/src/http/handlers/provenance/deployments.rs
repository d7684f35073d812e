//! Announced deployments.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use envsnap_model::wire;
use serde_json::json;

use crate::domain::Error;
use crate::http::access::Caller;
use crate::http::handlers::head_header;
use crate::http::request::{Deployment, JsonBody, Parameters};
use crate::http::views;
use crate::store::provenance::{DeploymentQuery, ProvenanceStore};

/// `POST /deployments/{org}/{flow}`, an extension of this recorder.
pub(super) async fn report<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    JsonBody(Deployment(report), _reserved): JsonBody<Deployment>,
) -> Result<impl IntoResponse, Error> {
    let (number, head) = store.report_deployment(&org, &flow, report, caller.actor()).await?;
    Ok((StatusCode::CREATED, head_header(&head), Json(json!({ "deployment_id": number }))))
}

/// `GET /deployments/{org}/{flow}`: the earliest first.
pub(super) async fn list<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow)): Path<(String, String)>,
) -> Result<Json<Vec<wire::Deployment>>, Error> {
    let deployments = store.deployments(&org, DeploymentQuery::OfFlow(flow)).await?;
    Ok(Json(deployments.into_iter().map(views::deployment).collect()))
}

/// `GET /deployments/{org}?env_name=`: those that were announced to an environment, the earliest
/// first.
pub(super) async fn to_environment<S: ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<Vec<wire::Deployment>>, Error> {
    if parameters.last("env_name").is_none() {
        parameters.add_error("env_name", "is required");
    }
    parameters.check()?;
    let environment = parameters.last("env_name").unwrap_or_default().to_owned();
    let deployments = store.deployments(&org, DeploymentQuery::To(environment)).await?;
    Ok(Json(deployments.into_iter().map(views::deployment).collect()))
}

//! Deployments, announced and derived.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use envsnap_model::wire;
use serde::Serialize;
use serde_json::json;

use crate::domain::{Error, Micros};
use crate::http::access::Caller;
use crate::http::handlers::head_header;
use crate::http::request::{Deployment, JsonBody, Parameters};
use crate::http::views;
use crate::store::Store;
use crate::store::provenance::{DeploymentQuery, ProvenanceStore};

/// `POST /deployments/{org}/{flow}`, an extension of this recorder.
pub(super) async fn report<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    JsonBody(Deployment(report), _reserved): JsonBody<Deployment>,
) -> Result<impl IntoResponse, Error> {
    // It may be created later.
    let environment_exists = match store.environment(&org, &report.environment).await {
        Ok(_) => true,
        Err(Error::EnvironmentNotFound { .. }) => false,
        Err(error) => return Err(error),
    };
    let (number, head) = store.report_deployment(&org, &flow, report, caller.actor()).await?;
    let answer = json!({"deployment_id": number, "environment_exists": environment_exists});
    Ok((StatusCode::CREATED, head_header(&head), Json(answer)))
}

/// `GET /deployments/{org}/{flow}`: the earliest first.
pub(super) async fn list<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow)): Path<(String, String)>,
) -> Result<Json<Vec<wire::Deployment>>, Error> {
    let deployments = store.deployments(&org, DeploymentQuery::OfFlow(flow)).await?;
    Ok(Json(deployments.into_iter().map(views::deployment).collect()))
}

/// An element of a list of announced and of derived deployments.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum AnyDeployment {
    Announced(wire::Deployment),
    Derived(wire::DerivedDeployment),
}

impl AnyDeployment {
    fn created_at(&self) -> f64 {
        match self {
            Self::Announced(deployment) => deployment.created_at,
            Self::Derived(deployment) => deployment.created_at,
        }
    }
}

/// `GET /deployments/{org}?env_name=&start_ts=&end_ts=&derived=`: the deployments that were
/// announced to an environment, and, unless `derived` is false, the starts of artifacts of which none was
/// announced; the earliest first.
pub(super) async fn to_environment<S: ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<Vec<AnyDeployment>>, Error> {
    if parameters.last("env_name").is_none() {
        parameters.add_error("env_name", "is required");
    }
    let from = parameters.parsed("start_ts").map_or(Micros(i64::MIN), Micros::from_seconds);
    let until = parameters.parsed("end_ts").map_or(Micros(i64::MAX), Micros::from_seconds);
    let with_derived = parameters.last("derived").is_none() || parameters.flag("derived");
    parameters.check()?;
    let environment = parameters.last("env_name").unwrap_or_default().to_owned();
    let derived = if with_derived {
        store.derived_deployments(&org, &environment, from, until).await?
    } else {
        Vec::new()
    };
    let announced = store.deployments(&org, DeploymentQuery::To(environment)).await?;
    let announced =
        announced.into_iter().filter(|it| from <= it.reported_at && it.reported_at <= until);
    let announced = announced.map(views::deployment).map(AnyDeployment::Announced);
    let derived = derived.into_iter().map(views::derived_deployment).map(AnyDeployment::Derived);
    let mut all: Vec<_> = announced.chain(derived).collect();
    all.sort_by(|a, b| a.created_at().total_cmp(&b.created_at()));
    Ok(Json(all))
}

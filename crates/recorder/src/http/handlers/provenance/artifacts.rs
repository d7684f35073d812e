//! Reporting artifacts, and reading them.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use envsnap_model::wire::FlowArtifact;
use serde_json::{Value, json};

use super::{MAX_PER_PAGE, check_org_name, digits};
use crate::domain::provenance::{ArtifactRecord, ArtifactReport};
use crate::domain::{Error, MIN_DIGITS};
use crate::http::access::Caller;
use crate::http::handlers::head_header;
use crate::http::handlers::paging::RequestUrl;
use crate::http::request::{JsonBody, Parameters, check_flow_name};
use crate::http::views;
use crate::store::provenance::{ArtifactQuery, ArtifactSelector, ProvenanceStore};

/// `POST /artifacts/{org}/{flow}`
pub(super) async fn report<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    JsonBody(report, _reserved): JsonBody<ArtifactReport>,
) -> Result<impl IntoResponse, Error> {
    check_org_name(&org)?;
    check_flow_name("flow", &flow)?;
    let head = store.report_artifact(&org, &flow, report, caller.actor()).await?;
    Ok((StatusCode::CREATED, head_header(&head), Json("OK")))
}

/// The API's form of these records, without those that no flow reported.
fn to_flow_artifacts(org: &str, records: Vec<ArtifactRecord>) -> Vec<FlowArtifact> {
    records.into_iter().filter_map(|record| views::artifact(org, record)).collect()
}

/// Which artifacts of a flow are selected, and the trail and the attestation in the parameters.
fn artifact_query(
    flow: String,
    selector: ArtifactSelector,
    parameters: &Parameters,
) -> ArtifactQuery {
    let given = |name| parameters.last(name).map(str::to_owned);
    ArtifactQuery { flow, selector, trail: given("trail"), attestation: given("attestation_id") }
}

/// `GET /artifacts/{org}/{flow}/fingerprint/{digits}`: the artifact whose fingerprint begins with the
/// digits, as it was reported last.
pub(super) async fn by_fingerprint<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow, text)): Path<(String, String, String)>,
    parameters: Parameters,
) -> Result<Json<FlowArtifact>, Error> {
    let selector = ArtifactSelector::Fingerprint(digits(&text, MIN_DIGITS)?);
    let records = store.artifacts(&org, artifact_query(flow, selector, &parameters)).await?;
    let mut found = to_flow_artifacts(&org, records);
    if found.windows(2).any(|two| two[0].fingerprint != two[1].fingerprint) {
        return Err(Error::bad_request(format!(
            "Several artifacts have a fingerprint that begins with '{text}'. Give more digits"
        )));
    }
    // The latest is the first.
    found.truncate(1);
    found.pop().map(Json).ok_or(Error::Fault)
}

/// `GET /artifacts/{org}/{flow}/commit_sha/{digits}`: artifacts of a commit that begins with the digits.
pub(super) async fn by_commit<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow, text)): Path<(String, String, String)>,
    parameters: Parameters,
) -> Result<Json<Vec<FlowArtifact>>, Error> {
    let selector = ArtifactSelector::Commit(digits(&text, MIN_DIGITS)?);
    let records = store.artifacts(&org, artifact_query(flow, selector, &parameters)).await?;
    Ok(Json(to_flow_artifacts(&org, records)))
}

/// `GET /artifacts/{org}`: the latest first.
pub(super) async fn list<S: ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    address: RequestUrl,
    mut parameters: Parameters,
) -> Result<(HeaderMap, Json<Vec<FlowArtifact>>), Error> {
    let page = parameters.page(MAX_PER_PAGE);
    parameters.check()?;
    let (flow, repo) = (parameters.last("flow_name"), parameters.last("repo_name"));
    let (records, total) = store.list_artifacts(&org, flow, repo, page).await?;
    Ok((address.headers(page, total), Json(to_flow_artifacts(&org, records))))
}

/// `GET /artifacts/{org}/{flow}/{fingerprint}/latest_commit`: the commit of the flow's latest artifact;
/// `null` before its first one.
pub(super) async fn latest_commit<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow, _fingerprint)): Path<(String, String, String)>,
    parameters: Parameters,
) -> Result<Json<Value>, Error> {
    let found = store.latest_commit(&org, &flow, parameters.last("branch")).await;
    let commit = match found {
        Ok(commit) => commit,
        // Before its first artifact.
        Err(Error::FlowNotFound { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(Json(json!({ "latest_commit": commit })))
}

//! Beginning, showing and listing trails.

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use envsnap_model::wire::Paged;
use serde_json::Value;

use super::flows::{pagination, saved_response};
use super::{MAX_PER_PAGE, check_org_name, digits, tags};
use crate::domain::provenance::TrailReport;
use crate::domain::{Error, Page};
use crate::http::access::Caller;
use crate::http::request::{Parameters, PartsBody, check_flow_name};
use crate::http::views;
use crate::store::Store;
use crate::store::provenance::{ProvenanceStore, TrailFilter};

/// `PUT /trails/{org}/{flow}`: begins a trail, or changes it if it exists.
pub(super) async fn save<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    PartsBody(report, _reserved): PartsBody<TrailReport>,
) -> Result<impl IntoResponse, Error> {
    check_org_name(&org)?;
    check_flow_name("flow", &flow)?;
    Ok(saved_response(&store.save_trail(&org, &flow, report, caller.actor()).await?))
}

/// `GET /trails/{org}/{flow}/{trail}`
pub(super) async fn show<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow, trail)): Path<(String, String, String)>,
) -> Result<Json<Value>, Error> {
    let record = store.trail(&org, &flow, &trail).await?;
    Ok(Json(views::trail(&org, &record, store.now())))
}

/// `GET /trails/{org}`: a page of those for which every filter holds, the newest first.
pub(super) async fn list<S: ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<Paged<Value>>, Error> {
    let page = parameters.page(MAX_PER_PAGE);
    let fingerprint = parameters.last("fingerprint").map(|text| digits(text, 64)).transpose()?;
    let filter = TrailFilter {
        flow: parameters.last("flow").map(str::to_owned),
        flow_tags: tags(&parameters, "flow_tag", '='),
        fingerprint,
    };
    parameters.check()?;
    let (trails, total) = store.trails(&org, filter, page).await?;
    let data = trails.iter().map(views::trail_summary).collect();
    Ok(Json(Paged { data, pagination: pagination(page, total) }))
}

/// `GET /trails/{org}/{flow}`: the newest ones, as an array.
pub(super) async fn list_of_flow<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow)): Path<(String, String)>,
) -> Result<Json<Vec<Value>>, Error> {
    let filter = TrailFilter { flow: Some(flow), ..TrailFilter::default() };
    let page = Page { number: 1, size: MAX_PER_PAGE };
    let (trails, _) = store.trails(&org, filter, page).await?;
    Ok(Json(trails.iter().map(views::trail_summary).collect()))
}

//! Creating, showing, listing, renaming and archiving flows.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use envsnap_model::wire::{Flow, Paged, Pagination, RenameRequest};

use super::{MAX_PER_PAGE, check_org_name, tags};
use crate::domain::Error;
use crate::domain::provenance::{FlowSettings, Saved, TagChange};
use crate::http::access::Caller;
use crate::http::handlers::head_header;
use crate::http::request::{JsonBody, Parameters, PartsBody, check_flow_name, discard};
use crate::http::views;
use crate::store::provenance::{FlowFilter, ProvenanceStore};

/// The response to a request that creates or changes a flow or a trail: 201 if it was created, otherwise 200.
pub(super) fn saved_response(saved: &Saved) -> impl IntoResponse + use<> {
    let status = if saved.created { StatusCode::CREATED } else { StatusCode::OK };
    (status, head_header(&saved.head), Json("OK"))
}

/// `PUT /flows/{org}/template_file`: creates or changes a flow, with a template in YAML.
pub(super) async fn save<S: ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    Extension(caller): Extension<Caller>,
    PartsBody(settings, _reserved): PartsBody<FlowSettings>,
) -> Result<impl IntoResponse, Error> {
    check_org_name(&org)?;
    Ok(saved_response(&store.save_flow(&org, settings, caller.actor()).await?))
}

/// `PUT /flows/{org}`: creates or changes a flow, with a list of attestation names in place of a template.
pub(super) async fn save_with_template_names<S: ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    Extension(caller): Extension<Caller>,
    JsonBody(settings, _reserved): JsonBody<FlowSettings>,
) -> Result<impl IntoResponse, Error> {
    check_org_name(&org)?;
    Ok(saved_response(&store.save_flow(&org, settings, caller.actor()).await?))
}

/// `GET /flows/{org}/{flow}`
pub(super) async fn show<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow)): Path<(String, String)>,
) -> Result<Json<Flow>, Error> {
    Ok(Json(views::flow(&org, store.flow(&org, &flow).await?)))
}

/// `GET /flows/{org}/template_file`: the flow whose name is `template_file`.
pub(super) async fn show_template_file<S: ProvenanceStore>(
    state: State<S>,
    Path(org): Path<String>,
) -> Result<Json<Flow>, Error> {
    show(state, Path((org, "template_file".to_owned()))).await
}

/// `GET /flows/{org}`: an array, or an object with a page of it if one is requested.
pub(super) async fn list<S: ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    mut parameters: Parameters,
) -> Result<Response, Error> {
    let paged = ["page", "per_page"].iter().any(|name| parameters.last(name).is_some());
    let page = parameters.page(MAX_PER_PAGE);
    let filter = FlowFilter {
        name: parameters.last("search_by_name").map(str::to_owned),
        case_sensitive: parameters.last("case_sensitive").is_some()
            && parameters.flag("case_sensitive"),
        tags: tags(&parameters, "tag", ':'),
        by_activity: parameters
            .choice("sort", &[("name", false), ("latest_activity", true)])
            .unwrap_or_default(),
        descending: parameters
            .choice("sort_direction", &[("asc", false), ("desc", true)])
            .unwrap_or_default(),
    };
    parameters.check()?;
    // The recorder has no spaces.
    let (flows, total) = if parameters.last("space_id").is_some_and(|id| !id.is_empty()) {
        (Vec::new(), 0)
    } else {
        store.flows(&org, filter, paged.then_some(page)).await?
    };
    let data: Vec<_> = flows.into_iter().map(|flow| views::flow(&org, flow)).collect();
    if !paged {
        return Ok(Json(data).into_response());
    }
    Ok(Json(Paged { data, pagination: pagination(page, total) }).into_response())
}

/// The numbers that describe a page in a response.
pub(super) fn pagination(page: crate::domain::Page, total: u64) -> Pagination {
    Pagination { total, page: page.number, per_page: page.size, page_count: page.count(total) }
}

/// `PUT /flows/{org}/{flow}/rename`
pub(super) async fn rename<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    JsonBody(RenameRequest { new_name }, _reserved): JsonBody<RenameRequest>,
) -> Result<impl IntoResponse, Error> {
    check_flow_name("new_name", &new_name)?;
    let head = store.rename_flow(&org, &flow, &new_name, caller.actor()).await?;
    Ok((head_header(&head), Json("OK")))
}

/// `PUT /flows/{org}/{flow}/archive`; the body is ignored.
pub(super) async fn archive<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<impl IntoResponse, Error> {
    discard(body.into_data_stream()).await;
    let head = store.archive_flow(&org, &flow, caller.actor()).await?;
    Ok((head_header(&head), Json("OK")))
}

/// `PATCH /tags/{org}/flow/{flow}`: sets and removes tags of a flow.
pub(super) async fn change_tags<S: ProvenanceStore>(
    State(store): State<S>,
    Path((org, flow)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    JsonBody(change, _reserved): JsonBody<TagChange>,
) -> Result<impl IntoResponse, Error> {
    let head = store.change_tags(&org, &flow, change, caller.actor()).await?;
    Ok((head_header(&head), Json("OK")))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use serde_json::{Value, json};

    use crate::{LocalRecorder, SqliteStore};

    /// The response to a request below `/api/v2/flows`.
    async fn answer(recorder: &LocalRecorder, method: &str, path: &str, body: &str) -> Value {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v2/flows{path}"))
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(body.as_bytes().to_vec())
            .unwrap();
        let response = recorder.answer(request).await;
        assert!(response.status().is_success(), "{response:?}");
        serde_json::from_slice(response.body()).unwrap()
    }

    #[tokio::test]
    async fn no_flow_is_in_a_space() {
        let recorder = LocalRecorder::new(SqliteStore::in_memory().unwrap()).unwrap();
        let flow = json!({"name": "runner", "description": "", "template": ["test"]});
        answer(&recorder, "PUT", "/acme", &flow.to_string()).await;
        for (query, count) in [("", 1), ("?space_id=", 1), ("?space_id=1", 0)] {
            let list = answer(&recorder, "GET", &format!("/acme{query}"), "").await;
            assert_eq!(list.as_array().unwrap().len(), count, "{query}");
        }
        let page = answer(&recorder, "GET", "/acme?space_id=1&page=1", "").await;
        assert_eq!((&page["data"], &page["pagination"]["total"]), (&json!([]), &json!(0)));
    }
}

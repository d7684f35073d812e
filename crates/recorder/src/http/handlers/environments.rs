//! Creating, changing, listing, renaming and archiving environments.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use envsnap_model::wire::{
    ECS, Environment, PagedEnvironments, RenameRequest, is_environment_name,
};
use serde_json::json;

use super::paging::RequestUrl;
use super::{check_org_name, head_header};
use crate::domain::{EnvironmentSettings, Error, SettingsChange};
use crate::http::access::Caller;
use crate::http::error::quote;
use crate::http::request::{JsonBody, Parameters, TYPES, discard};
use crate::http::views;
use crate::store::{EnvironmentFilter, EnvironmentSort, Store};

/// `PUT /environments/{org}`: creates an environment, or changes it if it exists.
pub(crate) async fn save<S: Store>(
    State(store): State<S>,
    Path(org): Path<String>,
    Extension(caller): Extension<Caller>,
    JsonBody(settings, _reserved): JsonBody<EnvironmentSettings>,
) -> Result<impl IntoResponse, Error> {
    check_org_name(&org)?;
    if !caller.may_change && settings.environment_type != ECS {
        return Err(Error::Forbidden);
    }
    let head = store.save_environment(&org, settings, caller.may_change, caller.actor()).await?;
    Ok((StatusCode::CREATED, head_header(&head), Json("OK")))
}

/// `GET /environments/{org}/{env}`
pub(crate) async fn show<S: Store>(
    State(store): State<S>,
    Path((org, environment)): Path<(String, String)>,
) -> Result<Json<Environment>, Error> {
    Ok(Json(views::environment(store.environment(&org, &environment).await?)))
}

/// `GET /environments/{org}`: an array, or an object with one page if a page is requested.
pub(crate) async fn list<S: Store>(
    State(store): State<S>,
    Path(org): Path<String>,
    address: RequestUrl,
    mut parameters: Parameters,
) -> Result<Response, Error> {
    let paged = ["page", "per_page"].iter().any(|name| parameters.last(name).is_some());
    let page = parameters.page(u32::MAX);
    let filter = filter(&mut parameters);
    parameters.check()?;
    // The recorder has no tags and no spaces.
    let (environments, total_count) =
        if ["tag", "space_id"].iter().any(|name| parameters.last(name).is_some()) {
            (Vec::new(), 0)
        } else {
            store.environments(&org, filter, paged.then_some(page)).await?
        };
    let environments: Vec<_> = environments.into_iter().map(views::environment).collect();
    if !paged {
        return Ok(Json(environments).into_response());
    }
    let (number, total_pages) = (u64::from(page.number), page.count(total_count));
    let link = |number| address.page_url(number, page.size);
    let links = json!({
        "self": link(number),
        "prev": (number > 1).then(|| link(number - 1)),
        "next": (number < total_pages).then(|| link(number + 1)),
    });
    let (page, per_page) = (page.number, page.size);
    let page = PagedEnvironments { links, page, per_page, total_pages, total_count, environments };
    Ok(Json(page).into_response())
}

/// Which environments the parameters select, and in which order.
fn filter(parameters: &mut Parameters) -> EnvironmentFilter {
    let types: Vec<_> = parameters.all("type").map(str::to_owned).collect();
    if types.iter().any(|given| !TYPES.contains(&&**given)) {
        parameters.add_error("type", format!("must be one of {}", TYPES.join(", ")));
    }
    let sorts = [
        ("name", EnvironmentSort::Name),
        ("last_modified_at", EnvironmentSort::LastModifiedAt),
        ("last_changed_at", EnvironmentSort::LastChangedAt),
    ];
    EnvironmentFilter {
        name: parameters.last("name").map(str::to_owned),
        types,
        sort: parameters.choice("sort", &sorts).unwrap_or_default(),
        descending: parameters
            .choice("sort_direction", &[("asc", false), ("desc", true)])
            .unwrap_or_default(),
    }
}

/// `PATCH /environments/{org}/{env}`: absent settings stay as they are.
pub(crate) async fn change<S: Store>(
    State(store): State<S>,
    Path((org, environment)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    JsonBody(change, _reserved): JsonBody<SettingsChange>,
) -> Result<impl IntoResponse, Error> {
    let head = store.change_environment(&org, &environment, change, caller.actor()).await?;
    Ok((head_header(&head), Json("OK")))
}

/// `PUT /environments/{org}/{env}/rename`
pub(crate) async fn rename<S: Store>(
    State(store): State<S>,
    Path((org, environment)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    JsonBody(RenameRequest { new_name }, _reserved): JsonBody<RenameRequest>,
) -> Result<impl IntoResponse, Error> {
    if !is_environment_name(&new_name) {
        return Err(Error::bad_request(format!(
            "'{}' is an invalid name for environments. Valid names should start with an \
             alphanumeric and only contain alphanumeric characters, '.', '-' and '_'.",
            quote(&new_name)
        )));
    }
    let head = store.rename_environment(&org, &environment, &new_name, caller.actor()).await?;
    Ok((head_header(&head), Json("OK")))
}

/// `PUT /environments/{org}/{env}/archive`; the body is ignored.
pub(crate) async fn archive<S: Store>(
    State(store): State<S>,
    Path((org, environment)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<impl IntoResponse, Error> {
    discard(body.into_data_stream()).await;
    let head = store.archive_environment(&org, &environment, caller.actor()).await?;
    Ok((head_header(&head), Json("OK")))
}

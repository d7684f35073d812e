//! Making, showing, listing and renaming environments, and putting them away.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;

use super::paging::Address;
use crate::api::wire::{ECS, Environment, PagedEnvironments, RenameRequest, is_environment_name};
use crate::recorder::access::Caller;
use crate::recorder::answer::{Refusal, quote};
use crate::recorder::request::{
    EnvironmentChange, JsonBody, LONGEST_ORG, Parameters, TYPES, discard,
};
use crate::recorder::store::{Changed, LARGEST_LISTING, Listing, NameChange, Sort, Store};

/// `PUT /environments/{org}`
pub(super) async fn save(
    State(store): State<Store>,
    Path(org): Path<String>,
    Extension(caller): Extension<Caller>,
    JsonBody(change, _reserved): JsonBody<EnvironmentChange>,
) -> Result<(StatusCode, Json<&'static str>), Refusal> {
    if !is_environment_name(&org) || org.len() > LONGEST_ORG {
        return Err(Refusal::bad_request(format!(
            "'{}' cannot name an organization: it does not match \
             '^[a-zA-Z0-9][a-zA-Z0-9._-]*$', or is longer than {LONGEST_ORG}",
            quote(&org)
        )));
    }
    let (name, wanted) = (change.name.clone(), change.environment_type.clone());
    if !caller.may_change && wanted != ECS {
        return Err(Refusal::no_permission(StatusCode::FORBIDDEN));
    }
    match store.put_environment(org.clone(), change, caller.may_change).await? {
        Changed::Saved => Ok((StatusCode::CREATED, Json("OK"))),
        Changed::NotAllowed => Err(Refusal::no_permission(StatusCode::FORBIDDEN)),
        Changed::TooMany => Err(too_many(&org)),
        Changed::OtherType(actual) => Err(Refusal::bad_request(format!(
            "Environment named '{name}' for organization '{org}' is of type '{actual}', which \
             cannot be changed to '{wanted}'"
        ))),
    }
}

/// A list of all of them would be longer than what clients read.
fn too_many(org: &str) -> Refusal {
    Refusal::too_large(format!(
        "The environments of organization '{org}' would take more than {LARGEST_LISTING} bytes, \
         which is the most that a list of them may: shorten descriptions, or use another \
         organization"
    ))
}

/// `GET /environments/{org}/{env}`
pub(super) async fn show(
    State(store): State<Store>,
    Path((org, environment)): Path<(String, String)>,
) -> Result<Json<Environment>, Refusal> {
    let found = store.environment(&org, &environment).await?;
    found.map(Json).ok_or_else(|| Refusal::no_environment(&org, &environment))
}

/// `GET /environments/{org}`: an array, or an object with a page of it where one is asked for.
pub(super) async fn list(
    State(store): State<Store>,
    Path(org): Path<String>,
    address: Address,
    mut parameters: Parameters,
) -> Result<Response, Refusal> {
    let paged = ["page", "per_page"].iter().any(|name| parameters.last(name).is_some());
    let page = parameters.page(u32::MAX);
    let listing = listing(&mut parameters);
    parameters.check()?;
    // No environment here has tags, or is in a space.
    let (environments, total_count) =
        if ["tag", "space_id"].iter().any(|name| parameters.last(name).is_some()) {
            (Vec::new(), 0)
        } else {
            store.environments(org, listing, paged.then_some(page)).await?
        };
    if !paged {
        return Ok(Json(environments).into_response());
    }
    let (number, total_pages) = (u64::from(page.number), page.count(total_count));
    let link = |number| address.of_page(number, page.size);
    let links = json!({
        "self": link(number),
        "prev": (number > 1).then(|| link(number - 1)),
        "next": (number < total_pages).then(|| link(number + 1)),
    });
    let (page, per_page) = (page.number, page.size);
    let page = PagedEnvironments { links, page, per_page, total_pages, total_count, environments };
    Ok(Json(page).into_response())
}

fn listing(parameters: &mut Parameters) -> Listing {
    let types: Vec<_> = parameters.all("type").map(str::to_owned).collect();
    if types.iter().any(|given| !TYPES.contains(&&**given)) {
        parameters.add_problem("type", format!("must be one of {}", TYPES.join(", ")));
    }
    let sorts = [
        ("name", Sort::Name),
        ("last_modified_at", Sort::LastModifiedAt),
        ("last_changed_at", Sort::LastChangedAt),
    ];
    Listing {
        name: parameters.last("name").map(str::to_owned),
        types,
        sort: parameters.choice("sort", &sorts).unwrap_or_default(),
        descending: parameters
            .choice("sort_direction", &[("asc", false), ("desc", true)])
            .unwrap_or_default(),
    }
}

/// `PUT /environments/{org}/{env}/rename`
pub(super) async fn rename(
    State(store): State<Store>,
    Path((org, environment)): Path<(String, String)>,
    JsonBody(RenameRequest { new_name }, _reserved): JsonBody<RenameRequest>,
) -> Result<Json<&'static str>, Refusal> {
    if !is_environment_name(&new_name) {
        return Err(Refusal::bad_request(format!(
            "'{}' is an invalid name for environments. Valid names should start with an \
             alphanumeric and only contain alphanumeric characters, '.', '-' and '_'.",
            quote(&new_name)
        )));
    }
    match store.rename(&org, &environment, new_name.clone()).await? {
        NameChange::Done => Ok(Json("OK")),
        NameChange::TooMany => Err(too_many(&org)),
        NameChange::NoEnvironment => Err(Refusal::no_environment(&org, &environment)),
        // Not 409, which says that another attempt may do it.
        NameChange::Taken { archived } => Err(Refusal::bad_request(format!(
            "Environment named '{new_name}' already exists for organization '{org}'{}",
            if archived { ", and is archived" } else { "" }
        ))),
    }
}

/// `PUT /environments/{org}/{env}/archive`: whatever the body is.
pub(super) async fn archive(
    State(store): State<Store>,
    Path((org, environment)): Path<(String, String)>,
    body: Body,
) -> Result<Json<&'static str>, Refusal> {
    discard(body.into_data_stream()).await;
    if store.archive(&org, &environment).await? {
        Ok(Json("OK"))
    } else {
        Err(Refusal::no_environment(&org, &environment))
    }
}

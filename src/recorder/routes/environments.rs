//! Making, showing and listing environments.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::api::wire::{Environment, is_environment_name};
use crate::recorder::answer::Refusal;
use crate::recorder::request::{Checked, EnvironmentChange};
use crate::recorder::store::{Changed, Page, Store};

/// As the hosted server has it, where only `page` is given.
const USUAL_PAGE_SIZE: u32 = 15;

/// `PUT /environments/{org}`
pub(super) async fn save(
    State(store): State<Store>,
    Path(org): Path<String>,
    Checked(change): Checked<EnvironmentChange>,
) -> Result<(StatusCode, Json<&'static str>), Refusal> {
    if !is_environment_name(&org) {
        return Err(Refusal::bad_request(format!(
            "'{org}' cannot name an organization: it does not match \
             '^[a-zA-Z0-9][a-zA-Z0-9._-]*$'"
        )));
    }
    let (name, wanted) = (change.name.clone(), change.environment_type.clone());
    match store.put_environment(org.clone(), change).await? {
        Changed::Saved => Ok((StatusCode::CREATED, Json("OK"))),
        Changed::OtherType(actual) => Err(Refusal::bad_request(format!(
            "Environment named '{name}' for organization '{org}' is of type '{actual}', which \
             cannot be changed to '{wanted}'"
        ))),
    }
}

/// `GET /environments/{org}/{env}`
pub(super) async fn show(
    State(store): State<Store>,
    Path((org, environment)): Path<(String, String)>,
) -> Result<Json<Environment>, Refusal> {
    let found = store.environment(&org, &environment).await?;
    found.map(Json).ok_or_else(|| Refusal::no_environment(&org, &environment))
}

/// `GET /environments/{org}`: an array, or an object with a page of it.
pub(super) async fn list(
    State(store): State<Store>,
    Path(org): Path<String>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, Refusal> {
    let page = page(&parameters)?;
    let (environments, count) = store.environments(org.clone(), page).await?;
    let Some(Page { number, size }) = page else { return Ok(Json(json!(environments))) };
    let pages = count.div_ceil(size);
    let link = |number: u32| format!("/api/v2/environments/{org}?page={number}&per_page={size}");
    Ok(Json(json!({
        "_links": {
            "self": link(number),
            "prev": (number > 1).then(|| link(number - 1)),
            "next": (number < pages).then(|| link(number + 1)),
        },
        "page": number,
        "per_page": size,
        "total_pages": pages,
        "total_count": count,
        "environments": environments,
    })))
}

/// The page that is asked for, if one is. A filter that is not known is refused: a list that
/// ignores it would read as an answer to it.
fn page(parameters: &[(String, String)]) -> Result<Option<Page>, Refusal> {
    let mut page = Page { number: 1, size: USUAL_PAGE_SIZE };
    for (name, value) in parameters {
        let asked = match name.as_str() {
            "page" => &mut page.number,
            "per_page" => &mut page.size,
            _ => {
                return Err(Refusal::bad_request(format!(
                    "This recorder does not support the parameter '{name}' yet; it lists all \
                     environments, or those of a 'page' of 'per_page'"
                )));
            }
        };
        *asked = value.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
            Refusal::bad_request(format!("'{name}' must be a number from 1, not '{value}'"))
        })?;
    }
    Ok((!parameters.is_empty()).then_some(page))
}

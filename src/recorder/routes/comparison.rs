//! Two snapshots compared.

use axum::Json;
use axum::extract::{Path, State};

use super::snapshots::no_snapshot;
use crate::api::wire::EnvironmentDiff;
use crate::recorder::answer::Refusal;
use crate::recorder::document;
use crate::recorder::expression::Snappish;
use crate::recorder::request::Parameters;
use crate::recorder::store::{Found, Store, StoredSnapshot};

/// `GET /env-diff/{org}?snappish1=&snappish2=`
pub(super) async fn compare(
    State(store): State<Store>,
    Path(org): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<EnvironmentDiff>, Refusal> {
    let [Some(one), Some(other)] =
        ["snappish1", "snappish2"].map(|name| snappish(&mut parameters, name))
    else {
        parameters.check()?;
        return Err(Refusal::bad_request("Two snapshots are compared: snappish1 and snappish2"));
    };
    let [first, second] = store.snapshots(&org, [one.clone(), other.clone()]).await?;
    let (first, second) = (found(&org, &one, first)?, found(&org, &other, second)?);
    let (one, other) = ((&*one.environment, first), (&*other.environment, second));
    Ok(Json(document::comparison(one, other)))
}

fn snappish(parameters: &mut Parameters, name: &str) -> Option<Snappish> {
    if parameters.last(name).is_none() {
        parameters.add_problem(name, "is required");
    }
    parameters.parsed(name)
}

pub(in crate::recorder) fn found(
    org: &str,
    wanted: &Snappish,
    found: Found,
) -> Result<StoredSnapshot, Refusal> {
    match found {
        Found::Snapshot(snapshot) => Ok(snapshot),
        Found::NoEnvironment => Err(Refusal::no_environment(org, &wanted.environment)),
        Found::NoSnapshot { index, count } => Err(no_snapshot(org, wanted, index, count)),
    }
}

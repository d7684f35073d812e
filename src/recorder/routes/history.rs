//! The history of an environment: its snapshots, and what changed with them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;

use super::paging::Address;
use crate::api::wire::{EnvironmentEvent, SnapshotListEntry};
use crate::recorder::answer::Refusal;
use crate::recorder::document;
use crate::recorder::request::Parameters;
use crate::recorder::store::{Events, Store};

/// The most snapshots that one page may list: about a megabyte.
const MOST_SNAPSHOTS: u32 = 10_000;

/// The most events that one page may list, as on the hosted server.
const MOST_EVENTS: u32 = 100;

/// `GET /snapshots/{org}/{env}`: how long each lasted, the latest first.
pub(super) async fn snapshots(
    State(store): State<Store>,
    Path((org, environment)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<Json<Vec<SnapshotListEntry>>, Refusal> {
    let (interval, page) = (parameters.interval(), parameters.page(MOST_SNAPSHOTS));
    let reverse = parameters.flag("reverse");
    parameters.check()?;
    let history = store.history(&org, &environment, interval, page, reverse).await?;
    let history = history.ok_or_else(|| Refusal::no_environment(&org, &environment))?;
    Ok(Json(document::history(history)))
}

/// `GET /environments/{org}/{env}/events`: what changed with each snapshot, the latest first.
pub(super) async fn events(
    State(store): State<Store>,
    Path((org, environment)): Path<(String, String)>,
    address: Address,
    mut parameters: Parameters,
) -> Result<(HeaderMap, Json<Vec<EnvironmentEvent>>), Refusal> {
    let (interval, page) = (parameters.interval_or_limits(), parameters.page(MOST_EVENTS));
    let reverse = parameters.flag("reverse");
    parameters.check()?;
    let events = store.events(&org, &environment, interval, page, reverse).await?;
    let mut events = events.ok_or_else(|| Refusal::no_environment(&org, &environment))?;
    // Of no artifact is it known which repository it comes from.
    if parameters.last("repo_name").is_some() {
        events = Events { events: Vec::new(), total: 0 };
    }
    let headers = address.headers(page, events.total);
    let events = events.events.into_iter();
    Ok((headers, Json(events.map(|event| document::event(&org, &environment, event)).collect())))
}

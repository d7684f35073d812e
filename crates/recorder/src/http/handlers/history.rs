//! The history of an environment: snapshots and events.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;

use super::paging::RequestUrl;
use envsnap_model::expression::{Bound, Expression, Interval};
use envsnap_model::wire::{ArtifactRun, EnvironmentEvent, SnapshotListEntry};

use crate::domain::{ArtifactPattern, ArtifactRun as Run, Error, Page, SnapshotSpan};
use crate::http::request::Parameters;
use crate::http::views;
use crate::store::Store;

/// The most snapshots that one page may list: about a megabyte.
const MAX_SNAPSHOTS_PER_PAGE: u32 = 10_000;

/// The most events that one page may list, as on the hosted server.
const MAX_EVENTS_PER_PAGE: u32 = 100;

/// `GET /snapshots/{org}/{env}`: snapshots with the period in which each was the latest, latest
/// first.
pub(crate) async fn snapshots<S: Store>(
    State(store): State<S>,
    Path((org, environment)): Path<(String, String)>,
    mut parameters: Parameters,
) -> Result<Json<Vec<SnapshotListEntry>>, Error> {
    let (interval, page) = (parameters.interval(), parameters.page(MAX_SNAPSHOTS_PER_PAGE));
    let reverse = parameters.flag("reverse");
    parameters.check()?;
    let spans = store.snapshot_spans(&org, &environment, interval, page, reverse).await?;
    Ok(Json(views::history(spans, store.now())))
}

/// `GET /environments/{org}/{env}/events`: the changes of each snapshot, latest first.
pub(crate) async fn events<S: Store>(
    State(store): State<S>,
    Path((org, environment)): Path<(String, String)>,
    address: RequestUrl,
    mut parameters: Parameters,
) -> Result<(HeaderMap, Json<Vec<EnvironmentEvent>>), Error> {
    let (interval, page) = (parameters.interval_or_limits(), parameters.page(MAX_EVENTS_PER_PAGE));
    let reverse = parameters.flag("reverse");
    parameters.check()?;
    let repos: Vec<_> =
        parameters.all("repo_name").filter(|repo| !repo.is_empty()).map(str::to_owned).collect();
    let events = if repos.is_empty() {
        store.events(&org, &environment, interval, page, reverse).await?
    } else {
        store.events_of_repos(&org, &environment, repos, interval, page, reverse).await?
    };
    let headers = address.headers(page, events.total);
    let events = events.events.into_iter();
    Ok((headers, Json(events.map(|event| views::event(&org, &environment, event)).collect())))
}

/// `GET /artifact-runs/{org}?artifact=PATTERN&environment=NAME`: when artifacts ran, over all history.
pub(crate) async fn artifact_runs<S: Store>(
    State(store): State<S>,
    Path(org): Path<String>,
    mut parameters: Parameters,
) -> Result<Json<Vec<ArtifactRun>>, Error> {
    if parameters.last("artifact").is_none() {
        parameters.add_error("artifact", "is required, as in 9af401c or runner");
    }
    let pattern = parameters.parsed::<ArtifactPattern>("artifact");
    parameters.check()?;
    let Some(pattern) = pattern else { return Err(Error::Fault) };
    let environment = parameters.last("environment");
    let runs = store.artifact_runs(&org, environment, pattern).await?;
    let spans = spans_of(&store, &org, &runs).await?;
    Ok(Json(views::artifact_runs(runs, &spans)))
}

/// The snapshots in which these artifacts ran, by environment and index.
async fn spans_of<S: Store>(
    store: &S,
    org: &str,
    runs: &[Run],
) -> Result<BTreeMap<String, BTreeMap<u32, SnapshotSpan>>, Error> {
    let mut ranges = BTreeMap::<&str, (u32, u32)>::new();
    for run in runs {
        let last = run.to.map_or(run.latest_index, |(next, _)| next.saturating_sub(1));
        let range = ranges.entry(&run.environment).or_insert((run.from_index, last));
        *range = (range.0.min(run.from_index), range.1.max(last));
    }
    let mut spans = BTreeMap::new();
    for (environment, (first, last)) in ranges {
        let snapshot = |index: u32| Expression::from_str(&index.to_string()).map(Bound::Snapshot);
        let (Ok(from), Ok(to)) = (snapshot(first), snapshot(last)) else {
            return Err(Error::Fault);
        };
        let page = Page { number: 1, size: last.saturating_sub(first).saturating_add(1) };
        let interval = Interval { from, to };
        let found = store.snapshot_spans(org, environment, interval, page, true).await?;
        let by_index = found.into_iter().map(|span| (span.index, span)).collect();
        spans.insert(environment.to_owned(), by_index);
    }
    Ok(spans)
}

//! Reports and snapshots.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use envsnap_model::expression::{Expression, Snappish};
use envsnap_model::provenance::Origin;
use envsnap_model::wire::HEARTBEAT;

use super::head_header;
use crate::domain::{Error, Report};
use crate::http::access::Caller;
use crate::http::error::SerializedJson;
use crate::http::metrics::ReportedEnvironment;
use crate::http::request::{JsonBody, Parameters};
use crate::http::views;
use crate::store::Store;

/// `PUT /environments/{org}/{env}/report/ECS`: 201 if it made a new snapshot, 200 if it did not.
/// `If-Match: "65"` requires that the latest snapshot has this index (0 for none); otherwise the
/// response is 412 and nothing is recorded.
pub(crate) async fn report<S: Store>(
    State(store): State<S>,
    Path((org, environment)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(report, _reserved): JsonBody<Report>,
) -> Result<impl IntoResponse, Error> {
    let expected_index = expected_index(&headers)?;
    let report = Report { expected_index, heartbeat: heartbeat(&headers)?, ..report };
    let recorded = store.record_report(&org, &environment, report, caller.actor()).await?;
    let status = if recorded.created { StatusCode::CREATED } else { StatusCode::OK };
    let reported = Extension(ReportedEnvironment { org, environment });
    Ok((status, head_header(&recorded.head), reported, Json("OK")))
}

/// The index of the latest snapshot in `If-Match`, if there is one.
fn expected_index(headers: &HeaderMap) -> Result<Option<u32>, Error> {
    let mut given = headers.get_all(header::IF_MATCH).iter();
    let Some(tag) = given.next() else { return Ok(None) };
    let digits = tag.to_str().ok().and_then(|tag| tag.strip_prefix('"')?.strip_suffix('"'));
    let index = digits.and_then(whole_number);
    if index.is_none() || given.next().is_some() {
        return Err(Error::bad_request(
            "If-Match must be the index of one snapshot in quotes, for example \"65\"",
        ));
    }
    Ok(index)
}

/// The reporter's heartbeat in seconds, if it announces one.
fn heartbeat(headers: &HeaderMap) -> Result<Option<u32>, Error> {
    let Some(heartbeat) = headers.get(HEARTBEAT) else { return Ok(None) };
    heartbeat.to_str().ok().and_then(whole_number).map(Some).ok_or_else(|| {
        Error::bad_request(format!("{HEARTBEAT} must be whole seconds, for example 3600"))
    })
}

/// Parses digits without a sign.
fn whole_number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `GET /snapshots/{org}/{env}/{expression}`: all artifacts, or those of each `origin` in the query.
pub(crate) async fn show<S: Store>(
    State(store): State<S>,
    Path((org, environment, expression)): Path<(String, String, String)>,
    mut parameters: Parameters,
) -> Result<SerializedJson, Error> {
    let origins = parameters.choices("origin", &Origin::ALL.map(|it| (it.as_str(), it)));
    parameters.check()?;
    let expression: Expression =
        expression.parse().map_err(|error| Error::bad_request(format!("{error}")))?;
    let wanted = Snappish { environment: environment.clone(), expression };
    let of = org.clone();
    let shown = move |found| SerializedJson::new(&views::snapshot(&of, &environment, found));
    match origins {
        Some(origins) => store.snapshot_with_origins(&org, wanted, origins, shown).await?,
        None => store.snapshots(&org, [wanted], move |[found]| shown(found)).await?,
    }
}

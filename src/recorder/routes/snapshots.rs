//! Reporting what runs, and reading it.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::api::wire::{EcsReport, HEAD, RecordedSnapshot};
use crate::recorder::answer::Refusal;
use crate::recorder::document;
use crate::recorder::expression::{Expression, Snappish};
use crate::recorder::request::Checked;
use crate::recorder::store::{Found, Reported, Store};

/// `PUT /environments/{org}/{env}/report/ECS`: 201 a new snapshot, 200 nothing new; with the head
/// of the file's chain as it is then.
pub(super) async fn report(
    State(store): State<Store>,
    Path((org, environment)): Path<(String, String)>,
    Checked(report): Checked<EcsReport>,
) -> Result<impl IntoResponse, Refusal> {
    match store.report(&org, &environment, report).await? {
        Reported::Recorded { created, head } => {
            let status = if created { StatusCode::CREATED } else { StatusCode::OK };
            Ok((status, [(HEAD, head.to_string())], Json("OK")))
        }
        Reported::NoEnvironment => Err(Refusal::no_environment(&org, &environment)),
        Reported::OtherType(actual) => Err(Refusal::bad_request(format!(
            "Environment named '{environment}' for organization '{org}' is of type '{actual}' \
             and takes no report of type 'ECS'"
        ))),
    }
}

/// `GET /snapshots/{org}/{env}/{expression}`
pub(super) async fn show(
    State(store): State<Store>,
    Path((org, environment, expression)): Path<(String, String, String)>,
) -> Result<Json<RecordedSnapshot>, Refusal> {
    let expression: Expression =
        expression.parse().map_err(|error| Refusal::bad_request(format!("{error}")))?;
    match store.snapshot(&org, &environment, expression.clone()).await? {
        Found::Snapshot(found) => Ok(Json(document::snapshot(&org, &environment, found))),
        Found::NoEnvironment => Err(Refusal::no_environment(&org, &environment)),
        Found::NoSnapshot { index, count } => {
            let wanted = Snappish { environment, expression };
            Err(no_snapshot(&org, &wanted, index, count))
        }
    }
}

/// The refusal where `wanted` comes to an index that none of the `count` snapshots has.
pub(in crate::recorder) fn no_snapshot(
    org: &str,
    wanted: &Snappish,
    index: i64,
    count: u32,
) -> Refusal {
    let message = format!(
        "Org: '{org}'. Snapshot '{wanted}' resolves to '{}#{index}'. len(snapshots) == {count}. \
         Indexes are 1-based",
        wanted.environment
    );
    Refusal::new(StatusCode::NOT_FOUND, message)
}

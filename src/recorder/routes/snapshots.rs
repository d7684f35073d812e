//! Reporting what runs, and reading it.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::api::wire::{EcsReport, HEAD, RecordedSnapshot};
use crate::recorder::answer::Refusal;
use crate::recorder::document;
use crate::recorder::expression::Expression;
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
    match store.snapshot(&org, &environment, expression).await? {
        Found::Snapshot(found) => Ok(Json(document::snapshot(&org, &environment, found))),
        Found::NoEnvironment => Err(Refusal::no_environment(&org, &environment)),
        Found::NoSnapshot { index, count } => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            format!(
                "Org: '{org}'. Snapshot '{environment}{expression}' resolves to \
                 '{environment}#{index}'. len(snapshots) == {count}. Indexes are 1-based"
            ),
        )),
    }
}

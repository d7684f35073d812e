//! Reporting what runs, and reading it.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;

use crate::api::wire::HEAD;
use crate::recorder::answer::{Refusal, WrittenJson};
use crate::recorder::document;
use crate::recorder::record::Running;
use crate::recorder::request::JsonBody;
use crate::recorder::store::{Found, Reported, Store};
use envsnap_model::expression::{Expression, Snappish};

/// `PUT /environments/{org}/{env}/report/ECS`: 201 a new snapshot, 200 nothing new; with the head
/// of the file's chain as it is then. `If-Match: "65"` requires that the latest snapshot is of this
/// index (0 for none), or else the answer is 412 and nothing is recorded.
pub(super) async fn report(
    State(store): State<Store>,
    Path((org, environment)): Path<(String, String)>,
    headers: HeaderMap,
    JsonBody(report, _reserved): JsonBody<Running>,
) -> Result<impl IntoResponse, Refusal> {
    let required_index = required_index(&headers)?;
    match store.report(&org, &environment, report, required_index).await? {
        Reported::Recorded { created, head } => {
            let status = if created { StatusCode::CREATED } else { StatusCode::OK };
            Ok((status, [(HEAD, head.to_string())], Json("OK")))
        }
        Reported::OtherIndex(latest) => Err(Refusal::new(
            StatusCode::PRECONDITION_FAILED,
            format!(
                "The latest snapshot of environment '{environment}' of organization '{org}' has \
                 index {latest}, which is not the one in If-Match: nothing was recorded"
            ),
        )),
        Reported::NoEnvironment => Err(Refusal::no_environment(&org, &environment)),
        Reported::OtherType(actual) => Err(Refusal::bad_request(format!(
            "Environment named '{environment}' for organization '{org}' is of type '{actual}' \
             and takes no report of type 'ECS'"
        ))),
    }
}

/// The index in `If-Match`.
fn required_index(headers: &HeaderMap) -> Result<Option<i64>, Refusal> {
    let mut given = headers.get_all(header::IF_MATCH).iter();
    let Some(tag) = given.next() else { return Ok(None) };
    let digits = tag.to_str().ok().and_then(|tag| tag.strip_prefix('"')?.strip_suffix('"'));
    let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    let index = digits.filter(is_number).and_then(|digits| digits.parse().ok());
    if index.is_none() || given.next().is_some() {
        return Err(Refusal::bad_request(
            "If-Match must be the index of one snapshot in quotes, for example \"65\"",
        ));
    }
    Ok(index)
}

/// `GET /snapshots/{org}/{env}/{expression}`
pub(super) async fn show(
    State(store): State<Store>,
    Path((org, environment, expression)): Path<(String, String, String)>,
) -> Result<WrittenJson, Refusal> {
    let expression: Expression =
        expression.parse().map_err(|error| Refusal::bad_request(format!("{error}")))?;
    let wanted = Snappish { environment, expression };
    let (of, meant) = (org.clone(), wanted.clone());
    let shown = move |[found]: [Found; 1]| match found {
        Found::Snapshot(found) => {
            WrittenJson::new(&document::snapshot(&of, &meant.environment, found))
        }
        Found::NoEnvironment => Err(Refusal::no_environment(&of, &meant.environment)),
        Found::NoSnapshot { index, count } => Err(no_snapshot(&of, &meant, index, count)),
    };
    store.snapshots_as(&org, [wanted], shown).await?
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

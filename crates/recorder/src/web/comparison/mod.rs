//! The comparison of two snapshots.

mod between;
mod differences;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use envsnap_model::expression::Snappish;
use maud::{Markup, html};

use self::between::{ComparedSnapshot, PeriodBetween};
use self::differences::differences;
use super::environment::address;
use super::form::{Field, no_such_snapshot_message, parse_snapshot_field};
use super::frame::Frame;
use super::provenance::Columns;
use crate::domain::Error;
use crate::http::request::Parameters;
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;

/// The form that chooses two snapshots, which may be of two environments.
pub(crate) fn form(org: &str, from: &str, to: &str) -> Markup {
    form_with_errors(org, [from, to].map(str::to_owned), [None, None])
}

fn form_with_errors(org: &str, values: [String; 2], errors: [Option<String>; 2]) -> Markup {
    let [from, to] = values;
    let [from_error, to_error] = errors;
    html! {
        form.compare method="get" action={"/" (org) "/compare"} {
            @for (label, name, value, error) in
                [("From", "from", from, from_error), ("To", "to", to, to_error)]
            {
                (Field { name, label, value, placeholder: "aws-prod#65", error }.render())
            }
            button { "Compare" }
            p.hint {
                "Any two snapshots of this organization: " code { "aws-prod#65" } ", "
                code { "aws-prod~1" } " (one before the latest), "
                code { "aws-prod@{2026-11-26 15:00}" } " (a time, in UTC unless it names a zone), "
                code { "aws-prod@{2 hours ago}" } " or " code { "aws-prod" } " (the latest)."
            }
        }
    }
}

/// `GET /{org}/compare?from=&to=`
pub(crate) async fn show<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    parameters: Parameters,
) -> Result<Response, Error> {
    let now = store.now().seconds();
    let given = ["from", "to"].map(|name| parameters.last(name));
    let values = given.map(|text| text.unwrap_or_default().to_owned());
    if given == [None, None] {
        return Ok(form_page(&org, values, [None, None]).into_response());
    }
    let [from, to] = values.each_ref().map(|text| parse_snapshot_field(text, now));
    let (from, to) = match (from, to) {
        (Ok(from), Ok(to)) => (from, to),
        (from, to) => {
            let page = form_page(&org, values, [from.err(), to.err()]);
            return Ok((StatusCode::BAD_REQUEST, page).into_response());
        }
    };
    let has_provenance = store.has_provenance(&org).await?;
    let (of_org, wanted) = (org.clone(), [from.clone(), to.clone()]);
    let expressions = wanted.clone();
    let read = move |snapshots: [_; 2]| {
        let columns = Columns::new(&of_org, has_provenance);
        let sides = [0, 1].map(|at| ComparedSnapshot::new(&expressions[at], &snapshots[at], now));
        let running = between::running_in_either(&snapshots);
        (sides, running, differences(columns, &expressions, snapshots))
    };
    match store.snapshots(&org, wanted, read).await {
        Ok((sides, running, differences)) => {
            let between = PeriodBetween::read(&store, &org, sides, &running, now).await?;
            Ok(comparison_page(&org, &between, &differences).into_response())
        }
        Err(error) => form_for_missing_snapshot(&org, values, [&from, &to], error),
    }
}

/// The form, with the error beside the field whose snapshot does not exist; any other error is returned.
fn form_for_missing_snapshot(
    org: &str,
    values: [String; 2],
    sides: [&Snappish; 2],
    error: Error,
) -> Result<Response, Error> {
    let is_missing = |side: &Snappish| match &error {
        Error::EnvironmentNotFound { name, .. } => *name == side.environment,
        Error::SnapshotNotFound { snapshot, .. } => *snapshot == side.to_string(),
        _ => false,
    };
    let missing = sides.map(is_missing);
    if missing == [false, false] {
        return Err(error);
    }
    let message = match &error {
        Error::SnapshotNotFound { snapshot, environment, count, .. } => {
            no_such_snapshot_message(snapshot, environment, *count)
        }
        Error::EnvironmentNotFound { name, archived: true, .. } => {
            format!("Environment {name} is archived")
        }
        Error::EnvironmentNotFound { name, .. } => format!("There is no environment {name}"),
        error => error.to_string(),
    };
    let errors = missing.map(|is_missing| is_missing.then(|| message.clone()));
    Ok((StatusCode::NOT_FOUND, form_page(org, values, errors)).into_response())
}

fn form_page(org: &str, values: [String; 2], errors: [Option<String>; 2]) -> Html<String> {
    let main = html! {
        h1 { "Compare two snapshots" }
        (form_with_errors(org, values, errors))
    };
    Frame {
        title: "Compare two snapshots",
        breadcrumbs: &[(org, format!("/{org}/environments"))],
        org: Some(org),
        ..Frame::default()
    }
    .render(&main)
}

fn comparison_page(org: &str, between: &PeriodBetween, differences: &Markup) -> Html<String> {
    let [from, to] = &between.sides;
    let title = format!("{} to {}", from.display_name(), to.display_name());
    let mut breadcrumbs = vec![(org, format!("/{org}/environments"))];
    if from.environment == to.environment {
        breadcrumbs.push((&from.environment, address(org, &from.environment)));
    }
    let main = html! {
        h1 {
            @if from.environment == to.environment {
                "What changed from " span.one { (from.display_name()) }
                " to " span.one { (to.display_name()) }
            } @else {
                "What differs between " span.one { (from.display_name()) }
                " and " span.one { (to.display_name()) }
            }
        }
        (between.facts(org))
        (differences)
        (between.interim(org))
        section aria-labelledby="compare" {
            h2 id="compare" { "Compare others" }
            (form(org, &from.display_name(), &to.display_name()))
            p { a href=(json_url(org, from, to)) { "This comparison as JSON" } }
        }
    };
    Frame { title: &title, breadcrumbs: &breadcrumbs, org: Some(org), ..Frame::default() }
        .render(&main)
}

fn json_url(org: &str, from: &ComparedSnapshot, to: &ComparedSnapshot) -> String {
    let [from, to] = [from, to].map(|side| format!("{}%23{}", side.environment, side.index));
    format!("/api/v2/env-diff/{org}?snappish1={from}&snappish2={to}")
}

//! *What ran at …*: the form, and its answer for one environment or for all of them.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use envsnap_model::expression::{Expression, Snappish};
use jiff::Timestamp;
use maud::{Markup, html};

use super::artifact_name::{label, truncate};
use super::environment::address;
use super::form::{Field, MAX_QUOTE_CHARS, name_filter, parse_time_field, urlencode};
use super::frame::{Frame, navigation};
use super::history::describe_gap;
use super::pager::pager;
use super::provenance::marks;
use super::time::{time, time_in_both, utc};
use crate::domain::{EnvironmentRecord, Error, OrgFilter, Page, SnapshotArtifact, SnapshotRecord};
use crate::http::request::Parameters;
use crate::http::views::report_gap;
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;
use crate::text::pluralize;

/// Environments on one page.
const PAGE_SIZE: u32 = 25;
/// Listed artifacts per environment; the page of the snapshot lists all of them.
const MAX_LISTED_ARTIFACTS: usize = 12;

/// The earliest time that can be asked for: 0000-01-01T00:00:00Z.
const MIN_TIME: Timestamp = Timestamp::constant(-62_167_219_200, 0);

/// The form "What ran at", which asks for a time. `path` is the URL path that it is sent to.
pub(crate) fn time_form(path: &str, value: &str, error: Option<String>) -> Markup {
    let field = Field {
        name: "time",
        label: "What ran at",
        value: value.to_owned(),
        placeholder: "yesterday 14:05",
        error,
    };
    html! {
        form.at method="get" action=(path) {
            (field.render())
            button { "Show" }
            p.hint {
                "A time in UTC unless it names a zone: " code { "2026-11-26 16:00" } ", "
                code { "2026-11-26 16:00 +01:00" } ", " code { "yesterday 14:05" } " or "
                code { "2 hours ago" } "."
            }
        }
    }
}

/// The URL path of "What ran at" for one environment.
pub(crate) fn environment_at_path(org: &str, environment: &str) -> String {
    format!("{}/at", address(org, environment))
}

/// The snapshot expression `@{TIME}`.
fn time_expression(time: Timestamp) -> String {
    format!("@{{{}}}", time.strftime("%Y-%m-%dT%H:%M:%S%.f"))
}

/// # Errors
/// A sentence that says why the text is not a time in the past.
fn parse_past_time(text: &str, now: f64) -> Result<Timestamp, String> {
    let time = parse_time_field(text, now)?;
    if time.as_duration().as_secs_f64() > now {
        return Err(format!(
            "{} is in the future: it is {} now",
            utc(time.as_duration().as_secs_f64()),
            utc(now)
        ));
    }
    // Expressions, as addresses have them, know no such years.
    if time < MIN_TIME {
        return Err(format!("{} is before the year 0", truncate(text.trim(), MAX_QUOTE_CHARS)));
    }
    Ok(time)
}

/// `GET /{org}/environments/{environment}/at?time=`: redirects to the snapshot of that time, whose URL
/// has the absolute time.
pub(crate) async fn show_environment_at<S: Store>(
    State(store): State<S>,
    Path((org, environment)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Response, Error> {
    // An error instead of a form if there is no such environment.
    store.environment(&org, &environment).await?;
    let text = parameters.last("time");
    let page = |status, error| {
        let main = html! {
            h1 { "What ran in " (environment) }
            (time_form(&environment_at_path(&org, &environment), text.unwrap_or_default(), error))
        };
        let frame = Frame {
            title: &environment,
            breadcrumbs: &[
                (&org, format!("/{org}/environments")),
                (&environment, address(&org, &environment)),
            ],
            org: Some(&org),
            ..Frame::default()
        };
        (status, frame.render(&main)).into_response()
    };
    let Some(text) = text else { return Ok(page(StatusCode::OK, None)) };
    let time = match parse_past_time(text, store.now().seconds()) {
        Ok(time) => time,
        Err(error) => return Ok(page(StatusCode::BAD_REQUEST, Some(error))),
    };
    let expression = time_expression(time);
    match store
        .snapshots(&org, [snapshot_in_environment(&environment, &expression)?], |[_]| ())
        .await
    {
        Ok(()) => {
            let url =
                format!("{}/snapshots/{}", address(&org, &environment), urlencode(&expression));
            Ok(Redirect::to(&url).into_response())
        }
        Err(Error::SnapshotNotFound { .. }) => {
            let error = not_recorded_message(&store, &org, &environment, time).await?;
            Ok(page(StatusCode::NOT_FOUND, Some(error)))
        }
        Err(error) => Err(error),
    }
}

/// The snapshot of the environment that `expression` is about, as `@{TIME}`.
fn snapshot_in_environment(environment: &str, expression: &str) -> Result<Snappish, Error> {
    let expression: Expression =
        expression.parse().map_err(|error| Error::bad_request(format!("{error}")))?;
    Ok(Snappish { environment: environment.to_owned(), expression })
}

/// Says that the environment had no snapshot at `time`, and when its first report was.
async fn not_recorded_message<S: Store>(
    store: &S,
    org: &str,
    environment: &str,
    time: Timestamp,
) -> Result<String, Error> {
    let first = "1".parse().map_err(|_| Error::Fault)?;
    let page = Page { number: 1, size: 1 };
    let first = store.snapshot_spans(org, environment, first, page, true).await?;
    let time = utc(time.as_duration().as_secs_f64());
    Ok(match first.first() {
        Some(first) => format!(
            "Nothing was recorded by {time}: the first report is from {}",
            utc(first.from.seconds())
        ),
        None => "Nothing was recorded in this environment yet".to_owned(),
    })
}

/// `GET /at?time=`: what ran at that time in the environments of all organizations that the caller may
/// read.
pub(crate) async fn show_all_environments_at<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Extension(readable): Extension<OrgFilter>,
    parameters: Parameters,
) -> Result<Response, Error> {
    render_environments_at(&store, readable, None, parameters).await
}

/// `GET /{org}/at?time=`: what ran at that time in the environments of the organization.
pub(crate) async fn show_org_environments_at<S: Store + ProvenanceStore>(
    State(store): State<S>,
    Path(org): Path<String>,
    parameters: Parameters,
) -> Result<Response, Error> {
    render_environments_at(&store, OrgFilter::Only(vec![org.clone()]), Some(&org), parameters).await
}

/// The page with the form and, if a time was given, what ran then in each environment.
async fn render_environments_at<S: Store + ProvenanceStore>(
    store: &S,
    readable: OrgFilter,
    org: Option<&str>,
    mut parameters: Parameters,
) -> Result<Response, Error> {
    let number = parameters.page(PAGE_SIZE).number;
    let page = Page { number, size: PAGE_SIZE };
    parameters.check()?;
    let (text, name) = (parameters.last("time"), parameters.last("name").unwrap_or_default());
    let path = org.map_or_else(|| "/at".to_owned(), |org| format!("/{org}/at"));
    let render = |status, error, answer: Markup| {
        let main = html! {
            h1 { "What ran in all environments" }
            (time_form(&path, text.unwrap_or_default(), error))
            (answer)
        };
        let title = "What ran in all environments";
        (status, Frame { title, org, ..Frame::default() }.render(&main)).into_response()
    };
    let Some(text) = text else { return Ok(render(StatusCode::OK, None, html! {})) };
    let now = store.now().seconds();
    let time = match parse_past_time(text, now) {
        Ok(time) => time,
        Err(error) => return Ok(render(StatusCode::BAD_REQUEST, Some(error), html! {})),
    };
    let expression = time_expression(time);
    let (environments, total) =
        store.list_environments(readable, Some(name.to_owned()), page).await?;
    let mut rows = Vec::new();
    for environment in environments {
        rows.push(Row::read(store, environment, &expression, now).await?);
    }
    let seconds = time.as_duration().as_secs_f64();
    let kept = format!("&time={}&name={}", urlencode(&time.to_string()), urlencode(name));
    let answer = html! {
        p.requested { "At " (time_in_both(seconds)) ":" }
        (name_filter("Environment", name, &[("time", &time.to_string())]))
        @if rows.is_empty() {
            p.empty { "No environment in use has such a name." }
        } @else {
            @for of_org in rows.chunk_by(|one, next| one.org == next.org) {
                (org_section(of_org, org.is_some(), &expression))
            }
        }
        (pager("page", page, total, &kept))
        p.quiet { "Environments that are archived are not listed." }
    };
    Ok(render(StatusCode::OK, None, answer))
}

/// An environment, and what ran in it at the requested time.
struct Row {
    org: String,
    environment: String,
    /// `None` if nothing was recorded by then.
    answer: Option<Markup>,
}

impl Row {
    /// Reads what ran in the environment at the time of `expression`, `@{TIME}`.
    async fn read<S: Store + ProvenanceStore>(
        store: &S,
        environment: EnvironmentRecord,
        expression: &str,
        now: f64,
    ) -> Result<Self, Error> {
        let EnvironmentRecord { org, name, .. } = environment;
        let has_provenance = store.has_provenance(&org).await?;
        let wanted = snapshot_in_environment(&name, expression)?;
        let at = wanted.expression.time(now).unwrap_or(now);
        let page = address(&org, &name);
        let read = move |[snapshot]: [SnapshotRecord; 1]| {
            snapshot_cells(&page, &snapshot, at, now, has_provenance)
        };
        let answer = match store.snapshots(&org, [wanted], read).await {
            Ok(answer) => Some(answer),
            Err(Error::SnapshotNotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { org, environment: name, answer })
    }
}

/// The table cells about the snapshot at time `at`: what ran, whether reports covered that time, and when
/// the snapshot was recorded. `address` is the URL path of the environment.
fn snapshot_cells(
    address: &str,
    snapshot: &SnapshotRecord,
    at: f64,
    now: f64,
    has_provenance: bool,
) -> Markup {
    let running: Vec<_> = snapshot.artifacts.iter().filter(|it| it.runs()).collect();
    let replicas: u64 = running.iter().map(|artifact| artifact.now).sum();
    let gap = snapshot.gaps.iter().map(report_gap).find(|gap| gap.contains(at));
    html! {
        td {
            a href={(address) "/snapshots/" (snapshot.index)} { "#" (snapshot.index) } ": "
            (pluralize(running.len() as u64, "artifact")) ", " (pluralize(replicas, "replica"))
            ul.runs {
                @for artifact in running.iter().take(MAX_LISTED_ARTIFACTS) {
                    li { (running_artifact(artifact, has_provenance)) }
                }
                @if running.len() > MAX_LISTED_ARTIFACTS {
                    li.quiet { "and " (running.len() - MAX_LISTED_ARTIFACTS) " more" }
                }
            }
        }
        td {
            @match &gap {
                Some(gap) => {
                    span.mark.uncovered { "not covered" }
                    span.beneath { (describe_gap(gap, now)) }
                },
                None => span.state { "covered by reports" },
            }
        }
        td { (time(snapshot.recorded_at.seconds())) }
    }
}

fn running_artifact(artifact: &SnapshotArtifact, has_provenance: bool) -> Markup {
    html! {
        (label(&artifact.name))
        @if has_provenance { (marks(artifact.provenance.as_deref())) }
        @if artifact.now > 1 { " ×" (artifact.now) }
    }
}

/// The table of an organization's environments.
fn org_section(rows: &[Row], is_one: bool, expression: &str) -> Markup {
    let org = rows.first().map_or("", |row| &row.org);
    html! {
        section {
            @if !is_one {
                h2 { a href={"/" (org) "/environments"} { (org) } }
                (navigation(org, "", ""))
            }
            div.wide tabindex="0" role="region" aria-label={"Environments of " (org)} {
                table.environments {
                    thead {
                        tr {
                            th scope="col" { "Environment" }
                            th scope="col" { "Ran" }
                            th scope="col" { "Coverage" }
                            th scope="col" { "Snapshot recorded" }
                        }
                    }
                    tbody {
                        @for row in rows {
                            tr {
                                @let page = address(org, &row.environment);
                                @match &row.answer {
                                    Some(cells) => {
                                        th scope="row" {
                                            a href={(page) "/snapshots/" (urlencode(expression))} {
                                                (row.environment)
                                            }
                                        }
                                        (cells)
                                    },
                                    None => {
                                        th scope="row" { a href=(page) { (row.environment) } }
                                        td { span.quiet { "nothing was recorded by then" } }
                                        td { span.quiet { "–" } }
                                        td { span.quiet { "–" } }
                                    },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The statement about the requested time on the page of a snapshot.
pub(crate) fn requested_time_notice(snapshot: &SnapshotRecord, at: f64, now: f64) -> Markup {
    let gap = snapshot.gaps.iter().map(report_gap).find(|gap| gap.contains(at));
    html! {
        p.requested { "At " (time_in_both(at)) " this was the latest snapshot." }
        @if let Some(gap) = gap {
            p.uncovered {
                "Not covered: " (describe_gap(&gap, now)) ". This is what was reported last before that; \
                 what ran then is not known."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use proptest::prelude::*;

    use super::*;
    use crate::server::LocalRecorder;
    use crate::store::sqlite::SqliteStore;

    /// 2026-11-26T15:00:00Z.
    const NOW: f64 = 1_795_705_200.0;

    #[test]
    fn time_before_the_year_0_is_refused_as_one_in_the_future_is() {
        for (text, expected) in [
            ("9999 years ago", Some("9999 years ago is before the year 0")),
            ("2027 years ago", Some("2027 years ago is before the year 0")),
            ("2026 years ago", None),
            ("0000-01-01", None),
            ("2026-11-27", Some("2026-11-27 00:00:00 UTC is in the future")),
        ] {
            let error = parse_past_time(text, NOW).err();
            match expected {
                Some(expected) => assert!(error.unwrap().starts_with(expected), "{text}"),
                None => assert_eq!(error, None, "{text}"),
            }
        }
    }

    #[tokio::test]
    async fn form_itself_shows_the_error_of_a_time_before_the_year_0() {
        let recorder = LocalRecorder::new(SqliteStore::in_memory().unwrap()).unwrap();
        let environment = r#"{"name": "prod", "type": "ECS", "description": ""}"#;
        let request = Request::put("/api/v2/environments/acme").body(environment.into()).unwrap();
        assert!(recorder.answer(request).await.status().is_success());
        for page in ["/acme/environments/prod/at", "/acme/at", "/at"] {
            let request = Request::get(format!("{page}?time=9999+years+ago"));
            let response = recorder.answer(request.body(Vec::new()).unwrap()).await;
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
            let html = String::from_utf8(response.into_body()).unwrap();
            for part in ["value=\"9999 years ago\"", "is before the year 0</bdi>"] {
                assert!(html.contains(part), "{page} {part} {html}");
            }
        }
    }

    proptest! {
        #[test]
        fn expression_of_each_time_that_is_accepted_is_parsed_to_that_time(
            seconds in -70_000_000_000_i64..1_795_705_200,
        ) {
            let time = Timestamp::from_second(seconds).unwrap();
            if let Ok(time) = parse_past_time(&time.to_string(), NOW) {
                let expression: Expression = time_expression(time).parse().unwrap();
                #[expect(clippy::cast_precision_loss, reason = "whole seconds")]
                let expected = seconds as f64;
                prop_assert_eq!(expression.time(NOW), Some(expected));
            }
        }
    }
}

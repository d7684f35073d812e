//! The request log.

use axum::body::HttpBody as _;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

use super::access::Caller;
use super::metrics::{Metrics, ReportedEnvironment};

/// The most characters of a path in the log.
const MAX_PATH_CHARS: usize = 300;

/// Counts the request and logs one line with the label of its token. Never logs the query or
/// headers, which may hold secrets.
pub(crate) async fn log_request(
    State(metrics): State<Metrics>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let path: String = request.uri().path().chars().take(MAX_PATH_CHARS).collect();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let received = request.body().size_hint().exact();
    let response = next.run(request).await;
    let (took, status) = (begun.elapsed(), response.status());
    let caller = response.extensions().get::<Caller>();
    let token = caller.map(Caller::actor);
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    metrics.record_response(&method, route, status, took);
    if let Some(reported) = response.extensions().get::<ReportedEnvironment>() {
        metrics.reported(reported);
    }
    tracing::info!(
        token,
        %method,
        path,
        status = status.as_u16(),
        milliseconds = (took.as_secs_f64() * 1e6).round() / 1e3,
        received_bytes = received,
        sent_bytes = response.body().size_hint().exact(),
    );
    response
}

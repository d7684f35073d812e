//! Whether the recorder can do its work, and how much of it there is.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use tokio::time::{Duration, timeout};

use crate::error_chain::error_chain;
use crate::recorder::answer::Refusal;
use crate::recorder::metrics::Metrics;
use crate::recorder::store::{Readiness, Store};

/// Longer than this is not ready, whatever it waits for.
const PATIENCE: Duration = Duration::from_secs(5);

/// `GET /ready`: 200 where the file can be read and written, 503 otherwise. It takes no token.
pub(super) async fn ready(
    State((store, _)): State<(Store, Metrics)>,
) -> Result<Json<&'static str>, Refusal> {
    let unavailable = |message: &str| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message);
    match timeout(PATIENCE, store.readiness()).await {
        Ok(Readiness::Ready) => Ok(Json("OK")),
        Ok(Readiness::NoTime) => {
            Err(unavailable("The recorder's clock is wrong; its log says more"))
        }
        Ok(Readiness::NoFile) => {
            Err(unavailable("The recorder cannot read and write its file; its log says why"))
        }
        Err(_) => Err(unavailable("The recorder waits for its file")),
    }
}

/// `GET /metrics`, in Prometheus' text form.
pub(super) async fn metrics(
    State((store, metrics)): State<(Store, Metrics)>,
) -> Result<impl IntoResponse, Refusal> {
    let figures = store.figures().await?;
    let text = metrics.text(figures).map_err(|error| {
        tracing::error!("{}", error_chain(&error));
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "The metrics cannot be written")
    })?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text))
}

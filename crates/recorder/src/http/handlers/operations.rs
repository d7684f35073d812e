//! Whether the recorder can do its work, and how much of it there is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use tokio::sync::Mutex;
use tokio::time::{Duration, Instant, timeout};

use envsnap_model::error_chain;

use crate::domain::Error;
use crate::http::metrics::Metrics;
use crate::store::Store;

/// Longer than this is not ready, whatever it waits for.
const READINESS_TIMEOUT: Duration = Duration::from_secs(5);

/// How long what a probe found is answered again: each is a commit, and anyone may ask.
const PROBE_TTL: Duration = Duration::from_secs(1);

/// What an operator's questions are answered from.
#[derive(Clone)]
pub(crate) struct Operations<S> {
    store: S,
    metrics: Metrics,
    /// When the last probe ended, and what it found.
    last_probe: Arc<Mutex<Option<(Instant, Readiness)>>>,
}

/// Whether a report could be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Ready,
    ClockIsWrong,
    FileFails,
}

impl<S: Store> Operations<S> {
    pub(crate) fn new(store: S, metrics: Metrics) -> Self {
        Self { store, metrics, last_probe: Arc::default() }
    }

    /// Whether a report could be recorded, as it was at most a second ago. Logs why not.
    async fn readiness(&self) -> Readiness {
        // Those who ask at once wait for the same probe.
        let mut last_probe = self.last_probe.lock().await;
        if let Some((at, found)) = *last_probe
            && at.elapsed() < PROBE_TTL
        {
            return found;
        }
        let found = match self.store.check_writable().await {
            Ok(()) => Readiness::Ready,
            Err(error) => {
                tracing::error!("not ready: {}", error_chain(&error));
                match error {
                    Error::ClockIsWrong { .. } => Readiness::ClockIsWrong,
                    _ => Readiness::FileFails,
                }
            }
        };
        *last_probe = Some((Instant::now(), found));
        found
    }
}

/// `GET /ready`: 200 if a report could be recorded, 503 otherwise. It takes no token.
pub(crate) async fn ready<S: Store>(
    State(operations): State<Operations<S>>,
) -> Result<Json<&'static str>, Error> {
    let message = match timeout(READINESS_TIMEOUT, operations.readiness()).await {
        Ok(Readiness::Ready) => return Ok(Json("OK")),
        Ok(Readiness::ClockIsWrong) => "The recorder's clock is wrong; its log says more",
        Ok(Readiness::FileFails) => "The recorder cannot read and write its file; its log says why",
        Err(_) => "The recorder waits for its file",
    };
    Err(Error::busy(message))
}

/// `GET /metrics`, in Prometheus' text form.
pub(crate) async fn metrics<S: Store>(
    State(Operations { store, metrics, .. }): State<Operations<S>>,
) -> Result<impl IntoResponse, Error> {
    let text = metrics.text(store.stats().await?).map_err(|error| {
        tracing::error!("{}", error_chain(&error));
        Error::Fault
    })?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text))
}

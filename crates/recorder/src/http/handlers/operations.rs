//! Readiness and metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use tokio::sync::Mutex;
use tokio::time::{Duration, Instant, timeout};

use envsnap_model::error_chain;

use crate::domain::Error;
use crate::http::mark_counts::MarkCounts;
use crate::http::metrics::Metrics;
use crate::store::Store;
use crate::store::provenance::ProvenanceStore;

/// A readiness probe that takes longer counts as not ready.
const READINESS_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the result of a readiness probe is reused: each probe is a commit, and anyone may call it.
const PROBE_TTL: Duration = Duration::from_secs(1);

/// The state of the routes for operators: what readiness and metrics are read from.
#[derive(Clone)]
pub(crate) struct Operations<S> {
    store: S,
    metrics: Metrics,
    mark_counts: MarkCounts,
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
    pub(crate) fn new(store: S, metrics: Metrics, mark_counts: MarkCounts) -> Self {
        Self { store, metrics, mark_counts, last_probe: Arc::default() }
    }

    /// Whether a report could be recorded, at most one second old. Logs the reason if not.
    async fn readiness(&self) -> Readiness {
        // Concurrent requests share one probe.
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

/// `GET /ready`: 200 if a report could be recorded, 503 otherwise. It needs no token.
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

/// `GET /metrics`, in the Prometheus text format.
pub(crate) async fn metrics<S: Store + ProvenanceStore>(
    State(Operations { store, metrics, mark_counts, .. }): State<Operations<S>>,
) -> Result<impl IntoResponse, Error> {
    let stats = store.stats().await?;
    let mut marked = BTreeMap::new();
    for of_org in stats.by_environment.chunk_by(|one, next| one.org == next.org) {
        let org = &of_org[0].org;
        marked.insert(org.clone(), mark_counts.of_org(&store, org).await?);
    }
    let text = metrics.text(&stats, &marked, store.now()).map_err(|error| {
        tracing::error!("{}", error_chain(&error));
        Error::Fault
    })?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text))
}

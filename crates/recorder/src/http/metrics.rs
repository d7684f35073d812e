//! What a recorder counts, in the Prometheus text format.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

use super::log_writer::dropped_log_lines;
use crate::domain::StoreStats;

/// The metrics cannot be registered or encoded.
#[derive(Debug, thiserror::Error)]
#[error("cannot register or encode metrics")]
pub struct MetricsError(#[from] prometheus::Error);

/// In seconds: from a report on a fast disk to the request timeout.
const LATENCY_BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 60.0];

/// The route of reports.
pub(crate) const REPORT_ROUTE: &str = "/api/v2/environments/{org}/{environment}/report/ECS";

/// The counters of one recorder. Clones share them.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Counters>);

struct Counters {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    reports: IntCounterVec,
    snapshots: IntGauge,
    environments: IntGauge,
    file_bytes: IntGauge,
    last_reports: GaugeVec,
    connections: IntGauge,
    refused_connections: IntCounter,
    slow_readers: IntCounter,
    panics: IntCounter,
    dropped_log_lines: IntCounter,
}

/// An open connection is counted until this is dropped.
pub(crate) struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, MetricsError> {
        let requests = IntCounterVec::new(
            Opts::new("envsnap_requests_total", "Requests that were answered."),
            &["method", "route", "status"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new("envsnap_request_duration_seconds", "How long an answer took.")
                .buckets(LATENCY_BUCKETS.to_vec()),
            &["method", "route"],
        )?;
        let reports = IntCounterVec::new(
            Opts::new(
                "envsnap_reports_total",
                "Reports: created made a snapshot, unchanged said nothing new, rejected were \
                 refused, failed could not be recorded.",
            ),
            &["outcome"],
        )?;
        let gauge = IntGauge::new;
        let snapshots = gauge("envsnap_snapshots", "Snapshots in the file.")?;
        let environments = gauge("envsnap_environments", "Environments that are not archived.")?;
        let file_bytes = gauge("envsnap_file_bytes", "The size of the file.")?;
        let last_reports = GaugeVec::new(
            Opts::new(
                "envsnap_last_report_timestamp_seconds",
                "When each environment was last reported, in seconds since the Unix epoch.",
            ),
            &["org", "environment"],
        )?;
        let connections = gauge("envsnap_connections", "Connections that are open.")?;
        let refused_connections = IntCounter::new(
            "envsnap_connections_refused_total",
            "Connections that were refused, because there were too many, or not accepted.",
        )?;
        let slow_readers = IntCounter::new(
            "envsnap_slow_readers_closed_total",
            "Connections that were closed because their client did not read what it was sent.",
        )?;
        let panics = IntCounter::new(
            "envsnap_panics_total",
            "Requests that were answered 500 because of a fault in the recorder.",
        )?;
        let dropped_log_lines = IntCounter::new(
            "envsnap_log_lines_dropped_total",
            "Log lines that were dropped, because standard error was not read fast enough.",
        )?;
        for outcome in ["created", "unchanged", "rejected", "failed"] {
            reports.with_label_values(&[outcome]);
        }
        let registry = Registry::new();
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(reports.clone()))?;
        registry.register(Box::new(snapshots.clone()))?;
        registry.register(Box::new(environments.clone()))?;
        registry.register(Box::new(file_bytes.clone()))?;
        registry.register(Box::new(last_reports.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        for counter in [&refused_connections, &slow_readers, &panics, &dropped_log_lines] {
            registry.register(Box::new(counter.clone()))?;
        }
        Ok(Self(Arc::new(Counters {
            registry,
            requests,
            durations,
            reports,
            snapshots,
            environments,
            file_bytes,
            last_reports,
            connections,
            refused_connections,
            slow_readers,
            panics,
            dropped_log_lines,
        })))
    }

    pub(crate) fn connection_opened(&self) -> OpenConnection {
        self.0.connections.inc();
        OpenConnection(self.0.connections.clone())
    }

    pub(crate) fn connection_refused(&self) {
        self.0.refused_connections.inc();
    }

    pub(crate) fn slow_reader_closed(&self) {
        self.0.slow_readers.inc();
    }

    pub(crate) fn panicked(&self) {
        self.0.panics.inc();
    }

    /// Counts a response. `route` is a pattern: each path would be a time series of its own.
    pub(crate) fn answered(
        &self,
        method: &Method,
        route: &str,
        status: StatusCode,
        took: Duration,
    ) {
        let Counters { requests, durations, reports, .. } = &*self.0;
        // Clients can invent methods, and each would be a time series.
        let method = match *method {
            Method::GET | Method::HEAD | Method::PUT | Method::POST | Method::PATCH => {
                method.as_str()
            }
            _ => "other",
        };
        requests.with_label_values(&[method, route, status.as_str()]).inc();
        durations.with_label_values(&[method, route]).observe(took.as_secs_f64());
        if method == "PUT" && route == REPORT_ROUTE {
            let outcome = match status {
                StatusCode::CREATED => "created",
                _ if status.is_success() => "unchanged",
                _ if status.is_client_error() => "rejected",
                _ => "failed",
            };
            reports.with_label_values(&[outcome]).inc();
        }
    }

    /// The numbers of open and of refused connections.
    #[cfg(test)]
    pub(crate) fn connection_counts(&self) -> (i64, u64) {
        (self.0.connections.get(), self.0.refused_connections.get())
    }

    #[cfg(test)]
    pub(crate) fn slow_readers(&self) -> u64 {
        self.0.slow_readers.get()
    }

    /// All metrics, with the store's statistics.
    pub(crate) fn text(&self, stats: StoreStats) -> Result<String, MetricsError> {
        let counters = &*self.0;
        counters.snapshots.set(stats.snapshots);
        counters.environments.set(stats.environments);
        counters.file_bytes.set(stats.bytes);
        let dropped = dropped_log_lines().saturating_sub(counters.dropped_log_lines.get());
        counters.dropped_log_lines.inc_by(dropped);
        // Renamed and archived environments must disappear.
        counters.last_reports.reset();
        for (org, environment, at) in stats.last_reports {
            counters.last_reports.with_label_values(&[org, environment]).set(at.seconds());
        }
        Ok(TextEncoder::new().encode_to_string(&counters.registry.gather())?)
    }
}

//! What a recorder counts, in Prometheus' text form.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use super::routes::REPORT;
use super::store::Figures;

/// The metrics cannot be set up or written.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be counted or written")]
pub struct MetricsError(#[from] prometheus::Error);

/// From a millisecond, which a report on a fast disk takes, to the longest that a request may.
const SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 60.0];

/// The counters of one recorder. Clones share them.
#[derive(Clone)]
pub(super) struct Metrics(Arc<Counters>);

struct Counters {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    reports: IntCounterVec,
    snapshots: IntGauge,
    environments: IntGauge,
    file_bytes: IntGauge,
    last_reports: GaugeVec,
}

impl Metrics {
    pub(super) fn new() -> Result<Self, MetricsError> {
        let requests = IntCounterVec::new(
            Opts::new("envsnap_requests_total", "Requests that were answered."),
            &["method", "route", "status"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new("envsnap_request_duration_seconds", "How long an answer took.")
                .buckets(SECONDS.to_vec()),
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
        Ok(Self(Arc::new(Counters {
            registry,
            requests,
            durations,
            reports,
            snapshots,
            environments,
            file_bytes,
            last_reports,
        })))
    }

    /// Counts an answer. `route` is a pattern: a path would be a time series of its own.
    pub(super) fn answered(
        &self,
        method: &Method,
        route: &str,
        status: StatusCode,
        took: Duration,
    ) {
        let Counters { requests, durations, reports, .. } = &*self.0;
        // Clients may make up methods.
        let method = match *method {
            Method::GET | Method::HEAD | Method::PUT | Method::POST => method.as_str(),
            _ => "other",
        };
        requests.with_label_values(&[method, route, status.as_str()]).inc();
        durations.with_label_values(&[method, route]).observe(took.as_secs_f64());
        if method == "PUT" && route == REPORT {
            let outcome = match status {
                StatusCode::CREATED => "created",
                _ if status.is_success() => "unchanged",
                _ if status.is_client_error() => "rejected",
                _ => "failed",
            };
            reports.with_label_values(&[outcome]).inc();
        }
    }

    /// Everything that was counted, and the file's own figures.
    pub(super) fn text(&self, figures: Figures) -> Result<String, MetricsError> {
        let counters = &*self.0;
        counters.snapshots.set(figures.snapshots);
        counters.environments.set(figures.environments);
        counters.file_bytes.set(figures.bytes);
        // An environment that was renamed or archived has no more of it.
        counters.last_reports.reset();
        for (org, environment, at) in figures.last_reports {
            counters.last_reports.with_label_values(&[org, environment]).set(at);
        }
        Ok(TextEncoder::new().encode_to_string(&counters.registry.gather())?)
    }
}

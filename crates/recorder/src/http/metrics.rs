//! What a recorder counts, in the Prometheus text format.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use super::log_writer::dropped_log_lines;
use super::mark_counts::MarksByEnvironment;
use crate::domain::{EnvironmentStats, Micros, StoreStats};
use crate::web::Mark;

/// The metrics cannot be registered or encoded.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the metrics, or encode them for a response")]
pub struct MetricsError(#[from] prometheus::Error);

/// The buckets of the request durations, in seconds: from a report on a fast disk to the request timeout.
const LATENCY_BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 60.0];

/// The route of reports.
pub(crate) const REPORT_ROUTE: &str = "/api/v2/environments/{org}/{environment}/report/ECS";

/// The most environments with metrics of their own, which are six series each.
const MAX_ENVIRONMENTS: usize = 1_000;

/// The environment of a recorded report: an extension of the response, from which it is counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReportedEnvironment {
    pub(crate) org: String,
    pub(crate) environment: String,
}

/// Metrics with the labels of an environment.
struct EnvironmentMetrics {
    last_report: GaugeVec,
    is_covered: IntGaugeVec,
    rogue: IntGaugeVec,
    snapshots: IntGaugeVec,
    changes: IntCounterVec,
    reports: IntCounterVec,
    omitted: IntGauge,
    /// Reports since the start, of environments that may be renamed or archived since.
    reported: Mutex<BTreeMap<ReportedEnvironment, u64>>,
}

impl EnvironmentMetrics {
    const LABELS: [&str; 2] = ["org", "environment"];

    fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let gauge = |name, help| IntGaugeVec::new(Opts::new(name, help), &Self::LABELS);
        let counter = |name, help| IntCounterVec::new(Opts::new(name, help), &Self::LABELS);
        let metrics = Self {
            last_report: GaugeVec::new(
                Opts::new(
                    "envsnap_last_report_timestamp_seconds",
                    "When each environment was last reported, in seconds since the Unix epoch.",
                ),
                &Self::LABELS,
            )?,
            is_covered: gauge(
                "envsnap_environment_covered",
                "1 if the last report is younger than its heartbeat and ten minutes, or two hours \
                 without a heartbeat; 0 if it is not known what runs.",
            )?,
            rogue: gauge(
                "envsnap_environment_rogue_artifacts",
                "Artifacts that run, and that no flow has reported and no one has allowed.",
            )?,
            snapshots: gauge("envsnap_environment_snapshots", "Snapshots of the environment.")?,
            changes: counter(
                "envsnap_environment_changes_total",
                "Starts, exits and changes of replicas in all snapshots of the environment.",
            )?,
            reports: counter(
                "envsnap_environment_reports_total",
                "Reports of the environment that were recorded since the recorder started.",
            )?,
            omitted: IntGauge::new(
                "envsnap_environments_without_metrics",
                "Environments beyond the first thousand by organization and name, which have no \
                 metrics of their own.",
            )?,
            reported: Mutex::default(),
        };
        registry.register(Box::new(metrics.last_report.clone()))?;
        registry.register(Box::new(metrics.omitted.clone()))?;
        for gauge in [&metrics.is_covered, &metrics.rogue, &metrics.snapshots] {
            registry.register(Box::new(gauge.clone()))?;
        }
        for counter in [&metrics.changes, &metrics.reports] {
            registry.register(Box::new(counter.clone()))?;
        }
        Ok(metrics)
    }

    /// Replaces the values of all environments by these; `marked` is by organization.
    fn set(
        &self,
        environments: &[EnvironmentStats],
        marked: &BTreeMap<String, MarksByEnvironment>,
        now: Micros,
    ) {
        // Renamed and archived environments must disappear.
        self.last_report.reset();
        for gauge in [&self.is_covered, &self.rogue, &self.snapshots] {
            gauge.reset();
        }
        for counter in [&self.changes, &self.reports] {
            counter.reset();
        }
        let reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        for environment in environments.iter().take(MAX_ENVIRONMENTS) {
            let EnvironmentStats { org, name, last_reported_at, snapshots, changes, .. } =
                environment;
            let labels = [org, name];
            let key = ReportedEnvironment { org: org.clone(), environment: name.clone() };
            let reports = reported.get(&key).copied().unwrap_or_default();
            self.reports.with_label_values(&labels).inc_by(reports);
            self.snapshots.with_label_values(&labels).set(i64::from(*snapshots));
            self.changes.with_label_values(&labels).inc_by(*changes);
            if let (Some(at), Some(is_covered)) = (last_reported_at, environment.is_covered(now)) {
                self.last_report.with_label_values(&labels).set(at.seconds());
                self.is_covered.with_label_values(&labels).set(is_covered.into());
            }
            if let Some(of_org) = marked.get(org) {
                let count = of_org.get(name).and_then(|marks| marks.get(&Mark::Rogue));
                let count = count.copied().unwrap_or_default();
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                self.rogue.with_label_values(&labels).set(count);
            }
        }
        let omitted = environments.len().saturating_sub(MAX_ENVIRONMENTS);
        self.omitted.set(i64::try_from(omitted).unwrap_or(i64::MAX));
    }
}

/// The counters of one recorder. Clones share them.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Counters>);

/// The Prometheus metrics, and the registry that encodes them.
struct Counters {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    reports: IntCounterVec,
    snapshots: IntGauge,
    environments: IntGauge,
    file_bytes: IntGauge,
    by_environment: EnvironmentMetrics,
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
            Opts::new("envsnap_requests_total", "Requests that got a response."),
            &["method", "route", "status"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new("envsnap_request_duration_seconds", "Time until the response.")
                .buckets(LATENCY_BUCKETS.to_vec()),
            &["method", "route"],
        )?;
        let reports = IntCounterVec::new(
            Opts::new(
                "envsnap_reports_total",
                "Reports: created made a snapshot, unchanged equalled the latest snapshot, rejected were \
                 refused, failed could not be recorded.",
            ),
            &["outcome"],
        )?;
        let gauge = IntGauge::new;
        let snapshots = gauge("envsnap_snapshots", "Snapshots in the file.")?;
        let environments = gauge("envsnap_environments", "Environments that are not archived.")?;
        let file_bytes = gauge("envsnap_file_bytes", "The size of the file.")?;
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
            "Responses with status 500 because of a bug in the recorder.",
        )?;
        let dropped_log_lines = IntCounter::new(
            "envsnap_log_lines_dropped_total",
            "Log lines that were dropped, because standard error was not read fast enough.",
        )?;
        for outcome in ["created", "unchanged", "rejected", "failed"] {
            reports.with_label_values(&[outcome]);
        }
        let registry = Registry::new();
        let by_environment = EnvironmentMetrics::new(&registry)?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(reports.clone()))?;
        registry.register(Box::new(snapshots.clone()))?;
        registry.register(Box::new(environments.clone()))?;
        registry.register(Box::new(file_bytes.clone()))?;
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
            by_environment,
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

    /// Counts a connection that was closed because its client did not read the response.
    pub(crate) fn slow_reader_closed(&self) {
        self.0.slow_readers.inc();
    }

    /// Counts a response with status 500 because of a panic.
    pub(crate) fn panicked(&self) {
        self.0.panics.inc();
    }

    /// Counts a response. `route` is a pattern: each path would be a time series of its own.
    pub(crate) fn record_response(
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

    /// Counts a report that was recorded.
    pub(crate) fn reported(&self, reported: &ReportedEnvironment) {
        let counts = &self.0.by_environment.reported;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(reported.clone()).or_default() += 1;
    }

    /// The numbers of open and of refused connections.
    #[cfg(test)]
    pub(crate) fn connection_counts(&self) -> (i64, u64) {
        (self.0.connections.get(), self.0.refused_connections.get())
    }

    /// How many connections were closed because their client did not read the response.
    #[cfg(test)]
    pub(crate) fn slow_readers(&self) -> u64 {
        self.0.slow_readers.get()
    }

    /// All metrics, with the store's statistics, and the marked artifacts of each organization.
    pub(crate) fn text(
        &self,
        stats: &StoreStats,
        marked: &BTreeMap<String, MarksByEnvironment>,
        now: Micros,
    ) -> Result<String, MetricsError> {
        let counters = &*self.0;
        counters.snapshots.set(stats.snapshots);
        counters.environments.set(stats.environments);
        counters.file_bytes.set(stats.bytes);
        let dropped = dropped_log_lines().saturating_sub(counters.dropped_log_lines.get());
        counters.dropped_log_lines.inc_by(dropped);
        counters.by_environment.set(&stats.by_environment, marked, now);
        Ok(TextEncoder::new().encode_to_string(&counters.registry.gather())?)
    }
}

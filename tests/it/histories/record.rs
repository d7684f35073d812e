//! What a snapshot server keeps of an environment.

use std::collections::{BTreeMap, BTreeSet};

use envsnap::api::wire::EcsReport;
use envsnap::snapshot::Artifact;
use serde_json::json;

use super::account::{Counts, SOFTWARE, is_fingerprint};
use super::server::ServerFault;
use super::timeline::Millis;

/// What a snapshot server supports.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerKind {
    pub(super) include_scaling: bool,
    pub(super) unknown: UnknownFingerprints,
    /// It takes the index of the latest snapshot as a condition of a report.
    pub(super) preconditions: bool,
}

/// What a server does with an artifact whose fingerprint is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnknownFingerprints {
    Shown,
    /// Recorded, and not shown.
    Hidden,
    /// Not even recorded.
    Dropped,
}

/// Writer of a report that comes from no process of the reporter, or from one that no longer waits
/// for the response.
pub(super) const OTHER_WRITER: usize = usize::MAX;

/// What a server keeps of an environment.
#[derive(Default)]
pub(super) struct EnvironmentRecord {
    pub(super) exists: bool,
    pub(super) archived: bool,
    snapshots: Vec<Vec<Artifact>>,
    pub(super) last_reported_at: Option<Millis>,
    /// Reports that will arrive yet.
    pub(super) late: Vec<(Millis, EcsReport)>,
    /// Who reported, in order.
    pub(super) writers: Vec<usize>,
    pub(super) visit: InvocationCalls,
}

/// The calls of one invocation for one environment, and the faults that they meet.
#[derive(Debug, Clone, Default)]
pub(super) struct InvocationCalls {
    /// Who asks.
    pub(super) process: usize,
    /// By the number of the call.
    pub(super) faults: BTreeMap<usize, ServerFault>,
    pub(super) calls: usize,
    pub(super) puts: Vec<SentReport>,
    /// A call that cannot be done without had no answer that can be used.
    pub(super) unusable: bool,
    /// The server responded that the environment does not exist.
    pub(super) missing: bool,
    /// Some call had no answer that can be used.
    pub(super) doubtful: bool,
}

/// A report that was sent.
#[derive(Debug, Clone)]
pub(super) struct SentReport {
    pub(super) at: Millis,
    pub(super) counts: Counts,
    pub(super) answered: bool,
    /// The answer was to the first request.
    pub(super) plainly: bool,
    /// Who had reported before it was sent.
    pub(super) writers: Vec<usize>,
}

impl SentReport {
    pub(super) fn new(report: &EcsReport, record: &EnvironmentRecord, now: Millis) -> Self {
        Self {
            at: now,
            counts: counts(&replicas(report)),
            answered: false,
            plainly: false,
            writers: record.writers.clone(),
        }
    }
}

impl EnvironmentRecord {
    /// Records a report, as the writer sends it; whether this makes a new snapshot.
    pub(super) fn record(
        &mut self,
        report: &EcsReport,
        kind: ServerKind,
        writer: usize,
        now: Millis,
    ) -> bool {
        let mut new = replicas(report);
        if kind.unknown == UnknownFingerprints::Dropped {
            new.retain(|artifact| artifact.fingerprint.is_some());
        }
        let latest = self.snapshots.last().map(|latest| counts(latest)).unwrap_or_default();
        let reported = counts(&new);
        let is_new = if kind.include_scaling {
            reported != latest
        } else {
            !reported.keys().eq(latest.keys())
        };
        if is_new {
            self.snapshots.push(new);
        }
        self.last_reported_at = Some(now);
        self.writers.push(writer);
        is_new
    }

    /// The index of the latest snapshot, and what it shows.
    pub(super) fn latest(&self, kind: ServerKind) -> Option<(u64, Vec<Artifact>)> {
        let mut latest = self.snapshots.last()?.clone();
        if kind.unknown == UnknownFingerprints::Hidden {
            latest.retain(|artifact| artifact.fingerprint.is_some());
        }
        Some((self.snapshots.len() as u64, latest))
    }

    /// How many reports came from other writers than `process`.
    pub(super) fn reports_by_others(&self, process: usize) -> usize {
        reports_by_others(&self.writers, process)
    }
}

/// How many of these reports came from other writers than `process`.
pub(super) fn reports_by_others(writers: &[usize], process: usize) -> usize {
    writers.iter().filter(|writer| **writer != process).count()
}

/// The replicas that a server counts in a report: one per entry and distinct digest.
pub(super) fn replicas(report: &EcsReport) -> Vec<Artifact> {
    let mut replicas = Vec::new();
    for entry in &report.artifacts {
        let mut counted = BTreeSet::new();
        for (name, fingerprint) in &entry.digests {
            if fingerprint.is_none() || counted.insert(fingerprint) {
                let (name, fingerprint) = (name.clone(), *fingerprint);
                replicas.push(Artifact { name, fingerprint, replicas: 1 });
            }
        }
    }
    replicas
}

pub(super) fn counts(artifacts: &[Artifact]) -> Counts {
    let mut counts = Counts::new();
    for artifact in artifacts {
        let known = artifact.fingerprint.map(|fingerprint| fingerprint.to_string());
        *counts.entry(known.unwrap_or_else(|| artifact.name.clone())).or_default() +=
            artifact.replicas;
    }
    counts
}

/// A report of one task for each of this software, by index into [`SOFTWARE`].
pub(super) fn report_of(software: &[usize]) -> EcsReport {
    let entries = software.iter().map(|software| {
        let software = &SOFTWARE[*software];
        let digest =
            if is_fingerprint(&software.identity) { software.identity.as_str() } else { "" };
        let name = software.image.as_deref().unwrap_or(&software.identity);
        json!({"taskArn": "another", "digests": {name: digest}, "creationTimestamp": 0})
    });
    serde_json::from_value(json!({"artifacts": entries.collect::<Vec<_>>()})).unwrap()
}

//! What a snapshot server keeps of an environment.

use std::collections::{BTreeMap, BTreeSet};

use envsnap::api::wire::EcsReport;
use envsnap::snapshot::Artifact;
use serde_json::json;

use super::account::{Counts, SOFTWARE, is_known};
use super::server::ServerFault;
use super::timeline::Millis;

/// How a server is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) include_scaling: bool,
    pub(super) unknown: Unknown,
    /// It takes the index of the latest snapshot as a condition of a report.
    pub(super) preconditions: bool,
}

/// What a server makes of an artifact without a known fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    Shown,
    /// Recorded, and not shown.
    Hidden,
    /// Not even recorded.
    Dropped,
}

/// Who writes that is no process of the reporter, or one that is not waiting any more.
pub(super) const ANOTHER: usize = usize::MAX;

/// An environment.
#[derive(Default)]
pub(super) struct Record {
    pub(super) exists: bool,
    pub(super) archived: bool,
    snapshots: Vec<Vec<Artifact>>,
    pub(super) last_reported_at: Option<Millis>,
    /// Reports that will arrive yet.
    pub(super) late: Vec<(Millis, EcsReport)>,
    /// Who reported, in order.
    pub(super) writers: Vec<usize>,
    pub(super) visit: Visit,
}

/// What one invocation asks of an environment.
#[derive(Debug, Clone, Default)]
pub(super) struct Visit {
    /// Who asks.
    pub(super) process: usize,
    /// By the number of the call.
    pub(super) faults: BTreeMap<usize, ServerFault>,
    pub(super) calls: usize,
    pub(super) puts: Vec<Put>,
    /// A call that cannot be done without had no answer that can be used.
    pub(super) unusable: bool,
    /// The server responded that the environment does not exist.
    pub(super) missing: bool,
    /// Some call had no answer that can be used.
    pub(super) doubtful: bool,
}

/// A report that was sent.
#[derive(Debug, Clone)]
pub(super) struct Put {
    pub(super) at: Millis,
    pub(super) counts: Counts,
    pub(super) answered: bool,
    /// The answer was to the first request.
    pub(super) plainly: bool,
    /// Who had reported before it was sent.
    pub(super) writers: Vec<usize>,
}

impl Put {
    pub(super) fn new(report: &EcsReport, record: &Record, now: Millis) -> Self {
        Self {
            at: now,
            counts: counts(&replicas(report)),
            answered: false,
            plainly: false,
            writers: record.writers.clone(),
        }
    }
}

impl Record {
    /// Whether this makes a new snapshot.
    pub(super) fn record(
        &mut self,
        report: &EcsReport,
        kind: Kind,
        writer: usize,
        now: Millis,
    ) -> bool {
        let mut new = replicas(report);
        if kind.unknown == Unknown::Dropped {
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
    pub(super) fn latest(&self, kind: Kind) -> Option<(u64, Vec<Artifact>)> {
        let mut latest = self.snapshots.last()?.clone();
        if kind.unknown == Unknown::Hidden {
            latest.retain(|artifact| artifact.fingerprint.is_some());
        }
        Some((self.snapshots.len() as u64, latest))
    }

    /// How often anyone but `process` has reported.
    pub(super) fn others(&self, process: usize) -> usize {
        others(&self.writers, process)
    }
}

pub(super) fn others(writers: &[usize], process: usize) -> usize {
    writers.iter().filter(|writer| **writer != process).count()
}

/// Each replica that a server counts in a report: one an entry and digest.
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

/// A report of one task for each of this software.
pub(super) fn report_of(software: &[usize]) -> EcsReport {
    let entries = software.iter().map(|software| {
        let software = &SOFTWARE[*software];
        let digest = if is_known(&software.identity) { software.identity.as_str() } else { "" };
        let name = software.image.as_deref().unwrap_or(&software.identity);
        json!({"taskArn": "another", "digests": {name: digest}, "creationTimestamp": 0})
    });
    serde_json::from_value(json!({"artifacts": entries.collect::<Vec<_>>()})).unwrap()
}

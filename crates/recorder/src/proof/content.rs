//! What a bundle says, from the ledger.

mod read;
mod run;

use std::collections::{BTreeMap, BTreeSet};

use envsnap_model::plausible_times;
use envsnap_model::provenance::Origin;
use envsnap_model::snapshot::Identity;
use serde_json::{Value, json};

use super::environment::{LedgerEnvironment, SnapshotEntry};
use super::{Ledger, MAX_SNAPSHOT_ROWS, ProofError, Scope};
use crate::domain::provenance::{AllowanceRecord, ArtifactCard, AttestationRecord};
use crate::domain::{
    Clock, Event, Micros, ReportGap, SnapshotArtifact, SnapshotRecord, SnapshotSpan,
};
use crate::http::views;
use crate::store::Store as _;
use crate::store::provenance::ProvenanceStore as _;
use crate::store::sqlite::SqliteStore;
use read::{all_events, all_spans, artifacts_in, snapshot_at};
pub(super) use run::Run;

/// A file that was reported as evidence for something that ran.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttachmentRef {
    /// Of its content, in lowercase hexadecimal digits.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
    /// Of the attestation that it came with.
    pub flow: String,
    pub trail: String,
    /// The identifier of that attestation.
    pub attestation: String,
}

/// All that a bundle says of an environment in a period, as far as it follows from the ledger.
pub(super) struct Content {
    environment: LedgerEnvironment,
    /// The time that it is about, as far as the ledger knows it.
    from: Micros,
    to: Micros,
    /// The snapshots of that time.
    spans: Vec<SnapshotSpan>,
    /// What ran in the first one.
    first: Vec<SnapshotArtifact>,
    /// What changed with each later one.
    events: Vec<Event>,
    /// Everything that ran, once, with its provenance.
    artifacts: BTreeMap<Identity, SnapshotArtifact>,
    /// Whether any flow of the organization ever reported an artifact: if none did, that says nothing of
    /// what runs.
    has_provenance: bool,
    /// What is allowed to run without provenance in the environment.
    allowances: Vec<AllowanceRecord>,
    cards: Vec<ArtifactCard>,
    /// Snapshots as the API has them, by index.
    snapshots: Vec<(u32, Value)>,
    /// Artifacts with what flows reported of them, by fingerprint.
    documents: Vec<(String, Value)>,
    attachments: Vec<AttachmentRef>,
}

impl Content {
    /// What the bundle says, and the store that it comes from.
    pub(super) async fn new(
        scope: &Scope,
        ledger: &Ledger,
    ) -> Result<(Self, SqliteStore), ProofError> {
        let Scope { org, environment, .. } = scope;
        let known = LedgerEnvironment::find(ledger, environment)?;
        let whole = SqliteStore::from_ledger(&ledger.head().head, ledger.entries(), known.id)?;
        let store = whole.clone();
        let record = store.environment(org, environment).await?;
        let no_snapshot = || ProofError::NoSnapshot { environment: environment.clone() };
        // Reports after the last one in the ledger are known to the recorder only.
        let last_reported_at = record.last_reported_at.ok_or_else(no_snapshot)?;
        let store = store.with_clock(Clock::from_fn(move || last_reported_at.seconds()));
        let since = scope.since.map_or(Micros(i64::MIN), Micros);
        let until = scope.until.map_or(last_reported_at, Micros).min(last_reported_at);
        let all = all_spans(&store, org, environment).await?;
        let Some((began, spans)) = spans_between(all, since, until, last_reported_at) else {
            return Err(no_snapshot());
        };
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else {
            return Err(no_snapshot());
        };
        let (from, indexes) = (since.max(began), (first.index, last.index));
        // A single report is of one moment.
        if from > until || (from == until && began != until) {
            return Err(no_snapshot());
        }
        let events = all_events(&store, org, environment, indexes).await?;
        let first = artifacts_in(&store, org, environment, indexes.0).await?;
        let mut artifacts = BTreeMap::new();
        for artifact in first.iter().chain(events.iter().map(|event| &event.artifact)) {
            artifacts.entry(artifact.identity()).or_insert_with(|| artifact.clone());
        }
        let named = artifacts.into_values().collect();
        let artifacts: BTreeMap<_, _> = store
            .add_provenance(org, environment, named)
            .await?
            .into_iter()
            .map(|artifact| (artifact.identity(), artifact))
            .collect();
        let mut cards = Vec::new();
        for artifact in artifacts.values() {
            let has_flows = artifact.provenance.as_ref().is_some_and(|it| !it.flows.is_empty());
            if let Some(fingerprint) = artifact.fingerprint.filter(|_| has_flows) {
                cards.push(store.artifact_card(org, &fingerprint.to_string()).await?);
            }
        }
        let is_here =
            |it: &AllowanceRecord| it.environment.as_ref().is_none_or(|at| at == environment);
        let mut content = Self {
            environment: known,
            allowances: store.allowances(org).await?.into_iter().filter(is_here).collect(),
            from,
            to: until,
            spans,
            first,
            events,
            artifacts,
            documents: cards
                .iter()
                .map(|card| (card.fingerprint.clone(), artifact_document(org, card)))
                .collect(),
            attachments: unique_attachments(&cards),
            has_provenance: store.has_provenance(org).await?,
            cards,
            snapshots: Vec::new(),
        };
        for index in content.whole_snapshots() {
            let wanted = snapshot_at(environment, index)?;
            let (org_name, name) = (org.clone(), environment.clone());
            let show = move |[record]: [SnapshotRecord; 1]| {
                serde_json::to_value(views::snapshot(&org_name, &name, record))
            };
            let shown = store.snapshots(org, [wanted], show).await?;
            let shown = shown.map_err(|error| {
                super::document_error(&format!("snapshot #{index}"), error.into())
            })?;
            content.snapshots.push((index, shown));
        }
        Ok((content, whole))
    }

    /// The start and the end of the time that the bundle is about.
    pub(super) fn period(&self) -> (Micros, Micros) {
        (self.from, self.to)
    }

    /// What the ledger says of the environment itself.
    pub(super) fn environment(&self) -> &LedgerEnvironment {
        &self.environment
    }

    /// The snapshots of the period.
    pub(super) fn spans(&self) -> &[SnapshotSpan] {
        &self.spans
    }

    /// What changed with each snapshot after the first of the period.
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Everything that ran in the period, with its provenance.
    pub(super) fn artifacts(&self) -> &BTreeMap<Identity, SnapshotArtifact> {
        &self.artifacts
    }

    /// The origin of an artifact, if the organization reports provenance.
    pub(super) fn origin(&self, artifact: &SnapshotArtifact) -> Option<Origin> {
        artifact.provenance.as_ref().filter(|_| self.has_provenance).map(|it| it.origin)
    }

    /// Whether any flow of the organization ever reported an artifact.
    pub(super) fn has_provenance(&self) -> bool {
        self.has_provenance
    }

    /// Why the artifact may run without provenance, and who allowed it: no one if it is one of AWS's own
    /// sidecars. `None` if it is not allowed.
    pub(super) fn allowed<'a>(
        &'a self,
        artifact: &'a SnapshotArtifact,
    ) -> Option<(&'a str, Option<&'a AllowanceRecord>)> {
        let known = artifact.provenance.as_ref().filter(|it| it.origin == Origin::Allowed)?;
        let fingerprint = artifact.fingerprint.map(|it| it.to_string()).unwrap_or_default();
        let by = self.allowances.iter().find(|it| it.is_for(&fingerprint, &artifact.name));
        known.allowed.as_deref().map(|reason| (reason, by))
    }

    /// The label of the token that reported a snapshot.
    pub(super) fn reported_by(&self, index: u32) -> &str {
        let entry = self.environment.entries.get(&index);
        entry.map_or("", |entry| entry.reported_by.as_str())
    }

    /// The ledger entry of the snapshot with this index.
    pub(super) fn entry(&self, index: u32) -> Option<&SnapshotEntry> {
        self.environment.entries.get(&index)
    }

    /// All that flows reported of each artifact that ran.
    pub(super) fn cards(&self) -> &[ArtifactCard] {
        &self.cards
    }

    /// The snapshots that the bundle has whole, as the API has them, by index.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = (u32, &Value)> {
        self.snapshots.iter().map(|(index, document)| (*index, document))
    }

    /// What flows reported of each artifact, as JSON documents by fingerprint.
    pub(super) fn documents(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.documents.iter().map(|(fingerprint, document)| (fingerprint.as_str(), document))
    }

    pub(super) fn attachments(&self) -> &[AttachmentRef] {
        &self.attachments
    }

    /// Periods that no report covers, within the time of the bundle.
    pub(super) fn gaps(&self) -> impl Iterator<Item = ReportGap> {
        let (from, to) = self.period();
        self.spans
            .iter()
            .flat_map(|span| &span.gaps)
            .map(move |gap| ReportGap {
                from: gap.from.max(from),
                until: Some(gap.until.map_or(to, |until| until.min(to))),
            })
            .filter(|gap| gap.until.is_some_and(|until| gap.from < until))
    }

    /// The snapshots that the bundle has whole: all, or if they are too large the first and the last.
    fn whole_snapshots(&self) -> Vec<u32> {
        let indexes: Vec<_> = self.spans.iter().map(|span| span.index).collect();
        let rows = indexes.len() as u64 * self.artifacts.len() as u64;
        if rows <= MAX_SNAPSHOT_ROWS || indexes.len() <= 2 {
            return indexes;
        }
        indexes.first().into_iter().chain(indexes.last()).copied().collect()
    }
}

/// The snapshots that were the latest one at some time from `since` to `until`, and when the first of them
/// began. As for queries by time, a time that a wrong clock gave to a snapshot is not taken for the one at
/// which it was recorded: see [`plausible_times`].
fn spans_between(
    all: Vec<SnapshotSpan>,
    since: Micros,
    until: Micros,
    last_reported_at: Micros,
) -> Option<(Micros, Vec<SnapshotSpan>)> {
    let times: Vec<_> = all.iter().map(|span| span.from.seconds()).collect();
    let times = plausible_times(&times, last_reported_at.seconds());
    let after_last = times.partition_point(|began| *began <= until.seconds());
    // Each but the latest one lasts until the next one begins.
    let first = times.iter().skip(1).take_while(|end| **end <= since.seconds()).count();
    let began = times.get(first).filter(|_| first < after_last)?;
    Some((Micros::from_seconds(*began), all.into_iter().take(after_last).skip(first).collect()))
}

/// What flows reported of an artifact, as a JSON document of the bundle.
fn artifact_document(org: &str, card: &ArtifactCard) -> Value {
    let attestations: Vec<_> =
        unique_attestations(card).map(|attestation| views::attestation(org, attestation)).collect();
    let reports = card.reports.iter().cloned().filter_map(|record| views::artifact(org, record));
    let deployments = card.deployments.iter().cloned().map(views::deployment);
    json!({
        "fingerprint": card.fingerprint,
        "name": card.name,
        "reports": reports.collect::<Vec<_>>(),
        "attestations": attestations,
        "deployments": deployments.collect::<Vec<_>>(),
    })
}

/// Each attestation of an artifact once, also if several flows reported it.
pub(super) fn unique_attestations(card: &ArtifactCard) -> impl Iterator<Item = &AttestationRecord> {
    let mut seen = BTreeSet::new();
    let all = card.reports.iter().flat_map(|report| &report.attestations);
    all.filter(move |attestation| seen.insert(attestation.id.to_string()))
}

/// Each attached file of these artifacts once, by its SHA-256.
fn unique_attachments(cards: &[ArtifactCard]) -> Vec<AttachmentRef> {
    let mut files = BTreeMap::new();
    for attestation in cards.iter().flat_map(unique_attestations) {
        if let Some(file) = &attestation.attachment {
            files.entry(file.sha256.clone()).or_insert_with(|| AttachmentRef {
                sha256: file.sha256.clone(),
                size: file.size,
                flow: attestation.flow.clone(),
                trail: attestation.trail.clone(),
                attestation: attestation.id.to_string(),
            });
        }
    }
    files.into_values().collect()
}

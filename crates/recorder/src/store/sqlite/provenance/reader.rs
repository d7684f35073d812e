//! What was reported, with the states that follow from it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use envsnap_model::provenance::{
    ArtifactStatus, ReportedArtifact, State, TrailStatus, artifact_status, trail_status,
};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::de::DeserializeOwned;

use super::super::failure::Failure;
use super::super::json::Json;
use super::projection::rules;
use super::rows::{
    ArtifactInTrail, AttestationRow, FlowRow, ReportRow, SELECT_ATTESTATION, SELECT_FLOW,
    SELECT_REPORT, SELECT_TRAIL, TrailRow, attestation, flow, report, trail,
};
use crate::domain::Micros;
use crate::domain::provenance::{
    AttestationRecord, AttestationReported, RecordId, ReportRecord, StoredTemplate, fields,
};

/// Reads what an organization's flows reported, and caches flows, trails and attestations.
pub(super) struct Reader<'a> {
    pub(super) connection: &'a Connection,
    pub(super) org: &'a str,
    pub(super) org_id: i64,
    pub(super) flows: RefCell<HashMap<i64, Rc<FlowRow>>>,
    pub(super) trails: RefCell<HashMap<i64, Rc<TrailRow>>>,
    /// The earliest first; whether one is about a report, the report has to say.
    pub(super) attestations: RefCell<HashMap<ArtifactInTrail, Vec<AttestationRow>>>,
}

/// How much of what was reported in an attestation is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DetailLevel {
    Whole,
    /// Only short fields, of an entry that is not long: there may be hundreds in one answer.
    Short,
}

/// The longest details of an attestation, in bytes, of which [`DetailLevel::Short`] has any field.
const MAX_SHORTENED_DETAILS_BYTES: usize = 64 << 10;

/// The longest field in short details, in bytes of its JSON.
pub(super) const MAX_SHORT_FIELD_BYTES: usize = 4 << 10;

/// The details of an attestation that [`DetailLevel::Short`] has.
const SHORT_ATTESTATION_FIELDS: [&str; 5] =
    ["git_commit_info", "repo_info", "description", "reason", "control"];

/// The first of the reports for each trail, template name and commit, by which attestations are bound.
fn distinct_bindings<'a>(
    reports: impl IntoIterator<Item = &'a ReportRow>,
) -> impl Iterator<Item = (ArtifactInTrail, &'a ReportRow)> {
    let mut seen = HashSet::new();
    reports.into_iter().filter_map(move |report| {
        let is_new = seen.insert((report.trail, &report.template_name, &report.commit));
        report.in_trail().filter(|_| is_new).map(|artifact| (artifact, report))
    })
}

/// The JSON object `details` with only the `wanted` fields, and without those that are too long.
pub(super) fn short_details(details: &str, wanted: &[&str]) -> String {
    let mut short = fields(details);
    short.retain(|name, value| {
        wanted.contains(&&**name) && value.to_string().len() <= MAX_SHORT_FIELD_BYTES
    });
    serde_json::Value::Object(short).to_string()
}

/// The artifact with those of the attestations that are bound to it, the earliest first, in the form that the
/// rules of templates are checked with.
fn to_reported_artifact<'b>(
    artifact: &'b ReportRow,
    attestations: impl IntoIterator<Item = &'b AttestationRow>,
) -> ReportedArtifact<'b> {
    ReportedArtifact {
        template_name: artifact.template_name.as_deref(),
        fingerprint: &artifact.fingerprint,
        seq: artifact.seq,
        attestations: attestations
            .into_iter()
            .filter(|attestation| attestation.is_about(artifact))
            .map(AttestationRow::to_reported_attestation)
            .collect(),
    }
}

/// The attestations of a trail by what binds them to an artifact, so that those of one are found without a look at
/// all others.
struct AttestationsByBinding<'a> {
    by_fingerprint: HashMap<&'a str, Vec<&'a AttestationRow>>,
    /// Those without a fingerprint.
    by_commit: HashMap<&'a str, Vec<&'a AttestationRow>>,
}

impl<'a> AttestationsByBinding<'a> {
    /// `attestations` are of one trail, the earliest first.
    fn new(attestations: &'a [AttestationRow]) -> Self {
        let (mut by_fingerprint, mut by_commit) = (HashMap::new(), HashMap::new());
        for attestation in attestations {
            let (group, key) = if attestation.fingerprint.is_empty() {
                (&mut by_commit, &*attestation.commit)
            } else {
                (&mut by_fingerprint, &*attestation.fingerprint)
            };
            group.entry(key).or_insert_with(Vec::new).push(attestation);
        }
        Self { by_fingerprint, by_commit }
    }

    /// Those that may be about the artifact, the earliest first: [`AttestationRow::is_about`] decides.
    fn candidates(&self, artifact: &ReportRow) -> Vec<&'a AttestationRow> {
        let by_fingerprint = self.by_fingerprint.get(&*artifact.fingerprint);
        let by_commit = self.by_commit.get(&*artifact.commit);
        let mut found: Vec<_> =
            by_fingerprint.into_iter().chain(by_commit).flatten().copied().collect();
        found.sort_by_key(|attestation| attestation.seq);
        found
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(connection: &'a Connection, org: &'a str, org_id: i64) -> Self {
        let (flows, trails, attestations) = Default::default();
        Self { connection, org, org_id, flows, trails, attestations }
    }

    /// The public id of ledger entry `seq`.
    pub(super) fn id(&self, seq: i64) -> RecordId {
        RecordId::new(self.org, seq)
    }

    /// The flow with this id, from the cache if it was read before.
    pub(super) fn flow(&self, id: i64) -> rusqlite::Result<Rc<FlowRow>> {
        if let Some(flow) = self.flows.borrow().get(&id) {
            return Ok(Rc::clone(flow));
        }
        let flow = self
            .connection
            .prepare_cached(&format!("{SELECT_FLOW} WHERE org_id = $1 AND id = $2"))?
            .query_row([self.org_id, id], flow)?;
        let flow = Rc::new(flow);
        self.flows.borrow_mut().insert(id, Rc::clone(&flow));
        Ok(flow)
    }

    /// The trail with this id, from the cache if it was read before.
    pub(super) fn trail(&self, id: i64) -> rusqlite::Result<Rc<TrailRow>> {
        if let Some(trail) = self.trails.borrow().get(&id) {
            return Ok(Rc::clone(trail));
        }
        let trail = self
            .connection
            .prepare_cached(&format!("{SELECT_TRAIL} WHERE org_id = $1 AND id = $2"))?
            .query_row([self.org_id, id], trail)?;
        let trail = Rc::new(trail);
        self.trails.borrow_mut().insert(id, Rc::clone(&trail));
        Ok(trail)
    }

    /// The payload of ledger entry `seq`, and the label of the token that wrote it.
    pub(super) fn entry<T: DeserializeOwned>(&self, seq: i64) -> Result<(T, String), Failure> {
        let (payload, actor): (String, String) = self
            .connection
            .prepare_cached("SELECT payload, actor FROM ledger WHERE org_id = $1 AND seq = $2")?
            .query_row([self.org_id, seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((serde_json::from_str(&payload)?, actor))
    }

    /// All attestations in a trail, the earliest first.
    pub(super) fn attestations_in_trail(
        &self,
        trail: i64,
    ) -> rusqlite::Result<Vec<AttestationRow>> {
        self.connection
            .prepare_cached(&format!(
                "{SELECT_ATTESTATION} WHERE org_id = $1 AND trail_id = $2 ORDER BY seq"
            ))?
            .query_map([self.org_id, trail], attestation)?
            .collect()
    }

    /// The attestations of a name in a trail, the latest first.
    pub(super) fn attestations_named(
        &self,
        trail: i64,
        name: &str,
    ) -> rusqlite::Result<Vec<AttestationRow>> {
        self.connection
            .prepare_cached(&format!(
                "{SELECT_ATTESTATION} WHERE org_id = $1 AND trail_id = $2 AND name = $3 ORDER BY seq DESC"
            ))?
            .query_map(params![self.org_id, trail, name], attestation)?
            .collect()
    }

    /// The reports of one artifact in a trail, the earliest first.
    pub(super) fn reports_in_trail(
        &self,
        trail: i64,
        fingerprint: &str,
    ) -> rusqlite::Result<Vec<ReportRow>> {
        self.connection
            .prepare_cached(&format!(
                "{SELECT_REPORT} WHERE org_id = $1 AND fingerprint = $2 AND trail_id = $3 ORDER BY seq"
            ))?
            .query_map(params![self.org_id, fingerprint, trail], report)?
            .collect()
    }

    /// The reports of all artifacts in a trail, the earliest first.
    pub(super) fn all_reports_in_trail(&self, trail: i64) -> rusqlite::Result<Vec<ReportRow>> {
        self.connection
            .prepare_cached(&format!(
                "{SELECT_REPORT} WHERE org_id = $1 AND trail_id = $2 ORDER BY seq"
            ))?
            .query_map([self.org_id, trail], report)?
            .collect()
    }

    /// The first and the latest reports of the artifact by each flow, the earliest first.
    pub(super) fn reports_of(&self, fingerprint: &str) -> rusqlite::Result<Vec<ReportRow>> {
        self.reports_of_all(&Json(BTreeSet::from([fingerprint.to_owned()])))
    }

    /// The attestations that are bound to the artifact of these reports, the earliest first.
    pub(super) fn attestations_of<'b>(
        &self,
        reports: impl IntoIterator<Item = &'b ReportRow>,
    ) -> Result<Vec<AttestationRow>, Failure> {
        let mut found = BTreeMap::new();
        for (artifact, report) in distinct_bindings(reports) {
            self.load_attestations_once(&artifact)?;
            for attestation in self.attestations.borrow().get(&artifact).into_iter().flatten() {
                if attestation.is_about(report) {
                    found.entry(attestation.seq).or_insert_with(|| attestation.clone());
                }
            }
        }
        Ok(found.into_values().collect())
    }

    /// Caches the attestations that may be about this artifact, unless they are.
    fn load_attestations_once(&self, artifact: &ArtifactInTrail) -> Result<(), Failure> {
        if self.attestations.borrow().contains_key(artifact) {
            return Ok(());
        }
        self.load_attestations([artifact.clone()].into())
    }

    /// The template whose rules apply to a reported artifact: of its trail, otherwise of its flow.
    fn template_of(&self, artifact: &ReportRow) -> rusqlite::Result<Option<Arc<StoredTemplate>>> {
        if let Some(trail) = artifact.trail
            && let Some(template) = &self.trail(trail)?.template
        {
            return Ok(Some(Arc::clone(template)));
        }
        Ok(self.flow(artifact.flow)?.template.clone())
    }

    /// The state of an artifact by these reports of it, and the report that it follows from: the worst
    /// one, so that nothing becomes better by reporting the artifact once more in an empty trail. Of
    /// equal ones it is the latest. `reports` are those of one flow, the earliest first.
    fn artifact_status<'b>(
        &self,
        reports: &[&'b ReportRow],
    ) -> Result<Option<(ArtifactStatus, &'b ReportRow)>, Failure> {
        let mut worst: Option<(ArtifactStatus, &ReportRow)> = None;
        let mut seen = HashSet::new();
        for report in reports.iter().rev() {
            if !seen.insert((report.trail, &report.template_name, &report.commit)) {
                continue;
            }
            let template = self.template_of(report)?;
            let in_trail = report.in_trail();
            if let Some(artifact) = &in_trail {
                self.load_attestations_once(artifact)?;
            }
            let attestations = self.attestations.borrow();
            let attestations = in_trail.and_then(|artifact| attestations.get(&artifact));
            let reported = to_reported_artifact(report, attestations.map_or(&[][..], |it| it));
            let status = artifact_status(rules(template.as_deref()), &reported);
            if worst.as_ref().is_none_or(|(worst, _)| status.state > worst.state) {
                worst = Some((status, report));
            }
            if worst.as_ref().is_some_and(|(worst, _)| worst.state == State::NonCompliant) {
                break;
            }
        }
        Ok(worst)
    }

    /// The state of a trail.
    pub(super) fn trail_status(&self, trail: &TrailRow) -> rusqlite::Result<TrailStatus> {
        let attestations = self.attestations_in_trail(trail.id)?;
        let own: Vec<_> = attestations
            .iter()
            .filter(|attestation| attestation.is_about_trail())
            .map(AttestationRow::to_reported_attestation)
            .collect();
        let reports = self.all_reports_in_trail(trail.id)?;
        let by_binding = AttestationsByBinding::new(&attestations);
        let artifacts: Vec<_> = reports
            .iter()
            .map(|artifact| to_reported_artifact(artifact, by_binding.candidates(artifact)))
            .collect();
        let flow = self.flow(trail.flow)?;
        let template = trail.template.as_deref().or(flow.template.as_deref());
        Ok(trail_status(rules(template), &own, &artifacts))
    }

    /// What a flow, or a trail of it, knows of an artifact by these reports, the earliest first. It has the
    /// commit and the trail of the one that is `shown`, whose `details` are given. `first_reported_at` is when
    /// the flow first reported the artifact.
    pub(super) fn report_record(
        &self,
        reports: &[&ReportRow],
        shown: &ReportRow,
        first_reported_at: Micros,
        details: String,
    ) -> Result<ReportRecord, Failure> {
        let Some((status, decisive)) = self.artifact_status(reports)? else {
            return Err(rusqlite::Error::QueryReturnedNoRows.into());
        };
        let problems = status
            .attestations
            .iter()
            .filter(|it| {
                it.is_compliant == Some(false) || (it.is_compliant.is_none() && !it.unexpected)
            })
            .map(|it| it.name.clone())
            .collect();
        let decisive = decisive.trail.filter(|trail| Some(*trail) != shown.trail);
        let decisive = decisive.map(|trail| self.trail(trail)).transpose()?;
        let trail = shown.trail.map(|trail| self.trail(trail)).transpose()?;
        Ok(ReportRecord {
            id: self.id(shown.seq),
            flow: self.flow(shown.flow)?.name.clone(),
            trail: trail.map(|trail| trail.name.clone()),
            template_name: shown.template_name.clone(),
            commit: shown.commit.clone(),
            details,
            first_reported_at,
            reported_at: shown.recorded_at,
            state: status.state,
            state_trail: decisive.map(|trail| trail.name.clone()),
            problems,
            template: self.template_of(shown)?,
        })
    }

    /// An attestation with what was reported in it.
    pub(super) fn attestation_record(
        &self,
        row: AttestationRow,
        level: DetailLevel,
    ) -> Result<AttestationRecord, Failure> {
        let trail = self.trail(row.trail)?;
        let (entry, reported_by): (AttestationReported, _) = self.entry(row.seq)?;
        Ok(AttestationRecord {
            id: self.id(row.seq),
            kind: row.kind,
            name: row.name,
            fingerprint: entry.fingerprint,
            targets: row.targets,
            commit: entry.commit,
            is_compliant: row.is_compliant,
            overrides: row.overrides.map(|seq| self.id(seq)),
            details: match level {
                DetailLevel::Whole => entry.details,
                DetailLevel::Short if entry.details.len() > MAX_SHORTENED_DETAILS_BYTES => {
                    "{}".to_owned()
                }
                DetailLevel::Short => short_details(&entry.details, &SHORT_ATTESTATION_FIELDS),
            },
            attachment: entry.attachment,
            flow: self.flow(trail.flow)?.name.clone(),
            trail: trail.name.clone(),
            reported_by,
            reported_at: row.recorded_at,
        })
    }

    /// Whether any flow ever reported an artifact.
    pub(super) fn has_reports(&self) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT 1 FROM artifact_report WHERE org_id = $1 LIMIT 1")?
            .exists([self.org_id])
    }

    /// The attestation with this sequence number.
    pub(super) fn attestation(&self, seq: i64) -> rusqlite::Result<Option<AttestationRow>> {
        self.connection
            .prepare_cached(&format!("{SELECT_ATTESTATION} WHERE org_id = $1 AND seq = $2"))?
            .query_row([self.org_id, seq], attestation)
            .optional()
    }
}

#[cfg(test)]
mod tests;

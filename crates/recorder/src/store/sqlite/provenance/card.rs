//! Everything that is recorded of an artifact by its fingerprint, and the search for artifacts by name.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::params;

use super::super::environments::find_active;
use super::super::failure::Failure;
use super::super::runs::runs_of_artifact;
use super::artifacts::ArtifactUsage;
use super::join::{Shown, add_provenance};
use super::reader::Reader;
use super::rows::ReportRow;
use crate::domain::provenance::{
    ArtifactCard, ArtifactProvenance, ArtifactRecord, DeploymentRecord,
};
use crate::domain::{ArtifactRun, Error};

/// What a search by name finds, by when it was last reported or started.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum NameMatch {
    /// The fingerprint of the artifact.
    Known(String),
    /// The identifier of the artifact, which has no fingerprint, and its name.
    Named(i64, String),
}

impl Reader<'_> {
    /// Everything that is known of an artifact.
    pub(super) fn artifact_card(&self, fingerprint: &str) -> Result<ArtifactCard, Failure> {
        let usage = self.artifact_usage(fingerprint, None)?;
        let reports = self.records_by_flow(fingerprint, &usage)?;
        let ArtifactUsage { deployments, runs, .. } = usage;
        let name = match (reports.first(), runs.last(), deployments.first()) {
            (Some(report), ..) => report.name.clone(),
            (None, Some(run), _) => run.name.clone(),
            // Announcements of deployments have no name.
            (None, None, Some(_)) => String::new(),
            (None, None, None) => {
                return Err(Error::NoMatches { text: fingerprint.to_owned() }.into());
            }
        };
        Ok(ArtifactCard {
            fingerprint: fingerprint.to_owned(),
            name,
            provenance: self.provenance_by_environment(&runs)?,
            reports,
            deployments,
            runs,
        })
    }

    /// The artifact as each flow that reported it knows it; the flow that did first comes first.
    fn records_by_flow(
        &self,
        fingerprint: &str,
        usage: &ArtifactUsage,
    ) -> Result<Vec<ArtifactRecord>, Failure> {
        let rows = self.reports_of(fingerprint)?;
        self.preload(&rows)?;
        let mut by_flow: BTreeMap<i64, Vec<ReportRow>> = BTreeMap::new();
        for row in rows {
            by_flow.entry(row.flow).or_default().push(row);
        }
        let mut by_flow: Vec<_> = by_flow.into_values().collect();
        by_flow.sort_by_key(|reports| reports.first().map(|first| first.seq));
        let mut deployments: HashMap<&str, Vec<DeploymentRecord>> = HashMap::new();
        for deployment in &usage.deployments {
            deployments.entry(&deployment.flow).or_default().push(deployment.clone());
        }
        let mut records = Vec::with_capacity(by_flow.len());
        for reports in by_flow {
            let (Some(first), Some(latest)) = (reports.first(), reports.last()) else { continue };
            let usage = ArtifactUsage {
                deployments: deployments.remove(&*self.flow(latest.flow)?.name).unwrap_or_default(),
                announced_to: usage.announced_to.clone(),
                runs: usage.runs.clone(),
            };
            let (first, latest) = (first.recorded_at, latest.clone());
            records.push(self.artifact_record_from(latest, &reports, first, usage)?);
        }
        Ok(records)
    }

    /// Where the artifact comes from, as each environment in which it ran sees it.
    fn provenance_by_environment(
        &self,
        runs: &[ArtifactRun],
    ) -> Result<Vec<(String, ArtifactProvenance)>, Failure> {
        let mut found = Vec::new();
        for runs in runs.chunk_by(|one, next| one.environment == next.environment) {
            let Some(last) = runs.last() else { continue };
            let environment = &*last.environment;
            let shown = Shown {
                org_id: self.org_id,
                environment_id: find_active(self.connection, self.org, environment)?.id,
                environment,
                entries: None,
                origins: None,
            };
            let mut artifact = [last.artifact()];
            add_provenance(self.connection, shown, &mut artifact)?;
            let [artifact] = artifact;
            found.extend(artifact.provenance.map(|known| (last.environment.clone(), *known)));
        }
        Ok(found)
    }

    /// The artifacts of which a name contains `text`, which is in lowercase.
    pub(super) fn artifacts_by_name(
        &self,
        text: &str,
        most: usize,
    ) -> Result<(Vec<ArtifactRecord>, bool), Failure> {
        // By what was recorded last of each: a report of a flow, or a snapshot that it started in.
        let mut last: BTreeMap<NameMatch, i64> = BTreeMap::new();
        let mut note = |found: NameMatch, at: i64| {
            let known = last.entry(found).or_insert(at);
            *known = (*known).max(at);
        };
        let mut statement = self.connection.prepare_cached(
            "SELECT fingerprint, name, recorded_at FROM artifact_report WHERE org_id = $1",
        )?;
        let mut reports = statement.query([self.org_id])?;
        while let Some(row) = reports.next()? {
            if contains(&row.get::<_, String>(1)?, text) {
                note(NameMatch::Known(row.get(0)?), row.get(2)?);
            }
        }
        let mut statement = self
            .connection
            .prepare_cached("SELECT artifact_id, label FROM artifact_label WHERE org_id = $1")?;
        let mut labels = statement.query([self.org_id])?;
        let mut artifacts = BTreeSet::new();
        while let Some(row) = labels.next()? {
            if contains(&row.get::<_, String>(1)?, text) {
                artifacts.insert(row.get::<_, i64>(0)?);
            }
        }
        for artifact in artifacts {
            let (found, at) = self.last_start(artifact)?;
            note(found, at.unwrap_or_default());
        }
        let has_more = last.len() > most;
        let mut last: Vec<_> = last.into_iter().collect();
        last.sort_by_key(|(_, at)| Reverse(*at));
        last.truncate(most);
        let mut records = Vec::new();
        for (found, _) in last {
            match found {
                NameMatch::Known(fingerprint) => records.extend(self.latest_record(&fingerprint)?),
                NameMatch::Named(artifact, name) => records.push(ArtifactRecord {
                    fingerprint: String::new(),
                    name,
                    report: None,
                    deployments: Vec::new(),
                    announced_to: BTreeSet::new(),
                    attestations: Vec::new(),
                    runs: runs_of_artifact(self.connection, self.org_id, artifact, None)?,
                }),
            }
        }
        Ok((records, has_more))
    }

    /// When the artifact last started in any environment.
    fn last_start(&self, artifact: i64) -> rusqlite::Result<(NameMatch, Option<i64>)> {
        self.connection
            .prepare_cached(
                "SELECT fingerprint, name,
                        (SELECT max(snapshot.recorded_at) FROM interval
                         JOIN snapshot ON snapshot.org_id = interval.org_id
                             AND snapshot.environment_id = interval.environment_id
                             AND snapshot.snapshot_index = interval.from_index
                         WHERE interval.org_id = artifact.org_id
                           AND interval.artifact_id = artifact.id)
                 FROM artifact WHERE org_id = $1 AND id = $2",
            )?
            .query_row(params![self.org_id, artifact], |row| {
                let (fingerprint, name): (String, String) = (row.get(0)?, row.get(1)?);
                let found = if fingerprint.is_empty() {
                    NameMatch::Named(artifact, name)
                } else {
                    NameMatch::Known(fingerprint)
                };
                Ok((found, row.get(2)?))
            })
    }

    /// The artifact as the flow that reported it last has it, or as it ran.
    fn latest_record(&self, fingerprint: &str) -> Result<Option<ArtifactRecord>, Failure> {
        match self.reports_of(fingerprint)?.pop() {
            Some(latest) => self.artifact_record(latest, None).map(Some),
            None => self.unreported(fingerprint),
        }
    }
}

/// Whether `name` contains `text`, which is in lowercase.
fn contains(name: &str, text: &str) -> bool {
    name.contains(text) || name.to_lowercase().contains(text)
}

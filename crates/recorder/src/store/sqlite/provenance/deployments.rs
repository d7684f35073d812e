//! Deployments: those that were announced, and those that follow from snapshots.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension as _, params};

use super::super::failure::Failure;
use super::reader::Reader;
use crate::domain::Micros;
use crate::domain::provenance::{DeploymentRecord, DeploymentReported, DerivedDeployment};

/// The most derived deployments in one answer.
const MAX_DERIVED_DEPLOYMENTS: u32 = 1_000;

impl Reader<'_> {
    /// Announced deployments of the artifact, by one flow or by any, the earliest first.
    pub(super) fn deployments_of(
        &self,
        fingerprint: &str,
        flow: Option<i64>,
    ) -> Result<Vec<DeploymentRecord>, Failure> {
        self.deployments_where(
            "fingerprint = $2 AND ($3 IS NULL OR flow_id = $3)",
            fingerprint,
            flow,
        )
    }

    /// Announced deployments to the environment, the earliest first.
    pub(super) fn deployments_to(
        &self,
        environment: &str,
    ) -> Result<Vec<DeploymentRecord>, Failure> {
        self.deployments_where("environment = $2 AND $3 IS NULL", environment, None)
    }

    /// Announced deployments of a flow, the earliest first.
    pub(super) fn deployments_by_flow(&self, flow: &str) -> Result<Vec<DeploymentRecord>, Failure> {
        let flow = self.existing_flow(flow)?;
        self.deployments_where("$2 = '' AND flow_id = $3", "", Some(flow))
    }

    /// Announced deployments that the SQL `condition` selects: `$2` in it is `value`, and `$3` is `flow`.
    fn deployments_where(
        &self,
        condition: &str,
        value: &str,
        flow: Option<i64>,
    ) -> Result<Vec<DeploymentRecord>, Failure> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT flow_id, number, seq, environment, fingerprint, recorded_at FROM deployment
             WHERE org_id = $1 AND {condition} ORDER BY seq"
        ))?;
        let mut rows = statement.query(params![self.org_id, value, flow])?;
        let mut deployments = Vec::new();
        while let Some(row) = rows.next()? {
            let (entry, reported_by): (DeploymentReported, _) = self.entry(row.get(2)?)?;
            deployments.push(DeploymentRecord {
                flow: self.flow(row.get(0)?)?.name.clone(),
                number: row.get(1)?,
                environment: row.get(3)?,
                fingerprint: row.get(4)?,
                details: entry.details,
                reported_by,
                reported_at: Micros(row.get(5)?),
            });
        }
        Ok(deployments)
    }

    /// The environments to which any flow announced a deployment of the artifact.
    pub(super) fn announced_to(&self, fingerprint: &str) -> rusqlite::Result<BTreeSet<String>> {
        self.connection
            .prepare_cached(
                "SELECT DISTINCT environment FROM deployment
                 WHERE org_id = $1 AND fingerprint = $2",
            )?
            .query_map(params![self.org_id, fingerprint], |row| row.get(0))?
            .collect()
    }

    /// Starts in the environment of artifacts of which no deployment to it was announced, the earliest
    /// first.
    pub(super) fn derived_deployments(
        &self,
        environment: &str,
        from: Micros,
        until: Micros,
    ) -> Result<Vec<DerivedDeployment>, Failure> {
        let mut statement = self.connection.prepare_cached(
            "SELECT artifact.fingerprint, interval.name, interval.from_index, snapshot.recorded_at
             FROM interval
             JOIN snapshot ON snapshot.org_id = interval.org_id
                 AND snapshot.environment_id = interval.environment_id
                 AND snapshot.snapshot_index = interval.from_index
             JOIN artifact ON artifact.org_id = interval.org_id
                 AND artifact.id = interval.artifact_id
             WHERE interval.org_id = $1
               AND interval.environment_id = (
                   SELECT id FROM environment
                   WHERE org_id = $1 AND name = $2 AND archived_at IS NULL)
               AND interval.was = 0 AND artifact.fingerprint <> ''
               AND snapshot.recorded_at BETWEEN $3 AND $4
               AND NOT EXISTS (
                   SELECT 1 FROM deployment
                   WHERE deployment.org_id = $1 AND deployment.environment = $2
                     AND deployment.fingerprint = artifact.fingerprint)
             ORDER BY interval.from_index DESC, artifact.fingerprint LIMIT $5",
        )?;
        let mut derived: Vec<_> = statement
            .query_map(
                params![self.org_id, environment, from.0, until.0, MAX_DERIVED_DEPLOYMENTS],
                |row| {
                    Ok(DerivedDeployment {
                        flow: None,
                        environment: environment.to_owned(),
                        fingerprint: row.get(0)?,
                        name: row.get(1)?,
                        index: row.get(2)?,
                        at: Micros(row.get(3)?),
                    })
                },
            )?
            .collect::<rusqlite::Result<_>>()?;
        for deployment in &mut derived {
            deployment.flow = self.first_flow_of(&deployment.fingerprint)?;
        }
        derived.reverse();
        Ok(derived)
    }

    /// The name of the flow that reported the artifact first.
    fn first_flow_of(&self, fingerprint: &str) -> rusqlite::Result<Option<String>> {
        let flow = self
            .connection
            .prepare_cached(
                "SELECT flow_id FROM artifact_report WHERE org_id = $1 AND fingerprint = $2
                 ORDER BY seq LIMIT 1",
            )?
            .query_row(params![self.org_id, fingerprint], |row| row.get(0))
            .optional()?;
        flow.map(|flow| self.flow(flow).map(|flow| flow.name.clone())).transpose()
    }
}

//! Applies ledger entries about provenance to the tables.

use envsnap_model::provenance::Template;
use rusqlite::{Connection, params};
use serde_json::{Map, Value};

use super::super::failure::Failure;
use super::super::json::Json;
use crate::domain::provenance::{
    Allowed, ArtifactReported, AttestationReported, DeploymentReported, FlowChanged, FlowCreated,
    FlowRenamed, StoredTemplate, TrailBegun, TrailChanged, fields,
};
use crate::domain::{Micros, Payload};

/// Applies entry `seq` of an organization's ledger to the tables of provenance.
pub(in super::super) fn apply(
    connection: &Connection,
    org_id: i64,
    seq: i64,
    recorded_at: Micros,
    payload: &Payload,
) -> Result<(), Failure> {
    let projection = Projection { connection, org_id, seq, now: recorded_at.0 };
    match payload {
        Payload::FlowCreated(created) => projection.create_flow(created)?,
        Payload::FlowChanged(changed) => projection.change_flow(changed)?,
        Payload::FlowRenamed(renamed) => projection.rename_flow(renamed)?,
        Payload::FlowArchived(archived) => {
            projection.archive_flow(archived.flow, &archived.name)?;
        }
        Payload::TrailBegun(begun) => projection.begin_trail(begun)?,
        Payload::TrailChanged(changed) => projection.change_trail(changed)?,
        Payload::ArtifactReported(artifact) => projection.add_artifact(artifact)?,
        Payload::AttestationReported(attestation) => projection.add_attestation(attestation)?,
        Payload::DeploymentReported(deployment) => projection.add_deployment(deployment)?,
        Payload::Allowed(allowed) => projection.add_allowance(allowed)?,
        Payload::AllowanceWithdrawn(withdrawn) => {
            projection.withdraw_allowance(withdrawn.allowance)?;
        }
        _ => {}
    }
    Ok(())
}

/// The tables, with the ledger entry that is applied to them.
struct Projection<'a> {
    connection: &'a Connection,
    org_id: i64,
    /// The sequence number of the entry.
    seq: i64,
    /// When the entry was recorded, in microseconds since the Unix epoch.
    now: i64,
}

impl Projection<'_> {
    fn create_flow(&self, created: &FlowCreated) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO flow
                     (org_id, id, name, description, visibility, template, tags, latest_activity_at)
                 VALUES ($1, $2, $3, $4, $5, $6, '{}', $7)",
            )?
            .insert(params![
                self.org_id,
                self.seq,
                created.name,
                created.description,
                created.visibility,
                created.template.as_ref().map(Json),
                self.now,
            ])?;
        self.set_flow_name(&created.name, self.seq)
    }

    /// Lets requests find the flow by this name, and no longer the flow that had it before.
    fn set_flow_name(&self, name: &str, flow: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO flow_name (org_id, name, flow_id) VALUES ($1, $2, $3)
                 ON CONFLICT (org_id, name) DO UPDATE SET flow_id = excluded.flow_id",
            )?
            .execute(params![self.org_id, name, flow])?;
        Ok(())
    }

    /// Replaces those settings of the flow that the entry contains, and keeps the others.
    fn change_flow(&self, changed: &FlowChanged) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE flow SET
                     description = coalesce($1, description),
                     visibility = coalesce($2, visibility),
                     template = coalesce($3, template),
                     tags = coalesce($4, tags),
                     latest_activity_at = $5
                 WHERE org_id = $6 AND id = $7",
            )?
            .execute(params![
                changed.description,
                changed.visibility,
                changed.template.as_ref().map(Json),
                changed.tags.as_ref().map(Json),
                self.now,
                self.org_id,
                changed.flow,
            ])?;
        Ok(())
    }

    fn rename_flow(&self, renamed: &FlowRenamed) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE flow SET name = $1, latest_activity_at = $2 WHERE org_id = $3 AND id = $4",
            )?
            .execute(params![renamed.to, self.now, self.org_id, renamed.flow])?;
        self.set_flow_name(&renamed.to, renamed.flow)
    }

    /// Archives the flow, and lets requests find it by `name` alone.
    fn archive_flow(&self, flow: i64, name: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE flow SET name = $1, archived_at = $2 WHERE org_id = $3 AND id = $4",
            )?
            .execute(params![name, self.now, self.org_id, flow])?;
        self.connection
            .prepare_cached("DELETE FROM flow_name WHERE org_id = $1 AND flow_id = $2")?
            .execute([self.org_id, flow])?;
        // What the flow reported stays readable under the name that it is archived by.
        self.set_flow_name(name, flow)
    }

    /// Sets the time of the latest activity of the flow.
    fn touch_flow(&self, flow: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE flow SET latest_activity_at = $1 WHERE org_id = $2 AND id = $3",
            )?
            .execute([self.now, self.org_id, flow])?;
        Ok(())
    }

    /// Sets the time of the latest change of the trail, and of the latest activity of its flow.
    fn touch_trail(&self, trail: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE trail SET changed_at = $1 WHERE org_id = $2 AND id = $3")?
            .execute([self.now, self.org_id, trail])?;
        let flow = self
            .connection
            .prepare_cached("SELECT flow_id FROM trail WHERE org_id = $1 AND id = $2")?
            .query_row([self.org_id, trail], |row| row.get(0))?;
        self.touch_flow(flow)
    }

    fn begin_trail(&self, begun: &TrailBegun) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO trail
                     (org_id, id, flow_id, name, details, template, created_at, changed_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
            )?
            .insert(params![
                self.org_id,
                self.seq,
                begun.flow,
                begun.name,
                begun.details,
                begun.template.as_ref().map(Json),
                self.now,
            ])?;
        self.touch_flow(begun.flow)
    }

    /// Merges the details of the entry into those of the trail.
    fn change_trail(&self, changed: &TrailChanged) -> Result<(), Failure> {
        let before: String = self
            .connection
            .prepare_cached("SELECT details FROM trail WHERE org_id = $1 AND id = $2")?
            .query_row([self.org_id, changed.trail], |row| row.get(0))?;
        let mut details: Map<String, Value> = fields(&before);
        details.extend(fields(&changed.details));
        self.connection
            .prepare_cached(
                "UPDATE trail SET details = $1, template = coalesce($2, template)
                 WHERE org_id = $3 AND id = $4",
            )?
            .execute(params![
                Json(&details),
                changed.template.as_ref().map(Json),
                self.org_id,
                changed.trail,
            ])?;
        self.connection
            .prepare_cached("INSERT INTO trail_change (org_id, trail_id, seq) VALUES ($1, $2, $3)")?
            .execute([self.org_id, changed.trail, self.seq])?;
        self.touch_trail(changed.trail)?;
        Ok(())
    }

    fn add_artifact(&self, artifact: &ArtifactReported) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO artifact_report
                     (org_id, seq, flow_id, trail_id, fingerprint, name, git_commit, template_name,
                      recorded_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )?
            .insert(params![
                self.org_id,
                self.seq,
                artifact.flow,
                artifact.trail,
                artifact.fingerprint,
                artifact.name,
                artifact.commit,
                artifact.template_name,
                self.now,
            ])?;
        match artifact.trail {
            Some(trail) => self.touch_trail(trail),
            None => self.touch_flow(artifact.flow),
        }
    }

    fn add_attestation(&self, attestation: &AttestationReported) -> rusqlite::Result<()> {
        let sha256 = attestation.attachment.as_ref().map(|file| hex::decode(&file.sha256));
        let sha256 = sha256.map(Result::unwrap_or_default);
        if let (Some(file), Some(sha256)) = (&attestation.attachment, &sha256) {
            self.connection
                .prepare_cached(
                    "INSERT INTO attachment (org_id, sha256, size) VALUES ($1, $2, $3)
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    self.org_id,
                    sha256,
                    i64::try_from(file.size).unwrap_or(i64::MAX)
                ])?;
        }
        self.connection
            .prepare_cached(
                "INSERT INTO attestation
                     (org_id, seq, trail_id, kind, name, fingerprint, git_commit, targets,
                      is_compliant, overrides, sha256, recorded_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            )?
            .insert(params![
                self.org_id,
                self.seq,
                attestation.trail,
                attestation.kind,
                attestation.name,
                attestation.fingerprint.as_deref().unwrap_or_default(),
                attestation.commit.as_deref().unwrap_or_default(),
                Json(&attestation.targets),
                attestation.is_compliant,
                attestation.overrides,
                sha256,
                self.now,
            ])?;
        self.touch_trail(attestation.trail)
    }

    fn add_deployment(&self, deployment: &DeploymentReported) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO deployment
                     (org_id, flow_id, number, seq, environment, fingerprint, recorded_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )?
            .insert(params![
                self.org_id,
                deployment.flow,
                deployment.number,
                self.seq,
                deployment.environment,
                deployment.fingerprint,
                self.now,
            ])?;
        self.touch_flow(deployment.flow)
    }

    fn add_allowance(&self, allowed: &Allowed) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO allowance
                     (org_id, seq, environment_id, fingerprint, name, pattern, reason, recorded_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )?
            .insert(params![
                self.org_id,
                self.seq,
                allowed.environment,
                allowed.fingerprint,
                allowed.name,
                allowed.pattern,
                allowed.reason,
                self.now,
            ])?;
        Ok(())
    }

    fn withdraw_allowance(&self, allowance: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE allowance SET withdrawn_at = $1 WHERE org_id = $2 AND seq = $3",
            )?
            .execute([self.now, self.org_id, allowance])?;
        Ok(())
    }
}

/// The template in a table's column, which has it as JSON.
pub(super) fn template(column: Option<Json<StoredTemplate>>) -> Option<StoredTemplate> {
    column.map(|Json(template)| template)
}

/// The parsed rules of a stored template, without its text.
pub(super) fn rules(template: Option<&StoredTemplate>) -> Option<&Template> {
    template.map(|template| &template.rules)
}

//! Artifacts, attestations and deployments that are reported.

use rusqlite::{OptionalExtension as _, params};

use super::super::failure::Failure;
use super::super::ledger::Ledger;
use super::reader::Reader;
use super::rows::AttestationRow;
use super::write_flows::{ensure_flow, ensure_trail, existing_flow};
use crate::domain::provenance::{
    ArtifactReport, ArtifactReported, Attachment, AttachmentFile, AttestationReport,
    AttestationReported, DeploymentReport, DeploymentReported,
};
use crate::domain::{Error, Head, Payload};

/// A request that says the same as one before it, so many seconds later at the most, repeats it: its
/// answer was lost. Clients repeat for less than a minute.
const REPEATED_WITHIN: i64 = 600;

/// The bytes of a file in one row.
const CHUNK: usize = 256 << 10;

/// Records that the flow built an artifact.
pub(super) fn report_artifact(
    ledger: &Ledger<'_>,
    flow: &str,
    report: ArtifactReport,
) -> Result<Head, Failure> {
    let flow = ensure_flow(ledger, flow)?;
    let trail = report.trail.map(|name| ensure_trail(ledger, flow, &name)).transpose()?;
    let fingerprint = report.fingerprint.clone();
    let payload = Payload::ArtifactReported(ArtifactReported {
        commit: report.commit,
        details: report.details.into_string(),
        fingerprint: report.fingerprint,
        flow,
        name: report.name,
        template_name: report.template_name,
        trail,
    });
    let latest = ledger
        .connection
        .prepare_cached(
            "SELECT seq FROM artifact_report
             WHERE org_id = $1 AND fingerprint = $2 AND flow_id = $3 AND trail_id IS $4
             ORDER BY seq DESC LIMIT 1",
        )?
        .query_row(params![ledger.org_id, fingerprint, flow, trail], |row| row.get(0))
        .optional()?;
    append_unless_repeated(ledger, latest, &payload)
}

/// Whether entry `latest` says the same, and is not older than what a request repeats.
fn is_repeated(
    ledger: &Ledger<'_>,
    latest: Option<i64>,
    payload: &Payload,
) -> Result<bool, Failure> {
    let Some(seq) = latest else { return Ok(false) };
    let text = payload.to_text()?;
    let oldest = ledger.now.0.saturating_sub(REPEATED_WITHIN * 1_000_000);
    let repeated = ledger
        .connection
        .prepare_cached(
            "SELECT 1 FROM ledger
             WHERE org_id = $1 AND seq = $2 AND kind = $3 AND payload = $4 AND actor = $5
               AND recorded_at >= $6",
        )?
        .exists(params![ledger.org_id, seq, payload.kind(), text, ledger.actor, oldest])?;
    Ok(repeated)
}

pub(super) fn append_unless_repeated(
    ledger: &Ledger<'_>,
    latest: Option<i64>,
    payload: &Payload,
) -> Result<Head, Failure> {
    if is_repeated(ledger, latest, payload)? {
        return Ok(ledger.head()?);
    }
    ledger.append(payload)
}

/// Records an attestation, with the file that comes with it.
pub(super) fn report_attestation(
    ledger: &Ledger<'_>,
    flow_name: &str,
    trail_name: &str,
    report: AttestationReport,
) -> Result<Head, Failure> {
    let flow = ensure_flow(ledger, flow_name)?;
    let trail = ensure_trail(ledger, flow, trail_name)?;
    if let Some(fingerprint) = &report.fingerprint {
        let known = ledger
            .connection
            .prepare_cached(
                "SELECT 1 FROM artifact_report
                 WHERE org_id = $1 AND trail_id = $2 AND fingerprint = $3",
            )?
            .exists(params![ledger.org_id, trail, fingerprint])?;
        if !known {
            return Err(Error::ArtifactNotInTrail {
                org: ledger.org.to_owned(),
                flow: flow_name.to_owned(),
                trail: trail_name.to_owned(),
                fingerprint: fingerprint.clone(),
            }
            .into());
        }
    }
    let latest = latest_attestation(ledger, trail, &report)?;
    let (mut kind, mut overrides) = (report.kind, None);
    if report.is_override {
        let Some(replaced) = &latest else {
            return Err(Error::AttestationNotFound {
                org: ledger.org.to_owned(),
                trail: trail_name.to_owned(),
                name: report.name,
            }
            .into());
        };
        // A repeated override replaces the same one.
        kind.clone_from(&replaced.kind);
        overrides = Some(replaced.overrides.unwrap_or(replaced.seq));
    }
    let attachment = report.attachment.map(|file| store(ledger, &file)).transpose()?;
    let payload = Payload::AttestationReported(AttestationReported {
        attachment,
        commit: report.commit,
        details: report.details.into_string(),
        fingerprint: report.fingerprint,
        is_compliant: report.is_compliant,
        kind,
        name: report.name,
        overrides,
        targets: report.targets,
        trail,
    });
    append_unless_repeated(ledger, latest.map(|latest| latest.seq), &payload)
}

/// The latest attestation of the same name for the same artifact, targets or trail.
fn latest_attestation(
    ledger: &Ledger<'_>,
    trail: i64,
    report: &AttestationReport,
) -> Result<Option<AttestationRow>, Failure> {
    let reader = Reader::new(ledger.connection, ledger.org, ledger.org_id);
    let artifacts = match &report.fingerprint {
        Some(fingerprint) => reader.reports_in_trail(trail, fingerprint)?,
        None => Vec::new(),
    };
    let is_same = |row: &AttestationRow| {
        if report.fingerprint.is_some() {
            return artifacts.iter().any(|artifact| row.is_about(artifact));
        }
        row.fingerprint.is_empty()
            && row.targets == report.targets
            && (row.targets.is_empty()
                || row.commit == report.commit.as_deref().unwrap_or_default())
    };
    Ok(reader.attestations_named(trail, &report.name)?.into_iter().find(is_same))
}

/// Stores a file, once in an organization.
fn store(ledger: &Ledger<'_>, file: &AttachmentFile) -> Result<Attachment, Failure> {
    let size = file.content.len() as u64;
    let stored = ledger
        .connection
        .prepare_cached(
            "INSERT INTO attachment (org_id, sha256, size) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![ledger.org_id, &file.sha256[..], i64::try_from(size).unwrap_or(0)])?;
    if stored > 0 {
        let mut insert = ledger.connection.prepare_cached(
            "INSERT INTO attachment_chunk (org_id, sha256, number, bytes) VALUES ($1, $2, $3, $4)",
        )?;
        for (number, chunk) in (0_i64..).zip(file.content.chunks(CHUNK)) {
            insert.insert(params![ledger.org_id, &file.sha256[..], number, chunk])?;
        }
    }
    let sha256 = hex::encode(file.sha256);
    Ok(Attachment { filename: file.filename.clone(), sha256, size })
}

/// Records that a deployment is announced, and gives its number in the flow.
pub(super) fn report_deployment(
    ledger: &Ledger<'_>,
    flow_name: &str,
    report: &DeploymentReport,
) -> Result<(u32, Head), Failure> {
    let flow = existing_flow(ledger.connection, ledger.org, ledger.org_id, flow_name)?;
    let known = ledger
        .connection
        .prepare_cached(
            "SELECT 1 FROM artifact_report
             WHERE org_id = $1 AND fingerprint = $2 AND flow_id = $3",
        )?
        .exists(params![ledger.org_id, report.fingerprint, flow])?;
    if !known {
        return Err(Error::ArtifactNotFound {
            org: ledger.org.to_owned(),
            flow: flow_name.to_owned(),
            artifact: format!("fingerprint '{}'", report.fingerprint),
        }
        .into());
    }
    let latest: Option<(u32, i64)> = ledger
        .connection
        .prepare_cached(
            "SELECT number, seq FROM deployment
             WHERE org_id = $1 AND flow_id = $2 ORDER BY number DESC LIMIT 1",
        )?
        .query_row([ledger.org_id, flow], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let deployment = |number| {
        Payload::DeploymentReported(DeploymentReported {
            details: report.details.as_str().to_owned(),
            environment: report.environment.clone(),
            fingerprint: report.fingerprint.clone(),
            flow,
            number,
        })
    };
    if let Some((number, seq)) = latest
        && is_repeated(ledger, Some(seq), &deployment(number))?
    {
        return Ok((number, ledger.head()?));
    }
    let number = latest.map_or(1, |(number, ..)| number + 1);
    Ok((number, ledger.append(&deployment(number))?))
}

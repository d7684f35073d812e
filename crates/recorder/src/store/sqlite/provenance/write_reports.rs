//! Artifacts, attestations and deployments that are reported.

use rusqlite::{OptionalExtension as _, params};

use super::super::failure::Failure;
use super::super::ledger::Ledger;
use super::attachments;
use super::reader::Reader;
use super::repeats::{ReportDigest, append_unless_repeated};
use super::rows::AttestationRow;
use super::write_flows::{ensure_flow, ensure_trail, existing_flow_in_use};
use crate::domain::provenance::{
    ArtifactReport, ArtifactReported, AttestationReport, AttestationReported, DeploymentReport,
    DeploymentReported,
};
use crate::domain::{Error, Head, Payload};

/// Records that the flow built an artifact.
pub(super) fn report_artifact(
    ledger: &Ledger<'_>,
    flow: &str,
    report: ArtifactReport,
) -> Result<Head, Failure> {
    let flow = ensure_flow(ledger, flow)?;
    let trail = report.trail.map(|name| ensure_trail(ledger, flow, &name)).transpose()?;
    let payload = Payload::ArtifactReported(ArtifactReported {
        commit: report.commit,
        details: report.details.into_string(),
        fingerprint: report.fingerprint,
        flow,
        name: report.name,
        template_name: report.template_name,
        trail,
    });
    // A report of an artifact replaces nothing: what it says stays.
    append_unless_repeated(ledger, &payload, |_| Ok(true))
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
        if !is_of_type(&replaced.kind, &kind) {
            let problem = format!(
                "is '{kind}', but the latest attestation named '{}' is of type '{}'",
                report.name, replaced.kind
            );
            let errors = [("original_attestation_type".to_owned(), problem)].into();
            return Err(Error::Invalid { errors }.into());
        }
        // A repeated override replaces the same one.
        kind.clone_from(&replaced.kind);
        overrides = Some(replaced.overrides.unwrap_or(replaced.seq));
    }
    let attachment = report.attachment.map(|file| attachments::store(ledger, &file)).transpose()?;
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
    // Tests that passed, failed and passed again within minutes have passed.
    append_unless_repeated(ledger, &payload, |earlier| {
        Ok(!is_attestation_replaced(ledger, trail, earlier)?)
    })
}

/// Whether an attestation of another type or with another result took the place of the one that entry `seq`
/// recorded: it is later, has the same name, and is about the same artifact or about the trail as well.
fn is_attestation_replaced(ledger: &Ledger<'_>, trail: i64, seq: i64) -> Result<bool, Failure> {
    let reader = Reader::new(ledger.connection, ledger.org, ledger.org_id);
    let Some(earlier) = reader.attestation(seq)? else { return Ok(true) };
    let artifacts = reader.all_reports_in_trail(trail)?;
    let about: Vec<_> = artifacts.iter().filter(|artifact| earlier.is_about(artifact)).collect();
    // What both are about may be reported only later.
    let has_same_target = |later: &AttestationRow| {
        later.fingerprint.is_empty()
            && earlier.fingerprint.is_empty()
            && later.commit == earlier.commit
            && later.targets.iter().any(|target| earlier.targets.contains(target))
    };
    let replaces = |later: &AttestationRow| {
        (later.is_about_trail() && earlier.is_about_trail())
            || has_same_target(later)
            || about.iter().any(|artifact| later.is_about(artifact))
    };
    let named = reader.attestations_named(trail, &earlier.name)?;
    let current = named.iter().take_while(|later| later.seq > seq).find(|later| replaces(later));
    Ok(current.is_some_and(|current| {
        (&current.kind, current.is_compliant) != (&earlier.kind, earlier.is_compliant)
    }))
}

/// Whether an attestation of this kind is of the type that a request names: a custom or system one may
/// be named by its whole type, by the type's own name, or by what kind of type it is.
fn is_of_type(kind: &str, named: &str) -> bool {
    let system = |text: &str| text.strip_prefix("system:").unwrap_or(text).to_owned();
    let custom = |text: &str| text.strip_prefix("custom:").map(str::to_owned);
    let is_system = ["decision", "sbom"].contains(&&*system(kind));
    system(kind) == system(named)
        || custom(kind).is_some_and(|name| named == "custom" || named == name)
        || (is_system && named == "system")
}

/// The latest attestation in the trail that has the name of `report` and is about the same artifact,
/// targets or trail.
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

/// Records that a deployment is announced, and gives its number in the flow.
pub(super) fn report_deployment(
    ledger: &Ledger<'_>,
    flow_name: &str,
    report: &DeploymentReport,
) -> Result<(u32, Head), Failure> {
    let flow = existing_flow_in_use(ledger, flow_name)?;
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
    let deployment = |number| {
        Payload::DeploymentReported(DeploymentReported {
            details: report.details.as_str().to_owned(),
            environment: report.environment.clone(),
            fingerprint: report.fingerprint.clone(),
            flow,
            number,
        })
    };
    let digest = ReportDigest::new(ledger.actor, &deployment(0))?;
    if let Some(earlier) = digest.earlier_entry(ledger)?
        && let Some(number) =
            deployment_number_if_latest(ledger, flow, &report.environment, earlier)?
    {
        return Ok((number, ledger.head()?));
    }
    let number: u32 = ledger
        .connection
        .prepare_cached(
            "SELECT coalesce(max(number), 0) + 1 FROM deployment
             WHERE org_id = $1 AND flow_id = $2",
        )?
        .query_row([ledger.org_id, flow], |row| row.get(0))?;
    let head = ledger.append(&deployment(number))?;
    digest.remember(ledger, &head)?;
    Ok((number, head))
}

/// The number of the deployment that entry `seq` announced, or `None` if the flow has announced another
/// deployment to the environment since: after a roll-back, an equal announcement is a new deployment.
fn deployment_number_if_latest(
    ledger: &Ledger<'_>,
    flow: i64,
    environment: &str,
    seq: i64,
) -> rusqlite::Result<Option<u32>> {
    let latest: Option<(u32, i64)> = ledger
        .connection
        .prepare_cached(
            "SELECT number, seq FROM deployment
             WHERE org_id = $1 AND environment = $2 AND flow_id = $3 ORDER BY seq DESC LIMIT 1",
        )?
        .query_row(params![ledger.org_id, environment, flow], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(latest.filter(|(_, latest)| *latest == seq).map(|(number, _)| number))
}

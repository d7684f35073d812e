//! What is recorded about provenance.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value};

use super::super::environments;
use super::super::failure::Failure;
use super::super::json::Json;
use super::super::ledger::Ledger;
use super::projection::template;
use super::reader::{AttestationRow, Reader};
use crate::domain::provenance::{
    AllowanceRequest, AllowanceWithdrawn, Allowed, ArtifactReport, ArtifactReported, Attachment,
    AttachmentFile, AttestationReport, AttestationReported, DeploymentReport, DeploymentReported,
    Details, FlowArchived, FlowChanged, FlowCreated, FlowRenamed, FlowSettings, RecordId, Saved,
    StoredTemplate, TagChange, TrailBegun, TrailChanged, TrailReport, fields,
};
use crate::domain::{Error, Head, Payload};

/// A request that says the same as one before it, so many seconds later at the most, repeats it: its
/// answer was lost. Clients repeat for less than a minute.
const REPEATED_WITHIN: i64 = 600;

/// The most bytes that all flows of an organization take, so that they can be listed at once.
const LARGEST_LISTING: usize = 24 << 20;

/// The most tags of a flow.
const MOST_TAGS: usize = 100;

/// The bytes of a file in one row.
const CHUNK: usize = 256 << 10;

/// The flow in use that is found by this name.
pub(super) fn find_flow(
    connection: &Connection,
    org_id: i64,
    name: &str,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT flow_id FROM flow_name WHERE org_id = $1 AND name = $2")?
        .query_row(params![org_id, name], |row| row.get(0))
        .optional()
}

/// The trail of this name in a flow.
pub(super) fn find_trail(
    connection: &Connection,
    org_id: i64,
    flow: i64,
    name: &str,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM trail WHERE org_id = $1 AND flow_id = $2 AND name = $3")?
        .query_row(params![org_id, flow, name], |row| row.get(0))
        .optional()
}

fn flow_not_found(ledger: &Ledger<'_>, name: &str) -> Failure {
    Error::FlowNotFound { org: ledger.org.to_owned(), name: name.to_owned() }.into()
}

fn existing_flow(ledger: &Ledger<'_>, name: &str) -> Result<i64, Failure> {
    find_flow(ledger.connection, ledger.org_id, name)?.ok_or_else(|| flow_not_found(ledger, name))
}

/// The flow of this name, which is created if there is none.
fn ensure_flow(ledger: &Ledger<'_>, name: &str) -> Result<i64, Failure> {
    if let Some(flow) = find_flow(ledger.connection, ledger.org_id, name)? {
        return Ok(flow);
    }
    let settings = FlowSettings {
        name: name.to_owned(),
        description: String::new(),
        visibility: None,
        template: None,
    };
    create_flow(ledger, settings).map(|head| head.seq)
}

/// The trail of this name, which is begun if there is none.
fn ensure_trail(ledger: &Ledger<'_>, flow: i64, name: &str) -> Result<i64, Failure> {
    if let Some(trail) = find_trail(ledger.connection, ledger.org_id, flow, name)? {
        return Ok(trail);
    }
    let details = Details::from_fields(Map::new()).into_string();
    let begun = TrailBegun { details, flow, name: name.to_owned(), template: None };
    Ok(ledger.append(&Payload::TrailBegun(begun))?.seq)
}

fn create_flow(ledger: &Ledger<'_>, settings: FlowSettings) -> Result<Head, Failure> {
    let head = ledger.append(&Payload::FlowCreated(FlowCreated {
        description: settings.description,
        name: settings.name,
        template: settings.template,
        visibility: settings.visibility.unwrap_or_else(|| "private".to_owned()),
    }))?;
    check_listing(ledger)?;
    Ok(head)
}

/// Fails if the flows of the organization are too many to be listed.
fn check_listing(ledger: &Ledger<'_>) -> Result<(), Failure> {
    let bytes: usize = ledger
        .connection
        .prepare_cached(
            "SELECT coalesce(sum(500 + octet_length(name) + 2 * octet_length(description)
                 + octet_length(tags) + coalesce(octet_length(template), 0)), 0)
             FROM flow WHERE org_id = $1 AND archived_at IS NULL",
        )?
        .query_row([ledger.org_id], |row| row.get(0))?;
    if bytes > LARGEST_LISTING {
        let org = ledger.org.to_owned();
        return Err(Error::TooManyFlows { org, most: LARGEST_LISTING }.into());
    }
    Ok(())
}

/// Creates the flow, or changes its settings.
pub(super) fn save_flow(ledger: &Ledger<'_>, settings: FlowSettings) -> Result<Saved, Failure> {
    let Some(flow) = find_flow(ledger.connection, ledger.org_id, &settings.name)? else {
        return Ok(Saved { created: true, head: create_flow(ledger, settings)? });
    };
    let (description, visibility, before): (String, String, Option<Json<StoredTemplate>>) = ledger
        .connection
        .prepare_cached(
            "SELECT description, visibility, template FROM flow WHERE org_id = $1 AND id = $2",
        )?
        .query_row([ledger.org_id, flow], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let before = template(before);
    let changed = FlowChanged {
        description: Some(settings.description).filter(|it| *it != description),
        flow,
        tags: None,
        template: settings.template.filter(|it| Some(it) != before.as_ref()),
        visibility: settings.visibility.filter(|it| *it != visibility),
    };
    if changed == (FlowChanged { flow, ..FlowChanged::default() }) {
        return Ok(Saved { created: false, head: ledger.head()? });
    }
    let head = ledger.append(&Payload::FlowChanged(changed))?;
    check_listing(ledger)?;
    Ok(Saved { created: false, head })
}

/// Sets and removes tags.
pub(super) fn change_tags(
    ledger: &Ledger<'_>,
    name: &str,
    change: TagChange,
) -> Result<Head, Failure> {
    let flow = existing_flow(ledger, name)?;
    let Json(before): Json<BTreeMap<String, String>> = ledger
        .connection
        .prepare_cached("SELECT tags FROM flow WHERE org_id = $1 AND id = $2")?
        .query_row([ledger.org_id, flow], |row| row.get(0))?;
    let mut tags = before.clone();
    tags.extend(change.set);
    tags.retain(|key, _| !change.remove.contains(key));
    if tags.len() > MOST_TAGS {
        return Err(Error::bad_request(format!("A flow has at most {MOST_TAGS} tags")).into());
    }
    if tags == before {
        return Ok(ledger.head()?);
    }
    let changed = FlowChanged { flow, tags: Some(tags), ..FlowChanged::default() };
    let head = ledger.append(&Payload::FlowChanged(changed))?;
    check_listing(ledger)?;
    Ok(head)
}

/// Gives the flow another name.
pub(super) fn rename_flow(ledger: &Ledger<'_>, name: &str, to: &str) -> Result<Head, Failure> {
    let flow = existing_flow(ledger, name)?;
    let from = current_name(ledger, flow)?;
    if from == to {
        return Ok(ledger.head()?);
    }
    // A name that another flow had before may be taken; the name that it has may not.
    let taken = ledger
        .connection
        .prepare_cached(
            "SELECT 1 FROM flow WHERE org_id = $1 AND name = $2 AND archived_at IS NULL",
        )?
        .exists(params![ledger.org_id, to])?;
    if taken {
        let (org, name) = (ledger.org.to_owned(), to.to_owned());
        return Err(Error::FlowNameTaken { org, name }.into());
    }
    ledger.append(&Payload::FlowRenamed(FlowRenamed { flow, from, to: to.to_owned() }))
}

fn current_name(ledger: &Ledger<'_>, flow: i64) -> rusqlite::Result<String> {
    ledger
        .connection
        .prepare_cached("SELECT name FROM flow WHERE org_id = $1 AND id = $2")?
        .query_row([ledger.org_id, flow], |row| row.get(0))
}

/// Archives the flow, which gives its name free.
pub(super) fn archive_flow(ledger: &Ledger<'_>, name: &str) -> Result<Head, Failure> {
    let flow = existing_flow(ledger, name)?;
    let seconds = ledger.now.0.div_euclid(1_000_000);
    let name = format!("{}-archived-at-{seconds}", current_name(ledger, flow)?);
    ledger.append(&Payload::FlowArchived(FlowArchived { flow, name }))
}

/// Begins the trail, or changes what is known of it.
pub(super) fn save_trail(
    ledger: &Ledger<'_>,
    flow: &str,
    report: TrailReport,
) -> Result<Saved, Failure> {
    let flow = ensure_flow(ledger, flow)?;
    let Some(trail) = find_trail(ledger.connection, ledger.org_id, flow, &report.name)? else {
        let (details, name) = (report.details.into_string(), report.name);
        let begun = TrailBegun { details, flow, name, template: report.template };
        return Ok(Saved { created: true, head: ledger.append(&Payload::TrailBegun(begun))? });
    };
    let (before, old): (String, Option<Json<StoredTemplate>>) = ledger
        .connection
        .prepare_cached("SELECT details, template FROM trail WHERE org_id = $1 AND id = $2")?
        .query_row([ledger.org_id, trail], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (before, old) = (fields(&before), template(old));
    let changed: Map<String, Value> = report
        .details
        .fields()
        .into_iter()
        .filter(|(field, value)| before.get(field) != Some(value))
        .collect();
    let template = report.template.filter(|it| Some(it) != old.as_ref());
    if changed.is_empty() && template.is_none() {
        return Ok(Saved { created: false, head: ledger.head()? });
    }
    let details = Details::from_fields(changed).into_string();
    let changed = TrailChanged { details, template, trail };
    Ok(Saved { created: false, head: ledger.append(&Payload::TrailChanged(changed))? })
}

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

fn append_unless_repeated(
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
    let flow = existing_flow(ledger, flow_name)?;
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

/// Allows software to run without provenance.
pub(super) fn allow(ledger: &Ledger<'_>, request: AllowanceRequest) -> Result<Head, Failure> {
    let environment = request
        .environment
        .map(|name| environments::find_active(ledger.connection, ledger.org, &name))
        .transpose()?
        .map(|environment| environment.id);
    let latest = ledger
        .connection
        .prepare_cached(
            "SELECT seq FROM allowance
             WHERE org_id = $1 AND environment_id IS $2 AND fingerprint = $3 AND pattern = $4
               AND withdrawn_at IS NULL
             ORDER BY seq DESC LIMIT 1",
        )?
        .query_row(
            params![ledger.org_id, environment, request.fingerprint, request.pattern],
            |row| row.get(0),
        )
        .optional()?;
    let allowed = Payload::Allowed(Allowed {
        environment,
        fingerprint: request.fingerprint,
        name: request.name,
        pattern: request.pattern,
        reason: request.reason,
    });
    append_unless_repeated(ledger, latest, &allowed)
}

/// Withdraws what was allowed.
pub(super) fn withdraw(ledger: &Ledger<'_>, id: &str) -> Result<Head, Failure> {
    let found = match RecordId::seq_in(id, ledger.org) {
        None => None,
        Some(seq) => ledger
            .connection
            .prepare_cached(
                "SELECT seq FROM allowance
                 WHERE org_id = $1 AND seq = $2 AND withdrawn_at IS NULL",
            )?
            .query_row([ledger.org_id, seq], |row| row.get(0))
            .optional()?,
    };
    let Some(allowance) = found else {
        let (org, id) = (ledger.org.to_owned(), id.to_owned());
        return Err(Error::AllowanceNotFound { org, id }.into());
    };
    ledger.append(&Payload::AllowanceWithdrawn(AllowanceWithdrawn { allowance }))
}

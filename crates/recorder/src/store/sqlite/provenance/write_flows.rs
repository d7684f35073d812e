//! Flows and trails that are created and changed.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value};

use super::super::failure::Failure;
use super::super::json::Json;
use super::super::ledger::Ledger;
use super::projection::template;
use crate::domain::provenance::{
    Details, FlowArchived, FlowChanged, FlowCreated, FlowRenamed, FlowSettings, Saved,
    StoredTemplate, TagChange, TrailBegun, TrailChanged, TrailReport, fields,
};
use crate::domain::{Error, Head, Payload};

/// The most bytes that all flows of an organization take, so that they can be listed at once.
const MAX_LISTING_BYTES: usize = 24 << 20;

/// The most tags of a flow.
const MAX_TAGS: usize = 100;

/// The id of the flow that has this name, or had it before it was renamed, if no other flow has taken the
/// name. An archived flow is found only by the name that archiving gave it.
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

/// The flow that is found by this name.
///
/// # Errors
/// There is none.
pub(super) fn existing_flow(
    connection: &Connection,
    org: &str,
    org_id: i64,
    name: &str,
) -> Result<i64, Failure> {
    find_flow(connection, org_id, name)?
        .ok_or_else(|| Error::FlowNotFound { org: org.to_owned(), name: name.to_owned() }.into())
}

/// The flow in use that is found by this name.
///
/// # Errors
/// It is archived, so that nothing can be changed in it.
fn find_flow_in_use(ledger: &Ledger<'_>, name: &str) -> Result<Option<i64>, Failure> {
    let Some(flow) = find_flow(ledger.connection, ledger.org_id, name)? else { return Ok(None) };
    if is_archived(ledger, flow)? {
        let (org, name) = (ledger.org.to_owned(), name.to_owned());
        return Err(Error::FlowArchived { org, name }.into());
    }
    Ok(Some(flow))
}

fn is_archived(ledger: &Ledger<'_>, flow: i64) -> rusqlite::Result<bool> {
    ledger
        .connection
        .prepare_cached(
            "SELECT 1 FROM flow WHERE org_id = $1 AND id = $2 AND archived_at IS NOT NULL",
        )?
        .exists([ledger.org_id, flow])
}

/// The flow in use that is found by this name.
///
/// # Errors
/// There is none, or it is archived.
pub(super) fn existing_flow_in_use(ledger: &Ledger<'_>, name: &str) -> Result<i64, Failure> {
    find_flow_in_use(ledger, name)?.ok_or_else(|| {
        Error::FlowNotFound { org: ledger.org.to_owned(), name: name.to_owned() }.into()
    })
}

/// The flow that is found by this name, which is created if there is none.
pub(super) fn ensure_flow(ledger: &Ledger<'_>, name: &str) -> Result<i64, Failure> {
    if let Some(flow) = find_flow_in_use(ledger, name)? {
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
pub(super) fn ensure_trail(ledger: &Ledger<'_>, flow: i64, name: &str) -> Result<i64, Failure> {
    if let Some(trail) = find_trail(ledger.connection, ledger.org_id, flow, name)? {
        return Ok(trail);
    }
    let details = Details::from_fields(Map::new()).into_string();
    let begun = TrailBegun { details, flow, name: name.to_owned(), template: None };
    Ok(ledger.append(&Payload::TrailBegun(begun))?.seq)
}

/// Creates a flow, which is private unless its settings say otherwise.
fn create_flow(ledger: &Ledger<'_>, settings: FlowSettings) -> Result<Head, Failure> {
    let head = ledger.append(&Payload::FlowCreated(FlowCreated {
        description: settings.description,
        name: settings.name,
        template: settings.template,
        visibility: settings.visibility.unwrap_or_else(|| "private".to_owned()),
    }))?;
    check_listing_size(ledger)?;
    Ok(head)
}

/// Fails if the flows of the organization are too many to be listed.
fn check_listing_size(ledger: &Ledger<'_>) -> Result<(), Failure> {
    let bytes: usize = ledger
        .connection
        .prepare_cached(
            "SELECT coalesce(sum(500 + octet_length(name) + 2 * octet_length(description)
                 + octet_length(tags) + coalesce(octet_length(template), 0)), 0)
             FROM flow WHERE org_id = $1 AND archived_at IS NULL",
        )?
        .query_row([ledger.org_id], |row| row.get(0))?;
    if bytes > MAX_LISTING_BYTES {
        let org = ledger.org.to_owned();
        return Err(Error::TooManyFlows { org, most: MAX_LISTING_BYTES }.into());
    }
    Ok(())
}

/// Creates the flow, or changes its settings. If a renamed flow had this name before, a new flow is
/// created, and the settings of the renamed one stay as they are.
pub(super) fn save_flow(ledger: &Ledger<'_>, settings: FlowSettings) -> Result<Saved, Failure> {
    let mut found = find_flow_in_use(ledger, &settings.name)?;
    if let Some(flow) = found
        && current_name(ledger, flow)? != settings.name
    {
        found = None;
    }
    let Some(flow) = found else {
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
    check_listing_size(ledger)?;
    Ok(Saved { created: false, head })
}

/// Sets and removes tags.
pub(super) fn change_tags(
    ledger: &Ledger<'_>,
    name: &str,
    change: TagChange,
) -> Result<Head, Failure> {
    let flow = existing_flow_in_use(ledger, name)?;
    let Json(before): Json<BTreeMap<String, String>> = ledger
        .connection
        .prepare_cached("SELECT tags FROM flow WHERE org_id = $1 AND id = $2")?
        .query_row([ledger.org_id, flow], |row| row.get(0))?;
    let mut tags = before.clone();
    tags.extend(change.set);
    tags.retain(|key, _| !change.remove.contains(key));
    if tags.len() > MAX_TAGS {
        return Err(Error::bad_request(format!("A flow has at most {MAX_TAGS} tags")).into());
    }
    if tags == before {
        return Ok(ledger.head()?);
    }
    let changed = FlowChanged { flow, tags: Some(tags), ..FlowChanged::default() };
    let head = ledger.append(&Payload::FlowChanged(changed))?;
    check_listing_size(ledger)?;
    Ok(head)
}

/// Gives the flow another name.
pub(super) fn rename_flow(ledger: &Ledger<'_>, name: &str, to: &str) -> Result<Head, Failure> {
    let flow = existing_flow_in_use(ledger, name)?;
    let from = current_name(ledger, flow)?;
    if from == to {
        return Ok(ledger.head()?);
    }
    // A name that another flow had before may be taken; the name that it has may not.
    let taken = ledger
        .connection
        .prepare_cached("SELECT 1 FROM flow WHERE org_id = $1 AND name = $2")?
        .exists(params![ledger.org_id, to])?;
    if taken {
        let (org, name) = (ledger.org.to_owned(), to.to_owned());
        return Err(Error::FlowNameTaken { org, name }.into());
    }
    ledger.append(&Payload::FlowRenamed(FlowRenamed { flow, from, to: to.to_owned() }))
}

/// The name that the flow has now.
fn current_name(ledger: &Ledger<'_>, flow: i64) -> rusqlite::Result<String> {
    ledger
        .connection
        .prepare_cached("SELECT name FROM flow WHERE org_id = $1 AND id = $2")?
        .query_row([ledger.org_id, flow], |row| row.get(0))
}

/// Archives the flow and adds the time to its name, so that a new flow can have the name.
pub(super) fn archive_flow(ledger: &Ledger<'_>, name: &str) -> Result<Head, Failure> {
    let flow = existing_flow_in_use(ledger, name)?;
    let (before, mut seconds) = (current_name(ledger, flow)?, ledger.now.0.div_euclid(1_000_000));
    let name = loop {
        let name = format!("{before}-archived-at-{seconds}");
        if find_flow(ledger.connection, ledger.org_id, &name)?.is_none() {
            break name;
        }
        // Another one of this name was archived in the same second.
        seconds += 1;
    };
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

//! Environments in the file.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::failure::Failure;
use super::json::Json;
use super::ledger::Ledger;
use super::rows;
use crate::domain::{
    EnvironmentArchived, EnvironmentChanged, EnvironmentCreated, EnvironmentRecord,
    EnvironmentRenamed, EnvironmentRestored, EnvironmentSettings, Error, Head, Micros, OrgFilter,
    Page, Payload, SettingsChange,
};
use crate::store::{EnvironmentFilter, EnvironmentSort};

/// The most bytes of JSON that the list of all environments of an organization may have. Clients accept a
/// third more.
const MAX_LISTING_BYTES: usize = 24 << 20;

/// An estimate of an environment's JSON without its texts and lists, in bytes.
const FIXED_BYTES: usize = 400;

/// Fails if the JSON of the organization's environments is larger than [`MAX_LISTING_BYTES`].
fn check_listing_size(ledger: &Ledger<'_>) -> Result<(), Failure> {
    let bytes: usize = ledger
        .connection
        .prepare_cached(
            "SELECT coalesce(sum($1 + octet_length(name) + octet_length(json_quote(description))
                 + coalesce(octet_length(included_environments), 0)
                 + coalesce(octet_length(policies), 0)), 0)
             FROM environment WHERE org_id = $2",
        )?
        .query_row(params![FIXED_BYTES + ledger.org.len(), ledger.org_id], |row| row.get(0))?;
    if bytes > MAX_LISTING_BYTES {
        let org = ledger.org.to_owned();
        return Err(Error::TooManyEnvironments { org, most: MAX_LISTING_BYTES }.into());
    }
    Ok(())
}

/// The columns of an environment that writes need.
pub(super) struct ActiveEnvironment {
    pub(super) id: i64,
    pub(super) environment_type: String,
    pub(super) include_scaling: bool,
    pub(super) latest_index: u32,
    pub(super) reported_in_ledger_at: Option<Micros>,
}

/// The environment of this name that is in use.
pub(super) fn find_active(
    connection: &Connection,
    org: &str,
    name: &str,
) -> Result<ActiveEnvironment, Failure> {
    let found = connection
        .prepare_cached(
            "SELECT id, type, include_scaling, latest_index, reported_in_ledger_at
             FROM environment
             WHERE org_id = (SELECT id FROM org WHERE name = $1) AND name = $2
               AND archived_at IS NULL",
        )?
        .query_row([org, name], |row| {
            Ok(ActiveEnvironment {
                id: row.get(0)?,
                environment_type: row.get(1)?,
                include_scaling: row.get(2)?,
                latest_index: row.get(3)?,
                reported_in_ledger_at: row.get::<_, Option<i64>>(4)?.map(Micros),
            })
        })
        .optional()?;
    found_or_error(found, connection, org, name)
}

/// What was `found` of the environment, or the error that it is not in use.
pub(super) fn found_or_error<T>(
    found: Option<T>,
    connection: &Connection,
    org: &str,
    name: &str,
) -> Result<T, Failure> {
    if let Some(found) = found {
        return Ok(found);
    }
    let archived = connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM environment
             WHERE org_id = (SELECT id FROM org WHERE name = $1) AND name = $2
               AND archived_at IS NOT NULL)",
        )?
        .query_row([org, name], |row| row.get(0))?;
    let (org, name) = (org.to_owned(), name.to_owned());
    Err(Error::EnvironmentNotFound { org, name, archived }.into())
}

/// Creates the environment, or restores it if it is archived and changes the settings that differ. Only a
/// caller that `may_change` it may restore or change it.
pub(super) fn save(
    ledger: &Ledger<'_>,
    settings: EnvironmentSettings,
    may_change: bool,
) -> Result<Head, Failure> {
    let before = ledger.head()?;
    let head = save_settings(ledger, settings)?;
    // A retried creation changes nothing and is allowed.
    let changed = head != before && head.seq != creation_seq(ledger, &head)?;
    if changed && !may_change {
        return Err(Error::Forbidden.into());
    }
    check_listing_size(ledger)?;
    Ok(head)
}

/// The sequence number of `head` if that entry created an environment, otherwise 0. Environments are numbered
/// by the entry that created them.
fn creation_seq(ledger: &Ledger<'_>, head: &Head) -> rusqlite::Result<i64> {
    let found: Option<i64> = ledger
        .connection
        .prepare_cached("SELECT id FROM environment WHERE org_id = $1 AND id = $2")?
        .query_row([ledger.org_id, head.seq], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(0))
}

/// As [`save`], without a check of what the caller may do and of the size of the list.
fn save_settings(ledger: &Ledger<'_>, settings: EnvironmentSettings) -> Result<Head, Failure> {
    let existing = ledger
        .connection
        .prepare_cached(
            "SELECT id, type, archived_at IS NOT NULL, description, include_scaling,
                    included_environments, policies
             FROM environment WHERE org_id = $1 AND name = $2",
        )?
        .query_row(params![ledger.org_id, settings.name], |row| {
            let before = EnvironmentChanged {
                environment: row.get(0)?,
                description: Some(row.get(3)?),
                include_scaling: Some(row.get(4)?),
                included_environments: row.get::<_, Option<Json<_>>>(5)?.map(|Json(names)| names),
                policies: row.get::<_, Option<Json<_>>>(6)?.map(|Json(names)| names),
            };
            Ok((before, row.get::<_, String>(1)?, row.get::<_, bool>(2)?))
        })
        .optional()?;
    let Some((before, actual, is_archived)) = existing else {
        return ledger.append(&Payload::EnvironmentCreated(EnvironmentCreated {
            description: settings.description,
            include_scaling: settings.include_scaling.unwrap_or(true),
            included_environments: settings.included_environments,
            name: settings.name,
            policies: settings.policies,
            environment_type: settings.environment_type,
        }));
    };
    if actual != settings.environment_type {
        return Err(Error::EnvironmentTypeMismatch {
            org: ledger.org.to_owned(),
            name: settings.name,
            actual,
            wanted: settings.environment_type,
        }
        .into());
    }
    if is_archived {
        let environment = before.environment;
        ledger.append(&Payload::EnvironmentRestored(EnvironmentRestored { environment }))?;
    }
    let change = SettingsChange {
        // Clients send an empty one if they have none to set.
        description: Some(settings.description).filter(|description| !description.is_empty()),
        include_scaling: settings.include_scaling,
        included_environments: settings.included_environments,
        policies: settings.policies,
    };
    append_change(ledger, &before, change)
}

/// Applies those settings of `change` that differ.
pub(super) fn change(
    ledger: &Ledger<'_>,
    name: &str,
    change: SettingsChange,
) -> Result<Head, Failure> {
    let environment = find_active(ledger.connection, ledger.org, name)?;
    let before = ledger
        .connection
        .prepare_cached(
            "SELECT description, include_scaling, included_environments, policies
             FROM environment WHERE org_id = $1 AND id = $2",
        )?
        .query_row([ledger.org_id, environment.id], |row| {
            Ok(EnvironmentChanged {
                environment: environment.id,
                description: Some(row.get(0)?),
                include_scaling: Some(row.get(1)?),
                included_environments: row.get::<_, Option<Json<_>>>(2)?.map(|Json(names)| names),
                policies: row.get::<_, Option<Json<_>>>(3)?.map(|Json(names)| names),
            })
        })?;
    let head = append_change(ledger, &before, change)?;
    check_listing_size(ledger)?;
    Ok(head)
}

/// Appends an entry with the settings of `change` that differ from those `before`, if there are any.
fn append_change(
    ledger: &Ledger<'_>,
    before: &EnvironmentChanged,
    change: SettingsChange,
) -> Result<Head, Failure> {
    fn changed_value<T: PartialEq>(new: Option<T>, before: Option<&T>) -> Option<T> {
        new.filter(|new| before != Some(new))
    }
    let changed = EnvironmentChanged {
        description: changed_value(change.description, before.description.as_ref()),
        environment: before.environment,
        include_scaling: changed_value(change.include_scaling, before.include_scaling.as_ref()),
        included_environments: changed_value(
            change.included_environments,
            before.included_environments.as_ref(),
        ),
        policies: changed_value(change.policies, before.policies.as_ref()),
    };
    let nothing =
        EnvironmentChanged { environment: before.environment, ..EnvironmentChanged::default() };
    if changed == nothing {
        return Ok(ledger.head()?);
    }
    ledger.append(&Payload::EnvironmentChanged(changed))
}

pub(super) fn rename(ledger: &Ledger<'_>, name: &str, new_name: &str) -> Result<Head, Failure> {
    let environment = find_active(ledger.connection, ledger.org, name)?;
    if name == new_name {
        return Ok(ledger.head()?);
    }
    let taken = ledger
        .connection
        .prepare_cached(
            "SELECT archived_at IS NOT NULL FROM environment WHERE org_id = $1 AND name = $2",
        )?
        .query_row(params![ledger.org_id, new_name], |row| row.get(0))
        .optional()?;
    if let Some(archived) = taken {
        let (org, name) = (ledger.org.to_owned(), new_name.to_owned());
        return Err(Error::EnvironmentNameTaken { org, name, archived }.into());
    }
    let head = ledger.append(&Payload::EnvironmentRenamed(EnvironmentRenamed {
        environment: environment.id,
        from: name.to_owned(),
        to: new_name.to_owned(),
    }))?;
    check_listing_size(ledger)?;
    Ok(head)
}

pub(super) fn archive(ledger: &Ledger<'_>, name: &str) -> Result<Head, Failure> {
    let environment = find_active(ledger.connection, ledger.org, name)?.id;
    ledger.append(&Payload::EnvironmentArchived(EnvironmentArchived { environment }))
}

/// Selects what [`record`] reads of environments, with their organization and their last report.
const SELECT: &str = "
    SELECT last_reported_at, heartbeat,
           org.name AS org, environment.name AS name, type, description, include_scaling,
           included_environments, policies, changed_at, latest_index,
           (SELECT recorded_at FROM snapshot
            WHERE snapshot.org_id = environment.org_id
              AND snapshot.environment_id = environment.id
              AND snapshot.snapshot_index = environment.latest_index) AS last_snapshot_at
    FROM environment JOIN org ON org.id = environment.org_id
    LEFT JOIN reporting ON reporting.org_id = environment.org_id
        AND reporting.environment_id = environment.id";

fn record(row: &Row<'_>) -> rusqlite::Result<EnvironmentRecord> {
    let names = |column| {
        row.get::<_, Option<Json<Vec<String>>>>(column).map(|names| names.map(|Json(names)| names))
    };
    let time = |column| row.get::<_, Option<i64>>(column).map(|time| time.map(Micros));
    Ok(EnvironmentRecord {
        org: row.get("org")?,
        name: row.get("name")?,
        environment_type: row.get("type")?,
        description: row.get("description")?,
        include_scaling: row.get("include_scaling")?,
        included_environments: names("included_environments")?,
        policies: names("policies")?,
        changed_at: Micros(row.get("changed_at")?),
        last_reported_at: rows::lenient_column(row, 0).map(Micros),
        last_snapshot_at: time("last_snapshot_at")?,
        latest_index: row.get("latest_index")?,
        heartbeat: rows::lenient_column(row, 1),
    })
}

pub(super) fn get(
    connection: &Connection,
    org: &str,
    name: &str,
) -> Result<EnvironmentRecord, Failure> {
    let found = connection
        .prepare_cached(&format!(
            "{SELECT} WHERE org.name = $1 AND environment.name = $2 AND archived_at IS NULL"
        ))?
        .query_row([org, name], record)
        .optional()?;
    found_or_error(found, connection, org, name)
}

/// Environments in use of an organization, only those whose name contains `:name` and whose type is in
/// `:types` if these are not null.
const LIST_FILTER: &str = "
    WHERE org.name = :org AND archived_at IS NULL
      AND (:name IS NULL OR instr(lower(environment.name), lower(:name)) > 0)
      AND (:types IS NULL OR type IN (SELECT value FROM json_each(:types)))";

/// The environments in use that `filter` holds for, all or one page of them, and how many there are.
pub(super) fn list(
    connection: &Connection,
    org: &str,
    filter: &EnvironmentFilter,
    page: Option<Page>,
) -> Result<(Vec<EnvironmentRecord>, u64), Failure> {
    let types = (!filter.types.is_empty()).then_some(Json(&filter.types));
    let count = connection
        .prepare_cached(&format!(
            "SELECT count(*) FROM environment JOIN org ON org.id = environment.org_id {LIST_FILTER}"
        ))?
        .query_row(named_params! {":org": org, ":name": filter.name, ":types": types}, |row| {
            row.get(0)
        })?;
    let order = order_by(filter);
    let environments = connection
        .prepare_cached(&format!(
            "{SELECT} {LIST_FILTER} ORDER BY {order} LIMIT :limit OFFSET :offset"
        ))?
        .query_map(
            named_params! {
                ":org": org,
                ":name": filter.name,
                ":types": types,
                // A negative limit means no limit.
                ":limit": page.map_or(-1, |page| i64::from(page.size)),
                ":offset": page.map_or(0, offset),
            },
            record,
        )?
        .collect::<rusqlite::Result<_>>()?;
    Ok((environments, count))
}

/// What follows ORDER BY in the list of environments.
fn order_by(filter: &EnvironmentFilter) -> &'static str {
    match (filter.sort, filter.descending) {
        (EnvironmentSort::Name, false) => "environment.name",
        (EnvironmentSort::Name, true) => "environment.name DESC",
        (EnvironmentSort::LastModifiedAt, false) => {
            "max(changed_at, coalesce(last_reported_at, changed_at)), environment.name"
        }
        (EnvironmentSort::LastModifiedAt, true) => {
            "max(changed_at, coalesce(last_reported_at, changed_at)) DESC, environment.name"
        }
        (EnvironmentSort::LastChangedAt, false) => "last_snapshot_at NULLS LAST, environment.name",
        (EnvironmentSort::LastChangedAt, true) => {
            "last_snapshot_at DESC NULLS LAST, environment.name"
        }
    }
}

/// A page of the environments in use of these organizations, by organization and name, and how many there
/// are. With `name`, only those whose name contains it in any case.
pub(super) fn list_all(
    connection: &Connection,
    orgs: &OrgFilter,
    name: Option<&str>,
    page: Page,
) -> rusqlite::Result<(Vec<EnvironmentRecord>, u64)> {
    let orgs = match orgs {
        OrgFilter::All => None,
        OrgFilter::Only(orgs) => Some(Json(orgs)),
    };
    let of_orgs = "archived_at IS NULL
                   AND (:orgs IS NULL OR org.name IN (SELECT value FROM json_each(:orgs)))
                   AND (:name IS NULL OR instr(lower(environment.name), lower(:name)) > 0)";
    let count = connection
        .prepare_cached(&format!(
            "SELECT count(*) FROM environment JOIN org ON org.id = environment.org_id
             WHERE {of_orgs}"
        ))?
        .query_row(named_params! {":orgs": orgs, ":name": name}, |row| row.get(0))?;
    let environments = connection
        .prepare_cached(&format!(
            "{SELECT} WHERE {of_orgs} ORDER BY org.name, environment.name
             LIMIT :limit OFFSET :offset"
        ))?
        .query_map(
            named_params! {
                ":orgs": orgs, ":name": name, ":limit": page.size, ":offset": offset(page),
            },
            record,
        )?
        .collect::<rusqlite::Result<_>>()?;
    Ok((environments, count))
}

fn offset(page: Page) -> i64 {
    i64::try_from(page.offset()).unwrap_or(i64::MAX)
}

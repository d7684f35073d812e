//! Whether a file still says what was recorded.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row};

use super::events::events_in;
use super::readers::open_to_read;
use super::{StoreError, schema};
use crate::recorder::chain::{Link, Witnessed};

/// A file in which every link holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many there are, in all environments.
    pub snapshots: u64,
    /// Environments with a snapshot.
    pub environments: usize,
    /// The last link; [`Link::GENESIS`] where there is none.
    pub head: Link,
    /// How many snapshots came after the link that was asked for, if one was.
    pub after_witness: Option<u64>,
    /// Environments that have another name now than when their latest snapshot was recorded. Names
    /// may change, and so who verifies should know of it.
    pub renamed: Vec<Renamed>,
    /// Environments that were put away, of which no question tells any more: organization and name.
    pub archived: Vec<(String, String)>,
}

/// An environment with another name than when its latest snapshot was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// Whose it is.
    pub org: String,
    /// Its name then.
    pub from: String,
    /// Its name now.
    pub to: String,
    /// The index of its latest snapshot.
    pub index: i64,
}

/// Why a file does not prove what it says.
#[derive(Debug, thiserror::Error)]
pub enum NotVerified {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] StoreError),
    /// SQLite finds the file damaged.
    #[error("the snapshot file {file} is damaged: {damage}. Restore it from a backup")]
    Damaged {
        /// Its path.
        file: String,
        /// The first thing that is wrong with it, in SQLite's words.
        damage: String,
    },
    /// The first link that does not hold.
    #[error(
        "the chain breaks at snapshot {snapshot}: it was changed after it was recorded, or a \
         snapshot was changed, removed or moved right before it. What comes before it, {before} \
         snapshots, holds"
    )]
    Broken {
        /// The snapshot, `'aws-prod#65' of organization 'acme'`.
        snapshot: String,
        /// How many links hold.
        before: u64,
    },
    /// An index of an environment is missing.
    #[error("snapshot {snapshot} follows #{before} of its environment: snapshots are missing")]
    Gap {
        /// The snapshot, `'aws-prod#65' of organization 'acme'`.
        snapshot: String,
        /// The index of the snapshot before it in the environment; 0 where it is the first.
        before: i64,
    },
    /// The number of changes that pages of events are found by is another than the snapshots show.
    #[error(
        "the links up to snapshot {snapshot} hold, but the number of changes that is noted for it is \
         not what it shows: `env log --long` may leave some out"
    )]
    Miscounted {
        /// The snapshot, `'aws-prod#65' of organization 'acme'`.
        snapshot: String,
    },
    /// A row of a table that follows from the snapshots does not follow from them.
    #[error(
        "every link holds, but table {table:?} of the snapshot file {file} has a row that the \
         recorder did not write: {row}. Answers may be wrong or fail; restore the file from a backup"
    )]
    Stray {
        /// The file's path.
        file: String,
        /// The table's name.
        table: &'static str,
        /// What identifies the row.
        row: String,
    },
    /// Every link holds, but something in the file may change what is recorded, or no longer keeps it
    /// from being changed.
    #[error(
        "every link holds, but {object} of the snapshot file {file} is not as the recorder makes it"
    )]
    Schema {
        /// The file's path.
        file: String,
        /// The table, the index or the trigger, as `trigger "snapshot_stays"`.
        object: String,
    },
    /// Every link holds, but the witness is not among them.
    #[error(
        "every link holds, and {witness} is none of them: snapshots were removed from the end, or \
         the chain was written anew (its head is now {head}), or another file was meant"
    )]
    UnknownWitness {
        /// What was asked for.
        witness: Link,
        /// The last link.
        head: Link,
    },
}

/// Walks along the whole chain of the recorder's file at `path`, which a recorder may write to
/// meanwhile, and looks for the link `witness`, which an answer to a report told once.
///
/// # Errors
/// The file cannot be read, a link of its chain does not hold, an environment's indexes have a gap,
/// its events are miscounted, or `witness` is no link of it.
pub fn verify(path: &Path, witness: Option<Link>) -> Result<Verified, NotVerified> {
    verify_connection(&mut open_to_read(path)?, &path.display().to_string(), witness)
}

/// As [`verify`], of the file that is open.
///
/// # Errors
/// As there.
pub(super) fn verify_connection(
    connection: &mut Connection,
    file: &str,
    witness: Option<Link>,
) -> Result<Verified, NotVerified> {
    let file = file.to_owned();
    let failed = |source: rusqlite::Error| {
        let file = file.clone();
        if source.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) {
            return NotVerified::Damaged { file, damage: source.to_string() };
        }
        let operation = format!("read the snapshot file {file}");
        StoreError::Failed { operation, source }.into()
    };
    let transaction = connection.transaction().map_err(failed)?;
    let damage = first_damage(&transaction).map_err(failed)?;
    if damage != "ok" {
        return Err(NotVerified::Damaged { file, damage });
    }
    let mut statement = transaction
        .prepare(
            "SELECT environment_id, org, type, environment_name, name, archived_at IS NOT NULL AS archived,
                 snapshot_index, created_at, content_hash, link, artifacts, events
             FROM snapshot LEFT JOIN environment ON environment.id = environment_id
             LEFT JOIN event_count USING (environment_id, snapshot_index)
             ORDER BY snapshot.id",
        )
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut walk = Walk::new(witness);
    while let Some(row) = rows.next().map_err(failed)? {
        walk.step(&stored(row).map_err(failed)?)?;
    }
    let verified = walk.end()?;
    if let Some((table, row)) = first_stray(&transaction).map_err(failed)? {
        return Err(NotVerified::Stray { file, table, row });
    }
    // Last: what it did to what was recorded tells more.
    match schema::first_difference(&transaction).map_err(failed)? {
        Some(object) => Err(NotVerified::Schema { file, object }),
        None => Ok(verified),
    }
}

/// "ok" where there is none.
fn first_damage(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
}

/// The first row that nothing recorded accounts for, in the tables that follow from snapshots and
/// reports. The walk along the chain compares the rows that belong to a snapshot.
fn first_stray(connection: &Connection) -> rusqlite::Result<Option<(&'static str, String)>> {
    let tables = [
        (
            "environment",
            "SELECT 'environment ' || environment.id
             FROM environment, json_each(json_array(policies, included_environments)) AS list
             WHERE list.value IS NOT NULL AND CASE
                 WHEN NOT json_valid(list.value) OR json_type(list.value) <> 'array' THEN TRUE
                 ELSE EXISTS (SELECT 1 FROM json_each(list.value) AS name WHERE name.type <> 'text')
             END LIMIT 1",
        ),
        (
            "event_count",
            "SELECT 'environment ' || environment_id || ', snapshot ' || snapshot_index
             FROM event_count WHERE NOT EXISTS (
                 SELECT 1 FROM snapshot WHERE snapshot.environment_id = event_count.environment_id
                     AND snapshot.snapshot_index = event_count.snapshot_index) LIMIT 1",
        ),
        (
            "silence",
            "SELECT 'environment ' || environment_id || ', snapshot ' || snapshot_index
             FROM silence WHERE silent_from >= silent_until OR NOT EXISTS (
                 SELECT 1 FROM snapshot WHERE snapshot.environment_id = silence.environment_id
                     AND snapshot.snapshot_index = silence.snapshot_index
                     AND silent_until <= confirmed_until) LIMIT 1",
        ),
        ("probe", "SELECT 'row ' || rowid FROM probe LIMIT 1"),
    ];
    for (table, stray) in tables {
        if let Some(row) = connection.query_row(stray, [], |row| row.get(0)).optional()? {
            return Ok(Some((table, row)));
        }
    }
    Ok(None)
}

/// A snapshot as it is in the file.
struct Stored<'a> {
    snapshot: Witnessed<'a>,
    link: &'a [u8],
    /// Its environment's.
    name_now: &'a str,
    /// Its environment is.
    archived: bool,
    /// Of its environment, up to it, as they are noted.
    events: Option<u64>,
}

fn stored<'a>(row: &'a Row<'_>) -> rusqlite::Result<Stored<'a>> {
    // An environment that was removed has no organization, type or name: its link breaks.
    let text = |column| -> rusqlite::Result<&'a str> {
        Ok(row.get_ref::<&str>(column)?.as_str_or_null()?.unwrap_or_default())
    };
    Ok(Stored {
        snapshot: Witnessed {
            environment_id: row.get("environment_id")?,
            org: text("org")?,
            environment_type: text("type")?,
            environment_name: text("environment_name")?,
            index: row.get("snapshot_index")?,
            created_at: row.get("created_at")?,
            content_hash: text("content_hash")?,
            artifacts: text("artifacts")?,
        },
        link: row.get_ref("link")?.as_blob()?,
        name_now: text("name")?,
        archived: row.get("archived")?,
        events: row.get("events")?,
    })
}

/// How far the walk came.
struct Walk {
    witness: Option<Link>,
    witnessed_at: Option<u64>,
    snapshots: u64,
    head: Link,
    environments: BTreeMap<i64, Environment>,
}

/// An environment as its latest snapshot so far has it.
struct Environment {
    org: String,
    name_then: String,
    name_now: String,
    archived: bool,
    index: i64,
    events: u64,
}

impl Walk {
    fn new(witness: Option<Link>) -> Self {
        let head = Link::GENESIS;
        let witnessed_at = (witness == Some(head)).then_some(0);
        Self { witness, witnessed_at, snapshots: 0, head, environments: BTreeMap::new() }
    }

    fn step(&mut self, stored: &Stored<'_>) -> Result<(), NotVerified> {
        let Stored { snapshot, link, name_now, archived, events: noted } = stored;
        let Witnessed { environment_id, org, environment_name, index, artifacts, .. } = *snapshot;
        let name = || format!("'{environment_name}#{index}' of organization '{org}'");
        let expected = self.head.next(snapshot);
        if *link != expected.as_bytes() {
            return Err(NotVerified::Broken { snapshot: name(), before: self.snapshots });
        }
        let environment = self.environments.entry(environment_id).or_insert_with(|| Environment {
            org: org.to_owned(),
            name_then: String::new(),
            name_now: (*name_now).to_owned(),
            archived: *archived,
            index: 0,
            events: 0,
        });
        if index != environment.index + 1 {
            return Err(NotVerified::Gap { snapshot: name(), before: environment.index });
        }
        let artifacts: Option<Vec<_>> = serde_json::from_str(artifacts).ok();
        let shown = artifacts.map(|artifacts| environment.events + events_in(&artifacts));
        let Some(events) = shown.filter(|shown| *noted == Some(*shown)) else {
            return Err(NotVerified::Miscounted { snapshot: name() });
        };
        environment.events = events;
        environment.index = index;
        environment_name.clone_into(&mut environment.name_then);
        self.head = expected;
        self.snapshots += 1;
        if self.witness == Some(expected) {
            self.witnessed_at = Some(self.snapshots);
        }
        Ok(())
    }

    fn end(self) -> Result<Verified, NotVerified> {
        let Self { witness, witnessed_at, snapshots, head, environments } = self;
        if let (Some(witness), None) = (witness, witnessed_at) {
            return Err(NotVerified::UnknownWitness { witness, head });
        }
        let put_away = environments.values().filter(|environment| environment.archived);
        let archived = put_away.map(|it| (it.org.clone(), it.name_now.clone())).collect();
        Ok(Verified {
            archived,
            snapshots,
            environments: environments.len(),
            head,
            after_witness: witnessed_at.map(|at| snapshots - at),
            renamed: environments
                .into_values()
                .filter(|environment| environment.name_then != environment.name_now)
                .map(|Environment { org, name_then: from, name_now: to, index, .. }| Renamed {
                    org,
                    from,
                    to,
                    index,
                })
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_was_written_anew_around_a_gap_is_no_proof() {
        let snapshot = |index| Witnessed {
            environment_id: 1,
            org: "acme",
            environment_type: "ECS",
            environment_name: "aws-prod",
            index,
            created_at: 1.0,
            content_hash: "ab",
            artifacts: "[]",
        };
        let walk = |indexes: &[i64]| {
            let mut walk = Walk::new(None);
            let mut link = Link::GENESIS;
            for snapshot in indexes.iter().copied().map(snapshot) {
                link = link.next(&snapshot);
                walk.step(&Stored {
                    snapshot,
                    link: link.as_bytes(),
                    name_now: "aws-prod",
                    archived: false,
                    events: Some(0),
                })?;
            }
            walk.end()
        };
        assert_eq!(walk(&[]).unwrap().head, Link::GENESIS);
        assert_eq!(walk(&[1, 2, 3]).unwrap().snapshots, 3);
        for (indexes, named, before) in
            [(&[1, 2, 4][..], "'aws-prod#4'", 2), (&[2], "'aws-prod#2'", 0), (&[1, 1], "#1'", 1)]
        {
            let refused = walk(indexes).unwrap_err();
            let NotVerified::Gap { snapshot, before: found } = refused else { panic!("{refused}") };
            assert!(snapshot.contains(named) && found == before, "{snapshot} {found}");
        }
    }
}

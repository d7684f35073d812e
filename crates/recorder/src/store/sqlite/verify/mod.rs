//! Verifies that a file was not changed since it was recorded.
//!
//! Every projection of the ledger is rebuilt in memory and compared row by row. Not covered: when
//! each environment was last reported and which tasks run now, since entries are not made for every
//! report, and by which recorder the file was used. Of these, only what no recorder writes is
//! found.

mod attachments;
mod replay;
mod tables;
mod uncovered;

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::failure::Failure;
use super::readers::open_to_read;
use super::{StoreError, ledger, schema};
use crate::domain::{Head, ParsePayloadError};
pub use attachments::AttachmentCheck;
use replay::Replay;
pub(super) use tables::TABLES as PROJECTIONS;
pub(super) use uncovered::{REPORTING_TABLES, remove_malformed};

/// How many ledger entries are read in one transaction: a longer one would keep a running recorder from
/// resetting the write-ahead log.
const ENTRIES_PER_TRANSACTION: u32 = 1_000;

/// The result of verifying a file whose tables match its ledgers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// One for each organization, by name.
    pub ledgers: Vec<LedgerSummary>,
}

/// A verified ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerSummary {
    /// Its last entry.
    pub head: Head,
    /// How many snapshots it has, in all environments.
    pub snapshots: u64,
    /// How many environments it has.
    pub environments: u64,
    /// How many entries came after the head that was expected, if it was one of this ledger.
    pub after_expected: Option<i64>,
}

/// Why a snapshot file was not verified: it cannot be read, or is not as it was recorded.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] StoreError),
    /// SQLite finds the file damaged.
    #[error(
        "the snapshot file {file} is damaged: {damage}. {}. If its ledgers cannot be read, restore a backup",
        rebuild_advice(file)
    )]
    Damaged {
        file: String,
        /// The first thing that is wrong with it, in SQLite's words.
        damage: String,
    },
    /// The organization of a ledger is not known, and so none of its hashes.
    #[error(
        "the ledger number {org_id} cannot be verified: table org has no row with the name of its \
         organization, which each hash covers. If you know the name, add the row to a copy of the file with: \
         sqlite3 COPY \"INSERT INTO org (id, name) VALUES ({org_id}, 'NAME')\", and run 'envsnap verify' \
         with the copy. Otherwise restore a backup"
    )]
    Nameless { org_id: i64 },
    /// The first entry whose hash does not hold.
    #[error(
        "the ledger of organization '{org}' breaks at entry {seq}: that entry was changed, or one \
         before it was changed or removed. The {before} entries before it hold"
    )]
    Broken {
        org: String,
        seq: i64,
        /// How many hold.
        before: i64,
    },
    /// An entry is missing.
    #[error("the ledger of organization '{org}' has entry {found} where entry {wanted} should be")]
    Gap {
        org: String,
        /// The sequence number that should follow.
        wanted: i64,
        /// The one that does.
        found: i64,
    },
    /// An entry cannot be read.
    #[error("entry {seq} of the ledger of organization '{org}' cannot be read")]
    Unknown {
        org: String,
        seq: i64,
        #[source]
        source: ParsePayloadError,
    },
    /// An entry contradicts those before it.
    #[error(
        "entry {seq} of the ledger of organization '{org}' contradicts those before it: {reason}"
    )]
    Contradiction {
        org: String,
        seq: i64,
        /// What does not fit.
        reason: String,
    },
    /// A table differs from the ledger.
    #[error(
        "the ledgers hold, but table {table} of the snapshot file {file} does not say what they \
         say, first at ({row}). {}",
        rebuild_advice(file)
    )]
    Table {
        file: String,
        table: String,
        /// The key of the row.
        row: String,
    },
    /// A row outside the ledger is one that no recorder writes.
    #[error(
        "the ledgers hold, but table {table} of the snapshot file {file} has a value in column {column} \
         at ({row}) that no recorder writes{}",
        match *table {
            "reporting" => ". The next report to that environment corrects it",
            "webhook" | "webhook_position" => ". Until it is corrected, that webhook misses or repeats messages",
            "current_task" => ". Until what runs there changes, its tasks are those of its start",
            "recent_report" => ". A request that is repeated may be recorded twice",
            "session" => ". No report is in that table: the next start of a recorder removes such rows",
            _ => ". No report is in that table: the next start of a recorder corrects it, or says how",
        }
    )]
    Malformed {
        file: String,
        table: &'static str,
        /// The key of the row.
        row: String,
        column: &'static str,
    },
    /// An attachment is missing or has other content.
    #[error(
        "the ledgers hold, but the snapshot file {file} does not have the attachment with SHA-256 \
         {sha256} as it was reported. What was reported with it is as it was, and the recorder goes on \
         with the file. To put it back from a BACKUP that has it: sqlite3 '{file}' \"ATTACH 'BACKUP' AS \
         backup; INSERT OR REPLACE INTO main.attachment_chunk SELECT * FROM backup.attachment_chunk WHERE \
         sha256 = x'{sha256}'\""
    )]
    Attachment {
        file: String,
        /// Of the attachment, in hexadecimal digits.
        sha256: String,
    },
    /// Something in the file may change what is recorded.
    #[error(
        "the ledgers hold, but {object} of the snapshot file {file} is not as the recorder makes it. {}",
        rebuild_advice(file)
    )]
    Schema {
        file: String,
        /// The table, the index or the trigger, as `trigger "hides_snapshots"`.
        object: String,
    },
    /// The ledgers hold, but the head that was expected is not in them.
    #[error(
        "the ledgers hold, and \"{expected}\" is not in them: entries were removed from the end, \
         the ledger was rewritten, or this is another file{}",
        actual.as_ref().map_or_else(String::new, |head| format!(" (its head is now \"{head}\")"))
    )]
    UnknownHead {
        expected: Box<Head>,
        /// The head of that organization's ledger, if it has one.
        actual: Option<Box<Head>>,
    },
}

/// The advice to rebuild the other tables from the ledgers, which are intact.
fn rebuild_advice(file: &str) -> String {
    format!(
        "Without a recorder that runs, make the tables anew from the ledgers, in another file: envsnap \
         rebuild --db '{file}' TARGET"
    )
}

impl VerifyError {
    /// The error for an entry of a ledger that could not be applied to the tables.
    pub(super) fn contradiction(org: &str, seq: i64, failure: Failure) -> Self {
        let reason = match failure {
            Failure::Sql(error) => error.to_string(),
            failure => failure.into_error("apply it").to_string(),
        };
        Self::Contradiction { org: org.to_owned(), seq, reason }
    }
}

/// Checks every entry of every ledger in the file at `path`, which a recorder may write to meanwhile,
/// every table that is made from them, the files with attestations, and whether `expected`, which was
/// kept elsewhere, is in them.
///
/// # Errors
/// The file cannot be read, or does not verify.
pub fn verify(
    path: &Path,
    expected: Option<&Head>,
    attachments: AttachmentCheck,
) -> Result<Verified, VerifyError> {
    verify_connection(&mut open_to_read(path)?, &path.display().to_string(), expected, attachments)
}

/// As [`verify`], of the file that is open. If it is of an older version, only its ledgers are
/// checked, and whether it is damaged.
///
/// # Errors
/// As [`verify`].
pub(super) fn verify_connection(
    connection: &mut Connection,
    file: &str,
    expected: Option<&Head>,
    attachments: AttachmentCheck,
) -> Result<Verified, VerifyError> {
    let failed = |source: rusqlite::Error| failed(file, source);
    // First: a view or trigger that hides rows would invalidate all further checks.
    if schema::check_version(connection, file).is_ok()
        && let Some(object) = schema::first_object_unlike_new_file(connection).map_err(failed)?
    {
        return Err(VerifyError::Schema { file: file.to_owned(), object });
    }
    verify_ledgers_and_tables(connection, file, expected, attachments, VerifyScope::Everything)
}

/// Verifies the ledgers, the tables that follow from them and the sizes of attachments in an open file of
/// this or an older version. Other tables and the schema are not checked.
///
/// # Errors
/// A record is missing, damaged or changed, or the file cannot be read.
pub(super) fn verify_records(connection: &mut Connection, file: &str) -> Result<(), VerifyError> {
    verify_ledgers_and_tables(connection, file, None, AttachmentCheck::Sizes, VerifyScope::Records)
        .map(drop)
}

/// Which tables are verified beside the ledgers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum VerifyScope {
    Everything,
    /// Only those that follow from the ledgers.
    Records,
}

fn verify_ledgers_and_tables(
    connection: &mut Connection,
    file: &str,
    expected: Option<&Head>,
    attachments: AttachmentCheck,
    scope: VerifyScope,
) -> Result<Verified, VerifyError> {
    let failed = |source: rusqlite::Error| failed(file, source);
    let mut replay = Replay::new(expected).map_err(failed)?;
    // Most of it in short transactions: entries written meanwhile are read later.
    loop {
        let transaction = connection.transaction().map_err(failed)?;
        if !replay.read_next_entries(&transaction, ENTRIES_PER_TRANSACTION, &failed)? {
            break;
        }
    }
    // The rest in one transaction, in which the tables match the last entry.
    let transaction = connection.transaction().map_err(failed)?;
    while replay.read_next_entries(&transaction, ENTRIES_PER_TRANSACTION, &failed)? {}
    let damage = integrity_check(&transaction).map_err(failed)?;
    if damage != "ok" {
        return Err(VerifyError::Damaged { file: file.to_owned(), damage });
    }
    // The tables of an older version are others.
    let is_current = schema::check_version(&transaction, file).is_ok();
    if !is_current {
        return replay.finish(ledger::heads(&transaction).map_err(failed)?);
    }
    if let Some((table, row)) =
        tables::first_differing_row(&transaction, replay.tables()).map_err(failed)?
    {
        return Err(VerifyError::Table { file: file.to_owned(), table, row });
    }
    if let Some(sha256) =
        attachments::first_invalid_attachment(&transaction, attachments).map_err(failed)?
    {
        return Err(VerifyError::Attachment { file: file.to_owned(), sha256 });
    }
    let verified = replay.finish(ledger::heads(&transaction).map_err(failed)?)?;
    if scope == VerifyScope::Everything
        && let Some(uncovered::Malformed { table, row, column }) =
            uncovered::first_malformed(&transaction).map_err(failed)?
    {
        return Err(VerifyError::Malformed { file: file.to_owned(), table, row, column });
    }
    Ok(verified)
}

/// Verifies the ledgers in an open file, and builds the tables that follow from them in memory: returns
/// these as a database.
///
/// # Errors
/// A ledger does not hold, or cannot be read.
pub(super) fn replay(
    transaction: &Connection,
    file: &str,
) -> Result<(Verified, Connection), VerifyError> {
    let failed = |source: rusqlite::Error| failed(file, source);
    let mut replay = Replay::new(None).map_err(failed)?;
    while replay.read_next_entries(transaction, ENTRIES_PER_TRANSACTION, &failed)? {}
    let verified = replay.finish(Vec::new())?;
    Ok((verified, replay.into_tables()))
}

/// The error for a query that failed: damage, if SQLite reports the file as corrupt.
pub(super) fn failed(file: &str, source: rusqlite::Error) -> VerifyError {
    let file = file.to_owned();
    if source.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) {
        return VerifyError::Damaged { file, damage: source.to_string() };
    }
    let operation = format!("read the snapshot file {file}");
    StoreError::Failed { operation, source }.into()
}

/// The first damage of the file that SQLite finds, in its words, or "ok".
fn integrity_check(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
}

#[cfg(test)]
mod tests;

//! A new file whose tables are made from the ledgers of another.
//!
//! For a file in which another program, or a disk, changed what follows from the ledgers. What the
//! ledgers do not say is copied as far as a recorder can have written it.

use std::path::Path;

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ErrorCode, params_from_iter};

use super::backup::{BackupSummary, CopyError, PartialCopy, create_like, verify_copy};
use super::lock::Lock;
use super::readers::open_to_read;
use super::verify::{self, AttachmentCheck, PROJECTIONS, REPORTING_TABLES, Verified, VerifyError};
use super::{StoreError, keep_statements, literal_path, position, preflight, schema};

/// What [`rebuild`] copied, and what is still damaged.
#[derive(Debug)]
pub struct RebuildSummary {
    pub copied: BackupSummary,
    /// An attachment that was damaged or missing before, and still is.
    pub damaged_attachment: Option<VerifyError>,
}

/// Writes a new file to `target` with the ledgers of the recorder's file at `path` and the tables that
/// follow from them, and verifies it. `target` then exists, synced, complete and verified, or not at
/// all. No recorder may write to `path` meanwhile: what it recorded would be missing.
///
/// # Errors
/// A ledger does not hold, `path` cannot be read, or lacks acknowledged commits, or a recorder writes to
/// it, `target` exists, or it cannot be written.
pub fn rebuild(path: &Path, target: &Path) -> Result<RebuildSummary, CopyError> {
    let partial = PartialCopy::new(path, target)?;
    let (file, name) = (path.display().to_string(), target.display().to_string());
    preflight::check_regular_files(path)?;
    // The lock would create it.
    if !path.exists() {
        return Err(StoreError::Missing { file }.into());
    }
    let _lock = Lock::take(path)?;
    let mut source = open_to_read(path)?;
    let refused = |error| match error {
        VerifyError::Unreadable(error) => CopyError::Unreadable(error),
        VerifyError::Malformed { .. } => {
            CopyError::Uncorrected { file: file.clone(), source: Box::new(error) }
        }
        broken => CopyError::Ledgers { file: file.clone(), source: Box::new(broken) },
    };
    if let Err(error) = position::read(&source) {
        // Which a reader goes on without.
        return Err(if position::is_missing(&error) {
            StoreError::NoPosition { file, source: error }.into()
        } else {
            refused(verify::failed(&file, error))
        });
    }
    let source = source.transaction().map_err(|error| refused(verify::failed(&file, error)))?;
    let (replayed, tables) = verify::replay(&source, &file).map_err(refused)?;
    create_like(path, &partial.path);
    write_rebuilt_file(&source, &tables, &partial.path).map_err(|error| match error {
        RebuildError::Read(source) => refused(verify::failed(&file, source)),
        RebuildError::Write(source) => CopyError::Write { target: name.clone(), source },
    })?;
    drop(tables);
    let (verified, damaged_attachment) =
        match verify_copy(&partial.path, &name, AttachmentCheck::Content) {
            Err(damage @ VerifyError::Attachment { .. }) => {
                (verify_copy(&partial.path, &name, AttachmentCheck::Absent), Some(damage))
            }
            verified => (verified, None),
        };
    let verified = verified.map_err(refused)?;
    check_complete(&replayed, &verified, &file).map_err(refused)?;
    partial.rename_to(target)?;
    Ok(RebuildSummary { copied: verified.into(), damaged_attachment })
}

/// Fails unless the new file has exactly the entries that were replayed from the old one: they were read
/// through an index, which may be damaged.
fn check_complete(replayed: &Verified, verified: &Verified, file: &str) -> Result<(), VerifyError> {
    if replayed == verified {
        return Ok(());
    }
    let damage = "table ledger and its index do not have the same entries".to_owned();
    Err(VerifyError::Damaged { file: file.to_owned(), damage })
}

/// The old file could not be read, or the new one not be written.
enum RebuildError {
    Read(rusqlite::Error),
    Write(rusqlite::Error),
}

/// Writes a new file to `partial`: what follows from the ledgers from `tables`, the rest from `source`.
fn write_rebuilt_file(
    source: &Connection,
    tables: &Connection,
    partial: &Path,
) -> Result<(), RebuildError> {
    let mut new = Connection::open(literal_path(partial)).map_err(RebuildError::Write)?;
    keep_statements(&new).map_err(RebuildError::Write)?;
    let transaction = new.transaction().map_err(RebuildError::Write)?;
    schema::create_versioned(&transaction).map_err(RebuildError::Write)?;
    for (table, _) in PROJECTIONS {
        copy_rows(tables, &transaction, table, "", RowsToCopy::All)?;
    }
    // In the order in which they were recorded, across the organizations.
    copy_rows(source, &transaction, "ledger", "ORDER BY rowid", RowsToCopy::All)?;
    copy_rows(source, &transaction, "attachment_chunk", "", RowsToCopy::All)?;
    for table in REPORTING_TABLES.into_iter().chain(["session", "position"]) {
        copy_rows(source, &transaction, table, "", RowsToCopy::Possible)?;
    }
    correct_uncovered_tables(&transaction).map_err(RebuildError::Write)?;
    transaction.commit().map_err(RebuildError::Write)?;
    new.close().map_err(|(_, error)| RebuildError::Write(error))
}

/// Corrects what the ledgers do not cover: rows that no recorder can have written are removed or reset.
fn correct_uncovered_tables(new: &Connection) -> rusqlite::Result<()> {
    // One that is beyond the ledger would miss what is recorded next, and without one, everything is
    // delivered again.
    new.execute_batch(
        "UPDATE webhook_position
         SET seq = (SELECT coalesce(max(seq), 0) FROM ledger
                    WHERE ledger.org_id = webhook_position.org_id)
         WHERE seq NOT BETWEEN 0 AND (SELECT coalesce(max(seq), 0) FROM ledger
                                      WHERE ledger.org_id = webhook_position.org_id)",
    )?;
    verify::remove_malformed(new)?;
    new.execute_batch(
        "DELETE FROM webhook
         WHERE NOT EXISTS (SELECT 1 FROM webhook_position WHERE webhook_position.webhook = webhook.id);
         DELETE FROM attachment_chunk
         WHERE NOT EXISTS (SELECT 1 FROM attachment
                           WHERE attachment.org_id = attachment_chunk.org_id
                             AND attachment.sha256 = attachment_chunk.sha256);
         -- The next report writes the heartbeat, and compares the tasks.
         INSERT INTO reporting (org_id, environment_id, last_reported_at, tasks_hash)
             SELECT org_id, id, reported_in_ledger_at, zeroblob(32) FROM environment
             WHERE reported_in_ledger_at IS NOT NULL
             ON CONFLICT (org_id, environment_id) DO NOTHING",
    )
}

/// Which rows of a table [`copy_rows`] copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowsToCopy {
    All,
    /// Those that the new table takes, if the old one is there with all its columns.
    Possible,
}

/// Copies rows of `table`, in the order of the clause `order`, which may be empty.
fn copy_rows(
    from: &Connection,
    to: &Connection,
    table: &str,
    order: &str,
    rows: RowsToCopy,
) -> Result<(), RebuildError> {
    let columns = to.prepare(&format!("SELECT * FROM {table}")).map_err(RebuildError::Write)?;
    let columns: Vec<_> = columns.column_names().map(str::to_owned).collect();
    let values = vec!["?"; columns.len()].join(", ");
    let mut insert = to
        .prepare(&format!("INSERT INTO {table} VALUES ({values})"))
        .map_err(RebuildError::Write)?;
    let select = format!("SELECT {} FROM {table} {order}", columns.join(", "));
    let mut select = match from.prepare(&select) {
        // There is no such table, or column.
        Err(error) if rows == RowsToCopy::Possible && schema::is_missing(&error) => return Ok(()),
        select => select.map_err(RebuildError::Read)?,
    };
    let mut found = select.query([]).map_err(RebuildError::Read)?;
    while let Some(row) = found.next().map_err(RebuildError::Read)? {
        let values =
            (0..columns.len()).map(|column| row.get_ref(column).map(ToSqlOutput::Borrowed));
        let values: Vec<_> = values.collect::<Result<_, _>>().map_err(RebuildError::Read)?;
        match insert.execute(params_from_iter(values)) {
            Err(error)
                if rows == RowsToCopy::Possible
                    && error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {}
            inserted => drop(inserted.map_err(RebuildError::Write)?),
        }
    }
    Ok(())
}

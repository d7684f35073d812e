//! The position of a file: the number of its last commit and the session that made it.
//!
//! Every commit of a recorder advances the position in the same transaction. So a file that lacks a
//! commit is detected however it was lost: by comparing it with the mark [beside it](super::mark),
//! and with the [log](super::wal) beside it.

use std::path::Path;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::schema;

/// The first bytes of a stored position, by which it is recognized in a raw page of the database or log.
const MARKER: &[u8; 16] = b"envsnap position";

/// The length of a stored [`Position`], in bytes.
const STORED_BYTES: usize = 57;

/// The greatest commit number that is accepted from a file: half of the range of SQLite's integers, so
/// that the numbers of later commits do not overflow.
const MAX_COMMIT: u64 = 1 << 62;

/// The time from a recorder's start to its end, by a random number. Zeros before the first.
pub(super) type Session = [u8; 16];

/// The number of the last commit in a recorder's file, and the session that made it. It is the only row of
/// the table `position`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    /// The session that made the commit.
    pub(super) session: Session,
    /// That of the commit before it.
    previous: Session,
    /// From 1, without gaps; 0 for a new file.
    pub(super) commit: u64,
    /// The recorder has not closed the file since, so that its log may have more.
    pub(super) in_use: bool,
}

impl Position {
    /// Whether this commit is the one right after `other`.
    pub(super) fn follows(&self, other: &Self) -> bool {
        self.previous == other.session && self.commit.checked_sub(1) == Some(other.commit)
    }

    /// The position after one more commit, which `session` makes.
    fn next(self, session: Session, in_use: bool) -> Self {
        let commit = self.commit.saturating_add(1);
        Self { session, previous: self.session, commit, in_use }
    }

    /// The bytes of a position as they are in the table `position`.
    fn to_stored(self) -> [u8; STORED_BYTES] {
        let mut stored = [0; STORED_BYTES];
        stored[..16].copy_from_slice(MARKER);
        stored[16..32].copy_from_slice(&self.session);
        stored[32..48].copy_from_slice(&self.previous);
        stored[48..56].copy_from_slice(&self.commit.to_be_bytes());
        stored[56] = self.in_use.into();
        stored
    }

    /// `None` if no recorder can have written these bytes.
    fn from_stored(stored: &[u8]) -> Option<Self> {
        let rest = stored.strip_prefix(MARKER)?;
        let (session, rest) = rest.split_first_chunk()?;
        let (previous, rest) = rest.split_first_chunk()?;
        let (commit, rest) = rest.split_first_chunk()?;
        let &[in_use @ (0 | 1)] = rest else { return None };
        let (session, previous, commit) = (*session, *previous, u64::from_be_bytes(*commit));
        // No recorder gets that far, and only a new file has had no commit by a session.
        if commit > MAX_COMMIT || (commit == 0) != (session == Session::default()) {
            return None;
        }
        Some(Self { session, previous, commit, in_use: in_use == 1 })
    }

    /// The position in a page of a database; `None` if it is another page.
    ///
    /// It is the only row of its table, and so the only cell of a leaf: after the sizes of the cell and
    /// of its key, which is 1, come three bytes for the columns, and the stored form.
    pub(super) fn from_page(page: &[u8]) -> Option<Self> {
        /// The page type of a leaf of a table in SQLite's file format.
        const TABLE_LEAF_PAGE: u8 = 13;
        /// Payload size and row id, then the record header: its size, NULL for `id`, a BLOB of 57 bytes.
        const CELL_PREFIX: [u8; 5] = [60, 1, 3, 0, 126];
        let (&kind, count) = (page.first()?, page.get(3..5)?);
        if kind != TABLE_LEAF_PAGE || *count != [0, 1] {
            return None;
        }
        let offset = usize::from(u16::from_be_bytes(page.get(8..10)?.try_into().ok()?));
        let stored = page.get(offset..)?.strip_prefix(&CELL_PREFIX)?;
        Self::from_stored(stored.get(..STORED_BYTES)?)
    }
}

impl ToSql for Position {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.to_stored().to_vec()))
    }
}

impl FromSql for Position {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::from_stored(value.as_blob()?).ok_or(FromSqlError::InvalidType)
    }
}

/// Inserts the position of a new file: commit 0, without a session.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute("INSERT INTO position (id, state) VALUES (1, ?)", [Position::default()])
        .map(drop)
}

/// The position of the file, as `connection` sees it now.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Position> {
    connection
        .prepare_cached("SELECT state FROM position WHERE id = 1")?
        .query_row([], |row| row.get(0))
}

/// Whether an error of [`read`] means that the row is missing or is none that a recorder writes, or that
/// the table `position` or `session` is missing.
pub(super) fn is_missing(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::QueryReturnedNoRows
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
    ) || schema::is_missing(error)
}

/// Writes the row with the position again, as after the commit that was acknowledged last, and makes its
/// table and that of the sessions if they are not there.
pub(super) fn restore(
    connection: &mut Connection,
    acknowledged: Option<(Session, u64)>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for table in ["position", "session"] {
        schema::create_if_missing(&transaction, table)?;
    }
    // Others may be there, and are removed when the session begins.
    let last_session: Option<u64> = transaction.query_row(
        "SELECT max(first_commit) FROM session WHERE first_commit BETWEEN 1 AND ?",
        [MAX_COMMIT / 2],
        |row| row.get(0),
    )?;
    let (session, commit) = acknowledged.unwrap_or_default();
    let commit = commit.max(last_session.unwrap_or(0));
    let position = if commit == 0 {
        Position::default()
    } else if session == Session::default() {
        Position { session: new_session(&transaction)?, commit, ..Position::default() }
    } else {
        Position { session, commit, ..Position::default() }
    };
    transaction.execute("DELETE FROM position", [])?;
    transaction.execute("INSERT INTO position (id, state) VALUES (1, ?)", [position])?;
    transaction.commit()
}

/// Stores and returns the position after `last`, as the last step of the open transaction before it is
/// committed.
///
/// The stored row is not read, so that a row that another program has changed is corrected.
pub(super) fn advance(connection: &Connection, last: Position) -> rusqlite::Result<Position> {
    store_position(connection, last.next(last.session, last.in_use))
}

/// As [`advance`], after the position that the file has stored, which may be that of a new file.
pub(super) fn advance_stored(connection: &Connection) -> rusqlite::Result<()> {
    let last = read(connection)?;
    let session = if last.commit == 0 { new_session(connection)? } else { last.session };
    store_position(connection, last.next(session, last.in_use)).map(drop)
}

/// Begins a session with the file at `path`, and marks the file as in use.
pub(super) fn begin_session(
    connection: &mut Connection,
    path: &Path,
) -> rusqlite::Result<Position> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    schema::create_if_missing(&transaction, "session")?;
    let session = new_session(&transaction)?;
    let position = store_position(&transaction, read(&transaction)?.next(session, true))?;
    let removed = transaction.execute(
        // One row for each session, and none that is later than this one.
        "DELETE FROM session
         WHERE first_commit NOT BETWEEN 1 AND $1 - 1 OR length(id) <> 16 OR id = zeroblob(16)
            OR EXISTS (SELECT 1 FROM session AS other
                       WHERE other.id = session.id AND other.first_commit < session.first_commit)",
        [position.commit],
    )?;
    if removed > 0 {
        tracing::warn!(
            "{removed} rows of table session in {}, which no recorder wrote, were removed: they say only \
             by which path and when a recorder used the file",
            path.display()
        );
    }
    transaction.execute(
        "INSERT INTO session (first_commit, id, path) VALUES (?, ?, ?)",
        params![position.commit, session, path.display().to_string()],
    )?;
    transaction.commit()?;
    Ok(position)
}

/// Marks the file as closed: it is complete without its log. `last` is as in [`advance`].
pub(super) fn end_session(
    connection: &mut Connection,
    last: Position,
) -> rusqlite::Result<Position> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let position = store_position(&transaction, last.next(last.session, false))?;
    transaction.commit()?;
    Ok(position)
}

/// Marks a complete copy as closed, as [`end_session`] does for the original.
pub(super) fn mark_copy_closed(copy: &Connection) -> rusqlite::Result<()> {
    match read(copy) {
        Ok(position) => store_position(copy, Position { in_use: false, ..position }).map(drop),
        // Which 'verify' finds.
        Err(error) if is_missing(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether the file has this commit of this session, also if other commits came after it.
pub(super) fn has_commit(
    connection: &Connection,
    session: Session,
    commit: u64,
) -> rusqlite::Result<bool> {
    let current = read(connection)?;
    if session == current.session {
        return Ok(commit <= current.commit);
    }
    // The last commit of a session is the one before the first of the next.
    let last: Option<u64> = connection
        .query_row(
            "SELECT (SELECT min(later.first_commit) - 1 FROM session AS later
                     WHERE later.first_commit > session.first_commit)
             FROM session WHERE id = ?",
            [session],
            |row| row.get(0),
        )
        .optional()?
        .flatten();
    Ok(last.is_some_and(|last| commit <= last) || (session == Session::default() && commit == 0))
}

/// The path by which the last recorder opened the file.
pub(super) fn last_path(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection
        .query_row("SELECT path FROM session ORDER BY first_commit DESC LIMIT 1", [], |row| {
            row.get(0)
        })
        .optional()
}

/// A random identifier for a session.
fn new_session(connection: &Connection) -> rusqlite::Result<Session> {
    connection.query_row("SELECT randomblob(16)", [], |row| row.get(0))
}

/// Writes the row of the table `position`, and returns `position`.
fn store_position(connection: &Connection, position: Position) -> rusqlite::Result<Position> {
    let changed = connection
        .prepare_cached(
            "INSERT INTO position (id, state) VALUES (1, ?)
             ON CONFLICT (id) DO UPDATE SET state = excluded.state",
        )?
        .execute([position])?;
    // A trigger can leave it out.
    if changed != 1 {
        return Err(rusqlite::Error::StatementChangedRows(changed));
    }
    Ok(position)
}

//! The last acknowledged commit, recorded outside of the database and its log.
//!
//! The note is in `FILE.lock`, after the id of the process. It is written after each commit, when
//! that is on disk, and before it is acknowledged, and is not itself forced to disk: it survives the
//! process, and after a loss of power it may be older than the database, but never newer.

use std::fs::{File, canonicalize};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::Connection;

use super::files::beside;
use super::position::{self, Position, Session};
use super::verify::verify_records;
use super::{StoreError, ledger, schema};

/// Where the note begins in the lock file, in bytes: after the id of a process in ten digits, and a line's
/// end.
pub(super) const OFFSET: u64 = 11;

/// The hexadecimal digits of a session in the note.
const SESSION_DIGITS: usize = 32;
/// The decimal digits of the number of a commit in the note.
const COMMIT_DIGITS: usize = 20;
/// The length of the note's first line: session and commit.
const COMMIT_LINE_BYTES: usize = SESSION_DIGITS + 1 + COMMIT_DIGITS + 1;

/// The decimal digits of the number of ledger entries in the note.
const ENTRIES_DIGITS: usize = 20;
/// The length of the note's second line: the number of ledger entries.
const ENTRIES_LINE_BYTES: usize = ENTRIES_DIGITS + 1;

/// The last acknowledged commit, as noted in the lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    session: Session,
    commit: u64,
    /// How many entries all ledgers had after it. `None` if a version wrote the note that did not
    /// count them.
    entries: Option<u64>,
}

/// What the note says of an acknowledged commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Acknowledged {
    pub(super) position: Position,
    /// Of all ledgers in the file.
    pub(super) entries: u64,
}

impl Acknowledged {
    /// The position and the number of ledger entries of the file as `connection` sees it now.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let position = position::read(connection)?;
        Ok(Self { position, entries: ledger::count_entries(connection)? })
    }
}

impl Mark {
    /// Reads the mark in a lock file.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn read(lock: &File) -> io::Result<Option<Self>> {
        let mut line = [0; COMMIT_LINE_BYTES];
        if !read_exact(lock, &mut line, OFFSET)? {
            return Ok(None);
        }
        let mut entries = [0; ENTRIES_LINE_BYTES];
        let has_entries = read_exact(lock, &mut entries, OFFSET + COMMIT_LINE_BYTES as u64)?;
        Ok(Self::parse(&line, has_entries.then_some(&entries)))
    }

    /// Reads the mark beside the database at `path`.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn beside(path: &Path) -> Result<Option<Self>, StoreError> {
        let lock = beside(path, ".lock");
        match File::open(&lock).and_then(|lock| Self::read(&lock)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map_err(|source| StoreError::ReadMark {
                lock: lock.display().to_string(),
                source,
            }),
        }
    }

    /// Writes the mark: the commit may be acknowledged from now on.
    ///
    /// # Errors
    /// It cannot be written. What was noted before stays.
    pub(super) fn write(lock: &File, acknowledged: &Acknowledged) -> io::Result<()> {
        let Acknowledged { position: Position { session, commit, .. }, entries } = acknowledged;
        let session = hex::encode(session);
        lock.write_all_at(format!("{session} {commit:020}\n{entries:020}\n").as_bytes(), OFFSET)
    }

    /// Whether a file at this position certainly has the commit: false if the commit is of another session.
    pub(super) fn is_in(&self, position: &Position) -> bool {
        self.session == position.session && self.commit <= position.commit
    }

    /// The session of the commit, and its number.
    pub(super) fn last_commit(self) -> (Session, u64) {
        (self.session, self.commit)
    }

    /// The number of the commit.
    pub(super) fn commit(&self) -> u64 {
        self.commit
    }

    /// Whether the file has the commit, also if other sessions came after it.
    pub(super) fn is_in_file(&self, connection: &Connection) -> rusqlite::Result<bool> {
        position::has_commit(connection, self.session, self.commit)
    }

    /// The mark that the lines of the note have, or `None` if the first is malformed.
    fn parse(
        line: &[u8; COMMIT_LINE_BYTES],
        entries: Option<&[u8; ENTRIES_LINE_BYTES]>,
    ) -> Option<Self> {
        let (session, commit) = str::from_utf8(line).ok()?.strip_suffix('\n')?.split_once(' ')?;
        let mut bytes = Session::default();
        hex::decode_to_slice(session, &mut bytes).ok()?;
        let entries = entries
            .and_then(|entries| str::from_utf8(entries).ok()?.strip_suffix('\n')?.parse().ok());
        Some(Self { session: bytes, commit: commit.parse().ok()?, entries })
    }
}

/// Fills `bytes` with what is at `offset`. False if the file is too short.
fn read_exact(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<bool> {
    match file.read_exact_at(bytes, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Checks that the database at `path`, as `connection` sees it, has every acknowledged commit. One without
/// tables passes if no commit was noted.
///
/// # Errors
/// It lacks something ([`StoreError::is_loss`]), it cannot be read, or is not a recorder's.
pub(super) fn check(
    connection: &Connection,
    path: &Path,
    mark: Option<Mark>,
    has_log: bool,
) -> Result<(), StoreError> {
    let file = || path.display().to_string();
    let lock = || beside(path, ".lock").display().to_string();
    let failed = |source| StoreError::from_open(file(), source);
    if schema::is_empty(connection).map_err(failed)? {
        return match mark {
            Some(_) => Err(StoreError::Lost { file: file(), lock: lock() }),
            None => Ok(()),
        };
    }
    schema::check_to_migrate(connection, &file())?;
    let unknown = |source| {
        if position::is_missing(&source) {
            StoreError::NoPosition { file: file(), source }
        } else {
            failed(source)
        }
    };
    let position = position::read(connection).map_err(unknown)?;
    if let Some(mark) = mark
        && !mark.is_in_file(connection).map_err(unknown)?
    {
        let (noted, found) = (mark.commit, position.commit);
        return Err(StoreError::LacksCommits { file: file(), lock: lock(), noted, found });
    }
    // A session that noted nothing here used another name of the file, where its note and its log are.
    let was_here = mark.is_some_and(|mark| mark.session == position.session);
    if position.in_use && !has_log && !was_here {
        let known_as = position::last_path(connection).map_err(unknown)?;
        let is_other = |known_as: &String| canonicalize(known_as).ok() != canonicalize(path).ok();
        let other_path = known_as.filter(is_other);
        return Err(StoreError::LogIsElsewhere { file: file(), other_path });
    }
    if position.in_use
        && !has_log
        && let Some(entries) = mark.and_then(|mark| mark.entries)
    {
        let found = ledger::count_entries(connection)
            .map_err(|damage| missing_log(path, Box::new(damage)))?;
        if found < entries {
            let lacks = FewerEntriesThanNoted { found, entries };
            return Err(missing_log(path, Box::new(lacks)));
        }
    }
    Ok(())
}

/// Checks that a file which was in use when it was last written, and whose log is gone, is complete. It is
/// if another program applied the log and removed it after the recorder was killed. A program that was
/// killed while it applied the log leaves the position of the last commit, and other pages of earlier ones.
///
/// The note says how many entries the ledgers should have, and every table follows from them.
///
/// # Errors
/// It is not proven to be complete.
pub(super) fn check_without_log(
    connection: &mut Connection,
    path: &Path,
    mark: Option<Mark>,
    has_log: bool,
) -> Result<(), StoreError> {
    let file = path.display().to_string();
    let failed = |source| StoreError::from_open(file.clone(), source);
    if has_log || schema::is_empty(connection).map_err(failed)? {
        return Ok(());
    }
    if !position::read(connection).map_err(failed)?.in_use {
        return Ok(());
    }
    // That there are as many was checked before.
    if mark.is_none_or(|mark| mark.entries.is_none()) {
        return Err(missing_log(path, Box::new(NoteHasNoEntryCount)));
    }
    verify_records(connection, &file).map_err(|damage| missing_log(path, Box::new(damage)))
}

/// The error for a file whose log is gone, and which is not proven to be complete for this reason.
fn missing_log(path: &Path, reason: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    let log = beside(path, "-wal").display().to_string();
    StoreError::LogIsMissing { file: path.display().to_string(), log, reason }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the ledgers have {found} entries, and by the note in its .lock file {entries} were acknowledged"
)]
struct FewerEntriesThanNoted {
    found: u64,
    entries: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the note in its .lock file, of an older version, does not say how much it should have")]
struct NoteHasNoEntryCount;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_mark_is_read_back_and_missing_or_zeroed_mark_is_none() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Mark::read(&file).unwrap(), None);
        file.write_all_at(b"1234567890\n", 0).unwrap();
        assert_eq!(Mark::read(&file).unwrap(), None);
        let mut acknowledged = Acknowledged { entries: 7, ..Acknowledged::default() };
        let position = &mut acknowledged.position;
        (position.session, position.commit) = ([0xab; 16], u64::MAX);
        Mark::write(&file, &acknowledged).unwrap();
        let mark = Mark { session: [0xab; 16], commit: u64::MAX, entries: Some(7) };
        assert_eq!(Mark::read(&file).unwrap(), Some(mark));
        // Of the version before.
        file.set_len(OFFSET + COMMIT_LINE_BYTES as u64).unwrap();
        assert_eq!(Mark::read(&file).unwrap(), Some(Mark { entries: None, ..mark }));
        // As after a loss of power.
        file.write_all_at(&[0; COMMIT_LINE_BYTES], OFFSET).unwrap();
        assert_eq!(Mark::read(&file).unwrap(), None);
    }
}

//! The last acknowledged commit, recorded outside of the database and its log.
//!
//! The note stands in `FILE.lock`, after the id of the process. It is written after each commit, when
//! that is on disk, and before it is answered, and is not itself forced to disk: it survives the
//! process, and after a loss of power it may be older than the database, but never newer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::Connection;

use super::files::beside;
use super::position::{self, Position, Session};
use super::{StoreError, schema};

/// Where the note begins in the lock file: after the id of a process in ten digits, and a line's end.
pub(super) const OFFSET: u64 = 11;

/// The digits of a session, of a commit, and of a line with both.
const SESSION_DIGITS: usize = 32;
const COMMIT_DIGITS: usize = 20;
const LINE_BYTES: usize = SESSION_DIGITS + 1 + COMMIT_DIGITS + 1;

/// The last acknowledged commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    session: Session,
    commit: u64,
}

impl Mark {
    /// Reads the mark in a lock file.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn read(lock: &File) -> io::Result<Option<Self>> {
        let mut line = [0; LINE_BYTES];
        match lock.read_exact_at(&mut line, OFFSET) {
            Ok(()) => Ok(Self::parse(&line)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
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
    pub(super) fn write(lock: &File, position: &Position) -> io::Result<()> {
        let (session, commit) = (hex::encode(position.session), position.commit);
        lock.write_all_at(format!("{session} {commit:020}\n").as_bytes(), OFFSET)
    }

    /// Whether a file that is at this position has the commit. That of an earlier session is not known.
    pub(super) fn is_in(&self, position: &Position) -> bool {
        self.session == position.session && self.commit <= position.commit
    }

    /// The number of the commit.
    pub(super) fn commit(&self) -> u64 {
        self.commit
    }

    /// Whether the file has the commit, also if other sessions came after it.
    pub(super) fn is_in_file(&self, connection: &Connection) -> rusqlite::Result<bool> {
        position::has(connection, self.session, self.commit)
    }

    fn parse(line: &[u8; LINE_BYTES]) -> Option<Self> {
        let (session, commit) = str::from_utf8(line).ok()?.strip_suffix('\n')?.split_once(' ')?;
        let mut bytes = Session::default();
        hex::decode_to_slice(session, &mut bytes).ok()?;
        Some(Self { session: bytes, commit: commit.parse().ok()? })
    }
}

/// Checks that the database at `path`, as `connection` sees it, has every acknowledged commit. A
/// new one is empty.
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
    let position = position::read(connection).map_err(failed)?;
    if let Some(mark) = mark
        && !mark.is_in_file(connection).map_err(failed)?
    {
        let (noted, found) = (mark.commit, position.commit);
        return Err(StoreError::LacksCommits { file: file(), lock: lock(), noted, found });
    }
    // A session that noted nothing here used another name of the file, where its note and its log are.
    let was_here = mark.is_some_and(|mark| mark.session == position.session);
    if position.in_use && !has_log && !was_here {
        let known_as = position::last_path(connection).map_err(failed)?.unwrap_or_default();
        return Err(StoreError::LogIsElsewhere { file: file(), known_as });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_written() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Mark::read(&file).unwrap(), None);
        file.write_all_at(b"1234567890\n", 0).unwrap();
        assert_eq!(Mark::read(&file).unwrap(), None);
        let mut position = Position::default();
        (position.session, position.commit) = ([0xab; 16], u64::MAX);
        Mark::write(&file, &position).unwrap();
        let mark = Mark { session: [0xab; 16], commit: u64::MAX };
        assert_eq!(Mark::read(&file).unwrap(), Some(mark));
        // As after a loss of power.
        file.write_all_at(&[0; LINE_BYTES], OFFSET).unwrap();
        assert_eq!(Mark::read(&file).unwrap(), None);
    }
}

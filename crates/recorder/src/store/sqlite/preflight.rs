//! Checks before SQLite opens a database.
//!
//! SQLite applies whatever log (`-wal`) or rollback journal (`-journal`) is beside a database to it,
//! also one that belongs to another database, or to another state of this one.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::descriptors::Descriptor;
use super::error::{LatestCommit, UnknownLog};
use super::files::{ENDINGS, beside};
use super::mark::Mark;
use super::position::Position;
use super::wal::LogContent;
use super::{StoreError, journal, schema};

/// How often a file is checked that does not match its log or mark: a recorder may start or reset its log
/// meanwhile.
pub(super) const MAX_CHECK_ATTEMPTS: usize = 10;
/// The time between two of [`MAX_CHECK_ATTEMPTS`].
pub(super) const CHECK_RETRY_DELAY: Duration = Duration::from_millis(20);

/// The fields of the header of a SQLite database that are checked here.
#[derive(Debug, Clone, Copy)]
pub(super) struct DatabaseHeader {
    /// In bytes.
    pub(super) page_size: u64,
    /// How many pages the database has, by its header.
    pub(super) pages: u32,
    /// The database is used with a log.
    uses_a_log: bool,
    /// It is a recorder's.
    is_recorders: bool,
}

impl DatabaseHeader {
    /// `None` if it is not a database.
    pub(super) fn read(database: &File) -> Option<Self> {
        let mut header = [0; 72];
        database
            .read_exact_at(&mut header, 0)
            .ok()
            .filter(|()| header.starts_with(b"SQLite format 3\0"))?;
        let page_size = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65_536,
            size @ 512.. if size.is_power_of_two() => u64::from(size),
            _ => return None,
        };
        let number =
            |at| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        Some(Self {
            page_size,
            pages: number(28),
            uses_a_log: header[19] == 2,
            is_recorders: i64::from(number(68)) == schema::APPLICATION_ID,
        })
    }
}

/// Refuses a database at `path` that is no regular file, and anything of that kind under a name that the
/// recorder uses beside it: opening a FIFO waits for its writer, and of the others SQLite says only "disk
/// I/O error". A symbolic link may lead to the database, and to nothing else.
pub(super) fn check_regular_files(path: &Path) -> Result<(), StoreError> {
    let is_other = |found: io::Result<Metadata>| found.is_ok_and(|found| !found.is_file());
    let refused = |file: &Path| Err(StoreError::NotAFile { file: file.display().to_string() });
    if is_other(fs::metadata(path)) {
        return refused(path);
    }
    for ending in ENDINGS {
        let file = beside(path, ending);
        if is_other(fs::symlink_metadata(&file)) {
            return refused(&file);
        }
    }
    Ok(())
}

/// Whether there is a log beside `path` with something in it. Refuses a log or a rollback journal that
/// does not belong to the file as it is: SQLite would apply it all the same, or drop it if there is no
/// file. Refuses a file that was truncated, as well: SQLite would make it longer again.
///
/// A file that a recorder has used says in its header that it has a log; a backup says that it has
/// none. Then, the log has to follow the position that the file is at.
pub(super) fn check_log_and_journal(path: &Path) -> Result<bool, StoreError> {
    let log = beside(path, "-wal");
    let mut refused = Ok(false);
    // A recorder that writes meanwhile may reset the log between the two reads.
    for _ in 0..MAX_CHECK_ATTEMPTS {
        refused = journal::check(path).and_then(|()| check_log(path, &log));
        if refused.is_ok() {
            break;
        }
        thread::sleep(CHECK_RETRY_DELAY);
    }
    refused
}

/// One attempt of [`check_log_and_journal`]: checks the log, and returns whether it has content.
fn check_log(path: &Path, log_path: &Path) -> Result<bool, StoreError> {
    let (file, log) = (path.display().to_string(), log_path.display().to_string());
    let has_log = fs::metadata(log_path).map_or(0, |found| found.len()) > 0;
    // SQLite reports what cannot be read.
    let content = if has_log {
        let Ok(content) = File::open(log_path).and_then(|log| LogContent::read(&log)) else {
            return Ok(true);
        };
        content
    } else {
        LogContent::default()
    };
    let database = match Descriptor::open(path) {
        Ok(database) => Some(&database.file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => return Ok(has_log),
    };
    let header = database.and_then(DatabaseHeader::read);
    let stray = || {
        let latest_commit = latest_commit(path, database, header, &content)?;
        let lock = beside(path, ".lock").display().to_string();
        Err(StoreError::StrayLog { file: file.clone(), log: log.clone(), lock, latest_commit })
    };
    if has_log && !header.is_some_and(|header| header.uses_a_log) {
        return stray();
    }
    let (Some(database), Some(header)) = (database, header) else { return Ok(has_log) };
    if let Some((bytes, expected)) = missing_pages(database, header, &content) {
        // One that was closed has no log.
        let was_in_use = positions(database, header.page_size).any(|position| position.in_use);
        let missing_log = (!has_log && was_in_use).then_some(log);
        return Err(StoreError::Cut { file, bytes, expected, missing_log });
    }
    if content.frames == 0 {
        return Ok(false);
    }
    if content.positions.is_empty() {
        return Err(StoreError::UnknownLog { reason: UnknownLog::InLog, file, log });
    }
    let page_size = u64::from(content.page_size);
    let continues = |position: Position| content.follows(&position);
    let mut likely = content.position_pages.iter().map(|number| u64::from(*number));
    if likely.any(|number| position_at(database, page_size, number).is_some_and(continues)) {
        return Ok(true);
    }
    // A log that begins with a VACUUM by another program does not say where the position was before.
    let mut in_file = positions(database, page_size).peekable();
    if header.is_recorders && in_file.peek().is_none() {
        // After a kill while such a log was applied the file may have no position: the old one is
        // overwritten, and the new one is only in the log, as the last commit that was acknowledged.
        return match latest_commit(path, Some(database), Some(header), &content)? {
            LatestCommit::Log => Ok(true),
            _ => Err(StoreError::UnknownLog { reason: UnknownLog::InFile, file, log }),
        };
    }
    if in_file.any(continues) {
        return Ok(true);
    }
    stray()
}

/// How many bytes have to be free for a start on the database at `path`: its log is applied, for which
/// it needs an index, and the first commits are added to the log.
pub(super) fn bytes_needed_to_start(path: &Path) -> u64 {
    /// Bytes of one part of SQLite's index of the log (`-shm`), and the frames that it is for.
    const WAL_INDEX_PART: (u64, u64) = (32 << 10, 4_062);
    const FIRST_COMMITS_BYTES: u64 = 1 << 20;
    let log = File::open(beside(path, "-wal")).and_then(|log| LogContent::read(&log));
    let log = log.unwrap_or_default();
    let bytes = u64::from(log.database_pages) * u64::from(log.page_size);
    let growth = bytes.saturating_sub(fs::metadata(path).map_or(0, |found| found.len()));
    growth + WAL_INDEX_PART.0 * (1 + log.frames / WAL_INDEX_PART.1) + FIRST_COMMITS_BYTES
}

/// Whether the database or its log has the latest acknowledged commit, according to the mark beside them.
fn latest_commit(
    path: &Path,
    database: Option<&File>,
    header: Option<DatabaseHeader>,
    log: &LogContent,
) -> Result<LatestCommit, StoreError> {
    let Some(mark) = Mark::beside(path)? else { return Ok(LatestCommit::Unknown) };
    let in_log = log.positions.iter().any(|position| mark.is_in(position));
    let in_file = database.zip(header).is_some_and(|(database, header)| {
        positions(database, header.page_size).any(|position| mark.is_in(&position))
    });
    Ok(match (in_log, in_file) {
        (true, false) => LatestCommit::Log,
        (false, true) => LatestCommit::File,
        _ => LatestCommit::Unknown,
    })
}

/// Every [`Position`] that is found in a page of the database, free pages included.
pub(super) fn positions(database: &File, page_size: u64) -> impl Iterator<Item = Position> {
    let bytes = database.metadata().map_or(0, |found| found.len());
    let pages = bytes.checked_div(page_size).unwrap_or(0);
    (1..=pages).filter_map(move |number| position_at(database, page_size, number))
}

/// The [`Position`] in page `number`, counted from 1, if there is one.
fn position_at(database: &File, page_size: u64, number: u64) -> Option<Position> {
    let mut page = vec![0; usize::try_from(page_size).ok()?];
    let offset = number.saturating_sub(1).saturating_mul(page_size);
    database.read_exact_at(&mut page, offset).ok()?;
    Position::from_page(&page)
}

/// The size of a database and the least size that it should have, in bytes, if pages at its end are
/// neither in it nor in its log.
fn missing_pages(database: &File, header: DatabaseHeader, log: &LogContent) -> Option<(u64, u64)> {
    let DatabaseHeader { page_size, pages, .. } = header;
    let bytes = database.metadata().ok()?.len();
    let present = u32::try_from(bytes.checked_div(page_size)?).ok()?;
    let is_missing = (present.saturating_add(1)..=pages).any(|page| !log.pages.contains(&page));
    is_missing.then(|| (bytes, u64::from(pages) * page_size))
}

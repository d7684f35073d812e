//! What can be wrong with the files while they are open.

use std::os::unix::fs::MetadataExt as _;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use super::super::StoreError;
use super::super::files::{Fault, Files, LastChange, LogFiles, LogLength, last_change};
use super::WatchedConnection;
use super::apply::log_length;

/// A fault counts if so many checks find one while no other program changes the files.
const MAX_UNDISTURBED_CHECKS: usize = 5;
/// Between two checks after a fault was found.
const CHECK_INTERVAL: Duration = Duration::from_millis(2);

/// The most checks in all, with those during which another program changed the files.
const MAX_CHECKS: usize = 500;

impl WatchedConnection {
    /// The first thing that is wrong with the database or its write-ahead log, other than that the database
    /// was moved. A fault has to be found repeatedly, since another program may be writing.
    pub(super) fn first_fault(
        &mut self,
        files: &Files,
        log: &LogFiles,
        check_log: impl Fn(&LogFiles, LogLength) -> Result<(), Fault>,
    ) -> Result<Option<Fault>, StoreError> {
        // Before SQLite looks at any of them.
        if let Err(fault) = log.check_paths_and_index_size() {
            return Ok(Some(fault));
        }
        // A program that writes by SQLite's rules may begin the log anew, or apply it, between any two of
        // the reads: what is found then does not count.
        let mut found = 0;
        for _ in 0..MAX_CHECKS {
            let before = self.last_changes(files, log)?;
            let Some(fault) = self.fault_now(files, log, &check_log)? else { return Ok(None) };
            if before == self.last_changes(files, log)? {
                found += 1;
            }
            if found == MAX_UNDISTURBED_CHECKS {
                return Ok(Some(fault));
            }
            thread::sleep(CHECK_INTERVAL);
        }
        Err(StoreError::Interrupted {
            operation: "check the snapshot file".to_owned(),
            reason: "another program writes to it without a pause".to_owned(),
        })
    }

    /// When the database and its log were changed last, and their lengths.
    pub(super) fn last_changes(
        &self,
        files: &Files,
        log: &LogFiles,
    ) -> Result<[Option<LastChange>; 2], StoreError> {
        let database = self.notes.as_ref().map(|notes| notes.lock.metadata()).transpose();
        let database = database.map_err(|source| StoreError::Stat {
            file: files.path().display().to_string(),
            source,
        })?;
        Ok([database.as_ref().map(last_change), log.last_change().ok()])
    }

    /// What a single check finds to be wrong, which may only be so while another program writes.
    pub(super) fn fault_now(
        &mut self,
        files: &Files,
        log: &LogFiles,
        check_log: &impl Fn(&LogFiles, LogLength) -> Result<(), Fault>,
    ) -> Result<Option<Fault>, StoreError> {
        if let Some(fault) = self.database_fault(files)? {
            return Ok(Some(fault));
        }
        Ok(check_log(log, self.log_length()?).err())
    }

    /// Whether the database file was truncated or deleted. That it was moved is no fault.
    pub(super) fn database_fault(&mut self, files: &Files) -> Result<Option<Fault>, StoreError> {
        let Some(notes) = &mut self.notes else { return Ok(None) };
        let file = || files.path().display().to_string();
        let metadata =
            notes.lock.metadata().map_err(|source| StoreError::Stat { file: file(), source })?;
        let bytes = metadata.len();
        // VACUUM in another program makes it smaller.
        if bytes < notes.largest
            && !has_all_pages(&self.connection, files, bytes, self.page_size).unwrap_or(false)
        {
            return Ok(Some(Fault::Cut { file: file(), bytes }));
        }
        notes.largest = bytes;
        // It has no name any more, under which it could be put back.
        Ok((metadata.nlink() == 0).then(|| Fault::Gone(file())))
    }
}

/// How many pages the database has.
pub(super) fn pages(connection: &Connection) -> rusqlite::Result<u64> {
    connection.pragma_query_value(None, "page_count", |row| row.get(0))
}

/// Whether all pages of the database are in its file, which has so many bytes, or in the part of its log
/// that was not applied yet.
pub(super) fn has_all_pages(
    connection: &Connection,
    files: &Files,
    bytes: u64,
    page_size: u64,
) -> Result<bool, Box<dyn std::error::Error>> {
    /// The page that SQLite locks, and never writes, begins at this byte.
    const LOCKED_BYTE: u64 = 0x4000_0000;
    let (present, pages) = (bytes / page_size, pages(connection)?);
    if pages <= present {
        return Ok(true);
    }
    let Some(log) = &files.log else { return Ok(false) };
    let LogLength { frames, applied } = log_length(connection)?;
    let in_log = log.pages_after(applied, frames)?;
    let is_there = |page: u64| {
        u32::try_from(page).is_ok_and(|page| in_log.contains(&page))
            || page == LOCKED_BYTE / page_size + 1
    };
    Ok((present + 1..=pages).all(is_there))
}

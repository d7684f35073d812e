//! What is noted of the file outside of the database, and whether the file still has it.

use std::sync::Arc;

use super::super::lock::Lock;
use super::super::mark::Acknowledged;
use super::super::position::Position;
use super::super::{StoreError, ledger};
use super::{READ_VERSION_OPERATION, WatchedConnection, data_version, failed_to};

/// What was being done, for the message of an error.
const COUNT_ENTRIES_OPERATION: &str = "count the entries of the snapshot file";

/// What this process knows of its snapshot file: the lock with the last acknowledged commit, and versions
/// and sizes to find changes by other programs.
pub(super) struct Notes {
    pub(super) lock: Arc<Lock>,
    /// What was noted last.
    pub(super) noted: Acknowledged,
    /// After the last commit of this process.
    pub(super) position: Position,
    /// How many frames the log had when readers were last waited for; 0 if it has begun anew since.
    pub(super) waited: u64,
    /// SQLite's number for the state of the file, which changes with each commit of another connection.
    pub(super) data_version: i64,
    /// The same, when what is in the file was last compared with what was noted.
    pub(super) content_version: Option<i64>,
    /// The size of the database, in bytes, which does not become less by itself.
    pub(super) largest: u64,
}

impl WatchedConnection {
    /// Checks that the file still has as many ledger entries as were acknowledged. Another program can put
    /// an older state into it while it is open, with SQLite's own backup.
    ///
    /// # Errors
    /// It has fewer, and nothing is written to it from then on; or it cannot be read.
    pub(in super::super) fn check_content(&mut self) -> Result<(), StoreError> {
        let (Some(notes), Some(files)) = (&mut self.notes, &self.files) else { return Ok(()) };
        let version = data_version(&self.connection).map_err(failed_to(READ_VERSION_OPERATION))?;
        if notes.content_version == Some(version) {
            return Ok(());
        }
        let entries =
            ledger::count_entries(&self.connection).map_err(failed_to(COUNT_ENTRIES_OPERATION))?;
        let acknowledged = notes.noted.entries;
        if entries >= acknowledged {
            notes.content_version = Some(version);
            return Ok(());
        }
        let file = files.path().display();
        let fault = format!(
            "another program has put an older state into {file}: of {acknowledged} entries of the \
             ledgers it has {entries}"
        );
        let remedy = format!(
            "Stop the recorder, keep {file} and what is beside it as they are, and restore the newest backup. \
             If there is none that has more, 'envsnap serve --accept-loss' goes on from the older state"
        );
        let reason = format!("{fault}. {remedy}");
        Err(files.stopped_error(
            files
                .stopped
                .get_or_init(|| {
                    tracing::error!("{fault}, so that the recorder accepts nothing more. {remedy}");
                    reason
                })
                .clone(),
        ))
    }

    /// Writes the position of the last commit and the number of entries to `FILE.lock`, before the commit is
    /// acknowledged to a client.
    ///
    /// # Errors
    /// They cannot be written, and the commit must not be acknowledged.
    pub(in super::super) fn note_commits(&mut self) -> Result<(), StoreError> {
        let (Some(notes), Some(files)) = (&mut self.notes, &self.files) else { return Ok(()) };
        let entries =
            ledger::count_entries(&self.connection).map_err(failed_to(COUNT_ENTRIES_OPERATION))?;
        let acknowledged = Acknowledged { position: notes.position, entries };
        if acknowledged == notes.noted {
            return Ok(());
        }
        notes.lock.note(&acknowledged).map_err(|source| {
            let file = files.path().display().to_string();
            StoreError::WriteMark { file, source }
        })?;
        notes.noted = acknowledged;
        Ok(())
    }
}

//! Saving what only this process has, after a fault of the files.

use std::path::Path;
use std::time::{Duration, Instant};

use envsnap_model::error_chain;

use super::super::files::{Files, LogFiles};
use super::super::rescue::{RescueError, Rescued, rescue};
use super::WatchedConnection;
use super::apply::full_checkpoint;
use super::faults::pages;

/// The least pause between two attempts to save what only this process has.
const MIN_SAVE_PAUSE: Duration = Duration::from_secs(1);

/// The pause after an attempt to save is so many times as long as the attempt: one that fails on a full
/// disk writes until the disk is full.
const PAUSE_PER_ATTEMPT: u32 = 4;

/// How an attempt to save what only this process has ended, with a message that says what to do.
pub(super) enum SaveOutcome {
    /// Nothing more can be done here.
    Done(String),
    /// It is still only in this process.
    NotYet(String),
}

impl WatchedConnection {
    /// Tries again to save what only this process has, if that failed, and enough time has passed.
    pub(in super::super) fn retry_save(&mut self) {
        if self.unsaved_until.is_some_and(|due| due <= Instant::now()) {
            self.save_again();
        }
    }

    /// Tries again to save what only this process has, and logs if no further attempt is needed.
    pub(super) fn save_again(&mut self) {
        let Some(files) = self.files.clone() else { return };
        let Some(log) = &files.log else { return };
        if let SaveOutcome::Done(outcome) = self.save(&files, log) {
            // As an error, since it says what to do.
            tracing::error!("the attempts to save what only this process has are over. {outcome}");
        }
    }

    /// Saves what only this process still has, and plans the next attempt if that is not possible now.
    pub(super) fn save(&mut self, files: &Files, log: &LogFiles) -> SaveOutcome {
        let begun = Instant::now();
        let outcome = self.try_save(files, log);
        let pause = (begun.elapsed() * PAUSE_PER_ATTEMPT).max(MIN_SAVE_PAUSE);
        let is_unsaved = matches!(outcome, SaveOutcome::NotYet(_));
        self.unsaved_until = is_unsaved.then(|| Instant::now() + pause);
        outcome
    }

    /// Applies the write-ahead log if it and the database are intact; otherwise writes all records that
    /// this process can read to a copy.
    fn try_save(&mut self, files: &Files, log: &LogFiles) -> SaveOutcome {
        let file = files.path().display();
        if let Err(error) = log.restore_index_size() {
            tracing::error!("cannot restore the size of the log's index: {error}");
        }
        // A log that is whole, wherever it is, is applied to a database that is whole and in its place.
        // One that was truncated would damage it.
        let is_log_whole =
            self.log_length().is_ok_and(|length| log.check_all(length.frames).is_ok());
        let is_database_whole =
            files.check_database().is_ok() && matches!(self.database_fault(files), Ok(None));
        if is_log_whole && is_database_whole {
            match full_checkpoint(&self.connection) {
                Ok(()) => {
                    return SaveOutcome::Done(format!(
                        "All acknowledged reports are in {file}. Stop the recorder, move what is at \
                         {file}-wal and {file}-shm now away, if anything is, and start it again"
                    ));
                }
                // Once.
                Err(error) if self.unsaved_until.is_none() => {
                    tracing::error!("cannot apply the log to {file}: {error}");
                }
                Err(_) => {}
            }
        }
        let acknowledged =
            self.notes.as_ref().map(|notes| notes.noted.position).unwrap_or_default();
        match rescue(&self.connection, files.path(), &acknowledged) {
            Ok(Rescued::Complete { copy }) => {
                let copy = copy.display();
                SaveOutcome::Done(format!(
                    "All acknowledged reports are in {copy}. Stop the recorder, move {file} away \
                     together with its -wal and -shm, rename {copy} to {file}, and start it again"
                ))
            }
            Ok(Rescued::Damaged { copy, damage }) => SaveOutcome::Done(format!(
                "Not all acknowledged reports could be saved. Those that could are in {}, which is damaged \
                 or not complete ({}). Stop the recorder, keep that copy, and {file} and what is beside it \
                 as they are, and restore a backup; or, if the backups have less, what 'envsnap verify' \
                 shows to have more",
                copy.display(),
                error_chain(&damage)
            )),
            Err(error @ RescueError::Unreadable(_)) => SaveOutcome::Done(format!(
                "Not all acknowledged reports could be saved ({}). Stop the recorder, keep {file} and \
                 what is beside it as they are, and restore a backup",
                error_chain(&error)
            )),
            Err(error) => SaveOutcome::NotYet(self.describe_unsaved(files.path(), &error)),
        }
    }

    /// The message that the attempt failed, with how much space has to be freed and where.
    fn describe_unsaved(&self, path: &Path, error: &RescueError) -> String {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).display();
        // The copy has all pages of the file and of its log, and a journal meanwhile.
        let bytes = pages(&self.connection).map_or_else(
            |_| self.notes.as_ref().map_or(0, |notes| notes.largest),
            |pages| pages * self.page_size,
        );
        let megabytes = (bytes >> 20) + 2;
        let remedy = if error.is_out_of_disk_space() {
            format!("free {megabytes} MB in {folder}")
        } else {
            format!("let the recorder write to {folder}, which needs {megabytes} MB")
        };
        format!(
            "The acknowledged reports are not saved yet ({}), and only this process has all of it: do not stop it, \
             and {remedy}. It tries again each second, and logs how that ends",
            error_chain(error)
        )
    }
}

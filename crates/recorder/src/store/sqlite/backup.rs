//! A copy of a file that is in use.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{self, NO_PROGRESS};

use super::readers::open_to_read;
use super::{StoreError, ledger, plain};
use crate::domain::Head;

/// All pages at once: a copy in several steps begins anew with every report that comes between two
/// of them. Nobody waits for it: the recorder goes on beside readers.
const PAGES: i32 = i32::MAX;
const PAUSE: Duration = Duration::from_millis(100);

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// How many snapshots there are, in all environments.
    pub snapshots: u64,
    /// The last entry of each organization's ledger.
    pub heads: Vec<Head>,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum NotBackedUp {
    /// What is to be copied cannot be read.
    #[error(transparent)]
    Unreadable(#[from] StoreError),
    /// There is something already where the backup was to be.
    #[error("{target} exists, and a backup overwrites nothing: name another file")]
    Exists {
        /// Its path.
        target: String,
    },
    /// SQLite could not copy it.
    #[error("cannot back up to {target}")]
    Copy {
        /// The path of the backup.
        target: String,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The copy could not be put in its place.
    #[error("cannot back up to {target}")]
    Place {
        /// The path of the backup.
        target: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Copies the recorder's file at `path`, which a recorder may write to meanwhile, to `target`, as
/// it is at one moment. `target` is there, on disk and complete, or not at all.
///
/// # Errors
/// `path` cannot be read, `target` exists, or it cannot be written.
pub fn backup(path: &Path, target: &Path) -> Result<BackedUp, NotBackedUp> {
    let named = || target.display().to_string();
    if target.try_exists().unwrap_or(true) {
        return Err(NotBackedUp::Exists { target: named() });
    }
    let source = open_to_read(path)?;
    let mut partial = target.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = PathBuf::from(partial);
    let made = copy(&source, &partial)
        .map_err(|source| NotBackedUp::Copy { target: named(), source })
        .and_then(|backed_up| {
            place(&partial, target).map(|()| backed_up).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => NotBackedUp::Exists { target: named() },
                _ => NotBackedUp::Place { target: named(), source },
            })
        });
    if made.is_err() {
        // It may not even have been made.
        let _gone = fs::remove_file(&partial);
    }
    made
}

fn copy(source: &Connection, partial: &Path) -> rusqlite::Result<BackedUp> {
    let mut copy = Connection::open(plain(partial))?;
    backup::Backup::new(source, &mut copy)?.run_to_completion(PAGES, PAUSE, NO_PROGRESS)?;
    super::position::close_copy(&copy)?;
    // One file, that can be read from a medium on which nothing can be written.
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    let snapshots = copy.query_row("SELECT count(*) FROM snapshot", [], |row| row.get(0))?;
    let heads = ledger::heads(&copy)?;
    copy.close().map_err(|(_, error)| error)?;
    Ok(BackedUp { snapshots, heads })
}

/// Puts a whole copy under its name, of which nothing else has been made meanwhile.
pub(super) fn place(partial: &Path, target: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    OpenOptions::new().write(true).create_new(true).open(target)?;
    fs::rename(partial, target)?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

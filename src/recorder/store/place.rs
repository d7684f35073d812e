//! Whether the file under a name is still the one that is open, and has its own log beside it.

use std::fs::{self, File, Metadata, canonicalize};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::StoreError;

/// Where SQLite's header says whether the file is used with a log: 2 where it is.
const USES_A_LOG: usize = 19;

/// A file that is open, and where it is.
///
/// SQLite goes on writing to a file that was moved or removed, and its log stays behind: whatever
/// is written then is lost with the process.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    /// Of the file at `path`, which was opened just now.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// # Errors
    /// Another file is there, or none.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let is_here = |found: Metadata| (found.dev(), found.ino()) == (self.device, self.inode);
        if fs::metadata(&self.path).is_ok_and(is_here) {
            return Ok(());
        }
        Err(StoreError::Moved { file: self.path.display().to_string() })
    }
}

/// Refuses a log beside `path` that another file left there: SQLite would apply it to whatever is
/// at `path` now, or drop it where nothing is.
///
/// A file that a recorder has used says in its header that it has a log; a backup says that it has
/// none.
pub(super) fn check_log(path: &Path) -> Result<(), StoreError> {
    let log = beside(path, "-wal");
    if fs::metadata(&log).map_or(0, |found| found.len()) == 0 || uses_a_log(path) {
        return Ok(());
    }
    let (file, log) = (path.display().to_string(), log.display().to_string());
    Err(StoreError::StrayLog { file, log })
}

/// The file with this ending beside the one at `path`, whichever of its symbolic links that is.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut file = canonicalize(path).unwrap_or_else(|_| path.to_owned()).into_os_string();
    file.push(ending);
    file.into()
}

/// What cannot be read is SQLite's to refuse.
fn uses_a_log(path: &Path) -> bool {
    let mut header = [0; USES_A_LOG + 1];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) => header[USES_A_LOG] == 2,
        Err(error) => {
            !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
        }
    }
}

//! One writer a file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::Path;

use super::StoreError;
use super::place::beside;

/// Held for as long as a store may write to its file, and let go of by the operating system however
/// the process ends.
///
/// It is a lock on `FILE.lock`, which stays: SQLite's own locks come and go with each transaction,
/// and a lock of ours on the file itself could take SQLite's away.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks the file at `path`, which need not exist yet.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let lock = beside(path, ".lock");
        let failed = |source| StoreError::Lock { lock: lock.display().to_string(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.take(20).read_to_string(&mut holder).map_err(failed)?;
                let (file, holder) = (path.display().to_string(), holder.trim().to_owned());
                return Err(StoreError::Held { file, holder });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.db");
        let first = Lock::take(&path).unwrap();
        let error = Lock::take(&path).unwrap_err();
        let this = format!("process {}", std::process::id());
        assert!(error.to_string().contains(&this), "{error}");
        drop(first);
        assert!(Lock::take(&path).is_ok());
    }

    #[test]
    fn another_name_of_the_same_file_is_no_way_around_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.db");
        let other = folder.path().join("other.db");
        File::create(&path).unwrap();
        std::os::unix::fs::symlink(&path, &other).unwrap();
        let _first = Lock::take(&path).unwrap();
        assert!(matches!(Lock::take(&other), Err(StoreError::Held { .. })));
    }
}

//! The lock that allows one writer per file, whatever its path.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::atomic::Ordering;

use super::StoreError;
use super::descriptors::{Descriptor, FileIdentity};
use super::files::beside;
use super::mark::{self, Acknowledged, Mark};

/// Held for as long as a store may write to its file, and released by the operating system however
/// the process ends.
///
/// There are two locks. The one on `FILE.lock`, which stays, names the process that holds it, and
/// keeps a second recorder from a new file at the path of one that was moved away. The one on the
/// file itself is the same through a hard link or a bind mount, whose own `.lock` is another file.
#[derive(Debug)]
pub(super) struct Lock {
    path: File,
    file: &'static Descriptor,
}

impl Lock {
    /// Locks the file at `path`, which is created if it does not exist.
    ///
    /// # Errors
    /// A recorder holds one of the locks, or a file cannot be created or locked.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let failed = |locked: &Path, source: io::Error| match fs::metadata(locked) {
            Ok(found) if source.kind() == io::ErrorKind::PermissionDenied => StoreError::Denied {
                file: locked.display().to_string(),
                user: rustix::process::geteuid().as_raw(),
                owner: found.uid(),
                mode: found.mode() & 0o777,
                source,
            },
            _ => StoreError::from_write(path.display().to_string(), source, |_, source| {
                StoreError::Lock { lock: locked.display().to_string(), source }
            }),
        };
        let beside_it = beside(path, ".lock");
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&beside_it)
            .map_err(|source| failed(&beside_it, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                lock.take(mark::OFFSET)
                    .read_to_string(&mut holder)
                    .map_err(|source| failed(&beside_it, source))?;
                let (file, holder) = (path.display().to_string(), holder.trim().to_owned());
                return Err(StoreError::Held { file, holder });
            }
            Err(TryLockError::Error(source)) => return Err(failed(&beside_it, source)),
        }
        let file = Descriptor::open_or_create(path).map_err(|source| failed(path, source))?;
        let other_name = || StoreError::HeldByOtherName { file: path.display().to_string() };
        if file.in_use.swap(true, Ordering::SeqCst) {
            return Err(other_name());
        }
        // From here on, what fails releases both.
        let locked = Self { path: lock, file };
        match locked.file.file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(other_name()),
            Err(TryLockError::Error(source)) => return Err(failed(path, source)),
        }
        // What is noted after it stays.
        let holder = format!("{:<10}\n", std::process::id());
        locked
            .path
            .write_all_at(holder.as_bytes(), 0)
            .map_err(|source| failed(&beside_it, source))?;
        Ok(locked)
    }

    /// The device and inode of the locked database file.
    pub(super) fn identity(&self) -> FileIdentity {
        self.file.identity
    }

    /// Metadata of the locked database file, even if it was moved or removed.
    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.file.metadata()
    }

    /// The last acknowledged commit, if one is noted in the lock file. `path` is that of the database.
    pub(super) fn mark(&self, path: &Path) -> Result<Option<Mark>, StoreError> {
        let lock = || beside(path, ".lock").display().to_string();
        Mark::read(&self.path).map_err(|source| StoreError::ReadMark { lock: lock(), source })
    }

    /// Notes the last acknowledged commit in the lock file.
    pub(super) fn note(&self, acknowledged: &Acknowledged) -> io::Result<()> {
        Mark::write(&self.path, acknowledged)
    }
}

impl Drop for Lock {
    /// Releases both locks explicitly: closing the files does not while a child process still has the
    /// descriptors. Nothing else can be done if that fails.
    fn drop(&mut self) {
        let _locked_until_the_end = self.file.file.unlock();
        self.file.in_use.store(false, Ordering::SeqCst);
        let _locked_until_closed = self.path.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_lock_is_refused_with_the_pid_of_the_holder_until_the_first_is_dropped() {
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
    fn locking_a_file_again_by_a_symbolic_or_hard_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.db");
        let (symbolic, hard) = (folder.path().join("a.db"), folder.path().join("b.db"));
        File::create(&path).unwrap();
        std::os::unix::fs::symlink(&path, &symbolic).unwrap();
        std::fs::hard_link(&path, &hard).unwrap();
        let first = Lock::take(&path).unwrap();
        assert!(matches!(Lock::take(&symbolic), Err(StoreError::Held { .. })));
        assert!(matches!(Lock::take(&hard), Err(StoreError::HeldByOtherName { .. })));
        drop(first);
        assert!(Lock::take(&hard).is_ok());
    }

    #[test]
    fn locking_a_directory_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = Lock::take(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Lock { .. }), "{error}");
    }
}

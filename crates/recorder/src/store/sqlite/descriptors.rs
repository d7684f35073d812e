//! Descriptors of database files that this process never closes.
//!
//! The operating system drops all POSIX locks of a process on a file as soon as the process closes
//! *any* descriptor of it. SQLite's locks are of this kind: without them another program takes the
//! database for unused, and deletes its log. So there is one further descriptor per file, and it
//! stays open until the process ends.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::mem;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

/// Every descriptor that this process has opened, one per file.
static DESCRIPTORS: Mutex<Vec<&'static Descriptor>> = Mutex::new(Vec::new());

/// The device and inode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl From<&Metadata> for FileIdentity {
    fn from(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl FileIdentity {
    /// The identity of the file at `path`, or of the one that it links to.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::from(&metadata))
    }
}

/// Reads the first bytes of the file at `path`, which may be a database that this process has open.
///
/// # Errors
/// The file is shorter than `start`; otherwise as [`Descriptor::open`].
pub(crate) fn read_start(path: &Path, start: &mut [u8]) -> io::Result<()> {
    Descriptor::open(path)?.file.read_exact_at(start, 0)
}

/// A descriptor of a database file that is never closed, since that would release this process's locks on
/// the file.
#[derive(Debug)]
pub(super) struct Descriptor {
    pub(super) identity: FileIdentity,
    pub(super) file: File,
    /// A store of this process writes to the file. A lock on `file` does not show that: it is granted
    /// again to the process that holds it.
    pub(super) in_use: AtomicBool,
}

impl Descriptor {
    /// The descriptor of the file at `path`: the one that this process has already, or a new one to read.
    ///
    /// # Errors
    /// It does not exist, cannot be read, or is not a regular file.
    pub(super) fn open(path: &Path) -> io::Result<&'static Self> {
        let mut descriptors = DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner);
        let metadata = fs::metadata(path)?;
        let wanted = FileIdentity::from(&metadata);
        if let Some(known) = descriptors.iter().find(|known| known.identity == wanted) {
            return Ok(known);
        }
        // Opening a FIFO blocks until it has a writer.
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Self::keep_open(File::open(path)?, &mut descriptors)
    }

    /// As [`Self::open`], but creates the file if it does not exist.
    ///
    /// # Errors
    /// It cannot be created or read, or is not a regular file.
    pub(super) fn open_or_create(path: &Path) -> io::Result<&'static Self> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut options = OpenOptions::new();
                // SQLite's mode.
                options.read(true).write(true).create(true).truncate(false).mode(0o644);
                let file = options.open(path)?;
                Self::keep_open(
                    file,
                    &mut DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner),
                )
            }
            opened => opened,
        }
    }

    /// Adds the descriptor of an opened file to `descriptors`, so that it is never closed.
    fn keep_open(file: File, descriptors: &mut Vec<&'static Self>) -> io::Result<&'static Self> {
        let identity = match file.metadata() {
            Ok(metadata) => FileIdentity::from(&metadata),
            Err(error) => {
                mem::forget(file);
                return Err(error);
            }
        };
        let descriptor: &'static Self =
            Box::leak(Box::new(Self { identity, file, in_use: AtomicBool::new(false) }));
        descriptors.push(descriptor);
        Ok(descriptor)
    }
}

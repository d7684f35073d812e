//! Fingerprints of files and directories, equal to those of the `kosli` client.
//!
//! A file's is the SHA-256 of its content. A directory's is the SHA-256 of a text: for each entry, in
//! byte order of the names and directory by directory, the SHA-256 of its name in hexadecimal, and then
//!
//! - of a file, or a link to one: the SHA-256 of its content;
//! - of a directory: its entries;
//! - of a link to a directory: the SHA-256 of the link's text.
//!
//! Modes, owners, times and the name of the directory itself are not in it; hidden files are.

mod directory;
mod excludes;
mod glob;

use std::ffi::OsStr;
use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use crate::snapshot::Fingerprint;

pub use directory::{DirectoryFingerprint, fingerprint_directory};
pub use excludes::split_patterns;

/// How much of a file is read and hashed at once.
const READ_CHUNK_BYTES: usize = 128 * 1024;

/// Why there is no fingerprint.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot read {}", path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A pipe, a socket or a device: reading it might never end, and it has no content of its own.
    #[error(
        "{} is a {kind}, which has no content to hash. Remove it, or leave it out with --exclude",
        path.display()
    )]
    NotAFile {
        /// Where it is.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The target of a link does not exist.
    #[error(
        "{} is a link to {}, which does not exist. Repair or remove it, or leave it out with --exclude",
        path.display(),
        target.display()
    )]
    BrokenLink {
        /// The link.
        path: PathBuf,
        /// Its text.
        target: PathBuf,
    },
    /// The path is a directory, and a file is required.
    #[error("{} is a directory, not a file", .0.display())]
    IsADirectory(PathBuf),
    /// The path is not a directory, and one is required.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// The `kosli` client does not look behind such a link: all of them have the fingerprint of an
    /// empty directory there.
    #[error(
        "{path} is a link to a directory, of which the kosli client would fingerprint nothing. Name the \
         directory itself, or put a slash behind the link: {path}/",
        path = .0.display()
    )]
    LinkToDirectory(PathBuf),
    /// A pattern that is empty or malformed.
    #[error(
        "the exclude pattern \"{pattern}\" is {problem}. Patterns have *, ?, [a-z], [^a-z] and **, and \
         \\ before any of these characters that is meant itself"
    )]
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// The fingerprint of the file at `path`, or of the file that a link there leads to.
///
/// # Errors
/// It is not a file, or cannot be read completely.
pub fn fingerprint_file(path: &Path) -> Result<Fingerprint, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let mut file = open_file(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; READ_CHUNK_BYTES];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(<[u8; 32]>::from(hash.finalize()).into()),
            Ok(length) => hash.update(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(read(error)),
        }
    }
}

/// Opens a regular file. Anything else, like a directory, pipe or device, is an error.
fn open_file(path: &Path) -> Result<File, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    // Before it is opened as well: opening a device may do something.
    require_file(path, metadata(path)?.file_type())?;
    let mut options = OpenOptions::new();
    // A named pipe that takes the file's place meanwhile would wait for a writer.
    #[expect(clippy::cast_possible_wrap, reason = "one bit, far below the sign")]
    options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
    let file = options.open(path).map_err(read)?;
    require_file(path, file.metadata().map_err(read)?.file_type())?;
    Ok(file)
}

/// The metadata of `path`, or of what a link there leads to; a broken link is [`Error::BrokenLink`].
fn metadata(path: &Path) -> Result<fs::Metadata, Error> {
    fs::metadata(path).map_err(|source| match fs::read_link(path) {
        Ok(target) if source.kind() == io::ErrorKind::NotFound => {
            Error::BrokenLink { path: path.to_owned(), target }
        }
        _ => Error::Read { path: path.to_owned(), source },
    })
}

/// An error that names the kind of what was `found` at `path`, unless that is a regular file.
fn require_file(path: &Path, found: FileType) -> Result<(), Error> {
    let kind = match found {
        found if found.is_file() => return Ok(()),
        found if found.is_dir() => return Err(Error::IsADirectory(path.to_owned())),
        found if found.is_fifo() => "named pipe",
        found if found.is_socket() => "socket",
        found if found.is_block_device() || found.is_char_device() => "device",
        _ => "special file",
    };
    Err(Error::NotAFile { path: path.to_owned(), kind })
}

/// SHA-256 of a name or a link's text, in hexadecimal.
fn hash_of(text: &OsStr) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

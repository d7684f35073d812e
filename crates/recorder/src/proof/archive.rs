//! The tar file of a bundle, of which every byte follows from its members.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write};

use tar::{Archive, Builder, EntryType, Header};

use super::ProofError;
use crate::domain::Micros;

/// The most members of a bundle that is read: more than any snapshot and its evidence have.
const MAX_MEMBERS: usize = 1_000_000;

/// What a [`Comparison`] fails with. It becomes [`ProofError::Changed`], which is what people read.
#[derive(Debug, thiserror::Error)]
#[error("the content differs")]
struct ContentDiffers;

/// Writes the tar file of a bundle. Equal members give equal bytes.
pub(super) struct ArchiveWriter<W: Write> {
    tar: Builder<W>,
    /// The time of every member, in seconds since the Unix epoch.
    time: u64,
}

impl<W: Write> ArchiveWriter<W> {
    /// `time` becomes the modification time of every member.
    pub(super) fn new(target: W, time: Micros) -> Self {
        let time = u64::try_from(time.0 / 1_000_000).unwrap_or_default();
        Self { tar: Builder::new(target), time }
    }

    /// Appends a member to the tar file.
    pub(super) fn add(&mut self, name: &str, content: &[u8]) -> Result<(), ProofError> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_mtime(self.time);
        header.set_size(content.len() as u64);
        self.tar.append_data(&mut header, name, content).map_err(|error| write_error(name, error))
    }

    /// Writes the end of the tar file.
    pub(super) fn finish(self) -> Result<(), ProofError> {
        let end = "the end of the file";
        self.tar
            .into_inner()
            .and_then(|mut target| target.flush())
            .map_err(|error| write_error(end, error))
    }
}

/// [`ProofError::Changed`] if a [`Comparison`] found another content, else the error of writing.
fn write_error(member: &str, error: io::Error) -> ProofError {
    if error.get_ref().and_then(|inner| inner.downcast_ref::<ContentDiffers>()).is_some() {
        return ProofError::Changed { member: member.to_owned() };
    }
    ProofError::Io { operation: "write the bundle".to_owned(), source: error }
}

/// Compares what is written to it with what `expected` reads. Writing fails where they differ.
pub(super) struct Comparison<R> {
    expected: R,
}

impl<R: Read> Comparison<R> {
    pub(super) fn new(expected: R) -> Self {
        Self { expected }
    }

    /// Whether `expected` has nothing more than what was written.
    pub(super) fn is_complete(&mut self) -> io::Result<bool> {
        Ok(self.expected.read(&mut [0])? == 0)
    }
}

impl<R: Read> Write for Comparison<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut found = [0; 4_096];
        let length = bytes.len().min(found.len());
        match self.expected.read_exact(&mut found[..length]) {
            Ok(()) if found[..length] == bytes[..length] => Ok(length),
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            _ => Err(io::Error::other(ContentDiffers)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How files that are compressed with gzip, zstd, xz or bzip2 begin.
const COMPRESSION_MAGICS: [&[u8]; 4] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"BZh"];

/// Reads members by name, also of an archive that another program packed.
pub(super) struct ArchiveReader {
    file: File,
    name: String,
    /// The offset and the size of each member, in bytes.
    members: BTreeMap<String, (u64, u64)>,
}

impl ArchiveReader {
    /// Lists the members of the tar file. `name` is what errors call the file.
    pub(super) fn new(file: File, name: &str) -> Result<Self, ProofError> {
        let not_a_bundle = |error: io::Error| ProofError::NotABundle {
            file: name.to_owned(),
            reason: error.to_string().lines().next().unwrap_or_default().to_owned(),
        };
        let refused = |reason: String| ProofError::NotABundle { file: name.to_owned(), reason };
        if is_compressed(&file).map_err(not_a_bundle)? {
            return Err(refused("it is compressed. Decompress it first".to_owned()));
        }
        let mut members = BTreeMap::new();
        let mut archive = Archive::new(&file);
        // Raw: extensions of the format would be read whole, whatever their size.
        let entries = archive.entries_with_seek().map_err(not_a_bundle)?.raw(true);
        for member in entries {
            let member = member.map_err(not_a_bundle)?;
            match member.header().entry_type() {
                EntryType::Regular => {}
                // Other programs add these; nothing in them is read.
                EntryType::Directory | EntryType::XHeader | EntryType::XGlobalHeader => continue,
                _ => return Err(refused("it has something else than files".to_owned())),
            }
            if members.len() >= MAX_MEMBERS {
                return Err(refused("it has too many files".to_owned()));
            }
            let path = String::from_utf8_lossy(&member.path_bytes()).into_owned();
            let path = path.strip_prefix("./").map(str::to_owned).unwrap_or(path);
            let found = (member.raw_file_position(), member.size());
            if members.insert(path.clone(), found).is_some() {
                return Err(refused(format!("it has {path} twice")));
            }
        }
        Ok(Self { file, name: name.to_owned(), members })
    }

    /// The content of a member of at most `most` bytes.
    pub(super) fn read(&mut self, member: &str, most: u64) -> Result<Vec<u8>, ProofError> {
        let size = self.find(member)?.1;
        if size > most {
            return Err(self.not_a_bundle(format!("its {member} has more than {most} bytes")));
        }
        let mut content = Vec::new();
        let read = self.open(member)?.read_to_end(&mut content);
        read.map_err(|source| ProofError::Io { operation: format!("read {}", self.name), source })?;
        if content.len() as u64 != size {
            return Err(self.not_a_bundle(format!("its {member} is cut off")));
        }
        Ok(content)
    }

    /// The names of all members.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// Whether the member exists and has this content.
    pub(super) fn has_content(&mut self, member: &str, content: &[u8]) -> Result<bool, ProofError> {
        let size = content.len() as u64;
        let is_candidate = self.members.get(member).is_some_and(|found| found.1 == size);
        Ok(is_candidate && self.read(member, size)? == content)
    }

    /// A member, to be read as a stream.
    pub(super) fn open(&mut self, member: &str) -> Result<impl Read, ProofError> {
        let (offset, size) = self.find(member)?;
        self.file.seek(SeekFrom::Start(offset)).map_err(|source| ProofError::Io {
            operation: format!("read {}", self.name),
            source,
        })?;
        Ok((&self.file).take(size))
    }

    /// The offset and the size of a member.
    fn find(&self, member: &str) -> Result<(u64, u64), ProofError> {
        let found = self.members.get(member).copied();
        found.ok_or_else(|| self.not_a_bundle(format!("it has no {member}")))
    }

    fn not_a_bundle(&self, reason: String) -> ProofError {
        ProofError::NotABundle { file: self.name.clone(), reason }
    }
}

fn is_compressed(mut file: &File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.take(6).read_to_end(&mut start)?;
    file.rewind()?;
    Ok(COMPRESSION_MAGICS.iter().any(|magic| start.starts_with(magic)))
}

//! SQLite's log (`-wal`), as SQLite reads it after a crash.
//!
//! The format is that of <https://sqlite.org/fileformat2.html#the_write_ahead_log>. SQLite applies
//! whatever log is beside a database to it, also one that belongs to another state of it, so that
//! it is read here first.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::position::Position;

/// The bytes of a log before its first frame.
const HEADER_BYTES: u64 = 32;
/// The bytes of a frame before its page.
const FRAME_HEADER_BYTES: u64 = 24;

/// What SQLite's write-ahead log holds, up to its last commit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct LogContent {
    /// The frames of its commits.
    pub(super) frames: u64,
    /// The bytes of a page.
    pub(super) page_size: u32,
    /// The numbers of the pages that held the position, from 1: VACUUM in another program moves it.
    pub(super) position_pages: BTreeSet<u32>,
    /// How many pages the database has after its last commit.
    pub(super) database_pages: u32,
    /// The numbers of all pages that it holds.
    pub(super) pages: BTreeSet<u32>,
    /// Each position in it, in order.
    pub(super) positions: Vec<Position>,
}

/// A write-ahead log with an intact header.
struct Log<'a> {
    file: &'a File,
    page_size: u32,
    salts: [u8; 8],
    checksum: Checksum,
}

impl LogContent {
    /// Reads the log; empty if it has no commit.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn read(file: &File) -> io::Result<Self> {
        let mut content = Self::default();
        let Some(log) = Log::open(file)? else { return Ok(content) };
        content.page_size = log.page_size;
        let mut checksum = log.checksum;
        let mut frame = vec![0; log.frame_size()];
        let mut uncommitted = Vec::new();
        for number in 0.. {
            if !log.read_frame(number, &mut frame)? || !log.is_next_frame(&frame, &mut checksum) {
                break;
            }
            let (header, page) = frame.split_at(24);
            uncommitted.push((be_u32(&header[..4]), Position::from_page(page)));
            if header[4..8] == [0; 4] {
                continue;
            }
            content.frames = number + 1;
            content.database_pages = be_u32(&header[4..8]);
            for (page, position) in uncommitted.drain(..) {
                content.pages.insert(page);
                if let Some(position) = position {
                    content.position_pages.insert(page);
                    content.positions.push(position);
                }
            }
        }
        Ok(content)
    }

    /// Whether the log belongs to a database in this state: as it was before the first commit of the log,
    /// or as after one of its commits, if some were applied already.
    pub(super) fn follows(&self, database: &Position) -> bool {
        self.positions.first().is_some_and(|first| first.follows(database))
            || self.positions.contains(database)
    }
}

/// Where a log ended when it was last found intact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LogEnd {
    /// Those of the log, which change when it begins anew.
    salts: [u8; 8],
    frames: u64,
}

/// Whether the log has this many frames, and the last one that it had before and all after it are
/// intact. A log that is truncated before a commit is written has a hole there, whatever its last
/// frame is.
///
/// # Errors
/// The file cannot be read.
pub(super) fn has_intact_end(file: &File, frames: u64, end: &mut LogEnd) -> io::Result<bool> {
    let Some(log) = Log::open(file)? else { return Ok(frames == 0) };
    let is_continued = end.salts == log.salts && end.frames <= frames;
    let from = if is_continued { end.frames.saturating_sub(1) } else { 0 };
    if !log.has_intact_range(from, frames)? {
        return Ok(false);
    }
    *end = LogEnd { salts: log.salts, frames };
    Ok(true)
}

/// The numbers of the pages in the frames `from` to `to` (exclusive, counted from 0).
///
/// # Errors
/// The file cannot be read.
pub(super) fn pages_in(file: &File, from: u64, to: u64) -> io::Result<BTreeSet<u32>> {
    let mut pages = BTreeSet::new();
    let Some(log) = Log::open(file)? else { return Ok(pages) };
    let mut frame = vec![0; log.frame_size()];
    for number in from..to {
        if !log.read_frame(number, &mut frame)? || frame[8..16] != log.salts {
            break;
        }
        pages.insert(be_u32(&frame[..4]));
    }
    Ok(pages)
}

/// Up to which frame a log was read and found intact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CheckedLog {
    /// Those of the log, which change when it begins anew.
    salts: [u8; 8],
    frames: u64,
    /// Of its frames.
    checksum: (u32, u32),
}

/// Whether the log has this many frames, all intact. Those that were `checked` before are not read
/// again.
///
/// # Errors
/// The file cannot be read.
pub(super) fn has_intact_frames(
    file: &File,
    frames: u64,
    checked: &mut CheckedLog,
) -> io::Result<bool> {
    let Some(log) = Log::open(file)? else {
        *checked = CheckedLog::default();
        return Ok(frames == 0);
    };
    if checked.salts != log.salts || checked.frames > frames {
        let (salts, checksum) = (log.salts, log.checksum.state);
        *checked = CheckedLog { salts, frames: 0, checksum };
    }
    let mut checksum = Checksum { state: checked.checksum, ..log.checksum };
    let mut frame = vec![0; log.frame_size()];
    while checked.frames < frames {
        if !log.read_frame(checked.frames, &mut frame)? || !log.is_next_frame(&frame, &mut checksum)
        {
            return Ok(false);
        }
        checked.frames += 1;
        checked.checksum = checksum.state;
    }
    Ok(true)
}

/// Whether each of the frames `from` to `to` (exclusive, counted from 0) is intact and follows the one
/// before it.
///
/// # Errors
/// The file cannot be read.
pub(super) fn has_intact_range(file: &File, from: u64, to: u64) -> io::Result<bool> {
    Log::open(file)?.map_or(Ok(from >= to), |log| log.has_intact_range(from, to))
}

impl<'a> Log<'a> {
    /// `None` if SQLite takes the log for empty: it has no header, or an invalid one.
    fn open(file: &'a File) -> io::Result<Option<Self>> {
        let mut header = [0; 32];
        if !read_exact(file, &mut header, 0)? {
            return Ok(None);
        }
        let is_big_endian = match be_u32(&header[..4]) {
            0x377f_0682 => false,
            0x377f_0683 => true,
            _ => return Ok(None),
        };
        let page_size = be_u32(&header[8..12]);
        let mut checksum = Checksum { is_big_endian, state: (0, 0) };
        checksum.add(&header[..24]);
        let is_whole = checksum.matches(&header[24..32]);
        if !is_whole || !page_size.is_power_of_two() || !(512..=65_536).contains(&page_size) {
            return Ok(None);
        }
        let mut salts = [0; 8];
        salts.copy_from_slice(&header[16..24]);
        Ok(Some(Self { file, page_size, salts, checksum }))
    }

    /// The bytes of a frame: its header and its page.
    fn frame_size(&self) -> usize {
        24 + self.page_size as usize
    }

    /// Reads frame `number`, counted from 0, into `frame`; false if the file ends before that.
    fn read_frame(&self, number: u64, frame: &mut [u8]) -> io::Result<bool> {
        let size = FRAME_HEADER_BYTES + u64::from(self.page_size);
        read_exact(self.file, frame, HEADER_BYTES.saturating_add(number.saturating_mul(size)))
    }

    /// As [`has_intact_range`].
    fn has_intact_range(&self, from: u64, to: u64) -> io::Result<bool> {
        let mut frame = vec![0; self.frame_size()];
        let mut checksum = self.checksum;
        if let Some(before) = from.checked_sub(1) {
            if !self.read_frame(before, &mut frame)? || frame[8..16] != self.salts {
                return Ok(false);
            }
            checksum.state = (be_u32(&frame[16..20]), be_u32(&frame[20..24]));
        }
        for number in from..to {
            if !self.read_frame(number, &mut frame)? || !self.is_next_frame(&frame, &mut checksum) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the frame belongs to this log and is intact after the frames that `checksum` is of, to which
    /// it is added.
    fn is_next_frame(&self, frame: &[u8], checksum: &mut Checksum) -> bool {
        let (header, page) = frame.split_at(24);
        checksum.add(&header[..8]);
        checksum.add(page);
        header[8..16] == self.salts && header[..4] != [0; 4] && checksum.matches(&header[16..24])
    }
}

/// SQLite's checksum of the log's header and of all frames up to one of them.
#[derive(Clone, Copy)]
struct Checksum {
    is_big_endian: bool,
    state: (u32, u32),
}

impl Checksum {
    /// Adds bytes to the checksum, a multiple of 8.
    fn add(&mut self, bytes: &[u8]) {
        let word = |bytes| {
            if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        let (mut first, mut second) = self.state;
        for &[a, b, c, d, e, f, g, h] in bytes.as_chunks().0 {
            first = first.wrapping_add(word([a, b, c, d])).wrapping_add(second);
            second = second.wrapping_add(word([e, f, g, h])).wrapping_add(first);
        }
        self.state = (first, second);
    }

    /// Whether the checksum is the one in the log's header or in a frame's header.
    fn matches(&self, stored: &[u8]) -> bool {
        self.state == (be_u32(&stored[..4]), be_u32(&stored[4..8]))
    }
}

/// Reads a big-endian number of four bytes.
fn be_u32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Reads `bytes` at `offset`; false if the file is too short.
fn read_exact(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<bool> {
    match file.read_exact_at(bytes, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_adds_words_in_the_byte_order_of_the_log() {
        let bytes = [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
        let state = |is_big_endian| {
            let mut checksum = Checksum { is_big_endian, state: (0, 0) };
            checksum.add(&bytes);
            checksum.state
        };
        // 0 + 1 + 0 and 0 + 2 + 1, then 1 + 3 + 3 and 3 + 4 + 7.
        assert_eq!(state(true), (7, 14));
        assert_eq!(state(false), (7 << 24, 14 << 24));
    }
}

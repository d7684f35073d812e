//! SQLite's rollback journal (`-journal`), which a recorder's file has for a moment at its first start,
//! and when a backup is started.
//!
//! SQLite takes whatever journal is beside a database for what an interrupted program left, and writes
//! the pages in it into the database, without a word. The format is that of
//! <https://sqlite.org/fileformat2.html#the_rollback_journal>.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::StoreError;
use super::descriptors::Descriptor;
use super::files::beside;
use super::mark::Mark;
use super::preflight::{DatabaseHeader, positions};

/// The first bytes of a rollback journal.
const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// The bytes of the first page that the switch to WAL mode changes: the format versions, the change counter
/// and SQLite's version.
const WAL_SWITCH_BYTES: [std::ops::Range<usize>; 3] = [18..20, 24..28, 92..100];

/// Refuses a rollback journal (`-journal`) beside the database at `path` that SQLite would play back, unless
/// a recorder that was killed left it.
///
/// # Errors
/// There is such a journal.
pub(super) fn check(path: &Path) -> Result<(), StoreError> {
    let journal_path = beside(path, "-journal");
    // SQLite reports what cannot be read.
    let Ok(journal) = File::open(&journal_path) else { return Ok(()) };
    let mut first = [0];
    // SQLite overwrites the first bytes of a journal that is done with, if it does not remove it.
    if journal.read_exact_at(&mut first, 0).is_err() || first == [0] {
        return Ok(());
    }
    let (file, stray) = (path.display().to_string(), journal_path.display().to_string());
    let stray = || Err(StoreError::StrayJournal { file: file.clone(), journal: stray.clone() });
    let database = match Descriptor::open(path) {
        Ok(database) => &database.file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return stray(),
        Err(_) => return Ok(()),
    };
    let Some(header) = DatabaseHeader::read(database) else {
        // A first start writes the journal before the file.
        return if Mark::beside(path)?.is_some() { stray() } else { Ok(()) };
    };
    let was_used = positions(database, header.page_size).any(|position| position.commit > 0);
    if was_used && !only_undoes_switch_to_wal(&journal, database, header) {
        return stray();
    }
    Ok(())
}

/// Whether the journal undoes nothing but the switch to WAL mode, as when a backup is started.
fn only_undoes_switch_to_wal(journal: &File, database: &File, header: DatabaseHeader) -> bool {
    let mut start = [0; 28];
    if journal.read_exact_at(&mut start, 0).is_err() || start[..8] != MAGIC {
        return false;
    }
    let number =
        |at: usize| u32::from_be_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
    let (pages_before, sector, page_size) = (number(16), u64::from(number(20)), number(24));
    let Ok(size) = usize::try_from(header.page_size) else { return false };
    let record = header.page_size + 8;
    let is_one_page = journal.metadata().is_ok_and(|found| found.len() <= sector + record);
    if pages_before != header.pages || u64::from(page_size) != header.page_size || !is_one_page {
        return false;
    }
    let (mut before, mut now) = (vec![0; size + 4], vec![0; size]);
    if journal.read_exact_at(&mut before, sector).is_err() {
        // Nothing is written to the file before all of the journal.
        return true;
    }
    if database.read_exact_at(&mut now, 0).is_err() || before[..4] != 1_u32.to_be_bytes() {
        return false;
    }
    let before = &mut before[4..];
    for written in WAL_SWITCH_BYTES {
        now[written.clone()].copy_from_slice(&before[written]);
    }
    before == now
}

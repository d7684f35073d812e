//! What can go wrong with the file.

use std::io::{self, ErrorKind};

use rusqlite::{ErrorCode, ffi};

/// A store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite cannot open or prepare the file.
    #[error("cannot open the snapshot file {file}")]
    Open {
        /// Its path.
        file: String,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// What a start writes does not fit onto the disk.
    #[error(
        "cannot use {file}: its disk is full, or its files may not grow (ulimit -f). Nothing is lost: \
         free 1 MB at least on that disk, and start again. Until then, a copy of {file} and its -wal on \
         another disk can be read with --db"
    )]
    NoRoom {
        /// The file's path.
        file: String,
        /// What failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What the file should have is not in it, or makes no sense.
    #[error(
        "the snapshot file {file} is damaged. Keep it, with what is beside it, and restore a backup"
    )]
    Damaged {
        /// Its path.
        file: String,
        /// The first thing that is wrong.
        #[source]
        source: rusqlite::Error,
    },
    /// Another process writes to the file.
    #[error(
        "another recorder{} writes to {file}, and a file has one writer: stop it first, or \
         name another file",
        if holder.is_empty() { String::new() } else { format!(" (process {holder})") }
    )]
    Held {
        /// The file's path.
        file: String,
        /// The id of the process; empty where it is not known.
        holder: String,
    },
    /// A recorder writes to the same file, which it opened by another name.
    #[error(
        "another recorder writes to {file} under another name (a hard link or a bind mount), and a \
         file has one writer: stop it first, or name another file"
    )]
    HeldByOtherName {
        /// The path by which it was to be opened.
        file: String,
    },
    /// The lock that keeps other writers away cannot be had.
    #[error(
        "cannot lock {lock}: the recorder needs a folder that exists and that it may write to, \
         on a disk of this host"
    )]
    Lock {
        /// The lock file's path.
        lock: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file may only be read.
    #[error("cannot write to {file}: give the recorder's user write permission")]
    ReadOnly {
        /// Its path.
        file: String,
    },
    /// Another user's program left files beside it that the recorder may not use.
    #[error(
        "cannot use {file} because of what another user's program left beside it: {left}. Stop the \
         programs that have {file} open, and give these files to user {owner}, whose {file} is, with \
         chown {owner} and chmod u+rw"
    )]
    LeftBeside {
        /// The file's path.
        file: String,
        /// The id of the user that the file belongs to.
        owner: u32,
        /// Each file with its owner and its mode.
        left: String,
        /// What failed.
        #[source]
        source: Box<StoreError>,
    },
    /// Another file is where the recorder's was, or none.
    #[error(
        "{file} is no longer the file that the recorder opened: it was moved, replaced or removed. If it \
         was moved, put it back; if it is gone, the recorder saves what it has within a second, and logs \
         where, so do not stop it before"
    )]
    Moved {
        /// Its path.
        file: String,
    },
    /// Something is wrong with the file or its log, and so nothing is accepted any more.
    #[error("{file} cannot be used any more: {reason}")]
    Stopped {
        /// The file's path.
        file: String,
        /// What is wrong, what was saved, and what to do.
        reason: String,
    },
    /// What SQLite has made beside the file cannot be opened.
    #[error("cannot open what SQLite keeps beside {file} (-wal, -shm)")]
    OpenLog {
        /// The file's path.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The thread that writes cannot be started.
    #[error("cannot start the thread that writes to {file}")]
    Thread {
        /// The file's path.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A recorder saved a more complete copy beside the file.
    #[error(
        "{copy} holds what a recorder saved, verified, because {file} or its log was damaged or removed, \
         and {file} may lack the latest reports. Move {file} away together with its -wal and -shm, rename {copy} to \
         {file}, and start again"
    )]
    Rescued {
        /// The file's path.
        file: String,
        /// The path of the copy.
        copy: String,
    },
    /// What is where a recorder saves a copy is none.
    #[error(
        "{copy} should hold what a recorder saved because {file} or its log was damaged or removed, but \
         it cannot be relied on. Do not put it in the place of {file}: move it away, and start again"
    )]
    RescuedDamaged {
        /// The file's path.
        file: String,
        /// The path of the copy.
        copy: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file is shorter than it should be.
    #[error(
        "{file} was cut: it has {bytes} bytes, and should have {expected} at least. Restore it from a \
         backup"
    )]
    Cut {
        /// The file's path.
        file: String,
        /// What it has.
        bytes: u64,
        /// What its pages take.
        expected: u64,
    },
    /// Something else is where a file should be.
    #[error("{file} is not a regular file: move it away, or name another snapshot file")]
    NotAFile {
        /// Its path.
        file: String,
    },
    /// The file is another user's.
    #[error(
        "the recorder, which runs as user {user}, may not read and write {file}, which belongs to user \
         {owner} (mode {mode:o}). Run the recorder as user {owner}, or give the file to user {user} with \
         chown {user} and chmod u+rw"
    )]
    Denied {
        /// Its path.
        file: String,
        /// The id of the user that the recorder runs as.
        user: u32,
        /// The id of the user that the file belongs to.
        owner: u32,
        /// The file's permissions.
        mode: u32,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
    /// SQLite's log beside the file is another file's, or that of another state of this one.
    #[error(
        "{log} is not the log of {file} as it is now: one of the two was moved, copied or replaced. {}",
        latest_commit.remedy(file, log, lock)
    )]
    StrayLog {
        /// The file's path.
        file: String,
        /// The log's path.
        log: String,
        /// The path of the lock file.
        lock: String,
        /// Which of the two has what was answered last.
        latest_commit: LatestCommit,
    },
    /// The log beside the file has no commit of a recorder.
    #[error(
        "no recorder wrote what is in {log}. Copy {file} and {log}, apply the log with: sqlite3 '{file}' \
         'PRAGMA wal_checkpoint(TRUNCATE)', and run: envsnap verify --db '{file}'. If that finds damage, \
         the log was another file's: put the copy of {file} back, without the log"
    )]
    ForeignLog {
        /// The file's path.
        file: String,
        /// The log's path.
        log: String,
    },
    /// A rollback journal is beside the file, which would be played back into it.
    #[error(
        "a recorder does not leave {journal}, and SQLite would write what is in it into {file}. Move it \
         away, keep it, and run: envsnap verify --db '{file}'. If that finds damage, another program was \
         interrupted while it wrote to {file}: put the journal back, and undo that with: sqlite3 \
         '{file}' 'PRAGMA integrity_check'"
    )]
    StrayJournal {
        /// The file's path.
        file: String,
        /// The journal's path.
        journal: String,
    },
    /// The file is older than what was answered from it, or another one.
    #[error(
        "{file} lacks answered reports: its last commit is {found}, and by the note in {lock} commit \
         {noted} was answered. Put the newest file back, with its -wal; or, to go on without them (after \
         a restore), start once with --accept-loss"
    )]
    LacksCommits {
        /// The file's path.
        file: String,
        /// The path of the lock file.
        lock: String,
        /// The number of the commit that was answered last.
        noted: u64,
        /// The number of the last commit in the file.
        found: u64,
    },
    /// The file is not there, and had answered reports.
    #[error(
        "there is nothing in {file}, and by the note in {lock} reports were answered from it. Put the \
         file back; or, to begin with an empty one, start once with --accept-loss"
    )]
    Lost {
        /// The file's path.
        file: String,
        /// The path of the lock file.
        lock: String,
    },
    /// A recorder had the file open when it was killed or the file was copied, and the log is not
    /// here.
    #[error(
        "{file} was in use when it was last written, and its log is not beside it, so that the latest \
         reports may be missing. Its recorder called it {known_as}: if that is the same file, use that \
         name; if it was moved, move its -wal and .lock as well; if this is a copy, make it with 'envsnap \
         backup' instead. To go on without what is missing, start once with --accept-loss"
    )]
    LogIsElsewhere {
        /// The file's path.
        file: String,
        /// The path by which the last recorder opened it.
        known_as: String,
    },
    /// The system does not say how long the file is.
    #[error("cannot find out the size of {file}")]
    Stat {
        /// Its path.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What was answered last cannot be read.
    #[error("cannot read in {lock} what was answered last")]
    ReadMark {
        /// The path of the lock file.
        lock: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What is answered cannot be noted.
    #[error("cannot note beside {file} (.lock) what is answered, and so it is not answered")]
    WriteMark {
        /// The file's path.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing to read.
    #[error("there is no {file}")]
    Missing {
        /// The path.
        file: String,
    },
    /// The file is another program's.
    #[error("{file} is not a recorder's: it is empty, or a SQLite file of another program")]
    Foreign {
        /// Its path.
        file: String,
    },
    /// The file was written before there was a ledger.
    #[error(
        "the snapshot file {file} is of a version before the ledger, which was never released: \
         start with a new file"
    )]
    BeforeTheLedger {
        /// Its path.
        file: String,
    },
    /// The file was written by a newer version of this program.
    #[error(
        "the snapshot file {file} is of version {found}, and this program reads versions up to \
         {known}: use the envsnap that wrote it, or a newer one"
    )]
    Newer {
        /// Its path.
        file: String,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: usize,
    },
    /// The file was written by an older version of this program, and cannot be read as it is.
    #[error(
        "the snapshot file {file} is of version {found}, and this program reads version {known}: \
         'envsnap serve' brings it up to date"
    )]
    Older {
        /// Its path.
        file: String,
        /// Its version.
        found: i64,
        /// The version that this program reads.
        known: usize,
    },
    /// SQLite could not do what was asked. Nothing of it is in the file.
    #[error("cannot {operation}")]
    Failed {
        /// What was asked, and of what.
        operation: String,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The work panicked, or the program is ending. Nothing of it is in the file.
    #[error("cannot {operation}: it was interrupted: {reason}")]
    Interrupted {
        /// What was asked, and of what.
        operation: String,
        /// What the panic said, or who ended it.
        reason: String,
    },
    /// Too much waits to be written. Nothing of it is in the file.
    #[error(
        "cannot {operation} now: what waits to be written before it takes about {seconds} s. If this \
         lasts, the disk is too slow, or another program holds the file"
    )]
    Overloaded {
        /// What was asked, and of what.
        operation: String,
        /// How long it would wait, at least 1.
        seconds: u64,
    },
}

impl StoreError {
    /// The file cannot be opened, since a first question to it was answered so.
    pub(super) fn from_open(file: String, source: rusqlite::Error) -> Self {
        match source.sqlite_error() {
            None | Some(ffi::Error { code: ErrorCode::DatabaseCorrupt, .. }) => {
                Self::Damaged { file, source }
            }
            // Of the index of the log, and of a file that reaches the limit of its size, SQLite does not say
            // that the disk is full.
            Some(
                ffi::Error { code: ErrorCode::DiskFull, .. }
                | ffi::Error {
                    extended_code: ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_WRITE,
                    ..
                },
            ) => Self::NoRoom { file, source: Box::new(source) },
            Some(_) => Self::Open { file, source },
        }
    }

    /// A file beside `file` cannot be written, for want of room or as `otherwise` says.
    pub(super) fn from_write(
        file: String,
        source: io::Error,
        otherwise: impl FnOnce(String, io::Error) -> Self,
    ) -> Self {
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::NoRoom { file, source: Box::new(source) }
            }
            _ => otherwise(file, source),
        }
    }

    /// Whether it says that the file lacks what was answered.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Self::LacksCommits { .. } | Self::Lost { .. } | Self::LogIsElsewhere { .. })
    }
}

/// Which of a file and a log that does not continue it has the commit that was answered last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatestCommit {
    /// The log alone.
    Log,
    /// The file alone.
    File,
    /// Nothing says it.
    Unknown,
}

impl LatestCommit {
    /// What to do, by which nothing that was answered is lost.
    fn remedy(self, file: &str, log: &str, lock: &str) -> String {
        match self {
            Self::Log => format!(
                "By the note in {lock}, the log holds what was answered last: keep it, and put the file \
                 back that it was written for"
            ),
            Self::File => format!(
                "By the note in {lock}, {file} has what was answered last: rename {log}, start again, \
                 and keep the log until 'envsnap verify --db {file}' finds no damage"
            ),
            Self::Unknown => format!(
                "Nothing here says which of the two holds what was answered last: keep both, and put \
                 back the file that {log} was written for, or the log of {file}, or the newest backup, \
                 without a log"
            ),
        }
    }
}

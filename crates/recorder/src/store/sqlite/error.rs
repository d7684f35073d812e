//! Errors of the database file.

use std::io::{self, ErrorKind};
use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use super::{BUSY_TIMEOUT, preflight};

/// The instruction in messages to replace a file that cannot be used any more with a backup.
const RESTORE: &str = "move it away together with its -wal, -shm and .lock, keep them, and put the newest \
                       backup in its place";

/// A store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite cannot open or prepare the file.
    #[error("cannot open the snapshot file {file}")]
    Open {
        file: String,
        #[source]
        source: rusqlite::Error,
    },
    /// The disk is too full to start.
    #[error(
        "cannot use {file}: its disk is full, or its files may not grow (ulimit -f). Nothing is lost: \
         free {megabytes} MB at least on that disk, and start again. Until then, a copy of {file} and its -wal on \
         another disk can be read with --db"
    )]
    NoRoom {
        file: String,
        /// How much a start needs, with the log that has to be applied.
        megabytes: u64,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another program has locked the file.
    #[error(
        "another program has locked {file} for {} s. End it ('fuser {file}' names it), and repeat this",
        BUSY_TIMEOUT.as_secs()
    )]
    Locked {
        file: String,
        #[source]
        source: rusqlite::Error,
    },
    /// SQLite cannot make its files beside the database.
    #[error(
        "the recorder runs as user {user}, which cannot make files in {folder}, where SQLite keeps the log \
         of {file}: it belongs to user {owner} (mode {mode:o}). Give it to user {user} with chown {user} \
         and chmod u+rwx, or run the recorder as user {owner}"
    )]
    FolderDenied {
        file: String,
        folder: String,
        /// The id of the user that the recorder runs as.
        user: u32,
        /// The id of the user that the folder belongs to.
        owner: u32,
        mode: u32,
        #[source]
        source: Box<StoreError>,
    },
    /// The file does not begin as a database does.
    #[error(
        "{file} is not a SQLite database: it is damaged, or another program's. If it is the recorder's: \
         {RESTORE}. If it is a proof bundle, 'envsnap verify FILE' checks it, unpacked if it is compressed. \
         Otherwise name another file"
    )]
    NotADatabase {
        file: String,
        #[source]
        source: rusqlite::Error,
    },
    /// The file is damaged.
    #[error("the snapshot file {file} is damaged: {RESTORE}")]
    Damaged {
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
        file: String,
        /// The process id as ` (process 1)`; empty if unknown.
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
    /// The lock file cannot be used.
    #[error(
        "cannot lock {lock}: the recorder needs a folder that exists and that it may write to, \
         on a disk of this host"
    )]
    Lock {
        lock: String,
        #[source]
        source: std::io::Error,
    },
    /// The file may only be read.
    #[error("cannot write to {file}: give the recorder's user write permission")]
    ReadOnly { file: String },
    /// Another user's program left files beside it that the recorder may not use.
    #[error(
        "cannot use {file} because of what another user's program left beside it: {left}. Stop \
         the programs that have {file} open, and give these files to user {owner}, the owner of \
         {file}, with chown {owner} and chmod u+rw"
    )]
    LeftBeside {
        file: String,
        /// The id of the user that the file belongs to.
        owner: u32,
        /// Each file with its owner and its mode.
        left: String,
        #[source]
        source: Box<StoreError>,
    },
    /// The path does not lead to the open file any more.
    #[error(
        "{file} is no longer the file that the recorder opened: it was moved, replaced or removed. If it \
         was moved, put it back; if it is gone, the recorder saves what it has within a second, and logs \
         where, so do not stop it before"
    )]
    Moved { file: String },
    /// The file or its log was damaged while in use, and the recorder accepts nothing more.
    #[error("{file} cannot be used any more: {reason}")]
    Stopped {
        file: String,
        /// What is wrong, what was saved, and what to do.
        reason: String,
    },
    /// The `-wal` or `-shm` file cannot be opened.
    #[error("cannot open what SQLite keeps beside {file} (-wal, -shm)")]
    OpenLog {
        file: String,
        #[source]
        source: std::io::Error,
    },
    /// The thread that writes cannot be started.
    #[error("cannot start the thread that writes to {file}")]
    Thread {
        file: String,
        #[source]
        source: std::io::Error,
    },
    /// A recorder saved a more complete copy beside the file.
    #[error(
        "{copy} is a complete copy that a recorder saved because {file} or its log was damaged or \
         removed, and {file} may lack the latest reports. Move {file} away together with its -wal \
         and -shm, rename {copy} to {file}, and start again"
    )]
    Rescued { file: String, copy: String },
    /// The saved copy lacks something.
    #[error(
        "the copy {copy}, which a recorder saved because {file} or its log was damaged or \
         removed, is damaged or not complete. Do not replace {file} with it, unless {file} and the \
         backups have less: move it to another folder, keep it, and start again"
    )]
    RescuedDamaged {
        file: String,
        copy: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is not known whether the saved copy is complete.
    #[error(
        "cannot read {copy}, which a recorder saved because {file} or its log was damaged or removed, \
         and which may be the only file with the latest reports. Keep it and {file}, remove what keeps \
         {copy} from being read by the recorder's user, and start again"
    )]
    RescuedUnreadable {
        file: String,
        copy: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file is shorter than it should be.
    #[error(
        "{}{file} is truncated: it has {bytes} bytes and should have at least {expected}: {}",
        missing_log.as_ref().map_or_else(String::new, |log| {
            format!("the log {log} is missing, which may have the rest of the file: ")
        }),
        if missing_log.is_some() {
            "put the log back. If it is gone, restore the file from a backup"
        } else {
            RESTORE
        }
    )]
    Cut {
        file: String,
        /// What it has.
        bytes: u64,
        /// What its pages take.
        expected: u64,
        /// The path of its log, if that is not there and may have the rest.
        missing_log: Option<String>,
    },
    /// The path is not a regular file.
    #[error("{file} is not a regular file: move it away, or name another snapshot file")]
    NotAFile { file: String },
    /// The file is another user's.
    #[error(
        "the recorder runs as user {user}, which cannot read and write {file}: it belongs to user {owner} \
         (mode {mode:o}). Run the recorder as user {owner}, or give the file to user \
         {user} with chown {user} and chmod u+rw"
    )]
    Denied {
        file: String,
        /// The id of the user that the recorder runs as.
        user: u32,
        /// The id of the user that the file belongs to.
        owner: u32,
        mode: u32,
        #[source]
        source: std::io::Error,
    },
    /// The log belongs to another file, or to another state of this one.
    #[error(
        "{log} is not the log of {file} as it is now: one of the two was moved, copied or replaced. {}",
        latest_commit.remedy(file, log, lock)
    )]
    StrayLog {
        file: String,
        log: String,
        lock: String,
        /// Which of the two has the latest acknowledged commit.
        latest_commit: LatestCommit,
    },
    /// It is not known whether the log continues the file.
    #[error(
        "it is not known whether {log} is the log of {file}: {reason}. Keep a copy of both, apply the log \
         with: sqlite3 '{file}' 'PRAGMA wal_checkpoint(TRUNCATE)', and run: envsnap verify --db '{file}'. If \
         {} then, start it again{}. Otherwise the log was another file's: put the copy of {file} back \
         together with its own log, or the newest backup without one",
        match reason {
            UnknownLog::InLog => "that finds no damage",
            UnknownLog::InFile => "that finds nothing but table position",
        },
        match reason {
            UnknownLog::InLog => "",
            UnknownLog::InFile => ", once with --accept-loss, which writes the position again",
        }
    )]
    UnknownLog { reason: UnknownLog, file: String, log: String },
    /// There is a rollback journal, which SQLite would play back into the file.
    #[error(
        "a recorder does not leave {journal}, and SQLite would write what is in it into {file}. Move it \
         away, keep it, and run: envsnap verify --db '{file}'. If that finds damage, another program was \
         interrupted while it wrote to {file}: put the journal back, and undo that with: sqlite3 \
         '{file}' 'PRAGMA integrity_check'"
    )]
    StrayJournal { file: String, journal: String },
    /// The file lacks acknowledged commits.
    #[error(
        "{file} lacks acknowledged reports: its last commit is {found}, and by the note in {lock} commit \
         {noted} was acknowledged. Put the newest file back, with its -wal; or, to go on without them (after \
         a restore), start once with --accept-loss"
    )]
    LacksCommits {
        file: String,
        lock: String,
        /// The number of the last acknowledged commit.
        noted: u64,
        /// The number of the last commit in the file.
        found: u64,
    },
    /// The file is missing, and reports were acknowledged from it.
    #[error(
        "there is nothing in {file}, and by the note in {lock} reports were acknowledged from it. Put the \
         file back; or, to begin with an empty one, start once with --accept-loss"
    )]
    Lost { file: String, lock: String },
    /// A recorder had the file open when it was killed or the file was copied, and the log is not
    /// here.
    #[error(
        "{file} was in use when it was last written, and its log is not beside it, so that the latest \
         reports may be missing. {}",
        other_path.as_ref().map_or_else(
            || "Put its -wal and its .lock back, which belong beside it. If they are gone, or another \
                program has applied the log, start once with --accept-loss, which goes on with what is in \
                the file: a report that only the log had is lost then"
                .to_owned(),
            |path| format!(
                "Its recorder called it {path}: if that is the same file, use that name; if it was moved, \
                 move its -wal and .lock as well; if this is a copy, make it with 'envsnap backup' \
                 instead. To go on without what is missing, start once with --accept-loss"
            )
        )
    )]
    LogIsElsewhere {
        file: String,
        /// The path by which the last recorder opened it, if that is known and another one.
        other_path: Option<String>,
    },
    /// A recorder was killed while the file was in use, and without its log the file is not proven to be
    /// complete.
    #[error(
        "the log {log} is missing, which {file} needs: a recorder was using the file when it was last \
         written, and without its log it is not known to be complete. Put the log back. If it is gone, keep \
         a copy of {file}, and restore the newest backup; or, if the backups have less, start once with \
         --accept-loss, and run 'envsnap verify'"
    )]
    LogIsMissing {
        file: String,
        log: String,
        /// What is missing or wrong.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The row that says which commit the file is at is not there.
    #[error(
        "table position of {file} does not have the one row that a recorder writes, or table session is not \
         there, so that it is not known whether the file has every acknowledged report. No report is in \
         them. Run 'envsnap verify' with a --head from the reporter's log: if it finds only these tables, \
         start once with --accept-loss, which writes them again and loses nothing"
    )]
    NoPosition {
        file: String,
        #[source]
        source: rusqlite::Error,
    },
    /// The size of the file cannot be read.
    #[error("cannot read the size of {file}")]
    Stat {
        file: String,
        #[source]
        source: std::io::Error,
    },
    /// The mark in the lock file cannot be read.
    #[error("cannot read the last acknowledged commit in {lock}")]
    ReadMark {
        lock: String,
        #[source]
        source: std::io::Error,
    },
    /// The mark cannot be written to the lock file.
    #[error(
        "cannot record the last commit beside {file} (.lock), so the write is not acknowledged"
    )]
    WriteMark {
        file: String,
        #[source]
        source: std::io::Error,
    },
    /// The file does not exist.
    #[error("there is no {file}")]
    Missing { file: String },
    /// The file is another program's.
    #[error(
        "{file} is not an envsnap database: it is empty, or a SQLite file of another program. Name the \
         recorder's file"
    )]
    Foreign { file: String },
    /// The file was written before there was a ledger.
    #[error(
        "the snapshot file {file} has a format from before the ledger, which was never released. \
         Start with a new file"
    )]
    BeforeTheLedger { file: String },
    /// The file was written by a newer version of this program.
    #[error(
        "the snapshot file {file} has version {found}, and this program reads versions up to \
         {known}. Use the envsnap that wrote it, or a newer one"
    )]
    Newer {
        file: String,
        found: i64,
        /// The newest version that this program knows.
        known: usize,
    },
    /// The file was written by an older version of this program, and cannot be read as it is.
    #[error(
        "the snapshot file {file} has version {found}, and this program reads version {known}. \
         Upgrade it with: envsnap serve --db '{file}'"
    )]
    Older {
        file: String,
        found: i64,
        /// The version that this program reads.
        known: usize,
    },
    /// An operation failed. Nothing of it is in the file.
    #[error("cannot {operation}")]
    Failed {
        /// The operation and its target.
        operation: String,
        #[source]
        source: rusqlite::Error,
    },
    /// The operation panicked, or the program is shutting down. Nothing of it is in the file.
    #[error("cannot {operation}: it was interrupted: {reason}")]
    Interrupted {
        /// The operation and its target.
        operation: String,
        /// The panic message, or why it was interrupted.
        reason: String,
    },
    /// Too many writes are queued. Nothing of it is in the file.
    #[error(
        "cannot {operation} now: the writes queued before it take about {seconds} s. If this \
         lasts, the disk is too slow, or another program holds the file"
    )]
    Overloaded {
        /// The operation and its target.
        operation: String,
        /// The expected wait in seconds, at least 1.
        seconds: u64,
    },
}

impl StoreError {
    /// The error for a file whose first query failed with `source`.
    pub(super) fn from_open(file: String, source: rusqlite::Error) -> Self {
        match source.sqlite_error() {
            None | Some(ffi::Error { code: ErrorCode::DatabaseCorrupt, .. }) => {
                Self::Damaged { file, source }
            }
            Some(ffi::Error { code: ErrorCode::NotADatabase, .. }) => {
                Self::NotADatabase { file, source }
            }
            Some(ffi::Error { code: ErrorCode::DatabaseBusy, .. }) => Self::Locked { file, source },
            // For the index of the log, and for a file at its size limit, SQLite does not report
            // SQLITE_FULL.
            Some(
                ffi::Error { code: ErrorCode::DiskFull, .. }
                | ffi::Error {
                    extended_code: ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_WRITE,
                    ..
                },
            ) => Self::no_room(file, source),
            Some(_) => Self::Open { file, source },
        }
    }

    /// The error for a failed write to `file` or beside it: `NoRoom` if there is no space, otherwise what
    /// `otherwise` returns.
    pub(super) fn from_write(
        file: String,
        source: io::Error,
        otherwise: impl FnOnce(String, io::Error) -> Self,
    ) -> Self {
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::no_room(file, source)
            }
            _ => otherwise(file, source),
        }
    }

    /// The error for a full disk, with the space that a start needs.
    fn no_room(file: String, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        let megabytes = preflight::bytes_needed_to_start(Path::new(&file)).div_ceil(1 << 20);
        Self::NoRoom { file, megabytes, source: Box::new(source) }
    }

    /// Whether the file lacks acknowledged commits.
    pub(super) fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::LacksCommits { .. }
                | Self::Lost { .. }
                | Self::LogIsElsewhere { .. }
                | Self::LogIsMissing { .. }
                | Self::NoPosition { .. }
        )
    }
}

/// Why it is not known whether a log is that of the database file beside it: what lacks the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownLog {
    /// The log has no commit of a recorder, as after a commit of another program.
    #[error("no recorder wrote what is in the log")]
    InLog,
    /// The file has no position, as after another program removed it.
    #[error("table position of the file has no row that a recorder wrote")]
    InFile,
}

/// Whether the last acknowledged commit is in a database file, or in a log beside it that is not its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatestCommit {
    /// The log alone.
    Log,
    /// The file alone.
    File,
    /// Not known.
    Unknown,
}

impl LatestCommit {
    /// What the operator has to do with a file and a log that is not its log, so that no acknowledged commit is
    /// lost.
    fn remedy(self, file: &str, log: &str, lock: &str) -> String {
        match self {
            Self::Log => format!(
                "By the note in {lock}, the log has the last acknowledged commit: keep it, and put the file \
                 back that it was written for. If that is gone or damaged, {RESTORE}"
            ),
            Self::File => format!(
                "By the note in {lock}, {file} has the last acknowledged commit: rename {log}, start again, \
                 and keep the log until 'envsnap verify --db {file}' finds no damage"
            ),
            Self::Unknown => format!(
                "Nothing here says which of the two has the last acknowledged commit: keep both, and put \
                 back the file that {log} was written for, or the log of {file}, or the newest backup, \
                 without a log"
            ),
        }
    }
}

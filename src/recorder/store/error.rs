//! What can go wrong with the file.

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
    /// The file is another program's.
    #[error("{file} is a SQLite file of another program: name a file that is not there yet")]
    Foreign {
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
    #[error("cannot {operation}: it was interrupted")]
    Interrupted {
        /// What was asked, and of what.
        operation: String,
        /// How its thread ended.
        #[source]
        source: tokio::task::JoinError,
    },
}

//! A snapshot server on one file: the API, the page, and the ledger behind them.
//!
//! A request goes one way: `http` or `web` lets it in, reads it and asks the [`store`](store::Store)
//! for one use case, which is one transaction; what comes back is written in the API's form, or shown
//! on a page. [`domain`] is what it is about, and knows nothing of HTTP and SQL.

#[cfg(feature = "command")]
pub mod command;
pub mod domain;
mod http;
mod large_work;
mod server;
pub mod store;
pub mod text;
mod web;

pub use domain::{Clock, ClockError};
pub use http::{
    Access, AccessError, LogWriter, MetricsError, TokenLineProblem, dropped_log_lines,
    raise_open_files_limit,
};
pub use server::{LocalRecorder, serve};
pub use store::sqlite::{
    AttachmentCheck, BackupError, BackupSummary, LatestCommit, LedgerSummary, SqliteStore,
    StoreError, Verified, VerifyError, backup, verify,
};

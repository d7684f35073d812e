//! The API over HTTP.

pub(crate) mod access;
pub(crate) mod error;
pub(crate) mod handlers;
mod log_writer;
pub(crate) mod mark_counts;
pub(crate) mod metrics;
mod open_files;
pub(crate) mod request;
pub(crate) mod request_log;
pub(crate) mod responses;
pub(crate) mod serving;
pub(crate) mod views;

pub use access::{Access, AccessError, TokenLineProblem};
pub use log_writer::{LogWriter, dropped_log_lines};
pub use metrics::MetricsError;
pub use open_files::raise_open_files_limit;

//! The recorder, over HTTP.

mod access;
mod clock;
mod comparison;
pub(crate) mod crash;
mod environments;
mod events;
mod file;
mod histories;
mod history;
mod hostile;
mod ledger;
mod limits;
mod load;
mod lost_log;
mod lost_reports;
mod naming;
mod operations;
mod overload;
mod page;
mod questions;
mod reports;
mod schema;
pub(crate) mod second_program;
pub(crate) mod server;
mod snapshots;
mod stray_files;
mod truth;

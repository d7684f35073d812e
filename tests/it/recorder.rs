//! The recorder, over HTTP.

mod access;
mod chain;
mod crash;
mod environments;
mod file;
mod hostile;
mod operations;
mod reports;
pub(crate) mod server;
mod snapshots;
mod truth;

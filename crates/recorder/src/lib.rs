//! What a snapshot server keeps, on one file.
//!
//! `domain` is what it is about: the entries of a ledger, what a report changes, which times are
//! covered; `store` keeps it. Neither knows anything of HTTP.

pub mod domain;
pub mod store;

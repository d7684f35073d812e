//! What runs, and how the snapshot server's API writes it: values in, values out.
//!
//! Nothing here is asynchronous, reads a clock or an environment variable, or does I/O.

#![warn(missing_docs)]

pub mod duration;
mod error_chain;
pub mod expression;
mod head;
mod plausible_times;
pub mod provenance;
pub mod snapshot;
pub mod time;
pub mod wire;

pub use error_chain::error_chain;
pub use head::{
    EntryHash, Head, HeadSignature, ParseEntryHashError, ParseLedgerHeadError, SignedHead,
};
pub use plausible_times::plausible_times;

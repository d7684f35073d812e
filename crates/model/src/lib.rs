//! What runs, and how the snapshot server's API writes it: values in, values out.
//!
//! Nothing here is asynchronous, reads a clock or an environment variable, or does I/O.

pub mod expression;
mod plausible_times;
pub mod snapshot;
pub mod wire;

pub use plausible_times::plausible_times;

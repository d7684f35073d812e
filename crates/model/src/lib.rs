//! What runs, and how the snapshot server's API writes it: values in, values out.
//!
//! Nothing here is asynchronous, reads a clock or an environment variable, or does I/O.

pub mod snapshot;
pub mod wire;

//! The snapshot server's API: its documents, as the client and the recorder write and read them,
//! and the client.

mod client;
pub mod wire;

pub use client::{ApiError, Client, EnvironmentClient, Latest, NoClient, Reported, is_loopback};

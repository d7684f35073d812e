//! Records exactly which software runs in your AWS ECS environments, by fingerprint.

pub mod api;
pub mod config;
pub mod ecs;
mod error_chain;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod report;
pub mod snapshot;
pub mod token;

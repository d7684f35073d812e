//! Records exactly which software runs in your AWS ECS environments, by fingerprint.

pub mod api;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod ecs;
mod error_chain;
#[cfg(feature = "lambda")]
pub mod lambda;
#[cfg(feature = "recorder")]
pub mod recorder;
pub mod report;
pub mod snapshot;
#[cfg(feature = "cli")]
pub mod standin;
pub mod token;

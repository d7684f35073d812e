//! Records exactly which software runs in your AWS ECS environments, by fingerprint.

pub mod api;
pub mod config;
pub mod ecs;
mod error_chain;
pub mod report;
pub mod snapshot;
pub mod token;

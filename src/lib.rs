//! Records exactly which software runs in your AWS ECS environments, by fingerprint.

pub mod api;
pub mod ecs;
mod error_chain;
pub mod snapshot;
pub mod token;

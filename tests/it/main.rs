//! What the program promises, seen from outside.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auditor;
#[cfg(feature = "lambda")]
mod cases;
mod check;
mod check_fleet;
mod client;
mod command_line;
mod demo;
mod dependencies;
mod deploy;
mod docs;
mod ecs_answers;
mod environments;
mod events;
mod fingerprint;
mod frozen;
#[cfg(feature = "lambda")]
mod function;
mod harness;
mod histories;
mod memory;
mod origin;
mod overlap;
mod parameters;
mod provenance;
mod proxy;
mod ps_watch;
mod questions;
mod recorder;
mod registry;
mod report;
mod roles;
#[cfg(feature = "lambda")]
mod runtime_api;
mod scripted;
mod seeds;
mod server_answers;
mod server_proxy;
mod stopped_clock;
mod token;
#[cfg(feature = "lambda")]
mod token_search;

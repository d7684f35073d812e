//! What the program promises, seen from outside.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod command_line;
mod environments;
mod events;
#[cfg(feature = "lambda")]
mod function;
mod harness;
mod histories;
mod memory;
mod recorder;
mod report;
mod roles;
#[cfg(feature = "lambda")]
mod runtime_api;
mod scripted;
mod token;

//! Integration tests against third-party programs: an AWS emulator, Lambda's runtime interface emulator,
//! the `kosli` client, a browser, and the linters of AWS templates.
//!
//! `tests/peers/setup` installs these programs.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;
mod cases;
mod client;
mod clock;
mod deploy;
mod emulator;
mod fake_server;
mod fingerprint;
mod fleet;
mod function_binary;
mod history;
mod page;
mod programs;
mod provenance;
mod questions;
mod recorder;
mod release;
mod replay;
mod reporter_comparison;
mod reporters;
mod rogue;
mod runtime;
mod runtime_emulator;
mod schedule;
mod signatures;
mod template;
mod tls;
mod tutorial;
mod walkthrough;
mod webhooks;

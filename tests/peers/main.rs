//! What the program promises, beside programs that were written elsewhere: an AWS emulator, Lambda's
//! own runtime emulator, the server's own client, a browser, and the tools that judge a template.
//!
//! `tests/peers/setup` installs them.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;
mod built;
mod cases;
mod client;
mod clock;
mod deploy;
mod emulator;
mod fingerprint;
mod fleet;
mod history;
mod incumbent;
mod page;
mod programs;
mod provenance;
mod questions;
mod receiver;
mod recorder;
mod release;
mod reporters;
mod rogue;
mod runtime;
mod runtime_emulator;
mod schedule;
mod signatures;
mod template;
mod tls;
mod tutorial;
mod walk;
mod webhooks;

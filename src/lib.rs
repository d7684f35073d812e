//! Records exactly which software runs in your AWS ECS environments, by fingerprint.
//!
//! One run goes one way: an event becomes a [`Trigger`](report::Trigger); a
//! [`Reporter`](report::Reporter) reads what runs ([`ecs`]), makes a [`Snapshot`](snapshot::Snapshot)
//! of it, compares that with the server's latest and posts it if it differs ([`api`]); what came of
//! it is an [`Outcome`](report::Outcome).
//!
//! The binary `reporter` is that as a Lambda function (feature `lambda`); the binary `envsnap` is
//! the command line (feature `cli`), with an embedded snapshot server (feature `recorder`).
//! [`config`] has the table of the environment variables.

pub mod api;
pub mod aws;
#[cfg(feature = "cli")]
pub mod cli;
mod clock_skew;
pub mod config;
pub mod ecs;
mod endpoint;
mod excerpt;
#[cfg(feature = "cli")]
pub mod fingerprint;
#[cfg(feature = "lambda")]
pub mod lambda;
#[cfg(any(feature = "lambda", feature = "cli"))]
mod logging;
mod redact;
#[cfg(feature = "cli")]
pub mod registry;
mod renewable;
pub mod report;
mod retry;
mod tls;
pub mod token;

#[cfg(feature = "cli")]
pub use envsnap_ecs_standin as standin;
pub use envsnap_model::snapshot;
#[cfg(feature = "recorder")]
pub use envsnap_recorder as recorder;

//! Messages to other programs about what changes.
//!
//! The ledger is the queue: for each webhook and organization the file holds the number of the last
//! entry whose messages were delivered. A message is delivered at least once and in order; one that is
//! repeated, after a restart or a lost response, has the same identifier.

mod config;
mod delivery;
mod message;
mod signature;

pub use config::{ParseWebhookError, Webhook};
pub use delivery::{Deliveries, DeliveryError};
pub use signature::{Secret, SecretError};

//! Which events are logged.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// A filter that passes events of this program and of the Lambda runtime from `level` up, and no
/// others: events of the AWS SDK and the HTTP clients contain complete requests and responses, which
/// may hold a secret, and their errors are part of our own.
///
/// The Lambda runtime's events about returned errors, in Rust's debug form, and about panics are left
/// out: this program logs both itself, in words.
pub(crate) fn own_targets(level: LevelFilter) -> Targets {
    Targets::new()
        .with_target("envsnap", level)
        .with_target("lambda_runtime", level)
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF)
}

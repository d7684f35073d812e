//! Which events are logged.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// Events of this program and of the Lambda runtime from `level` up. Events of the AWS SDK and the
/// HTTP clients contain complete requests and responses, which may hold a secret; their errors are
/// part of our own.
///
/// The Lambda runtime writes each error that the function returns in Rust's debug form, and each
/// panic. Both are in the log already, in words.
pub(crate) fn own_targets(level: LevelFilter) -> Targets {
    Targets::new()
        .with_target("envsnap", level)
        .with_target("lambda_runtime", level)
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF)
}

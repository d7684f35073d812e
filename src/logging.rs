//! Which events reach the log.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// Events of this program and of the Lambda runtime from `level` up, and nobody else's: what the
/// AWS SDK and the HTTP clients have to say holds whole requests and answers, and so may hold a
/// secret. Whatever matters of it is in an error.
///
/// The Lambda runtime writes each error that the function returns in Rust's debug form, and each
/// panic. Both are in the log already, in words.
pub(crate) fn own_targets(level: LevelFilter) -> Targets {
    Targets::new()
        .with_target("envsnap", level)
        .with_target("lambda_runtime", level)
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF)
}

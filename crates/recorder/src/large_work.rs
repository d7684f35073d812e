//! Work that takes tens of megabytes, on two threads of its own.
//!
//! The allocator of glibc keeps what a thread has freed for the threads of the same arena, of which
//! there may be eight for each core: on tokio's pool, where each such work would meet another thread,
//! the recorder held twice the memory that its limits allow.

use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinError, spawn_blocking};

/// As much of it goes on at once.
const THREADS: usize = 2;

/// Its threads are all that is used of this runtime. It is never dropped, and so never waited for.
static POOL: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let pool = Builder::new_current_thread()
        .max_blocking_threads(THREADS)
        .thread_name("large work")
        .build();
    pool.inspect_err(|error| {
        tracing::warn!(%error, "large requests share the threads of all others");
    })
    .ok()
});

/// Does `work`: on one of those threads, when it is free, if it `is_large`.
///
/// # Errors
/// It panicked, or the process is ending.
pub(crate) async fn run<T: Send + 'static>(
    is_large: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    match &*POOL {
        Some(pool) if is_large => pool.spawn_blocking(work).await,
        _ => spawn_blocking(work).await,
    }
}

//! A pool of two threads for work that takes tens of megabytes.
//!
//! glibc's allocator keeps freed memory per arena, with up to eight arenas per core: on tokio's
//! blocking pool, where such work moves from thread to thread, the recorder held twice the memory
//! that its limits allow.

use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinError, spawn_blocking};

/// How many pieces of large work run at a time.
const THREADS: usize = 2;

/// The pool for large work; `None` if it cannot be created. Only the blocking threads of this runtime are
/// used. It is never dropped, so that nothing waits for it at exit.
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

/// Runs `work` on a blocking thread: on one of the pool for large work if it `is_large`.
///
/// # Errors
/// `work` panicked, or the process is shutting down.
pub(crate) async fn run<T: Send + 'static>(
    is_large: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    match &*POOL {
        Some(pool) if is_large => pool.spawn_blocking(work).await,
        _ => spawn_blocking(work).await,
    }
}

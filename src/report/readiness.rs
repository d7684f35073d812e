//! When the environments of a run begin to read ECS.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::time::{Instant, timeout_at};

/// How long the environments of a run wait for each other: more than one attempt at a request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Environments share readings, and a report must not overtake a newer one: none is read before each
/// knows the index of its latest snapshot, unless one takes too long.
pub(super) struct Readiness {
    barrier: Barrier,
    timeout_at: Instant,
    has_begun: AtomicBool,
}

impl Readiness {
    /// Of a run of `count` environments, which starts now.
    pub(super) fn new(count: usize) -> Self {
        Self {
            barrier: Barrier::new(count.max(1)),
            timeout_at: Instant::now() + TIMEOUT,
            has_begun: AtomicBool::new(false),
        }
    }

    /// Waits for the other environments, until ten seconds after the start of the run. `false` if they
    /// have begun to read without this one, which then needs a reading of its own.
    pub(super) async fn wait(&self) -> bool {
        if self.has_begun.load(Ordering::Relaxed) {
            return false;
        }
        let _others_are_late = timeout_at(self.timeout_at, self.barrier.wait()).await;
        self.has_begun.store(true, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn environments_wait_ten_seconds_for_a_late_one_which_reads_by_itself() {
        let readiness = Readiness::new(3);
        let start = Instant::now();
        let early = async || (readiness.wait().await, start.elapsed().as_secs());
        let late = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            (readiness.wait().await, start.elapsed().as_secs())
        };
        let all = futures_util::join!(early(), early(), late);
        assert_eq!(all, ((true, 10), (true, 10), (false, 30)));
    }

    #[tokio::test(start_paused = true)]
    async fn environments_begin_as_soon_as_the_last_one_is_ready() {
        let readiness = Readiness::new(2);
        let start = Instant::now();
        let last = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            readiness.wait().await
        };
        assert_eq!(futures_util::join!(readiness.wait(), last), (true, true));
        assert_eq!(start.elapsed().as_secs(), 3);
    }
}

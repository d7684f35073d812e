//! A limit on the rate of calls to ECS.
//!
//! Everything in an account and region that reads ECS drinks from the same buckets, deployments
//! among them: a reader that is only stopped by being throttled takes the water from the others.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Calls of a burst that are not used. The quota is taken when a call arrives, and the first calls
/// take longer to arrive than later ones, which find open connections: with all of the quota, later
/// ones would be early by that time. Three calls are 150 ms.
const RESERVED_CALLS: f64 = 3.0;

/// The share of an account's documented quotas in a region that may be used. Clones share it.
#[derive(Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "they are the quotas' own names")]
pub struct Quota {
    /// ListClusters, DescribeClusters.
    pub(super) cluster_reads: Arc<Bucket>,
    /// ListTasks, DescribeTasks.
    pub(super) cluster_resource_reads: Arc<Bucket>,
    /// ListServices.
    pub(super) service_reads: Arc<Bucket>,
}

impl Quota {
    /// Full buckets of this share of the documented quotas, above 0 and at most 1.
    pub fn with_share(share: f64) -> Self {
        let bucket = |burst: f64, per_second: f64| {
            Arc::new(Bucket::full((burst - RESERVED_CALLS) * share, per_second * share))
        };
        Self {
            cluster_reads: bucket(50.0, 20.0),
            cluster_resource_reads: bucket(100.0, 20.0),
            service_reads: bucket(100.0, 20.0),
        }
    }
}

/// A token bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    burst: f64,
    per_second: f64,
    level: Mutex<Level>,
}

/// The tokens in a bucket at a time, on both clocks.
#[derive(Debug)]
struct Level {
    /// Below zero while calls wait.
    tokens: f64,
    at: Instant,
    /// The same time on the wall clock: a monotonic clock may stop while the process is
    /// frozen.
    wall_clock: SystemTime,
}

impl Bucket {
    fn full(burst: f64, per_second: f64) -> Self {
        // One call at a time has to be possible, however small the share.
        let burst = burst.max(1.0);
        let level = Level { tokens: burst, at: Instant::now(), wall_clock: SystemTime::now() };
        let level = Mutex::new(level);
        Self { burst, per_second, level }
    }

    /// Waits until one more call is allowed. Calls are served in the order in which they started to
    /// wait.
    pub(super) async fn take(&self) {
        let wait = {
            let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
            level.refill(self, Instant::now(), SystemTime::now());
            level.tokens -= 1.0;
            Duration::from_secs_f64((-level.tokens).max(0.0) / self.per_second)
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

impl Level {
    /// Adds the tokens for the time that has passed: the longer one of the two clocks.
    fn refill(&mut self, bucket: &Bucket, now: Instant, wall_clock: SystemTime) {
        let on_wall_clock = wall_clock.duration_since(self.wall_clock).unwrap_or_default();
        let passed = now.duration_since(self.at).max(on_wall_clock);
        let refilled = passed.as_secs_f64() * bucket.per_second;
        *self = Self { tokens: (self.tokens + refilled).min(bucket.burst), at: now, wall_clock };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds that this many calls take, one after the other.
    async fn seconds_for(calls: u32, bucket: &Bucket) -> f64 {
        let begun = Instant::now();
        for _ in 0..calls {
            bucket.take().await;
        }
        begun.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn calls_within_the_burst_do_not_wait_and_calls_beyond_it_wait_for_the_rate() {
        let bucket = Bucket::full(50.0, 10.0);
        assert!(seconds_for(50, &bucket).await < 0.01);
        let beyond = seconds_for(100, &bucket).await;
        assert!((9.9..10.2).contains(&beyond), "{beyond}");
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(seconds_for(50, &bucket).await < 0.01, "it has filled up again");
        assert!(seconds_for(1, &bucket).await > 0.0, "and not beyond its burst");
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_calls_together_do_not_exceed_the_rate() {
        let bucket = Bucket::full(1.0, 10.0);
        let begun = Instant::now();
        futures_util::future::join_all((0..21).map(|_| bucket.take())).await;
        let took = begun.elapsed().as_secs_f64();
        assert!((1.99..2.1).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn bucket_is_refilled_by_the_larger_of_monotonic_and_wall_clock_time() {
        let bucket = Bucket::full(10.0, 1.0);
        let (now, wall_clock) = (Instant::now(), SystemTime::now());
        let second = Duration::from_secs(1);
        for (monotonic, wall, tokens) in [
            (second, wall_clock + 4 * second, 4.0),
            (4 * second, wall_clock + second, 4.0),
            (4 * second, wall_clock - second, 4.0),
            (second, wall_clock + 60 * second, 10.0),
        ] {
            let mut level = Level { tokens: 0.0, at: now, wall_clock };
            level.refill(&bucket, now + monotonic, wall);
            assert!((level.tokens - tokens).abs() < 1e-9, "{level:?}, {tokens}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn quota_share_too_small_for_one_call_still_allows_one_call_at_once() {
        let quota = Quota::with_share(0.001);
        assert!(seconds_for(1, &quota.cluster_reads).await < 0.01);
    }
}

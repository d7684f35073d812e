//! ECS's request quotas, as token buckets.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::operation::Operation;

/// A request quota of ECS, which several operations share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quota {
    /// `ListClusters` and `DescribeClusters`.
    ClusterReads,
    /// `ListTasks` and `DescribeTasks`.
    ClusterResourceReads,
    /// `ListServices` and `DescribeServices`.
    ServiceReads,
}

impl Quota {
    pub fn from_operation(operation: Operation) -> Self {
        match operation {
            Operation::ListClusters | Operation::DescribeClusters => Self::ClusterReads,
            Operation::ListTasks | Operation::DescribeTasks => Self::ClusterResourceReads,
            Operation::ListServices | Operation::DescribeServices => Self::ServiceReads,
        }
    }
}

/// The quotas, as token buckets. A call whose bucket is empty fails with `ThrottlingException`.
///
/// The buckets refill by tokio's clock, so that a test with paused time decides how fast.
#[derive(Debug, Clone, Default)]
pub struct Quotas {
    buckets: BTreeMap<Quota, TokenBucket>,
}

impl Quotas {
    /// The quotas that AWS documents for every account and region.
    pub fn documented() -> Self {
        Self::default()
            .with_bucket(Quota::ClusterReads, 50, 20)
            .with_bucket(Quota::ClusterResourceReads, 100, 20)
            .with_bucket(Quota::ServiceReads, 100, 20)
    }

    /// Adds a bucket of `burst` calls, which is full now and refilled by `per_second` calls per
    /// second. Operations without a bucket are not throttled.
    #[must_use]
    pub fn with_bucket(mut self, quota: Quota, burst: u32, per_second: u32) -> Self {
        let bucket = TokenBucket {
            burst: f64::from(burst),
            per_second: f64::from(per_second),
            level: f64::from(burst),
            filled: Instant::now(),
        };
        self.buckets.insert(quota, bucket);
        self
    }

    /// Takes a token from the bucket of `operation`. `false` if it is empty, so that the call is
    /// throttled.
    pub(super) fn take(&mut self, operation: Operation) -> bool {
        match self.buckets.get_mut(&Quota::from_operation(operation)) {
            Some(bucket) => bucket.take(Instant::now()),
            None => true,
        }
    }
}

#[derive(Debug, Clone)]
struct TokenBucket {
    burst: f64,
    per_second: f64,
    level: f64,
    filled: Instant,
}

impl TokenBucket {
    /// Refills the bucket up to `now`, and takes a token. `false` if it is empty.
    fn take(&mut self, now: Instant) -> bool {
        let refill = now.duration_since(self.filled).as_secs_f64() * self.per_second;
        self.level = (self.level + refill).min(self.burst);
        self.filled = now;
        if self.level < 1.0 {
            return false;
        }
        self.level -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn count_granted(quotas: &mut Quotas, operation: Operation, calls: usize) -> usize {
        (0..calls).filter(|_| quotas.take(operation)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn burst_is_granted_at_once_and_later_calls_at_the_sustained_rate() {
        let mut quotas = Quotas::documented();
        assert_eq!(count_granted(&mut quotas, Operation::ListClusters, 200), 50);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(count_granted(&mut quotas, Operation::DescribeClusters, 200), 20);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(count_granted(&mut quotas, Operation::ListClusters, 200), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn listing_and_describing_tasks_share_a_bucket_separate_from_clusters_and_services() {
        let mut quotas = Quotas::documented();
        assert_eq!(count_granted(&mut quotas, Operation::ListTasks, 60), 60);
        assert_eq!(count_granted(&mut quotas, Operation::DescribeTasks, 60), 40);
        assert_eq!(count_granted(&mut quotas, Operation::ListClusters, 10), 10);
        assert_eq!(count_granted(&mut quotas, Operation::ListServices, 10), 10);
    }
}

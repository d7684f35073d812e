//! One call, and the pages of a listing: within the quota, and tried again where that may help.

use std::collections::HashSet;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::time::Instant;

use super::Reading;
use crate::ecs::quota::Bucket;
use crate::ecs::{CallError, EcsError, Page, Progress};

/// Waits of about 0.4, 0.8, 1.6, 3.2 and 6.4 seconds, each longer by up to itself: whoever was
/// throttled together does not come back together.
const FIRST_WAIT: Duration = Duration::from_millis(400);
const RETRIES: usize = 5;

/// What is left before the deadline to say what went wrong.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// No listing of ECS comes near this: it ends one whose `nextToken` never does.
const MOST_PAGES: usize = 2_000;

impl<E> Reading<'_, E> {
    /// What ECS answers to a call. No attempt begins or goes on beyond the deadline.
    pub(super) async fn call<T, F>(
        &self,
        operation: &str,
        bucket: &Bucket,
        progress: &Progress,
        call: impl Fn() -> F,
    ) -> Result<T, EcsError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let policy = ExponentialBuilder::new().with_min_delay(FIRST_WAIT).with_max_times(RETRIES);
        let mut waits = policy.with_jitter().build();
        let mut reconnected = false;
        loop {
            bucket.take().await;
            let answer = {
                // Nobody closes it: an error would mean no limit.
                let _one_of_them = self.reader.calls_at_once.acquire().await;
                Progress::count(&progress.calls, 1);
                self.before_the_deadline(call()).await
            };
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let wait = match error {
                // A connection may have died while the process was frozen. Another one is worth a
                // try at once.
                CallError::Disconnected(_) if !reconnected => {
                    reconnected = true;
                    Some(Duration::ZERO)
                }
                CallError::Disconnected(_)
                | CallError::Throttled(_)
                | CallError::Unavailable(_) => waits.next(),
                _ => None,
            };
            match wait.filter(|wait| self.has_time_for(*wait)) {
                Some(wait) => {
                    tracing::info!(operation, %error, wait_seconds = wait.as_secs_f64(), "asking ECS again");
                    if !wait.is_zero() {
                        tokio::time::sleep(wait).await;
                    }
                }
                None => {
                    return Err(EcsError::Call { operation: operation.to_owned(), source: error });
                }
            }
        }
    }

    async fn before_the_deadline<T>(
        &self,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let Some(at) = self.give_up_at.and_then(|at| at.checked_sub(LAST_WORDS)) else {
            return call.await;
        };
        tokio::time::timeout_at(at, call).await.unwrap_or(Err(CallError::OutOfTime))
    }

    fn has_time_for(&self, wait: Duration) -> bool {
        self.give_up_at.is_none_or(|at| Instant::now() + wait + 2 * LAST_WORDS < at)
    }

    /// All that a listing has to say, each ARN once, in the order of the listing.
    pub(super) async fn all_pages<F>(
        &self,
        operation: &str,
        bucket: &Bucket,
        progress: &Progress,
        page: impl Fn(Option<String>) -> F,
    ) -> Result<Vec<String>, EcsError>
    where
        F: Future<Output = Result<Page, CallError>>,
    {
        let mut arns = Vec::new();
        let mut seen = HashSet::new();
        let mut tokens = HashSet::new();
        let mut next_token: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let Page { arns: listed, next_token: next } =
                self.call(operation, bucket, progress, || page(next_token.clone())).await?;
            arns.extend(listed.into_iter().filter(|arn| seen.insert(arn.clone())));
            match next.filter(|token| !token.is_empty()) {
                None => return Ok(arns),
                Some(token) if !tokens.insert(token.clone()) => break,
                Some(token) => next_token = Some(token),
            }
        }
        let source = CallError::Malformed("its pages never end".to_owned());
        Err(EcsError::Call { operation: operation.to_owned(), source })
    }
}

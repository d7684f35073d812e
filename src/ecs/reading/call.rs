//! One call, and the pages of a listing: within the quota, and with retries.

use std::collections::HashSet;
use std::mem::replace;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use super::Reading;
use super::cluster::CONSISTENCY_WAITS;
use crate::ecs::quota::Bucket;
use crate::ecs::{CallError, EcsError, Page, Progress};
use crate::retry::{DEADLINE_MARGIN, has_time_for, retry};

/// Waits of about 0.4, 0.8, 1.6, 3.2 and 6.4 seconds, each longer by up to itself, so that calls
/// that were throttled together are not repeated together.
const FIRST_RETRY_WAIT: Duration = Duration::from_millis(400);
/// Of a call that is throttled, disconnected or not answered.
const MAX_RETRIES: usize = 5;

/// Above any listing of ECS: they end one whose `nextToken` never ends before memory is full.
const MAX_PAGES: usize = 2_000;
/// Of the ARNs and tokens of one listing together.
const MAX_LISTING_BYTES: usize = 32 << 20;

/// Whether and when a call is repeated after an error: how often depends on the kind of error.
struct RetryPolicy {
    backoff: ExponentialBackoff,
    inconsistency_waits: std::array::IntoIter<Duration, { CONSISTENCY_WAITS.len() }>,
    has_reconnected: bool,
    has_signed_again: bool,
    was_malformed: bool,
}

impl RetryPolicy {
    fn new() -> Self {
        let backoff =
            ExponentialBuilder::new().with_min_delay(FIRST_RETRY_WAIT).with_max_times(MAX_RETRIES);
        Self {
            backoff: backoff.with_jitter().build(),
            inconsistency_waits: CONSISTENCY_WAITS.into_iter(),
            has_reconnected: false,
            has_signed_again: false,
            was_malformed: false,
        }
    }

    /// How long to wait before the next attempt; `None` if another one would not help, or none is left.
    fn wait_after(&mut self, error: &CallError) -> Option<Duration> {
        match error {
            // A connection may have died while the process was frozen. Another one is worth a try
            // at once.
            CallError::Disconnected(_) if !replace(&mut self.has_reconnected, true) => {
                Some(Duration::ZERO)
            }
            CallError::Disconnected(_) | CallError::Throttled(_) | CallError::Unavailable(_) => {
                self.backoff.next()
            }
            // The process may have been frozen after it signed the request.
            CallError::ClockSkew(_) if !replace(&mut self.has_signed_again, true) => {
                Some(Duration::ZERO)
            }
            CallError::Incomplete(_) => self.inconsistency_waits.next(),
            CallError::Malformed(_) if !replace(&mut self.was_malformed, true) => {
                self.inconsistency_waits.next()
            }
            _ => None,
        }
    }
}

impl<E> Reading<'_, E> {
    /// Calls ECS, with retries. No attempt starts or is awaited after the deadline.
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
        let mut policy = RetryPolicy::new();
        let attempt = async |previous: Option<&CallError>| {
            let permit = async {
                bucket.take().await;
                // The semaphore is never closed: an error would mean no limit.
                Ok(self.reader.call_permits.acquire().await)
            };
            // Before the first response of ECS, the deadline of the run names the step that took
            // the time.
            let permit = match previous {
                Some(_) => self.before_the_deadline(permit).await,
                None => permit.await,
            };
            let answer = match permit {
                Ok(_permit) => {
                    Progress::increment(&progress.calls, 1);
                    self.before_the_deadline(call()).await
                }
                Err(error) => Err(error),
            };
            // The earlier error says more, and there is no time for another attempt.
            answer.map_err(|error| match (error, previous) {
                (CallError::OutOfTime, Some(previous)) => previous.clone(),
                (error, _) => error,
            })
        };
        let wait_after = |error: &CallError| policy.wait_after(error);
        let log = |error: &CallError, wait: Duration| {
            tracing::info!(operation, %error, wait_seconds = wait.as_secs_f64(), "calling ECS again");
        };
        let answer = retry(self.give_up_at, attempt, wait_after, log).await;
        answer.map_err(|source| EcsError::Call { operation: operation.to_owned(), source })
    }

    /// [`CallError::OutOfTime`] if the deadline comes before the call ends.
    async fn before_the_deadline<T>(
        &self,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let Some(at) = self.give_up_at.and_then(|at| at.checked_sub(DEADLINE_MARGIN)) else {
            return call.await;
        };
        tokio::time::timeout_at(at, call).await.unwrap_or(Err(CallError::OutOfTime))
    }

    pub(super) fn has_time_for(&self, wait: Duration) -> bool {
        has_time_for(wait, self.give_up_at)
    }

    /// All items of a listing, each ARN once, in the order of the listing.
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
        let mut bytes = 0;
        for _ in 0..MAX_PAGES {
            let Page { arns: listed, next_token: next } =
                self.call(operation, bucket, progress, || page(next_token.clone())).await?;
            let texts = listed.iter().chain(&next);
            bytes += texts.map(String::len).sum::<usize>();
            if bytes > MAX_LISTING_BYTES {
                break;
            }
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::future::pending;
    use std::time::SystemTime;

    use tokio::time::Instant;

    use super::*;
    use crate::clock_skew::ClockSkew;
    use crate::ecs::{Quota, Reader};

    const HOUR: Duration = Duration::from_hours(1);

    /// The result of a call that fails with these errors, and then hangs or succeeds; the number of
    /// attempts, and the time they took.
    async fn call_that_fails_with(
        errors: impl IntoIterator<Item = CallError>,
        then: Option<()>,
        deadline: Option<Duration>,
    ) -> (Result<(), CallError>, u32, Duration) {
        let quota = Quota::with_share(1.0);
        let reader = Reader::new((), quota.clone(), 1);
        let begun = Instant::now();
        let reading = reader.begin(deadline.map(|deadline| begun + deadline));
        let progress = Progress::default();
        let errors = RefCell::new(VecDeque::from_iter(errors));
        let answer = reading.call("describe it", &quota.cluster_reads, &progress, async || {
            let next = errors.borrow_mut().pop_front();
            match (next, then) {
                (Some(error), _) => Err(error),
                (None, Some(success)) => Ok(success),
                (None, None) => pending().await,
            }
        });
        let answer = answer.await.map_err(|error| match error {
            EcsError::Call { source, .. } => source,
            error => panic!("{error}"),
        });
        (answer, progress.calls(), begun.elapsed())
    }

    fn throttled() -> CallError {
        CallError::Throttled("ThrottlingException: Rate exceeded".to_owned())
    }

    fn disconnected() -> CallError {
        CallError::Disconnected("connection reset".to_owned())
    }

    fn unavailable() -> CallError {
        CallError::Unavailable("ServerException".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn transient_errors_are_retried_after_growing_waits_and_every_attempt_is_counted() {
        for (errors, least, most) in [
            (vec![throttled(), throttled()], 1_200, 2_400),
            (vec![unavailable(), throttled(), unavailable()], 2_800, 5_600),
            (vec![disconnected()], 0, 0),
            (vec![disconnected(), disconnected()], 400, 800),
            (vec![throttled(), disconnected(), throttled()], 1_200, 2_400),
        ] {
            let attempts = u32::try_from(errors.len()).unwrap() + 1;
            let (answer, calls, took) = call_that_fails_with(errors, Some(()), Some(HOUR)).await;
            assert!(answer.is_ok());
            assert_eq!(calls, attempts);
            // A timer ends with the next millisecond.
            let milliseconds = least..=most + 3;
            assert!(milliseconds.contains(&took.as_millis()), "{milliseconds:?} {took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn permanent_errors_are_not_retried() {
        let text = String::new;
        for error in [
            CallError::ClusterNotFound,
            CallError::AccessDenied(text()),
            CallError::BadCredentials(text()),
            CallError::RoleNotAssumed { role: text(), reason: text() },
            CallError::Rejected(text()),
        ] {
            let (answer, calls, took) =
                call_that_fails_with([error.clone()], Some(()), Some(HOUR)).await;
            assert_eq!(format!("{:?}", answer.unwrap_err()), format!("{error:?}"));
            assert_eq!((calls, took), (1, Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn clock_skew_and_malformed_response_are_retried_once_and_empty_response_five_times() {
        let clock = ClockSkew::from_error(Some("RequestExpired"), None, None, SystemTime::now());
        let clock = CallError::ClockSkew(clock.unwrap());
        let [malformed, empty] =
            [CallError::Malformed, CallError::Incomplete].map(|error| error(String::new()));
        for (error, attempts, milliseconds) in
            [(clock, 2, 0), (malformed, 2, 200), (empty, 6, 5_000)]
        {
            let (answer, calls, took) =
                call_that_fails_with(vec![error.clone(); 10], Some(()), Some(HOUR)).await;
            assert_eq!(format!("{:?}", answer.unwrap_err()), format!("{error:?}"));
            assert_eq!(calls, attempts, "{error:?}");
            assert!(took.abs_diff(Duration::from_millis(milliseconds)).as_millis() < 10);
            assert!(call_that_fails_with([error], Some(()), Some(HOUR)).await.0.is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn call_that_is_always_throttled_fails_after_six_attempts() {
        let (answer, calls, took) =
            call_that_fails_with(vec![throttled(); 10], Some(()), Some(HOUR)).await;
        assert!(matches!(answer, Err(CallError::Throttled(_))), "{answer:?}");
        assert_eq!(calls, 6);
        assert!(took < Duration::from_secs(25), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_attempt_runs_past_the_deadline_and_the_last_error_of_ecs_is_returned() {
        for milliseconds in (100..12_000).step_by(50) {
            let deadline = Duration::from_millis(milliseconds);
            for (errors, then) in [
                (vec![throttled(); 10], Some(())),
                (vec![throttled()], None),
                (vec![throttled(), throttled()], None),
            ] {
                let (answer, calls, took) =
                    call_that_fails_with(errors, then, Some(deadline)).await;
                assert!(matches!(answer, Err(CallError::Throttled(_))), "{answer:?}");
                assert!(took <= deadline && calls <= 6, "{took:?} of {deadline:?}, {calls} calls");
                assert!(calls > 1 || milliseconds < 1_010, "{calls} calls in {deadline:?}");
            }
            let (answer, calls, took) = call_that_fails_with([], None, Some(deadline)).await;
            assert!(matches!(answer, Err(CallError::OutOfTime)), "{answer:?}");
            assert!(took <= deadline && calls == 1, "{took:?} of {deadline:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn listing_with_endless_or_huge_pages_fails_at_2000_pages_or_32_mebibytes() {
        for (length, most) in [(1, 2_000), (1 << 20, 32)] {
            let quota = Quota::with_share(1.0);
            let reader = Reader::new((), quota.clone(), 1);
            let (reading, progress) = (reader.begin(None), Progress::default());
            let page = async |token: Option<String>| {
                let nth = token.map_or(0, |token| token.len());
                let arns = vec!["x".repeat(length)];
                Ok(Page { arns, next_token: Some("x".repeat(nth + 1)) })
            };
            let listing = reading.all_pages("list it", &quota.cluster_reads, &progress, page);
            let error = listing.await.unwrap_err().to_string();
            assert!(error.contains("its pages never end"), "{error}");
            assert_eq!(progress.calls(), most);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn error_of_ecs_is_returned_if_the_deadline_comes_while_a_retry_waits_for_quota() {
        let quota = Quota::with_share(0.05);
        for _ in 0..2 {
            quota.cluster_reads.take().await;
        }
        let reader = Reader::new((), quota.clone(), 1);
        let reading = reader.begin(Some(Instant::now() + Duration::from_millis(2_500)));
        let progress = Progress::default();
        let bucket = &quota.cluster_reads;
        let all_at_once = (0..2).map(|_| {
            reading.call::<(), _>("list it", bucket, &progress, async || Err(throttled()))
        });
        for answer in futures_util::future::join_all(all_at_once).await {
            let error = answer.unwrap_err();
            assert!(
                matches!(error, EcsError::Call { source: CallError::Throttled(_), .. }),
                "{error}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_throttled_at_the_same_time_are_retried_after_different_waits() {
        let all = (0..20).map(|_| call_that_fails_with([throttled()], Some(()), None));
        let waits = futures_util::future::join_all(all).await;
        let different: HashSet<_> = waits.into_iter().map(|(.., took)| took).collect();
        assert!(different.len() > 10, "{different:?}");
    }
}

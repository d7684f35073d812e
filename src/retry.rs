//! The retry loop of requests to ECS and to the snapshot server.

use std::time::Duration;

use tokio::time::Instant;

/// Time kept free before a deadline, to return an error that says what went wrong; an attempt needs as
/// much again.
pub(crate) const DEADLINE_MARGIN: Duration = Duration::from_millis(100);

/// Whether another attempt after `wait` has time to start and end before the deadline.
pub(crate) fn has_time_for(wait: Duration, deadline: Option<Instant>) -> bool {
    deadline.is_none_or(|deadline| Instant::now() + wait + 2 * DEADLINE_MARGIN < deadline)
}

/// Repeats `attempt` until it succeeds, `wait_after` returns `None` for its error, or no time is
/// left. `attempt` is passed the error of the one before, and `log` each error that is retried.
///
/// # Errors
/// The last attempt's.
pub(crate) async fn retry<T, E>(
    deadline: Option<Instant>,
    mut attempt: impl AsyncFnMut(Option<&E>) -> Result<T, E>,
    mut wait_after: impl FnMut(&E) -> Option<Duration>,
    log: impl Fn(&E, Duration),
) -> Result<T, E> {
    let mut previous = None;
    loop {
        let error = match attempt(previous.as_ref()).await {
            Ok(success) => return Ok(success),
            Err(error) => error,
        };
        let Some(wait) = wait_after(&error).filter(|wait| has_time_for(*wait, deadline)) else {
            return Err(error);
        };
        log(&error, wait);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        previous = Some(error);
    }
}

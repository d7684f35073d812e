//! A limit for log lines about frequent events.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two log lines.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Counts frequent events, so that one log line can stand for many.
#[derive(Debug, Default)]
pub(crate) struct LogThrottle {
    last_line: Option<Instant>,
    since_then: u64,
}

impl LogThrottle {
    /// Counts one event. Returns the number of events since the last log line if a new line is due.
    pub(crate) fn count(&mut self) -> Option<u64> {
        self.since_then += 1;
        if self.last_line.is_some_and(|last| last.elapsed() < LINE_INTERVAL) {
            return None;
        }
        self.last_line = Some(Instant::now());
        Some(std::mem::take(&mut self.since_then))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn log_line_is_due_once_per_interval_with_the_number_of_events_since_the_last() {
        let mut events = LogThrottle::default();
        assert_eq!(events.count(), Some(1));
        assert_eq!([events.count(), events.count()], [None, None]);
        tokio::time::advance(LINE_INTERVAL).await;
        assert_eq!(events.count(), Some(3));
        assert_eq!(events.count(), None);
    }
}

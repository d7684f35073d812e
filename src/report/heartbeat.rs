//! When an unchanged environment is reported.

use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

/// A heartbeat is due this long before the end of its period. A schedule's invocations come some
/// seconds early or late: without this, a heartbeat as long as the schedule's interval would be
/// late by a whole interval.
const EARLY_TOLERANCE: Duration = Duration::from_secs(30);

/// The clocks of the reporter and the server may differ by this much.
pub(super) const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_mins(10);

/// The heartbeat of one environment: once in each period, at an offset derived from the
/// environment's name, so that a fleet does not report all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heartbeat {
    period: Duration,
    /// Less than the period.
    offset: Duration,
}

impl Heartbeat {
    pub(super) fn new(period: Duration, environment: &str) -> Self {
        let digest = Sha256::digest(environment);
        let number = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
        let offset = Duration::from_secs(number % period.as_secs().max(1));
        Self { period, offset }
    }

    /// Whether a report is due if the last one was at `last`. A time in the future is one of a clock that
    /// was wrong, and says nothing of when the last report was.
    pub(super) fn is_due(self, last: SystemTime, now: SystemTime) -> bool {
        match now.duration_since(last) {
            Ok(age) => {
                age + EARLY_TOLERANCE >= self.period
                    || self.period_number(now) > self.period_number(last)
            }
            Err(ahead) => ahead.duration() > MAX_CLOCK_DIFFERENCE,
        }
    }

    /// Number of the period that contains `at`, counted from the Unix epoch.
    fn period_number(self, at: SystemTime) -> u64 {
        let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (since_epoch + self.offset).as_secs() / self.period.as_secs().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    /// This many seconds after 2022-08-22T09:39:17Z.
    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_661_161_157 + seconds)
    }

    /// The times, in seconds after `at(0)`, at which an unchanged environment is reported within
    /// five hours, with a run each minute.
    fn heartbeat_times(heartbeat: Heartbeat) -> Vec<u64> {
        let (mut last, mut beats) = (at(0), Vec::new());
        for run in (60..=5 * 3_600).step_by(60) {
            if heartbeat.is_due(last, at(run)) {
                beats.push(run);
                last = at(run);
            }
        }
        beats
    }

    #[test]
    fn unchanged_environment_is_reported_exactly_once_per_heartbeat_period() {
        for name in ["aws-prod", "aws-beta", "payments", "env-0", "env-1"] {
            let beats = heartbeat_times(Heartbeat::new(HOUR, name));
            assert!(beats[0] <= 3_600, "{name}: {beats:?}");
            assert!(beats.windows(2).all(|pair| pair[1] - pair[0] == 3_600), "{name}: {beats:?}");
            assert_eq!(beats.len(), 5, "{name}: {beats:?}");
        }
    }

    #[test]
    fn heartbeats_of_200_environments_are_spread_over_the_minutes_of_the_period() {
        let mut of_minute = [0; 60];
        for number in 0..200 {
            let first = heartbeat_times(Heartbeat::new(HOUR, &format!("aws-{number}")))[0];
            of_minute[usize::try_from(first / 60).unwrap() % 60] += 1;
        }
        assert!(of_minute.iter().all(|count| *count <= 12), "{of_minute:?}");
    }

    #[test]
    fn heartbeat_as_long_as_the_schedule_is_due_on_each_run_up_to_20_seconds_early() {
        let heartbeat = Heartbeat::new(HOUR, "aws-prod");
        for jitter in -20..=20 {
            let next = at(3_600).checked_add(Duration::from_secs(20)).unwrap()
                - Duration::from_secs(u64::try_from(20 - jitter).unwrap());
            assert!(heartbeat.is_due(at(0), next), "{jitter}");
        }
    }

    #[test]
    fn heartbeat_is_due_if_the_last_report_is_more_than_ten_minutes_in_the_future() {
        for (ahead, is_due) in [(60, false), (600, false), (601, true), (30 * 86_400, true)] {
            assert_eq!(
                Heartbeat::new(HOUR, "aws-prod").is_due(at(ahead), at(0)),
                is_due,
                "{ahead}"
            );
        }
    }
}

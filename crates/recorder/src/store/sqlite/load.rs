//! Admission control: estimates how long queued writes will take.

use std::time::{Duration, Instant};

/// A write that could not begin within this time is refused at once.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The fixed cost of a write, mostly the disk sync, as the number of artifacts whose writing takes as long.
const WRITE_COST: u64 = 100;

/// The highest weight of all queued writes, in artifacts, which bounds their memory: a thousand reports of
/// a few artifacts each.
const MAX_QUEUED_WEIGHT: u64 = 100_000;

/// The weight of the latest write in the moving average.
const SMOOTHING: f64 = 0.2;

/// The weight of the writes that are queued and being done, and how long writes took per artifact.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// The weight of queued writes, in artifacts.
    waiting: u64,
    /// The write that is being done.
    current: Option<(Instant, u64)>,
    /// Seconds for each artifact, as a moving average.
    pace: f64,
}

/// The weight of a write of this many artifacts.
pub(super) fn weight(artifacts: usize) -> u64 {
    WRITE_COST.saturating_add(artifacts as u64)
}

impl Load {
    /// Adds a write of this weight to those that wait.
    ///
    /// # Errors
    /// It would wait too long; the error is the expected wait.
    pub(super) fn admit(&mut self, weight: u64, now: Instant) -> Result<(), Duration> {
        if self.current.is_some() || self.waiting > 0 {
            let wait = self.expected_wait(now);
            if wait > MAX_WAIT || self.waiting.saturating_add(weight) > MAX_QUEUED_WEIGHT {
                return Err(wait);
            }
        }
        self.waiting = self.waiting.saturating_add(weight);
        Ok(())
    }

    /// How long one more write would wait. A write that has taken longer than expected is expected to
    /// take as long again.
    fn expected_wait(&self, now: Instant) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let expected = |weight: u64| weight as f64 * self.pace;
        let current = self.current.map_or(0.0, |(began, weight)| {
            let taken = now.saturating_duration_since(began).as_secs_f64();
            if taken > expected(weight) { taken } else { expected(weight) - taken }
        });
        let seconds = current + expected(self.waiting);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Records that a queued write of this weight begins.
    pub(super) fn begin(&mut self, weight: u64, now: Instant) {
        self.waiting = self.waiting.saturating_sub(weight);
        self.current = Some((now, weight));
    }

    /// Records that the current write ended. Its duration counts for the average only if it is `measured`: not
    /// if it was given up before it began, or waited for another program.
    pub(super) fn end(&mut self, measured: bool, now: Instant) {
        let Some((began, weight)) = self.current.take() else { return };
        if measured {
            let taken = now.saturating_duration_since(began).as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let pace = taken / weight.max(1) as f64;
            self.pace += SMOOTHING * (pace - self.pace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// A load whose writes without artifacts took this long each.
    fn load_with_write_time(seconds: f64, now: Instant) -> Load {
        let mut load = Load::default();
        for _ in 0..50 {
            load.admit(weight(0), now).unwrap();
            load.begin(weight(0), now);
            load.end(true, now + secs(seconds));
        }
        load
    }

    #[test]
    fn write_that_would_wait_over_five_seconds_is_refused_with_its_expected_wait() {
        let now = Instant::now();
        let mut load = load_with_write_time(0.1, now);
        let admitted = (0..10_000).take_while(|_| load.admit(weight(0), now).is_ok()).count();
        assert!((49..=52).contains(&admitted), "{admitted}");
        let wait = load.admit(weight(0), now).unwrap_err();
        assert!((5.0..5.3).contains(&wait.as_secs_f64()), "{wait:?}");
        load.begin(weight(0), now);
        load.end(true, now + secs(0.1));
        assert!(load.admit(weight(0), now).is_ok(), "there is room again");
    }

    #[test]
    fn queued_write_of_many_artifacts_lengthens_the_expected_wait_of_later_writes() {
        let now = Instant::now();
        let mut load = load_with_write_time(0.1, now);
        load.admit(weight(4_900), now).unwrap();
        assert!(load.admit(weight(0), now).is_ok());
        assert!(load.admit(weight(0), now).is_err());
    }

    #[test]
    fn writes_are_refused_once_the_current_write_has_taken_over_five_seconds() {
        let now = Instant::now();
        let mut load = load_with_write_time(0.001, now);
        load.admit(weight(0), now).unwrap();
        load.begin(weight(0), now);
        assert!(load.admit(weight(0), now + secs(4.9)).is_ok());
        assert!(load.admit(weight(0), now + secs(5.1)).is_err());
    }

    #[test]
    fn idle_writer_admits_a_write_of_any_size_and_then_refuses_the_next() {
        let now = Instant::now();
        let mut load = load_with_write_time(60.0, now);
        assert!(load.admit(weight(1_000_000), now).is_ok());
        assert!(load.admit(weight(0), now).is_err());
    }

    #[test]
    fn writes_above_the_maximum_queued_weight_are_refused_even_without_expected_wait() {
        let now = Instant::now();
        let mut load = Load::default();
        let admitted = (0..10_000).take_while(|_| load.admit(weight(0), now).is_ok()).count();
        assert_eq!(admitted as u64, MAX_QUEUED_WEIGHT / WRITE_COST);
    }
}

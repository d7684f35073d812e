//! The recorder's clock.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jiff::{SignedDuration, Timestamp};

use crate::text::humanize_duration;

/// Nothing is recorded after the clock was set by more than this, in seconds: NTP steps a synchronized clock
/// by less.
const MAX_ADJUSTMENT_SECS: f64 = 60.0;

/// The earliest plausible time, in seconds since the Unix epoch, 2020-01-01: a host without a synchronized
/// clock is before it, often at 1970.
const MIN_TIME: f64 = 1_577_836_800.0;

/// The end of plausible times, in seconds since the Unix epoch, 9999-12-31: later dates cannot be
/// formatted.
const MAX_TIME: f64 = 253_402_214_400.0;

/// The source of the time of every entry, in fractional seconds since the Unix epoch.
#[derive(Clone)]
pub struct Clock {
    wall_clock: Arc<dyn Fn() -> f64 + Send + Sync>,
    monotonic: Option<Monotonic>,
}

/// A monotonic clock, with its offset to the wall clock when that was first read.
#[derive(Clone)]
struct Monotonic {
    /// In seconds; `None` if it cannot be read now.
    read: Arc<dyn Fn() -> Option<f64> + Send + Sync>,
    /// How far the wall clock is ahead of it, in seconds.
    offset: Option<f64>,
}

/// The clock is not plausible.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ClockError {
    /// It was set while the recorder ran.
    #[error(
        "the clock of this host is {} {} the time that has passed since the recorder started, \
         and a snapshot with a wrong date would keep it. If the clock is wrong, set it (with \
         timedatectl, for example); if it is right now, restart the recorder",
        humanize_duration(ahead.abs()),
        if *ahead > 0.0 { "ahead of" } else { "behind" }
    )]
    Adjusted {
        /// Seconds; negative if the clock is behind.
        ahead: f64,
    },
    /// It shows a date before 2020 or after 9999.
    #[error(
        "the clock of this host says that it is {}, which cannot be. Set it (with timedatectl, for \
         example), and start the recorder after it is synchronized",
        date(*seconds)
    )]
    Implausible {
        /// Seconds since the Unix epoch.
        seconds: f64,
    },
}

impl Clock {
    /// The host's clock. It is not used after it was set by more than a minute.
    pub fn system() -> Self {
        Self::with_monotonic(wall_clock, uptime())
    }

    /// A clock that returns whatever `now` returns.
    pub fn from_fn(now: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self { wall_clock: Arc::new(now), monotonic: None }
    }

    /// A clock that returns `wall_clock` as long as it advances like `monotonic`; both in seconds.
    pub fn with_monotonic(
        wall_clock: impl Fn() -> f64 + Send + Sync + 'static,
        monotonic: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) -> Self {
        let offset = monotonic().map(|monotonic| wall_clock() - monotonic);
        let monotonic = Some(Monotonic { read: Arc::new(monotonic), offset });
        Self { wall_clock: Arc::new(wall_clock), monotonic }
    }

    /// The time in seconds since the Unix epoch, whether or not it is plausible.
    pub fn now(&self) -> f64 {
        (self.wall_clock)()
    }

    /// The time for an entry that is recorded.
    ///
    /// # Errors
    /// The clock was set, or its date is not plausible.
    pub fn now_to_record(&self) -> Result<f64, ClockError> {
        let now = self.now();
        let Some(Monotonic { read, offset }) = &self.monotonic else { return Ok(now) };
        if !is_plausible_time(now) {
            return Err(ClockError::Implausible { seconds: now });
        }
        let expected = read().zip(*offset).map(|(monotonic, offset)| monotonic + offset);
        match expected.map(|expected| now - expected) {
            Some(ahead) if ahead.abs() > MAX_ADJUSTMENT_SECS => Err(ClockError::Adjusted { ahead }),
            _ => Ok(now),
        }
    }
}

/// Whether a time, in seconds since the Unix epoch, is one at which something can be recorded.
pub fn is_plausible_time(seconds: f64) -> bool {
    (MIN_TIME..MAX_TIME).contains(&seconds)
}

/// `1969-06-01`, from seconds since the Unix epoch.
fn date(seconds: f64) -> String {
    let day = SignedDuration::try_from_secs_f64(seconds).ok().map(Timestamp::from_duration);
    match day {
        Some(Ok(day)) => day.strftime("%Y-%m-%d").to_string(),
        _ => "a year of more than four digits".to_owned(),
    }
}

/// The host's time in seconds since the Unix epoch; negative before it.
fn wall_clock() -> f64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

/// A function that reads the seconds since some moment, including the time in which the host was suspended,
/// if that is known: Linux counts them in `/proc/uptime`, and not in [`Instant`].
fn uptime() -> impl Fn() -> Option<f64> {
    let file = File::open("/proc/uptime").ok().filter(|file| read_uptime(file).is_some());
    let started = Instant::now();
    move || match &file {
        Some(file) => read_uptime(file),
        None => Some(started.elapsed().as_secs_f64()),
    }
}

/// Seconds since the host was booted: the first number in `/proc/uptime`.
fn read_uptime(file: &File) -> Option<f64> {
    let mut text = [0; 64];
    let length = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text[..length]).ok()?.split_whitespace().next()?.parse().ok()
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// When the tested clock is made, in seconds since the Unix epoch: 2026-11-28.
    const NOW: f64 = 1_795_824_000.0;

    /// What [`Clock::now_to_record`] returns after the two clocks advanced by these seconds.
    fn time_to_record_after(wall_clock: f64, monotonic: f64) -> Result<f64, ClockError> {
        let passed = Arc::new(Mutex::new((0.0, 0.0)));
        let (one, other) = (Arc::clone(&passed), Arc::clone(&passed));
        let clock = Clock::with_monotonic(
            move || NOW + one.lock().unwrap().0,
            move || Some(5.0 + other.lock().unwrap().1),
        );
        *passed.lock().unwrap() = (wall_clock, monotonic);
        clock.now_to_record()
    }

    #[test]
    fn clock_that_was_set_by_over_a_minute_or_has_an_implausible_date_is_an_error() {
        for (wall_clock, monotonic) in
            [(0.0, 0.0), (86_400.0, 86_400.0), (159.0, 100.0), (41.0, 100.0)]
        {
            assert_eq!(time_to_record_after(wall_clock, monotonic), Ok(NOW + wall_clock));
        }
        for (wall_clock, monotonic) in [(161.0, 100.0), (39.0, 100.0), (315_360_000.0, 60.0)] {
            let ahead = wall_clock - monotonic;
            assert_eq!(
                time_to_record_after(wall_clock, monotonic),
                Err(ClockError::Adjusted { ahead })
            );
        }
        for wall_clock in [-NOW - 1.0, -NOW, 3e11] {
            assert!(matches!(
                time_to_record_after(wall_clock, 0.0),
                Err(ClockError::Implausible { .. })
            ));
        }
    }

    #[test]
    fn error_for_an_implausible_clock_contains_its_date() {
        for (wall_clock, date) in
            [(-18_489_600.0, "1969-06-01"), (3e11, "a year of more than four digits")]
        {
            let message = time_to_record_after(wall_clock - NOW, 0.0).unwrap_err().to_string();
            assert!(
                message.contains(&format!("says that it is {date}, which cannot be")),
                "{message}"
            );
        }
    }

    #[test]
    fn error_for_a_clock_that_was_set_contains_the_difference_and_the_remedy() {
        let message = time_to_record_after(39.0, 100.0).unwrap_err().to_string();
        assert!(message.contains("is 1 minute behind the time that has passed"), "{message}");
        assert!(message.contains("restart the recorder"), "{message}");
    }

    #[test]
    fn system_clock_has_a_time_to_record_and_the_uptime_can_be_read() {
        let clock = Clock::system();
        assert!(clock.now_to_record().is_ok());
        assert!(uptime()().is_some_and(|seconds| seconds >= 0.0));
    }
}

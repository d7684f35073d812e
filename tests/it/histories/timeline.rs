//! Virtual time, and what happened at which second of it.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

/// Milliseconds since a history began; below zero before that.
pub(super) type Millis = i64;

pub(super) const SECOND: Millis = 1_000;
pub(super) const MINUTE: Millis = 60 * SECOND;

/// When every history begins by the wall clock, since the Unix epoch.
const BEGIN_UNIX_TIME: Duration = Duration::from_mins(27_686_020);

/// The virtual clock of a history, and a diary of what happens.
#[derive(Clone)]
pub(super) struct Timeline {
    began: Instant,
    diary: Option<Rc<RefCell<Vec<String>>>>,
}

impl Timeline {
    /// One that begins now.
    pub(super) fn begin(keep_a_diary: bool) -> Self {
        Self { began: Instant::now(), diary: keep_a_diary.then(Rc::default) }
    }

    /// Milliseconds since the history began.
    pub(super) fn now(&self) -> Millis {
        Millis::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    pub(super) fn instant(&self, at: Millis) -> Instant {
        self.began + Duration::from_millis(u64::try_from(at).unwrap_or_default())
    }

    pub(super) fn wall_clock(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + BEGIN_UNIX_TIME + self.began.elapsed()
    }

    /// Waits until this moment, if it has not passed.
    pub(super) async fn wait_until(&self, at: Millis) {
        sleep_until(self.instant(at)).await;
    }

    /// Writes a line into the diary, if one is kept.
    pub(super) fn note(&self, what: impl FnOnce() -> String) {
        if let Some(diary) = &self.diary {
            diary.borrow_mut().push(format!("{:>9} {}", Seconds(self.now()), what()));
        }
    }

    pub(super) fn diary(&self) -> String {
        self.diary.as_ref().map(|diary| diary.borrow().join("\n")).unwrap_or_default()
    }
}

/// Seconds since the Unix epoch at this moment of a history.
pub(super) fn unix_seconds(at: Millis) -> i64 {
    i64::try_from(BEGIN_UNIX_TIME.as_secs()).unwrap() + at.div_euclid(SECOND)
}

/// Milliseconds, shown in seconds.
pub(super) struct Seconds(pub(super) Millis);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, whole) = (if self.0 < 0 { "-" } else { "" }, self.0.abs());
        f.pad(&format!("{sign}{}.{:03} s", whole / SECOND, whole % SECOND))
    }
}

//! The clock of the demo, which runs through two weeks in seconds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use jiff::Timestamp;

use crate::recorder;

/// Frozen at a past time, or the clock of this machine. Clones share it.
#[derive(Clone)]
pub(super) struct HistoryClock(Arc<Mutex<Option<Timestamp>>>);

impl HistoryClock {
    pub(super) fn frozen_at(time: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Some(time))))
    }

    pub(super) fn freeze_at(&self, time: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(time);
    }

    pub(super) fn unfreeze(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(Timestamp::now)
    }

    pub(super) fn for_reporter(&self) -> impl Fn() -> SystemTime + use<> {
        let clock = self.clone();
        move || clock.now().into()
    }

    pub(super) fn for_recorder(&self) -> recorder::Clock {
        let clock = self.clone();
        recorder::Clock::from_fn(move || clock.now().as_duration().as_secs_f64())
    }
}

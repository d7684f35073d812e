//! A clock that is stopped while requests and responses go on.

use std::sync::mpsc;
use std::time::Duration;

/// Stops the clock of the tokio runtime until it is dropped: timers end only by [`StoppedClock::advance`].
pub(crate) struct StoppedClock {
    _until_dropped: mpsc::Sender<()>,
}

impl StoppedClock {
    pub(crate) fn start() -> Self {
        let (sender, dropped) = mpsc::channel::<()>();
        // A paused clock of tokio's runs ahead when all else waits, but not for as long as some
        // blocking work goes on.
        tokio::task::spawn_blocking(move || dropped.recv().is_ok());
        tokio::time::pause();
        Self { _until_dropped: sender }
    }

    pub(crate) async fn advance(&self, time: Duration) {
        tokio::time::advance(time).await;
    }
}

impl Drop for StoppedClock {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}

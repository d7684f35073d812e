//! A progress line for long readings.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crate::ecs::Progress;

/// Shorter readings show no progress.
const SHOW_AFTER: Duration = Duration::from_secs(1);
/// Between two updates of the progress line.
const REFRESH_INTERVAL: Duration = Duration::from_millis(200);

/// Waits for `work`. On a terminal, shows its progress if it takes longer than a second.
pub(super) async fn with_progress<T, F>(work: F, progress: impl Fn() -> String) -> T
where
    F: Future<Output = T>,
{
    let mut work = std::pin::pin!(work);
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    if let Ok(done) = tokio::time::timeout(SHOW_AFTER, &mut work).await {
        return done;
    }
    loop {
        draw(&progress());
        if let Ok(done) = tokio::time::timeout(REFRESH_INTERVAL, &mut work).await {
            draw("");
            return done;
        }
    }
}

/// The progress of reading all environments; `then` follows once every cluster is read.
pub(super) fn summary<'a>(readings: impl Iterator<Item = &'a Progress>, then: &str) -> String {
    let (mut read, mut clusters, mut tasks) = (0, 0, 0);
    for reading in readings {
        read += reading.clusters_read();
        clusters += reading.clusters();
        tasks += reading.tasks_described();
    }
    match clusters {
        0 => "Reading ECS: looking for clusters".to_owned(),
        _ if read == clusters => format!("Read {tasks} tasks from ECS{then}"),
        _ => format!("Reading ECS: {read} of {clusters} clusters, {tasks} tasks described"),
    }
}

/// Overwrites the last line of the terminal with `text`, and leaves the cursor at its start.
fn draw(text: &str) {
    const ERASE_TO_END_OF_LINE: &str = "\x1b[K";
    let mut terminal = std::io::stderr().lock();
    // An error means that the terminal was closed.
    let _gone = write!(terminal, "{ERASE_TO_END_OF_LINE}{text}\r").and_then(|()| terminal.flush());
}

//! Since when something runs, and what ran for the first time, as the recorder defines it.

use super::terminal::Terminal;

/// `Mon, 22 Aug 2022 11:39:22 CEST`, with `at the latest` if it is of the environment's first snapshot.
pub(super) fn first_seen(at: f64, at_the_latest: bool, terminal: &Terminal) -> String {
    let time = terminal.time(at);
    if at_the_latest { format!("{time} at the latest") } else { time }
}

/// `first time here: registry`, of an artifact; `kind` is what never ran in the environment before.
pub(super) fn first_time_here(kind: &str) -> String {
    format!("first time here: {}", super::escape::replace_invisible(kind))
}

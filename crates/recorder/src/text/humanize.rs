//! Counts and durations in words.

use std::fmt::Display;

/// `count` of `noun`: `1 artifact`, `2 artifacts`.
pub fn pluralize<N: Copy + Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    format!("{count} {noun}{}", if count == N::from(1) { "" } else { "s" })
}

/// `13 days`: a duration in its largest unit.
pub fn humanize_duration(seconds: f64) -> String {
    /// Seconds and name of each, the largest first.
    const UNITS: [(i64, &str); 4] =
        [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds")]
    let seconds = seconds as i64;
    match UNITS.into_iter().find(|(unit, _)| seconds >= *unit) {
        None => "0 seconds".to_owned(),
        Some((unit, name)) => pluralize(seconds / unit, name),
    }
}

/// `13 days ago`, from the elapsed seconds. Below one second `just now`, and in the future, by at least a
/// minute, `in 2 hours`.
pub fn ago(elapsed: f64) -> String {
    match elapsed {
        // Clocks differ a little.
        ..=-60.0 => format!("in {}", humanize_duration(-elapsed)),
        ..1.0 => "just now".to_owned(),
        _ => format!("{} ago", humanize_duration(elapsed)),
    }
}

/// Whole seconds since the Unix epoch as fractional seconds.
#[expect(clippy::cast_precision_loss, reason = "exact for the next two hundred million years")]
pub const fn unix_secs(seconds: i64) -> f64 {
    seconds as f64
}

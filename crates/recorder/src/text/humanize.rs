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

/// A duration in its two largest units: `1 d 13 h`.
pub fn two_unit_duration(seconds: f64) -> String {
    let units = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s")];
    let Some(largest) = units.iter().position(|(unit, _)| seconds >= *unit) else {
        return "under 1 s".to_owned();
    };
    let (unit, name) = units[largest];
    let count = (seconds / unit).floor();
    let rest = seconds - count * unit;
    match units.get(largest + 1) {
        Some((unit, next)) if rest >= *unit => {
            format!("{count} {name} {} {next}", (rest / unit).floor())
        }
        _ => format!("{count} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_shown_in_its_two_largest_units() {
        for (seconds, expected) in [
            (-3.0, "under 1 s"),
            (0.4, "under 1 s"),
            (1.0, "1 s"),
            (59.9, "59 s"),
            (60.0, "1 min"),
            (125.0, "2 min 5 s"),
            (3_600.0 * 37.0 + 59.0, "1 d 13 h"),
            (86_400.0 * 11.0 + 60.0, "11 d"),
        ] {
            assert_eq!(two_unit_duration(seconds), expected, "{seconds}");
        }
    }
}
